"""Recipes: for each published figure (and for smaller machines) the settings, the data, the source
and the target.

A recipe is named `model/name`. `zeuxis train dcgan --recipe mnist` starts from it, and every option
given after it counts more.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..training.config import TrainingConfig


@dataclass(frozen=True)
class Recipe:
    """Settings that lead to a figure.

    Arguments:
        model: The model's name.
        data: The data set's name, as `--data` takes it.
        settings: The model's config.
        training: The training's settings.
        size: Side that images are brought to (pixels), None for the data's own.
        labels_per_class: Labels to keep in each class, None for all.
        source: Where the settings come from.
        target: The published figure, in words; empty where there is none.
        note: What differs from the source, and for whom the recipe is.
    """

    model: str
    data: str
    config: Any
    training: TrainingConfig
    size: int | None = None
    labels_per_class: int | None = None
    source: str = ""
    target: str = ""
    note: str = ""


def recipes() -> dict[str, Recipe]:
    """Every recipe by its name `model/name`, found in the files of this folder.

    Example:
        >>> recipes()["dcgan/mnist"].data
        'mnist'
    """
    found: dict[str, Recipe] = {}
    for info in pkgutil.iter_modules(__path__):
        found |= getattr(importlib.import_module(f"{__name__}.{info.name}"), "RECIPES", {})
    return found


def recipe_for(model: str, name: str = "", data: str = "") -> tuple[str, Recipe] | None:
    """The named recipe of a model; without a name the one called after the data, else the model's
    first.

    Raises:
        UsageError: There is no recipe of that name; the sentence lists the ones there are.
    """
    own = {key.split("/", 1)[1]: key for key in recipes() if key.startswith(model + "/")}
    if name:
        short = name.removeprefix(model + "/")
        if short not in own:
            near = difflib.get_close_matches(short, own, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(own) or 'none'}."
            raise UsageError(f"The model '{model}' has no recipe '{name}': {hint}")
        return own[short], recipes()[own[short]]
    chosen = own.get(data.split("=")[0]) or next(iter(own.values()), None)
    return None if chosen is None else (chosen, recipes()[chosen])
