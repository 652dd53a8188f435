"""Writes a data set as shards: tar files that `--data` takes, and every reader of WebDataset.

An example is two files next to each other, `000000017.png` and, with a label, `000000017.cls`. PNG
loses nothing. Owner and time in the tar headers are fixed, so equal data give equal bytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..errors import UsageError
from ..files import write
from ..progress import track
from .dataset import Dataset
from .tar_shards import CLASSES, LABEL, tar_parts

BLOCK = 256  # images decoded at a time


def write_shards(data: Dataset, folder: Path, part: str, per_shard: int) -> list[Path]:
    """Writes the images of a data set, in their order.

    Arguments:
        data: The images; of a streamed set only a block is in memory.
        folder: Where the shards go; one with shards of this part is refused.
        part: "train" or "test", the beginning of the names of the shards.
        per_shard: Images in each shard but the last.

    Returns:
        The shards.

    Raises:
        UsageError: The data are no images, or the folder has shards already.

    Example:
        >>> import tempfile
        >>> from zeuxis.data.sources import load_data
        >>> digits = load_data("mnist", split="test", limit=25)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = write_shards(digits, Path(folder), "test", 10)
        ...     again = load_data(folder, split="test", stream=True)
        ...     [path.name for path in paths], torch.equal(again.all(), digits.all())
        (['test-000000.tar', 'test-000001.tar', 'test-000002.tar'], True)
    """
    if len(data.spec.shape) != 3 or data.spec.shape[0] not in (1, 3):
        raise UsageError(f"'{data.spec.name}' has no images to write: choose a set of images.")
    if folder.is_dir() and tar_parts(folder).get(part):
        raise UsageError(f"'{folder}' has {part} shards already: give a new folder with --out.")
    names, paths = data.spec.class_names, []
    if data.labels is not None and names:
        write(folder / CLASSES, "".join(f"{name}\n" for name in names))
    images = track(encoded(data), len(data), f"writing {data.spec.name}")
    for number, start in enumerate(range(0, len(data), per_shard)):
        length = min(per_shard, len(data) - start)

        def fill(path: Path, start: int = start, length: int = length) -> None:
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for i in range(start, start + length):
                    png, label = next(images)
                    add(tar, f"{i:09}.png", png)
                    if label >= 0:
                        add(tar, f"{i:09}.{LABEL}", str(label).encode())

        paths.append(write(folder / f"{part}-{number:06}.tar", fill))
    return paths


def encoded(data: Dataset) -> Iterator[tuple[bytes, int]]:
    """Each image as PNG, and its class, -1 without one."""
    for rows in torch.arange(len(data)).split(BLOCK):
        x, y = data.batch(rows)
        labels = [-1] * len(x) if y is None else y.tolist()
        for image, label in zip(x.cpu().numpy(), labels, strict=True):
            yield as_png(image), label


def as_png(image: np.ndarray) -> bytes:
    """uint8 (C, H, W) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a file whose header depends on name and content only."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
