r"""Restoration with an autoregressive model: particles that go through the image value by value.

The posterior $p(x | y) \propto p(x)\, g(y; x)$ of a model $p(x) = \prod_i p(x_i | x_{<i})$ is
sampled in the model's order. Each particle is an image so far; a value is drawn from

$$ q(x_i) \propto p(x_i | x_{<i})\, \frac{\psi_i(x_{\le i})}{\psi_{i-1}(x_{<i})} , $$

and the particle's weight is multiplied by the sum of the right side over the levels. $\psi$ says
what the values so far have to do with y: after the last one it is g. Where the weights of an image
become uneven (fewer effective particles than half) its particles are resampled in proportion to
them. With many particles this is exact (sequential Monte Carlo).

- **Inpainting**: a visible value is set, and the weight takes its probability. If all hidden values
  come last in the order, the weights stay equal and every particle is an exact, independent sample.
- **Denoising**: $\psi_i / \psi_{i-1} = N(y_i; x_i, \sigma^2)$.
- **Box averages**: $\psi$ of a block whose values so far sum to s, with m of them to come, is
  $N(f^2 y;\, s + m y,\, f^4 \tau^2 + m \kappa^2)$. This expects of each value to come the block's
  mean y, with variance $\kappa^2 = y (255 - y) / 2 + 25$; at m = 0 it is the likelihood, whose
  variance $\tau^2$ is $\sigma^2$ and that of rounding, 1/12.

**Correction.** Resampling leaves few distinct beginnings. `sweeps` of Metropolis and Hastings then
visit every hidden value: a new one is proposed from q given the values before it and the rest of
its block, and accepted with

$$ \min\Big( 1, \prod_{j > i} \frac{p(x_j | x'_{<j})}{p(x_j | x_{<j})} \Big) , $$

which one parallel pass gives. Images whose proposal is their present value need none.

**Binary models and gray images.** Such a model, say of digits, was trained on images whose pixels
are 255 with their brightness as probability. Seen gray pixels are read the same way: each sample
draws them again and has a separate filter, with its share of the particles. A block of binary
values has the mean of a gray one up to the variance $y (255 - y) / f^2$ of such a draw, which
$\tau^2$ includes. Samples are 0 or 255 where the image is restored; their mean is gray.

Sources: Doucet and Johansen, "A Tutorial on Particle Filtering and Smoothing", 2009; Hastings,
"Monte Carlo Sampling Methods Using Markov Chains", 1970.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...autoregressive.sampling import as_images, draw, in_order, to_pixels
from ...capabilities import CanAutoregress, Chosen, LogProb
from ...errors import UsageError
from .evidence import Evidence
from .operators import Images, Mask, Operator, to_bytes

ROWS = 1024  # particles at a time, over all images


def particle_filter(
    model: CanAutoregress,
    y: Images,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
    particles: int = 128,
    sweeps: int = 0,
) -> Float[Tensor, "n batch channels height width"]:
    """Samples of p(x | y) by a particle filter.

    Arguments:
        model: An autoregressive model of images.
        y: What `operator.forward` gave, in pixel units.
        operator: How y came about.
        sigma: Standard deviation of the noise; 0 for pixels that are exact up to rounding.
        n: Samples of each image; there are at least as many particles.
        generator: Source of randomness.
        particles: Particles of each image; samples of a binary model that sees gray pixels share
            them.
        sweeps: Sweeps of Metropolis and Hastings over the samples.

    Example:
        >>> from zeuxis.applications.restoration.operators import Identity
        >>> from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelCNN(PixelCNNConfig(channels=4, layers=1), Spec("tiny", (1, 5, 5))).eval()
        >>> seed = torch.Generator().manual_seed(0)
        >>> y = torch.full((2, 1, 5, 5), 128.0)
        >>> particle_filter(model, y, Identity(), 80.0, n=3, generator=seed).shape
        torch.Size([3, 2, 1, 5, 5])
    """
    if n < 1 or particles < 1 or sweeps < 0:
        raise UsageError(
            "Restoration needs at least one sample and one particle and no negative number of "
            f"sweeps, got n={n}, particles={particles}, sweeps={sweeps}."
        )
    if model.conditional:
        raise UsageError("Particles need a model without classes: give an unconditional one.")
    shape = model.spec.shape
    if isinstance(operator, Mask) and not sigma and model.levels == 2 and not binary(y):
        u = torch.rand((len(y) * n, *y.shape[1:]), generator=generator, dtype=torch.float64)
        drawn = (255 * u < repeated(y.cpu(), n)) * 255.0
        share = max(1, particles // n)
        x = particle_filter(
            model,
            drawn,
            spread(operator, n),
            0.0,
            n=1,
            generator=generator,
            particles=share,
            sweeps=sweeps,
        )
        return x[0].unflatten(0, (len(y), n)).transpose(0, 1)
    width = n if exact_suffix(y, operator, sigma) else max(n, particles)
    parts, size = [], max(1, ROWS // width)
    for first in range(0, len(y), size):
        own = slice(first, first + size)
        part, some = y[own], operator.part(own)
        evidence = Evidence(repeated(part, width), spread(some, width), sigma, shape, model.levels)
        v, log_w = run_particles(model, evidence, len(part), generator)
        v = v[survivors(log_w, n, generator)]
        if sweeps:
            evidence = Evidence(repeated(part, n), spread(some, n), sigma, shape, model.levels)
            for _ in range(sweeps):
                v = sweep(model, evidence, v, shape, generator)
        x = to_pixels(as_images(v, shape), model.levels).float()
        parts.append(x.unflatten(0, (len(part), n)).transpose(0, 1))
    return torch.cat(parts, 1) if parts else y.new_zeros(n, 0, *shape)


def repeated(y: Tensor, width: int) -> Tensor:
    """Each image `width` times in a row."""
    return y.repeat_interleave(width, 0)


def spread(operator: Operator, width: int) -> Operator:
    """The operator for images that are repeated."""
    if isinstance(operator, Mask) and operator.visible.ndim == 4:
        return Mask(repeated(operator.visible, width))
    return operator


def binary(y: Tensor) -> bool:
    """Whether all pixels are black or white."""
    return bool(((y == 0) | (y == 255)).all())


def exact_suffix(y: Tensor, operator: Operator, sigma: float) -> bool:
    """Whether hidden values come last: then no weight differs."""
    if not isinstance(operator, Mask) or sigma:
        return False
    seen = in_order(operator.visible.expand(y.shape).cpu())
    return not bool((seen[:, 1:] & ~seen[:, :-1]).any())


@torch.no_grad()
def run_particles(
    model: CanAutoregress, evidence: Evidence, images: int, generator: torch.Generator
) -> tuple[Int[Tensor, "rows size"], Float[Tensor, "images particles"]]:
    """Levels of all particles, those of an image one after another, and their log-weights."""
    rows, size = evidence.y.shape
    u = torch.rand(size, rows, generator=generator, dtype=torch.float64)
    v = torch.zeros(rows, size, dtype=torch.int64)
    log_w, sums = torch.zeros(images, rows // images, dtype=torch.float64), evidence.start()
    scan = model.autoregress(rows)
    log_p = next(scan)
    for i, left in enumerate(evidence.counts()):
        log_q = log_p.double().cpu()
        if (factor := evidence.factor(i, sums, left)) is not None:
            log_q = log_q + factor
            log_w = log_w + torch.logsumexp(log_q, 1).view_as(log_w)
        v[:, i] = draw(log_q, u[i])
        sums[:, evidence.block[i]] += evidence.pixels[v[:, i]]
        if i + 1 == size:
            break
        weak = effective(log_w) < 0.5 * log_w.shape[1]
        if factor is not None and weak.any():
            kept = torch.arange(rows).view_as(log_w)
            kept[weak] = resampled(log_w[weak], log_w.shape[1], generator) + kept[weak, :1]
            log_w[weak] = 0.0
            chosen = kept.flatten()
            log_p = scan.send(Chosen(v[:, i], chosen))
            v, sums = v[chosen], sums[chosen]
        else:
            log_p = scan.send(v[:, i])
    scan.close()
    return v, log_w


def effective(log_w: Float[Tensor, "images particles"]) -> Float[Tensor, "images"]:
    """Effective number of particles, 1 / sum of squared normalized weights."""
    return torch.exp(2 * torch.logsumexp(log_w, 1) - torch.logsumexp(2 * log_w, 1))


def resampled(
    log_w: Float[Tensor, "images particles"], n: int, generator: torch.Generator
) -> Int[Tensor, "images n"]:
    """Systematic resampling: n particles, each about as often as its weight says."""
    start = torch.rand(len(log_w), 1, generator=generator, dtype=torch.float64)
    u = (torch.arange(n) + start) / n
    cumulative = log_w.softmax(1).cumsum(1)
    return torch.searchsorted(cumulative, u).clamp(max=log_w.shape[1] - 1)


def survivors(log_w: Tensor, n: int, generator: torch.Generator) -> Int[Tensor, "rows"]:
    """Rows of n particles of each image, in proportion to their weights."""
    first = torch.arange(len(log_w))[:, None] * log_w.shape[1]
    return (resampled(log_w, n, generator) + first).flatten()


@torch.no_grad()
def sweep(
    model: CanAutoregress,
    evidence: Evidence,
    v: Int[Tensor, "rows size"],
    shape: tuple[int, ...],
    generator: torch.Generator,
) -> Int[Tensor, "rows size"]:
    """One visit of every value that y leaves open, each kept or replaced."""

    def conditionals(levels: Tensor) -> Tensor:
        pixels = to_pixels(as_images(levels, shape), model.levels)
        log_p = model.conditionals(pixels).double().cpu()
        return log_p.permute(0, 2, 3, 1, 4).flatten(1, 3)  # (rows, size, levels)

    v, log_p = v.clone(), conditionals(v)
    rows, size = v.shape
    u = torch.rand(size, 2, rows, generator=generator, dtype=torch.float64)
    for i in range(size):
        log_q, known = log_p[:, i], evidence.rest(i, v)
        new = draw(log_q if known is None else log_q + known, u[i, 0])
        moved = (new != v[:, i]).nonzero()[:, 0]
        if not len(moved):
            continue
        trial = v[moved]
        trial[:, i] = new[moved]
        other, later = conditionals(trial), trial[:, i + 1 :, None]
        gain = other[:, i + 1 :].gather(2, later) - log_p[moved, i + 1 :].gather(2, later)
        taken = u[i, 1, moved].log() < gain.sum((1, 2))
        v[moved[taken]], log_p[moved[taken]] = trial[taken], other[taken]
    return v


@runtime_checkable
class CompletesAnyMask(Protocol):
    """Draws hidden pixels given any others, and gives their means and log-probabilities."""

    def complete(
        self, x: Tensor, mask: Tensor, n: int = 1, *, generator: torch.Generator | None = None
    ) -> Tensor: ...

    def expected(self, x: Tensor, mask: Tensor) -> Tensor: ...

    def log_prob(self, x: Tensor, mask: Tensor | None = None) -> LogProb: ...


def completion(
    model: CompletesAnyMask,
    y: Images,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
) -> Float[Tensor, "n batch channels height width"]:
    """Samples of p(x | y) of a model that completes any mask without particles.

    Raises:
        UsageError: Pixels are not just hidden.
    """
    visible = mask_of(operator, sigma)
    return model.complete(to_bytes(y), visible, n, generator=generator).float().cpu()


def expectation(
    model: CompletesAnyMask, y: Images, operator: Operator, sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """The mean of p(x | y) by one pass of such a model.

    Raises:
        UsageError: Pixels are not just hidden.
    """
    return model.expected(to_bytes(y), mask_of(operator, sigma)).float().cpu()


def mask_of(operator: Operator, sigma: float) -> Tensor:
    """The visible pixels of an inpainting."""
    if not isinstance(operator, Mask) or sigma:
        raise UsageError(
            "Completion fills hidden pixels among exact ones, got "
            f"{type(operator).__name__} with noise of {sigma:g}: use Mask and sigma 0."
        )
    return operator.visible
