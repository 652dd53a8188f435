"""A report on how a model's latents follow the factors of rendered heads or faces."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from rich.table import Column, Table
from torch import Tensor

from ..data.dataset import Dataset
from ..data.face_groups import grouped
from ..data.faces import Heads, factors, made, render
from ..errors import UsageError
from .disentanglement import DCI, dci, mutual_information_gap, spearman
from .factor_latents import Latent, encoded, exchanged, latents_of, own_by_name, read
from .factor_metrics import (
    exchange_gain,
    leak,
    own_latents,
    ridge_read_out,
    sides,
    sweep_distance,
    within_groups,
)
from .images import phrase

SIZE = 50  # images of a group
OTHER = 2  # added to the seed of the measured images: neither training nor test images


@dataclass(frozen=True)
class FactorRow:
    """What was measured of one factor; see `factor_metrics`."""

    latent: str
    pooled: float
    within: float
    left: float
    right: float
    absolute: float
    leak: float
    read_out: float
    gain: float
    change: float


@dataclass(frozen=True)
class FactorReport:
    """Measures of a model's latents against known factors.

    Arguments:
        data: Name of the data set.
        split: The part of it.
        images: Number of images.
        groups: Groups of images in which one factor moves.
        exchanges: Images in which a latent was replaced.
        matched: Whether each factor's latent was chosen by correlations on other images, since the
            model does not name it.
        factors: The measures of each factor.
        gap: Mutual information gap over all latents.
        dci: Disentanglement, completeness and informativeness over all latents.
        invariance: Cosine distance of the other latents over a sweep, relative to that between
            faces; None where there are none.
        error: Mean squared error of reconstructions, where white is 1.
    """

    data: str
    split: str
    images: int
    groups: int
    exchanges: int
    matched: bool
    factors: dict[str, FactorRow]
    gap: float
    dci: DCI
    invariance: float | None
    error: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)

    def table(self) -> Table:
        """One row for each factor, with what holds for all in the caption."""
        chosen = "matched on other images" if self.matched else "named by the model"
        shown = {name: name for name in ("pooled", "within", "left", "right", "leak")}
        shown |= {"read_out": "rest", "gain": "gain", "change": "change"}
        moved = "-" if self.invariance is None else f"{self.invariance:.3f}"
        caption = (
            f"Each factor's latent is {chosen}. Within: {self.groups:,} groups in which one factor "
            "moves. Left, right: of values below and above 0. Leak: of another latent. Rest: "
            "read out from all other latents. Gain, change: of images and of what changes in them, "
            f"after {self.exchanges:,} exchanges. Mutual information gap {self.gap:.3f}; "
            f"disentanglement {self.dci.disentanglement:.3f}, completeness "
            f"{self.dci.completeness:.3f}; invariance {moved}; squared error of "
            f"reconstructions x 1000: {1e3 * self.error:.2f}."
        )
        table = Table(
            Column("factor", no_wrap=True),
            *(("latent",) if self.matched else ()),
            *(Column(name, no_wrap=True) for name in shown.values()),
            title=f"{self.data}: {self.images:,} {phrase(self.split)}",
            title_justify="left",
            padding=(0, 0, 0, 1),
            caption=caption,
            caption_justify="left",
        )
        for name, row in self.factors.items():
            numbers = [f"{getattr(row, key):.2f}" for key in shown]
            table.add_row(name, *((row.latent,) if self.matched else ()), *numbers)
        return table


def describe_factors(
    model: Any,
    data: Dataset,
    *,
    groups: int = 500,
    exchanges: int = 1_000,
    other: int = 5_000,
    steps: int = 200,
    seed: int = 0,
    split: str = "",
) -> FactorReport:
    """Compares all latents that a model reads from rendered images with the factors of these.

    Arguments:
        model: A model with a posterior, or with codes and gradients through `render`.
        data: Rendered heads or faces.
        groups: Groups of 50 images in which one factor moves.
        exchanges: Images in which a latent is replaced by that of another image.
        other: Other images on which latents are matched to factors, where the model does not name
            them.
        steps: Of the inversion of a model without encoder.
        seed: Fixes samples of the posterior, noise and halves of the data.
        split: The part of the data, to be printed.

    Example:
        >>> from zeuxis.data.faces import faces
        >>> from zeuxis.vae.dcign import DCIGN, DCIGNConfig
        >>> data = faces(40, seed=1, side=16)
        >>> config = DCIGNConfig(data.facts.factor_names, 4, (), "strided", (4,), 8, latent_dim=7)
        >>> model = DCIGN(config, data.spec).eval()
        >>> report = describe_factors(model, data, groups=10, exchanges=9)
        >>> list(report.factors), report.matched
        (['azimuth', 'elevation', 'lighting', 'width', 'smile'], False)
    """
    if not isinstance(data.x, Heads):
        raise UsageError(
            f"'{data.spec.name}' is not rendered, and its scenes are not known: give --data faces "
            "or --data heads."
        )
    if data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has images of shape {data.spec.shape} and the model expects "
            f"{model.spec.shape}."
        )
    names, known = data.facts.factor_names, factors(data).double()
    if groups < 2 * len(names) or not 2 <= exchanges <= len(data):
        raise UsageError(
            f"{groups} groups and {exchanges} exchanges of {len(data):,} images are too few or too "
            f"many: give at least {2 * len(names)} groups, and 2 to {len(data):,} exchanges."
        )
    generator = torch.Generator().manual_seed(seed)
    latents = latents_of(model)
    z = readings(model, data, generator)
    own = own_by_name(latents, names)
    matched = own is None
    chosen = match_latents(model, data, other, generator) if own is None else torch.tensor(own)
    table = spearman(z, known)
    rest = torch.ones(len(latents), dtype=torch.bool)
    rest[chosen] = False
    read_out = ridge_read_out(z[:, rest], known, seed=seed)
    within, invariance = measure_groups(model, data, groups, chosen, rest, generator)
    gains, changes, error = measure_exchanges(model, data, exchanges, chosen, steps, generator)
    leaks = leak(table, chosen)
    rows = {}
    for k, name in enumerate(names):
        left, right, absolute = sides(z[:, chosen[k]], known[:, k])
        rows[name] = FactorRow(
            latent=latents[chosen[k]].name,
            pooled=table[chosen[k], k].abs().item(),
            within=within[k],
            left=left,
            right=right,
            absolute=absolute,
            leak=leaks[k].item(),
            read_out=read_out[k].item(),
            gain=gains[k],
            change=changes[k],
        )
    return FactorReport(
        data=data.spec.name,
        split=split or data.facts.split,
        images=len(data),
        groups=groups,
        exchanges=exchanges,
        matched=matched,
        factors=rows,
        gap=mutual_information_gap(z, known),
        dci=dci(z, known, seed),
        invariance=invariance,
        error=error,
    )


def readings(
    model: Any, data: Dataset, generator: torch.Generator | None
) -> Float[Tensor, "n latents"]:
    """The latents of all images, sampled where there is a posterior."""
    index = torch.arange(len(data)).split(500)
    parts = [read(model, data.batch(part)[0], generator) for part in index]
    z = torch.cat(parts).double()
    if not z.isfinite().all():
        raise UsageError(
            f"The latents that the model reads from '{data.spec.name}' are not finite: its "
            "training diverged, take earlier weights."
        )
    return z


def match_latents(
    model: Any, data: Dataset, other: int, generator: torch.Generator
) -> Int[Tensor, "q"]:
    """A latent for each factor, by correlations on images that are not measured."""
    assert isinstance(data.x, Heads)
    name = "faces" if data.x.smiling else "heads"
    images = made(name, other, data.x.seed + OTHER, data.spec.shape[-1])
    table = spearman(readings(model, images, generator), factors(images).double())
    return own_latents(table.abs())


def measure_groups(
    model: Any,
    data: Dataset,
    groups: int,
    own: Int[Tensor, "q"],
    rest: Tensor,
    generator: torch.Generator,
) -> tuple[list[float], float | None]:
    """Within-group correlation of each factor's latent, and the invariance of the rest."""
    assert isinstance(data.x, Heads)
    names = data.facts.factor_names
    name = "faces" if data.x.smiling else "heads"
    images = made(name, groups * SIZE, data.x.seed, data.spec.shape[-1])
    images = grouped(images, names, SIZE, (*[1.0] * len(names), 0.0))
    assert images.y is not None
    kinds = images.y[::SIZE]
    z = readings(model, images, generator).unflatten(0, (-1, SIZE))
    known = factors(images).double().unflatten(0, (-1, SIZE))
    within = []
    for k, latent in enumerate(own):
        of_kind = kinds == k
        if not of_kind.any():
            raise UsageError(
                f"Of {groups} groups none moves the factor '{names[k]}': measure more groups."
            )
        within.append(within_groups(z[of_kind][..., latent], known[of_kind][..., k]))
    return within, sweep_distance(z[..., rest]) if rest.any() else None


def measure_exchanges(
    model: Any,
    data: Dataset,
    n: int,
    own: Int[Tensor, "q"],
    steps: int,
    generator: torch.Generator,
) -> tuple[list[float], list[float], float]:
    """Gain of each factor, that of what changes, and the mean squared error of reconstructions.

    Image i gets the latent of the image after it.
    """
    assert isinstance(data.x, Heads)
    latents: tuple[Latent, ...] = latents_of(model)
    x = data.batch_of(n)
    known, identity = data.x.scenes(rows_of(data, n))
    z = encoded(model, x, steps, generator)
    before, unchanged = x.double(), model.decode(z).cpu().double()
    error = (unchanged - before).square().mean().item() / 255**2
    values = read(model, x).roll(-1, 0)
    gains, changes = [], []
    for k, latent in enumerate(own):
        scene = known.clone()
        scene[:, k] = known.roll(-1, 0)[:, k]
        truth = render(scene, identity, x.shape[-1]).double()
        predicted = exchanged(model, z, latents[latent], values[:, latent]).double()
        gains.append(exchange_gain(predicted, truth, unchanged))
        changes.append(
            exchange_gain(predicted - unchanged, truth - before, torch.zeros_like(truth))
        )
    return gains, changes, error


def rows_of(data: Dataset, n: int) -> Tensor:
    """Rows in the rendered set of the first n images."""
    return torch.arange(n) if data.rows is None else data.rows[:n]
