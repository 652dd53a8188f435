"""zeuxis train ALGORITHM --env TASK: from options to the run of a policy."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from ..checkpoints.serialization import to_json
from ..errors import UsageError
from ..experiments.train_policy import ALGORITHMS, IMITATION, Wish, build, demos_of, start
from ..progress import clock
from ..recipes.policies import cloning, curiosity, imitation
from ..rl.exploration.information_gain import VIMEConfig
from ..rl.imitation.discriminator import GAILConfig
from ..rl.optimization.on_policy import Learner, OnPolicyConfig
from ..rl.optimization.ppo import Proximal
from ..rl.optimization.trust_region import TrustRegionConfig
from .options import option, without
from .policy_provenance import PARTS

ENV = (
    "The task: a Gymnasium id, as in Hopper-v5, or module:Task-v0 for one that a module registers."
)
DEMOS = "The expert's trajectories, as zeuxis demos record writes them."


def train(words: Sequence[str]) -> None:
    """zeuxis train ALGORITHM --env TASK."""
    algorithm, rest = words[0], list(words[1:])
    known = ("corrected", "paper") if algorithm == "vime" else ("paper", "modern")
    env, preset = option(rest, "--env") or "", option(rest, "--preset") or known[0]
    if preset not in known:
        raise UsageError(f"--preset is '{preset}', expected {known[0]} or {known[1]}.")
    wish = tyro.cli(
        arguments(algorithm, env, preset),
        args=without(rest, "--preset"),
        prog=f"zeuxis train {algorithm}",
        description=f"Trains a policy with {algorithm}: {ALGORITHMS[algorithm]}.",
    )
    parts = {name: getattr(wish, given) for given, name in PARTS.items() if hasattr(wish, given)}
    whole = Wish(algorithm, wish.env, getattr(wish, "demos", ""), **parts)
    if wish.dry_run:
        dry_run(whole)
    else:
        start(whole, wish.out)


def arguments(algorithm: str, env: str, preset: str) -> Any:
    """The dataclass of the command's options: those of this algorithm, with the defaults of this
    task."""
    fixed = lambda kind, value: (kind, dataclasses.field(default_factory=lambda: value))  # noqa: E731
    fields: list[Any] = [("env", Annotated[str, tyro.conf.arg(help=ENV)])]
    if algorithm in IMITATION:
        fields.append(("demos", Annotated[str, tyro.conf.arg(help=DEMOS)]))
    if algorithm in ("gail", "fem", "gtal"):
        help = (
            "paper: the settings of Ho and Ermon for this task; modern: gradient "
            "penalty, several updates, absorbing states."
        )
        fields.append(("preset", Annotated[str, tyro.conf.arg(help=help)], preset))
    if algorithm == "vime":
        help = (
            "corrected: the bound as the theory has it; paper: as the code released "
            "with the paper, its oddities included."
        )
        fields.append(("preset", Annotated[str, tyro.conf.arg(help=help)], preset))
    fields.append(
        ("out", Annotated[str, tyro.conf.arg(help="Where the numbered run folder goes.")], "runs")
    )
    fields.append(
        (
            "dry_run",
            Annotated[bool, tyro.conf.arg(help="Show settings and time, and do not train.")],
            False,
        )
    )
    if algorithm == "bc":
        fields.append(("bc", *fixed(type(cloning(env)), cloning(env))))
    else:
        config, learning, region = (
            GAILConfig(),
            OnPolicyConfig(optimizer="ppo" if algorithm == "ppo" else "trpo"),
            TrustRegionConfig(),
        )
        if algorithm in IMITATION:
            judge = "discriminator" if algorithm == "gail" else algorithm
            config, learning, region = imitation(env, judge, preset)  # type: ignore[arg-type]
            fields.append(("gail", *fixed(GAILConfig, config)))
        if algorithm == "vime":
            bonus, learning, region = curiosity(env, preset)
            fields.append(("vime", *fixed(VIMEConfig, bonus)))
        fields += [
            ("training", *fixed(OnPolicyConfig, learning)),
            ("region", *fixed(TrustRegionConfig, region)),
            ("ppo", *fixed(Proximal, Proximal())),
        ]
    return dataclasses.make_dataclass("Train", fields, frozen=True)


def dry_run(wish: Wish) -> None:
    """Prints the settings, and the time from one small iteration."""
    few = dataclasses.replace(
        wish, learning=dataclasses.replace(wish.learning, batch=min(4_000, wish.learning.batch))
    )
    agent = build(few, None, demos_of(wish), quiet=True)
    print(
        json.dumps({name: to_json(getattr(wish, part)) for name, part in PARTS.items()}, indent=2)
    )
    print(f"\n{agent.task}")
    if isinstance(agent, Learner):
        with agent.engine:
            agent.iterate()  # workers start
            began, before = time.monotonic(), agent.steps
            agent.iterate()
            speed = (agent.steps - before) / (time.monotonic() - began)
        steps = wish.learning.steps
        print(
            f"{steps:,} steps: about {clock(steps / speed)} at {speed:,.0f} steps/s "
            "here, as fast as the first iterations"
        )
