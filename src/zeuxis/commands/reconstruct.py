"""zeuxis reconstruct: what a model's codes keep of images, drawn and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import tyro

from ..applications.reconstruct import (
    autoencoder,
    columns_of,
    decoded,
    encoded,
    fidelity,
    pairs,
    squared_errors,
)
from ..checkpoints.weights import load
from ..data.images import image_paths, read_images
from ..errors import UsageError
from ..evaluation.images import check_split, phrase
from ..experiments.unseen import evaluation_data
from ..progress import out
from ..ranges import BaseConfig, CountOrNone, Few, Seed
from ..visual.grid import save


@dataclass(frozen=True)
class Reconstruct(BaseConfig, flags="--"):
    """Encodes images and decodes their codes: a sheet of originals with their reconstructions, and
    the mean squared error. Give image files, or look at a data set: zeuxis reconstruct RUN IMAGE
    ..., or zeuxis reconstruct RUN [--data DATA]."""

    model: tyro.conf.Positional[str]
    """A run folder of a model that encodes and decodes images."""
    images: tyro.conf.Positional[tuple[str, ...]] = ()
    """Image files or folders of them; none for a data set."""
    data: str = ""
    """A data set, as --data of train takes it; by default the run's own."""
    split: str = "test"
    """Which part of it: test (of a set with one part the images that were not trained on), train or
    held-out."""
    n: CountOrNone = 1000
    """Images of the data set that the error is measured on; 0 means all."""
    shown: Few = 32
    """How many of them are drawn."""
    out: str = "reconstructions.png"
    """Where the sheet goes."""
    invert: bool = False
    """Turn image files into their negative first: models of digits know light strokes on dark."""
    seed: Seed = 0
    """Fixes the choice of images."""
    weights: str = ""
    """Which file of the folder to take the weights from."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Reconstruct, args=words, prog="zeuxis reconstruct")
    check_split(wish.split)
    if wish.images and wish.data:
        raise UsageError("Give either image files after the model, or a set with --data. Got both.")
    model = autoencoder(load(wish.model, wish.weights), "reconstruct images")
    if wish.images:
        paths = image_paths(wish.images)
        x = read_images(paths, model.spec.shape, wish.invert)
        y = decoded(model, encoded(model, x))
        errors = squared_errors(x, y)
        for path, error in zip(paths, errors.tolist(), strict=True):
            out.print(f"{path}: mean squared error {error:.5f}", markup=False, soft_wrap=True)
        if len(x) > 1:
            out.print(f"mean of {len(x):,} images: {errors.mean().item():.5f}")
        picture = (
            columns_of([("original", x[:, None]), ("reconstruction", y[:, None])])
            if len(x) < 5
            else pairs(x, y)
        )
    else:
        data, used = evaluation_data(wish.model, wish.data, wish.split)
        if data.spec.shape != model.spec.shape:
            raise UsageError(
                f"'{data.spec.name}' has images of shape {data.spec.shape} and the model "
                f"knows {model.spec.shape}."
            )
        if 0 < wish.n < len(data):
            data = data.take(
                torch.randperm(len(data), generator=torch.Generator().manual_seed(wish.seed))[
                    : wish.n
                ]
            )
        found = fidelity(model, data)
        out.print(
            f"{data.spec.name}, {found.images:,} {phrase(used.split)}: {found}",
            markup=False,
            soft_wrap=True,
        )
        x = data.batch_of(wish.shown)
        picture = pairs(x, decoded(model, encoded(model, x)))
    out.print(str(save(picture, wish.out)), markup=False, soft_wrap=True)
