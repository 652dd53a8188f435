"""zeuxis objects: how many objects images show, and where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from ..applications.objects import counted, objects_sheet
from ..capabilities import HasObjects
from ..errors import UsageError
from ..evaluation.objects import object_figures
from ..model import require
from ..progress import out
from ..ranges import BaseConfig, CountOrNone, SmallCount
from ..visual.grid import save
from .inputs import FLAT, ImageInput, ModelInput, sample_rows
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class FindObjects(BaseConfig, flags="--"):
    """Counts the objects in images and draws boxes around them: zeuxis objects RUN IMAGE ... On a
    data set whose boxes are known, zeuxis objects RUN [--data DATA] measures the share of right
    counts and the overlap of boxes."""

    model: Annotated[ModelInput, FLAT]
    images: Annotated[ImageInput, FLAT] = field(default_factory=ImageInput)
    n: CountOrNone = 0
    """Images of the data set, chosen by the seed; 0 means all."""
    shown: SmallCount = 32
    """How many images are drawn."""
    out: str = "objects.png"
    """The picture file."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(FindObjects, args=argv, prog="zeuxis objects")
    began = time.monotonic()
    model = require(args.model.load(), HasObjects, "count and locate objects")
    if args.images.files.paths:
        if args.record.record:
            raise UsageError("--record keeps the figures of a data set: leave out the image files.")
        x, files = args.images.files.read(model.spec)
        found = model.objects(x)
        for file, number, boxes in zip(files, found.counts.tolist(), found.boxes, strict=True):
            places = [",".join(f"{side:.0f}" for side in box) for box in boxes[:number].tolist()]
            line = " ".join([f"{file.name}: {counted(number)}", *places])
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        seed, generator = args.images.data.seed, args.images.data.generator()
        whole, images = args.images.data.load(args.model, model.spec)
        data = sample_rows(whole, args.n, generator)
        figures = object_figures(model, data, seed=seed, split=images.split)
        out.print(figures.table())
        if args.record.record:
            details = provenance(args.model.name) | images.as_dict()
            args.record.write(figures.as_dict(), began, seed, **details)
        x = sample_rows(data, args.shown, generator).all()
    shown = x[: args.shown]
    sheet = objects_sheet(shown, model.objects(shown))
    out.print(str(save(sheet, args.out)), markup=False, soft_wrap=True)
