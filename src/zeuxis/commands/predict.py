"""zeuxis predict: the hidden part of images given the seen part, and how likely it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
import tyro

from ..applications.predict import prediction_sheet
from ..capabilities import HasConditionalELBO
from ..checkpoints.weights import load
from ..data.binarized import binarized
from ..errors import UsageError
from ..evaluation.conditional import predict_likelihoods
from ..model import require
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone, SmallCount
from ..visual.grid import save
from .inputs import FLAT, ImageInput, ModelInput, sample_rows
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class Predict(BaseConfig, flags="--"):
    """Predicts the hidden part of images from the seen part: draws completions, and measures
    -log p(hidden | seen) on a data set. zeuxis predict RUN IMAGE ..., or zeuxis predict RUN
    [--data DATA]."""

    model: Annotated[ModelInput, FLAT]
    images: Annotated[ImageInput, FLAT] = field(default_factory=ImageInput)
    n: CountOrNone = 1000
    """Images of the data set, chosen by the seed; 0 means all."""
    k: Count = 100
    """Latents per image, for the importance-weighted bound and for Monte Carlo."""
    against: str = ""
    """An autoregressive model, as in mnist/pixelcnn, for its exact likelihood of the hidden pixels;
    these must come last, row by row."""
    shown: SmallCount = 8
    """How many images are drawn."""
    completions: SmallCount = 8
    """Completions of each."""
    out: str = "predictions.png"
    """The picture file."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Predict, args=argv, prog="zeuxis predict")
    began = time.monotonic()
    model = args.model.load()
    require(model, HasConditionalELBO, "predict hidden pixels")
    seed, generator = args.images.data.seed, args.images.data.generator()
    if args.images.files.paths:
        if args.record.record or args.against:
            raise UsageError(
                "Likelihoods are measured on a data set: leave out the image files, or --record "
                "and --against."
            )
        x = args.images.files.read(model.spec)[0]
    else:
        data, images = args.images.data.load(args.model, model.spec)
        result = predict_likelihoods(
            model,
            data,
            k=args.k,
            n=args.n,
            seed=seed,
            split=images.split,
            rival=load(args.against) if args.against else None,
        )
        out.print(result.table())
        if args.record.record:
            details = provenance(args.model.name) | images.as_dict()
            args.record.write(result.as_dict(), began, seed, **details)
        few = sample_rows(data, args.shown, generator)
        rows = torch.arange(len(few)) if few.rows is None else few.rows.cpu()
        x = binarized(few.all(), rows, seed)
    sheet = prediction_sheet(model, x, args.completions, generator)
    out.print(str(save(sheet, args.out)), markup=False, soft_wrap=True)
