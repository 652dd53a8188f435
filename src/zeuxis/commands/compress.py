"""zeuxis compress: images into a file from which they come back to the last pixel, by a model that
knows how likely they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from ..checkpoints.weights import load
from ..compression.codec import compress
from ..compression.entropy_coding import Precision
from ..compression.image_sources import DatasetImages, ImageFiles, ImageSource
from ..data.config import DataConfig, is_built_in
from ..data.dataset import Dataset
from ..errors import DataError, UsageError
from ..evaluation.images import Images, check_split
from ..evaluation.record import write_record
from ..experiments.unseen import evaluation_data
from ..progress import out
from ..ranges import BaseConfig, CountOrNone, Seed
from .provenance import provenance


@dataclass(frozen=True)
class Compress(BaseConfig, flags="--"):
    """Writes images of any size into one file, in about as many bits as the model gives them:
    zeuxis compress RUN IMAGE ... -o file.zx, or zeuxis compress RUN --data mnist -o file.zx. The
    model is needed again to decompress, and is not in the file."""

    words: tyro.conf.Positional[tuple[str, ...]]
    """A run folder or shipped model that tells exact likelihoods (as pixelcnn) or has a factorized
    posterior (as vae), then image files or folders of them."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "images.zx"
    """The file to write."""
    data: str = ""
    """Compress a data set instead of image files, as --data of train takes it; its images will be
    numbered, without labels."""
    split: str = "test"
    """Which part of it: test (of a set with one part the images that were not trained on), train or
    held-out."""
    n: CountOrNone = 0
    """Compress only the first so many images of --data; 0 means all."""
    binarize: bool = False
    """Turn images black and white first, which is not lossless, for models of binary images: of
    --data, pixels are drawn with their brightness as probability, as `zeuxis likelihood` does; of
    files, those from 128 on become white."""
    seed: Seed = 0
    """Fixes how pixels of --data are drawn."""
    precision: Precision = "double"
    """What the network computes in. Single is faster, and only the same machine with the same
    PyTorch can be expected to decompress."""
    check: bool = False
    """Decompress every block in memory before it is written, and compare."""
    compare: bool = False
    """Say what PNG (optimized), WebP (lossless) and xz need for the same pixels."""
    weights: str = ""
    """Which file of the folder to take the weights from."""
    record: str = ""
    """Write the figures with command, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Compress, args=words, prog="zeuxis compress")
    check_split(wish.split)
    if not wish.words:
        raise UsageError(
            "Name the model first, a run folder or a shipped model, and then the images."
        )
    name, files = wish.words[0], wish.words[1:]
    if bool(files) == bool(wish.data):
        raise UsageError(
            "Give either image files after the model, or a set with --data."
            + (" Got both." if files else "")
        )
    began = time.monotonic()
    model = load(name, wish.weights)
    originals: ImageSource
    about: dict[str, Any] = {}
    if wish.data:
        data, about = chosen(name, wish)
        originals = DatasetImages(
            data, f"{data.spec.name}-{wish.split}-", wish.seed if wish.binarize else None
        )
    else:
        originals = ImageFiles(files, wish.binarize)
    report = compress(
        model,
        originals,
        wish.out,
        precision=wish.precision,
        source=name,
        weights=wish.weights,
        check=wish.check,
        compare=wish.compare,
    )
    out.print(report.table())
    out.print(report.sentence(), markup=False, soft_wrap=True)
    out.print(wish.out, markup=False, soft_wrap=True)
    if wish.record:
        more = (
            provenance(name)
            | about
            | {"binarized": ("drawn" if wish.data else "at 128") if wish.binarize else "no"}
        )
        seconds, figures = time.monotonic() - began, report.as_dict()
        path = write_record(
            wish.record,
            figures,
            seconds=seconds,
            seed=wish.seed,
            paper=wish.paper,
            note=wish.note,
            **more,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)


def chosen(name: str, wish: Compress) -> tuple[Dataset, dict[str, Any]]:
    """The images of --data in their own size, and for the record which of them the model was
    trained on.

    Of a set with one part --split test takes all, since a file that holds less than the set would
    be of little use.
    """
    part, limit = "test" if wish.split == "test" else "train", wish.n or None
    if is_built_in(wish.data) and wish.split != "held-out":
        data = whole(name, wish, part, limit)
        return data, Images(part, len(data), len(data)).as_dict()
    known, used = evaluation_data(name, wish.data, wish.split)
    if wish.split != "test" and known.rows is not None:
        data = whole(name, wish, part).take(known.rows[:limit])
        out.print(f"{data.spec.name}: {used}", markup=False, soft_wrap=True)
        return data, used.as_dict()
    data = whole(name, wish, part, limit)
    if used.split in ("held-out", "trained on"):
        seen = used.images if used.split == "trained on" else used.of - used.images
        text = (
            f"{data.spec.name}: {len(data):,} images; of the set's {used.of:,}, "
            f"{seen:,} are images it was trained on"
        )
        out.print(text, markup=False, soft_wrap=True)
    return data, used.as_dict()


def whole(name: str, wish: Compress, part: str, limit: int | None = None) -> Dataset:
    """The images of --data in their own size."""
    try:
        return DataConfig(wish.data, limit=limit).load(part)
    except DataError as error:
        if "--size" not in str(error) and "--channels" not in str(error):
            raise
        raise DataError(
            f"The images of '{wish.data}' are not alike: give them as files, as in "
            f"zeuxis compress {name} FOLDER."
        ) from error
