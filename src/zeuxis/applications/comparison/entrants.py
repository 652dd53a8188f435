"""Who is compared: models by name with settings of equal size, or runs that exist already.

The default columns are a GAN, a VAE, an autoregressive model and flow matching. On gray images of
28 pixels each has about a million weights for sampling; encoder and discriminator come on top, and
are listed by themselves. Other models, and other data, take the settings that `zeuxis train` would.

A likelihood of gray digits and one of binary digits do not compare. So the autoregressive column
has a second network for gray data: one models all 256 levels and gives the samples, the other
models binary pixels and gives the likelihood beside that of the VAE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...autoregressive.pixelcnn import PixelCNNConfig
from ...autoregressive.pixelcnnpp import PixelCNNPPConfig
from ...capabilities import CanAutoregress, CanSample, HasELBO, HasVelocity, has
from ...checkpoints.weights import build, load, shipped
from ...data.config import DataConfig
from ...data.dataset import Dataset
from ...errors import UsageError
from ...experiments.defaults import default_experiment
from ...flow.flow_matching import FlowMatchingConfig
from ...gan.dcgan import DCGANConfig
from ...model import Model, require
from ...registry import model_class, named
from ...training.config import TrainingConfig
from ...vae.vae import VAEConfig

Family = Literal["GAN", "VAE", "autoregressive", "flow", "other"]
Role = Literal["all", "likelihood", "setting"]
DEFAULT = ("dcgan", "vae", "pixelcnnpp", "flow-matching")
BINARY = "pixelcnn"  # models binary pixels for the likelihood
FALLING = TrainingConfig(film=0, schedule="linear", log_every=5_000)
EQUAL: dict[str, tuple[Any, TrainingConfig]] = {
    "dcgan": (
        DCGANConfig(channels=48, latent_dim=32, weight_decay=2.5e-5, lr=1e-3),
        replace(FALLING, decay_from=0.3),
    ),
    "vae": (
        VAEConfig(channels=(32, 64, 64), hidden_dim=672, lr=7e-3, optimizer="muon"),
        replace(FALLING, batch=200, average=60_000),
    ),
    "pixelcnnpp": (
        PixelCNNPPConfig(channels=32, blocks=2, mixtures=5, dropout=0.0),
        replace(FALLING, batch=32),
    ),
    "flow-matching": (
        FlowMatchingConfig(channels=(56, 96)),
        replace(FALLING, decay_from=0.0, warmup=12_800, clip=1.0),
    ),
    "pixelcnn": (
        PixelCNNConfig(
            architecture="gated", first_kernel=55, channels=72, layers=7, lr=5e-3, optimizer="muon"
        ),
        replace(FALLING, batch=64, average_limit=0.1),
    ),
}
"""Settings of about a million weights for sampling images of 28 pixels."""


@dataclass(frozen=True)
class Entrant:
    """One column of the comparison, or a second network in it.

    Arguments:
        name: Part of the names of its runs, as in "dcgan".
        title: The column's heading.
        model: The registered model.
        family: Which approach it is.
        config: The model's settings; None where runs are given.
        training: Settings of the training; None where runs are given.
        role: "likelihood" for a network that is measured by its likelihood only; "setting" for
            another step size or batch of an entrant, which is measured by its samples only.
        runs: Folders of runs that exist already.
        parent: The entrant whose column this belongs to, "" for one with a column to itself.
    """

    name: str
    title: str
    model: str
    family: Family
    config: Any = None
    training: TrainingConfig | None = None
    role: Role = "all"
    runs: tuple[str, ...] = ()
    parent: str = ""


def family_of(kind: type[Model]) -> Family:
    """Which approach a model belongs to, by what it can do.

    Example:
        >>> from zeuxis.registry import model_class
        >>> [family_of(model_class(name)) for name in ("wgan-gp", "vae", "pixelcnn")]
        ['GAN', 'VAE', 'autoregressive']
    """
    if has(kind, HasVelocity):
        return "flow"
    if has(kind, CanAutoregress):
        return "autoregressive"
    if has(kind, HasELBO):
        return "VAE"
    try:
        small, spec = kind.tiny()
        players = kind(small, spec).players()
    except Exception:  # a model of the user's whose small version cannot be built
        return "other"
    return "GAN" if len(players) > 1 else "other"


def entrants(models: Sequence[str], config: DataConfig, data: Dataset) -> list[Entrant]:
    """The entrants that a command line names.

    Arguments:
        models: Names of models, `module:Class`, run folders or shipped models; none for the
            default.
        config: Which data.
        data: Their training part.

    Raises:
        UsageError: A name is no model and no run, or one is given twice.
    """
    found: list[Entrant] = []
    given: dict[str, list[str]] = {}
    for model in models or DEFAULT:
        if is_run(model):
            given.setdefault(model_of(model, data.spec.shape), []).append(model)
        else:
            found.append(entrant(named(model), config, data))
    for model, runs in given.items():
        kind = model_class(model)
        found.append(
            Entrant(f"given-{model}", f"{model} (given)", model, family_of(kind), runs=tuple(runs))
        )
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--models names '{twice[0]}' twice: name each model once.")
    if not models and data.spec.shape[0] == 1:
        second = entrant(model_class(BINARY), config, data)
        found.append(replace(second, role="likelihood", parent="pixelcnnpp"))
    return found


def model_of(run: str, shape: tuple[int, ...]) -> str:
    """The registered model of a given run.

    Raises:
        UsageError: It makes images of another shape.
        MissingCapability: It cannot sample.
    """
    model = load(run)
    require(model, CanSample, "be compared, as it draws no samples")
    if model.spec.shape != shape:
        raise UsageError(
            f"'{run}' makes images of shape {model.spec.shape}, and those to compare on have "
            f"{shape}: give runs of these data, or bring the data to their size with --size."
        )
    return model.name


def is_run(name: str) -> bool:
    """Whether a name is a run folder or a shipped model."""
    return name in shipped() or (Path(name) / "config.json").is_file()


def entrant(kind: type[Model], config: DataConfig, data: Dataset) -> Entrant:
    """A model that is to be trained, with settings of equal size where there are some."""
    family = family_of(kind)
    title = {
        "dcgan": "GAN", "vae": "VAE", "pixelcnnpp": "Autoregressive",
        "flow-matching": "Flow matching",
    }.get(kind.name, kind.name)  # fmt: skip
    if kind.name in EQUAL and data.spec.shape[1:] == (28, 28) and len(data) >= 10_000:
        settings, training = EQUAL[kind.name]
    else:
        experiment = default_experiment(kind, config, data=data)
        settings, training = experiment.config, experiment.training
        training = replace(training, film=0, track="", select="", start="", hold_out=0)
    model = build(kind, settings, data.spec)  # what does not fit is refused before any training
    require(model, CanSample, "be compared, as it draws no samples")
    return Entrant(kind.name, title, kind.name, family, settings, training)


def settings_of(one: Entrant) -> list[Entrant]:
    """An entrant with other step sizes and batches, one change at a time.

    Example:
        >>> config, training = EQUAL["vae"]
        >>> vae = Entrant("vae", "VAE", "vae", "VAE", config, training)
        >>> [setting.name for setting in settings_of(vae)]
        ['vae-lr-third', 'vae-lr-triple', 'vae-batch-64', 'vae-batch-256']
    """
    if one.training is None or not hasattr(one.config, "lr"):
        return []
    changed = [
        (f"{one.name}-lr-third", replace(one.config, lr=one.config.lr / 3), one.training),
        (f"{one.name}-lr-triple", replace(one.config, lr=one.config.lr * 3), one.training),
    ]
    changed += [
        (f"{one.name}-batch-{batch}", one.config, replace(one.training, batch=batch))
        for batch in (64, 256)
        if batch != one.training.batch
    ]
    return [
        replace(one, name=name, config=config, training=training, role="setting", parent=one.name)
        for name, config, training in changed
    ]
