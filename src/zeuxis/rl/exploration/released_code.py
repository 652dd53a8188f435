r"""VIME as the code released with the paper has it, where it differs from the paper's equations.

- The prior's divergence is weighted with 1/5 against a *sum* over a minibatch's B = 10 rows, $w = 1
  / (5B)$, instead of with 1 / N.
- All rows of a minibatch share the samples' noise.
- First means have deviation 1 for every weight and bias.
- The information gain lacks the factor 1/2 of the second-order expansion, and has no upper bound.
- The value function predicts the task's reward alone.
- The replay buffer stores no final observation. It pairs the last state of an episode with the
  first one of the next, and a last step earns the bonus of the step before it.

`RELEASED` has the settings of the released script. docs/vime.md lists all differences.

Source: https://github.com/openai/vime, the code of Houthooft et al., 2016.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..rollouts.trajectory import Rollouts
from .bayesian_network import BNN
from .ensemble import Ensemble
from .information_gain import STEP_SIZE, InformationGain, VIMEConfig
from .vime import VIME

RELEASED = VIMEConfig(
    target="state",
    expectation="samples",
    sigma=0.5,
    noise="fixed",
    deviation=5.0,
    lr=1e-3,
    updates=500,
    minibatch=10,
    limit=0.0,
)


class ReleasedBNN(BNN):
    """First means of deviation 1, and noise that the rows of a minibatch share."""

    shared_noise: ClassVar[bool] = True

    def first_means(self, rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.standard_normal(s) for s in self.shapes]


class ReleasedInformationGain(InformationGain):
    """The bonus without its factor of one half, and the prior's other weight."""

    def make_model(self, bnn_class: type[BNN] = ReleasedBNN) -> BNN | Ensemble:
        return super().make_model(bnn_class)

    def second_order_factor(self) -> float:
        return STEP_SIZE**2

    def prior_weight(self) -> float:
        return 1 / (5 * self.config.minibatch)


class ReleasedVIME(VIME):
    """Trains as the released code does.

    Arguments:
        experiment: Environment, settings, and a `VIMEConfig`, as `RELEASED`.
        run: Folder for saves and figures; None keeps nothing.
        quiet: Whether to print nothing.
    """

    information_gain: ClassVar[type[InformationGain]] = ReleasedInformationGain

    def gains(self, rollouts: Rollouts) -> np.ndarray:
        """A last step has the gain of the step before it."""
        gains = super().gains(rollouts)
        last = (rollouts.starts + rollouts.lengths - 1)[rollouts.lengths > 1]
        gains[last] = gains[last - 1]
        return gains

    def value_rewards(self, rollouts: Rollouts, rewards: np.ndarray) -> np.ndarray:
        """The environment's rewards alone."""
        return rollouts.rewards

    def training_transitions(self, rollouts: Rollouts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The next row as the next state, across the ends of episodes too."""
        obs, act, _ = self.transitions(rollouts)
        return obs[:-1], act[:-1], obs[1:]
