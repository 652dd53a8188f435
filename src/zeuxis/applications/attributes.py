r"""Attributes as directions in latent space: the latent of a face plus a direction is the same face
smiling.

The direction of a binary attribute is the mean latent of images with it minus the mean latent of
images without it,

$$ v_a = \bar z_{a=1} - \bar z_{a=0} , $$

so that one step leads from the mean without to the mean with. This is the slope of a least-squares
fit of z on the 0 and 1 of the attribute. For an attribute that is a number, the same slope is taken
for one standard deviation s of it,

$$ v_a = s \, \mathrm{Cov}(z, a) / \mathrm{Var}(a) . $$

Attributes that are correlated in the data (beards and men) share their directions in part: adding
one adds the other. With `together` all attributes are fitted at once, $\min_{b, V} \sum_i |z_i - b
- V a_i|^2$, and each direction is the change with every other attribute held fixed. This assumes
that attributes act on latents additively.

How well a direction separates images is measured on held-out images, by the projection $z \cdot
v_a$: the probability that of two images that differ in the attribute, the one with more of it lies
further along. For a binary attribute this is the area under the ROC curve (AUC); 0.5 is chance.

Sources: Radford, Metz and Chintala, 2016, section 6.3.2, for arithmetic on latents; Larsen et al.,
"Autoencoding beyond pixels using a learned similarity metric", 2016, for attribute vectors of an
encoder's latents; White, "Sampling Generative Networks", 2016, for correlated attributes, which are
separated there by balancing the images. Departure: least squares instead of balancing, which also
works for numbers.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..data.attributes import Attributes, Kind
from ..errors import UsageError
from ..evaluation.disentanglement import ranks
from ..visual.grid import arranged, captioned, grid
from .directions import MAX_STEPS, Directions
from .reconstruct import Autoencoder, decode_latents

MIN_IMAGES = 2  # images with and images without an attribute that a direction needs


def slopes(
    z: Float[Tensor, "n latent"],
    values: Float[Tensor, "n attributes"],
    together: bool = False,
    names: tuple[str, ...] = (),
) -> Float[Tensor, "attributes latent"]:
    """How much latents change for one unit of each attribute, by least squares.

    Arguments:
        z: Latents of images.
        values: Their attributes, NaN where unknown; such images count for the other attributes
            only.
        together: Fit all attributes at once, on the images of which all are known, instead of each
            separately.
        names: Names of the attributes, for the error when one is determined by the others.

    Example:
        >>> a = torch.tensor([[0.0, 0], [1, 1], [1, 0], [1, 1], [0, 0], [0, 1]])
        >>> z = a @ torch.tensor([[3.0, 0.0], [0.0, 2.0]])
        >>> slopes(z, a).round(decimals=3).tolist()
        [[3.0, 0.667], [1.0, 2.0]]
        >>> slopes(z, a, together=True).round(decimals=3).abs().tolist()
        [[3.0, 0.0], [0.0, 2.0]]
    """
    z, a = z.double(), values.double()
    if together:
        complete = a.isfinite().all(1)
        z, a = z[complete], a[complete]
        if len(a) < a.shape[1] + 2:
            raise UsageError(
                f"Together {a.shape[1]} attributes need at least {a.shape[1] + 2} images of which "
                f"all are known, and there are {len(a)}: give more images, or leave out --together."
            )
        a = a - a.mean(0)
        scale = a.std(0).clamp(min=1e-12)
        require_independent(a / scale, names or tuple(str(i) for i in range(a.shape[1])))
        return torch.linalg.lstsq(a / scale, z - z.mean(0)).solution / scale[:, None]
    known = a.isfinite()
    a = torch.where(known, a, 0.0)
    a = torch.where(known, a - a.sum(0) / known.sum(0).clamp(min=1), 0.0)
    return a.T @ z / a.square().sum(0).clamp(min=1e-12)[:, None]


def require_independent(a: Float[Tensor, "n attributes"], names: tuple[str, ...]) -> None:
    """Refuses standardized attributes of which one is a linear combination of those before it."""
    residuals = torch.linalg.qr(a).R.diagonal().abs() / len(a) ** 0.5
    for name, residual in zip(names, residuals.tolist(), strict=True):
        if residual < 1e-6:
            raise UsageError(
                f"'{name}' is determined by the attributes before it, so that it has no direction "
                "with these held fixed: leave it or --together out."
            )


def concordance(scores: Float[Tensor, "n"], values: Float[Tensor, "n"]) -> float:
    """The probability that of two examples that differ in value, the greater has the greater score.

    Equal scores count half. For values of 0 and 1 this is the area under the ROC curve, for others
    (Kendall's tau + 1) / 2 without ties. NaN if no two values differ.

    Example:
        >>> scores = torch.tensor([0.1, 0.4, 0.35, 0.8])
        >>> concordance(scores, torch.tensor([0.0, 0.0, 1.0, 1.0]))
        0.75
    """
    levels = values.unique()
    if len(levels) == 2:  # the U statistic of Mann and Whitney
        upper = values == levels[1]
        m, n = int(upper.sum()), int((~upper).sum())
        rank_sum = ranks(scores[:, None])[upper, 0].sum().item()
        return (rank_sum - m * (m + 1) / 2) / (m * n) if m and n else math.nan
    concordant, pairs = 0.0, 0
    for part in torch.arange(len(values)).split(512):
        order = torch.sign(values[part, None] - values)
        agreement = order * torch.sign(scores[part, None] - scores)
        differ = order != 0
        pairs += int(differ.sum())
        concordant += ((agreement[differ] + 1) / 2).sum().item()
    return concordant / pairs if pairs else math.nan


def measure_directions(
    z: Float[Tensor, "n latent"],
    known: Attributes,
    *,
    together: bool = False,
    hold_out: float = 0.2,
    seed: int = 0,
    weights: str = "",
) -> Directions:
    """Computes the direction of each attribute, and tests it on held-out images.

    Arguments:
        z: Latents of images.
        known: Their attributes. An attribute that fewer than two images have, or lack, is left out.
        together: Hold all other attributes fixed.
        hold_out: Share of the images on which directions are tested.
        seed: Fixes which images are held out.
        weights: Hash of the encoder's weights.

    Raises:
        UsageError: No attribute can be measured, or one is determined by the others.

    Example:
        >>> a = torch.rand(500, 1, generator=torch.Generator().manual_seed(0)).double()
        >>> z = (a @ torch.tensor([[3.0, 4.0]]).double()).float()
        >>> directions = measure_directions(z, Attributes(("width",), ("number",), a))
        >>> (directions.vectors / directions.units[0]).round(decimals=3).tolist(), directions.auc
        ([[3.0, 4.0]], (1.0,))
    """
    if len(z) != len(known):
        raise UsageError(
            f"There are {len(z)} latents and attributes of {len(known)} images: give the "
            "attributes of the same images."
        )
    if not 0 <= hold_out < 1:
        raise UsageError(
            f"A share of {hold_out} of the images cannot be held out: give 0 or more and less "
            "than 1."
        )
    if together and set(known.kinds) == {"class"}:
        raise UsageError(
            "Classes exclude one another, so that none can change with the others held fixed: "
            "leave out --together."
        )
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    held_out, fit = order.tensor_split([round(hold_out * len(z))])
    values = known.values[fit]
    if together:
        values = torch.where(values.isfinite().all(1, keepdim=True), values, math.nan)
    usable = [i for i in range(len(known.names)) if enough(values[:, i], known.kinds[i])]
    if not usable:
        raise UsageError(
            f"No direction can be measured, since no attribute has {MIN_IMAGES} images with it and "
            f"{MIN_IMAGES} without among {len(fit):,}: give more images with known attributes."
        )
    names, kinds = tuple(known.names[i] for i in usable), tuple(known.kinds[i] for i in usable)
    values, test_values = values[:, usable], known.values[held_out][:, usable]
    per_unit = slopes(z[fit], values, together, names)
    units, counts, auc = [], [], []
    for i, kind in enumerate(kinds):
        finite = values[:, i][values[:, i].isfinite()]
        units.append(finite.std(correction=0).item() if kind == "number" else 1.0)
        with_it = len(finite) if kind == "number" else int((finite > 0).sum())
        counts.append((with_it, len(finite) - with_it))
        labeled = test_values[:, i].isfinite()
        projections = z[held_out][labeled].double() @ per_unit[i]
        auc.append(concordance(projections, test_values[labeled, i]))
    vectors = (per_unit * torch.tensor(units).double()[:, None]).float()
    return Directions(
        names,
        kinds,
        vectors,
        tuple(units),
        tuple(counts),
        tuple(auc),
        len(held_out),
        together,
        weights,
    )


def enough(values: Float[Tensor, "n"], kind: Kind) -> bool:
    """Whether a direction can be computed from these values of an attribute."""
    finite = values[values.isfinite()]
    if kind == "number":
        if len(finite) <= MIN_IMAGES:
            return False
        return finite.std().item() > 1e-9 * (1 + finite.abs().max().item())
    return min(int((finite > 0).sum()), int((finite <= 0).sum())) >= MIN_IMAGES


def attribute_sheet(
    model: Autoencoder,
    z: Float[Tensor, "rows latent"],
    directions: Directions,
    reach: float = 3.0,
    columns: int = 7,
) -> Image.Image:
    """A panel for each attribute; each row is one latent moved from -reach to +reach steps.

    Arguments:
        model: The decoder.
        z: The latents in the middle of the rows.
        directions: Directions of the attributes.
        reach: Steps to either side.
        columns: Images in a row, odd so that one is the reconstruction.
    """
    if columns < 3 or columns % 2 == 0 or not 0 < reach <= MAX_STEPS or not len(z):
        raise UsageError(
            "A sheet has 1 row or more, an odd number of columns and a positive reach, got "
            f"{len(z)} rows of {columns} columns to {reach:g} steps."
        )
    panels = []
    for name in directions.names:
        amounts = torch.linspace(-reach, reach, columns).tolist()
        moved = torch.stack([directions.move(z, {name: amount}) for amount in amounts], 1)
        images = decode_latents(model, moved.flatten(0, 1))
        picture = grid(images, columns, smallest=columns * 48)
        panels.append(captioned(picture, f"{name}, from {-reach:g} to {reach:+g}"))
    return arranged(panels)
