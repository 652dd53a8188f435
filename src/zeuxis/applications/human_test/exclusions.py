"""Which sessions are excluded, by the rules that were fixed when the study was made."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .protocol import Rules


@dataclass(frozen=True)
class Answered:
    """One answered trial, as it stands in the file.

    Arguments:
        phase: "practice", "qualification" or "main".
        block: Number of the block.
        kind: "real", "generated", "check" or "repeat".
        truth: "real" or "generated".
        said: "real", "generated" or "lost".
        rt_ms: Time of the answer (milliseconds).
        image: Pool and number of the image.
        exposure_ms: The exposure, in the timed mode.
    """

    phase: str
    block: int
    kind: str
    truth: str
    said: str
    rt_ms: float
    image: tuple[str, int]
    exposure_ms: int | None = None

    @property
    def right(self) -> bool:
        return self.said == self.truth

    @property
    def counts(self) -> bool:
        """Whether the answer is part of the score."""
        judged = self.kind in ("real", "generated") and self.said != "lost"
        return self.phase == "main" and judged


def reasons(answers: Sequence[Answered], rules: Rules, all_answered: bool = True) -> list[str]:
    """Why a session is excluded; an empty list if it is not.

    Arguments:
        answers: Of one person, in order.
        rules: The study's.
        all_answered: Whether the person answered every image.

    Example:
        >>> image = Answered("main", 0, "real", "real", "real", 100.0, ("real", 1))
        >>> reasons([image] * 3, Rules())
        ['median time of 100 ms', 'times as regular as a program']
    """
    main = [a for a in answers if a.phase == "main" and a.said != "lost"]
    found = [] if all_answered else ["not finished"]
    if not main:
        return found or ["no answers"]
    missed = sum(not a.right for a in main if a.kind == "check")
    if missed > rules.missed:
        found.append(f"{missed} obvious fakes missed")
    times = [a.rt_ms for a in main]
    if (median := statistics.median(times)) < rules.median_ms:
        found.append(f"median time of {median:.0f} ms")
    longest = max(len(list(run)) for _, run in itertools.groupby(a.said for a in main))
    if longest >= rules.same_key:
        found.append(f"the same answer {longest} times running")
    said = {a.image: a.said for a in main if a.kind != "repeat"}
    pairs = [said[a.image] == a.said for a in main if a.kind == "repeat" and a.image in said]
    if pairs and sum(pairs) / len(pairs) < rules.agreement:
        found.append(f"{sum(pairs)} of {len(pairs)} repeated images answered alike")
    mean = statistics.fmean(times)
    if mean and len(set(times)) > 1 and statistics.pstdev(times) / mean >= rules.spread:
        return found
    return [*found, "times as regular as a program"]


def qualified(answers: Sequence[Answered], rules: Rules) -> bool | None:
    """Whether a person passed the qualification; None if there was none."""
    asked = [a for a in answers if a.phase == "qualification"]
    if not asked:
        return None
    for truth in ("real", "generated"):
        right = [a.right for a in asked if a.truth == truth]
        if not right or sum(right) / len(right) < rules.qualified:
            return False
    return True
