"""zeuxis decompress: the images of a .zx file, every pixel checked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from torch import Tensor

from ..checkpoints.weights import load
from ..compression.codec import decompress
from ..compression.contents import Contents, survey
from ..compression.unpacking import require_folders, require_free, write_array, write_png
from ..errors import UsageError, ZeuxisError
from ..model import Model
from ..progress import out
from ..ranges import BaseConfig


@dataclass(frozen=True)
class Decompress(BaseConfig, flags="--"):
    """Writes the images of a .zx file as PNG files under their names, or as one array, reads them
    back and compares. It ends in an error, and writes no image, if the file is damaged, belongs to
    other weights, or decodes to other pixels than were coded."""

    file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
    """A file that zeuxis compress wrote."""
    out: str = ""
    """A folder for the images, or an array (.npz) for images of one shape; by default a folder
    named after the file."""
    overwrite: bool = False
    """Replace existing files; without it nothing is overwritten."""
    numbers: bool = False
    """Call the images 0.png, 1.png and so on: for files whose names this system cannot have, or
    should not."""
    large: bool = False
    """Also decompress a file that claims far more pixels than a file of its size is likely to hold,
    which may take long."""
    model: str = ""
    """The run folder or shipped model that the file was written with, where it has moved."""
    weights: str = ""
    """Which file of the folder to take the weights from, where it is not the one of then."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Decompress, args=argv, prog="zeuxis decompress")
    contents = survey(args.file, numbers=args.numbers, large=args.large)
    shapes, count = contents.shapes(), contents.header.images
    target = Path(args.out) if args.out else Path(args.file).with_suffix("")
    to_array = target.suffix == ".npz"
    if not args.out and target == Path(args.file):
        raise UsageError(
            f"'{args.file}' has no ending to leave out: give a folder for its images with --out."
        )
    if to_array and len(shapes) != 1:
        raise UsageError(
            f"The images of '{args.file}' have {len(shapes)} shapes and do not fit into one array: "
            "give a folder with --out."
        )
    if to_array:
        require_free(target, args.overwrite)
    else:
        for name in contents.names():
            require_folders(target, name)
            require_free(target / name, args.overwrite)
    model = load_model(args, contents)
    began, size = time.monotonic(), 0

    def images() -> Iterator[tuple[str, Tensor]]:
        nonlocal size
        for name, x in decompress(args.file, model, numbers=args.numbers, large=args.large):
            size += x.numel()
            yield name, x

    if to_array:
        write_array((x for _, x in images()), count, shapes.pop(), target, args.overwrite)
    else:
        for name, x in images():
            write_png(x, target, name, args.overwrite)
    speed = size / 1e6 / (time.monotonic() - began)
    plural = "s" if count > 1 else ""
    out.print(
        f"{count:,} image{plural}, every pixel as it was: {speed:.3f} MB/s, {target}",
        soft_wrap=True,
    )


def load_model(args: Decompress, contents: Contents) -> Model:
    """The model that a file was written with."""
    header = contents.header
    if args.model:
        return load(args.model, args.weights or header.weights)
    written = f"'{args.file}' was written with a {header.model}" + (
        f" from '{header.source}'" if header.source else ""
    )
    # A network path, or a weights file outside the run folder, is never opened on a file's word.
    remote = header.source.startswith(("//", "\\\\"))
    outside = not args.weights and header.weights and Path(header.weights).name != header.weights
    if not header.source or remote or outside:
        raise UsageError(
            f"{written}, which is no place to look for it: give its run folder with --model."
        )
    try:
        return load(header.source, args.weights or header.weights)
    except ZeuxisError as error:
        raise UsageError(
            f"{written}, which cannot be opened here: give its run folder with --model."
        ) from error
