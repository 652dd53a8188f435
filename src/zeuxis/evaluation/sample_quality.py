"""Scores of a model's samples, with the network, the number of images and the floor of each score.

The floor is the score of real images against other real images: one half of the set stands in the
samples' place, as many as there are samples, and both columns compare with the same other half. No
model can be expected to do better.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table

from ..arguments import public
from ..capabilities import CanSample
from ..data.dataset import Dataset
from ..errors import UsageError
from ..model import Model, require
from ..ranges import Count, Seed
from .features.cache import cached_features
from .features.feature_network import FeatureNetwork, feature_network
from .images import phrase
from .metrics import Scores, scores

TITLES = {
    "score": "score (higher is better)",
    "frechet": "Fréchet distance (lower)",
    "kernel": "kernel distance x 1000 (lower)",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}


@dataclass(frozen=True)
class Quality:
    """Scores and their protocol.

    Arguments:
        fake: Scores of the model's samples against real images.
        floor: Scores of real images against the same real images, or None.
        network: The feature network's name.
        network_hash: The first digits of the hash of its weights.
        data: The data set.
        split: The part of it that was compared with, or "" if the caller did not say.
        features: Length of the feature vectors.
        n_real: Real images.
        n_fake: Samples.
        n_floor: Real images in the place of samples, for the floor.
        seed: Fixed codes and the choice of images.
    """

    fake: Scores
    floor: Scores | None
    network: str
    network_hash: str
    data: str
    split: str
    features: int
    n_real: int
    n_fake: int
    n_floor: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)

    def table(self) -> Table:
        """The scores as a table that names network and numbers."""
        network, real = (
            f"{self.network} ({self.network_hash})",
            f"{self.n_real:,} real {phrase(self.split)}",
        )
        title = f"{self.data}: {self.n_fake:,} samples, {real}, features of {network}"
        notes = [f"Kernel distance: subsets of {self.fake.kernel_size:,}."]
        if min(self.n_real, self.n_fake) <= self.features:
            notes.append(
                f"No more images than features ({self.features:,}): the Fréchet distance "
                "is far too high, floor included."
            )
        caption = " ".join(notes)
        table = Table(
            "",
            "samples",
            title=title,
            title_justify="left",
            caption=caption,
            caption_justify="left",
        )
        if self.floor:
            table.add_column(f"real against real ({self.n_floor:,})")
        for key, name in TITLES.items():
            columns = [column for column in (self.fake, self.floor) if column]
            table.add_row(name, *(score_text(column, key) for column in columns))
        return table


def score_text(scores: Scores, key: str) -> str:
    """One score as text, with its standard deviation over subsets where there are several."""
    value, spread = getattr(scores, key), getattr(scores, f"{key}_spread", None)
    factor = 1000 if key == "kernel" else 1
    return f"{factor * value:.3f}" + (f" ± {factor * spread:.3f}" if spread else "")


@public
def evaluate(
    model: Model,
    data: Dataset,
    *,
    n: Count = 10_000,
    network: str | FeatureNetwork | None = None,
    seed: Seed = 0,
    floor: bool = True,
    split: str = "",
) -> Quality:
    """Scores n samples of a model against real images.

    Arguments:
        model: A model that samples images.
        data: Real images, usually the test set. Half of them take the place of the samples for the
            floor; the samples are scored against the other half, so that both columns compare with
            the same images.
        n: Number of samples and of real images in each half; at most half of the real images, since
            scores of unequal numbers do not compare.
        network: A feature network or its name; by default the data set's own.
        seed: Fixes the samples and the choice of images.
        floor: Whether to score real images too.
        split: Which part of the data set `data` is, to be printed.

    Example:
        >>> import zeuxis
        >>> quality = zeuxis.evaluate(
        ...     zeuxis.load("mnist/dcgan"), zeuxis.load_data("mnist", split="test"), n=200
        ... )
        >>> quality.network, quality.fake.score > 3
        ('mnist/classifier', True)
    """
    if n < 20:
        raise UsageError(
            f"Scores of fewer than 20 samples mean nothing, got n = {n}: ask for thousands."
        )
    split = split or data.facts.split
    sampler = require(model, CanSample, "draw samples")
    if len(data.spec.shape) != 3:
        raise UsageError(f"'{data.spec.name}' holds no images: feature networks score images.")
    net = (
        network if isinstance(network, FeatureNetwork) else feature_network(network, data.spec.name)
    )
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    half = min(n, len(data) // 2)
    if half < 20:
        more = ", or train with more held out (--training.hold-out)" if split == "held-out" else ""
        raise UsageError(
            f"'{data.spec.name}' has {len(data)} images, too few to compare with: give "
            f"at least 40{more}."
        )
    real, _ = cached_features(net, data.batch(order[:half])[0], "features of real images")
    samples = sampler.sample(half, generator=torch.Generator().manual_seed(seed)).cpu()
    fake = scores(real, *net.features(samples, "features of samples"))
    floor_scores = None
    if floor:
        others = data.batch(order[half : 2 * half])[0]
        floor_scores = scores(real, *cached_features(net, others, "features of more real images"))
    return Quality(
        fake=fake,
        floor=floor_scores,
        network=net.name,
        network_hash=net.hash,
        data=data.spec.name,
        split=split,
        features=real.shape[1],
        n_real=half,
        n_fake=half,
        n_floor=half if floor else 0,
        seed=seed,
    )
