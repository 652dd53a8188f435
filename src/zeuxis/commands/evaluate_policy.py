"""zeuxis evaluate RUN, for the run of a policy: returns over whole episodes, beside chance and
expert."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from ..checkpoints.run_folder import Run
from ..errors import UsageError
from ..evaluation.record import write_record
from ..experiments.train_policy import Wish, wish_of
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone, Seed, Workers
from ..rl.environments.environment import GREATEST, named_by_file, task_of
from ..rl.imitation.demonstrations import read_demos
from ..rl.policies.numpy_policy import Actor
from ..rl.policies.policy import load_policy
from ..rl.rollouts.policy_evaluation import chance, returns_of
from .provenance import training_of


@dataclasses.dataclass(frozen=True)
class Evaluate(BaseConfig, flags="--"):
    """Returns of a policy over whole episodes that no training saw, and where they lie between
    chance (0) and the expert (1)."""

    policy: tyro.conf.Positional[str]
    """A run folder of a policy, or a policy file."""
    env: str = ""
    """Another task than the policy's own."""
    episodes: Count = 50
    """Episodes."""
    stochastic: bool = False
    """Draw actions from the policy's law instead of taking the likeliest."""
    demos: str = ""
    """The expert's trajectories, to compare with; by default the return that the run's had."""
    horizon: CountOrNone = 0
    """Longest episode (steps); 0 takes the task's own limit."""
    workers: Workers = -1
    """Processes that act; -1 takes one for each core."""
    seed: Seed = 0
    """Fixes the episodes."""
    record: str = ""
    """Write the figures with command, seed, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def evaluate(words: Sequence[str]) -> None:
    """zeuxis evaluate RUN, for the run of a policy."""
    wish = tyro.cli(Evaluate, args=words, prog="zeuxis evaluate")
    began = time.monotonic()
    actor, about, run = opened(wish.policy)
    env = task_named(wish.env, run, actor)
    own = (run.bc if run.algorithm == "bc" else run.learning).horizon if run else 0
    horizon = wish.horizon or own
    workers = (
        len(os.sched_getaffinity(0))
        if wish.workers < 0 and hasattr(os, "sched_getaffinity")
        else max(0, wish.workers)
    )
    more = {"seed": wish.seed, "workers": workers, "horizon": horizon}
    found = returns_of(actor, env, wish.episodes, deterministic=not wish.stochastic, **more)
    out.print(f"{env}: {found}", markup=False, soft_wrap=True)
    figures = found.as_dict()
    expert = (
        float(read_demos(wish.demos).rollouts.returns.mean()) if wish.demos else expert_of(about)
    )
    if expert is not None:
        low = float(
            returns_of(
                chance(task_of(env, horizon)), env, 20, deterministic=False, **more
            ).returns.mean()
        )
        share = (figures["mean"] - low) / (expert - low) if expert != low else float("nan")
        figures |= {"chance": low, "expert": expert, "share": share}
        out.print(f"chance {low:.2f}, expert {expert:.2f}: {share:.3f} of the way", markup=False)
    elif run and run.demos:
        out.print(
            "To compare with the expert, give its demonstrations with --demos FILE.", markup=False
        )
    if wish.record:
        seconds = time.monotonic() - began
        told = {
            key: value for key, value in about.items() if key not in ("zeuxis", "model", "machine")
        }
        if about:
            told |= {"training": training_of(Run(Path(wish.policy)))}
        path = write_record(
            wish.record,
            figures,
            seconds=seconds,
            seed=wish.seed,
            paper=wish.paper,
            note=wish.note,
            **told,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)


def opened(policy: str) -> tuple[Actor, dict[str, Any], Wish | None]:
    """A policy to act with; for a run folder also what its config.json holds, as it is and
    checked."""
    actor, path = load_policy(policy), Path(policy)
    if not path.is_dir():
        return actor, {}, None
    run = Run.open(path)
    about = run.read_json("config.json")
    return actor, about, wish_of(about, str(run.path("config.json")))


def task_named(given: str, run: Wish | None, actor: Actor) -> str:
    """The task to act in: as given, else the run's, else the policy file's; a file must not name a
    module to import."""
    env = given or named_by_file(
        run.env if run else actor.about.get("env", ""), "The run" if run else "The policy file"
    )
    if not env:
        raise UsageError("The policy does not say which task it is for: give --env.")
    return env


def expert_of(about: dict[str, Any]) -> float | None:
    """The mean return of a run's demonstrations, as it was when the run began."""
    value = about.get("expert")
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < GREATEST
        else None
    )
