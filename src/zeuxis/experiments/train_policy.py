"""From a wish to a policy: task, demonstrations, run folder, learning, and the card that goes with
it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..checkpoints.ownership import REMOTE_TRACKERS, is_own, signed
from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import from_json, to_json
from ..errors import DataError, UsageError, ZeuxisError
from ..machine import machine
from ..progress import clock, console
from ..rl.environments.environment import named_by_file
from ..rl.exploration.information_gain import VIMEConfig
from ..rl.exploration.vime import VIME
from ..rl.imitation.behavioral_cloning import BC, CloningConfig
from ..rl.imitation.demonstrations import Demonstrations, read_demos
from ..rl.imitation.discriminator import GAILConfig
from ..rl.imitation.gail import GAIL
from ..rl.imitation.minari_format import stored
from ..rl.optimization.on_policy import PPO, TRPO, Learner, OnPolicyConfig
from ..rl.optimization.ppo import Proximal
from ..rl.optimization.trust_region import TrustRegionConfig

ALGORITHMS = {
    "trpo": TRPO.paper,
    "ppo": PPO.paper,
    "vime": VIME.paper,
    "gail": GAIL.paper,
    "fem": "Abbeel and Ng: Apprenticeship Learning, 2004, as the baseline of Ho and Ermon 2016",
    "gtal": (
        "Syed and Schapire: A Game-Theoretic Approach, 2007, as the baseline of Ho and Ermon 2016"
    ),
    "bc": BC.paper,
}
IMITATION = ("gail", "fem", "gtal", "bc")


@dataclass(frozen=True)
class Wish:
    """What is to be learned, and how.

    Arguments:
        algorithm: One of `ALGORITHMS`.
        env: A Gymnasium id.
        demos: A file of demonstrations, for imitation.
        learning: Settings of the loop.
        region: Of TRPO's steps.
        proximal: Of PPO's.
        gail: Of the imitation.
        bc: Of cloning.
        vime: Of the bonus for what is learned about the world.
    """

    algorithm: str
    env: str
    demos: str = ""
    learning: OnPolicyConfig = field(default_factory=OnPolicyConfig)
    region: TrustRegionConfig = field(default_factory=TrustRegionConfig)
    proximal: Proximal = field(default_factory=Proximal)
    gail: GAILConfig = field(default_factory=GAILConfig)
    bc: CloningConfig = field(default_factory=CloningConfig)
    vime: VIMEConfig = field(default_factory=VIMEConfig)

    @property
    def seed(self) -> int:
        return self.bc.seed if self.algorithm == "bc" else self.learning.seed


PARTS = {
    "learning": OnPolicyConfig,
    "region": TrustRegionConfig,
    "proximal": Proximal,
    "gail": GAILConfig,
    "bc": CloningConfig,
    "vime": VIMEConfig,
}


def build(
    wish: Wish, run: Run | None, demos: Demonstrations | None, quiet: bool = False
) -> Learner | BC:
    """The learner of a wish."""
    w = wish
    if w.algorithm in IMITATION:
        assert demos is not None
        if w.algorithm == "bc":
            return BC(w.env, demos, w.bc, run, quiet)
        judge: Any = w.algorithm if w.algorithm in ("fem", "gtal") else w.gail.judge
        return GAIL(
            w.env, demos, replace(w.gail, judge=judge), w.learning, w.region, w.proximal, run, quiet
        )
    if w.algorithm == "vime":
        return VIME(w.env, w.vime, w.learning, w.region, w.proximal, run, quiet)
    kind: Callable[..., Learner] = PPO if w.algorithm == "ppo" else TRPO
    return kind(w.env, w.learning, region=w.region, proximal=w.proximal, run=run, quiet=quiet)


def demos_of(wish: Wish) -> Demonstrations | None:
    """The demonstrations that a wish needs."""
    if wish.algorithm not in IMITATION:
        return None
    if not wish.demos:
        raise UsageError(
            f"{wish.algorithm} imitates: give --demos FILE, as zeuxis demos record makes it."
        )
    return read_demos(wish.demos)


def start(wish: Wish, out: str | Path = "runs") -> Learner | BC:
    """Learns in a new run folder."""
    demos = demos_of(wish)
    agent = build(wish, None, demos)  # mistakes are reported before there is a folder
    task = agent.task
    about: dict[str, Any] = {
        "zeuxis": version("zeuxis"),
        "model": wish.algorithm,
        "algorithm": wish.algorithm,
    }
    about |= {"env": wish.env, "task": to_json(task)}
    if demos is not None:
        about |= {
            "demos": os.path.abspath(wish.demos),
            "digest": digest(wish.demos),
            "expert": float(demos.rollouts.returns.mean()),
        }
    about["machine"] = machine()
    run = Run.create(out, f"{wish.algorithm}-{task.name}-seed{wish.seed}")
    run.write_json(
        "config.json",
        signed(
            about
            | {name: to_json(getattr(wish, name)) for name in PARTS if used(wish.algorithm, name)}
        ),
    )
    agent.run = run
    with run.held():
        return carry_out(agent, run)


def used(algorithm: str, part: str) -> bool:
    """Whether an algorithm has settings of this kind."""
    if algorithm == "bc":
        return part == "bc"
    own = {"gail": algorithm in IMITATION, "vime": algorithm == "vime"}
    return part in ("learning", "region", "proximal") or own.get(part, False)


def wish_of(about: dict[str, Any], where: str) -> Wish:
    """The wish that a config.json holds, every entry checked.

    Arguments:
        about: What the file holds.
        where: The file, for sentences.

    Raises:
        ZeuxisError: An entry is missing or of another kind.
    """
    algorithm = about.get("algorithm")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or "env" not in about:
        raise ZeuxisError(
            f"'{where}' names no algorithm and task of zeuxis: it is damaged, or another "
            "version wrote it."
        )
    texts = {key: about.get(key, "") for key in ("env", "demos", "digest")}
    if wrong := next((key for key, value in texts.items() if not isinstance(value, str)), ""):
        raise ZeuxisError(
            f"'{where}' gives {wrong} = {str(texts[wrong])[:40]!r}, expected text: "
            "restore it from a copy."
        )
    parts: dict[str, Any] = {
        name: from_json(kind, about[name], where) for name, kind in PARTS.items() if name in about
    }
    return Wish(algorithm, texts["env"], texts["demos"], **parts)


def resume(
    folder: str | Path,
    steps: int | None = None,
    env: str = "",
    demos: str = "",
    minutes: float = 0.0,
) -> Learner | BC:
    """Goes on with a run from its last save, to so many steps if given, else to where it was meant
    to end.

    Arguments:
        folder: The run.
        steps: Its new length (steps).
        env: The run's task, for one whose module has to be imported: only what the user names is.
        demos: Where its demonstrations are now.
        minutes: Go on for so many more minutes, instead of to an end in steps.

    Raises:
        ZeuxisError: The run is damaged, another process trains in it, or the demonstrations are
            others; nothing is changed then.
    """
    run = Run.open(folder)
    with run.held():
        where = str(run.path("config.json"))
        about = run.read_json("config.json")
        wish = wish_of(about, where)
        if env and env != wish.env:
            raise UsageError(
                f"The run '{folder}' learns in '{wish.env}', and --env is '{env}': give "
                "the run's, or start a new run."
            )
        wish = replace(
            wish, env=env or named_by_file(wish.env, f"'{where}'"), demos=demos or wish.demos
        )
        if steps is not None:
            part = "bc" if wish.algorithm == "bc" else "learning"
            wish = replace(wish, **{part: replace(getattr(wish, part), steps=steps, minutes=0.0)})
        if minutes:
            wish = in_more_minutes(wish, run, minutes)
        own = is_own(about)
        if wish.learning.track in REMOTE_TRACKERS and not own:
            console.print(
                (
                    f"Nothing is sent to {wish.learning.track}: '{folder}' was not made by "
                    "you on this machine."
                ),
                soft_wrap=True,
            )
            wish = replace(wish, learning=replace(wish.learning, track=""))
        if wish.algorithm in IMITATION and not (own or demos):
            raise UsageError(
                f"'{folder}' names the demonstrations '{wish.demos[:200]}' and was not "
                "made by you on this machine, so they are not looked "
                "for: give their place with --demos."
            )
        if wish.algorithm in IMITATION and digest(wish.demos) != about.get("digest"):
            raise ZeuxisError(
                f"'{wish.demos}' is not the file that this run began with: put it back, "
                "give its place with --demos, or start a new run."
            )
        agent = build(wish, run, demos_of(wish))
        changed = about | {name: to_json(getattr(wish, name)) for name in PARTS if name in about}
        changed |= {"demos": os.path.abspath(demos)} if demos else {}
        changed = signed(changed) if own or demos else changed
        if json.dumps(changed) != json.dumps(about):
            run.write_json("config.json", changed)
        return carry_out(agent, run)


def in_more_minutes(wish: Wish, run: Run, minutes: float) -> Wish:
    """A wish whose run goes on for `minutes` more; the steps it will take are as many as its speed
    so far allows, and then some."""
    part = "bc" if wish.algorithm == "bc" else "learning"
    config, steps, seconds = getattr(wish, part), run.saved_images(), run.saved_seconds()
    if seconds:
        steps += math.ceil(1.2 * steps * 60 * minutes / seconds)
    config = replace(
        config, steps=max(1, steps) if seconds else config.steps, minutes=seconds / 60 + minutes
    )
    return replace(wish, **{part: config})


def digest(path: str) -> str:
    """SHA-256 of a file, or of the one that holds the episodes in Minari's folder."""
    file = stored(Path(path))
    if not file.is_file():
        raise DataError(f"There are no demonstrations at '{path}': give their place with --demos.")
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"The demonstrations '{path}' cannot be read ({error.strerror}): give their "
            "place with --demos."
        ) from error


def carry_out(agent: Learner | BC, run: Run) -> Learner | BC:
    """Learns in a run folder that this process holds, and writes the card."""
    weights = sum(p.numel() for p in agent.policy.parameters())
    task = agent.task
    takes = f"{task.action} {'actions' if task.discrete else 'numbers'}"
    made = f"a policy of {weights:,} weights from {task.observation} observed numbers to {takes}"
    console.print(f"{agent.name}: {made}, in {run}", markup=False, soft_wrap=True)
    agent.learn()
    part, about = "bc" if agent.name == "bc" else "learning", run.read_json("config.json")
    if not agent.stopped and agent.steps < about[part]["steps"]:  # the minutes were over first
        run.write_json("config.json", about | {part: about[part] | {"steps": agent.steps}})
    run.write("README.md", card(agent, run))
    if agent.stopped:
        sentence = (
            f"Stopped and saved at {agent.steps:,} steps; go on with: zeuxis train --resume {run}"
        )
    else:
        sentence = (
            f"Done: {run}; judge it with zeuxis evaluate {run}, see it with zeuxis play {run}"
        )
    console.print(sentence, markup=False, soft_wrap=True)
    return agent


def card(agent: Learner | BC, run: Run) -> str:
    """README.md of a run folder."""
    about = run.read_json("config.json")
    shown = {k: v for k, v in agent.figures.items() if k not in ("steps/s", "seconds")}
    figures = "\n".join(f"| {name} | {value:.5g} |" for name, value in shown.items())
    learned = "steps of Adam" if agent.name == "bc" else "steps of the environment"
    return f"""# {about["algorithm"]} in {agent.task.name}

{ALGORITHMS[about["algorithm"]]}

{agent.steps:,} {learned} in {clock(agent.seconds)} with zeuxis {about["zeuxis"]}.

```python
from zeuxis.rl import load_policy

policy = load_policy("{run.folder.name}")       # plain arrays, no PyTorch needed
action, _ = policy.predict(observation)
```

| last figures | |
| --- | --- |
{figures}

`policy.safetensors` holds the policy as weights of a small network; its metadata say how they are to be read. No file of this folder is a
pickle.
"""
