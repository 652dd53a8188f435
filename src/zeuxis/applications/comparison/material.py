"""What models are trained and measured on: three parts of a data set, and a feature network.

The training part is learned from, the validation part chooses (checkpoints, widths of
observations), and the test part is measured on and chooses nothing. A set without a test part is
divided: a fifth of it is held out by a fixed seed, half of that for each of the other parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...checkpoints.run_folder import Run
from ...checkpoints.weights import build, shipped
from ...data import hold_out
from ...data.config import DataConfig
from ...data.dataset import Dataset
from ...distributed import World
from ...errors import UsageError
from ...evaluation.features.classifier import ClassifierConfig
from ...evaluation.features.feature_network import FeatureNetwork, feature_network
from ...evaluation.features.principal import principal_components
from ...model import Model
from ...progress import console
from ...training.budget import fit_minutes
from ...training.config import TrainingConfig
from ...training.held_out import SEED
from ...training.loop import fit

VALIDATION = 5_000  # images of a set with a test part
FEWEST = 50  # images of a set that can be compared on
FEW = 2_000  # training images below which the page warns
CLASSIFIED = 1_000  # labeled training images from which a classifier is trained
MOST_CLASSES = 100  # of a classifier that is trained in minutes
CLASSIFIER_MINUTES = 3.0


@dataclass(frozen=True)
class Material:
    """Data and features.

    Arguments:
        whole: The training part of the source, out of which `validation` is held.
        train: What models learn from.
        validation: What choices are made on.
        test: What figures are measured on.
        config: Where the data come from.
        held: The entry of `config.json` that says what was held out.
        network: Features for scores.
        classifies: Whether the network's logits are of the data's classes.
        notes: Sentences for the page on what is special about these data.
    """

    whole: Dataset
    train: Dataset
    validation: Dataset
    test: Dataset
    config: DataConfig
    held: dict[str, int]
    network: FeatureNetwork
    classifies: bool
    notes: tuple[str, ...]

    @property
    def gray(self) -> bool:
        """Whether images have one channel, so that their pixels can be binarized."""
        return self.test.spec.shape[0] == 1


def some(data: Dataset, n: int) -> Dataset:
    """n examples in a fixed random choice, as the first ones of a folder are of one class.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> x, y = torch.zeros(90, 1, 2, 2, dtype=torch.uint8), torch.arange(90) // 30
        >>> few = some(Dataset(Spec("sorted", (1, 2, 2), 3), x, y), 30)
        >>> len(few), len(few.labels.unique())
        (30, 3)
    """
    if n >= len(data):
        return data
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(SEED))[:n]
    return data.take(chosen.sort().values)


def material(config: DataConfig, folder: Path, network: str, minutes: float) -> Material:
    """Loads the parts, and finds or trains the feature network.

    Arguments:
        config: Which data.
        folder: Where a classifier is trained, if one has to be.
        network: A feature network's name, "" to choose.
        minutes: Length of the training of a classifier, at most.

    Raises:
        UsageError: The data are no images, or too few.
    """
    whole = config.load("train")
    if len(whole.spec.shape) != 3:
        raise UsageError(
            f"'{whole.spec.name}' has examples of shape {whole.spec.shape}, and compare is for "
            "images."
        )
    if len(whole) < FEWEST:
        raise UsageError(
            f"'{whole.spec.name}' has {len(whole)} images: compare needs at least {FEWEST}."
        )
    notes: list[str] = []
    if whole.facts.part == "all":
        held = {"images": len(whole) // 5, "of": len(whole), "seed": SEED}
        train, out = hold_out(whole, held["images"], SEED)
        validation, test = hold_out(out, len(out) // 2, SEED)
        notes.append(
            f"The set has no test part: of its {len(whole):,} images {len(train):,} are trained "
            f"on, {len(validation):,} choose and {len(test):,} measure."
        )
    else:
        test = config.load("test")
        held = {"images": min(VALIDATION, len(whole) // 6), "of": len(whole), "seed": SEED}
        train, validation = hold_out(whole, held["images"], SEED)
    if len(train) < FEW:
        notes.append(
            f"{len(train):,} training and {len(test):,} test images are few: distances and "
            "coverage are far from what more images would give, and any model may have memorized "
            "its images. Intervals are wide, and most verdicts have to stay open."
        )
    features, classifies = features_for(train, validation, folder, network, minutes)
    return Material(
        whole, train, validation, test, config, held, features, classifies, tuple(notes)
    )


def features_for(
    train: Dataset, validation: Dataset, folder: Path, network: str, minutes: float
) -> tuple[FeatureNetwork, bool]:
    """The network asked for, the one that ships for the data, a classifier trained on their labels,
    or principal components."""
    spec = train.spec
    if network or f"{spec.name}/classifier" in shipped():
        found = feature_network(network or None, spec.name)
        return found, not found.name.startswith(("inception", "efficientnet"))
    labeled = 0 if train.labels is None else int((train.labels >= 0).sum())
    if (
        2 <= spec.classes <= MOST_CLASSES
        and labeled == len(train) >= CLASSIFIED
        and min(spec.shape[1:]) >= 8
    ):
        place = trained_classifier(train, folder / "classifier", min(minutes, CLASSIFIER_MINUTES))
        found = replace(feature_network(str(place)), name=f"classifier of {spec.name}")
        return found, True
    return principal_components(some(train, 5_000).all()), False


def trained_classifier(train: Dataset, folder: Path, minutes: float) -> Path:
    """A classifier for the data's own labels; one that was trained before is kept."""
    run = Run.at(folder)
    if run.path("done").exists():
        return folder
    console.print(f"Training a classifier of {train.spec.name}, whose features give the scores.")
    model = build("classifier", ClassifierConfig(), train.spec)
    training = TrainingConfig(
        minutes=minutes, film=0, schedule="linear", decay_from=0.3, warmup=5_000
    )
    return fitted(model, train, training, run)


def fitted(model: Model, train: Dataset, training: TrainingConfig, run: Run) -> Path:
    """Trains a model for a fixed time and marks its folder as done."""
    fit(model, train, run.folder, fit_minutes(model, train, training, World()), quiet=True)
    run.write("done", "")
    return run.folder
