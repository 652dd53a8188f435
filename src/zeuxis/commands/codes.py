"""zeuxis codes: latent codes compared with labels, known factors, or slant and width."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
import tyro

from ..capabilities import HasCodes
from ..evaluation.disentanglement_report import describe_codes
from ..experiments.unseen import evaluation_data
from ..model import require
from ..progress import out
from ..ranges import BaseConfig, CountOrNone
from .inputs import FLAT, DataInput, ModelInput, sample_rows
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class Codes(BaseConfig, flags="--"):
    """Infers every latent code from real images: errors of a categorical code as a classifier,
    correlations of a continuous code, and disentanglement where the factors of the images are
    known."""

    model: Annotated[ModelInput, FLAT]
    data: Annotated[DataInput, FLAT] = field(default_factory=DataInput)
    n: CountOrNone = 0
    """Images of the data set, chosen by the seed; 0 means all."""
    fit: CountOrNone = 10_000
    """Training images on which categories are matched to classes; 0 matches them on the evaluated
    images."""
    generated: CountOrNone = 10_000
    """Generated images, for the mutual information with categories and the slant and width of
    chosen codes; 0 for none."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Codes, args=argv, prog="zeuxis codes")
    began = time.monotonic()
    model = require(args.model.load(), HasCodes, "report on its latent codes")
    data, images = args.data.load(args.model, model.spec)
    generator = args.data.generator()
    data = sample_rows(data, args.n, generator)
    categorical = any(code.kind == "categorical" for code in model.codes())
    fit = None
    if (
        args.fit
        and images.split in ("test", "held-out")
        and data.labels is not None
        and categorical
    ):
        train, _ = evaluation_data(args.model.name, args.data.data, "train")
        fit = train.take(torch.randperm(len(train), generator=generator)[: args.fit])
    report = describe_codes(
        model,
        data,
        fit=fit,
        generated=args.generated,
        seed=args.data.seed,
        split=images.split,
    )
    out.print(report.table())
    if args.record.record:
        details = provenance(args.model.name) | images.as_dict()
        args.record.write(report.as_dict(), began, args.data.seed, **details)
