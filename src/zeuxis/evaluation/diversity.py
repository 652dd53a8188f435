r"""Diversity of samples: class histogram, modes of stacked digits, and the birthday test.

- **Class histogram**: with the shares q of classes among samples and p among real images, the
  entropy $-\sum q \log q$ (at most log of the number of classes) and $\mathrm{KL}(q \,\|\, p)$.
- **Stacked digits** (`data.stacked`): three digits as red, green and blue have 1,000 modes. A
  classifier of digits names the mode of a sample; counted are the modes that any sample hits, and
  $\mathrm{KL}(q \,\|\, u)$ to the uniform distribution. Even real images miss modes when there are
  few of them: `expected_modes` says how many n of them hit.
- **Birthday test**: if a batch of s samples holds two near-duplicates half of the time, the samples
  come from about $s^2$ different images. A pair is a near-duplicate if it is closer than all but a
  small share of pairs of real images; real images calibrate it, as the test must not find their
  support to be small.

Sources: Srivastava et al., "VEEGAN", 2017, and Lin et al., "PacGAN", 2018 (26,000 samples of
stacked digits); Arora and Zhang, "Do GANs Actually Learn the Distribution?", 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import UsageError
from .metrics import near_zero, squared_distances


@dataclass(frozen=True)
class ClassHistogram:
    """Shares of classes.

    Arguments:
        shares: Of the samples, (classes,).
        entropy: In nats.
        most: The entropy of even shares.
        kl: KL divergence of the samples' shares from the real ones, in nats.
    """

    shares: tuple[float, ...]
    entropy: float
    most: float
    kl: float


def class_histogram(fake: Int[Tensor, "n"], real: Int[Tensor, "m"], classes: int) -> ClassHistogram:
    """Shares of classes among samples, against those among real images.

    Every class counts one real image more than there are, so that the divergence is finite.

    Example:
        >>> even = class_histogram(torch.arange(100) % 4, torch.arange(100) % 4, 4)
        >>> round(even.entropy, 4) == round(math.log(4), 4), round(even.kl, 6)
        (True, 0.0)
    """
    q = shares_of(fake, classes)
    p = (torch.bincount(real, minlength=classes) + 1).double()
    p /= p.sum()
    return ClassHistogram(
        tuple(q.tolist()),
        -torch.xlogy(q, q).sum().item(),
        math.log(classes),
        torch.xlogy(q, q / p).sum().item(),
    )


def shares_of(y: Int[Tensor, "n"], classes: int) -> Float[Tensor, "classes"]:
    """Share of each class.

    Raises:
        UsageError: There are no classes to count.
    """
    if not len(y):
        raise UsageError("Shares of classes need at least one sample, got none.")
    return torch.bincount(y, minlength=classes).double() / len(y)


@dataclass(frozen=True)
class StackedModes:
    """Modes of stacked digits.

    Arguments:
        hit: Modes with at least one sample.
        modes: Modes there are.
        expected: Modes that as many real images hit on average.
        kl: KL divergence of the shares from uniform, in nats.
        samples: Samples counted.
    """

    hit: int
    modes: int
    expected: float
    kl: float
    samples: int


def stacked_modes(digits: Int[Tensor, "n 3"], classes: int = 10) -> StackedModes:
    """Modes that samples hit, from the classes of their three channels.

    Example:
        >>> digits = torch.cartesian_prod(*[torch.arange(10)] * 3)
        >>> found = stacked_modes(digits)
        >>> found.hit, found.modes, round(found.kl, 6)
        (1000, 1000, 0.0)
    """
    modes = classes**3
    mode = (digits * torch.tensor([classes**2, classes, 1])).sum(1)
    q = shares_of(mode, modes)
    kl = torch.xlogy(q, q * modes).sum().item()
    return StackedModes(int((q > 0).sum()), modes, expected_modes(modes, len(mode)), kl, len(mode))


def expected_modes(modes: int, n: int) -> float:
    """Modes that n samples of the uniform distribution hit on average.

    Example:
        >>> round(expected_modes(1000, 1000), 1), round(expected_modes(1000, 26_000), 6)
        (632.3, 1000.0)
    """
    return modes * (1 - (1 - 1 / modes) ** n)


@dataclass(frozen=True)
class Birthday:
    """The birthday test.

    Arguments:
        batch: The smallest batch that holds a near-duplicate in half of the draws; NaN if even all
            samples together hold none.
        support: Its square: about how many different images there are. For NaN, the square of the
            number of samples is a lower bound, in `at_least`.
        at_least: The square of the largest batch without a near-duplicate.
        distance: Distance below which a pair is a near-duplicate.
    """

    batch: float
    support: float
    at_least: float
    distance: float


def duplicate_distance(real: Float[Tensor, "n d"], share: float = 1e-6, block: int = 1000) -> float:
    """The distance below which lies a given share of all pairs of real images.

    Real images of independent people or digits are no duplicates of one another: the share must be
    so small that n of them hardly hold such a pair.

    Example:
        >>> line = torch.arange(1000.0)[:, None]
        >>> round(duplicate_distance(line, 0.001), 3)  # between neighbors
        1.0
    """
    (x,) = near_zero(real)
    pairs = len(x) * (len(x) - 1) // 2
    keep = max(1, round(share * pairs))
    least = torch.empty(0, dtype=x.dtype)
    for start in range(0, len(x), block):
        distances = squared_distances(x[start : start + block], x[start:])
        upper = torch.triu(torch.ones_like(distances), 1).bool()
        found = distances[upper]
        least = torch.cat([least, found.topk(min(keep, len(found)), largest=False).values])
        least = least.topk(min(keep, len(least)), largest=False).values
    return least.max().sqrt().item()


def birthday(
    features: Float[Tensor, "n d"], distance: float, draws: int = 200, seed: int = 0
) -> Birthday:
    """The batch in which half of the draws hold a pair closer than `distance`.

    Arguments:
        features: Features of samples, or the samples themselves as vectors.
        distance: As `duplicate_distance` gives it.
        draws: Orders in which the samples are drawn; in each, the batch ends at the first pair.
        seed: Fixes the orders.

    Raises:
        UsageError: There are fewer than two samples.

    Example:
        >>> x = torch.randint(100, (2000, 1), generator=torch.Generator().manual_seed(0)).float()
        >>> 50 < birthday(x, 0.5).support < 300  # 100 different values
        True
    """
    if len(features) < 2:
        raise UsageError(f"A birthday test needs at least 2 samples, got {len(features)}.")
    pairs = close_pairs(features, distance)
    n = len(features)
    if not len(pairs):
        return Birthday(math.nan, math.nan, float(n) ** 2, distance)
    generator, firsts = torch.Generator().manual_seed(seed), []
    for _ in range(draws):
        place = torch.randperm(n, generator=generator)  # when each sample is drawn
        firsts.append(int(place[pairs].amax(1).min()) + 1)
    batch = float(torch.tensor(firsts).double().median())
    return Birthday(batch, batch**2, float(min(firsts) - 1) ** 2, distance)


def close_pairs(features: Float[Tensor, "n d"], distance: float, block: int = 1000) -> Tensor:
    """Positions of all pairs closer than a distance, (pairs, 2)."""
    (x,) = near_zero(features)
    found = []
    for start in range(0, len(x), block):
        close = squared_distances(x[start : start + block], x[start:]) <= distance**2
        found.append(torch.triu(close, 1).nonzero() + start)
    return torch.cat(found)
