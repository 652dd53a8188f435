"""zeuxis demos: records an expert's trajectories and shows them."""

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
from ..rl.imitation.demonstration_files import check_ending, read_demos, write_demos
from ..rl.imitation.demonstrations import Demonstrations, record
from .evaluate_policy import open_policy, task_name

MAX_CLASSES, MAX_COLUMNS = 20, 12  # that are shown

HELP = """usage: zeuxis demos record POLICY [--env TASK] [--episodes N] [--out FILE]
       zeuxis demos show FILE

POLICY is a policy file or the run folder of a policy. zeuxis demos record --help shows the options.
"""


@dataclass(frozen=True)
class Record(BaseConfig, flags="--"):
    """Records the trajectories of a policy as .npz, .safetensors, .hdf5, or a folder in Minari's
    form; no pickle."""

    policy: tyro.conf.Positional[str]
    """A policy file, or the run folder of a policy."""
    env: str = ""
    """The task, by default the policy's."""
    episodes: Count = 25
    """Number of trajectories."""
    out: str = ""
    """Where they go, by default TASK.npz; a name without an ending is a folder that Minari
    reads."""
    stochastic: bool = False
    """Sample actions from the policy's distribution, as the paper's experts did, instead of taking
    its mode."""
    horizon: CountOrNone = 0
    """Longest episode (steps); 0 takes the task's limit."""
    workers: Threads = 0
    """Worker processes; 0 acts in this one. The trajectories do not depend on it."""
    seed: Seed = 0
    """Seed of the episodes."""


@dataclass(frozen=True)
class Show(BaseConfig, flags="--"):
    """Shows what is in a file of demonstrations."""

    file: tyro.conf.Positional[str]
    """An .npz, .safetensors or .hdf5 file, or a folder of Minari's."""


def main(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
    elif argv[0] == "show":
        show(read_demos(tyro.cli(Show, args=argv[1:], prog="zeuxis demos show").file))
    elif argv[0] == "record":
        record_to_file(tyro.cli(Record, args=argv[1:], prog="zeuxis demos record"))
    else:
        raise UsageError(f"zeuxis demos cannot '{argv[0]}': it can record and show.")


def record_to_file(args: Record) -> None:
    """zeuxis demos record."""
    policy, _, training = open_policy(args.policy)
    env = task_name(args.env, training, policy)
    path = check_ending(args.out or f"{env.split(':')[-1].replace('/', '-')}.npz")
    demos = record(
        policy,
        env,
        args.episodes,
        deterministic=not args.stochastic,
        seed=args.seed,
        workers=args.workers,
        horizon=args.horizon,
        policy=Path(args.policy).name,
    )
    show(demos)
    out.print(f"Written: {write_demos(demos, path)}", markup=False, soft_wrap=True)


def show(demos: Demonstrations) -> None:
    """Prints counts, returns, and statistics of the first columns."""
    r = demos.rollouts
    notes = ", ".join(f"{key} {value}" for key, value in demos.about.items())
    say(f"{len(demos)} trajectories, {len(r):,} steps" + (f" ({notes})" if notes else ""))
    say(
        f"return {r.returns.mean():.2f} ± {r.returns.std():.2f} ({r.returns.min():.2f} to "
        f"{r.returns.max():.2f}), {r.lengths.mean():.0f} steps ({r.lengths.min()} to "
        f"{r.lengths.max()}), {int(r.terminated.sum())} ended by themselves"
    )
    table = Table("", "mean", "deviation", "least", "greatest")
    columns = [(f"observation {i}", x) for i, x in enumerate(r.observations.T[:MAX_COLUMNS])]
    if demos.discrete:
        classes, counts = np.unique(r.actions, return_counts=True)
        pairs = list(zip(classes, counts, strict=True))[:MAX_CLASSES]
        shown = ", ".join(f"{a}: {n / len(r):.1%}" for a, n in pairs)
        say(f"actions {shown}" + (", ..." if len(classes) > MAX_CLASSES else ""))
    else:
        columns += [(f"action {i}", x) for i, x in enumerate(r.actions.T[:MAX_COLUMNS])]
    for name, x in columns:
        table.add_row(name, *(f"{value:.4g}" for value in (x.mean(), x.std(), x.min(), x.max())))
    out.print(table)
    entries = r.observations.shape[1]
    constant = int((r.observations.std(0) == 0).sum())
    if entries > MAX_COLUMNS or constant:
        say(f"{entries} observed numbers, {constant} of them constant")


def say(sentence: str) -> None:
    """Prints a line as it is."""
    out.print(sentence, markup=False, soft_wrap=True)
