"""The images of one person and their order, drawn from the study's seed and the person's number.

A block of n images has n / 2 real and n / 2 generated ones, 5 % obvious fakes and 5 % images that
come again, all in random order; an image comes again at least ten places later where the block is
long enough. Whether an image is real does not depend on its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .protocol import PRACTICE, StudyConfig, extra_trials

Kind = Literal["real", "generated", "check", "repeat"]
Phase = Literal["practice", "qualification", "main"]
GAP = 10  # places between an image and its repetition


@dataclass(frozen=True)
class Trial:
    """One image that one person sees.

    Arguments:
        phase: What it belongs to; only images of "main" count.
        block: Number of the block, from 0.
        kind: "real", "generated", an obvious fake ("check"), or an image that came before
            ("repeat").
        pool: The pool of the image, whose name tells the truth: it begins with "real" or not.
        number: Its number in the pool.
    """

    phase: Phase
    block: int
    kind: Kind
    pool: str
    number: int

    @property
    def truth(self) -> str:
        """ "real" or "generated"."""
        return "real" if self.pool.startswith("real") else "generated"


def plan(config: StudyConfig, sizes: Mapping[str, int], person: int) -> list[Trial]:
    """All trials of a person, in order.

    Arguments:
        config: The study.
        sizes: Images in each pool: real, generated and check, and for the parts before them
            real-practice, generated-practice, real-qualification, generated-qualification.
        person: The person's number, from 0.

    Example:
        >>> sizes = {"real": 60, "generated": 60, "check": 10}
        >>> trials = plan(StudyConfig(n=40, practice="none"), sizes, person=0)
        >>> [sum(t.kind == kind for t in trials) for kind in ("real", "generated", "repeat")]
        [20, 20, 2]
    """
    rng = np.random.default_rng([config.study_seed, person])
    trials: list[Trial] = []
    if sizes.get("generated-practice"):
        trials += before(rng, "practice", PRACTICE, sizes)
    if config.qualify and sizes.get("generated-qualification"):
        trials += before(rng, "qualification", config.qualify, sizes)
    halves = [n // 2 for n in config.blocks]
    real = rng.permutation(sizes["real"])[: sum(halves)]
    generated = rng.permutation(sizes["generated"])[: sum(halves)]
    checks = rng.permutation(sizes["check"])
    first, first_check = 0, 0
    for block, half in enumerate(halves):
        extra = extra_trials(2 * half)
        images = [
            *(Trial("main", block, "real", "real", int(i)) for i in real[first : first + half]),
            *(
                Trial("main", block, "generated", "generated", int(i))
                for i in generated[first : first + half]
            ),
            *(
                Trial("main", block, "check", "check", int(i))
                for i in checks[first_check : first_check + extra]
            ),
        ]
        trials += with_repeats([images[i] for i in rng.permutation(len(images))], extra, rng)
        first, first_check = first + half, first_check + extra
    return trials


def before(rng: np.random.Generator, phase: Phase, n: int, sizes: Mapping[str, int]) -> list[Trial]:
    """The trials of the practice or the qualification: half real, half generated, shuffled."""
    trials = []
    for truth in ("real", "generated"):
        pool = f"{truth}-{phase}"
        chosen = rng.permutation(sizes[pool])[: n // 2]
        kind: Kind = "real" if truth == "real" else "generated"
        trials += [Trial(phase, 0, kind, pool, int(i)) for i in chosen]
    return [trials[i] for i in rng.permutation(len(trials))]


def with_repeats(images: list[Trial], n: int, rng: np.random.Generator) -> list[Trial]:
    """The images with n of them, but no obvious fakes, shown again later."""
    gap = min(GAP, len(images) // 3)
    early = [i for i in range(len(images) - gap) if images[i].kind != "check"]
    again: dict[int, list[Trial]] = {}
    for i in sorted(rng.permutation(len(early))[:n]):
        source = images[early[i]]
        place = int(rng.integers(early[i] + gap, len(images)))
        repeat = Trial(source.phase, source.block, "repeat", source.pool, source.number)
        again.setdefault(place, []).append(repeat)
    trials = []
    for i, trial in enumerate(images):
        trials += [trial, *again.get(i, [])]
    return trials
