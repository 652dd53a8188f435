"""The studio's page: seven tabs over the applications.

The page is served on this machine alone unless `public` is given. Gradio's telemetry, its fonts
from elsewhere and its links that share a page are off, and no file but what the page itself shows
can be fetched.
"""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr

from ..errors import UsageError
from .catalog import Catalog
from .explore_tab import explore_tab
from .human_tab import human_tab
from .learn_tab import learn_tab
from .models_tab import models_tab
from .parts import MOST_BYTES
from .policies_tab import policies_tab
from .processes import Server
from .restore_tab import restore_tab
from .surprise_tab import surprise_tab

LOCAL = "127.0.0.1"
FONTS = ["system-ui", "sans-serif"]
CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
footer { display: none !important; }
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
    catalog, server = Catalog(folder), Server()
    atexit.register(server.stop)
    tabs: list[tuple[str, Any]] = [
        ("Models", models_tab),
        ("Explore", explore_tab),
        ("Restore and edit", restore_tab),
        ("Surprise and compression", surprise_tab),
        ("Learn", learn_tab),
        ("Policies", policies_tab),
    ]
    with gr.Blocks(title="zeuxis studio", analytics_enabled=False) as page:
        gr.Markdown("# zeuxis studio")
        for name, tab in tabs:
            with gr.Tab(name, id=name):
                tab(catalog)
        with gr.Tab("Human test", id="Human test"):
            human_tab(catalog, server)
    page.queue(api_open=False, default_concurrency_limit=2)
    return page


def launch(folder: Path, port: int, public: bool = False) -> str:
    """Serves the page until the process ends.

    Returns:
        Its address.

    Raises:
        UsageError: The port is taken.
    """
    page = build(folder)
    try:
        _, address, _ = page.launch(
            server_name="0.0.0.0" if public else LOCAL,
            server_port=port or None,
            share=False,
            quiet=True,
            inbrowser=False,
            prevent_thread_lock=True,
            show_error=False,
            max_file_size=MOST_BYTES,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            theme=theme(),
            css=CSS,
        )
    except OSError as error:
        raise UsageError(f"Port {port} cannot be used: give another --port.") from error
    return str(address).replace("0.0.0.0", LOCAL)
