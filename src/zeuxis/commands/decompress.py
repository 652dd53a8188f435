"""zeuxis decompress: the images of a file that zeuxis compress wrote, every pixel proven right."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from torch import Tensor

from ..checkpoints.weights import load
from ..compression.codec import Contents, decompress, survey
from ..compression.unpacking import require_folders, require_free, write_array, write_png
from ..errors import UsageError, ZeuxisError
from ..model import Model
from ..progress import out
from ..ranges import BaseConfig


@dataclass(frozen=True)
class Decompress(BaseConfig, flags="--"):
    """Writes the images of a .zx file as PNG files under their names, or as one array, reads them
    back and compares. It is an error, and no image, if the file is damaged, belongs to other
    weights, or decodes to other pixels than were coded."""

    file: tyro.conf.Positional[str]
    """What zeuxis compress wrote."""
    out: str = ""
    """A folder for the images, or an array (.npz) for images of one shape; by default a folder
    named after the file."""
    overwrite: bool = False
    """Replace files that are there; without it nothing is overwritten."""
    numbers: bool = False
    """Call the images 0.png, 1.png and so on: for files whose names this system cannot have, or
    should not."""
    large: bool = False
    """Decompress the file, too, if it claims far more pixels than a file of its size is likely to
    hold, which may take long."""
    model: str = ""
    """The run folder or shipped model that the file was written with, if it is not where it was
    then."""
    weights: str = ""
    """Which file of the folder to take the weights from, if it is not the one named then."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Decompress, args=words, prog="zeuxis decompress")
    contents = survey(wish.file, numbers=wish.numbers, large=wish.large)
    shapes, count = contents.shapes(), contents.header.images
    folder = Path(wish.out) if wish.out else Path(wish.file).with_suffix("")
    array = folder.suffix == ".npz"
    if not wish.out and folder == Path(wish.file):
        raise UsageError(
            f"'{wish.file}' has no ending to leave out: give a folder for its images with --out."
        )
    if array and len(shapes) != 1:
        raise UsageError(
            f"The images of '{wish.file}' have {len(shapes)} shapes and fit into no "
            "array: give a folder with --out."
        )
    for name in [] if array else contents.names():
        require_folders(folder, name)
        require_free(folder / name, wish.overwrite)
    if array:
        require_free(folder, wish.overwrite)
    model = opened(wish, contents)
    began, numbers = time.monotonic(), 0

    def images() -> Iterator[tuple[str, Tensor]]:
        nonlocal numbers
        for name, x in decompress(wish.file, model, numbers=wish.numbers, large=wish.large):
            numbers += x.numel()
            yield name, x

    if array:
        write_array((x for _, x in images()), count, shapes.pop(), folder, wish.overwrite)
    else:
        for name, x in images():
            write_png(x, folder, name, wish.overwrite)
    speed = numbers / 1e6 / (time.monotonic() - began)
    out.print(
        (
            f"{count:,} image{'s' if count > 1 else ''}, every pixel as it was: {speed:.3f} "
            f"MB/s, {folder}"
        ),
        soft_wrap=True,
    )


def opened(wish: Decompress, contents: Contents) -> Model:
    """The model that a file was written with."""
    header = contents.header
    if wish.model:
        return load(wish.model, wish.weights or header.weights)
    named = f"'{wish.file}' was written with a {header.model}" + (
        f" from '{header.source}'" if header.source else ""
    )
    plain = not wish.weights and header.weights and Path(header.weights).name != header.weights
    if (
        not header.source or header.source.startswith(("//", "\\\\")) or plain
    ):  # other machines, and other places than a run's folder
        raise UsageError(
            f"{named}, which is no place to look for it: give its run folder with --model."
        )
    try:
        return load(header.source, wish.weights or header.weights)
    except ZeuxisError as error:
        raise UsageError(
            f"{named}, which cannot be opened here: give its run folder with --model."
        ) from error
