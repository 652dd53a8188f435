"""Base class of everything that trains a policy: the session, finite checks, saves, resuming.

A subclass says what one iteration does. Everything that resuming needs lies in its `parts`
(modules), `optimizers` and `counters`, and is saved in one file, so that a resumed run ends bit for
bit where an uninterrupted one ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...checkpoints.run_folder import Run
from ...checkpoints.tensor_file import not_finite
from ...errors import DivergenceError, ZeuxisError
from ...optim import factory
from ...training.session import (
    Session,
    SessionConfig,
    require_count,
    require_seconds,
    resume_or_rewind,
)
from ..environments.task import Task
from ..policies.policy import Policy

T = TypeVar("T", bound="PolicyTrainer")
STATE = "state.safetensors"
# What loading a damaged save, or one of other settings, may raise.
DAMAGED = (RuntimeError, KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError)


class PolicyTrainer:
    """Trains a policy.

    Arguments:
        config: Settings of the session: minutes, save_minutes, track.
        total: Length of the training (steps).
        log_every: Iterations between reports.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.
    """

    name: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    advice: ClassVar[str] = "lower the step sizes"  # against divergence
    task: Task

    def __init__(
        self, config: SessionConfig, total: int, log_every: int, run: Run | None, quiet: bool
    ) -> None:
        self.session_config, self.total, self.log_every = config, total, log_every
        self.end = total  # of the current call of `train`
        self.run, self.quiet = run, quiet
        self.parts: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.steps = self.iteration = 0
        self.seconds, self.stopped = 0.0, False
        self.figures: dict[str, float] = {}

    @property
    def policy(self) -> Policy:
        """The policy to act with."""
        raise NotImplementedError

    def describe(self) -> str:
        """A sentence printed before the training."""
        return ""

    def iterate(self) -> dict[str, float]:
        """Makes one iteration and returns its figures, none to keep the last ones."""
        raise NotImplementedError

    def counters(self) -> dict[str, Any]:
        """JSON values of a save beside its tensors."""
        return {"steps": self.steps, "iteration": self.iteration, "seconds": self.seconds}

    def load_counters(self, metadata: dict[str, Any]) -> None:
        """Takes the counters of a save."""
        self.steps, self.iteration = (require_count(metadata, k) for k in ("steps", "iteration"))
        self.seconds = require_seconds(metadata)

    def train(self: T, steps: int | None = None) -> T:
        """Trains to the planned end, from the run's last save if it has one.

        Arguments:
            steps: Train for this many more steps instead.

        Raises:
            DivergenceError: A number is no longer finite.
            ZeuxisError: The environment failed or a worker died; the last save is kept.
        """
        if self.run is not None and self.iteration == 0:
            resume_or_rewind(self.run, self.restore)
        self.end = self.total if steps is None else self.steps + steps
        session = Session(self.session_config, self.end, self.run, unit="steps", quiet=self.quiet)
        with session.open(self.steps, self.seconds):
            if sentence := self.describe():
                session.say(sentence)
            while session.goes_on():
                self.figures = self.iterate() or self.figures
                session.advance(self.steps)
                self.seconds = session.seconds
                if self.iteration % self.log_every == 0 or session.finished:
                    self.figures |= session.pace()
                    session.report(self.figures)
                if session.save_due():
                    self.save()
        self.stopped = session.stopped
        self.save()
        return self

    def state(self) -> dict[str, Tensor]:
        """All tensors that resuming needs, by name."""
        tensors = {
            f"{name}.{key}": value
            for name, part in self.parts.items()
            for key, value in part.state_dict().items()
        }
        for name, optimizer in self.optimizers.items():
            tensors |= factory.state(optimizer, f"optimizer.{name}")
        return tensors

    def norms(self) -> dict[str, Tensor]:
        """Squared norm of each parameter: finite weights are too large if these overflow."""
        return {
            f"{name}.{key}": p.detach().square().sum()
            for name, part in self.parts.items()
            for key, p in part.named_parameters()
        }

    def check_finite(self, values: Mapping[str, Tensor | np.ndarray]) -> None:
        """Checks that all values are finite.

        Raises:
            DivergenceError: One is not; the message names it, the step and the last save.
        """
        if wrong := not_finite({name: torch.as_tensor(v) for name, v in values.items()}):
            saved = self.run.saved_images() if self.run is not None else 0
            kept = f"the save of {saved:,} steps is kept" if saved else "nothing was saved before"
            raise DivergenceError(
                f"'{wrong}' is no longer finite in iteration {self.iteration + 1:,}, at "
                f"{self.steps:,} steps; {kept}: {self.advice}."
            )

    def save(self) -> None:
        """Saves the state for resuming, and the policy by itself."""
        state = self.state()
        self.check_finite(state | self.norms())
        if self.run is None:
            return
        self.run.write_tensors(STATE, state, self.counters())
        path = self.run.path("policy.safetensors")
        self.policy.save(path, algorithm=self.name, steps=str(self.steps))

    def restore(self, run: Run) -> int:
        """Loads the last save; returns its steps."""
        tensors, metadata = run.read_tensors(STATE)
        path = run.path(STATE)
        if wrong := first_negative(tensors):
            raise ZeuxisError(
                f"'{path}' has numbers in '{wrong}' that are not finite or no counts: restore it "
                "from a copy."
            )
        try:
            for name, part in self.parts.items():
                prefix = f"{name}."
                part.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                )
            for name, optimizer in self.optimizers.items():
                restore_optimizer(optimizer, f"optimizer.{name}", tensors)
            if unmatched := sorted(tensors.keys() ^ self.state().keys()):
                raise KeyError(unmatched[0])
            self.load_counters(metadata)
        except DAMAGED as error:
            raise ZeuxisError(
                f"'{path}' was saved with other settings, or is damaged: resume with those in "
                "config.json."
            ) from error
        return self.steps


def first_negative(tensors: Mapping[str, Tensor]) -> str:
    """Name of the first integer tensor with a number below 0, "" if there is none."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() and tensor.numel() and int(tensor.min()) < 0:
            return name
    return ""


def restore_optimizer(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Loads an optimizer's moments, all of them or none.

    Raises:
        ValueError: Some are missing, or have another shape than their parameter.
    """
    factory.restore(optimizer, prefix, tensors)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states = [optimizer.state[p] for p in parameters if optimizer.state.get(p)]
    if not states:
        return
    if len(states) != len(parameters) or any(s.keys() != states[0].keys() for s in states):
        raise ValueError("moments are missing")
    for p, state in zip(parameters, states, strict=True):
        if any(torch.is_tensor(v) and v.ndim and v.shape != p.shape for v in state.values()):
            raise ValueError("moments of another shape")
