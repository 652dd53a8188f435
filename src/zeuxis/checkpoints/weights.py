"""Models as folders others can share: `save` writes one, `load` opens it, a run folder, or a model
that ships with zeuxis."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import files
from ..arguments import public
from ..data.dataset import Spec
from ..device import device_named
from ..errors import UsageError, ZeuxisError
from ..model import Model
from ..ranges import checked, shown
from ..registry import model_class, place
from .bounded import Unfit, bounded
from .hub import downloaded, is_hub_name
from .run_folder import Run
from .serialization import from_json, to_json
from .tensor_file import not_finite

SHIPPED = Path(__file__).parents[1] / "shipped"
LARGEST = 1 << 24  # numbers in one example: a picture of 4096 x 4096
WEIGHTS = ("best.safetensors", "ema.safetensors", "model.safetensors")


def shipped() -> dict[str, Path]:
    """The models that come with zeuxis, by their name `data/model`."""
    return {
        str(p.parent.relative_to(SHIPPED)): p.parent
        for p in sorted(SHIPPED.glob("*/*/config.json"))
    }


def describe(model: Model) -> dict[str, Any]:
    """The description of a model in config.json, by which `load` finds it again."""
    kind = model_class(type(model))
    return {
        "zeuxis": version("zeuxis"),
        "model": kind.name,
        "config": to_json(model.config),
        "spec": to_json(model.spec),
    } | ({} if kind.__module__.startswith("zeuxis.") else {"class": place(kind)})


def build(name: str | type[Model], config: Any, spec: Spec, seed: int = 0) -> Model:
    """A new model whose first weights are a function of the seed; the global generator is left as
    it was."""
    kind = model_class(name)
    if not isinstance(config, kind.Config):
        raise UsageError(
            f"The model '{kind.name}' takes settings of the type {kind.Config.__name__}, "
            f"got {config!r}."
        )
    checked(kind.Config, vars(config))  # for those that do not check themselves when they are made
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config, spec)


def rebuild(
    name: str,
    config: Any,
    spec: Spec,
    shapes: Mapping[str, tuple[int, ...]],
    where: str,
    seed: int = 0,
) -> Model:
    """The same for settings out of a file, which must be those of the weights beside it.

    Arguments:
        name, config, spec, seed: As for `build`.
        shapes: Of the weights, by name.
        where: The file of the settings, for error sentences.

    Raises:
        ZeuxisError: No model can be built from the settings, or one with other weights.
    """
    try:
        if (
            math.prod(spec.shape) > LARGEST
            or min(spec.shape, default=0) < 1
            or not 0 <= spec.classes <= LARGEST
        ):
            raise Unfit(
                f"it names examples of shape {str(spec.shape)[:60]} and "
                f"{str(spec.classes)[:30]} classes"
            )
        with bounded(shapes):
            model = build(name, config, spec, seed)
    except UsageError:
        raise
    except Exception as error:  # whatever a constructor says to settings that nobody would give it
        reason = files.reason(error) or type(error).__name__
        sentence = (
            f"'{where}' does not fit the weights beside it, or is damaged "
            f"({reason}): restore both from a copy."
        )
        raise ZeuxisError(sentence) from error
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    wrong = sorted(shapes.keys() ^ expected.keys()) or [
        key for key in expected if shapes[key] != expected[key]
    ]
    if wrong:
        raise ZeuxisError(
            f"'{where}' does not fit the weights beside it ('{wrong[0][:80]}' differs): "
            "restore both from a copy."
        )
    return model


@public
def save(
    model: Model, folder: str | Path, precision: torch.dtype | None = None, **about: Any
) -> Path:
    """Writes a model as config.json and model.safetensors.

    Arguments:
        model: What is saved, with the weights it has now.
        folder: Made if need be.
        precision: Type of the stored weights, as in torch.float16 for half the size; None keeps
            theirs.
        about: Further entries of config.json.

    Raises:
        UsageError: `load` could not find the model's class again by its name.
    """
    described = describe(model)
    try:
        json.dumps(about)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"config.json holds texts, numbers, lists and dicts only, got {shown(about)}: {error}."
        ) from error
    run = Run.at(folder)
    tensors = {
        k: v.to(precision) if precision and v.is_floating_point() else v
        for k, v in model.state_dict().items()
    }
    run.write_tensors("model.safetensors", tensors, about)
    run.write_json("config.json", described | about)
    return run.folder


def resolve(name: str | Path) -> Path:
    """The folder of a run, of a saved model, of a shipped model named `data/model`, or of a model
    of the Hub named `hf:owner/name`, which is downloaded."""
    if is_hub_name(name):
        return downloaded(str(name))
    path, known = Path(name), shipped()
    if str(name) and path.is_dir():
        return path
    if str(name) in known:
        return known[str(name)]
    near = difflib.get_close_matches(str(name), known, 1, 0.5)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"the shipped models are {', '.join(known) or 'none'}."
    )
    raise UsageError(f"'{name}' is neither a folder nor a model that ships with zeuxis; {hint}")


@public
def load(name: str | Path, weights: str = "", device: str = "cpu") -> Model:
    """A model ready for use, in eval mode with its best or averaged weights.

    Arguments:
        name: A run folder, a folder that `save` wrote, a shipped model's name, as in
            `mnist/dcgan`, or `hf:owner/name` for a model of the Hugging Face Hub.
        weights: The file to take them from, by default the best, else the averaged, else the
            newest.
        device: Where the model goes.

    Raises:
        ZeuxisError: The folder is damaged, or its weights belong to other settings.
    """
    target = device_named(device)
    run, about = open_model(name)
    where, file = str(run.path("config.json")), weights or default_weights(run)
    kind = model_class(str(about["model"]), str(about.get("class", "")))
    config: Any = from_json(kind.Config, about["config"], where)
    spec = from_json(Spec, about["spec"], where)
    model = rebuild(kind.name, config, spec, run.shapes(file), where)
    model.load_state_dict(weights_for(model, run, file))
    return model.to(target).eval().requires_grad_(False)


def open_model(name: str | Path) -> tuple[Run, dict[str, Any]]:
    """The folder of a run or saved model, and what its config.json says.

    Raises:
        ZeuxisError: There is no such folder, it holds a policy, or it is damaged.
    """
    run = Run.open(resolve(name))
    about = run.read_config()
    if "algorithm" in about:
        raise UsageError(
            f"'{name}' is a policy and makes no images: see it with zeuxis play, or load "
            "it with zeuxis.rl.load_policy."
        )
    for key in ("model", "config", "spec"):
        if key not in about:
            raise ZeuxisError(
                f"'{run.path('config.json')}' has no entry '{key}': it is damaged or was not "
                "written by zeuxis."
            )
    return run, about


def weights_for(model: Model, run: Run, file: str) -> dict[str, Tensor]:
    """The weights in a file, in the precision of a model."""
    tensors, _ = run.read_tensors(file)
    precise = {key: value.to(tensor.dtype) for key, tensor in model.state_dict().items()
               if (value := tensors.get(key)) is not None}  # fmt: skip
    if wrong := not_finite(precise):
        raise ZeuxisError(
            f"'{run.path(file)}' holds numbers in '{wrong}' that are not finite: restore "
            "it from a copy."
        )
    return precise


def digest(name: str | Path) -> str:
    """SHA-256 of the file that `load` takes the weights from, as hexadecimal digits.

    Arguments:
        name: A run folder, a folder that `save` wrote, or a shipped model's name.
    """
    run = Run.open(resolve(name))
    with open(run.path(default_weights(run)), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def default_weights(run: Run) -> str:
    """The file with the best weights of a folder, else the averaged, else the newest."""
    return next((file for file in WEIGHTS if run.path(file).exists()), WEIGHTS[-1])


def require_same_layers(model: Model, name: str | Path) -> Run:
    """The folder of another model with the same layers; only the header of its weights is read.

    Raises:
        UsageError: The other is of another kind or size.
    """
    run, about = open_model(name)
    kind = model_class(str(about["model"]), str(about.get("class", "")))
    if kind.name != model.name:
        raise UsageError(
            f"--training.start names '{name}', a model of kind {kind.name}: give one of kind "
            f"{model.name}."
        )
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    shapes = run.shapes(default_weights(run))
    wrong = sorted(expected.keys() ^ shapes.keys()) or [
        key for key, shape in expected.items() if shapes[key] != shape
    ]
    if wrong:
        raise UsageError(
            f"'{name}' was trained with other layers ('{wrong[0]}' differs): give one of "
            "the same --model settings and image size."
        )
    return run


def start_from(model: Model, name: str | Path) -> None:
    """Gives a model the weights of another with the same layers: its best or averaged ones.

    Example:
        >>> other = load("mnist/vae")
        >>> model = build("vae", other.config, other.spec)
        >>> start_from(model, "mnist/vae")

    Raises:
        UsageError: The other is of another kind or size.
    """
    run = require_same_layers(model, name)
    model.load_state_dict(weights_for(model, run, default_weights(run)))
