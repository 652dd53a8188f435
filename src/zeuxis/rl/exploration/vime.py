r"""VIME: a policy that is also paid for what it learns about the world.

Order of an iteration, as in the released code: rollouts; their information gain by the belief as it
was after the last batch, divided by recent medians and weighed by $\eta$; the step of the policy on
advantages of both rewards; then the belief learns from the pool with this batch in it. The first
iteration has no bonus. Advantages are standardized, so that even a small $\eta$ leads wherever the
task says nothing, and is drowned out as soon as it pays.

A policy's first deviation is half the range of each action, which is what unit deviation is to
rllab's actions within -1 and 1.

With `config.bonus` the same loop runs the controls: squared prediction error, disagreement, or
none, which is plain TRPO with the figures of exploration.

Source: Houthooft et al., "VIME: Variational Information Maximizing Exploration", 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch

from ...checkpoints.run_folder import Run
from ...visual.film import write_film
from ..optimization.on_policy import Learner, OnPolicyConfig
from ..optimization.ppo import Proximal
from ..optimization.trust_region import TrustRegionConfig
from ..policies.policy import GaussianPolicy
from ..rollouts.collector import Rollouts
from .information_gain import InformationGain, VIMEConfig
from .state_coverage import Visits

FRAMES = 60


class VIME(Learner):
    """Learns a policy from the environment's reward and from curiosity.

    Arguments:
        env: A Gymnasium id, or a function without arguments that makes an environment.
        config: Settings of the bonus.
        learning: Settings of the loop.
        region: Settings of TRPO's steps.
        proximal: Settings of PPO's.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.

    Example:
        >>> import pytest; _ = pytest.importorskip("gymnasium")
        >>> agent = VIME("MountainCarContinuous-v0", learning=OnPolicyConfig(batch=600, horizon=200, workers=0), quiet=True).learn(1_800)
        >>> agent.figures["information"] > 0, agent.figures["cells"] > 10
        (True, True)
    """

    name: ClassVar[str] = "vime"
    paper: ClassVar[str] = (
        "Houthooft et al.: VIME, Variational Information Maximizing Exploration, 2016"
    )

    def __init__(
        self,
        env: str | Callable[[], Any],
        config: VIMEConfig | None = None,
        learning: OnPolicyConfig | None = None,
        region: TrustRegionConfig | None = None,
        proximal: Proximal | None = None,
        run: Run | None = None,
        quiet: bool = False,
    ) -> None:
        self.config = config or VIMEConfig()
        super().__init__(env, learning, region, proximal, run, quiet)
        task, seed = self.task, self.learning.seed
        if isinstance(
            self.policy, GaussianPolicy
        ):  # rllab's policies act within -1 and 1, stretched to the bounds: as far as these go
            reach = np.subtract(task.high, task.low) / 2
            self.policy.log_std.data.copy_(torch.from_numpy(np.log(np.maximum(reach, 1e-6))))
        self.curiosity = InformationGain(task.observation, task.action, self.config, seed)
        self.visits = Visits(task.observation, self.config.axes, seed)
        self.parts |= {"curiosity": self.curiosity, "visits": self.visits}
        self.told: dict[str, float] = {}

    def introduce(self) -> str:
        c = self.config
        kinds = {
            "information": "information gain, in medians of recent batches",
            "error": "squared prediction error, in medians of recent batches",
            "disagreement": "disagreement of an ensemble, in medians of recent batches",
            "none": "none, as plain TRPO has it",
        }
        return f"Bonus in {self.task.name}: {kinds[c.bonus]}" + (
            f", times {c.eta:g}." if c.bonus != "none" else "."
        )

    def transitions(self, rollouts: Rollouts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States, actions as they were carried out, true successors."""
        taken = self.task.from_env(self.task.to_env(rollouts.actions))
        return rollouts.observations, taken, rollouts.next_observations

    def rewards(self, rollouts: Rollouts) -> np.ndarray:
        c = self.config
        if c.bonus == "none":
            return rollouts.rewards
        gains = self.curiosity.bonus(*self.transitions(rollouts))
        if (
            c.ends == "code"
            # the released code stores no final observation: a last step earns what the one before
            # it
            # did
        ):
            last = (rollouts.starts + rollouts.lengths - 1)[rollouts.lengths > 1]
            gains[last] = gains[last - 1]
        bonus = c.eta * c.discount**self.iteration * self.curiosity.normalize(gains)
        given = float(np.abs(rollouts.rewards).sum())
        self.told = {
            "information": float(gains.mean()),
            "median": float(np.median(gains)),
            "bonus": float(bonus.mean()),
            "share": float(bonus.sum() / max(1e-300, given + bonus.sum())),
        }
        return rollouts.rewards + bonus

    def targets(self, rollouts: Rollouts, rewards: np.ndarray) -> np.ndarray:
        return rollouts.rewards if self.config.critic == "extrinsic" else rewards

    def also(self, rollouts: Rollouts) -> dict[str, float]:
        """The belief learns from this batch, and visited places are counted."""
        c, learned = self.config, {}
        self.visits.add(rollouts.observations)
        self.visits.add(rollouts.finals)
        if c.bonus != "none":
            obs, act, following = self.transitions(rollouts)
            if (
                c.ends == "code"
                # the released pool takes the next row for the successor, across the ends of
                # episodes
                # too
            ):
                obs, act, following = obs[:-1], act[:-1], obs[1:]
            learned = self.curiosity.fit(obs, act, following)
            learned.pop("transitions")
        return self.told | learned | {"cells": float(self.visits.count)}

    def iterate(self) -> dict[str, float]:
        before = self.steps
        found = super().iterate()
        every = max(1, self.learning.steps // FRAMES)
        if self.run is not None and self.visits.axes and before // every < self.steps // every:
            self.run.add_frame(self.steps, self.visits.picture(self.steps, self.learning.steps))
        return found

    def save(self) -> None:
        super().save()
        if self.run is None or not self.visits.axes or not int(self.visits.seen):
            return
        picture = self.visits.picture(self.steps, self.learning.steps)
        self.run.write("visited.png", lambda path: picture.save(path, "PNG"))
        frames = [path for _, path in self.run.frames()]
        if self.steps >= self.learning.steps and len(frames) > 1:
            write_film(frames, self.run.path("film.webp"))
