"""What train and evaluate do for policies: zeuxis train trpo --env Hopper-v5, zeuxis evaluate RUN."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..errors import UsageError, ZeuxisError
from ..evaluation.record import write_record
from ..progress import clock, out
from ..ranges import Count, CountOrNone, Seed, Settings, Workers
from ..rl.actor import Actor
from ..rl.demos import read_demos
from ..rl.envs import GREATEST, named_by_file
from ..rl.judges import GAILConfig
from ..rl.learner import Learner, Learning
from ..rl.policy import load_policy
from ..rl.ppo import Proximal
from ..rl.presets import cloning, curiosity, imitation
from ..rl.returns import chance, returns_of
from ..rl.start import ALGORITHMS, IMITATION, Wish, build, demos_of, start, wish_of
from ..rl.trust_region import TrustRegion
from ..rl.vime import VIMEConfig
from ..training.config import to_json
from ..training.run import Run
from .provenance import training_of

ENV = "The task: a Gymnasium id, as in Hopper-v5, or module:Task-v0 for one that a module registers."
DEMOS = "The expert's trajectories, as zeuxis demos record writes them."


def is_policy(folder: str) -> bool:
    """Whether a folder is the run of a policy, or a file is a policy."""
    path = Path(folder)
    if path.is_file():
        return path.suffix == ".safetensors"
    try:
        return "algorithm" in Run(path).read_json("config.json")
    except ZeuxisError:
        return False


def train(words: Sequence[str]) -> None:
    """zeuxis train ALGORITHM --env TASK."""
    from .train import option, without  # here, since train imports this file

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


PARTS = {"training": "learning", "region": "region", "ppo": "proximal", "gail": "gail", "bc": "bc", "vime": "vime"}


def arguments(algorithm: str, env: str, preset: str) -> Any:
    """The dataclass of the command's options: those of this algorithm, with the defaults of this task."""
    fixed = lambda kind, value: (kind, dataclasses.field(default_factory=lambda: value))  # noqa: E731
    fields: list[Any] = [("env", Annotated[str, tyro.conf.arg(help=ENV)])]
    if algorithm in IMITATION:
        fields.append(("demos", Annotated[str, tyro.conf.arg(help=DEMOS)]))
    if algorithm in ("gail", "fem", "gtal"):
        help = "paper: the settings of Ho and Ermon for this task; modern: gradient penalty, several updates, absorbing states."
        fields.append(("preset", Annotated[str, tyro.conf.arg(help=help)], preset))
    if algorithm == "vime":
        help = "corrected: the bound as the theory has it; paper: as the code released with the paper, its oddities included."
        fields.append(("preset", Annotated[str, tyro.conf.arg(help=help)], preset))
    fields.append(("out", Annotated[str, tyro.conf.arg(help="Where the numbered run folder goes.")], "runs"))
    fields.append(("dry_run", Annotated[bool, tyro.conf.arg(help="Show settings and time, and do not train.")], False))
    if algorithm == "bc":
        fields.append(("bc", *fixed(type(cloning(env)), cloning(env))))
    else:
        config, learning, region = GAILConfig(), Learning(optimiser="ppo" if algorithm == "ppo" else "trpo"), TrustRegion()
        if algorithm in IMITATION:
            judge = "discriminator" if algorithm == "gail" else algorithm
            config, learning, region = imitation(env, judge, preset)  # type: ignore[arg-type]
            fields.append(("gail", *fixed(GAILConfig, config)))
        if algorithm == "vime":
            bonus, learning, region = curiosity(env, preset)
            fields.append(("vime", *fixed(VIMEConfig, bonus)))
        fields += [("training", *fixed(Learning, learning)), ("region", *fixed(TrustRegion, region)), ("ppo", *fixed(Proximal, Proximal()))]
    return dataclasses.make_dataclass("Train", fields, frozen=True)


def dry_run(wish: Wish) -> None:
    """Prints the settings, and the time from one small iteration."""
    few = dataclasses.replace(wish, learning=dataclasses.replace(wish.learning, batch=min(4_000, wish.learning.batch)))
    agent = build(few, None, demos_of(wish), quiet=True)
    print(json.dumps({name: to_json(getattr(wish, part)) for name, part in PARTS.items()}, indent=2))
    print(f"\n{agent.task}")
    if isinstance(agent, Learner):
        with agent.engine:
            agent.iterate()  # workers start
            began, before = time.monotonic(), agent.steps
            agent.iterate()
            speed = (agent.steps - before) / (time.monotonic() - began)
        steps = wish.learning.steps
        print(f"{steps:,} steps: about {clock(steps / speed)} at {speed:,.0f} steps/s here, as fast as the first iterations")


@dataclasses.dataclass(frozen=True)
class Evaluate(Settings, flags="--"):
    """Returns of a policy over whole episodes that no training saw, and where they lie between chance (0) and the expert (1)."""

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
    workers = len(os.sched_getaffinity(0)) if wish.workers < 0 and hasattr(os, "sched_getaffinity") else max(0, wish.workers)
    more = {"seed": wish.seed, "workers": workers, "horizon": horizon}
    found = returns_of(actor, env, wish.episodes, deterministic=not wish.stochastic, **more)
    out.print(f"{env}: {found}", markup=False, soft_wrap=True)
    figures = found.as_dict()
    expert = float(read_demos(wish.demos).rollouts.returns.mean()) if wish.demos else expert_of(about)
    if expert is not None:
        from ..rl.envs import task_of

        low = float(returns_of(chance(task_of(env, horizon)), env, 20, deterministic=False, **more).returns.mean())
        share = (figures["mean"] - low) / (expert - low) if expert != low else float("nan")
        figures |= {"chance": low, "expert": expert, "share": share}
        out.print(f"chance {low:.2f}, expert {expert:.2f}: {share:.3f} of the way", markup=False)
    elif run and run.demos:
        out.print("To compare with the expert, give its demonstrations with --demos FILE.", markup=False)
    if wish.record:
        seconds = time.monotonic() - began
        told = {key: value for key, value in about.items() if key not in ("zeuxis", "model", "machine")}
        if about:
            told |= {"training": training_of(Run(Path(wish.policy)))}
        path = write_record(wish.record, figures, seconds=seconds, seed=wish.seed, paper=wish.paper, note=wish.note, **told)
        out.print(f"Record: {path}", markup=False, soft_wrap=True)


def opened(policy: str) -> tuple[Actor, dict[str, Any], Wish | None]:
    """A policy to act with; for a run folder also what its config.json holds, as it is and checked."""
    actor, path = load_policy(policy), Path(policy)
    if not path.is_dir():
        return actor, {}, None
    run = Run.open(path)
    about = run.read_json("config.json")
    return actor, about, wish_of(about, str(run.path("config.json")))


def task_named(given: str, run: Wish | None, actor: Actor) -> str:
    """The task to act in: as given, else the run's, else the policy file's; a file must not name a module to import."""
    env = given or named_by_file(run.env if run else actor.about.get("env", ""), "The run" if run else "The policy file")
    if not env:
        raise UsageError("The policy does not say which task it is for: give --env.")
    return env


def expert_of(about: dict[str, Any]) -> float | None:
    """The mean return of a run's demonstrations, as it was when the run began."""
    value = about.get("expert")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < GREATEST else None


def training_command(about: dict[str, Any]) -> str:
    """The command that trains a run with these settings."""
    algorithm, env = about["algorithm"], about["env"]
    words = ["zeuxis", "train", algorithm, "--env", env] + (["--demos", Path(about["demos"]).name] if "demos" in about else [])
    base: dict[str, Any] = {"learning": Learning(optimiser="ppo" if algorithm == "ppo" else "trpo"), "region": TrustRegion()}
    base |= {"proximal": Proximal(), "bc": cloning(env)}
    if algorithm in ("gail", "fem", "gtal"):
        base["gail"], base["learning"], base["region"] = imitation(env, "discriminator" if algorithm == "gail" else algorithm)
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
