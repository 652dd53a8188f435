r"""Information gain: how much a transition teaches the agent about its environment, as a bonus.

The agent has a posterior $q(\theta; \phi)$ over the weights of a network that predicts the next
state from a state and an action (`bayesian_network`). What it learns from seeing s' is the
divergence of the posterior after from the posterior before, and the reward becomes

$$ r'(s, a, s') = r(s, a) + \eta\, \mathrm{KL}[q(\theta; \phi') \,\|\, q(\theta; \phi)], \qquad
   \mathrm{KL} \approx \tfrac12 \lambda^2\, \nabla_\phi \ell^\top H^{-1} \nabla_\phi \ell , $$

with $\ell$ the transition's negative expected log-likelihood, H the Hessian of the divergence, and
$\lambda$ a step size: the divergence of one natural-gradient step, known without taking the step.
So one pass gives the gains of all transitions of a batch.

Gains shrink as the posterior sharpens. They are divided by the mean of the medians of the last ten
batches, so that a typical step earns about $\eta$ whatever the model's state. A gain counts at most
a thousand medians: the second-order form holds for small changes, and one step far from all
predictions would outweigh any reward.

`InformationGain` knows no policies, it takes arrays. `vime` has the training,
`integrations.sb3_exploration` the callback for Stable-Baselines3, and `released_code` the variant
of the code released with the paper.

Source: Houthooft, Chen, Duan, Schulman, De Turck and Abbeel, "VIME: Variational Information
Maximizing Exploration", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...ranges import BaseConfig, BatchSize, Count, CountOrNone, Positive, Range, Size, Weight
from .bayesian_network import BNN, Expectation, columns
from .ensemble import Ensemble
from .replay_buffer import ReplayBuffer, Target

Bonus = Literal["information", "error", "disagreement", "none"]
STEP_SIZE = 0.01  # lambda
MAX_GAIN = 1_000.0  # nats
MEDIANS = 10  # batches whose medians normalize the gains


@dataclass(frozen=True)
class VIMEConfig(BaseConfig, flags="--vime."):
    """Settings of the bonus."""

    bonus: Bonus = "information"
    """Information gain; or to compare with it: squared prediction error, disagreement of an
    ensemble, or no bonus."""
    eta: Weight = 1e-4
    """Weight of the bonus, after it was divided by its recent medians."""
    hidden: tuple[Size, ...] = (32,)
    """Units of each hidden layer of the dynamics model."""
    target: Target = "change"
    """Whether it predicts the change of the state or the next state."""
    expectation: Expectation = "moments"
    """Expectations over weights by closed-form moments, or by samples as in the paper."""
    prior: Positive = 0.5
    """Deviation of the prior of each weight."""
    sigma: Positive = 0.1
    """First deviation of each weight."""
    noise: Literal["learned", "fixed"] = "learned"
    """Whether the likelihood's deviation is learned, one for each number of the state."""
    deviation: Positive = 1.0
    """Deviation of the likelihood, the first one if it is learned (deviations of the targets)."""
    lr: Positive = 3e-3
    """Step size of Adam for the dynamics model."""
    updates: Annotated[int, Range(1, 1000000)] = 150
    """Steps of Adam after each batch."""
    minibatch: BatchSize = 64
    """Transitions in each step of Adam."""
    buffer_size: Count = 100_000
    """Largest number of transitions in the replay buffer."""
    learning_starts: Count = 500
    """Transitions in the replay buffer before training begins."""
    limit: Weight = 1_000.0
    """Upper bound of a step's normalized gain: the second-order form overestimates it far from the
    predictions. 0 disables."""
    axes: tuple[CountOrNone, ...] = ()
    """Two numbers of the observation that plot the visited states; by default the first two of at
    most eight."""


def check_vime(c: VIMEConfig) -> None:
    """Refuses settings that exclude each other."""
    if c.learning_starts > c.buffer_size:
        raise UsageError(
            f"--vime.learning-starts is {c.learning_starts}, above the {c.buffer_size} transitions "
            "that are kept: raise --vime.buffer-size."
        )
    if len(c.axes) not in (0, 2):
        raise UsageError(f"--vime.axes takes two numbers of the observation, got {c.axes}.")


class InformationGain(nn.Module):
    """A posterior over dynamics, and the bonus for changing it; all of it is in its `state_dict`.

    Arguments:
        obs_dim: Numbers of an observation.
        act_dim: Numbers of an action, or classes of a discrete one.
        config: Settings.
        seed: Seed of first weights and noise.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> obs, act = rng.standard_normal((600, 3)), rng.uniform(-1, 1, (600, 1))
        >>> curiosity = InformationGain(3, 1)
        >>> curiosity.fit(obs, act, obs + 0.1 * act)["transitions"]
        600.0
        >>> nats = curiosity.bonus(obs[:5], act[:5], obs[:5] + 1)
        >>> nats.shape, bool((nats > 0).all())
        ((5,), True)
    """

    medians: Tensor
    batches: Tensor  # batches whose median was taken
    fits: Tensor

    def __init__(
        self, obs_dim: int, act_dim: int, config: VIMEConfig | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        c = self.config = config or VIMEConfig()
        check_vime(c)
        self.obs_dim, self.act_dim, self.seed = obs_dim, act_dim, seed
        self.buffer = ReplayBuffer(obs_dim, act_dim, c.buffer_size, c.target)
        self.model: BNN | Ensemble = self.make_model()
        self.register_buffer("medians", torch.zeros(MEDIANS, dtype=torch.float64))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))

    def make_model(self, bnn_class: type[BNN] = BNN) -> BNN | Ensemble:
        """Makes the dynamics model that the bonus needs."""
        c, inputs = self.config, self.obs_dim + self.act_dim
        if c.bonus in ("error", "disagreement"):
            members = 5 if c.bonus == "disagreement" else 1
            return Ensemble(inputs, c.hidden, self.obs_dim, members, c.lr, self.seed)
        return bnn_class(
            inputs,
            c.hidden,
            self.obs_dim,
            prior=c.prior,
            sigma=c.sigma,
            noise=c.deviation,
            learned=c.noise == "learned",
            expectation=c.expectation,
            lr=c.lr,
            seed=self.seed,
        )

    def to(self, *_: object, **__: object) -> InformationGain:
        """Returns itself: it works with NumPy, on the CPU."""
        return self

    @property
    def ready(self) -> bool:
        """Whether the model was trained; until then there is no bonus."""
        return int(self.fits) > 0

    def bonus(self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray) -> np.ndarray:
        """Information gain of each transition (nats), (n,); 0 until the first fit.

        The controls return their squared error or variance instead.

        Arguments:
            obs: Observation before each step, (n, obs_dim).
            act: Actions (n, act_dim), or classes (n,).
            next_obs: Observation after each step, at the end of an episode the final one, (n,
                obs_dim).

        Raises:
            UsageError: Shapes do not fit, or a number is not finite.
        """
        obs, act, next_obs = self.check(obs, act, next_obs)
        if not self.ready or not len(obs):
            return np.zeros(len(obs))
        x, y = self.columns(obs, act, next_obs)
        if isinstance(self.model, Ensemble):
            error = self.config.bonus == "error"
            gains = self.model.error(x, y) if error else self.model.disagreement(x)
            return gains.astype(np.float64)
        rng = np.random.default_rng([self.seed, 13, int(self.fits)])
        form = self.model.fisher_quadratic_form(x, y, rng).astype(np.float64)
        return np.minimum(form * self.second_order_factor(), MAX_GAIN)

    def second_order_factor(self) -> float:
        """Factor of the quadratic form in the gain, lambda^2 / 2."""
        return 0.5 * STEP_SIZE**2

    def prior_weight(self) -> float:
        """Weight w of the divergence from the prior, 1 / N for N transitions."""
        return 1 / len(self.buffer)

    def columns(
        self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of the model for these transitions."""
        x, y = self.buffer.inputs(obs, act), self.buffer.targets(obs, next_obs)
        return columns(x), columns(y)[:-1]

    def normalize(self, gains: np.ndarray) -> np.ndarray:
        """Divides gains by the mean of recent medians, of this batch too, (n,)."""
        if not self.ready or not len(gains):
            return gains
        self.medians[int(self.batches) % MEDIANS] = float(np.median(gains))
        self.batches += 1
        scale = float(self.medians[: min(MEDIANS, int(self.batches))].mean())
        if not scale > 0:
            return np.zeros_like(gains)
        limit = self.config.limit if self.config.bonus == "information" else 0
        return np.minimum(gains / scale, limit) if limit else gains / scale

    def fit(self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray) -> dict[str, float]:
        """Adds a batch to the replay buffer and trains the model on the buffer.

        Arguments:
            obs: As for `bonus`.
            act: As for `bonus`.
            next_obs: As for `bonus`.

        Returns:
            `likelihood`: mean log density of this batch before training on it (nats a transition,
            of standardized targets); `noise`: mean deviation of the likelihood; `belief`:
            divergence from the prior (nats); `transitions` in the buffer.
        """
        obs, act, next_obs = self.check(obs, act, next_obs)
        figures = {}
        if self.ready:
            log_prob = self.model.log_prob(*self.columns(obs, act, next_obs))
            figures["likelihood"] = float(log_prob.mean())
        self.buffer.add(obs, act, next_obs)
        if len(self.buffer) >= self.config.learning_starts:
            rng = np.random.default_rng([self.seed, 14, int(self.fits)])
            xs, ys = self.minibatches(rng)
            if isinstance(self.model, Ensemble):
                self.model.fit(xs, ys)
            else:
                self.model.fit(xs[:, 0], ys[:, 0], rng, self.prior_weight())
                figures["belief"] = self.model.divergence()
            figures["noise"] = float(self.model.noise().mean())
            self.fits += 1
        return figures | {"transitions": float(len(self.buffer))}

    def minibatches(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Samples the minibatches of all steps, (updates, members, features, B)."""
        c = self.config
        k = self.model.members if isinstance(self.model, Ensemble) else 1
        x, y = self.buffer.sample(c.updates * k * c.minibatch, rng)
        xs = np.ones((c.updates, k, x.shape[1] + 1, c.minibatch), np.float32)
        xs[:, :, :-1] = x.reshape(c.updates, k, c.minibatch, -1).transpose(0, 1, 3, 2)
        ys = y.reshape(c.updates, k, c.minibatch, -1).transpose(0, 1, 3, 2)
        return xs, np.ascontiguousarray(ys)

    def check(
        self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Converts the arguments to float32 matrices, discrete actions to one-hot."""
        obs, act, next_obs = np.asarray(obs), np.asarray(act), np.asarray(next_obs)
        if act.ndim == 1 and np.issubdtype(act.dtype, np.integer):
            if len(act) and not (act.min() >= 0 and act.max() < self.act_dim):
                raise UsageError(
                    f"Actions are from {act.min()} to {act.max()}, expected classes from 0 to "
                    f"{self.act_dim - 1}."
                )
            act = np.eye(self.act_dim, dtype=np.float32)[act]
        n, d = len(obs), self.obs_dim
        arrays = {"obs": (obs, d), "act": (act, self.act_dim), "next_obs": (next_obs, d)}
        for name, (array, width) in arrays.items():
            if array.shape != (n, width):
                raise UsageError(
                    f"{name} has the shape {array.shape}, expected ({n}, {width}): give one row a "
                    "transition."
                )
            if not np.isfinite(array).all():
                raise UsageError(
                    f"{name} has numbers that are not finite: leave these transitions out."
                )
        obs, act, next_obs = (a.astype(np.float32, copy=False) for a in (obs, act, next_obs))
        return obs, act, next_obs
