"""Progress with time left: a rich bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from .printable import printable

T = TypeVar("T")


class Terminal(Console):
    """A rich console that takes text as it is: no markup, no emoji codes, and nothing in it that
    would steer the terminal."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **style: Any) -> Text:
        return super().render_str(self.safe(text), **style)  # before widths are measured

    def on_broken_pipe(self) -> None:
        """Leaves a reader that has gone to the command line, for which it is no error."""
        raise BrokenPipeError

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=self.safe(segment.text))

    def safe(self, text: str) -> str:
        """Text that this terminal can show, some of which know ASCII only."""
        if text.isascii() and text.isprintable():
            return text
        return printable(text).encode(self.encoding, "backslashreplace").decode(self.encoding)


console = Terminal(stderr=True)  # what is going on
out = Terminal()  # what was asked for


def clock(seconds: float) -> str:
    """Seconds as people write them.

    Example:
        >>> clock(75), clock(7325)
        ('1:15', '2:02:05')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def rate(speed: float) -> str:
    """Items a second, as people write them.

    Example:
        >>> rate(5231.4), rate(2.04)
        ('5,231/s', '2.0/s')
    """
    return f"{speed:,.{0 if speed >= 10 else 1}f}/s"


class Speed(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else rate(speed))


def bar(*extra: str | ProgressColumn) -> Progress:
    """A bar with done/total, time spent and time left; `extra` columns take the rest of the line.

    A terminal of 80 columns always shows bar, count and times: text in `extra` is cut instead.
    """
    fixed, rest = Column(no_wrap=True), Column(ratio=1, no_wrap=True, overflow="ellipsis")
    more = [
        TextColumn(column, style="dim", markup=False, table_column=rest)
        if isinstance(column, str)
        else column
        for column in extra
    ]
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=fixed),
        BarColumn(bar_width=16),
        MofNCompleteColumn(table_column=fixed),
        TimeElapsedColumn(table_column=fixed),
        TextColumn("left", table_column=fixed),
        TimeRemainingColumn(table_column=fixed),
        *more,
        console=console,
        transient=False,
        expand=True,
    )


def track(items: Iterable[T], total: int, what: str, every: float = 10.0) -> Iterator[T]:
    """Passes items through and shows how far it is, how fast, and how long it will take.

    Arguments:
        items: What is worked through.
        total: How many there are.
        what: The work, as in "decoding images".
        every: Seconds between plain lines when standard error is no terminal; work that ends sooner
            prints nothing.
    """
    if console.is_terminal:
        with bar(Speed()) as shown:
            yield from shown.track(items, total=total, description=what)
        return
    start = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= every and done < total:
            said = now
            speed = done / (now - start)
            left = clock((total - done) / speed)
            print(
                f"{printable(what)}: {done:,} of {total:,}, {rate(speed)}, {left} left",
                file=sys.stderr,
                flush=True,
            )


@contextlib.contextmanager
def meter(total: float, what: str, every: float = 10.0) -> Iterator[Callable[[float], None]]:
    """As `track`, for work that is not a sequence: yields a function to call with how much more has
    been done.

    Arguments:
        total: All there is to do, in items.
        what: The work, as in "compressing tiles".
        every: Seconds between plain lines when standard error is no terminal; work that ends sooner
            prints nothing.
    """
    if console.is_terminal:
        with bar(Speed()) as shown:
            task = shown.add_task(what, total=total)
            yield lambda more: shown.advance(task, more)
        return
    start = said = time.monotonic()
    done = 0.0

    def advance(more: float) -> None:
        nonlocal done, said
        done += more
        now = time.monotonic()
        if now - said >= every and done < total:
            said = now
            speed = done / (now - start)
            left = clock((total - done) / speed)
            print(
                f"{printable(what)}: {done:,.0f} of {total:,.0f}, {rate(speed)}, {left} left",
                file=sys.stderr,
                flush=True,
            )

    yield advance
