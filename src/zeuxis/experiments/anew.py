"""The experiment that a run's config.json describes, to begin it anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checkpoints.ownership import is_own
from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import from_json
from ..checkpoints.weights import shipped
from ..errors import UsageError
from ..registry import model_class
from ..training.config import TrainingConfig
from .experiment import Experiment
from .resume import data_config_of, section, where


def described_experiment(config: str | Path, data: str = "") -> Experiment:
    """The experiment of a config.json, with the length that its training had.

    Arguments:
        config: A run folder, or its config.json.
        data: The data, instead of those that the file names.

    Raises:
        UsageError: It describes no training of a model; or somebody else wrote it, and it names
            data, weights or a tracking service that are only followed for runs of one's own.
    """
    path = Path(config)
    run = Run.open(path.parent if path.name == "config.json" else path)
    about = run.read_config()
    if "algorithm" in about:
        raise UsageError(
            f"'{config}' describes a policy: --config is for models, and zeuxis train "
            f"{str(about['algorithm'])[:20]} --env TASK begins a policy."
        )
    if "training" not in about:
        raise UsageError(f"'{config}' describes a saved model and no training: give a run's.")
    kind = model_class(str(about.get("model")), str(about.get("class", "")))
    settings: Any = from_json(kind.Config, section(run, about, "config"), where(run))
    training = from_json(TrainingConfig, section(run, about, "training"), where(run))
    if not is_own(about):
        if training.start and training.start not in shipped():
            raise UsageError(
                f"'{config}' begins from '{training.start[:120]}' and was not made by you here: "
                "name the weights with --training.start in a command of your own."
            )
        training = replace(training, track="")
    data_config = data_config_of(run, about, data, None)
    recipe = about.get("recipe", "")
    training = replace(training, minutes=0.0)  # its length is the one that the minutes gave
    return Experiment(kind.name, settings, training, data_config, recipe=str(recipe))
