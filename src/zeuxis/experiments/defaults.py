"""Settings for data without a recipe: size, length, batch and width that fit the set, for minutes
on two cores.

A recipe is made for its own data. For a set of one's own the network is that of the model's recipe
for small machines and images of the same kind, gray or color, made narrower where that recipe takes
hours; length and batch follow from the number of images.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
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

EPOCHS = 300  # at 32 pixels and below; more of them only teach a model its images by heart
LEAST, MOST = (
    64_000,
    1_000_000,
)  # images of a training, where the set has too few or too many for that
SIDES = (32, 64)
LOOKED_AT = 2_000  # files whose headers are read to learn sizes and colors
BASES = {  # model: recipe for gray images, for color
    "classifier": ("mnist", "cifar10"),
    "dcgan": ("mnist-small", "cifar10-small"),
    "iaf-ladder": ("cifar10-small", "cifar10-small"),
    "iaf-vae": ("mnist-small", "mnist-small"),
    "improved-gan": ("mnist", "cifar10-4000-small"),
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


@dataclass(frozen=True)
class Plan:
    """What a training begins with, and sentences on what was chosen for it."""

    recipe: str
    config: Any
    training: TrainingConfig
    source: DataConfig
    data: Dataset | None = None
    notes: tuple[str, ...] = ()


def plan(
    kind: type[Model], source: DataConfig, recipe: str = "", given: Dataset | None = None
) -> Plan:
    """The recipe asked for, that of the data, or settings that fit data without one.

    Arguments:
        kind: The model.
        source: Which data, "" for the recipe's; size, channels and labels a class are chosen if it
            leaves them open.
        recipe: A recipe's name, or "".
        given: The data themselves, instead of the source's.
    """
    found = recipe_for(kind.name, recipe, source.data if given is None else "")
    name, base = found if found else ("", None)
    config, training = (base.config, base.training) if base else (kind.Config(), TrainingConfig())
    own = given is not None or not is_built_in(source.data or (base.data if base else "mnist"))
    if given is None:
        source = completed(source, base, bool(recipe))
    if (
        not own
        or (given is not None and is_built_in(given.spec.name))
        or (base is not None and source.data == base.data)
    ):
        return Plan(name, config, training, source, given)
    data, notes = (given, []) if given is not None else loaded(kind, source, base)
    if given is None:
        source = (
            replace(source, size=data.spec.shape[-1], channels=data.spec.shape[0])
            if len(data.spec.shape) == 3
            else source
        )
    if recipe or len(data.spec.shape) != 3:
        return Plan(name, config, training, source, data, tuple(notes))
    if kind.name in BASES:
        color = data.spec.shape[0] > 1
        name = f"{kind.name}/{BASES[kind.name][color]}"
        config, training = recipes()[name].config, recipes()[name].training
        config = (
            replace(config, **NARROWER.get(kind.name, {}))
            if color and len(data) < 10_000
            else config
        )
    training = fitted(training, data)
    return Plan(name, config, training, source, data, tuple(notes))


def completed(source: DataConfig, base: Recipe | None, chosen: bool) -> DataConfig:
    """A source with what a recipe chooses: for its own data everything, for other data the size its
    network is made for."""
    if base is None:
        return replace(source, data=source.data or "mnist")
    same = source.data.split("=")[0] in ("", base.data)
    return replace(
        source,
        data=source.data or base.data,
        size=source.size or (base.size if same or chosen else None),
        labels_per_class=source.labels_per_class or (base.labels_per_class if same else None),
    )


def fitted(training: TrainingConfig, data: Dataset) -> TrainingConfig:
    """Length and batch by the number of images and their side."""
    n = max(1, len(data))
    passes = EPOCHS * min(1.0, SIDES[0] / max(data.spec.shape[1:]))
    images = min(max(round(passes * n), min(LEAST, EPOCHS * n)), max(MOST, 10 * n))
    batch = min(32 if n < 1_000 else 64 if n < 10_000 else 128, n)
    batch = max(1, batch // world_size()) * world_size()
    return scaled(
        replace(training, batch=batch, accumulate=1, schedule="linear", decay_from=0.5), images
    )


def scaled(training: TrainingConfig, images: int) -> TrainingConfig:
    """Another length, and all that is counted in images with it."""
    images = max(1, images)
    return replace(
        training,
        images=images,
        warmup=round(training.warmup * images / training.images),
        log_every=max(1, min(training.log_every, images // 20)),
    )


def loaded(kind: type[Model], source: DataConfig, base: Recipe | None) -> tuple[Dataset, list[str]]:
    """The data of a source, with size and channels chosen where it leaves them open."""
    notes: list[str] = []
    if source.size is None or source.channels is None:
        sizes, colors = looks(source)
        if source.channels is None and colors:
            source = replace(source, channels=max(colors))
            if len(colors) > 1:
                notes.append(
                    "Some images are gray and some are in color: all become RGB; "
                    "--channels 1 makes them gray."
                )
        if source.size is None and sizes:
            side, reason = chosen_side(kind, sizes, source.channels or 3, base)
            source = replace(source, size=side)
            if reason:
                notes.append(
                    f"{reason}: the central squares are brought to {side}x{side}; --size "
                    "chooses another size."
                )
    return source.load(), notes


def looks(source: DataConfig) -> tuple[list[tuple[int, int]], set[int]]:
    """Width and height of images, and the numbers of channels that occur, from the headers of
    files; nothing for a text."""
    if source.data.lower().endswith(ENDINGS):
        return [], set()
    images = open_source(
        source.data, "train", None if source.labels is None else Path(source.labels)
    ).images
    if isinstance(images, np.ndarray):  # somebody has brought these to their size already
        return [], set()
    sizes, colors = [], set()
    for i in np.unique(
        np.linspace(0, len(images) - 1, min(len(images), LOOKED_AT)).astype(int)
    ).tolist():
        try:
            with Image.open(
                images.paths[i] if isinstance(images, EncodedFiles) else io.BytesIO(images.read(i)),
                formats=FORMATS,
            ) as picture:
                sizes.append(picture.size)
                colors.add(
                    1
                    if picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I")
                    else 3
                )
        except Exception:  # what cannot be read is refused with its own sentence when it is decoded
            continue
    return sizes, colors


def chosen_side(
    kind: type[Model], sizes: list[tuple[int, int]], channels: int, base: Recipe | None
) -> tuple[int, str]:
    """The side to bring images to, and why it is not their own."""
    width, height = sizes[0]
    most = max(SIDES[-1], base.size or 0 if base else 0)
    side = round(median(min(size) for size in sizes))
    if (
        len(set(sizes)) == 1
        and width == height
        and width <= most
        and takes(kind, width, channels, base)
    ):
        return width, ""
    wanted = most if most > SIDES[-1] else max((s for s in SIDES if s <= side), default=SIDES[0])
    if len(set(sizes)) > 1:
        return (
            wanted,
            (
                f"Images have {len(set(sizes)):,} different sizes, the median of their "
                f"shorter sides is {side} pixels"
            ),
        )
    if width != height:
        return wanted, f"Images are {width} x {height} pixels"
    return (
        wanted,
        (
            f"Images are {width} x {height} pixels, {'small' if width < wanted else 'more'} "
            "for a first training"
        ),
    )


def takes(kind: type[Model], side: int, channels: int, base: Recipe | None) -> bool:
    """Whether a model can be built for square images of this side."""
    try:
        build(
            kind.name,
            base.config if base else kind.Config(),
            Spec("", (channels, side, side), 2, ("a", "b")),
        )
    except UsageError:
        return False
    return True
