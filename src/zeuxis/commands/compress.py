"""zeuxis compress: images in one lossless file, by a model's likelihood."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from ..experiments.unseen import evaluation_data
from ..progress import out
from ..ranges import BaseConfig, CountOrNone, Seed
from .inputs import FLAT
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class Compress(BaseConfig, flags="--"):
    """Writes images of any size into one file, in about as many bits as the model gives them:
    zeuxis compress RUN IMAGE ... -o file.zx, or zeuxis compress RUN --data mnist -o file.zx. The
    model is not in the file; it is needed again to decompress."""

    inputs: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL-OR-IMAGE")
    ]
    """A run folder or shipped model with exact likelihoods (as pixelcnn) or a factorized posterior
    (as vae), then image files or folders of them."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "images.zx"
    """The file to write."""
    data: str = ""
    """Compress a data set instead of image files, as --data of train takes it; its images are
    numbered, and labels are not kept."""
    split: str = "test"
    """Part of the data set: test (of a set with one part the images that were not trained on),
    train or held-out."""
    n: CountOrNone = 0
    """Use only the first n images of --data; 0 means all."""
    binarize: bool = False
    """Turn images black and white first, which is not lossless, for models of binary images: of
    --data, pixels are sampled with their brightness as probability, as `zeuxis likelihood` does; of
    files, those from 128 on become white."""
    seed: Seed = 0
    """Fixes how pixels of --data are sampled."""
    precision: Precision = "double"
    """Precision of the network. Single is faster, but only the same machine with the same PyTorch
    can be expected to decompress."""
    check: bool = False
    """Decompress every block in memory before it is written, and compare."""
    compare: bool = False
    """Also measure PNG (optimized), WebP (lossless) and xz on the same pixels."""
    weights: str = ""
    """Which file of the folder, as in model.safetensors for the newest weights; by default the best
    or averaged ones."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_split(self.split)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Compress, args=argv, prog="zeuxis compress")
    if not args.inputs:
        raise UsageError(
            "Name the model first, a run folder or a shipped model, and then the images."
        )
    name, files = args.inputs[0], args.inputs[1:]
    if bool(files) == bool(args.data):
        raise UsageError(
            "Give either image files after the model, or a data set with --data."
            + (" Got both." if files else "")
        )
    began = time.monotonic()
    model = load(name, args.weights)
    source: ImageSource
    details: dict[str, Any] = {}
    if args.data:
        data, details = select_images(name, args)
        seed = args.seed if args.binarize else None
        source = DatasetImages(data, f"{data.spec.name}-{args.split}-", seed)
    else:
        source = ImageFiles(files, args.binarize)
    report = compress(
        model,
        source,
        args.out,
        precision=args.precision,
        source=name,
        weights=args.weights,
        check=args.check,
        compare=args.compare,
    )
    out.print(report.table())
    out.print(report.sentence(), markup=False, soft_wrap=True)
    out.print(args.out, markup=False, soft_wrap=True)
    if args.record.record:
        how = ("drawn" if args.data else "at 128") if args.binarize else "no"
        details = provenance(name) | details | {"binarized": how}
        args.record.write(report.as_dict(), began, args.seed, **details)


def select_images(name: str, args: Compress) -> tuple[Dataset, dict[str, Any]]:
    """The images of --data in their own size, and for the record which of them the model was
    trained on.

    Of a set with one part --split test takes all, since a file that holds less than the set would
    be of little use.
    """
    part, limit = "test" if args.split == "test" else "train", args.n or None
    if is_built_in(args.data) and args.split != "held-out":
        data = load_full_size(name, args, part, limit)
        return data, Images(part, len(data), len(data)).as_dict()
    known, images = evaluation_data(name, args.data, args.split)
    if args.split != "test" and known.rows is not None:
        data = load_full_size(name, args, part).take(known.rows[:limit])
        out.print(f"{data.spec.name}: {images}", markup=False, soft_wrap=True)
        return data, images.as_dict()
    data = load_full_size(name, args, part, limit)
    if images.split in ("held-out", "trained on"):
        held_out = images.split == "held-out"
        trained_on = images.of - images.images if held_out else images.images
        out.print(
            f"{data.spec.name}: {len(data):,} images; of the set's {images.of:,}, {trained_on:,} "
            "are images it was trained on",
            markup=False,
            soft_wrap=True,
        )
    return data, images.as_dict()


def load_full_size(name: str, args: Compress, part: str, limit: int | None = None) -> Dataset:
    """The images of --data, not resized."""
    try:
        return DataConfig(args.data, limit=limit).load(part)
    except DataError as error:
        if "--size" not in str(error) and "--channels" not in str(error):
            raise
        raise DataError(
            f"The images of '{args.data}' have different sizes or channels: give them as files, as "
            f"in zeuxis compress {name} FOLDER."
        ) from error
