"""Directions of attributes in latent space, and the file that keeps them beside the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from jaxtyping import Float
from rich.table import Column, Table
from torch import Tensor

from ..checkpoints.run_folder import Run
from ..data.attributes import Kind
from ..errors import DataError, UsageError, ZeuxisError

DIRECTIONS_FILE = "attributes.safetensors"
KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
MAX_STEPS = 100.0


@dataclass(frozen=True)
class Directions:
    """A direction in latent space for each attribute.

    Arguments:
        names: Names of the attributes.
        kinds: "binary", "class" or "number".
        vectors: What one step adds to a latent, (attributes, latent).
        units: How much of the attribute one step is: 1, or for a number its standard deviation.
        counts: Images with and without the attribute that the direction was computed from; for a
            number all of them, and 0.
        auc: How well the direction separates held-out images, from 0 to 1; NaN where they do not
            differ.
        held_out: Number of held-out images.
        together: Whether each direction holds all other attributes fixed.
        weights: Hash of the model's weights, since another encoder has other latents.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    vectors: Float[Tensor, "attributes latent"]
    units: tuple[float, ...]
    counts: tuple[tuple[int, int], ...]
    auc: tuple[float, ...]
    held_out: int = 0
    together: bool = False
    weights: str = ""

    def vector(self, name: str) -> Float[Tensor, "latent"]:
        """The direction of an attribute; a `UsageError` names the attributes there are."""
        if name not in self.names:
            raise UsageError(
                f"There is no attribute '{name}': the attributes are {', '.join(self.names)}."
            )
        return self.vectors[self.names.index(name)]

    def move(
        self, z: Float[Tensor, "n latent"], amounts: Mapping[str, float]
    ) -> Float[Tensor, "n latent"]:
        """Latents moved by a number of steps along each attribute.

        Example:
            >>> import torch
            >>> directions = Directions(
            ...     ("smiling",), ("binary",), torch.tensor([[0.0, 2.0]]), (1.0,), ((3, 3),), (1.0,)
            ... )
            >>> directions.move(torch.ones(1, 2), {"smiling": 1.5}).tolist()
            [[1.0, 4.0]]
        """
        if z.shape[1] != self.vectors.shape[1]:
            raise UsageError(
                "These attributes belong to another model (latents of "
                f"{z.shape[1]} dimensions, directions of {self.vectors.shape[1]}): measure them "
                "again."
            )
        for name, amount in amounts.items():
            if not abs(amount) <= MAX_STEPS:
                raise UsageError(
                    f"'{name}' cannot be moved by {amount}: give a number of steps from "
                    f"{-MAX_STEPS:g} to {MAX_STEPS:g}."
                )
            z = z + amount * self.vector(name).to(z)
        return z

    def table(self, title: str = "") -> Table:
        """One row for each attribute."""
        note = (
            "length: of one step in latent space. AUC: the probability that of two held-out images "
            f"the one with more of it lies further along ({self.held_out:,} held out; 0.5 is "
            "chance)."
        )
        if "number" in self.kinds:
            note += " One step along a number is its standard deviation, in brackets."
        columns = ("with", "without", "length", "AUC")
        table = Table(
            Column("attribute", overflow="fold"),
            *(Column(name, justify="right", no_wrap=True) for name in columns),
            title=title,
            title_justify="left",
            caption=note,
            caption_justify="left",
        )
        for i, name in enumerate(self.names):
            unit = f" ({self.units[i]:.3g})" if self.kinds[i] == "number" else ""
            with_it, without = self.counts[i]
            table.add_row(
                f"{name}{unit}",
                f"{with_it:,}",
                f"{without:,}" if without else "-",
                f"{self.vectors[i].norm().item():.2f}",
                "-" if math.isnan(self.auc[i]) else f"{self.auc[i]:.3f}",
            )
        return table

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a record and the file."""
        lengths = self.vectors.norm(dim=1).tolist()
        rows = [
            {
                "name": name,
                "kind": self.kinds[i],
                "unit": self.units[i],
                "with": self.counts[i][0],
                "without": self.counts[i][1],
                "AUC": None if math.isnan(self.auc[i]) else self.auc[i],
                "length": lengths[i],
            }
            for i, name in enumerate(self.names)
        ]
        return {
            "attributes": rows,
            "held out": self.held_out,
            "together": self.together,
            "weights": self.weights,
        }


def save_directions(directions: Directions, path: str | Path) -> Path:
    """Writes directions as safetensors, with names, units and counts as JSON beside them."""
    path = Path(path)
    if not path.parent.is_dir():
        raise UsageError(
            f"There is no folder '{path.parent}' to write '{path.name}' to: make it, or give "
            "another place."
        )
    tensors = {"directions": directions.vectors}
    Run(path.parent).write_tensors(path.name, tensors, directions.as_dict())
    return path


def load_directions(path: str | Path, weights: str = "") -> Directions:
    """Reads directions that `save_directions` wrote.

    Arguments:
        path: The file.
        weights: Hash of the model's weights, which must be those that the directions were measured
            with; "" takes any.

    Raises:
        ZeuxisError: There is no such file, it is damaged, or it belongs to other weights.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"There is no '{path}': measure the attributes of a model first, with zeuxis "
            "attributes RUN."
        )
    tensors, metadata = Run(path.parent).read_tensors(path.name)
    try:
        rows, vectors = metadata["attributes"], tensors["directions"]
        directions = Directions(
            tuple(str(row["name"]) for row in rows),
            tuple(KINDS[row["kind"]] for row in rows),
            vectors.float(),
            tuple(float(row["unit"]) for row in rows),
            tuple((int(row["with"]), int(row["without"])) for row in rows),
            tuple(math.nan if row["AUC"] is None else float(row["AUC"]) for row in rows),
            int(metadata["held out"]),
            bool(metadata["together"]),
            str(metadata["weights"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"'{path}' is no file of attributes ({error} is wrong in it): write it with zeuxis "
            "attributes."
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(rows) or not vectors.isfinite().all():
        raise DataError(
            f"'{path}' holds damaged directions: measure them again with zeuxis attributes."
        )
    if weights and directions.weights != weights:
        raise ZeuxisError(
            f"'{path}' was measured with other weights than the model has now: run zeuxis "
            "attributes again."
        )
    return directions
