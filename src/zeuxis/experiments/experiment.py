"""What is trained, on which data and how: one object from the options to the training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..data.config import DataConfig
from ..data.dataset import Dataset
from ..training.config import TrainingConfig


@dataclass(frozen=True)
class Experiment:
    """A model with its settings, its data and its training.

    Arguments:
        model: The model's name.
        config: The model's settings.
        training: The training's settings.
        data_config: Which data.
        recipe: The recipe that the settings come from, "" for none.
        data: The data themselves where they are loaded already.
        notes: Sentences on what was chosen, printed before the training.
    """

    model: str
    config: Any
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data_config: DataConfig = field(default_factory=DataConfig)
    recipe: str = ""
    data: Dataset | None = None
    notes: tuple[str, ...] = ()
