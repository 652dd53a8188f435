"""A run that is measured: its model, its samples and their features, each made once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ... import files
from ...capabilities import CanSample
from ...checkpoints.run_folder import Run
from ...checkpoints.weights import default_weights, load, resolve
from ...data.dataset import Dataset
from ...evaluation.features.cache import cached_features
from ...model import Model, require
from .effort import Effort
from .entrants import Entrant
from .material import Material, some
from .trainings import LAST

NEIGHBORS = 20_000  # training images in whose features the nearest are found


class Subject:
    """A run that is measured.

    Arguments:
        entrant: Whose run it is.
        seed: Its seed, or its position among given runs.
        place: The run folder or shipped model.
        material: Data and features.
        effort: Numbers of samples and images.
        folder: Where samples and pictures are kept.
        weights: The file of the weights, "" for the averaged ones of the last step.
    """

    def __init__(
        self,
        entrant: Entrant,
        seed: int,
        place: str | Path,
        material: Material,
        effort: Effort,
        folder: Path,
        weights: str = "",
    ) -> None:
        self.entrant, self.seed, self.place = entrant, seed, place
        self.material, self.effort, self.folder = material, effort, folder
        run = Run.open(resolve(place))
        there = weights or (LAST if run.path(LAST).exists() else default_weights(run))
        self.weights = there

    @property
    def key(self) -> str:
        """Part of the names of its files."""
        return f"{self.entrant.name}-seed{self.seed}"

    @cached_property
    def model(self) -> Model:
        """The model in eval mode."""
        return load(self.place, self.weights)

    @property
    def count(self) -> int:
        """Samples, and real images in each half of the test part."""
        return min(self.effort.samples, len(self.material.test) // 2)

    @cached_property
    def samples(self) -> Tensor:
        """Samples of the model, from a file if they were drawn before."""
        path = self.folder / "samples" / f"{self.key}.safetensors"
        about = {"weights": self.weights, "n": str(self.count)}
        if path.exists():
            try:
                kept = load_file(path)["samples"]
            except (OSError, SafetensorError, KeyError):
                kept = torch.empty(0)
            if len(kept) == self.count:
                return kept
        sampler = require(self.model, CanSample, "draw samples")
        x = sampler.sample(self.count, generator=torch.Generator().manual_seed(0)).cpu()
        x = x.contiguous()
        files.write(path, lambda partial: save_file({"samples": x}, partial, about))
        return x

    @cached_property
    def fake(self) -> tuple[Tensor, Tensor]:
        """Features and logits of the samples."""
        return self.material.network.features(self.samples, f"features of {self.key}")

    def real_half(self, second: bool = False) -> tuple[Tensor, Tensor]:
        """Features and logits of one half of the test images, in a fixed random order."""
        test, n = self.material.test, self.count
        order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
        x = test.batch(order[n : 2 * n] if second else order[:n])[0].cpu()
        return cached_features(self.material.network, x, "features of test images")

    @property
    def neighbors(self) -> Dataset:
        """Training images among which the nearest are looked for."""
        return some(self.material.train, NEIGHBORS)

    @cached_property
    def features_of_train(self) -> Tensor:
        """Features of `neighbors`."""
        x = self.neighbors.all().cpu()
        return cached_features(self.material.network, x, "features of training images")[0]

    def picture(self, name: str, picture: Any) -> str:
        """Keeps a picture as PNG; returns its name below the folder of the comparison."""
        path = self.folder / "pictures" / f"{self.key}-{name}.png"
        files.write(path, lambda partial: picture.save(partial, "PNG", optimize=True))
        return f"pictures/{path.name}"
