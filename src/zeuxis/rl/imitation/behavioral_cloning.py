r"""Behavioral cloning: a policy by maximum likelihood of the expert's actions, with no environment
at all.

$$ \min_\theta \; \mathbb{E}_{(s, a) \sim E}[-\log \pi_\theta(a | s)] $$

Simple, and good where demonstrations are many: with few, small errors lead to states the expert
never saw, where nothing was learned. Seven tenths of the pairs are learned from and three validate;
the snapshot with the best validation is kept, by squared error of the mean action, or by likelihood
where actions are discrete.

Source: Pomerleau 1989; settings and selection of the code released with Ho and Ermon, "Generative
Adversarial Imitation Learning", 2016.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NoReturn

import torch
from torch import Tensor

from ...checkpoints.run_folder import Run
from ...device import setup_device
from ...errors import DivergenceError, UsageError, ZeuxisError
from ...optim import factory as optimizers
from ...ranges import (
    BaseConfig,
    Count,
    CountOrNone,
    Duration,
    Portion,
    Positive,
    Range,
    Seed,
    Size,
    Threads,
)
from ...training.interrupts import interrupts
from ...training.metrics_log import MetricsLog
from ..environments.environment import task_of
from ..optimization.saves import (
    DAMAGED,
    count,
    duration,
    negative,
    norms,
    not_finite,
    restore_optimizer,
    resume_or_rewind,
)
from ..policies.mlp import Activation
from ..policies.policy import Policy, policy_for
from .demonstrations import Demonstrations


@dataclass(frozen=True)
class CloningConfig(BaseConfig, flags="--bc."):
    """How a policy is cloned; the defaults are those of GAIL's baseline."""

    trajectories: CountOrNone = 0
    """Demonstrations to imitate; 0 takes all there are."""
    every: Count = 1
    """Keep one step of so many of each demonstration."""
    steps: Count = 20_000
    """Steps of Adam."""
    minutes: Duration = 0.0
    """Minutes after which it ends wherever it is; 0 sets no such limit."""
    batch: Portion = 128
    """Pairs in each, drawn with replacement."""
    lr: Positive = 1e-3
    """Step size."""
    hidden: tuple[Size, ...] = (100, 100)
    """Units of each hidden layer."""
    activation: Activation = "tanh"
    """Between them."""
    hold_out: Annotated[float, Range(0, 1, above=True, below=True)] = 0.3
    """Part of the pairs that validates."""
    validate_every: Count = 1_000
    """Steps between validations."""
    horizon: CountOrNone = 0
    """Longest episode of the task (steps); 0 takes its own limit."""
    seed: Seed = 0
    """Fixes first weights, the split and the order."""
    threads: Threads = 0
    """CPU threads; 0 takes all cores."""


class BC:
    """Clones an expert.

    Arguments:
        env: A Gymnasium id, or a function without arguments that makes an environment; only its
            spaces are looked at.
        demos: The expert's trajectories.
        config: Settings.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.
    """

    name: ClassVar[str] = "bc"
    paper: ClassVar[str] = "Pomerleau: ALVINN, 1989; as the baseline of Ho and Ermon 2016"

    def __init__(
        self,
        env: str | Callable[[], Any],
        demos: Demonstrations,
        config: CloningConfig | None = None,
        run: Run | None = None,
        quiet: bool = False,
    ) -> None:
        self.config, self.run, self.quiet = config or CloningConfig(), run, quiet
        c = self.config
        setup_device("cpu", "fp32", c.threads)
        self.task = task_of(env, c.horizon)
        observations, actions = demos.fit(self.task).pairs(c.trajectories, c.every)
        if len(observations) < 2:
            raise UsageError(
                f"Cloning needs at least 2 pairs and {len(observations)} are left of "
                f"'{demos.name}': lower --bc.every."
            )
        self.policy = policy_for(self.task, c.hidden, c.activation, c.seed)
        self.policy.seen.update(torch.from_numpy(observations))
        self.policy.seen.freeze()
        self.x, self.a = (
            torch.from_numpy(observations),
            torch.from_numpy(self.task.from_env(actions)),
        )
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(c.seed))
        held = min(len(order) - 1, max(1, round(c.hold_out * len(order))))
        self.held, self.kept = order[:held], order[held:]
        self.adam = torch.optim.Adam(self.policy.parameters(), c.lr)
        self.best = {k: v.clone() for k, v in self.policy.state_dict().items()}
        self.newest: dict[str, Tensor] = {}
        self.steps, self.score, self.seconds, self.stopped = 0, float("-inf"), 0.0, False
        self.figures: dict[str, float] = {}

    def learn(self, steps: int | None = None) -> BC:
        """Goes on for so many steps of Adam, or to the planned end; the policy then is the best
        snapshot so far."""
        c = self.config
        if self.run is not None and self.steps == 0:
            resume_or_rewind(self.run, self.restore)
        if self.newest:
            self.policy.load_state_dict(self.newest)
        total = c.steps if steps is None else self.steps + steps
        report, began = (
            MetricsLog(self.run, total, self.quiet, unit="steps"),
            time.monotonic() - self.seconds,
        )
        with interrupts() as stop, report.open(self.steps):
            if self.steps == 0:
                report.say(f"{len(self.kept):,} pairs are cloned, {len(self.held):,} validate.")
            while (
                self.steps < total
                and not stop.is_set()
                and not (c.minutes and time.monotonic() - began > 60 * c.minutes)
            ):
                generator = torch.Generator().manual_seed(c.seed * 1_000_003 + self.steps)
                rows = self.kept[torch.randint(len(self.kept), (c.batch,), generator=generator)]
                loss = -self.policy.log_prob(self.policy(self.x[rows]), self.a[rows]).mean()
                if not math.isfinite(loss.item()):
                    self.diverged("loss")
                self.adam.zero_grad(set_to_none=True)
                loss.backward()
                self.adam.step()
                self.steps += 1
                if self.steps % c.validate_every == 0 or self.steps == total:
                    self.seconds = time.monotonic() - began
                    self.validate(loss.item(), report)
            self.stopped = stop.is_set() and self.steps < total
        self.newest = {k: v.clone() for k, v in self.policy.state_dict().items()}
        self.save()
        self.policy.load_state_dict(self.best)
        return self

    def diverged(self, what: str) -> NoReturn:
        """Ends the training because a number is not finite."""
        saved = self.run.saved_images() if self.run is not None else 0
        kept = f"the save of {saved:,} steps is kept" if saved else "nothing was saved before"
        raise DivergenceError(
            f"'{what}' is no longer finite at step {self.steps:,} of Adam; {kept}: lower --bc.lr."
        )

    @torch.no_grad()
    def validate(self, loss: float, report: MetricsLog) -> None:
        """Scores the held-out pairs and keeps the best snapshot."""
        outputs, a = self.policy(self.x[self.held]), self.a[self.held]
        likely = self.policy.log_prob(outputs, a).mean().item()
        score = likely if self.task.discrete else -(outputs - a).square().sum(1).mean().item()
        if score > self.score:
            self.score, self.best = (
                score,
                {k: v.clone() for k, v in self.policy.state_dict().items()},
            )
        self.figures = {
            "loss": loss,
            "held-out loss": -likely,
            "score": score,
            "best": self.score,
            "seconds": self.seconds,
        }
        report.figures(self.figures, self.steps)

    def save(self) -> None:
        """Writes everything that going on needs, then the best policy by itself."""
        tensors = {f"newest.{k}": v for k, v in self.newest.items()} | {
            f"best.{k}": v for k, v in self.best.items()
        }
        tensors |= optimizers.state(self.adam, "adam")
        if wrong := not_finite(tensors | norms({"policy": self.policy})):
            self.diverged(wrong)
        if self.run is None:
            return
        self.run.write_tensors(
            "state.safetensors",
            tensors,
            {"steps": self.steps, "score": repr(self.score), "seconds": self.seconds},
        )
        self.snapshot().save(
            self.run.path("policy.safetensors"), algorithm=self.name, steps=str(self.steps)
        )

    def snapshot(self) -> Policy:
        """A copy with the best weights."""
        policy = policy_for(self.task, self.config.hidden, self.config.activation)
        policy.load_state_dict(self.best)
        return policy

    def restore(self, run: Run) -> None:
        """Goes on exactly where the last save was made."""
        tensors, about = run.read_tensors("state.safetensors")
        path = run.path("state.safetensors")

        def part(name: str) -> dict[str, Tensor]:
            return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}

        if wrong := not_finite(tensors) or negative(tensors):
            raise ZeuxisError(
                f"'{path}' has numbers in '{wrong}' that are not finite or no counts: "
                "restore it from a copy."
            )
        try:
            self.newest, self.best = part("newest"), part("best")
            self.policy.load_state_dict(self.best)
            self.policy.load_state_dict(self.newest)
            restore_optimizer(self.adam, "adam", tensors)
            known = {
                f"{name}.{key}" for name in ("newest", "best") for key in self.best
            } | optimizers.state(self.adam, "adam").keys()
            if extra := sorted(tensors.keys() ^ known):
                raise KeyError(extra[0])
            self.steps, self.score, self.seconds = (
                count(about, "steps"),
                float(about["score"]),
                duration(about),
            )
        except DAMAGED as error:
            raise ZeuxisError(
                f"'{path}' was saved with other settings, or is damaged: resume with "
                "those in config.json."
            ) from error
        run.rewind(self.steps)
