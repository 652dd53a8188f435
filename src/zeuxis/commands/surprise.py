"""zeuxis surprise: which pixels of an image a model did not expect, as a picture of heat beside the
image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro

from ..applications.surprisal import sheet, surprise
from ..capabilities import CanAutoregress
from ..checkpoints.weights import load
from ..data.binarized import binarized
from ..data.images import image_paths, read_images
from ..errors import UsageError
from ..evaluation.images import check_split, phrase
from ..experiments.unseen import evaluation_data
from ..model import require
from ..progress import out
from ..ranges import BaseConfig, Count, Range, Seed, Weight
from ..visual.grid import save


@dataclass(frozen=True)
class Surprise(BaseConfig, flags="--"):
    """Draws the bits that each pixel costs a model given the pixels above and to its left, beside
    the image. Give image files, or look at a data set: zeuxis surprise RUN IMAGE ..., or zeuxis
    surprise RUN [--data DATA]."""

    model: tyro.conf.Positional[str]
    """A run folder of a model that gives each pixel's law, as pixelcnn."""
    images: tyro.conf.Positional[tuple[str, ...]] = ()
    """Image files or folders of them, brought to the size of the model's images; none for a data
    set."""
    data: str = ""
    """A data set, as --data of train takes it; by default the run's own."""
    split: str = "test"
    """Which part of it: test (of a set with one part the images that were not trained on), train or
    held-out."""
    n: Count = 9
    """Images of the data set that are looked at."""
    out: str = "surprise.png"
    """Where the picture goes."""
    most: Weight = 0.0
    """Bits of a pixel at the hot end of the scale; 0 takes the largest there are."""
    label: Annotated[int, Range(-1, 1000000)] = -1
    """The class of all images, for a conditional model; by default a data set's own labels."""
    invert: bool = False
    """Turn image files into their negative first: models of digits know light strokes on dark."""
    seed: Seed = 0
    """Fixes the choice of images, and how gray pixels are drawn as 0 or 1 for a model of binary
    ones."""
    weights: str = ""
    """Which file of the folder to take the weights from."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Surprise, args=words, prog="zeuxis surprise")
    check_split(wish.split)
    if wish.images and wish.data:
        raise UsageError("Give either image files after the model, or a set with --data. Got both.")
    model = require(load(wish.model, wish.weights), CanAutoregress, "say what each pixel costs")
    if len(model.spec.shape) != 3:
        raise UsageError(
            f"Heat is drawn for images, and '{model.name}' knows examples of shape "
            f"{model.spec.shape}."
        )
    if wish.label >= model.spec.classes:
        raise UsageError(
            f"--label is {wish.label}, and the model knows the classes 0 to "
            f"{model.spec.classes - 1}."
        )
    y = None
    if wish.images:
        paths = image_paths(wish.images)
        x, names, rows = (
            read_images(paths, model.spec.shape, wish.invert),
            [path.name for path in paths],
            torch.arange(len(paths)),
        )
    else:
        data, used = evaluation_data(wish.model, wish.data, wish.split)
        if data.spec.shape != model.spec.shape:
            raise UsageError(
                f"'{data.spec.name}' has images of shape {data.spec.shape} and the model "
                f"knows {model.spec.shape}."
            )
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(wish.seed))[
            : wish.n
        ]
        (x, y), numbers = data.batch(rows), rows if data.rows is None else data.rows[rows]
        names = [f"image {i}" for i in numbers.tolist()]
        out.print(
            f"{data.spec.name}: {len(rows):,} of {len(data):,} {phrase(used.split)}",
            markup=False,
            soft_wrap=True,
        )
    if wish.label >= 0:
        y = torch.full((len(x),), wish.label)
    conditional = getattr(model.config, "conditional", False)
    if conditional and (y is None or int(y.min()) < 0):
        raise UsageError("This model knows the class of what it sees: give it with --label.")
    x = binarized(x, rows, wish.seed) if model.levels == 2 else x
    bits = surprise(model, x, y if conditional else None)
    for name, one in zip(names, bits, strict=True):
        size = one.numel() * len(x[0])
        row, column = divmod(int(one.argmax()), one.shape[1])
        said = (
            f"{one.sum():,.1f} bits, {one.sum() / size:.4f} a dimension; most at row "
            f"{row}, column {column}: {one.max():.2f}"
        )
        out.print(f"{name}: {said}", markup=False, soft_wrap=True)
    out.print(str(save(sheet(x, bits, names, wish.most), wish.out)), markup=False, soft_wrap=True)
