"""zeuxis evaluate RUN, for a policy: returns beside a random policy and the expert."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from ..checkpoints.run_folder import Run
from ..errors import UsageError
from ..evaluation.record import write_record
from ..experiments.policy_training import PolicyTraining, training_from
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone, Seed, Workers
from ..rl.environments.environment import MAX_REWARD, task_of
from ..rl.environments.registration import named_by_file
from ..rl.imitation.demonstration_files import read_demos
from ..rl.optimization.config import cpu_cores
from ..rl.policies.numpy_policy import NumpyPolicy, random_policy
from ..rl.policies.policy_file import load_policy
from ..rl.rollouts.policy_evaluation import evaluate_policy
from .provenance import training_of

RANDOM_EPISODES = 20


@dataclasses.dataclass(frozen=True)
class Evaluate(BaseConfig, flags="--"):
    """Returns of a policy over whole episodes that no training saw, and where they lie between a
    random policy (0) and the expert (1)."""

    policy: tyro.conf.Positional[str]
    """A run folder of a policy, or a policy file."""
    env: str = ""
    """Another task than the policy's."""
    episodes: Count = 50
    """Number of episodes."""
    stochastic: bool = False
    """Sample actions from the policy's distribution instead of taking its mode."""
    demos: str = ""
    """The expert's trajectories, to compare with; by default the return that the run's had."""
    horizon: CountOrNone = 0
    """Longest episode (steps); 0 takes the task's limit."""
    workers: Workers = -1
    """Worker processes; -1 takes one for each core."""
    seed: Seed = 0
    """Seed of the episodes."""
    record: str = ""
    """Write the figures with command, seed, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def evaluate(argv: Sequence[str]) -> None:
    """zeuxis evaluate RUN, for the run of a policy."""
    args = tyro.cli(Evaluate, args=argv, prog="zeuxis evaluate")
    began = time.monotonic()
    policy, about, training = open_policy(args.policy)
    env = task_name(args.env, training, policy)
    horizon = args.horizon or (training.loop.horizon if training else 0)
    workers = cpu_cores() if args.workers < 0 else args.workers
    shared: dict[str, Any] = {"seed": args.seed, "workers": workers, "horizon": horizon}
    returns = evaluate_policy(
        policy, env, args.episodes, deterministic=not args.stochastic, **shared
    )
    out.print(f"{env}: {returns}", markup=False, soft_wrap=True)
    figures = returns.as_dict()
    expert = expert_return(about)
    if args.demos:
        expert = float(read_demos(args.demos).rollouts.returns.mean())
    if expert is not None:
        random = evaluate_policy(
            random_policy(task_of(env, horizon)),
            env,
            RANDOM_EPISODES,
            deterministic=False,
            **shared,
        )
        low = float(random.returns.mean())
        share = (figures["mean"] - low) / (expert - low) if expert != low else float("nan")
        figures |= {"chance": low, "expert": expert, "share": share}
        sentence = f"random policy {low:.2f}, expert {expert:.2f}: {share:.3f} of the way"
        out.print(sentence, markup=False)
    elif training and training.demos:
        out.print(
            "To compare with the expert, give its demonstrations with --demos FILE.", markup=False
        )
    if args.record:
        notes = {k: v for k, v in about.items() if k not in ("zeuxis", "model", "machine")}
        if about:
            notes["training"] = training_of(Run(Path(args.policy)))
        path = write_record(
            args.record,
            figures,
            seconds=time.monotonic() - began,
            seed=args.seed,
            paper=args.paper,
            note=args.note,
            **notes,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)


def open_policy(policy: str) -> tuple[NumpyPolicy, dict[str, Any], PolicyTraining | None]:
    """Loads a policy to act with; of a run folder also its config.json, raw and checked."""
    loaded, path = load_policy(policy), Path(policy)
    if not path.is_dir():
        return loaded, {}, None
    run = Run.open(path)
    about = run.read_json("config.json")
    return loaded, about, training_from(about, str(run.path("config.json")))


def task_name(env: str, training: PolicyTraining | None, policy: NumpyPolicy) -> str:
    """The task to act in: the user's, else the run's, else the policy file's."""
    if not env and training:
        env = named_by_file(training.env, "The run")
    elif not env:
        env = named_by_file(policy.metadata.get("env", ""), "The policy file")
    if not env:
        raise UsageError("The policy does not say which task it is for: give --env.")
    return env


def expert_return(about: dict[str, Any]) -> float | None:
    """Mean return of a run's demonstrations when the run began, None where it is not known."""
    value = about.get("expert")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) < MAX_REWARD else None  # type: ignore[arg-type]
