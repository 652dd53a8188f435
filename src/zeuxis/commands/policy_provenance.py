"""The command that trains a policy with the settings of its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoints.serialization import to_json
from ..experiments.policy_training import PolicyTraining
from ..recipes.policies import PRESETS, policy_experiment
from .options import option_for


def policy_command(about: dict[str, Any]) -> str:
    """The command of the training that a config.json describes: what differs from the defaults."""
    algorithm, env, preset = about["algorithm"], about["env"], about.get("preset", "")
    argv = ["zeuxis", "train", algorithm, "--env", env]
    if "demos" in about:
        argv += ["--demos", Path(about["demos"]).name]
    if preset and preset != next(iter(PRESETS.get(algorithm, {preset: ""}))):
        argv += ["--preset", preset]
    usual = PolicyTraining(algorithm, policy_experiment(algorithm, env, preset)).configs()
    for part, config in usual.items():
        defaults = {k: list(v) if isinstance(v, tuple) else v for k, v in to_json(config).items()}
        for key, value in about.get(part, {}).items():
            if key != "minutes" and value != defaults.get(key, value):
                argv.append(option_for(f"{part}.{key}", value))
    return " ".join(argv)
