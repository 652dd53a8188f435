"""The command written into records is one that the command line takes, and gives the run's settings
back."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest
import tyro

from zeuxis.checkpoints.serialization import to_json
from zeuxis.commands.provenance import training_command
from zeuxis.recipes import recipes
from zeuxis.registry import model_class


@pytest.mark.parametrize(
    ("name", "config", "training"),
    [
        ("vae/mnist", {"channels": (8, 16), "open_edges": False}, {"clip": 1.0}),
        (
            "infogan/heads",
            {"categorical": (10, 5), "inform_generator": False},
            {"compile": True, "images": 5},
        ),
        ("improved-gan/mnist", {"reuse": False, "lr": 0.5}, {"schedule": "cosine"}),
        ("iaf-ladder/cifar10", {"blocks": (10, 10)}, {}),
    ],
)
def test_the_command_of_a_run_gives_its_settings_back(
    name: str, config: dict, training: dict
) -> None:
    recipe = recipes()[name]
    config, training = replace(recipe.config, **config), replace(recipe.training, **training)
    about = {
        "model": recipe.model,
        "recipe": name,
        "config": to_json(config),
        "training": to_json(training),
        "data": {"data": recipe.data},
    }
    argv = shlex.split(training_command(json.loads(json.dumps(about))))
    assert argv[:5] == ["zeuxis", "train", recipe.model, "--recipe", name.split("/")[1]]
    for part, kind, base, expected in (
        ("model", model_class(recipe.model).Config, recipe.config, config),
        ("training", type(training), recipe.training, training),
    ):
        options: list[str] = []
        for arg in argv[5:]:
            if arg.startswith("--"):
                belongs = arg.startswith(f"--{part}.")
            if belongs:
                options.append(arg.replace(f"--{part}.", "--", 1))
        assert tyro.cli(kind, args=options, default=base) == expected


def test_what_a_recipe_gives_is_not_repeated() -> None:
    recipe = recipes()["vae/mnist"]
    about = {
        "model": "vae",
        "recipe": "vae/mnist",
        "config": to_json(recipe.config),
        "training": to_json(recipe.training),
    }
    about["data"] = {"data": "mnist"}
    assert training_command(json.loads(json.dumps(about))) == "zeuxis train vae --recipe mnist"
