"""A process that ends with the one that started it, however that one ends."""

from __future__ import annotations

import os
import signal
import threading


def end_with_caller() -> None:
    """Sends this process SIGTERM, so that it saves and ends, once its standard input is closed.

    The caller holds the other end of that pipe, which the system closes with its process.
    """

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
