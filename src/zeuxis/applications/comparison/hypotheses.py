"""The article's sentences about three approaches as hypotheses, each with a verdict from intervals.

Source of the sentences: Karpathy et al., "Generative Models", OpenAI, June 2016. Hypothesis 2
scores sharpness by its absolute log ratio to real images, since more than real is as wrong as less;
the others follow the sentences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...evaluation.intervals import (
    Interval,
    difference_interval,
    mean_interval,
    spread_ratio_interval,
)
from ...evaluation.sharpness import error
from ...evaluation.stability import rises
from .results import Column, at
from .verdicts import Verdict, above, below, difference, enough, outcome, shown

BLURRY = "However, their generated samples tend to be slightly blurry."
SHARPEST = "GANs currently generate the sharpest images"
UNSTABLE = "but they are more difficult to optimize due to unstable training dynamics."
STABLE = "PixelRNNs have a very simple and stable training process (softmax loss)"
LIKELY = (
    "and currently give the best log likelihoods (that is, plausibility of the generated data)."
)
SLOW = "However, they are relatively inefficient during sampling"
CODELESS = "and don't easily provide simple low-dimensional codes for images."
INFERENCE = (
    "Variational Autoencoders allow us to perform both learning and efficient Bayesian inference"
)
SMALLER = (
    "the neural networks we use as generative models have a number of parameters significantly "
    "smaller than the amount of data we train them on"
)
COLLAPSE = "they can oscillate between solutions, or the generator has a tendency to collapse."
FAMILIES = ("GAN", "VAE", "autoregressive")


def by_family(columns: Sequence[Column], family: str) -> Column | None:
    """The first column of an approach."""
    return next((column for column in columns if column.family == family), None)


def hypotheses(columns: Sequence[Column]) -> list[Verdict]:
    """A verdict on each of H1 to H10."""
    gan, vae, ar = (by_family(columns, family) for family in FAMILIES)
    return [
        blurry(gan, vae),
        sharpest(gan, vae, ar),
        unstable(gan, vae, ar),
        stable(gan, vae, ar),
        likeliest(gan, vae, ar),
        slow(gan, vae, ar),
        codeless(gan, vae, ar),
        inference(vae),
        smaller(columns),
        collapse(gan, vae, ar),
    ]


def blurry(gan: Column | None, vae: Column | None) -> Verdict:
    """H1: a VAE's samples have less high-frequency energy than real images."""
    about = ("H1", BLURRY, "The spectral share of VAE samples above half the Nyquist frequency is "
             "below that of real images.")  # fmt: skip
    if vae is None:
        return Verdict(*about, "undecided", enough([None], 1))
    ratio = vae.over_images("sharpness.mean.spectrum")
    drawn, other = vae.over_images("sharpness.drawn.spectrum"), None
    if gan is not None:
        other = gan.over_images("sharpness.mean.spectrum")
    text = f"Ratio to real images: {shown(ratio)} for the mean images of the VAE"
    text += f", {shown(other)} for the GAN." if other else "."
    if drawn is not None:
        text += (
            f" Pixels drawn from its distribution instead of being its mean have {shown(drawn)}: "
            "noise, which counts as high frequency. The sentence means the mean."
        )
    return Verdict(*about, outcome([below(ratio, 1.0)]), text)


def sharpest(gan: Column | None, vae: Column | None, ar: Column | None) -> Verdict:
    """H2: the GAN is nearest to real sharpness, with the highest precision."""
    about = ("H2", SHARPEST, "Of the three, the GAN has the spectral share nearest to real images "
             "and the highest precision.")  # fmt: skip
    if why := enough([gan, vae, ar], 3):
        return Verdict(*about, "undecided", why)
    assert gan and vae and ar
    claims, parts = [], []
    for other in (vae, ar):
        nearer = between(sharpness_error(gan), sharpness_error(other))
        precision = difference(gan, other, "quality.precision")
        claims += [below(nearer, 0.0), above(precision, 0.0)]
        parts.append(
            f"GAN minus {other.title}: |log ratio| {shown(nearer)}, precision {shown(precision)}"
        )
    return Verdict(*about, outcome(claims), ". ".join(parts) + ".")


def sharpness_error(column: Column) -> list[float]:
    """Absolute log ratio of the spectral share to real images, of every run."""
    return [error(value) for value in column.values("sharpness.mean.spectrum.0")]


def between(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """The difference of the means of two groups, None where one is empty."""
    return difference_interval(a, b) if a and b else None


def logs(column: Column, path: str) -> list[float]:
    """Logarithms of a positive figure of every run."""
    return [math.log(value) for value in column.values(path) if value > 0]


def log_spread(a: Column, b: Column) -> Interval:
    """How many times the relative spread over seeds of one column is that of another."""
    return spread_ratio_interval(logs(a, "quality.frechet"), logs(b, "quality.frechet"))


def drawdowns(column: Column) -> list[float]:
    """The drawdown of every run."""
    found = [course.drawdown for course in column.time_courses()]
    return [value for value in found if math.isfinite(value)]


def unstable(gan: Column | None, vae: Column | None, ar: Column | None) -> Verdict:
    """H3: the GAN's score spreads more over seeds and over time."""
    about = ("H3", UNSTABLE, "The Fréchet distance of the GAN spreads more over seeds, and rises "
             "more after its best, than those of VAE and autoregressive model.")  # fmt: skip
    if why := enough([gan, vae, ar], 5):
        return Verdict(*about, "undecided", why)
    assert gan and vae and ar
    claims, parts = [], []
    for other in (vae, ar):
        ratio = log_spread(gan, other)
        fall = between(drawdowns(gan), drawdowns(other))
        claims += [above(ratio, 1.0), above(fall, 0.0)]
        parts.append(
            f"GAN against {other.title}: {shown(ratio)} times the relative spread, drawdown "
            f"{shown(fall)} larger"
        )
    failed = gan.spread()
    if failed is not None:
        parts.append(f"Failed GAN runs: {shown(failed.failed)}")
    return Verdict(*about, outcome(claims), ". ".join(parts) + ".")


def stable(gan: Column | None, vae: Column | None, ar: Column | None) -> Verdict:
    """H4: the autoregressive model has no failed run, a falling loss, and the least spread."""
    about = ("H4", STABLE, "No autoregressive run fails, its smoothed loss never rises, and its "
             "spread over seeds is the smallest.")  # fmt: skip
    if why := enough([gan, vae, ar], 5):
        return Verdict(*about, "undecided", why)
    assert gan and vae and ar
    spread = ar.spread()
    failures = None if spread is None else spread.failed.value == 0
    ups = [rise for run in ar.runs if (rise := loss_rises(run)) is not None]
    smaller_than = [below(log_spread(ar, other), 1.0) for other in (gan, vae)]
    text = (
        f"Failed runs: {'no figure' if spread is None else shown(spread.failed)}. Rises of the "
        f"smoothed loss: {sum(ups)} in {len(ups)} runs. Relative spread over that of the GAN: "
        f"{shown(log_spread(ar, gan))}, of the VAE: {shown(log_spread(ar, vae))}."
    )
    falling = None if not ups else sum(ups) == 0
    return Verdict(*about, outcome([failures, falling, *smaller_than]), text)


def loss_rises(run: Any) -> int | None:
    """Rises of the smoothed training loss of a run with one player; None without one."""
    losses = at(run, "training.losses")
    if not isinstance(losses, dict) or not losses:
        return None
    first = next(iter(losses.values()))
    return rises([value for value in first if value is not None])


def likeliest(gan: Column | None, vae: Column | None, ar: Column | None) -> Verdict:
    """H5: autoregressive above VAE above GAN, in nats on one binarization."""
    about = ("H5", LIKELY, "On the same binarized test images, log p(x) is highest for the "
             "autoregressive model, then the VAE, then the GAN.")  # fmt: skip
    nats = {c.title: c.nats("binary") for c in (ar, vae, gan) if c is not None}
    if ar is None or vae is None or not (nats[ar.title] and nats[vae.title]):
        return Verdict(*about, "undecided", "It needs likelihoods of binary pixels of both an "
                       "autoregressive model and a VAE.")  # fmt: skip
    likely, bounded = nats[ar.title], nats[vae.title]
    assert likely is not None and bounded is not None
    first = paired(likely, bounded)
    claims, parts = (
        [above(first, 0.0)],
        [f"Autoregressive ({likely[0]}) minus VAE ({bounded[0]}): {shown(first)} nats"],
    )
    bound = vae.first("annealed.binary.nats")
    if bound:
        own = (vae.first("likelihood.nats") or [])[: len(bound)]
        gain = mean_interval((np.array(bound[: len(own)]) - np.array(own)).tolist())
        gap = vae.first("annealed.binary.gap")
        parts.append(
            f"Annealing gives the VAE {shown(gain)} nats more than its bound on {len(own)} "
            f"images, where both bounds enclose simulated images to {gap or math.nan:.2g} nats"
        )
        claims.append(above(Interval(first.value - gain.value, first.low - gain.high,
                                     first.high - gain.low), 0.0))  # fmt: skip
    if gan is not None and (row := nats.get(gan.title)):
        second = paired(nats[vae.title], row)
        claims.append(above(second, 0.0))
        width = gan.first("annealed.binary.width")
        parts.append(
            f"VAE minus GAN (annealed, pixels drawn around its image with epsilon {width}): "
            f"{shown(second)} nats"
        )
    else:
        claims.append(None)
        parts.append("The GAN was not annealed")
    return Verdict(*about, outcome(claims), ". ".join(parts) + ".")


def paired(
    a: tuple[str, list[list[float]]] | None, b: tuple[str, list[list[float]]] | None
) -> Interval:
    """The difference of nats: over seeds where both have several, else over the same images."""
    assert a is not None and b is not None
    if min(len(a[1]), len(b[1])) > 1:
        means = [[float(np.mean(row)) for row in rows] for _, rows in (a, b)]
        return difference_interval(means[0], means[1])
    n = min(len(a[1][0]), len(b[1][0]))
    return mean_interval((np.array(a[1][0][:n]) - np.array(b[1][0][:n])).tolist())


def slow(gan: Column | None, vae: Column | None, ar: Column | None) -> Verdict:
    """H6: autoregressive samples take longer."""
    about = ("H6", SLOW, "An autoregressive image of a batch of 64 takes at least twice the time "
             "of one of the GAN and of the VAE.")  # fmt: skip
    if why := enough([gan, vae, ar], 1):
        return Verdict(*about, "undecided", why)
    assert gan and vae and ar
    claims: list[bool | None] = []
    parts = []
    for other in (gan, vae):
        own, theirs = logs(ar, "cost.seconds.64"), logs(other, "cost.seconds.64")
        found = between(own, theirs)
        if found is None:
            claims.append(None)
            continue
        ratio = Interval(*(math.exp(min(v, 700)) for v in (found.value, found.low, found.high)))
        single = min(len(own), len(theirs)) < 2
        claims.append(ratio.value > 2 if single else above(ratio, 2.0))
        parts.append(f"{shown(ratio)} times the {other.title}")
    text = "Time of a cached autoregressive image: " + ", ".join(parts) + "."
    naive, cached = ar.interval("cost.naive.64"), ar.interval("cost.seconds.64")
    if naive and cached:
        text += (
            f" Without a cache it would be {naive.value / cached.value:,.0f} times slower still. "
            f"It takes {ar.first('cost.passes'):,} passes one after the other."
        )
    return Verdict(*about, outcome(claims), text)


def codeless(gan: Column | None, vae: Column | None, ar: Column | None) -> Verdict:
    """H7: an autoregressive model has no code of an image."""
    about = ("H7", CODELESS, "The autoregressive model can neither encode nor decode, and another "
             "approach can.")  # fmt: skip
    if ar is None:
        return Verdict(*about, "undecided", enough([None], 1))
    able = {"encode", "decode"}
    claims: list[bool | None] = [not able & set(ar.capabilities)]
    others = [c for c in (gan, vae) if c is not None and able & set(c.capabilities)]
    claims.append(True if others else None)
    text = f"{ar.title} has {'a' if not claims[0] else 'no'} code."
    for other in others:
        length, source = other.first("codes.length"), other.first("codes.source")
        probe = other.interval("codes.accuracy.1.1")
        if length and probe:
            text += (
                f" A code of {length} numbers of the {other.title}, by {source}, gives the class "
                f"after 1,000 labels in {shown(probe)} of test images."
            )
    return Verdict(*about, outcome(claims), text)


def inference(vae: Column | None) -> Verdict:
    """H8: a VAE infers codes that are worth something."""
    about = ("H8", INFERENCE, "The VAE encodes images, and its code gives classes from 100 labels "
             "better than as many principal components.")  # fmt: skip
    if vae is None:
        return Verdict(*about, "undecided", enough([None], 1))
    claims: list[bool | None] = [{"encode", "elbo"} <= set(vae.capabilities)]
    pairs = [(at(r, "codes.accuracy.0.1"), at(r, "codes.baseline.0.1")) for r in vae.runs]
    better = [a - b for a, b in pairs if a is not None and b is not None]
    gain = mean_interval(better) if better else None
    claims.append(above(gain, 0.0))
    active, units = vae.first("likelihood.active"), vae.first("likelihood.units")
    text = f"Accuracy after 100 labels minus that of principal components: {shown(gain)}."
    if units:
        text += f" Active units: {active} of {units}."
    if wrong := vae.interval("codes.error"):
        text += f" Mean squared error of reconstructions: {shown(wrong)}."
    return Verdict(*about, outcome(claims), text)


def smaller(columns: Sequence[Column]) -> Verdict:
    """H9: the weights are far fewer than the data."""
    about = ("H9", SMALLER, "The bytes of a model's weights for sampling are less than half of the "
             "bytes of its training data.")  # fmt: skip
    claims: list[bool | None] = []
    parts = []
    for column in columns:
        weights, data = column.first("size.bytes"), column.first("size.data bytes")
        claims.append(None if not weights or not data else 2 * weights < data)
        if weights and data:
            count = column.first("size.sampling")
            parts.append(
                f"{column.title} {count:,} weights, 1/{data / weights:.3g} of the bytes of the data"
            )
    return Verdict(*about, outcome(claims), "; ".join(parts) + "." if parts else "No figures.")


def collapse(gan: Column | None, vae: Column | None, ar: Column | None) -> Verdict:
    """H10: the GAN covers less."""
    about = ("H10", COLLAPSE, "Recall and coverage of the GAN are below those of VAE and "
             "autoregressive model.")  # fmt: skip
    if why := enough([gan, vae, ar], 3):
        return Verdict(*about, "undecided", why)
    assert gan and vae and ar
    claims, parts = [], []
    for other in (vae, ar):
        for name in ("recall", "coverage"):
            found = difference(gan, other, f"quality.{name}")
            claims.append(below(found, 0.0))
            parts.append(f"{name} {shown(found)} against {other.title}")
    text = "GAN minus the other: " + ", ".join(parts) + "."
    if entropy := gan.interval("quality.histogram.entropy"):
        text += f" Entropy of its classes: {shown(entropy)} nats of "
        text += f"{gan.first('quality.histogram.most'):.3g}."
    return Verdict(*about, outcome(claims), text)
