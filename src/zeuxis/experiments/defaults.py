"""The settings that a training starts from: a recipe's, or ones that fit data without a recipe.

A recipe is made for its own data. For other data the network is that of the model's recipe for
small machines and images of the same kind, gray or color, and narrower where that recipe takes
hours. Length and batch follow from the number of images, for minutes on two cores.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..checkpoints.weights import build
from ..data.config import DataConfig, is_built_in
from ..data.dataset import Dataset, Spec
from ..data.images import FORMATS, EncodedFiles
from ..data.sources import open_source
from ..data.text import ENDINGS
from ..distributed import world_size
from ..errors import UsageError
from ..model import Model
from ..recipes import Recipe, recipe_for, recipes
from ..training.config import TrainingConfig
from .experiment import Experiment

EPOCHS = 300  # at 32 pixels and below; after more of them models mostly memorize their images
FEWEST, MOST = 64_000, 1_000_000  # images seen in a training, for very small and very large sets
SIDES = (32, 64)
HEADERS = 2_000  # files whose headers are read for sizes and colors
SAMPLE = 256  # images in which shades are counted
SHADED = (
    "Most pixels are shades of gray, so each has a likelihood over 256 levels; "
    "--model.likelihood bernoulli takes them as probabilities of white."
)
SMALL_RECIPES = {  # model: recipe for gray images, for color images
    "classifier": ("mnist", "cifar10"),
    "dcgan": ("mnist-small", "cifar10-small"),
    "iaf-ladder": ("cifar10-small", "cifar10-small"),
    "iaf-vae": ("mnist-small", "mnist-small"),
    "improved-gan": ("mnist", "cifar10-4000-small"),
    "improved-gan-augmented": ("mnist", "cifar10-4000-small"),
    "infogan": ("mnist", "svhn"),
    "pixelcnn": ("mnist-small", "cifar10-small"),
    "pixelcnnpp": ("mnist-small", "mnist-small"),
    "pixelrnn": ("mnist-small", "mnist-small"),
    "vae": ("mnist-small", "cifar10"),
}
NARROWER: dict[str, dict[str, Any]] = {  # for fewer than 10,000 color images
    "dcgan": {"channels": 32},
    "pixelcnn": {"channels": 32, "layers": 6},
    "vae": {
        "channels": (32, 64, 64),
        "hidden_dim": 256,
        "latent_dim": 64,
        "optimizer": "muon",
        "lr": 4e-3,
    },
}


def default_experiment(
    kind: type[Model],
    data_config: DataConfig,
    recipe: str = "",
    data: Dataset | None = None,
) -> Experiment:
    """The recipe asked for, that of the data, or settings that fit data without one.

    Arguments:
        kind: The model.
        data_config: Which data, "" for the recipe's. Size, channels and labels per class are
            chosen where it leaves them open.
        recipe: A recipe's name, or "".
        data: The data themselves, instead of the ones that `data_config` names.
    """
    asked = data_config.data if data is None else data.spec.name
    name, base, notes = starting_recipe(kind.name, recipe, asked)
    config, training = (base.config, base.training) if base else (kind.Config(), TrainingConfig())
    if data is None:
        data_config = completed(data_config, base, bool(recipe))
    start = Experiment(kind.name, config, training, data_config, name, data, tuple(notes))
    built_in = is_built_in(asked or data_config.data)
    if built_in or (base is not None and data_config.data == base.data):
        return start
    if data is None:
        data, notes = load_sized(kind, data_config, base)
        if len(data.spec.shape) == 3:
            channels, _, size = data.spec.shape
            data_config = replace(data_config, size=size, channels=channels)
    start = replace(start, data=data, data_config=data_config, notes=tuple(notes))
    if recipe or len(data.spec.shape) != 3:
        return start
    if kind.name in SMALL_RECIPES:
        color = data.spec.shape[0] > 1
        shaded = not color and takes_shades(config) and is_shaded(data)
        name = f"{kind.name}/{SMALL_RECIPES[kind.name][color or shaded]}"
        config, training = recipes()[name].config, recipes()[name].training
        if (color or shaded) and len(data) < 10_000:
            config = replace(config, **NARROWER.get(kind.name, {}))
        if shaded:
            config = replace(config, likelihood="logistic")
            start = replace(start, notes=(*start.notes, SHADED))
        start = replace(start, recipe=name, config=config)
    return replace(start, training=fitted(training, data))


def takes_shades(config: Any) -> bool:
    """Whether a model takes gray images for binary ones unless its settings say otherwise."""
    return getattr(config, "likelihood", "") == "auto"


def is_shaded(data: Dataset) -> bool:
    """Whether most pixels are neither nearly black nor nearly white, as in photographs."""
    rows = torch.linspace(0, len(data) - 1, min(SAMPLE, len(data))).round().long()
    x = data.batch(rows)[0]
    return ((x > 25) & (x < 230)).float().mean().item() > 0.5


def starting_recipe(model: str, recipe: str, data: str) -> tuple[str, Recipe | None, list[str]]:
    """Name and recipe that a training starts from, and a sentence if the machine chose it.

    For a built-in set, without a recipe's name and without a GPU, it is the one for small machines
    if there is one.
    """
    chosen = recipe_for(model, recipe, data)
    if chosen is None:
        return "", None, []
    name, base = chosen
    if recipe or torch.cuda.is_available() or not is_built_in(data or base.data):
        return name, base, []
    candidates = [f"{name}-small", f"{model}/{base.data}-small"]
    if not data and model in SMALL_RECIPES:
        candidates.append(f"{model}/{SMALL_RECIPES[model][0]}")
    small = next((other for other in candidates if other in recipes()), name)
    if small == name:
        return name, base, []
    note = (
        f"There is no GPU here, so this starts from the recipe {small}, made for small machines; "
        f"--recipe {name.split('/', 1)[1]} is the larger one."
    )
    return small, recipes()[small], [note]


def completed(data_config: DataConfig, base: Recipe | None, asked: bool) -> DataConfig:
    """The data with what a recipe chooses: everything for its own data, and for other data the size
    that its network is made for."""
    if base is None:
        return replace(data_config, data=data_config.data or "mnist")
    same = data_config.data.split("=")[0] in ("", base.data)
    return replace(
        data_config,
        data=data_config.data or base.data,
        size=data_config.size or (base.size if same or asked else None),
        labels_per_class=data_config.labels_per_class or (base.labels_per_class if same else None),
    )


def fitted(training: TrainingConfig, data: Dataset) -> TrainingConfig:
    """Length and batch by the number of images and their side."""
    n = max(1, len(data))
    epochs = EPOCHS * min(1.0, SIDES[0] / max(data.spec.shape[1:]))
    images = min(max(round(epochs * n), min(FEWEST, EPOCHS * n)), max(MOST, 10 * n))
    batch = min(32 if n < 1_000 else 64 if n < 10_000 else 128, n)
    batch = max(1, batch // world_size()) * world_size()
    training = replace(training, batch=batch, accumulate=1, schedule="linear", decay_from=0.5)
    return with_images(training, images)


def with_images(training: TrainingConfig, images: int) -> TrainingConfig:
    """A training of another length, with the warm-up and the reports that go with it."""
    images = max(1, images)
    return replace(
        training,
        images=images,
        warmup=round(training.warmup * images / training.images),
        log_every=max(1, min(training.log_every, images // 20)),
    )


def load_sized(
    kind: type[Model], data_config: DataConfig, base: Recipe | None
) -> tuple[Dataset, list[str]]:
    """The data, with size and channels chosen where they are left open, and sentences on that."""
    notes: list[str] = []
    if data_config.size is not None and data_config.channels is not None:
        return data_config.load(), notes
    sizes, channels = sizes_and_channels(data_config)
    if data_config.channels is None and channels:
        data_config = replace(data_config, channels=max(channels))
        if len(channels) > 1:
            notes.append(
                "Some images are gray and some are in color: all become RGB; --channels 1 makes "
                "them gray."
            )
    if data_config.size is None and sizes:
        side, reason = chosen_side(kind, sizes, data_config.channels or 3, base)
        data_config = replace(data_config, size=side)
        if reason:
            notes.append(
                f"{reason}: the central squares are brought to {side}x{side}; --size chooses "
                "another size."
            )
    return data_config.load(), notes


def sizes_and_channels(data_config: DataConfig) -> tuple[list[tuple[int, int]], set[int]]:
    """Width and height of images, and the numbers of channels that occur, from the headers of
    files; nothing for a text or an array."""
    if data_config.data.lower().endswith(ENDINGS):
        return [], set()
    labels = None if data_config.labels is None else Path(data_config.labels)
    images = open_source(data_config.data, "train", labels).images
    if isinstance(images, np.ndarray):  # all of one size already
        return [], set()
    sizes, channels = [], set()
    rows = np.linspace(0, len(images) - 1, min(len(images), HEADERS)).astype(int)
    for i in np.unique(rows).tolist():
        file = images.paths[i] if isinstance(images, EncodedFiles) else io.BytesIO(images.read(i))
        try:
            with Image.open(file, formats=FORMATS) as picture:
                gray = picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I")
                sizes.append(picture.size)
                channels.add(1 if gray else 3)
        except Exception:  # unreadable images are refused, with a sentence, when they are decoded
            continue
    return sizes, channels


def chosen_side(
    kind: type[Model], sizes: list[tuple[int, int]], channels: int, base: Recipe | None
) -> tuple[int, str]:
    """The side to bring images to, and why it differs from theirs."""
    width, height = sizes[0]
    largest = max(SIDES[-1], base.size or 0 if base else 0)
    one_size, middle = len(set(sizes)) == 1, round(median(min(size) for size in sizes))
    if one_size and width == height <= largest and can_build(kind, width, channels, base):
        return width, ""
    side = largest
    if largest == SIDES[-1]:
        side = max((s for s in SIDES if s <= middle), default=SIDES[0])
    if not one_size:
        return side, (
            f"Images have {len(set(sizes)):,} different sizes, the median of their shorter sides "
            f"is {middle} pixels"
        )
    if width != height:
        return side, f"Images are {width} x {height} pixels"
    size = "small" if width < side else "large"
    return side, f"Images are {width} x {height} pixels, {size} for a first training"


def can_build(kind: type[Model], side: int, channels: int, base: Recipe | None) -> bool:
    """Whether a model can be built for square images of this side."""
    config = base.config if base else kind.Config()
    try:
        build(kind.name, config, Spec("", (channels, side, side), 2, ("a", "b")))
    except UsageError:
        return False
    return True
