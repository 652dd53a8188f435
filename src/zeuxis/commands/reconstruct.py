"""zeuxis reconstruct: images next to their reconstructions, and the error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from ..applications.reconstruct import (
    image_autoencoder,
    measure_fidelity,
    pair_sheet,
    panel_sheet,
    reconstruct,
    squared_errors,
)
from ..progress import out
from ..ranges import BaseConfig, CountOrNone, SmallCount
from ..visual.grid import save
from .inputs import FLAT, ImageInput, ModelInput


@dataclass(frozen=True)
class Reconstruct(BaseConfig, flags="--"):
    """Encodes and decodes images, draws them next to their reconstructions and measures the mean
    squared error: zeuxis reconstruct RUN IMAGE ..., or zeuxis reconstruct RUN [--data DATA]."""

    model: Annotated[ModelInput, FLAT]
    images: Annotated[ImageInput, FLAT] = field(default_factory=ImageInput)
    n: CountOrNone = 1000
    """Images of the data set, chosen by the seed; 0 means all."""
    shown: SmallCount = 32
    """How many of them are drawn."""
    out: str = "reconstructions.png"
    """The picture file."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Reconstruct, args=argv, prog="zeuxis reconstruct")
    model = image_autoencoder(args.model.load(), "reconstruct images")
    images = args.images.load(args.model, model.spec, args.n)
    if images.title:
        fidelity = measure_fidelity(model, images.data)
        out.print(f"{images.title}: {fidelity}", markup=False, soft_wrap=True)
        x = images.data.batch_of(args.shown)
        picture = pair_sheet(x, reconstruct(model, x))
    else:
        x = images.data.all()
        y = reconstruct(model, x)
        errors = squared_errors(x, y)
        for name, error in zip(images.names, errors.tolist(), strict=True):
            out.print(f"{name}: mean squared error {error:.5f}", markup=False, soft_wrap=True)
        if len(x) > 1:
            out.print(f"mean of {len(x):,} images: {errors.mean().item():.5f}")
        if len(x) < 5:
            picture = panel_sheet([("original", x[:, None]), ("reconstruction", y[:, None])])
        else:
            picture = pair_sheet(x, y)
    out.print(str(save(picture, args.out)), markup=False, soft_wrap=True)
