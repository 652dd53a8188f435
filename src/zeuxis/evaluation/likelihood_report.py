"""What an evaluation of likelihoods found: figures with their errors, and the protocol beside them.

A figure without its protocol cannot be compared: binarization, the split, the images left out and
the number of latents all change it. So the record and the printed table carry both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from rich.table import Column, Table
from torch import Tensor

from .images import phrase

ACTIVE = 0.01  # variance over images above which a latent unit is active
PROTOCOL = (
    *("model", "weights", "data", "split", "images", "total", "excluded", "size"),
    *("binarization", "binarization_seed", "seed", "exact", "k"),
)


@dataclass(frozen=True)
class Figure:
    """Mean over images and its standard error, in nats per image."""

    mean: float
    error: float


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihoods or bounds, and their protocol.

    Arguments:
        model: Name of the model.
        weights: Which of its weights, or "" if the caller did not say.
        data: Name of the data set.
        split: The part of it, or "".
        images: Images evaluated.
        total: Images in that part.
        size: Dimensions of an image.
        binarization: "dynamic", "static", or "none" for unchanged pixels.
        binarization_seed: The seed of the binarization, None where the pixels are unchanged.
        seed: Fixes the choice of images and the random latents.
        exact: Whether `nats` is the log-likelihood itself; otherwise it is the ELBO, or another
            lower bound of a model without rate and distortion.
        nats: Log-likelihood or ELBO.
        distortion: -log p(x|z), for a model with latents.
        rate: KL(q(z|x) || p(z)), for a model with latents.
        k: Latents per image for `weighted`; 0 without.
        weighted: The importance-weighted bound.
        effective: Median over images of the effective sample size of k latents.
        active: Number of active latent units.
        units: Number of latent units.
        excluded: Images of that part left out because their pixels are not the originals'.
        rates: Mean rate of each group of latents, as the steps of DRAW are; empty for one group.
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
    rates: tuple[float, ...] = ()

    def bits(self, nats: float) -> float:
        """Nats per image as bits per dimension."""
        return nats / (self.size * math.log(2))

    def kind(self) -> str:
        """What `nats` is."""
        if self.exact:
            return "log p(x), exact"
        return "lower bound" if self.rate is None else "ELBO"

    def rows(self) -> dict[str, tuple[Figure, float]]:
        """Each figure by name, and the sign of its bits: a code length is minus a
        log-likelihood."""
        rows = {self.kind(): (self.nats, -1.0)}
        if self.weighted is not None:
            rows[f"IWAE-{self.k}"] = (self.weighted, -1.0)
        if self.distortion is not None and self.rate is not None:
            rows |= {"distortion": (self.distortion, 1.0), "rate": (self.rate, 1.0)}
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        figures: dict[str, Any] = {
            name: {
                "nats": figure.mean,
                "standard error": figure.error,
                "bits/dim": self.bits(sign * figure.mean),
            }
            for name, (figure, sign) in self.rows().items()
        }
        optional = {
            "effective sample size, median": self.effective,
            "active units": self.active,
            "units": self.units,
        }
        figures |= {key: value for key, value in optional.items() if value is not None}
        if self.rates:
            figures["rate of each group"] = list(self.rates)
        return figures | {"protocol": {key: getattr(self, key) for key in PROTOCOL}}

    def table(self) -> Table:
        """The figures, with their protocol as title and caption."""
        images = f"{self.images:,} of {self.total:,} {phrase(self.split)}"
        columns = ("nats per image", "standard error", "bits/dim")
        table = Table(
            Column("", no_wrap=True),
            *(Column(name, justify="right") for name in columns),
            title=f"{self.data}: {images} of {self.size:,} dimensions, seed {self.seed}",
            title_justify="left",
            caption=" ".join(self.notes()),
            caption_justify="left",
        )
        for name, (figure, sign) in self.rows().items():
            bits = self.bits(sign * figure.mean)
            table.add_row(name, f"{figure.mean:.3f}", f"{figure.error:.3f}", f"{bits:.4f}")
        return table

    def notes(self) -> list[str]:
        """The protocol, sentence by sentence, and warnings."""
        pixels = {
            "dynamic": f"Pixels sampled as 0 or 1 (dynamic binarization, seed "
            f"{self.binarization_seed}).",
            "static": "Pixels sampled once as 0 or 1 (static binarization; zeuxis's own sample, "
            "not the files of Larochelle).",
            "none": "Pixels unchanged.",
        }
        notes = [pixels[self.binarization]]
        if self.excluded:
            notes.append(f"Left out: {self.excluded:,} images whose pixels are not the originals'.")
        if self.weights:
            notes.append(f"Weights: {self.weights}.")
        if self.kind() == "ELBO":
            notes.append("ELBO: a lower bound, by one latent per image.")
        elif not self.exact:
            notes.append("Lower bound: an unbiased estimate of it by random numbers per image.")
        if self.weighted is not None:
            notes.append(
                f"IWAE-{self.k}: a tighter bound, by {self.k:,} latents per image; compare it only "
                "with bounds by the same number."
            )
        if self.effective is not None:
            notes.append(f"Effective sample size: median {self.effective:.1f}.")
            if self.effective < 2 <= self.k:
                notes.append(
                    "Warning: below 2 a single latent dominates; the bound is loose and its "
                    "variance high, take more latents (--k)."
                )
        if self.active is not None:
            notes.append(
                f"Active units: {self.active} of {self.units} (variance of the posterior mean "
                f"above {ACTIVE})."
            )
        return notes


def figure(values: Float[Tensor, " n"]) -> Figure:
    """Mean and standard error of values of independent images.

    Example:
        >>> import torch
        >>> figure(torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0]))
        Figure(mean=5.0, error=1.414...)
    """
    return Figure(values.mean().item(), values.std().item() / math.sqrt(len(values)))
