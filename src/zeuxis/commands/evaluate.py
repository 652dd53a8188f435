"""zeuxis evaluate: scores of samples against real images, and errors of classifiers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from ..capabilities import CanClassify, CanSample
from ..checkpoints.weights import build
from ..data.dataset import Dataset
from ..data.densities import DENSITIES, Mixture, density
from ..evaluation.classification import score
from ..evaluation.density_divergence import divergences
from ..evaluation.mode_coverage import mode_coverage
from ..evaluation.sample_quality import evaluate
from ..experiments.unseen import source_of
from ..model import Model, require
from ..progress import out
from ..ranges import BaseConfig, Count
from .evaluate_policy import evaluate as evaluate_policy
from .inputs import FLAT, DataInput, ModelInput
from .options import is_policy
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class Evaluate(BaseConfig, flags="--"):
    """Scores samples (Inception-style score, Fréchet and kernel distance, precision, recall,
    density, coverage) and classifiers (errors and confusion table). The run of a policy has other
    options: evaluate RUN --help."""

    model: Annotated[ModelInput, FLAT]
    data: Annotated[DataInput, FLAT] = field(default_factory=DataInput)
    only: Literal["both", "samples", "classification"] = "both"
    """For a model that both samples and classifies: score only its samples or only its classes."""
    n: Count = 10_000
    """Samples, and as many real images; at most half of the real images there are."""
    network: str = ""
    """Feature network: a name, NAME=PATH, or a run folder of a classifier; by default the data
    set's own."""
    untrained: bool = False
    """Also score the same model before training, as the worst case."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    if argv and is_policy(argv[0]):
        evaluate_policy(argv)
        return
    args = tyro.cli(Evaluate, args=argv, prog="zeuxis evaluate")
    began = time.monotonic()
    model = args.model.load()
    name = source_of(args.model.run(), args.data.data).data
    figures, details = (
        points_figures(model, name, args) if name in DENSITIES else image_figures(model, args)
    )
    if args.record.record:
        details = provenance(args.model.name) | details
        args.record.write(figures, began, args.data.seed, **details)


def image_figures(model: Model, args: Evaluate) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores of samples, errors of a classifier or both, and the images that were used."""
    data, images = args.data.load(args.model, model.spec)
    samples = isinstance(model, CanSample)
    classifies = model.can(CanClassify)
    figures: dict[str, Any] = {}
    if args.only == "classification" or (classifies and args.only == "both"):
        classification, _ = score(model, data, split=images.split)
        out.print(classification.confusion_table())
        figures = classification.as_dict()
        if samples:
            figures = {"classification": figures}
    if args.only == "samples" or (args.only == "both" and (samples or not classifies)):
        require(model, CanSample, "draw samples")
        figures |= sample_figures(model, data, args)
    return figures, images.as_dict()


def sample_figures(model: Model, data: Dataset, args: Evaluate) -> dict[str, Any]:
    """Scores of samples on the features of a network."""
    network, seed = args.network or None, args.data.seed
    quality = evaluate(model, data, n=args.n, network=network, seed=seed)
    out.print(quality.table())
    figures: dict[str, Any] = {"trained": quality.as_dict()}
    if args.untrained:
        untrained = build(model.name, model.config, model.spec, seed).eval()
        untrained.update_statistics(data.batch_of(512))
        quality = evaluate(untrained, data, n=args.n, network=network, seed=seed, floor=False)
        out.print("Before training:")
        out.print(quality.table())
        figures["untrained"] = quality.as_dict()
    return figures


def points_figures(
    model: Model, name: str, args: Evaluate
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divergences of points in the plane from their density, and mode coverage of a mixture."""
    target = density(name)
    sampler = require(model, CanSample, "draw samples")
    samples = sampler.sample(args.n, generator=args.data.generator()).cpu()
    result = divergences(samples, target)
    out.print(
        f"KL(data || model) {result.kl:.4f}, Jensen-Shannon {result.js:.4f} nats", markup=False
    )
    figures: dict[str, Any] = {"divergence": vars(result)}
    if isinstance(target, Mixture):
        coverage = mode_coverage(samples, target.centers, target.std)
        out.print(str(coverage), markup=False)
        figures = vars(coverage) | figures
    return figures, {}
