"""zeuxis edit: images changed along attributes, as in "make this face smile"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..applications.directions import DIRECTIONS_FILE, load_directions
from ..applications.edit import edit, parse_amounts
from ..applications.reconstruct import image_autoencoder, panel_sheet
from ..errors import UsageError
from ..evaluation.features.feature_network import weights_hash
from ..ranges import BaseConfig
from ..visual.grid import save, to_image
from .inputs import FLAT, FileInput, ModelInput


@dataclass(frozen=True)
class EditImages(BaseConfig, flags="--"):
    """Encodes images, moves their latents along attributes and decodes them: zeuxis edit RUN me.png
    --attribute smiling=+2. Run `zeuxis attributes RUN` first: it computes the directions. One step
    leads from the mean latent without the attribute to the mean latent with it, or changes a number
    by one standard deviation."""

    model: Annotated[ModelInput, FLAT]
    images: Annotated[FileInput, FLAT] = field(default_factory=FileInput)
    attribute: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=STEPS")
    ] = ()
    """An attribute and how many steps to move along it, as in smiling=+2; may be repeated."""
    out: str = "edited.png"
    """The picture file; with --plain and several images a folder, which ends in /."""
    plain: bool = False
    """Write only the edited images, in the model's size, instead of a sheet of original,
    reconstruction and edit."""
    keep_detail: bool = False
    """Add back what the reconstruction loses of the image. Good where the rest stays in its place;
    where edges move it leaves a ghost."""
    file: str = ""
    """File of the directions; by default attributes.safetensors in the run folder."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(EditImages, args=argv, prog="zeuxis edit")
    steps = parse_amounts(args.attribute)
    if not args.images.paths:
        raise UsageError(
            "Name the images after the model, as in zeuxis edit RUN me.png --attribute smiling=+2."
        )
    model = image_autoencoder(args.model.load(), "edit images")
    file = Path(args.file) if args.file else args.model.run().path(DIRECTIONS_FILE)
    directions = load_directions(file, weights_hash(model))
    if not steps:
        raise UsageError(
            f"Say what to change, as in --attribute '{directions.names[0]}=+2'; the attributes are "
            f"{', '.join(directions.names)}."
        )
    x, paths = args.images.read(model.spec)
    to_folder = args.out.endswith("/")
    if args.plain and len(paths) > 1 and not to_folder:
        raise UsageError(
            f"{len(paths)} edited images need a folder: end --out in /, as in --out edited/."
        )
    result = edit(model, x, directions, steps, args.keep_detail)
    if not args.plain:
        title = ", ".join(f"{name} {amount:+g}" for name, amount in steps.items())
        panels = [
            ("original", result.original),
            ("reconstruction", result.reconstruction),
            (title, result.edited),
        ]
        print(save(panel_sheet([(title, block[:, None]) for title, block in panels]), args.out))
    elif not to_folder:
        print(save(to_image(result.edited[0]), args.out))
    else:
        for i, (path, image) in enumerate(zip(paths, result.edited, strict=True)):
            print(save(to_image(image), Path(args.out) / f"{i:03}-{path.stem}.png"))
