"""The human test's page and its requests, by Python's own web server.

Nothing on the page comes from elsewhere, and nothing of the person but the answers is stored: no
address, no browser, no name. Every image is sent the same way whatever its kind.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as package_files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...errors import UsageError, ZeuxisError
from . import session
from .pictures import MASKS, png
from .protocol import SCREEN, WITH_FEEDBACK
from .session import Answer
from .store import Store

LONGEST = 65_536  # bytes of a request
STARTS, REQUESTS = 120, 40  # a minute in all, and a second from one person
PAGES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
POLICY = "default-src 'self'; img-src 'self' blob:; frame-ancestors 'self'; base-uri 'none'"
LOCAL = ("127.0.0.1", "localhost", "[::1]")


class Limiter:
    """At most `n` events of a key within `seconds`."""

    def __init__(self, n: int, seconds: float) -> None:
        self.n, self.seconds, self.lock = n, seconds, threading.Lock()
        self.seen: OrderedDict[str, deque[float]] = OrderedDict()

    def allow(self, key: str) -> bool:
        """Counts an event; False where it is one too many."""
        with self.lock:
            times = self.seen.setdefault(key[:64], deque())
            self.seen.move_to_end(key[:64])
            while len(self.seen) > 10_000:
                self.seen.popitem(last=False)
            now = time.monotonic()
            while times and times[0] < now - self.seconds:
                times.popleft()
            if len(times) >= self.n:
                return False
            times.append(now)
            return True


class TestServer(ThreadingHTTPServer):
    """Serves one study.

    Arguments:
        store: The study.
        host: Address to listen on; anything but 127.0.0.1 is open to other machines.
        port: 0 takes a free one.
        completion_code: Shown after the last image, for crowd platforms.
        requests: Requests a second from one person.
    """

    daemon_threads = True
    request_queue_size = 128
    __test__ = False  # no class of tests, whatever pytest makes of its name

    def __init__(
        self,
        store: Store,
        host: str = "127.0.0.1",
        port: int = 0,
        completion_code: str = "",
        requests: int = REQUESTS,
    ) -> None:
        self.store, self.completion_code = store, completion_code
        self.starts, self.requests = Limiter(STARTS, 60.0), Limiter(requests, 1.0)
        self.public = host not in LOCAL
        self.pages = {
            path: package_files(__package__).joinpath("page", name).read_bytes()
            for path, name in PAGES.items()
        }
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise UsageError(
                f"Port {port} of {host} cannot be used ({error.strerror}): give another --port."
            ) from error

    @property
    def address(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        shown = "127.0.0.1" if host == "0.0.0.0" else host
        return f"http://{shown!s}:{port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that has gone is no error of the server."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: TestServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "zeuxis", ""
    timeout = 60  # seconds
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Writes no addresses anywhere."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self.right_host():
            self.reply({"error": "Open this page by its own address."}, HTTPStatus.FORBIDDEN)
        elif url.path in PAGES:
            kind = TYPES[PAGES[url.path].rsplit(".")[-1]]
            self.send(self.server.pages[url.path], f"{kind}; charset=utf-8")
        elif url.path == "/study":
            self.reply(describe(self.server))
        elif url.path.startswith("/image/"):
            self.send_image(self.server.store.pixels_of(url.path.removeprefix("/image/")))
        elif url.path.startswith("/mask/"):
            name = url.path.removeprefix("/mask/")
            mask = int(name) if name.isdecimal() and len(name) < 4 else -1
            self.send_image(self.server.store.pixels("mask", mask))
        elif url.path in ("/state", "/debrief"):
            person = parse_qs(url.query).get("person", [""])[0]
            ask = session.state if url.path == "/state" else session.debrief
            self.try_to(lambda: ask(self.server.store, person))
        else:
            self.reply({"error": "There is no such page."}, HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        kind = (self.headers.get("Content-Type") or "").split(";")[0].strip()
        if not 0 <= length <= LONGEST or kind != "application/json" or not self.right_host():
            self.close_connection = True  # what it sent is not read
            self.reply({"error": "Send this page's own requests."}, HTTPStatus.BAD_REQUEST)
            return
        try:
            asked = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            self.reply({"error": "Send a JSON object."}, HTTPStatus.BAD_REQUEST)
            return
        action = ACTIONS.get(urlsplit(self.path).path)
        if action is None:
            self.reply({"error": "There is no such page."}, HTTPStatus.NOT_FOUND)
            return
        self.try_to(lambda: action(self.server, asked))

    def try_to(self, action: Callable[[], dict[str, Any]]) -> None:
        """Replies with what an action returns, or with the sentence of its error."""
        try:
            self.reply(action())
        except TooMany as error:
            self.reply({"error": str(error)}, HTTPStatus.TOO_MANY_REQUESTS)
        except ZeuxisError as error:
            self.reply({"error": str(error)}, HTTPStatus.CONFLICT)
        except sqlite3.Error as error:
            text = f"The answer could not be stored ({error}): it is sent again."
            self.reply({"error": text}, HTTPStatus.SERVICE_UNAVAILABLE)

    def right_host(self) -> bool:
        """Whether a request names this machine: a page elsewhere could name its own by a record
        that leads here."""
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        return self.server.public or host in LOCAL

    def send_image(self, pixels: bytes | None) -> None:
        """One image, the same way for all kinds."""
        if pixels is None:
            self.reply({"error": "There is no such image."}, HTTPStatus.NOT_FOUND)
        else:
            self.send(png(pixels, self.server.store.study.shape), "image/png")

    def reply(self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send(json.dumps(value).encode(), "application/json", status)

    def send(self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(data)

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # the reader has gone
            super().finish()
        self.server.store.close()


class TooMany(UsageError):
    """More requests than people make."""

    def __init__(self) -> None:
        super().__init__("Too many requests: wait a moment.")


def describe(server: TestServer) -> dict[str, Any]:
    """What the page says before the first image."""
    study = server.store.study
    config, sizes = study.config, server.store.sizes()
    return {
        "mode": config.mode,
        "n": config.images,
        "share": 0.5,
        "practice": bool(sizes.get("generated-practice")),
        "qualify": config.qualify,
        "feedback": config.mode in WITH_FEEDBACK,
        "shape": list(study.shape),
        "data": study.data,
        "masks": min(MASKS, sizes.get("mask", 0)),
        "screen": SCREEN,
    }


def begin(server: TestServer, asked: dict[str, Any]) -> dict[str, Any]:
    if not server.starts.allow(""):
        raise TooMany
    return {"person": session.start(server.store, asked)}


def require_pace(server: TestServer, asked: dict[str, Any]) -> str:
    """The person of a request, unless there are too many of them."""
    person = str(asked.get("person", ""))
    if not server.requests.allow(person):
        raise TooMany
    return person


def show(server: TestServer, asked: dict[str, Any]) -> dict[str, Any]:
    return session.show(server.store, require_pace(server, asked))


def take(server: TestServer, asked: dict[str, Any]) -> dict[str, Any]:
    """Stores answers; the truth leaves after the transaction."""
    person, given = require_pace(server, asked), asked.get("answers")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise UsageError("An answer names its image: reload the page to go on.")
    answers = [
        Answer(
            str(one.get("token")), str(one.get("said")), one.get("rt_ms", -1.0), one.get("seen_ms")
        )
        for one in given
    ]
    replies = session.answer(server.store, person, answers)
    left = len(session.state(server.store, person)["left"])
    code = {} if left else {"completion_code": server.completion_code}
    return {"answers": replies, "left": left, **code}


def withdraw(server: TestServer, asked: dict[str, Any]) -> dict[str, Any]:
    session.withdraw(server.store, require_pace(server, asked))
    return {}


ACTIONS = {"/start": begin, "/show": show, "/answer": take, "/withdraw": withdraw}
