"""Writes decompressed images; each is read back and compared before it gets its name.

No file is overwritten unless asked for, and no link is followed. A file is written under a random
name, verified, and then linked to its path, which fails if the path exists. Folders on the way must
be folders and not links.
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
    """Refuses a path that exists.

    Raises:
        UsageError: It is a folder, or a file that must not be overwritten.
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
    """Refuses a name with a link or a file among its folders below the root."""
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
        root: The folder that names are relative to; it is created if needed.
        name: The image's name, in which `names.fault` finds no fault.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The path exists.
        ZeuxisError: The path cannot be written, or other pixels are read back.
    """
    require_folders(root, name)
    path = root / name
    encoded = io.BytesIO()
    to_image(x).save(encoded, "PNG")
    with verified(path, overwrite) as file:
        file.write(encoded.getbuffer())
        file.seek(0)
        encoded = io.BytesIO(file.read())
        try:
            with PngImageFile(encoded) as picture:  # has no limit on pixels, unlike `Image.open`
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
    """Writes images of one shape as the array `images` of an .npz.

    Images are written one at a time, read back and compared.

    Arguments:
        images: The images.
        count: Their number.
        shape: The shape of each.
        path: The file.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The path exists.
        ZeuxisError: The path cannot be written, or other pixels are read back.
    """
    written, read = hashlib.blake2b(), hashlib.blake2b()
    with verified(path, overwrite) as file:
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
                read.update(part)
        if read.digest() != written.digest():
            raise ZeuxisError(
                f"'{path}' was written and holds other pixels: the disk may be failing."
            )
    return path


@contextlib.contextmanager
def verified(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file for writing and reading; it gets its name at the end, or is deleted on an
    error."""
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
            link_to(partial, path)
    except OSError as error:
        raise WriteError(path, reason(error)) from error
    finally:
        with contextlib.suppress(OSError):  # it may have its name already
            partial.unlink()


def link_to(partial: Path, path: Path) -> None:
    """Gives a file its name, which must not exist."""
    try:
        os.link(partial, path)
    except FileExistsError:
        require_free(path, False)
        raise
    except OSError:  # a file system without links
        require_free(path, False)
        os.rename(partial, path)
