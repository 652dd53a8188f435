"""What a training says while it runs: a bar on a terminal, plain lines elsewhere, one JSON line
each time, and a tracker."""

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


@runtime_checkable
class Tracker(Protocol):
    """Takes figures at a time counted in images (or steps)."""

    def __call__(self, figures: dict[str, float], images: int) -> None: ...


def tracker(name: Track, run: Run, config: dict[str, Any]) -> Tracker | None:
    """A function that passes figures on to TensorBoard, Weights & Biases or trackio; None for no
    tracker."""
    if not name:
        return None
    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(run.subfolder("tensorboard"))

            def to_tensorboard(figures: dict[str, float], images: int) -> None:
                for key, value in figures.items():
                    writer.add_scalar(key, value, images)
                writer.flush()

            return to_tensorboard
        if name in ("wandb", "trackio"):
            service = importlib.import_module(name)
            where = {"dir": str(run.subfolder("wandb").parent)} if name == "wandb" else {}
            service.init(project="zeuxis", name=run.folder.name, config=config, **where)
            return lambda figures, images: service.log({**figures, "images": images})
    except ImportError as error:
        raise MissingExtra(name, "track", f"Tracking with {name}") from error
    raise UsageError(f"There is no tracker '{name}': choose tensorboard, wandb or trackio.")


class Report:
    """Shows progress and writes figures.

    Arguments:
        run: Where metrics.jsonl is, or None to write nothing.
        total: Images of the whole training.
        quiet: Whether to print nothing (processes other than the first).
        also: A tracker.
        unit: What time is counted in: "images", or "steps" of an environment.
    """

    def __init__(
        self,
        run: Run | None,
        total: int,
        quiet: bool,
        also: Tracker | None = None,
        unit: str = "images",
    ) -> None:
        self.run, self.total, self.quiet, self.also, self.unit = run, total, quiet, also, unit
        self.shown: Progress | None = None
        self.unread = False  # whether nobody can read what is said any more
        self.at, self.images = time.monotonic(), 0
        self.paces: deque[float] = deque(maxlen=9)  # seconds an image took in the last reports

    @contextlib.contextmanager
    def open(self, images: int) -> Iterator[Report]:
        """Shows the bar while the training goes on from `images`."""
        self.at, self.images = time.monotonic(), images
        self.paces.clear()
        if self.quiet or not console.is_terminal:
            yield self
            return
        with bar(self.unit, "{task.fields[note]}") as self.shown:
            self.task = self.shown.add_task("training", total=self.total, completed=images, note="")
            yield self
        self.shown = None

    def advance(self, images: int) -> None:
        if self.shown is not None:
            self.shown.update(self.task, completed=min(images, self.total))

    def figures(self, figures: dict[str, float], images: int) -> None:
        """One report: to the file, the tracker and the reader."""
        if self.run is not None:
            self.run.log({self.unit: images, **figures})
        if self.also is not None:
            self.also(figures, images)
        if self.quiet:
            return
        with self.speaking():
            self.line(figures, images)

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """What is said inside may be lost: a closed terminal or pipe is no reason to lose the work
        as well."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.quiet = self.unread = True

    def line(self, figures: dict[str, float], images: int) -> None:
        """One report for the reader."""
        note = "  ".join(
            f"{name} {value:.4g}" for name, value in figures.items() if name not in HIDDEN
        )
        if self.shown is not None:
            self.shown.update(
                self.task,
                completed=min(images, self.total),
                note=f"{figures.get(f'{self.unit}/s', 0):,.0f}/s  {note}",
            )
            return
        if images > self.images:
            now = time.monotonic()
            self.paces.append((now - self.at) / (images - self.images))
            self.at, self.images = now, images
        # The median, so that a machine that slept between two reports does not make the rest look
        # long.
        left = (
            f"  {clock(max(0.0, (self.total - images) * median(self.paces)))} left"
            if self.paces
            else ""
        )
        rate = f"{figures[f'{self.unit}/s']:,.0f}/s  " if f"{self.unit}/s" in figures else ""
        print(f"{images:>12,} of {self.total:,} {self.unit}  {rate}{note}{left}", flush=True)

    def say(self, sentence: str) -> None:
        """A line of its own."""
        if not self.quiet:
            with self.speaking():
                console.print(sentence, markup=False, soft_wrap=True)


HIDDEN = {"images/s", "steps/s", "seconds", "step", "lr", "memory"}
