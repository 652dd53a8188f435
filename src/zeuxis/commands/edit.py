"""zeuxis edit: images changed along attributes, as in "make my smile wider"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..applications.attributes import FILE, load_directions
from ..applications.edit import amounts, edit
from ..applications.reconstruct import autoencoder, columns_of
from ..checkpoints.weights import load, resolve
from ..data.images import image_paths, read_images
from ..errors import UsageError
from ..evaluation.features.feature_network import weights_hash
from ..ranges import BaseConfig
from ..visual.grid import save, to_image


@dataclass(frozen=True)
class EditImages(BaseConfig, flags="--"):
    """Encodes images, moves their codes along attributes and decodes them: zeuxis edit RUN me.png
    --attribute smiling=+2. The attributes are found first, by `zeuxis attributes RUN`; one step
    leads from the mean code without to the mean code with, or changes a number by one standard
    deviation. Images are cropped to a square and brought to the model's size."""

    model: tyro.conf.Positional[str]
    """A run folder of a model that encodes and decodes images."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Image files or folders of them."""
    attribute: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=STEPS")
    ] = ()
    """An attribute and how many steps to move along it, as in smiling=+2; may be given several
    times."""
    out: str = "edited.png"
    """Where the picture goes; with --plain and several images a folder, which ends in /."""
    plain: bool = False
    """Write only the edited images, in their own size, instead of a sheet of original,
    reconstruction and edit."""
    keep_detail: bool = False
    """Add back what the reconstruction loses of the image. Good where the rest stays in its place;
    where edges move it leaves a ghost."""
    invert: bool = False
    """Turn images into their negative first: models of digits know light strokes on dark."""
    file: str = ""
    """Where the directions are; by default attributes.safetensors in the run folder."""
    weights: str = ""
    """Which file of the folder to take the weights from."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(EditImages, args=words, prog="zeuxis edit")
    steps = amounts(wish.attribute)
    if not wish.images:
        raise UsageError(
            "Name the images after the model, as in zeuxis edit RUN me.png --attribute smiling=+2."
        )
    model = autoencoder(load(wish.model, wish.weights), "edit images")
    directions = load_directions(
        Path(wish.file) if wish.file else resolve(wish.model) / FILE, weights_hash(model)
    )
    if not steps:
        raise UsageError(
            f"Say what to change, as in --attribute '{directions.names[0]}=+2'; there "
            f"are {', '.join(directions.names)}."
        )
    paths = image_paths(wish.images)
    if wish.plain and len(paths) > 1 and not wish.out.endswith("/"):
        raise UsageError(
            f"{len(paths)} edited images need a folder to go to: end --out in /, as in "
            "--out edited/."
        )
    found = edit(
        model,
        read_images(paths, model.spec.shape, wish.invert),
        directions,
        steps,
        wish.keep_detail,
    )
    if not wish.plain:
        text = ", ".join(f"{name} {amount:+g}" for name, amount in steps.items())
        named = (
            ("original", found.original),
            ("reconstruction", found.reconstruction),
            (text, found.edited),
        )
        print(save(columns_of([(title, block[:, None]) for title, block in named]), wish.out))
    elif not wish.out.endswith("/"):
        print(save(to_image(found.edited[0]), wish.out))
    else:
        for i, (path, one) in enumerate(zip(paths, found.edited, strict=True)):
            print(save(to_image(one), Path(wish.out) / f"{i:03}-{path.stem}.png"))
