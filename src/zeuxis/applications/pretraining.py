"""Pre-training where labels are dear: what a generative model has learned without labels, measured
by the errors of classifiers from a few of them.

On the same labeled images of each split:

- **fine-tuned**: the model's network with a linear head, both trained (`fine_tuning`);
- **linear probe**: softmax regression on the model's frozen features (`linear_probe`);
- **from scratch**: the same network, trained in the same way from random weights with the best of
  several step sizes;
- **random features**: a linear probe on the network's features before any training;
- **PCA**: a linear probe on the 50 first principal components of the pixels;
- **network on features** and **convolutional network**, if asked for: see `few_label_networks`.

A split has the same number of labels in each class, and those for few labels are among those for
more. Ridge and step size are chosen on the labels of the split alone: `classifiers` is given no
test labels.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from rich.table import Column, Table
from torch import Tensor, nn

from ..arguments import public
from ..capabilities import CanClassify, CanFeature, CanFineTune
from ..checkpoints.weights import build
from ..data.dataset import Dataset
from ..data.labels import few_labels, labels_of
from ..errors import UsageError
from ..evaluation.linear_probe import Probe, fit_probe
from ..model import Model, require
from ..nn.trunk import in_parts
from ..progress import meter
from .few_label_networks import Features, OnFeatures, convolutional
from .fine_tuning import FineTuning, choose_lr, fine_tune

FINE_TUNED, PROBE, SCRATCH = "fine-tuned", "linear probe", "from scratch"
RANDOM, PCA = "random features", "PCA"
ON_FEATURES, CONVOLUTIONAL = "network on features", "convolutional network"
METHODS = (FINE_TUNED, PROBE, SCRATCH, RANDOM, PCA)
NETWORKS = (ON_FEATURES, CONVOLUTIONAL)
STARTS = {FINE_TUNED: PROBE, SCRATCH: RANDOM}  # whose probe the head of a network begins as
COMPONENTS = 50
UNLABELED = 10_000  # images that the principal axes are taken from
STATISTICS = 1_000  # images that batch statistics are estimated from

Classify = Callable[[UInt8[Tensor, "n *shape"]], Int[Tensor, "n"]]


@dataclass(frozen=True)
class Trained:
    """One classifier.

    Arguments:
        method: One of `METHODS`.
        classify: Images to classes.
        choice: What was chosen for it: the ridge of a probe, the step size of a network.
    """

    method: str
    classify: Classify
    choice: float


@dataclass
class Outcome:
    """Errors of one method with one number of labels.

    Arguments:
        errors: Wrongly classified test images in percent, one for each split.
        choices: What was chosen, one for each split.
        seconds: CPU seconds of all splits, training and test.
    """

    errors: list[float] = field(default_factory=list)
    choices: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """Mean over the splits (percent)."""
        return statistics.fmean(self.errors)

    @property
    def std(self) -> float:
        """Standard deviation over the splits (percent), 0 for one split."""
        return statistics.stdev(self.errors) if len(self.errors) > 1 else 0.0


@dataclass(frozen=True)
class Comparison:
    """Outcomes by number of labels and method.

    Arguments:
        outcomes: `outcomes[100]["linear probe"]` has the errors with 100 labels.
        test_images: Images that every error is a share of.
    """

    outcomes: dict[int, dict[str, Outcome]]
    test_images: int

    def saved(self, n: int) -> float | None:
        """Share of the errors from scratch that the better of probe and fine-tuning avoids, in
        percent; None without a network to train."""
        methods = self.outcomes[n]
        if SCRATCH not in methods:
            return None
        best = min(methods[name].mean for name in (FINE_TUNED, PROBE))
        return 100 * (1 - best / max(methods[SCRATCH].mean, 1e-9))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        figures: dict[str, Any] = {"test images": self.test_images}
        for n, methods in self.outcomes.items():
            figures[str(n)] = {
                name: {
                    "mean": found.mean,
                    "std": found.std,
                    "errors": found.errors,
                    "choices": found.choices,
                    "cpu seconds": round(found.seconds, 1),
                }
                for name, found in methods.items()
            }
            if (saved := self.saved(n)) is not None:
                figures[str(n)]["fewer errors"] = saved
        return figures

    def table(self) -> Table:
        """Mean and deviation of the errors, a row for each method."""
        number = {"justify": "right", "no_wrap": True}
        columns = [
            Column(f"{n:,} labels", **number)  # type: ignore[arg-type]
            for n in self.outcomes
        ]
        table = Table(Column("errors, %", no_wrap=True), *columns)
        for name in METHODS + NETWORKS:
            if all(name in methods for methods in self.outcomes.values()):
                found = [methods[name] for methods in self.outcomes.values()]
                table.add_row(name, *(f"{o.mean:.2f} ± {o.std:.2f}" for o in found))
        saved = [self.saved(n) for n in self.outcomes]
        if None not in saved:
            table.add_row("fewer than from scratch", *(f"{share:.0f} %" for share in saved))
        return table


@public
def pretraining(
    model: Model,
    train: Dataset,
    test: Dataset,
    *,
    labels: Sequence[int] = (100, 600, 1000, 3000),
    splits: int = 10,
    seed: int = 0,
    settings: FineTuning | None = None,
    networks: bool = False,
    quiet: bool = False,
) -> Comparison:
    """Compares classifiers from a model's features and network with those that lack them.

    Arguments:
        model: A model that was trained without labels.
        train: Labeled images, of which each split takes a few.
        test: Labeled images that errors are counted on.
        labels: Numbers of labels over all classes.
        splits: Choices of the labeled images; the first has the seed, the next the one after it.
        seed: Seed of the first split.
        settings: How networks are trained.
        networks: Whether to train `NETWORKS` as well.
        quiet: Leave out the progress on standard error.

    Raises:
        UsageError: There are fewer than 2 labels for each class, or the model has seen labels.
        DataError: A set has no labels, or a class too few.
        MissingCapability: The model has no features.

    Example:
        >>> import zeuxis
        >>> from zeuxis.data import hold_out
        >>> train, test = hold_out(zeuxis.load_data("mnist", split="test"), 500, seed=0)
        >>> model = zeuxis.load("mnist/dcgan")
        >>> settings = FineTuning(steps=2, scratch_lr=(1e-3,))
        >>> found = pretraining(
        ...     model, train, test, labels=[20], splits=1, settings=settings, quiet=True
        ... )
        >>> found.outcomes[20]["linear probe"].mean < found.outcomes[20]["random features"].mean
        True
    """
    check_model(model)
    check_labels(train, test, labels)
    settings = settings or FineTuning()
    x, y = labeled(test)
    comparison = Comparison({n: {} for n in labels}, len(x))
    chosen = 1 + len(settings.scratch_lr) * (len(settings.scratch_lr) > 1)
    trainings = model.can(CanFineTune) * (1 + chosen) + networks * 2 * chosen
    total = splits * len(labels) * (trainings * settings.steps or 1)
    what = "updates of networks" if trainings else "splits"
    with meter(total, what, every=1e9 if quiet else 10.0) as advance:
        rest = (advance if trainings else lambda steps: None), networks
        for split in range(seed, seed + splits):
            for n, found in classifiers(model, train, labels, split, settings, *rest):
                outcomes, began = comparison.outcomes[n], time.process_time()
                for trained in found:
                    errors = int((trained.classify(x) != y).sum())
                    outcome = outcomes.setdefault(trained.method, Outcome())
                    outcome.errors.append(100 * errors / len(x))
                    outcome.choices.append(trained.choice)
                    outcome.seconds += time.process_time() - began
                    began = time.process_time()
                if not trainings:
                    advance(1)
    return comparison


def classifiers(
    model: Model,
    train: Dataset,
    labels: Sequence[int],
    split: int,
    settings: FineTuning,
    advance: Callable[[float], None] = lambda steps: None,
    networks: bool = False,
) -> Iterator[tuple[int, Iterator[Trained]]]:
    """For each number of labels the classifiers of one split; nothing of the test part is known
    here.

    Arguments:
        split: Seed of the choice of labels, of random weights, and of batches.
        advance: Called with 1 after each update of a network.
    """
    generator = torch.Generator().manual_seed(split)
    some = torch.randperm(len(train), generator=generator)
    unlabeled = train.batch(some[:UNLABELED])[0]
    trunks: dict[str, nn.Module] = {}
    untrained = build(model.name, model.config, model.spec, split).to(model.device)
    untrained.initialize_from_data(train.take(some), split)
    untrained.eval().update_statistics(unlabeled[:STATISTICS])
    if model.can(CanFineTune):
        for name, source in ((FINE_TUNED, model), (SCRATCH, untrained)):
            trunks[name] = require(source, CanFineTune, "be fine-tuned").trunk()
    verb = "describe examples by features"
    features: dict[str, Features] = {
        PROBE: LastKept(require(model, CanFeature, verb).features),
        RANDOM: LastKept(require(untrained, CanFeature, verb).features),
        PCA: principal_components(unlabeled),
    }
    if networks:
        trunks[ON_FEATURES] = OnFeatures(features[PROBE], unlabeled[:STATISTICS], split)
        trunks[CONVOLUTIONAL] = convolutional(model.spec, split).eval()

    def trained(n: int) -> Iterator[Trained]:
        few = few_labels(train, n // train.spec.classes, split)
        x, y = labeled(few)
        classes = train.spec.classes
        probes = {name: fit_probe(read(x), y, classes) for name, read in features.items()}
        for name, probe in probes.items():
            yield Trained(name, probe_classifier(probe, features[name]), probe.ridge)
        for name, trunk in trunks.items():
            rates = (settings.lr,) if name == FINE_TUNED else settings.scratch_lr
            rest = (split, unlabeled[:STATISTICS], advance)
            lr = choose_lr(trunk, x, y, classes, settings, rates, *rest)
            start = probes.get(STARTS.get(name, ""))
            probe = start or fit_probe(in_parts(trunk, x), y, classes)
            network = fine_tune(trunk, probe, x, y, settings, lr, *rest)
            yield Trained(name, network_classifier(network), lr)

    for n in labels:
        yield n, trained(n)


class LastKept:
    """Features that are computed once for images that come again and again, as the test images do.

    Arguments:
        features: What computes them.
    """

    def __init__(self, features: Features) -> None:
        self.features = features
        self.x, self.found = torch.empty(0), torch.empty(0)

    def __call__(self, x: UInt8[Tensor, "n *shape"]) -> Float[Tensor, "n features"]:
        if x is not self.x:
            self.x, self.found = x, self.features(x)
        return self.found


def probe_classifier(probe: Probe, features: Features) -> Classify:
    """Images to the likeliest class of a probe."""
    return lambda x: probe.logits(features(x)).argmax(1)


def network_classifier(network: nn.Module) -> Classify:
    """Images to the likeliest class of a network."""
    return lambda x: in_parts(network, x).argmax(1)


def principal_components(x: UInt8[Tensor, "n *shape"]) -> Features:
    """A function that gives the first principal components of images.

    Arguments:
        x: Images from which mean and axes are taken.
    """
    rows = x.flatten(1).float() / 255
    mean = rows.mean(0)
    _, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    axes = axes[:, -min(COMPONENTS, axes.shape[1]) :]
    return lambda images: (images.flatten(1).float() / 255 - mean) @ axes


def labeled(data: Dataset) -> tuple[Tensor, Tensor]:
    """The examples that have a label, and their labels."""
    positions = torch.nonzero(labels_of(data, "Pre-training") >= 0)[:, 0]
    x, y = data.batch(positions)
    assert y is not None
    return x, y


def check_model(model: Model) -> None:
    """Refuses a model without features or with knowledge of labels."""
    require(model, CanFeature, "describe examples by features")
    if model.can(CanClassify) or model.conditional:
        raise UsageError(
            f"The model '{model.name}' was trained with labels, and pre-training is measured "
            "without: give a model that was trained on images alone, as a vae."
        )


def check_labels(train: Dataset, test: Dataset, labels: Sequence[int]) -> None:
    """Refuses sets without labels, and numbers of labels that cannot be split evenly."""
    for data in (train, test):
        labels_of(data, "Pre-training")
    classes = train.spec.classes
    if not labels:
        raise UsageError("Give at least one number of labels, as in --labels 100.")
    for n in labels:
        if n < 2 * classes or n % classes:
            raise UsageError(
                f"--labels has {n} for {classes} classes: give a multiple of {classes} from "
                f"{2 * classes} on, so that each class has the same number, two or more."
            )
