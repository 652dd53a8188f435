"""What a training of a policy consists of, as a command line gives it and config.json keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..checkpoints.serialization import from_json
from ..checkpoints.versions import require_readable
from ..errors import ZeuxisError
from ..ranges import BaseConfig
from ..rl.exploration.information_gain import VIMEConfig
from ..rl.exploration.vime import VIME
from ..rl.imitation.behavioral_cloning import BC, CloningConfig
from ..rl.imitation.discriminator import GAILConfig
from ..rl.imitation.gail import GAIL
from ..rl.optimization.config import OnPolicyConfig, PolicyExperiment
from ..rl.optimization.on_policy import TRPO
from ..rl.optimization.trust_region import TrustRegionConfig

ALGORITHMS = {
    "trpo": TRPO.paper,
    "vime": VIME.paper,
    "gail": GAIL.paper,
    "fem": "Abbeel and Ng: Apprenticeship Learning, 2004, as the baseline of Ho and Ermon 2016",
    "gtal": (
        "Syed and Schapire: A Game-Theoretic Approach, 2007, as the baseline of Ho and Ermon 2016"
    ),
    "bc": BC.paper,
}
IMITATION = ("gail", "fem", "gtal", "bc")
# Name and class of the settings that an algorithm adds to those of the loop.
OWN_CONFIG: dict[str, tuple[str, type[BaseConfig]]] = {
    "gail": ("gail", GAILConfig),
    "fem": ("gail", GAILConfig),
    "gtal": ("gail", GAILConfig),
    "bc": ("bc", CloningConfig),
    "vime": ("vime", VIMEConfig),
}


@dataclass(frozen=True)
class PolicyTraining:
    """One training of a policy.

    Arguments:
        algorithm: Key of `ALGORITHMS`.
        experiment: Environment, by its Gymnasium id, and settings.
        demos: File of demonstrations, for imitation.
        preset: Preset that the settings began with; "paper" trains VIME as the released code does.
    """

    algorithm: str
    experiment: PolicyExperiment
    demos: str = ""
    preset: str = ""

    @property
    def env(self) -> str:
        return str(self.experiment.env)

    @property
    def loop(self) -> Any:
        """The settings with steps, minutes and seed."""
        if self.algorithm == "bc":
            return self.experiment.config or CloningConfig()
        return self.experiment.training or OnPolicyConfig()

    def with_loop(self, **changes: Any) -> PolicyTraining:
        """The training with changes of `loop`."""
        name = "config" if self.algorithm == "bc" else "training"
        experiment = replace(self.experiment, **{name: replace(self.loop, **changes)})
        return replace(self, experiment=experiment)

    def configs(self) -> dict[str, BaseConfig]:
        """The settings by their names in config.json and on the command line."""
        e = self.experiment
        configs: dict[str, BaseConfig | None] = {}
        configs |= {"training": e.training, "trust_region": e.trust_region}
        if self.algorithm in OWN_CONFIG:
            configs[OWN_CONFIG[self.algorithm][0]] = e.config
        return {name: config for name, config in configs.items() if config is not None}


def config_classes(algorithm: str) -> dict[str, type[BaseConfig]]:
    """Classes of an algorithm's settings, by their names in config.json."""
    classes: dict[str, type[BaseConfig]] = {}
    if algorithm != "bc":
        classes = {"training": OnPolicyConfig, "trust_region": TrustRegionConfig}
    if algorithm in OWN_CONFIG:
        name, kind = OWN_CONFIG[algorithm]
        classes[name] = kind
    return classes


def training_from(about: dict[str, Any], where: str) -> PolicyTraining:
    """Reads a training from the values of a config.json, each of them checked.

    Arguments:
        about: Values of the file.
        where: Name of the file in messages.

    Raises:
        ZeuxisError: An entry is missing or of another kind, or zeuxis 0.1 saved the file.
    """
    require_readable(about, where)
    algorithm = about.get("algorithm")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or "env" not in about:
        raise ZeuxisError(
            f"'{where}' names no algorithm and task of zeuxis: it is damaged, or another version "
            "wrote it."
        )
    texts = {key: about.get(key, "") for key in ("env", "demos", "digest", "preset")}
    if wrong := next((key for key, value in texts.items() if not isinstance(value, str)), ""):
        raise ZeuxisError(
            f"'{where}' gives {wrong} = {str(texts[wrong])[:40]!r}, expected text: restore it "
            "from a copy."
        )
    configs: dict[str, Any] = {
        name: from_json(kind, about[name], where)
        for name, kind in config_classes(algorithm).items()
        if name in about
    }
    own = configs.pop(OWN_CONFIG[algorithm][0], None) if algorithm in OWN_CONFIG else None
    experiment = PolicyExperiment(texts["env"], **configs, config=own)
    return PolicyTraining(algorithm, experiment, texts["demos"], texts["preset"])
