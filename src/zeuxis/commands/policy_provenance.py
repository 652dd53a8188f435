"""The command that trains a policy with the settings of its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoints.serialization import to_json
from ..recipes.policies import cloning, curiosity, imitation
from ..rl.optimization.on_policy import OnPolicyConfig
from ..rl.optimization.ppo import Proximal
from ..rl.optimization.trust_region import TrustRegionConfig

PARTS = {
    "training": "learning",
    "region": "region",
    "ppo": "proximal",
    "gail": "gail",
    "bc": "bc",
    "vime": "vime",
}


def policy_command(about: dict[str, Any]) -> str:
    """The command that trains a run with these settings."""
    algorithm, env = about["algorithm"], about["env"]
    words = ["zeuxis", "train", algorithm, "--env", env] + (
        ["--demos", Path(about["demos"]).name] if "demos" in about else []
    )
    base: dict[str, Any] = {
        "learning": OnPolicyConfig(optimizer="ppo" if algorithm == "ppo" else "trpo"),
        "region": TrustRegionConfig(),
    }
    base |= {"proximal": Proximal(), "bc": cloning(env)}
    if algorithm in ("gail", "fem", "gtal"):
        base["gail"], base["learning"], base["region"] = imitation(
            env, "discriminator" if algorithm == "gail" else algorithm
        )
    if algorithm == "vime":
        base["vime"], base["learning"], base["region"] = curiosity(env)
    for given, part in PARTS.items():
        usual = to_json(base[part]) if part in base else {}
        for key, value in about.get(part, {}).items():
            now = tuple(value) if isinstance(value, list) else value
            if now == usual.get(key, now) or key == "minutes":
                continue
            name = f"--{given}.{key.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(name if value else f"--{given}.no-{key.replace('_', '-')}")
            elif isinstance(value, list):
                words += [name, *map(str, value)]
            else:
                words.append(f"{name}={value}")
    return " ".join(words)
