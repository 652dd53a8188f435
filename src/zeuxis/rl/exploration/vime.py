r"""VIME: TRPO with a bonus for what the agent learns about its environment.

Order of an iteration: rollouts; their information gain under the posterior of the last batch,
divided by recent medians and multiplied by $\eta$; update of the policy on advantages of both
rewards; then the dynamics model is trained on the replay buffer with this batch in it. The first
iteration has no bonus. Advantages are standardized, so even a small $\eta$ leads where the task
gives no reward, and has no influence as soon as it does.

The policy's first deviation is half the range of each action, as unit deviation is for rllab's
actions between -1 and 1.

With `config.bonus` the same loop runs the controls: squared prediction error, disagreement, or no
bonus, which is TRPO with the figures of exploration.

Source: Houthooft et al., "VIME: Variational Information Maximizing Exploration", 2016.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from ...checkpoints.run_folder import Run
from ...visual.film import write_film
from ..optimization.config import PolicyExperiment
from ..optimization.on_policy import OnPolicyTrainer
from ..policies.policy import GaussianPolicy
from ..rollouts.trajectory import Rollouts
from .information_gain import InformationGain, VIMEConfig
from .state_coverage import StateCoverage

FRAMES = 60  # of a film
BONUS_NAMES = {
    "information": "information gain, in medians of recent batches",
    "error": "squared prediction error, in medians of recent batches",
    "disagreement": "disagreement of an ensemble, in medians of recent batches",
    "none": "none, as plain TRPO has it",
}


class VIME(OnPolicyTrainer):
    """Trains a policy on the environment's rewards and on information gain.

    Arguments:
        experiment: Environment, settings, and a `VIMEConfig`.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("gymnasium")
        >>> from zeuxis.rl.optimization.config import OnPolicyConfig
        >>> config = OnPolicyConfig(batch=600, horizon=200, workers=0)
        >>> experiment = PolicyExperiment("MountainCarContinuous-v0", config)
        >>> agent = VIME(experiment, quiet=True).train(1_800)
        >>> agent.figures["information"] > 0, agent.figures["cells"] > 10
        (True, True)
    """

    name: ClassVar[str] = "vime"
    paper: ClassVar[str] = (
        "Houthooft et al.: VIME, Variational Information Maximizing Exploration, 2016"
    )
    information_gain: ClassVar[type[InformationGain]] = InformationGain

    def __init__(
        self, experiment: PolicyExperiment, run: Run | None = None, quiet: bool = False
    ) -> None:
        c = experiment.config or VIMEConfig()
        assert isinstance(c, VIMEConfig)
        super().__init__(experiment, run, quiet)
        self.config = c
        task, seed, policy = self.task, self.training.seed, self.policy
        if isinstance(policy, GaussianPolicy):
            half_range = np.subtract(task.high, task.low) / 2
            policy.log_std.data.copy_(torch.from_numpy(np.log(np.maximum(half_range, 1e-6))))
        self.curiosity = self.information_gain(task.observation, task.action, c, seed)
        self.coverage = StateCoverage(task.observation, c.axes, seed)
        self.parts |= {"curiosity": self.curiosity, "coverage": self.coverage}
        self.bonus_figures: dict[str, float] = {}

    def describe(self) -> str:
        c = self.config
        times = f", times {c.eta:g}" if c.bonus != "none" else ""
        return f"Bonus in {self.task.name}: {BONUS_NAMES[c.bonus]}{times}."

    def transitions(self, rollouts: Rollouts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States, clipped actions, and true next states."""
        actions = self.task.from_env(self.task.to_env(rollouts.actions))
        return rollouts.observations, actions, rollouts.next_observations

    def training_transitions(self, rollouts: Rollouts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The transitions that go to the replay buffer."""
        return self.transitions(rollouts)

    def gains(self, rollouts: Rollouts) -> np.ndarray:
        """Information gain of each step (nats), (N,)."""
        return self.curiosity.bonus(*self.transitions(rollouts))

    def rewards(self, rollouts: Rollouts) -> np.ndarray:
        """The environment's rewards and the bonus."""
        if self.config.bonus == "none":
            return rollouts.rewards
        gains = self.gains(rollouts)
        bonus = self.config.eta * self.curiosity.normalize(gains)
        extrinsic = float(np.abs(rollouts.rewards).sum())
        self.bonus_figures = {
            "information": float(gains.mean()),
            "median": float(np.median(gains)),
            "bonus": float(bonus.mean()),
            "share": float(bonus.sum() / max(1e-300, extrinsic + bonus.sum())),
        }
        return rollouts.rewards + bonus

    def update_auxiliary(self, rollouts: Rollouts) -> dict[str, float]:
        """Trains the dynamics model on this batch, and counts visited cells."""
        self.coverage.add(rollouts.observations)
        self.coverage.add(rollouts.finals)
        figures = {}
        if self.config.bonus != "none":
            figures = self.curiosity.fit(*self.training_transitions(rollouts))
            figures.pop("transitions")
        return self.bonus_figures | figures | {"cells": float(self.coverage.count)}

    def iterate(self) -> dict[str, float]:
        before = self.steps
        figures = super().iterate()
        every = max(1, self.training.steps // FRAMES)
        if self.run is not None and self.coverage.axes and before // every < self.steps // every:
            self.run.add_frame(self.steps, self.coverage.plot(self.steps, self.training.steps))
        return figures

    def save(self) -> None:
        """Saves the state, the plot of visited states, and at the end a film of it."""
        super().save()
        if self.run is None or not self.coverage.axes or not int(self.coverage.total):
            return
        plot = self.coverage.plot(self.steps, self.training.steps)
        self.run.write("visited.png", lambda path: plot.save(path, "PNG"))
        frames = [path for _, path in self.run.frames()]
        if self.steps >= self.training.steps and len(frames) > 1:
            write_film(frames, self.run.path("film.webp"))
