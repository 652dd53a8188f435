r"""Attributes as directions among codes: the code of a face plus a direction is the code of the
same face smiling.

The direction of an attribute that an image has or lacks is the mean code of images with it minus
the mean code of those without,

$$ v_a = \bar z_{a=1} - \bar z_{a=0} , $$

and one step along it leads from the mean without to the mean with. That is the slope of the code in
a least-squares fit on the 0 and 1 of the attribute; for a factor that is a number the same slope is
taken for one standard deviation s of it,

$$ v_a = s \, \mathrm{Cov}(z, a) / \mathrm{Var}(a) . $$

Attributes that go together in the data (beards and men) share their directions in part, and adding
one adds the other. **Together**, all attributes are fitted at once, $\min_{b, V} \sum_i |z_i - b -
V a_i|^2$: each direction is then the change with every other attribute held fixed. This takes
attributes to act on codes additively.

How well a direction tells images apart is measured on images that it was not computed from, by the
projection $z \cdot v_a$: the chance that of two images that differ in the attribute the one with
more of it lies further along, which for an attribute that images have or lack is the area under the
ROC curve. 0.5 is chance.

Sources: Radford, Metz and Chintala, 2016, section 6.3.2, for arithmetic on codes; Larsen et al.,
"Autoencoding beyond pixels using a learned similarity metric", 2016, for attribute vectors of an
encoder's codes; White, "Sampling Generative Networks", 2016, for correlated attributes, which are
there separated by balancing the images. Departure: least squares in its place, which serves numbers
too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Float
from PIL import Image
from rich.table import Column, Table
from torch import Tensor

from ..checkpoints.run_folder import Run
from ..data.attributes import Attributes, Kind
from ..errors import DataError, UsageError, ZeuxisError
from ..evaluation.disentanglement import ranks
from ..visual.grid import grid
from .reconstruct import Autoencoder, decoded
from .traverse import arranged, captioned

FILE = "attributes.safetensors"
KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
LEAST = 2  # images with and images without an attribute for a direction
FURTHEST = 100.0  # steps


@dataclass(frozen=True)
class Directions:
    """A direction among codes for each attribute.

    Arguments:
        names: What the attributes are called.
        kinds: "binary", "class" or "number".
        vectors: What one step adds to a code, (attributes, code).
        units: How much of the attribute one step is: 1, or of a number its standard deviation.
        counts: Images with and without it that the direction was computed from; of a number all of
            them, and 0.
        told: How well it tells held-out images apart, from 0 to 1; NaN where they do not differ.
        held_out: Images held out.
        together: Whether each direction is that with all other attributes held fixed.
        weights: The hash of the model's weights, since another encoder has other codes.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    vectors: Float[Tensor, "attributes code"]
    units: tuple[float, ...]
    counts: tuple[tuple[int, int], ...]
    told: tuple[float, ...]
    held_out: int = 0
    together: bool = False
    weights: str = ""

    def vector(self, name: str) -> Float[Tensor, "code"]:
        """The direction of this attribute; a `UsageError` names the ones there are."""
        if name not in self.names:
            raise UsageError(
                f"There is no attribute '{name}': the attributes are {', '.join(self.names)}."
            )
        return self.vectors[self.names.index(name)]

    def move(
        self, z: Float[Tensor, "n code"], amounts: Mapping[str, float]
    ) -> Float[Tensor, "n code"]:
        """Codes moved by so many steps along each attribute.

        Example:
            >>> found = Directions(("smiling",), ("binary",), torch.tensor([[0.0, 2.0]]), (1.0,), ((3, 3),), (1.0,))
            >>> found.move(torch.ones(1, 2), {"smiling": 1.5}).tolist()
            [[1.0, 4.0]]
        """
        if z.shape[1] != self.vectors.shape[1]:
            given = f"codes of {z.shape[1]} numbers with directions of {self.vectors.shape[1]}"
            raise UsageError(
                f"These attributes belong to another model ({given}): measure them anew."
            )
        for name, amount in amounts.items():
            if not abs(amount) <= FURTHEST:
                raise UsageError(
                    f"'{name}' cannot be moved by {amount}: give a number of steps from "
                    f"{-FURTHEST:g} to {FURTHEST:g}."
                )
            z = z + amount * self.vector(name).to(z)
        return z

    def table(self, title: str = "") -> Table:
        """One row for each attribute."""
        note = (
            "length: of one step among codes. AUC: the chance that of two held-out "
            "images the one with more of it lies further along"
        )
        note += f" ({self.held_out:,} held out; 0.5 is chance)."
        if "number" in self.kinds:
            note += " One step along a number is its standard deviation, in brackets."
        head = [
            Column(name, justify="right", no_wrap=True)
            for name in ("with", "without", "length", "AUC")
        ]
        table = Table(
            Column("attribute", overflow="fold"),
            *head,
            title=title,
            title_justify="left",
            caption=note,
            caption_justify="left",
        )
        for i, name in enumerate(self.names):
            step = f" ({self.units[i]:.3g})" if self.kinds[i] == "number" else ""
            having, lacking = self.counts[i]
            told = "-" if math.isnan(self.told[i]) else f"{self.told[i]:.3f}"
            cells = (
                f"{having:,}",
                f"{lacking:,}" if lacking else "-",
                f"{self.vectors[i].norm().item():.2f}",
                told,
            )
            table.add_row(f"{name}{step}", *cells)
        return table

    def as_dict(self) -> dict[str, Any]:
        """Plain values by attribute, for a record and the file."""
        told = [None if math.isnan(value) else value for value in self.told]
        lengths = self.vectors.norm(dim=1).tolist()
        keys = ("name", "kind", "unit", "with", "without", "AUC", "length")
        columns = (
            self.names,
            self.kinds,
            self.units,
            *zip(*self.counts, strict=True),
            told,
            lengths,
        )
        rows = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
        return {
            "attributes": rows,
            "held out": self.held_out,
            "together": self.together,
            "weights": self.weights,
        }


def slopes(
    codes: Float[Tensor, "n code"],
    values: Float[Tensor, "n attributes"],
    together: bool = False,
    names: tuple[str, ...] = (),
) -> Float[Tensor, "attributes code"]:
    """How much codes change for one unit of each attribute, by least squares.

    Arguments:
        codes: Codes of images.
        values: Their attributes, NaN where unknown; such images count for the other attributes
            only.
        together: Fit all attributes at once, on the images of which all are known, instead of each
            alone.
        names: Of the attributes, for the sentence when one of them follows from the others.

    Example:
        >>> a = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
        >>> z = a @ torch.tensor([[3.0, 0.0], [0.0, 2.0]])
        >>> slopes(z, a).round(decimals=3).tolist(), slopes(z, a, together=True).round(decimals=3).abs().tolist()
        ([[3.0, 0.667], [1.0, 2.0]], [[3.0, 0.0], [0.0, 2.0]])
    """
    z, a = codes.double(), values.double()
    if together:
        whole = a.isfinite().all(1)
        z, a = z[whole], a[whole]
        if len(a) < a.shape[1] + 2:
            need = (
                f"{a.shape[1]} attributes need at least {a.shape[1] + 2} images of "
                f"which all are known, and there are {len(a)}"
            )
            raise UsageError(f"Together {need}: give more images, or leave out --together.")
        a = a - a.mean(0)
        scale = a.std(0).clamp(min=1e-12)
        check_apart(a / scale, names or tuple(str(i) for i in range(a.shape[1])))
        return torch.linalg.lstsq(a / scale, z - z.mean(0)).solution / scale[:, None]
    known = a.isfinite()
    a = torch.where(known, a, 0.0)
    a = torch.where(known, a - a.sum(0) / known.sum(0).clamp(min=1), 0.0)
    return a.T @ z / a.square().sum(0).clamp(min=1e-12)[:, None]


def check_apart(a: Float[Tensor, "n attributes"], names: tuple[str, ...]) -> None:
    """Refuses attributes of which one is a sum of others."""
    left = (
        torch.linalg.qr(a).R.diagonal().abs() / len(a) ** 0.5
    )  # what each standardized column adds to those before it
    for name, new in zip(names, left.tolist(), strict=True):
        if new < 1e-6:
            raise UsageError(
                f"'{name}' follows from the attributes before it and cannot be told "
                "apart: leave out it, or --together."
            )


def concordance(scores: Float[Tensor, "n"], values: Float[Tensor, "n"]) -> float:
    """The chance that of two examples that differ in their values the one with the greater has the
    greater score.

    Equal scores count half. For values of 0 and 1 it is the area under the ROC curve, for others
    (Kendall's tau + 1) / 2 without ties. NaN if no two values differ.

    Example:
        >>> concordance(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
        0.75
    """
    found = values.unique()
    if len(found) == 2:  # Mann and Whitney's U from ranks
        above = values == found[1]
        m, n = int(above.sum()), int((~above).sum())
        return (
            ((ranks(scores[:, None])[above, 0].sum().item() - m * (m + 1) / 2) / (m * n))
            if m and n
            else math.nan
        )
    right, pairs = 0.0, 0
    for part in torch.arange(len(values)).split(512):
        order = torch.sign(values[part, None] - values)
        agree = order * torch.sign(scores[part, None] - scores)
        differ = order != 0
        pairs += int(differ.sum())
        right += ((agree[differ] + 1) / 2).sum().item()
    return right / pairs if pairs else math.nan


def measure(
    codes: Float[Tensor, "n code"],
    known: Attributes,
    *,
    together: bool = False,
    hold_out: float = 0.2,
    seed: int = 0,
    weights: str = "",
) -> Directions:
    """The direction of each attribute from some images, and how well it tells others apart.

    Arguments:
        codes: Codes of images.
        known: What is known of them. An attribute that fewer than two images have, or lack, is left
            out.
        together: Hold all other attributes fixed.
        hold_out: Share of the images that directions are tested on and not computed from.
        seed: Fixes which.
        weights: The hash of the encoder's weights.

    Raises:
        UsageError: No attribute can be measured, or one follows from the others.

    Example:
        >>> a = torch.rand(500, 1, generator=torch.Generator().manual_seed(0)).double()
        >>> found = measure((a @ torch.tensor([[3.0, 4.0]]).double()).float(), Attributes(("width",), ("number",), a))
        >>> (found.vectors / found.units[0]).round(decimals=3).tolist(), found.told
        ([[3.0, 4.0]], (1.0,))
    """
    if len(codes) != len(known):
        raise UsageError(
            f"There are {len(codes)} codes and attributes of {len(known)} images: give "
            "the attributes of the same images."
        )
    if not 0 <= hold_out < 1:
        raise UsageError(
            f"A share of {hold_out} of the images cannot be held out: give 0 or more and "
            "less than 1."
        )
    if together and set(known.kinds) == {"class"}:
        raise UsageError(
            "Classes exclude one another, so that none can change with the others held "
            "fixed: leave out --together."
        )
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    held, fit = order.tensor_split([round(hold_out * len(codes))])
    values = known.values[fit]
    if together:
        values = torch.where(values.isfinite().all(1, keepdim=True), values, math.nan)
    usable = [i for i in range(len(known.names)) if enough(values[:, i], known.kinds[i])]
    if not usable:
        needed = f"no attribute has {LEAST} images with it and {LEAST} without among {len(fit):,}"
        raise UsageError(
            f"No direction can be measured, since {needed}: give more images of which "
            "something is known."
        )
    names, kinds = tuple(known.names[i] for i in usable), tuple(known.kinds[i] for i in usable)
    values, tested = values[:, usable], known.values[held][:, usable]
    per_unit = slopes(codes[fit], values, together, names)
    units, counts, told = [], [], []
    for i, kind in enumerate(kinds):
        there = values[:, i][values[:, i].isfinite()]
        units.append(there.std(correction=0).item() if kind == "number" else 1.0)
        having = int((there > 0).sum()) if kind != "number" else len(there)
        counts.append((having, len(there) - having))
        seen = tested[:, i].isfinite()
        told.append(concordance(codes[held][seen].double() @ per_unit[i], tested[seen, i]))
    vectors = (per_unit * torch.tensor(units).double()[:, None]).float()
    return Directions(
        names,
        kinds,
        vectors,
        tuple(units),
        tuple(counts),
        tuple(told),
        len(held),
        together,
        weights,
    )


def enough(column: Tensor, kind: Kind) -> bool:
    """Whether a direction can be computed from these values of an attribute."""
    there = column[column.isfinite()]
    if kind == "number":
        return len(there) > LEAST and there.std().item() > 1e-9 * (1 + there.abs().max().item())
    return min(int((there > 0).sum()), int((there <= 0).sum())) >= LEAST


def save_directions(found: Directions, path: str | Path) -> Path:
    """Writes directions as safetensors, with JSON about their names, units and counts beside
    them."""
    path = Path(path)
    if not path.parent.is_dir():
        raise UsageError(
            f"There is no folder '{path.parent}' to write '{path.name}' to: make it, or "
            "give another place."
        )
    Run(path.parent).write_tensors(path.name, {"directions": found.vectors}, found.as_dict())
    return path


def load_directions(path: str | Path, weights: str = "") -> Directions:
    """Reads directions that `save_directions` wrote.

    Arguments:
        path: The file.
        weights: The hash of the model's weights, which must be those that the directions were
            measured with; "" takes any.

    Raises:
        ZeuxisError: There is no such file, it is damaged, or it belongs to other weights; the
            sentence says which.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"There is no '{path}': measure the attributes of a model first, with zeuxis "
            "attributes RUN."
        )
    tensors, about = Run(path.parent).read_tensors(path.name)
    try:
        rows, vectors = about["attributes"], tensors["directions"]
        found = Directions(
            tuple(str(row["name"]) for row in rows),
            tuple(KINDS[row["kind"]] for row in rows),
            vectors.float(),
            tuple(float(row["unit"]) for row in rows),
            tuple((int(row["with"]), int(row["without"])) for row in rows),
            tuple(math.nan if row["AUC"] is None else float(row["AUC"]) for row in rows),
            int(about["held out"]),
            bool(about["together"]),
            str(about["weights"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"'{path}' is no file of attributes ({error} is wrong in it): write it with "
            "zeuxis attributes."
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(rows) or not vectors.isfinite().all():
        raise DataError(
            f"'{path}' holds directions that are damaged: measure them anew with zeuxis attributes."
        )
    if weights and found.weights != weights:
        raise ZeuxisError(
            f"'{path}' was measured with other weights than the model has now: run "
            "zeuxis attributes again."
        )
    return found


def sheet(
    model: Autoencoder,
    z: Float[Tensor, "rows code"],
    found: Directions,
    reach: float = 3.0,
    columns: int = 7,
) -> Image.Image:
    """A panel for each attribute, in which each row is one code moved from -reach to +reach steps
    along it.

    Arguments:
        model: What decodes.
        z: Codes that the rows pass through, in the middle.
        found: The directions.
        reach: Steps to either side.
        columns: Images in a row, odd so that one is the reconstruction.
    """
    if columns < 3 or columns % 2 == 0 or not 0 < reach <= FURTHEST or not len(z):
        shape = f"{len(z)} rows of {columns} columns to {reach:g} steps"
        raise UsageError(
            "A sheet has 1 row or more, an odd number of columns and a positive reach, "
            f"got {shape}."
        )
    panels = []
    for name in found.names:
        moved = torch.stack(
            [
                found.move(z, {name: amount})
                for amount in torch.linspace(-reach, reach, columns).tolist()
            ],
            1,
        )
        picture = grid(decoded(model, moved.flatten(0, 1)), columns, smallest=columns * 48)
        panels.append(captioned(picture, f"{name}, from {-reach:g} to {reach:+g}"))
    return arranged(panels)
