"""Options that several commands share: a model, a data set, image files.

A command's dataclass has them as fields of type `Annotated[ModelInput, FLAT]`. FLAT leaves out the
field's name on the command line, so that the options are `--weights` and `--data`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from ..checkpoints.run_folder import Run
from ..checkpoints.weights import load, resolve
from ..data.dataset import Dataset, Spec
from ..data.images import image_paths, read_images
from ..errors import UsageError
from ..evaluation.images import Images, check_split, phrase
from ..experiments.unseen import evaluation_data
from ..model import Model
from ..ranges import BaseConfig, Seed

FLAT = tyro.conf.arg(name="")
FILM_SUFFIXES = (".webp", ".gif", ".mp4")


def is_film(path: str | Path) -> bool:
    """Whether the ending of a path asks for a film.

    Example:
        >>> is_film("walk.WEBP"), is_film("walk.png")
        (True, False)
    """
    return Path(path).suffix.lower() in FILM_SUFFIXES


@dataclass(frozen=True)
class ModelInput(BaseConfig, flags="--"):
    """A trained model."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run folder, a shipped model's name as in mnist/dcgan, or hf:owner/name on the Hub."""
    weights: str = ""
    """Which file of the folder, as in model.safetensors for the newest weights; by default the best
    or averaged ones."""

    def load(self, device: str = "cpu") -> Model:
        """The model in eval mode."""
        return load(self.name, self.weights, device)

    def run(self) -> Run:
        """The folder of the model."""
        return Run.open(resolve(self.name))


@dataclass(frozen=True)
class DataInput(BaseConfig, flags="--"):
    """Images of a data set."""

    data: str = ""
    """A data set, as --data of train takes it; by default the run's own."""
    split: str = "test"
    """Part of the data set: test (of a set with one part the images that were not trained on),
    train or held-out."""
    seed: Seed = 0
    """Fixes the choice of images, and everything else that is random."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_split(self.split)

    def generator(self) -> torch.Generator:
        """A random generator with the seed."""
        return torch.Generator().manual_seed(self.seed)

    def load(self, model_input: ModelInput, spec: Spec) -> tuple[Dataset, Images]:
        """The images, and which part of the data set they are.

        Arguments:
            model_input: The model; images that it was trained on are left out of `test`.
            spec: What the model was trained on; its shape must be that of the images.
        """
        data, images = evaluation_data(model_input.name, self.data, self.split)
        if data.spec.shape != spec.shape:
            raise UsageError(
                f"'{data.spec.name}' has images of shape {data.spec.shape} and the model expects "
                f"{spec.shape}."
            )
        return data, images


def sample_positions(positions: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n random entries of `positions`, or all of them where n is 0 or too large."""
    if not 0 < n < len(positions):
        return positions
    return positions[torch.randperm(len(positions), generator=generator)[:n]]


def sample_rows(data: Dataset, n: int, generator: torch.Generator) -> Dataset:
    """n random examples of a data set, or all of it where n is 0 or too large."""
    if not 0 < n < len(data):
        return data
    return data.take(sample_positions(torch.arange(len(data)), n, generator))


@dataclass(frozen=True)
class FileInput(BaseConfig, flags="--"):
    """Images from files."""

    paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE")] = ()
    """Image files or folders of them. Each image is cropped to a square and resized to the model's
    size."""
    invert: bool = False
    """Invert image files first: models of digits expect light strokes on a dark background."""

    def read(self, spec: Spec) -> tuple[Tensor, list[Path]]:
        """The images in a model's size, uint8 (n, channels, height, width), and their files."""
        files = image_paths(self.paths)
        return read_images(files, spec.shape, self.invert), files


@dataclass(frozen=True)
class LoadedImages:
    """Images with their names.

    Arguments:
        data: The images, with labels where the data set has them.
        names: The file, or "image 17" for row 17 of a data set.
        title: Data set, number and part, as in "mnist, 9 of 10,000 test images"; the empty string
            for files.
    """

    data: Dataset
    names: Sequence[str]
    title: str


@dataclass(frozen=True)
class ImageInput(BaseConfig, flags="--"):
    """Images from files, or else from a data set."""

    files: Annotated[FileInput, FLAT] = field(default_factory=FileInput)
    data: Annotated[DataInput, FLAT] = field(default_factory=DataInput)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.files.paths and self.data.data:
            raise UsageError(
                "Give either image files after the model, or a data set with --data. Got both."
            )

    def load(self, model_input: ModelInput, spec: Spec, n: int) -> LoadedImages:
        """The images of all files, or n random images of the data set.

        Arguments:
            model_input: The model.
            spec: What it was trained on.
            n: Images of a data set; 0 takes all.
        """
        if self.files.paths:
            x, files = self.files.read(spec)
            return LoadedImages(
                Dataset(replace(spec, name="files"), x), [f.name for f in files], ""
            )
        whole, images = self.data.load(model_input, spec)
        data = sample_rows(whole, n, self.data.generator())
        rows = range(len(data)) if data.rows is None else data.rows.tolist()
        part = f"{len(data):,} of {len(whole):,} {phrase(images.split)}"
        return LoadedImages(data, [f"image {row}" for row in rows], f"{data.spec.name}, {part}")
