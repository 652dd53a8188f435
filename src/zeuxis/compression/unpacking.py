"""Images onto the disk, each read back from there and compared before it has its name.

Nothing that is there is overwritten without being asked to, and no link is followed: a file is
written under a random name, proven, and then linked to its place, which fails where something is
already. Folders on the way must be folders and no links to some.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL.PngImagePlugin import PngImageFile
from torch import Tensor

from ..errors import UsageError, ZeuxisError
from ..files import WriteError, reason
from ..visual.grid import to_image


def require_free(path: Path, overwrite: bool) -> None:
    """Refuses a place where something is, or where nothing can be.

    Raises:
        UsageError: There is a file and it is not to be overwritten, or there is a folder.
    """
    if os.path.lexists(path):
        if path.is_dir() and not path.is_symlink():
            raise UsageError(
                f"'{path}' is a folder, where an image has to be: give another place with --out."
            )
        if not overwrite:
            raise UsageError(
                f"There is a '{path}' already, and nothing is overwritten: give another "
                "place with --out, or add --overwrite."
            )


def require_folders(root: Path, name: str) -> None:
    """Refuses a name whose folders below the root are links or files."""
    folder = root
    for part in name.split("/")[:-1]:
        folder = folder / part
        if folder.is_symlink() or (os.path.lexists(folder) and not folder.is_dir()):
            raise UsageError(
                f"'{folder}' is a link or a file, where a folder has to be: give another "
                "place with --out."
            )


def write_png(
    x: UInt8[Tensor, "channels height width"], root: Path, name: str, overwrite: bool = False
) -> Path:
    """Writes one image as a PNG, reads it back and compares.

    Arguments:
        x: The image.
        root: The folder that names are relative to; it is made if need be.
        name: The image's name, which `names.fault` has nothing against.
        overwrite: Replace a file that is there.

    Raises:
        UsageError: Something is there.
        ZeuxisError: The place cannot be written, or gives back other pixels.
    """
    require_folders(root, name)
    path = root / name
    encoded = io.BytesIO()
    to_image(x).save(encoded, "PNG")
    with proven(path, overwrite) as file:
        file.write(encoded.getbuffer())
        file.seek(0)
        encoded = io.BytesIO(file.read())
        try:
            with PngImageFile(
                encoded
            ) as picture:  # which, unlike `Image.open`, has no limit on pixels
                back = np.asarray(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise ZeuxisError(
                f"'{path}' could not be read back ({reason(error)}): the disk may be failing."
            ) from error
        if not np.array_equal(
            back if back.ndim == 2 else back.transpose(2, 0, 1),
            x[0].numpy() if len(x) == 1 else x.numpy(),
        ):
            raise ZeuxisError(
                f"'{path}' was written and holds other pixels: the disk may be failing."
            )
    return path


def write_array(
    images: Iterable[UInt8[Tensor, "channels height width"]],
    count: int,
    shape: tuple[int, ...],
    path: Path,
    overwrite: bool = False,
) -> Path:
    """Writes images of one shape as the array `images` of an .npz, one after the other, reads them
    back and compares.

    Arguments:
        images: The images.
        count: How many there are.
        shape: The shape of each.
        path: The file.
        overwrite: Replace a file that is there.

    Raises:
        UsageError: Something is there.
        ZeuxisError: The place cannot be written, or gives back other pixels.
    """
    written, found = hashlib.blake2b(), hashlib.blake2b()
    with proven(path, overwrite) as file:
        with (
            zipfile.ZipFile(file, "w") as archive,
            archive.open("images.npy", "w", force_zip64=True) as array,
        ):
            about = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(array, about)
            for one in images:
                written.update(one.numpy().tobytes())
                array.write(one.numpy().tobytes())
        file.seek(0)
        with zipfile.ZipFile(file) as archive, archive.open("images.npy") as array:
            np.lib.format.read_magic(array)
            np.lib.format.read_array_header_1_0(array)
            while part := array.read(1 << 20):
                found.update(part)
        if found.digest() != written.digest():
            raise ZeuxisError(
                f"'{path}' was written and holds other pixels: the disk may be failing."
            )
    return path


@contextlib.contextmanager
def proven(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file, for writing and reading, that gets its name when all has gone well, or
    vanishes."""
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        require_free(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = (
            os.O_RDWR
            | os.O_CREAT
            | os.O_EXCL
            | getattr(os, "O_NOFOLLOW", 0)
            | getattr(os, "O_BINARY", 0)
        )
        with os.fdopen(os.open(partial, flags, 0o666), "w+b") as file:
            yield file
        if overwrite:
            os.replace(partial, path)
        else:
            place(partial, path)
    except OSError as error:
        raise WriteError(path, reason(error)) from error
    finally:
        with contextlib.suppress(
            OSError
        ):  # it may have its name already, or there may be no such folder
            partial.unlink()


def place(partial: Path, path: Path) -> None:
    """Gives a file its name, which must be free."""
    try:
        os.link(partial, path)
    except FileExistsError:
        require_free(path, False)
        raise
    except OSError:  # a file system without links
        require_free(path, False)
        os.rename(partial, path)
