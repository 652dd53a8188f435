"""Progress with time left: a rich bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
console = Console(stderr=True, highlight=False)


def clock(seconds: float) -> str:
    """Seconds as people write them.

    Example:
        >>> clock(75), clock(7325)
        ('1:15', '2:02:05')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def bar(*extra: str) -> Progress:
    """A rich bar with done/total, time spent and time left; `extra` are further text columns."""
    columns = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), *map(TextColumn, extra)]
    return Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console, transient=False)


def track(items: Iterable[T], total: int, what: str, every: float = 10.0) -> Iterator[T]:
    """Passes items through and shows how far it is.

    Arguments:
        items: What is worked through.
        total: How many there are.
        what: The work, as in "decoding images".
        every: Seconds between plain lines when standard error is no terminal; work that ends sooner prints nothing.
    """
    if console.is_terminal:
        with bar() as shown:
            yield from shown.track(items, total=total, description=what)
        return
    start = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= every and done < total:
            said = now
            print(f"{what}: {done} of {total}, {clock((now - start) * (total - done) / done)} left", file=sys.stderr, flush=True)
