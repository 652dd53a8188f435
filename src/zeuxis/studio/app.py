"""The studio's page: seven tabs over the applications.

The page is served on this machine alone unless `public` is given. Gradio's telemetry, its fonts
from elsewhere and its links that share a page are off, and no file but what the page itself shows
can be fetched.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from uvicorn import Config, Server

from ..errors import UsageError
from .catalog import Catalog
from .explore_tab import explore_tab
from .human_tab import human_tab
from .learn_tab import learn_tab
from .models_tab import models_tab
from .parts import MOST_BYTES
from .policies_tab import policies_tab
from .processes import TestProcess
from .restore_tab import restore_tab
from .surprise_tab import surprise_tab

LOCAL = "127.0.0.1"
FONTS = ["system-ui", "sans-serif"]
CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
footer { display: none !important; }
:root { --color-accent: #0b57b0; }
.dark { --color-accent: #8ab8ff; }
img { image-rendering: pixelated; }
button:focus-visible, input:focus-visible, [role=tab]:focus-visible {
  outline: 3px solid currentColor !important; outline-offset: 2px;
}
"""


def theme() -> gr.themes.Base:
    """Colors with a contrast of at least 4.5 to 1 on light and dark ground; fonts of the system."""
    return gr.themes.Base(
        primary_hue="blue", secondary_hue="blue", neutral_hue="zinc", font=FONTS,
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="#0b57b0",
        button_primary_background_fill_dark="#0b57b0",
        button_primary_background_fill_hover="#0a4a96",
        button_primary_background_fill_hover_dark="#0a4a96",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        block_label_text_color="#3f3f46",
        block_label_text_color_dark="#d4d4d8",
        block_title_text_color="#27272a",
        block_title_text_color_dark="#e4e4e7",
        body_text_color_subdued="#52525b",
        body_text_color_subdued_dark="#b4b4bd",
        link_text_color="#0b57b0",
        link_text_color_dark="#8ab8ff",
    )  # fmt: skip


def build(folder: Path) -> gr.Blocks:
    """The page.

    Arguments:
        folder: The folder of run folders.
    """
    catalog, server = Catalog(folder), TestProcess()
    atexit.register(server.stop)
    tabs: list[tuple[str, Any]] = [
        ("Models", models_tab),
        ("Explore", explore_tab),
        ("Restore and edit", restore_tab),
        ("Surprise and compression", surprise_tab),
        ("Learn", learn_tab),
        ("Policies", policies_tab),
    ]
    with gr.Blocks(title="zeuxis studio", analytics_enabled=False, fill_width=True) as page:
        gr.Markdown("# zeuxis studio")
        for name, tab in tabs:
            with gr.Tab(name, id=name):
                tab(catalog)
        with gr.Tab("Human test", id="Human test"):
            human_tab(catalog, server)
    page.queue(api_open=False, default_concurrency_limit=2)
    return page


class LocalOnly:
    """Refuses requests that name another machine: a page elsewhere could lead its own name here."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", []))
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
        if scope["type"] == "lifespan" or host in (LOCAL, "localhost", "[::1]"):
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("Open this page by its own address.", 403)(scope, receive, send)


def listener(port: int, public: bool) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: The port is taken.
    """
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("0.0.0.0" if public else LOCAL, port))
    except OSError as error:
        opened.close()
        raise UsageError(f"Port {port} cannot be used: give another --port.") from error
    opened.listen(128)
    return opened


def serve(folder: Path, port: int, public: bool, ready: Callable[[str], None]) -> None:
    """Serves the page until Ctrl-C.

    Gradio's own `launch` is not used: it asks its page for an answer within three seconds, which a
    machine that trains may not give.

    Arguments:
        folder: The folder of run folders.
        port: 0 takes a free one.
        public: Whether other machines may reach it.
        ready: Gets the address.
    """
    with listener(port, public) as opened:
        app: Any = gr.mount_gradio_app(
            FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
            build(folder),
            path="",
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=MOST_BYTES,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=theme(),
            css=CSS,
        )
        ready(f"http://{LOCAL}:{opened.getsockname()[1]}/")
        server = Server(Config(app if public else LocalOnly(app), log_level="error"))
        server.run(sockets=[opened])
