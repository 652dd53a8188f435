r"""How likely images are to a model, in nats an image and bits a dimension, with the protocol that
a likelihood is nothing without.

A model that draws number by number tells $\log p(x)$ exactly. A model with codes tells a bound. One
code drawn from $q(z|x)$ estimates the evidence lower bound, which is split in **distortion** and
**rate** (what the code costs beyond the prior):

$$ \log p(x) \ge -D - R, \qquad D = -\mathbb{E}_q \log p(x|z), \quad R = \mathrm{KL}(q(z|x) \,\|\, p(z)) . $$

K codes give the importance-weighted bound **IWAE-K**, which rises with K in the mean and tends to
$\log p(x)$:

$$ \mathbb{E} \log \frac1K \sum_k w_k, \qquad w_k = \frac{p(x, z_k)}{q(z_k|x)} . $$

How far to trust it is told by the **effective sample size** $(\sum_k w_k)^2 / \sum_k w_k^2$ of an
image: near 1, a single code decides. A unit of the code is **active** if the mean of its posterior
varies over images by more than 0.01. Of a flow's posterior the image of its Gaussian's center
stands for the mean.

Every figure is a mean over images, its standard error the deviation over images divided by the root
of their number.

**Draws.** The codes of an image are drawn 32 at a time from a generator that is a function of seed,
image and block. No figure depends on memory, on order or on which other images are judged, beyond
rounding; and the bound by 64 codes goes on from the bound by 32.

Sources: Kingma and Welling, 2013; Burda, Grosse and Salakhutdinov, "Importance Weighted
Autoencoders", 2016 (IWAE, active units); Alemi et al., "Fixing a Broken ELBO", 2018 (rate and
distortion).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from rich.table import Column, Table
from torch import Tensor

from ..capabilities import CanEncode, CanLogProb, HasELBO
from ..data.binarized import STATIC_SEEDS, binarized
from ..data.dataset import Dataset
from ..data.inexact import exact_positions
from ..errors import DivergenceError, UsageError
from ..model import Model, require
from ..progress import track
from .images import phrase
from .memory import bytes_of

BLOCK = 128  # codes drawn from one generator and worked off together
ACTIVE = 0.01  # variance over images above which a unit of the code is active
Binarize = Literal["auto", "dynamic", "static", "none"]


@dataclass(frozen=True)
class Figure:
    """Mean over images and its standard error, in nats an image."""

    mean: float
    error: float


@dataclass(frozen=True)
class Likelihood:
    """How likely images are to a model, and by which protocol.

    Arguments:
        model: The model's name.
        weights: Which of its weights, or "" if the caller did not say.
        data: The data set.
        split: The part of it, or "".
        images: Images judged.
        total: Images there are in that part.
        excluded: Images of that part that were left out since their pixels are not the originals'.
        size: Numbers in an image.
        binarization: "dynamic", "static", or "none" for pixels taken as they are.
        binarization_seed: The seed that their pixels were drawn with, None where they were not
            drawn here.
        seed: Fixes the choice of images and the codes drawn.
        exact: Whether `nats` is the log-likelihood itself; otherwise it is the bound by one code an
            image.
        nats: Log-likelihood or bound.
        distortion: -log p(x|z), where there are codes.
        rate: What codes cost beyond the prior.
        k: Codes an image for `weighted`; 0 without.
        weighted: The importance-weighted bound.
        effective: Median over images of the effective sample size of k codes.
        active: Units of the code whose posterior mean varies over images.
        units: Units of the code.
    """

    model: str
    weights: str
    data: str
    split: str
    images: int
    total: int
    size: int
    binarization: str
    binarization_seed: int | None
    seed: int
    exact: bool
    nats: Figure
    distortion: Figure | None = None
    rate: Figure | None = None
    k: int = 0
    weighted: Figure | None = None
    effective: float | None = None
    active: int | None = None
    units: int | None = None
    excluded: int = 0

    def bits(self, nats: float) -> float:
        """Nats an image as bits a dimension."""
        return nats / (self.size * math.log(2))

    def rows(self) -> dict[str, tuple[Figure, float]]:
        """Each figure by name, and the sign that makes bits of it: a code length is minus a
        log-likelihood."""
        found = {"log p(x), exact" if self.exact else "ELBO": (self.nats, -1.0)}
        if self.weighted is not None:
            found[f"IWAE-{self.k}"] = (self.weighted, -1.0)
        if self.distortion is not None and self.rate is not None:
            found |= {"distortion": (self.distortion, 1.0), "rate": (self.rate, 1.0)}
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        found: dict[str, Any] = {
            name: {
                "nats": figure.mean,
                "standard error": figure.error,
                "bits/dim": self.bits(sign * figure.mean),
            }
            for name, (figure, sign) in self.rows().items()
        }
        more = {
            "effective sample size, median": self.effective,
            "active units": self.active,
            "units": self.units,
        }
        found |= {key: value for key, value in more.items() if value is not None}
        about = (
            "model weights data split images total excluded size binarization "
            "binarization_seed seed exact k"
        )
        return found | {"protocol": {key: getattr(self, key) for key in about.split()}}

    def table(self) -> Table:
        """The figures, with their protocol as title and caption."""
        what = f"{self.images:,} of {self.total:,} {phrase(self.split)}"
        title = f"{self.data}: {what} of {self.size:,} numbers, seed {self.seed}"
        head = [
            Column("", no_wrap=True),
            *(
                Column(name, justify="right")
                for name in ("nats an image", "standard error", "bits/dim")
            ),
        ]
        table = Table(
            *head,
            title=title,
            title_justify="left",
            caption=" ".join(self.notes()),
            caption_justify="left",
        )
        for name, (figure, sign) in self.rows().items():
            table.add_row(
                name,
                f"{figure.mean:.3f}",
                f"{figure.error:.3f}",
                f"{self.bits(sign * figure.mean):.4f}",
            )
        return table

    def notes(self) -> list[str]:
        """The protocol, sentence by sentence, and what to beware of."""
        pixels = {
            "dynamic": (
                "Pixels drawn anew as 0 or 1 (dynamic binarization, seed "
                f"{self.binarization_seed})."
            ),
            "static": (
                "Pixels drawn once as 0 or 1 (static binarization; zeuxis's own "
                "draw, not the files of Larochelle)."
            ),
            "none": "Pixels as they are.",
        }
        found = [pixels[self.binarization]]
        if self.excluded:
            found.append(f"Left out: {self.excluded:,} images whose pixels are not the originals'.")
        if self.weights:
            found.append(f"Weights: {self.weights}.")
        if not self.exact:
            found.append("ELBO: a lower bound, by one code an image.")
        if self.weighted is not None:
            found.append(
                f"IWAE-{self.k}: a tighter one, by {self.k:,} codes an image; compare it "
                "with bounds by as many only."
            )
        if self.effective is not None:
            found.append(f"Effective sample size: median {self.effective:.1f}.")
            if self.effective < 2 <= self.k:
                found.append(
                    "Beware: below 2 a single code decides; the bound is loose and its "
                    "tail heavy, take more codes (--k)."
                )
        if self.active is not None:
            found.append(
                f"Active units: {self.active} of {self.units} (variance of the posterior "
                f"mean above {ACTIVE})."
            )
        return found


def likelihood(
    model: Model,
    data: Dataset,
    *,
    k: int = 128,
    n: int = 0,
    binarize: Binarize = "auto",
    seed: int = 0,
    split: str = "",
    weights: str = "",
    memory: float = 1000.0,
    exclude: list[int] | None = None,
) -> Likelihood:
    """Judges how likely images are to a model.

    Arguments:
        model: One that tells a bound (`bound` and `log_weights`) or log-likelihoods (`log_prob`);
            judged in eval mode.
        data: Images.
        k: Codes an image for the importance-weighted bound; 0 leaves it out. No matter for an exact
            likelihood.
        n: Images to judge, drawn by the seed; 0 for all. An image's figure does not depend on which
            others are judged.
        binarize: How gray images are made binary: "dynamic" draws them by the seed, "static" as
            `mnist-static` is drawn, "none" takes them as they are; "auto" is "dynamic" for binary
            models and "none" for others.
        seed: Fixes the choice of images, their dynamic binarization and the codes.
        split: Which part of the data set `data` is, to be printed, and for static binarization.
        weights: Which weights the model has, to be printed.
        memory: Megabytes that may be taken at a time beside the weights.
        exclude: Rows of `data.x` to leave out, beside those that the data themselves mark as
            inexact (`data.inexact`).

    Raises:
        UsageError: A number is out of range, the images do not fit the model, or the memory does
            not suffice.
        DivergenceError: A log-likelihood is not finite.

    Example:
        >>> import zeuxis
        >>> from zeuxis.vae.vae import VAE, VAEConfig
        >>> digits = zeuxis.load_data("mnist", split="test")
        >>> found = likelihood(VAE(VAEConfig(channels=(4, 4), hidden_dim=16, latent_dim=3), digits.spec), digits, n=20, k=50, split="test")
        >>> found.binarization, found.exact, found.weighted.mean > found.nats.mean
        ('dynamic', False, True)
    """
    bounded = isinstance(model, HasELBO)
    if not bounded:
        require(model, CanLogProb, "say how likely an image is")
    if k < 0 or n < 0 or n == 1 or seed < 0:
        raise UsageError(
            "Expected 0 or more codes, 0 or at least 2 images and a seed from 0 on; got "
            f"k = {k}, n = {n}, seed = {seed}."
        )
    if len(model.spec.shape) != 3:
        raise UsageError(
            f"The model '{model.name}' knows examples of shape {model.spec.shape}, and "
            "this judges images only."
        )
    if data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has examples of shape {data.spec.shape} and the model "
            f"knows images of {model.spec.shape}."
        )
    if len(data) < 2:
        raise UsageError(
            f"'{data.spec.name}' has {len(data)} images: a mean and its error need at least 2."
        )
    split = split or data.facts.split
    kind, drawn = protocol(model, data, binarize, seed, split)
    order = exact_positions(data, exclude)
    excluded = len(data) - len(order)
    if len(order) < 2:
        raise UsageError(
            f"All but {len(order)} of the {len(data):,} images are left out: a mean and "
            "its error need at least 2."
        )
    if 0 < n < len(order):
        order = order[
            torch.randperm(len(order), generator=torch.Generator().manual_seed(seed))[:n]
            .sort()
            .values
        ]
    training = model.training
    codes: list[Tensor] = []
    model.eval()
    model.to_channels_last()
    try:
        first = next(batches(data, order[:1], 1, drawn))[1]
        together = fitting(model, first, k if bounded else 0, memory)
        exact = not bounded and model.log_prob(first).exact  # type: ignore[operator]
        images = batches(data, order, together, drawn)
        with torch.no_grad():
            found = torch.stack(
                list(
                    track(judged(model, images, k, seed, codes), len(order), "likelihood of images")
                )
            )
    finally:
        model.train(training)
    if not (fine := found.isfinite().all(1)).all():
        row = int(order[(~fine).nonzero()[0, 0]])
        raise DivergenceError(
            f"The likelihood of image {row} of '{data.spec.name}' is no finite number: "
            "take earlier weights (--weights)."
        )
    if drawn is not None and all_binary(data, order):
        kind, drawn = "none", None
    columns = list(found.unbind(1))
    nats = -(columns[0] + columns[1]) if bounded else columns[0]
    spread = torch.cat(codes).double().var(0) if codes else None
    return Likelihood(
        model=model.name,
        weights=weights,
        data=data.spec.name,
        split=split,
        images=len(order),
        total=len(data),
        size=data.spec.size,
        binarization=kind,
        binarization_seed=drawn,
        seed=seed,
        exact=exact,
        nats=figure(nats),
        distortion=figure(columns[0]) if bounded else None,
        rate=figure(columns[1]) if bounded else None,
        k=k if bounded else 0,
        weighted=figure(columns[2]) if bounded and k else None,
        effective=columns[3].median().item() if bounded and k else None,
        active=None if spread is None else int((spread > ACTIVE).sum()),
        units=None if spread is None else len(spread),
        excluded=excluded,
    )


def figure(values: Float[Tensor, " n"]) -> Figure:
    """Mean and standard error of values of independent images.

    Example:
        >>> figure(torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0]))
        Figure(mean=5.0, error=1.414...)
    """
    return Figure(values.mean().item(), values.std().item() / math.sqrt(len(values)))


def protocol(
    model: Model, data: Dataset, binarize: Binarize, seed: int, split: str
) -> tuple[str, int | None]:
    """What the pixels will be, and the seed to draw them with, None if they are taken as they
    are."""
    before = data.facts.binarization
    if binarize == "none" or before != "none" or (binarize == "auto" and model.levels != 2):
        return before, None
    if model.levels != 2:
        raise UsageError(
            f"The model '{model.name}' tells the likelihood of {model.levels} levels: "
            f"leave out --binarize {binarize}."
        )
    return (
        (binarize, STATIC_SEEDS["train" if split in ("train", "trained on") else "test"])
        if binarize == "static"
        else ("dynamic", seed)
    )


def all_binary(data: Dataset, order: Tensor) -> bool:
    """Whether every pixel is 0 or 255 already, so that there was nothing to draw."""
    return all(((x == 0) | (x == 255)).all() for _, x in batches(data, order, 1000, None))


def batches(
    data: Dataset, order: Tensor, size: int, drawn: int | None
) -> Iterator[tuple[Tensor, UInt8[Tensor, "n c h w"]]]:
    """Rows and images, as they are or drawn as 0 and 255."""
    for index in order.split(size):
        x, rows = data.batch(index)[0], index if data.rows is None else data.rows[index].cpu()
        yield rows, x if drawn is None else binarized(x, rows, drawn)


def fitting(model: Any, x: UInt8[Tensor, "1 c h w"], k: int, memory: float) -> int:
    """How many images can be held at a time; refuses where not even one block of codes, or one
    image, fits."""
    source, codes = generator(0, 0, 0), max(min(k, BLOCK), 1)
    if isinstance(model, HasELBO):
        one = bytes_of(
            lambda: (
                model.log_weights(x, 1, generator=source) if k else model.elbo(x, generator=source)
            )
        )
    else:
        one = bytes_of(lambda: model.log_prob(x))
    needed, allowed = one * codes, memory * 1e6
    if needed > allowed:
        what = f"{codes} codes of an image take" if codes > 1 else "One image takes"
        raise UsageError(
            f"{what} up to {needed / 1e6:,.1f} MB and --memory allows {memory:g}: give "
            f"--memory {math.ceil(needed / 1e6)}."
        )
    return min(int(allowed // max(one, 1)), 100)


def judged(
    model: Any, images: Iterator[tuple[Tensor, Tensor]], k: int, seed: int, codes: list[Tensor]
) -> Iterator[Float[Tensor, " m"]]:
    """For each image its exact log-likelihood; or distortion, rate and, with k codes, the bound by
    them and their effective number.

    Arguments:
        model: The model.
        images: Rows and images.
        k: Codes an image.
        seed: Fixes them.
        codes: Is given the centers of posteriors, where the model encodes.
    """
    for rows, x in images:
        if not isinstance(model, HasELBO):
            yield from model.log_prob(x).nats.double().cpu()[:, None]
            continue
        if isinstance(model, CanEncode):
            codes.append(model.encode(x).flatten(1).cpu())
        for row, one in zip(rows.tolist(), x.split(1), strict=True):
            bound = model.elbo(one, generator=generator(seed, row, 0))
            split = torch.stack([bound.distortion[0], bound.rate[0].sum()]).double().cpu()
            yield torch.cat([split, importance(model, one, k, seed, row)]) if k else split


def importance(
    model: HasELBO, x: UInt8[Tensor, "1 c h w"], k: int, seed: int, row: int
) -> Float[Tensor, "2"]:
    """The importance-weighted bound of one image by k codes (nats), and their effective number.

    Weights are added up block by block, as logarithms in float64, so that k costs no memory.
    """
    total = squares = torch.tensor(-math.inf, dtype=torch.float64)
    for block, start in enumerate(range(0, k, BLOCK)):
        log_w = (
            model.log_weights(x, min(BLOCK, k - start), generator=generator(seed, row, block + 1))[
                0
            ]
            .double()
            .cpu()
        )
        total = torch.logaddexp(total, log_w.logsumexp(0))
        squares = torch.logaddexp(squares, (2 * log_w).logsumexp(0))
    return torch.stack([total - math.log(k), (2 * total - squares).exp()])


def generator(seed: int, row: int, block: int) -> torch.Generator:
    """The source of one block of codes of one image.

    PyTorch's generator takes 32 bits of a seed, in which the factors are odd: no two blocks of an
    image share one, nor do two images in the same block.
    """
    return torch.Generator().manual_seed(
        (seed * 0x9E3779B97F4A7C15 + row * 0xBF58476D1CE4E5B9 + block * 0x94D049BB133111EB) % 2**63
    )
