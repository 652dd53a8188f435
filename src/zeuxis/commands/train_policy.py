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
from ..experiments.policy_training import ALGORITHMS, IMITATION, OWN_CONFIG, PolicyTraining
from ..experiments.train_policy import build, load_demos, start
from ..progress import clock
from ..ranges import BaseConfig
from ..recipes.policies import PRESETS, policy_experiment
from ..rl.optimization.config import PolicyExperiment
from ..rl.optimization.on_policy import OnPolicyTrainer
from .options import option, policy_options, without

ENV = (
    "The task: a Gymnasium id, as in Hopper-v5, or module:Task-v0 for one that a module registers."
)
DEMOS = "The expert's trajectories, as zeuxis demos record writes them."
OUT = "Where the numbered run folder goes."
DRY_RUN = "Show settings and time, and do not train."


def train(argv: Sequence[str]) -> None:
    """zeuxis train ALGORITHM --env TASK."""
    algorithm, rest = argv[0], list(argv[1:])
    presets = list(PRESETS.get(algorithm, {}))
    env, preset = option(rest, "--env") or "", option(rest, "--preset") or ""
    if preset and presets and preset not in presets:
        raise UsageError(f"--preset is '{preset}', expected {' or '.join(presets)}.")
    if presets:
        preset, rest = preset or presets[0], without(rest, "--preset")
    args = tyro.cli(
        options(algorithm, env, preset),
        args=rest,
        prog=f"zeuxis train {algorithm}",
        description=(
            f"Trains a policy with {algorithm}: {ALGORITHMS[algorithm]}. "
            f"Short forms: {', '.join(policy_options(algorithm))}."
        ),
    )
    own = getattr(args, OWN_CONFIG[algorithm][0]) if algorithm in OWN_CONFIG else None
    experiment = PolicyExperiment(
        args.env, getattr(args, "training", None), getattr(args, "trust_region", None), own
    )
    training = PolicyTraining(algorithm, experiment, getattr(args, "demos", ""), preset)
    if args.dry_run:
        dry_run(training)
    else:
        start(training, args.out)


def options(algorithm: str, env: str, preset: str) -> Any:
    """The dataclass of the command's options, with the defaults of the algorithm and task."""

    def field(name: str, kind: Any, help: str, *default: Any) -> tuple[Any, ...]:
        return (name, Annotated[kind, tyro.conf.arg(help=help)], *default)

    fields: list[Any] = [field("env", str, ENV)]
    if algorithm in IMITATION:
        fields.append(field("demos", str, DEMOS))
    if algorithm in PRESETS:
        notes = [f"{name}: {note}" for name, note in PRESETS[algorithm].items()]
        fields.append(field("preset", str, "; ".join(notes) + ".", preset))
    fields += [field("out", str, OUT, "runs"), field("dry_run", bool, DRY_RUN, False)]
    configs = PolicyTraining(algorithm, policy_experiment(algorithm, env, preset)).configs()
    for name, config in reversed(configs.items()):  # the algorithm's own settings first
        fields.append((name, type(config), default_of(config)))
    return dataclasses.make_dataclass("Train", fields, frozen=True)


def default_of(config: BaseConfig) -> Any:
    """A dataclass field with this default."""
    return dataclasses.field(default_factory=lambda: config)


def dry_run(training: PolicyTraining) -> None:
    """Prints the settings, and the time by the speed of one small iteration."""
    steps, small = training.loop.steps, training
    if training.algorithm != "bc":
        small = training.with_loop(batch=min(4_000, training.loop.batch))
    agent = build(small, None, load_demos(training), quiet=True)
    configs = {name: to_json(config) for name, config in training.configs().items()}
    print(json.dumps(configs, indent=2))
    print(f"\n{agent.task}")
    if isinstance(agent, OnPolicyTrainer):
        with agent.collector:
            agent.iterate()  # starts the workers
            began, before = time.monotonic(), agent.steps
            agent.iterate()
            speed = (agent.steps - before) / (time.monotonic() - began)
        print(
            f"{steps:,} steps: about {clock(steps / speed)} at {speed:,.0f} steps/s here, as fast "
            "as the first iterations"
        )
