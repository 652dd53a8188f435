"""Trains a policy in a run folder: task, demonstrations, settings, training, and the card."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..checkpoints.ownership import REMOTE_TRACKERS, is_own, signed
from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import to_json
from ..errors import DataError, UsageError, ZeuxisError
from ..machine import machine
from ..progress import clock, console
from ..rl.environments.registration import named_by_file
from ..rl.exploration.released_code import ReleasedVIME
from ..rl.exploration.vime import VIME
from ..rl.imitation.behavioral_cloning import BC
from ..rl.imitation.demonstration_files import read_demos
from ..rl.imitation.demonstrations import Demonstrations
from ..rl.imitation.discriminator import GAILConfig
from ..rl.imitation.gail import GAIL
from ..rl.imitation.minari_format import main_file
from ..rl.optimization.config import PolicyExperiment
from ..rl.optimization.on_policy import TRPO
from ..rl.optimization.policy_trainer import PolicyTrainer
from .policy_training import ALGORITHMS, IMITATION, PolicyTraining, training_from


def build(
    training: PolicyTraining, run: Run | None, demos: Demonstrations | None, quiet: bool = False
) -> PolicyTrainer:
    """Makes the trainer."""
    t, experiment = training, training.experiment
    if t.algorithm in IMITATION:
        assert demos is not None
        if t.algorithm == "bc":
            return BC(experiment, demos, run, quiet)
        if t.algorithm in ("fem", "gtal"):
            config: Any = experiment.config or GAILConfig()
            config = replace(config, reward_model=t.algorithm)
            experiment = replace(experiment, config=config)
        return GAIL(experiment, demos, run, quiet)
    if t.algorithm == "vime":
        return (ReleasedVIME if t.preset == "paper" else VIME)(experiment, run, quiet)
    return TRPO(experiment, run, quiet)


def resolved(training: PolicyTraining, agent: PolicyTrainer) -> PolicyTraining:
    """The training with all settings as the trainer has them, defaults included."""
    names = ("training", "trust_region", "config")
    values: dict[str, Any] = {name: getattr(agent, name, None) for name in names}
    return replace(training, experiment=PolicyExperiment(training.env, **values))


def load_demos(training: PolicyTraining) -> Demonstrations | None:
    """Reads the demonstrations that an algorithm needs."""
    if training.algorithm not in IMITATION:
        return None
    if not training.demos:
        raise UsageError(
            f"{training.algorithm} imitates: give --demos FILE, as zeuxis demos record makes it."
        )
    return read_demos(training.demos)


def start(training: PolicyTraining, out: str | Path = "runs") -> PolicyTrainer:
    """Trains in a new run folder."""
    demos = load_demos(training)
    agent = build(training, None, demos)  # mistakes are reported before there is a folder
    training = resolved(training, agent)
    about: dict[str, Any] = {
        "zeuxis": version("zeuxis"),
        "model": training.algorithm,
        "algorithm": training.algorithm,
        "env": training.env,
        "task": to_json(agent.task),
    }
    if training.preset:
        about["preset"] = training.preset
    if demos is not None:
        about["demos"] = os.path.abspath(training.demos)
        about["digest"] = digest(training.demos)
        about["expert"] = float(demos.rollouts.returns.mean())
    about["machine"] = machine()
    about |= {name: to_json(config) for name, config in training.configs().items()}
    run = Run.create(out, f"{training.algorithm}-{agent.task.name}-seed{training.loop.seed}")
    run.write_json("config.json", signed(about))
    agent.run = run
    with run.held():
        return train(agent, run)


def resume(
    folder: str | Path,
    steps: int | None = None,
    env: str = "",
    demos: str = "",
    minutes: float = 0.0,
) -> PolicyTrainer:
    """Resumes a run from its last save.

    Arguments:
        folder: The run.
        steps: New length of the training (steps); None keeps the planned one.
        env: The run's task, for one whose module has to be imported: only the user names modules.
        demos: Where its demonstrations are now.
        minutes: Continue for this many more minutes, instead of to a number of steps.

    Raises:
        ZeuxisError: The run is damaged, another process trains in it, or the demonstrations are
            others; nothing is changed then.
    """
    run = Run.open(folder)
    with run.held():
        where = str(run.path("config.json"))
        about = run.read_config()
        training = training_from(about, where)
        if env and env != training.env:
            raise UsageError(
                f"The run '{folder}' learns in '{training.env}', and --env is '{env}': give the "
                "run's, or start a new run."
            )
        env = env or named_by_file(training.env, f"'{where}'")
        experiment = replace(training.experiment, env=env)
        training = replace(training, experiment=experiment, demos=demos or training.demos)
        if steps is not None:
            training = training.with_loop(steps=steps, minutes=0.0)
        if minutes:
            training = in_more_minutes(training, run, minutes)
        own = is_own(about)
        if training.loop.track in REMOTE_TRACKERS and not own:
            sentence = (
                f"Nothing is sent to {training.loop.track}: '{folder}' was not made by you on "
                "this machine."
            )
            console.print(sentence, soft_wrap=True)
            training = training.with_loop(track="")
        if training.algorithm in IMITATION:
            check_demos(training, about, folder, trusted=own or bool(demos))
        agent = build(training, run, load_demos(training))
        configs = resolved(training, agent).configs().items()
        changed = about | {name: to_json(config) for name, config in configs}
        if demos:
            changed["demos"] = os.path.abspath(demos)
        if own or demos:
            changed = signed(changed)
        if json.dumps(changed) != json.dumps(about):
            run.write_json("config.json", changed)
        return train(agent, run)


def check_demos(
    training: PolicyTraining, about: dict[str, Any], folder: str | Path, trusted: bool
) -> None:
    """Refuses demonstrations that are not those the run began with.

    Arguments:
        training: The training.
        about: Values of its config.json.
        folder: The run.
        trusted: Whether the user named the file, and not a folder made elsewhere.
    """
    if not trusted:
        raise UsageError(
            f"'{folder}' names the demonstrations '{training.demos[:200]}' and was not made by "
            "you on this machine, so they are not looked for: give their place with --demos."
        )
    if digest(training.demos) != about.get("digest"):
        raise ZeuxisError(
            f"'{training.demos}' is not the file that this run began with: put it back, give its "
            "place with --demos, or start a new run."
        )


def in_more_minutes(training: PolicyTraining, run: Run, minutes: float) -> PolicyTraining:
    """The training with a limit of `minutes` more, and more steps than its speed allows in them."""
    steps, seconds = run.saved_images(), run.saved_seconds()
    if not seconds:
        return training.with_loop(minutes=minutes)
    steps += math.ceil(1.2 * steps * 60 * minutes / seconds)
    return training.with_loop(steps=max(1, steps), minutes=seconds / 60 + minutes)


def digest(path: str) -> str:
    """SHA-256 of a file of demonstrations; of Minari's folder, of the file with the episodes."""
    file = main_file(Path(path))
    if not file.is_file():
        raise DataError(f"There are no demonstrations at '{path}': give their place with --demos.")
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"The demonstrations '{path}' cannot be read ({error.strerror}): give their place "
            "with --demos."
        ) from error


def train(agent: PolicyTrainer, run: Run) -> PolicyTrainer:
    """Trains in a run folder that this process holds, and writes the card."""
    weights = sum(p.numel() for p in agent.policy.parameters())
    task = agent.task
    outputs = f"{task.action} {'actions' if task.discrete else 'numbers'}"
    console.print(
        f"{agent.name}: a policy of {weights:,} weights from {task.observation} observed numbers "
        f"to {outputs}, in {run}",
        markup=False,
        soft_wrap=True,
    )
    agent.train()
    name, about = "bc" if agent.name == "bc" else "training", run.read_config()
    if not agent.stopped and agent.steps < about[name]["steps"]:  # the minutes were over first
        run.write_json("config.json", about | {name: about[name] | {"steps": agent.steps}})
    run.write("README.md", card(agent, run))
    if agent.stopped:
        sentence = (
            f"Stopped and saved at {agent.steps:,} steps; go on with: zeuxis train --resume {run}"
        )
    else:
        sentence = (
            f"Done: {run}; evaluate it with zeuxis evaluate {run}, see it with zeuxis play {run}"
        )
    console.print(sentence, markup=False, soft_wrap=True)
    return agent


def card(agent: PolicyTrainer, run: Run) -> str:
    """README.md of a run folder."""
    about = run.read_config()
    shown = {k: v for k, v in agent.figures.items() if k not in ("steps/s", "seconds")}
    figures = "\n".join(f"| {name} | {value:.5g} |" for name, value in shown.items())
    unit = "steps of Adam" if agent.name == "bc" else "steps of the environment"
    version = about.get("zeuxis", "(unknown version)")
    return f"""# {about["algorithm"]} in {agent.task.name}

{ALGORITHMS[about["algorithm"]]}

{agent.steps:,} {unit} in {clock(agent.seconds)} with zeuxis {version}.

```python
from zeuxis.rl import load_policy

policy = load_policy("{run.folder.name}")       # plain arrays, no PyTorch needed
action, _ = policy.predict(observation)
```

| last figures | |
| --- | --- |
{figures}

`policy.safetensors` holds the policy as weights of a small network; its metadata say how to read
them. No file of this folder is a pickle.
"""
