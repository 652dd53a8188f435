"""zeuxis likelihood: the log-likelihood of images, in nats per image and bits per dimension."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..checkpoints.weights import default_weights
from ..data.inexact import listed
from ..errors import UsageError
from ..evaluation.likelihood import Binarize, likelihood
from ..evaluation.likelihood_report import Likelihood as Figures
from ..files import write
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone
from ..visual.svg import Line, curves
from .inputs import FLAT, DataInput, ModelInput
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class Likelihood(BaseConfig, flags="--"):
    """Computes the log-likelihood of images: exactly, or as the evidence lower bound, split into
    distortion and rate, and as the importance-weighted bound (IWAE)."""

    model: Annotated[ModelInput, FLAT]
    data: Annotated[DataInput, FLAT] = field(default_factory=DataInput)
    n: CountOrNone = 0
    """Images of the data set, chosen by the seed; 0 means all."""
    k: CountOrNone = 128
    """Latents per image for the importance-weighted bound; 0 leaves it out. Time grows with k,
    memory does not."""
    binarize: Binarize = "auto"
    """How gray pixels become 0 or 1 for a model of binary images: sampled with the seed (dynamic),
    sampled once for all (static), or not at all (none). auto is dynamic for such models and none
    for others."""
    exclude: str = ""
    """A text file with the numbers of images to leave out, one a line, counted from 0. Images that
    the data mark as recovered from a lossy copy are always left out."""
    batch: Count = 100
    """Images at a time, without effect on any figure."""
    plot: str = ""
    """An SVG file of the rate of each group of latents, for a model with several: the steps of DRAW
    and AIR, or the dimensions of a VAE."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plot and Path(self.plot).suffix != ".svg":
            raise UsageError(f"--plot is '{self.plot}', expected the name of an .svg file.")


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Likelihood, args=argv, prog="zeuxis likelihood")
    began = time.monotonic()
    model = args.model.load()
    data, images = args.data.load(args.model, model.spec)
    result = likelihood(
        model,
        data,
        k=args.k,
        n=args.n,
        binarize=args.binarize,
        seed=args.data.seed,
        split=images.split,
        weights=describe_weights(args.model),
        batch=args.batch,
        exclude=listed(args.exclude, len(data.x)) if args.exclude else None,
    )
    out.print(result.table())
    if args.record.record:
        details = provenance(args.model.name) | images.as_dict()
        args.record.write(result.as_dict(), began, args.data.seed, **details)
    if args.plot:
        out.print(str(write(args.plot, rate_plot(result))), markup=False, soft_wrap=True)


def rate_plot(result: Figures) -> str:
    """The rate of each group of latents, in order, as an SVG.

    Raises:
        UsageError: The model has one group, or none.
    """
    if not result.rates:
        raise UsageError(
            f"The model '{result.model}' has no groups of latents whose rates could be plotted: "
            "leave out --plot."
        )
    points = [(float(i), rate) for i, rate in enumerate(result.rates, 1)]
    title = f"rate of each group of latents, {result.model} on {result.data}"
    return curves([Line("rate", points)], "group of latents, or step", "nats", title)


def describe_weights(model_input: ModelInput) -> str:
    """The weights file, and whether its weights are averaged or the best on held-out images."""
    run = model_input.run()
    file = model_input.weights or default_weights(run)
    training = run.read_json("config.json").get("training", {})
    half_life = min(
        training.get("average", 0),
        round(training.get("average_limit", 1.0) * training.get("images", 0)),
    )
    averaged = f"averaged, half-life {half_life:,} images" if half_life else "not averaged"
    newest = "raw, the newest" if run.path("ema.safetensors").exists() else "as they were saved"
    kinds = {
        "best.safetensors": f"best on held-out images, {averaged}",
        "ema.safetensors": averaged,
        "model.safetensors": newest,
    }
    return f"{file} ({kinds[file]})" if file in kinds else file
