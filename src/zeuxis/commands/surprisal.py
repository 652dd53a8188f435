"""zeuxis surprisal: the bits that each pixel costs a model, as a heat map next to the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
import tyro

from ..applications.surprisal import surprisal, surprisal_sheet
from ..capabilities import CanAutoregress
from ..data.binarized import binarized
from ..errors import UsageError
from ..model import require
from ..progress import out
from ..ranges import BaseConfig, Count, Range, Weight
from ..visual.grid import save
from .inputs import FLAT, ImageInput, ModelInput


@dataclass(frozen=True)
class Surprisal(BaseConfig, flags="--"):
    """Draws the bits that each pixel costs a model, given the pixels above and to its left, next to
    the image: zeuxis surprisal RUN IMAGE ..., or zeuxis surprisal RUN [--data DATA]. The model
    predicts pixel by pixel, as pixelcnn."""

    model: Annotated[ModelInput, FLAT]
    images: Annotated[ImageInput, FLAT] = field(default_factory=ImageInput)
    n: Count = 9
    """Images of the data set, chosen by the seed."""
    label: Annotated[int, Range(-1, 1000000)] = -1
    """The class of all images, for a conditional model; by default a data set's own labels."""
    max_bits: Weight = 0.0
    """Bits of a pixel at the hot end of the color scale; 0 takes the largest value."""
    out: str = "surprisal.png"
    """The picture file."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Surprisal, args=argv, prog="zeuxis surprisal")
    model = require(args.model.load(), CanAutoregress, "compute the bits of each pixel")
    if len(model.spec.shape) != 3:
        raise UsageError(
            f"A heat map shows images, and '{model.name}' was trained on examples of shape "
            f"{model.spec.shape}."
        )
    if args.label >= model.spec.classes:
        raise UsageError(
            f"--label is {args.label}, and the model's classes are 0 to {model.spec.classes - 1}."
        )
    images = args.images.load(args.model, model.spec, args.n)
    if images.title:
        out.print(images.title, markup=False, soft_wrap=True)
    data = images.data
    x, y = data.batch(torch.arange(len(data)))
    if args.label >= 0:
        y = torch.full((len(x),), args.label)
    conditional = getattr(model.config, "conditional", False)
    if conditional and (y is None or int(y.min()) < 0):
        raise UsageError("This model is conditional: give the class of the images with --label.")
    if model.levels == 2:
        rows = torch.arange(len(data)) if data.rows is None else data.rows
        x = binarized(x, rows, args.images.data.seed)
    bits = surprisal(model, x, y if conditional else None)
    for name, image_bits in zip(images.names, bits, strict=True):
        row, column = divmod(int(image_bits.argmax()), image_bits.shape[1])
        text = (
            f"{image_bits.sum():,.1f} bits, {image_bits.sum() / data.spec.size:.4f} a dimension; "
            f"most at row {row}, column {column}: {image_bits.max():.2f}"
        )
        out.print(f"{name}: {text}", markup=False, soft_wrap=True)
    picture = surprisal_sheet(x, bits, images.names, args.max_bits)
    out.print(str(save(picture, args.out)), markup=False, soft_wrap=True)
