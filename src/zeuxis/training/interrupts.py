"""Signals that ask a training to save and end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = [signal.SIGTERM, signal.SIGINT]
if hasattr(signal, "SIGHUP"):
    SIGNALS.append(signal.SIGHUP)


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """An event that SIGTERM, Ctrl-C or a closed terminal sets, so that the loop can save and end.

    A second Ctrl-C ends at once. A signal that the process was started to ignore, as nohup does
    with that of a closed terminal, stays ignored. Outside the main thread nothing is caught.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    caught = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in caught:
            signal.signal(number, ask)
        yield stop
    finally:
        for number in caught:
            signal.signal(number, before[number])
