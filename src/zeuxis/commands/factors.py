"""zeuxis factors: how a model's latents follow the known factors of rendered faces."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from ..evaluation.factor_report import describe_factors
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone
from .inputs import FLAT, DataInput, ModelInput, sample_rows
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class Factors(BaseConfig, flags="--"):
    """Reads all latents of rendered heads or faces, and measures how the one of each factor follows
    it: over all images and within groups, how much of it other latents have, and whether an image
    with another face's latent looks as the renderer would show it. For models with a posterior, as
    dcign and vae, and with codes, as infogan."""

    model: Annotated[ModelInput, FLAT]
    data: Annotated[DataInput, FLAT] = field(default_factory=DataInput)
    n: CountOrNone = 0
    """Images, chosen by the seed; 0 means all."""
    groups: Count = 500
    """Groups of 50 images in which one factor moves."""
    exchanges: Count = 1_000
    """Images in which a latent is replaced by that of another image."""
    other: Count = 5_000
    """Other images, on which latents are matched to factors where the model does not name them."""
    steps: Count = 200
    """Steps of the inversion, for a model without encoder."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Factors, args=argv, prog="zeuxis factors")
    began = time.monotonic()
    model = args.model.load()
    data, images = args.data.load(args.model, model.spec)
    data = sample_rows(data, args.n, args.data.generator())
    report = describe_factors(
        model,
        data,
        groups=args.groups,
        exchanges=args.exchanges,
        other=args.other,
        steps=args.steps,
        seed=args.data.seed,
        split=images.split,
    )
    out.print(report.table())
    if args.record.record:
        details = provenance(args.model.name) | images.as_dict()
        args.record.write(report.as_dict(), began, args.data.seed, **details)
