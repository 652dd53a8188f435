"""zeuxis decompress: the images of a file that zeuxis compress wrote, every pixel proven right."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from ..applications.compress import decompress, survey
from ..applications.originals import numbered
from ..applications.pictures import save, to_image
from ..errors import UsageError, ZeuxisError
from ..progress import out
from ..ranges import Settings
from ..training.weights import load


@dataclass(frozen=True)
class Decompress(Settings, flags="--"):
    """Writes the images of a .zx file as PNG files under their names, or as one array. It is an error, and no image, if the file is
    damaged, belongs to other weights, or decodes to other pixels than were coded."""

    file: tyro.conf.Positional[str]
    """What zeuxis compress wrote."""
    out: str = ""
    """A folder for the images, in which nothing is overwritten, or an array (.npz) for images of one shape; by default a folder named after
    the file."""
    model: str = ""
    """The run folder or shipped model that the file was written with, if it is not where it was then."""
    weights: str = ""
    """Which file of the folder to take the weights from, if it is not the one named then."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Decompress, args=words, prog="zeuxis decompress")
    header, blocks = survey(wish.file)
    names = [name for block in blocks for name in block.names] or [numbered(header.prefix, i, header.images) for i in range(header.images)]
    shapes = {shape for block in blocks for shape in block.images()}
    folder = Path(wish.out) if wish.out else Path(wish.file).with_suffix("")
    array = folder.suffix == ".npz"
    if not wish.out and folder == Path(wish.file):
        raise UsageError(f"'{wish.file}' has no ending to leave out: give a folder for its images with --out.")
    if array and len(shapes) != 1:
        raise UsageError(f"The images of '{wish.file}' have {len(shapes)} shapes and fit into no array: give a folder with --out.")
    if taken := next((path for name in ([""] if array else names) if (path := folder / name if name else folder).is_file()), None):
        raise UsageError(f"There is a '{taken}' already, and nothing is overwritten: give another place with --out.")
    try:
        model = load(wish.model or header.source, wish.weights or header.weights)
    except ZeuxisError as error:
        if wish.model:
            raise
        named = f"a {header.model}" + (f" from '{header.source}'" if header.source else "")
        raise UsageError(
            f"'{wish.file}' was written with {named}, which cannot be opened here: give its run folder with --model."
        ) from error
    began, numbers, kept = time.monotonic(), 0, []
    for name, x in decompress(wish.file, model):
        numbers += x.numel()
        if array:
            kept.append(x.numpy())
        else:
            save(to_image(x), folder / name)
    seconds = time.monotonic() - began
    if array:
        write_array(folder, np.stack(kept))
    out.print(
        f"{header.images:,} image{'s' if header.images > 1 else ''}, every pixel as it was: {numbers / 1e6 / seconds:.3f} MB/s, {folder}",
        markup=False,
        soft_wrap=True,
    )


def write_array(path: Path, images: np.ndarray) -> None:
    """An .npz of images, written whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            np.savez(file, images=images)
        partial.replace(path)
    except OSError as error:
        raise ZeuxisError(f"'{path}' could not be written ({error.strerror or error}): give a writable place with --out.") from error
    finally:
        with contextlib.suppress(OSError):  # there may be no such folder
            partial.unlink(missing_ok=True)
