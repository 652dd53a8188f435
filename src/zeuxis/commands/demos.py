"""zeuxis demos: an expert's trajectories recorded and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.table import Table

from ..errors import UsageError
from ..progress import out
from ..ranges import BaseConfig, Count, CountOrNone, Seed, Threads
from ..rl.imitation.demonstrations import Demonstrations, read_demos, record, writable
from .evaluate_policy import opened, task_named

MOST = 20  # classes of actions that are shown

HELP = """usage: zeuxis demos record POLICY [--env TASK] [--episodes N] [--out FILE]
       zeuxis demos show FILE

POLICY is a policy file or the run folder of a policy. zeuxis demos record --help teaches the options."""


@dataclass(frozen=True)
class Record(BaseConfig, flags="--"):
    """Lets a policy act and keeps its trajectories: .npz, .safetensors, .hdf5, or a folder in
    Minari's form; no pickle."""

    policy: tyro.conf.Positional[str]
    """A policy file, or the run folder of a policy."""
    env: str = ""
    """The task, by default the policy's own."""
    episodes: Count = 25
    """Trajectories."""
    out: str = ""
    """Where they go, by default TASK.npz; a name without an ending is a folder that Minari
    reads."""
    stochastic: bool = False
    """Draw actions from the policy's law, as the paper's experts did, instead of taking the
    likeliest."""
    horizon: CountOrNone = 0
    """Longest episode (steps); 0 takes the task's own limit."""
    workers: Threads = 0
    """Processes that act; 0 acts in this one. The trajectories do not depend on it."""
    seed: Seed = 0
    """Fixes the episodes."""


@dataclass(frozen=True)
class Show(BaseConfig, flags="--"):
    """What is in a file of demonstrations."""

    file: tyro.conf.Positional[str]
    """An .npz, .safetensors or .hdf5 file, or a folder of Minari's."""


def main(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(HELP)
        return
    if words[0] == "show":
        show(read_demos(tyro.cli(Show, args=words[1:], prog="zeuxis demos show").file))
        return
    if words[0] != "record":
        raise UsageError(f"zeuxis demos cannot '{words[0]}': it can record and show.")
    wish = tyro.cli(Record, args=words[1:], prog="zeuxis demos record")
    actor, _, run = opened(wish.policy)
    env, path = task_named(wish.env, run, actor), Path(wish.policy)
    file = writable(wish.out or f"{env.split(':')[-1].replace('/', '-')}.npz")
    told = {
        "deterministic": not wish.stochastic,
        "seed": wish.seed,
        "workers": max(0, wish.workers),
        "horizon": wish.horizon,
    }
    demos = record(actor, env, wish.episodes, **told, policy=path.name)  # type: ignore[arg-type]
    show(demos)
    out.print(f"Written: {demos.save(file)}", markup=False, soft_wrap=True)


def show(demos: Demonstrations) -> None:
    """Prints counts, returns, and what a column of numbers looks like."""
    r = demos.rollouts
    told = ", ".join(f"{key} {value}" for key, value in demos.about.items())
    out.print(
        f"{len(demos)} trajectories, {len(r):,} steps" + (f" ({told})" if told else ""),
        markup=False,
        soft_wrap=True,
    )
    out.print(
        f"return {r.returns.mean():.2f} ± {r.returns.std():.2f} ({r.returns.min():.2f} "
        f"to {r.returns.max():.2f}), "
        f"{r.lengths.mean():.0f} steps ({r.lengths.min()} to {r.lengths.max()}), "
        f"{int(r.terminated.sum())} ended by themselves",
        markup=False,
        soft_wrap=True,
    )
    table = Table("", "mean", "deviation", "least", "greatest")
    columns = [
        (f"observation {i}", r.observations[:, i]) for i in range(min(12, r.observations.shape[1]))
    ]
    if demos.discrete:
        found = np.unique(r.actions, return_counts=True)
        shown = ", ".join(
            f"{a}: {n / len(r):.1%}" for a, n in list(zip(*found, strict=True))[:MOST]
        )
        out.print(f"actions {shown}" + (", ..." if len(found[0]) > MOST else ""), markup=False)
    else:
        columns += [(f"action {i}", r.actions[:, i]) for i in range(min(12, r.actions.shape[1]))]
    for name, x in columns:
        table.add_row(name, *(f"{value:.4g}" for value in (x.mean(), x.std(), x.min(), x.max())))
    out.print(table)
    constant = int((r.observations.std(0) == 0).sum())
    left = r.observations.shape[1] - 12
    if left > 0 or constant:
        out.print(
            f"{r.observations.shape[1]} observed numbers, {constant} of them constant", markup=False
        )
