"""What surrounds every training loop: stop signals, the clock, reports, and when to save.

A session counts in images (models of data) or in environment steps (policies). The loop that uses
it holds the algorithm only:

```python
with session.open(done, seconds):
    while session.goes_on():
        done = ...  # one step
        session.advance(done)
        if session.crossed(config.log_every) or session.finished:
            session.report(figures | session.pace())
        if session.save_due():
            save(done, session.seconds)
```
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from ..checkpoints.run_folder import STATE, Run
from ..distributed import World, any_rank
from .interrupts import interrupts
from .metrics_log import MetricsLog, Track, tracker


@runtime_checkable
class SessionConfig(Protocol):
    """The settings of a training that its session reads."""

    @property
    def minutes(self) -> float:
        """Minutes after which the training ends; 0 sets no limit."""
        ...

    @property
    def save_minutes(self) -> float:
        """Minutes between saves."""
        ...

    @property
    def track(self) -> Track:
        """Tracking service."""
        ...


class Session:
    """One stretch of a training, from its start or its last save to its end or interruption.

    Arguments:
        config: The training's settings.
        total: Length of the whole training, in `unit`.
        run: Folder for figures; None writes nothing.
        unit: What the training is counted in: "images", or "steps" of an environment.
        world: This process among the others; only the main one writes and prints.
        device: Where the processes exchange their flags.
        quiet: Whether to print nothing.

    Attributes:
        done: Images or steps so far.
        stopped: Whether a signal, or a reader that has gone, ended the training early.

    Example:
        >>> from zeuxis.training.config import TrainingConfig
        >>> session = Session(TrainingConfig(), total=3, quiet=True)
        >>> with session.open():
        ...     while session.goes_on():
        ...         session.advance(session.done + 1)
        >>> session.done, session.finished, session.stopped
        (3, True, False)
    """

    def __init__(
        self,
        config: SessionConfig,
        total: int,
        run: Run | None = None,
        *,
        unit: Literal["images", "steps"] = "images",
        world: World | None = None,
        device: torch.device | str = "cpu",
        quiet: bool = False,
    ) -> None:
        world = world or World()
        self.config, self.total, self.unit = config, total, unit
        self.device = torch.device(device)
        self.writes = run is not None and world.is_main
        tracked = tracker(config.track, run, vars(config)) if run and self.writes else None
        self.log = MetricsLog(
            run if self.writes else None, total, quiet or not world.is_main, tracked, unit
        )
        self.stop = threading.Event()
        self.done = self.before = 0
        self.stopped = False
        self.began = self.saved_at = self.paced_at = time.monotonic()
        self.paced = 0

    @contextlib.contextmanager
    def open(self, done: int = 0, seconds: float = 0.0) -> Iterator[Session]:
        """Catches stop signals and shows progress during the training.

        Arguments:
            done: Images or steps before this session.
            seconds: Time spent on them.
        """
        self.done = self.before = self.paced = done
        self.saved_at = self.paced_at = time.monotonic()
        self.began = self.saved_at - seconds
        with interrupts() as self.stop, self.log.open(done):
            yield self

    @property
    def seconds(self) -> float:
        """Time of the whole training so far, earlier sessions included."""
        return time.monotonic() - self.began

    @property
    def finished(self) -> bool:
        """Whether the training has its full length."""
        return self.done >= self.total

    def goes_on(self) -> bool:
        """Whether to make another step; every process asks before each one.

        The answer is no at the full length, once a signal asked any process to stop, and when the
        minutes are over.
        """
        if self.finished:
            return False
        self.stopped = any_rank(self.stop.is_set() or self.log.unread, self.device)
        return not self.stopped and not self.out_of_time()

    def out_of_time(self) -> bool:
        """Whether the minutes are over: the training then ends as a finished one."""
        limit = 60 * self.config.minutes
        return limit > 0 and any_rank(self.seconds > limit, self.device)

    def advance(self, done: int) -> None:
        """Takes note of one more step."""
        self.before, self.done = self.done, done
        self.log.advance(done)

    def crossed(self, every: int) -> bool:
        """Whether the last step passed a multiple of `every`; 0 is never passed."""
        return every > 0 and self.before // every < self.done // every

    def pace(self) -> dict[str, float]:
        """Speed since the last call and seconds of the whole training, as figures of a report."""
        now = time.monotonic()
        speed = (self.done - self.paced) / max(1e-9, now - self.paced_at)
        self.paced, self.paced_at = self.done, now
        return {f"{self.unit}/s": speed, "seconds": now - self.began}

    def report(self, figures: dict[str, float]) -> None:
        """Writes figures to metrics.jsonl and the tracker, and prints them."""
        self.log.figures(figures, self.done)

    def say(self, sentence: str) -> None:
        """Prints a sentence."""
        self.log.say(sentence)

    def save_due(self) -> bool:
        """Whether it is time to save in between; starts the time to the next save.

        The end of a training saves anyway, after its last report.
        """
        now = time.monotonic()
        if not self.writes or self.finished or now - self.saved_at <= 60 * self.config.save_minutes:
            return False
        self.saved_at = now
        return True


def resume_or_rewind(run: Run, restore: Callable[[Run], int], is_main: bool = True) -> bool:
    """Resumes from a run's last save, and removes reports and frames that came after it.

    Arguments:
        run: The run folder.
        restore: Takes over the save; returns the images or steps that it holds.
        is_main: Whether this process writes.

    Returns:
        Whether there was a save.
    """
    saved = run.path(STATE).exists()
    done = restore(run) if saved else -1
    if is_main:
        run.rewind(done)
    return saved


def require_count(about: dict[str, Any], key: str) -> int:
    """A whole number of at least 0 among the values of a save.

    Raises:
        ValueError: It is something else.
    """
    value = about[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"{key} is {value!r:.40}")
    return value


def require_seconds(about: dict[str, Any]) -> float:
    """The seconds of training among the values of a save.

    Raises:
        ValueError: They are no duration.
    """
    value = float(about["seconds"])
    if not 0 <= value < 1e12:
        raise ValueError(f"seconds is {value}")
    return value
