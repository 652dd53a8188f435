r"""How people are asked: the mode, the number of images, and the rules that exclude an answerer.

Four modes, whose scores do not compare:

- `untimed`: images one by one, no limit, no feedback; the share of real ones is stated
  (HYPE infinity).
- `feedback`: the same, and after each answer the truth (what Salimans et al. did between screens).
- `timed`: each image for a time t, then noise; t falls by 10 ms after a right answer and rises by
  30 ms after a wrong one. This weighted staircase converges where right answers are three times as
  frequent as wrong ones, 75 %: $30 (1 - p) = 10 p$.
- `grid`: screens of many images, on which one marks the generated ones; feedback after a screen.

Rules of exclusion are fixed when a study is made and kept in its file.

Sources: Salimans et al., "Improved Techniques for Training GANs", 2016, section 4; Zhou, Gordon et
al., "HYPE: A Benchmark for Human eYe Perceptual Evaluation of Generative Models", 2019; Kaernbach,
"Simple Adaptive Testing With the Weighted Up-Down Method", 1991.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from ...errors import UsageError
from ...ranges import BaseConfig, Count, Fraction, Range, Seed, SmallCount, SmallCountOrNone

Mode = Literal["untimed", "feedback", "timed", "grid"]
MODES: tuple[Mode, ...] = ("untimed", "feedback", "timed", "grid")
WITH_FEEDBACK = ("feedback", "timed", "grid")
PRACTICE = 10  # images
SCREEN = 20  # images on a screen of the grid
BLOCKS, BLOCK = 3, 150  # of the timed mode, and images in a block
START_MS, LEAST_MS, MOST_MS = 500, 100, 1000  # exposures
DOWN_MS, UP_MS = 10, 30
FRAME_MS = (7.5, 17.5)  # time of a frame with which exposures of 100 ms can be shown
MOST_LOST = 10  # images of the timed mode during which the window lost the focus
WAIT = Annotated[int, Range(0, 60_000)]


@dataclass(frozen=True)
class Rules(BaseConfig, flags="--"):
    """Which sessions are excluded from the score; both scores are reported."""

    missed: SmallCountOrNone = 1
    """Obvious fakes that may be called real; more exclude the person."""
    median_ms: WAIT = 300
    """Shortest median time of an answer (milliseconds)."""
    same_key: Annotated[int, Range(2, 10_000)] = 20
    """Equal answers in a row that exclude the person."""
    agreement: Fraction = 0.6
    """Least agreement between the answers to an image that is shown twice."""
    spread: Fraction = 0.02
    """Least standard deviation of the times of answers, as a share of their mean: people are
    irregular, programs are not."""
    qualified: Fraction = 0.65
    """Share of right answers, on real and on generated images, that passes the qualification."""


@dataclass(frozen=True)
class StudyConfig(BaseConfig, flags="--"):
    """What one study asks of each person."""

    mode: Mode = "untimed"
    """How the images are shown. It is part of the score's name."""
    n: SmallCount = 100
    """Images for each person, half of them generated; the timed mode has 3 blocks of 150."""
    pool: Count = 5_000
    """Generated images from which each person gets a random part."""
    practice: str = ""
    """Another model for ten images of practice; by default a shipped one, "none" for no practice.
    """
    qualify: SmallCountOrNone = 0
    """Images of a qualification, half of them from several models; 0 for none."""
    qualify_models: tuple[str, ...] = ()
    """Their models; by default the shipped ones of the same size but the judged one."""
    study_seed: Seed = 0
    """Fixes the pool, and who gets which images in which order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("n", self.n), ("qualify", self.qualify)):
            if value % 2:
                raise UsageError(
                    f"--{name} is {value}, and half of the images are generated: give an even "
                    "number."
                )
        if self.pool < self.images // 2:
            raise UsageError(
                f"--pool is {self.pool:,}, fewer than the {self.images // 2:,} generated images "
                "that each person sees: give more."
            )

    @property
    def images(self) -> int:
        """Images of one person that count.

        Example:
            >>> StudyConfig().images, StudyConfig("timed").images
            (100, 450)
        """
        return BLOCKS * BLOCK if self.mode == "timed" else self.n

    @property
    def blocks(self) -> tuple[int, ...]:
        """Images of each block."""
        return (BLOCK,) * BLOCKS if self.mode == "timed" else (self.n,)


def extra_trials(images: int) -> int:
    """Obvious fakes in a block of images, and repeated images: each 5 %.

    Example:
        >>> extra_trials(100), extra_trials(10)
        (5, 1)
    """
    return max(1, round(images / 20))


def next_exposure(right: Sequence[bool]) -> int:
    """The exposure that follows on these answers of a block (milliseconds).

    Example:
        >>> next_exposure([]), next_exposure([True, True, False])
        (500, 510)
    """
    t = START_MS
    for answer in right:
        t = min(MOST_MS, max(LEAST_MS, t - DOWN_MS if answer else t + UP_MS))
    return t


def exposures(right: Sequence[bool]) -> list[int]:
    """The exposure at which each answer of a block was given (milliseconds)."""
    times, t = [], START_MS
    for answer in right:
        times.append(t)
        t = min(MOST_MS, max(LEAST_MS, t - DOWN_MS if answer else t + UP_MS))
    return times


def modal_exposure(times: Sequence[int]) -> float:
    """The most frequent exposure of a block, the mean of several that are equally frequent.

    Raises:
        UsageError: There is none.

    Example:
        >>> modal_exposure([500, 490, 490, 480, 480])
        485.0
    """
    if not times:
        raise UsageError("A block without answers has no exposure: let people answer first.")
    counts = {t: times.count(t) for t in set(times)}
    top = max(counts.values())
    best = [t for t, count in counts.items() if count == top]
    return sum(best) / len(best)
