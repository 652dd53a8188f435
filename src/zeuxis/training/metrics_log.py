"""Figures of a training while it runs: a progress bar on a terminal and plain lines elsewhere, one
JSON line per report in the run folder, and a tracking service."""

from __future__ import annotations

import contextlib
import errno
import importlib
import time
from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import Any, Literal, Protocol, runtime_checkable

from rich.progress import Progress

from ..checkpoints.run_folder import Run
from ..errors import MissingExtra, UsageError
from ..progress import bar, clock, console

Track = Literal["", "tensorboard", "wandb", "trackio"]
HIDDEN = {"images/s", "steps/s", "seconds", "step", "lr", "memory"}
"""Figures that are written and not printed beside the losses."""


@runtime_checkable
class Tracker(Protocol):
    """Takes figures at a time counted in images or steps."""

    def __call__(self, figures: dict[str, float], done: int) -> None: ...


def tracker(name: Track, run: Run, config: dict[str, Any]) -> Tracker | None:
    """A function that sends figures to a tracking service; None without a name.

    Arguments:
        name: The service.
        run: The run folder: the name of the run, and the place of the service's files.
        config: Settings that the service shows.

    Raises:
        MissingExtra: The service's package is not installed.
        UsageError: There is no such service.
    """
    if not name:
        return None
    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(run.subfolder("tensorboard"))

            def to_tensorboard(figures: dict[str, float], done: int) -> None:
                for key, value in figures.items():
                    writer.add_scalar(key, value, done)
                writer.flush()

            return to_tensorboard
        if name in ("wandb", "trackio"):
            service = importlib.import_module(name)
            where = {"dir": str(run.subfolder("wandb").parent)} if name == "wandb" else {}
            service.init(project="zeuxis", name=run.folder.name, config=config, **where)
            return lambda figures, done: service.log({**figures, "images": done})
    except ImportError as error:
        raise MissingExtra(name, "track", f"Tracking with {name}") from error
    raise UsageError(f"There is no tracker '{name}': choose tensorboard, wandb or trackio.")


class MetricsLog:
    """Shows progress and writes figures.

    Arguments:
        run: Where metrics.jsonl is, or None to write nothing.
        total: Length of the whole training, in `unit`.
        quiet: Whether to print nothing (processes other than the main one).
        tracked: A tracking service.
        unit: What time is counted in: "images", or "steps" of an environment.

    Attributes:
        unread: Whether the reader of the output has gone: a closed terminal or pipe.
    """

    def __init__(
        self,
        run: Run | None,
        total: int,
        quiet: bool,
        tracked: Tracker | None = None,
        unit: str = "images",
    ) -> None:
        self.run, self.total, self.quiet, self.tracked, self.unit = run, total, quiet, tracked, unit
        self.shown: Progress | None = None
        self.unread = False
        self.at, self.done = time.monotonic(), 0
        self.paces: deque[float] = deque(maxlen=9)  # seconds per image or step in the last reports

    @contextlib.contextmanager
    def open(self, done: int) -> Iterator[MetricsLog]:
        """Shows the bar while the training continues from `done`."""
        self.at, self.done = time.monotonic(), done
        self.paces.clear()
        if self.quiet or not console.is_terminal:
            yield self
            return
        with bar(self.unit, "{task.fields[note]}") as self.shown:
            self.task = self.shown.add_task("training", total=self.total, completed=done, note="")
            yield self
        self.shown = None

    def advance(self, done: int) -> None:
        """Moves the bar."""
        if self.shown is not None:
            self.shown.update(self.task, completed=min(done, self.total))

    def figures(self, figures: dict[str, float], done: int) -> None:
        """One report: to the file, the tracker and the reader."""
        if self.run is not None:
            self.run.log({self.unit: done, **figures})
        if self.tracked is not None:
            self.tracked(figures, done)
        if not self.quiet:
            with self.printing():
                self.line(figures, done)

    @contextlib.contextmanager
    def printing(self) -> Iterator[None]:
        """Continues without output once the terminal or pipe is closed, so that no work is lost."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.quiet = self.unread = True

    def line(self, figures: dict[str, float], done: int) -> None:
        """Prints one report, with the time left."""
        note = "  ".join(
            f"{name} {value:.4g}" for name, value in figures.items() if name not in HIDDEN
        )
        speed = figures.get(f"{self.unit}/s")
        if self.shown is not None:
            note = f"{speed or 0:,.0f}/s  {note}"
            self.shown.update(self.task, completed=min(done, self.total), note=note)
            return
        if done > self.done:
            now = time.monotonic()
            self.paces.append((now - self.at) / (done - self.done))
            self.at, self.done = now, done
        left = ""
        if self.paces:  # by the median, since a machine may sleep between two reports
            left = f"  {clock(max(0.0, (self.total - done) * median(self.paces)))} left"
        rate = "" if speed is None else f"{speed:,.0f}/s  "
        print(f"{done:>12,} of {self.total:,} {self.unit}  {rate}{note}{left}", flush=True)

    def say(self, sentence: str) -> None:
        """Prints a sentence on a line by itself."""
        if not self.quiet:
            with self.printing():
                console.print(sentence, markup=False, soft_wrap=True)
