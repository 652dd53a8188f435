r"""Information gain: how much a transition would teach the agent about the world, as a bonus for
going there.

The agent holds a belief $q(\theta; \phi)$ over the weights of a network that predicts what follows
a state and an action (`zeuxis.rl.exploration.bayesian_network`). What it learns from seeing s' is
the divergence of the belief after from the belief before, and the reward becomes

$$ r'(s, a, s') = r(s, a) + \eta\, \mathrm{KL}[q(\theta; \phi') \,\|\, q(\theta; \phi)], \qquad
   \mathrm{KL} \approx \tfrac12 \lambda^2\, \nabla_\phi \ell^\top H^{-1} \nabla_\phi \ell , $$

$\ell$ the transition's negative expected log-likelihood, H the Hessian of the divergence, $\lambda$
a step size: one natural-gradient step of the belief, whose divergence is known before it is taken.
Nothing is moved, so all transitions of a batch are judged at once.

Gains shrink as the belief sharpens. They are divided by the mean of the medians of the last ten
batches, so that a usual step is worth about $\eta$ whatever the model's state, and count a thousand
medians at most: one step far from all predictions would outweigh any reward.

Nothing here knows of policies: `InformationGain` takes arrays. `zeuxis.rl.exploration.vime` has the
learner, `zeuxis.rl.integrations.sb3_exploration` the callback for Stable-Baselines3.

Source: Houthooft, Chen, Duan, Schulman, De Turck and Abbeel, "VIME: Variational Information
Maximizing Exploration", 2016, and the code released with it. `CORRECTED`, the default, takes the
bound as the theory has it; `PAPER` takes what the released code does (docs/vime.md lists the
differences).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...ranges import (
    BaseConfig,
    Count,
    CountOrNone,
    Few,
    FewOrNone,
    Portion,
    Positive,
    Range,
    Size,
    Weight,
)
from .bayesian_network import BNN, Expectation, columns
from .ensemble import Ensemble
from .replay_buffer import Pool, Target

Bonus = Literal["information", "error", "disagreement", "none"]


@dataclass(frozen=True)
class VIMEConfig(BaseConfig, flags="--vime."):
    """Settings of the bonus; the defaults are the corrected ones."""

    bonus: Bonus = "information"
    """Information gain; or to compare with it: squared prediction error, disagreement of an
    ensemble, none."""
    eta: Weight = 1e-4
    """What a usual step earns: weight of the bonus after it was divided by its recent medians."""
    discount: Annotated[float, Range(0, 1, above=True)] = 1.0
    """What eta is multiplied by after each iteration."""
    queue: FewOrNone = 10
    """Batches whose medians count as recent; 0 leaves the bonus in nats."""
    hidden: tuple[Size, ...] = (32,)
    """Units of each hidden layer of the dynamics model."""
    target: Target = "change"
    """Whether it predicts the change of the state or the next state."""
    expectation: Expectation = "moments"
    """Expectations over weights by closed moments, or by samples as in the paper."""
    samples: Few = 10
    """How many samples."""
    shared: bool = False
    """Whether all rows of a minibatch share the samples' noise, as in the released code."""
    step: Positive = 0.01
    """Lambda, the length of the step whose divergence is the bonus."""
    half: bool = True
    """Whether the divergence has its factor of one half, which the released code leaves out."""
    weight: Literal["elbo", "code"] = "elbo"
    """Weight of the prior: 1 / N for N transitions, or the released code's 1 / 5 a minibatch."""
    prior: Positive = 0.5
    """Deviation of the prior of each weight."""
    sigma: Positive = 0.1
    """Deviation of each weight at first; the released code starts at the prior's 0.5."""
    scaled: bool = True
    """Start with means of deviation sqrt(2 / inputs) instead of the released code's 1."""
    noise: Literal["learned", "fixed"] = "learned"
    """Whether the likelihood's deviation is learned, one for each number of the state."""
    deviation: Positive = 1.0
    """The likelihood's deviation, at first or for good (deviations of the targets)."""
    members: Annotated[int, Range(1, 1000)] = 5
    """Networks of the ensemble, for disagreement."""
    lr: Positive = 3e-3
    """Adam's step size for the dynamics model."""
    updates: Annotated[int, Range(1, 1000000)] = 150
    """Its steps after each batch."""
    minibatch: Portion = 64
    """Transitions in each."""
    pool: Count = 100_000
    """Most transitions that are kept to learn from."""
    least: Count = 500
    """Transitions there must be before it learns."""
    most: Positive = 1_000.0
    """Largest information gain (nats)."""
    limit: Weight = 1_000.0
    """Most that a step's information gain counts, in recent medians; 0 is no limit, as in the
    released code. The second-order form holds for small changes, and what it gives for a transition
    far from all predictions would drown out any reward."""
    critic: Literal["total", "extrinsic"] = "total"
    """Rewards that the value function is fitted to: with the bonus, or as in the released code
    without."""
    ends: Literal["true", "code"] = "true"
    """At the end of an episode: the true final observation; or as in the released code a pair with
    the next episode's first, and the bonus of the step before."""
    axes: tuple[CountOrNone, ...] = ()
    """Two numbers of the observation to draw visited states by; by default the first two of at most
    eight."""


CORRECTED = VIMEConfig()
PAPER = VIMEConfig(
    target="state",
    expectation="samples",
    shared=True,
    half=False,
    weight="code",
    sigma=0.5,
    scaled=False,
    noise="fixed",
    deviation=5.0,
    lr=1e-3,
    updates=500,
    minibatch=10,
    limit=0.0,
    critic="extrinsic",
    ends="code",
)


def check_vime(c: VIMEConfig) -> None:
    """Refuses settings that cannot work, with the flag to change."""
    if c.least > c.pool:
        raise UsageError(
            f"--vime.least is {c.least}, above the {c.pool} transitions that are kept: "
            "raise --vime.pool."
        )
    if len(c.axes) not in (0, 2):
        raise UsageError(f"--vime.axes takes two numbers of the observation, got {c.axes}.")


class InformationGain(nn.Module):
    """A belief about dynamics, and the bonus for what would change it. All of its state is in its
    `state_dict`.

    Arguments:
        obs_dim: Numbers of an observation.
        act_dim: Numbers of an action, or classes of a discrete one.
        config: Settings.
        seed: Fixes first weights and all noise.

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
    batches: Tensor
    fits: Tensor

    def __init__(
        self, obs_dim: int, act_dim: int, config: VIMEConfig | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.config, self.obs_dim, self.act_dim, self.seed = (
            config or CORRECTED,
            obs_dim,
            act_dim,
            seed,
        )
        c = self.config
        check_vime(c)
        self.pool = Pool(obs_dim, act_dim, c.pool, c.target)
        size = obs_dim + act_dim
        self.model: BNN | Ensemble = (
            Ensemble(
                size, c.hidden, obs_dim, c.members if c.bonus == "disagreement" else 1, c.lr, seed
            )
            if c.bonus in ("error", "disagreement")
            else BNN(
                size,
                c.hidden,
                obs_dim,
                prior=c.prior,
                sigma=c.sigma,
                noise=c.deviation,
                learned=c.noise == "learned",
                expectation=c.expectation,
                samples=c.samples,
                shared=c.shared,
                scaled=c.scaled,
                lr=c.lr,
                seed=seed,
            )
        )
        self.register_buffer("medians", torch.zeros(max(1, c.queue), dtype=torch.float64))
        self.register_buffer(
            "batches", torch.zeros((), dtype=torch.int64)
        )  # whose median was taken
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))

    def to(self, *_: object, **__: object) -> InformationGain:
        """Itself: it works with NumPy, on the CPU."""
        return self

    @property
    def ready(self) -> bool:
        """Whether it has learned anything: until then there is no bonus."""
        return int(self.fits) > 0

    def bonus(self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray) -> np.ndarray:
        """What each transition would teach (nats), (n,); for the controls their squared error or
        variance. 0 until the first fit.

        Arguments:
            obs: Before each step, (n, obs_dim).
            act: What was done, (n, act_dim), or classes (n,).
            next_obs: The true observation after each step, also at the end of an episode, (n,
                obs_dim).

        Raises:
            UsageError: Shapes do not fit, or a number is not finite.
        """
        obs, act, next_obs = self.checked(obs, act, next_obs)
        c = self.config
        if not self.ready or not len(obs):
            return np.zeros(len(obs))
        x, y = columns(self.pool.inputs(obs, act)), columns(self.pool.targets(obs, next_obs))[:-1]
        if isinstance(self.model, Ensemble):
            return (
                self.model.error(x, y) if c.bonus == "error" else self.model.disagreement(x)
            ).astype(np.float64)
        stirred = self.model.stirred(
            x, y, np.random.default_rng([self.seed, 13, int(self.fits)])
        ).astype(np.float64)
        return np.minimum(stirred * (c.step**2 * (0.5 if c.half else 1.0)), c.most)

    def normalize(self, gains: np.ndarray) -> np.ndarray:
        """A batch's gains over the mean of recent medians, its own among them, (n,); the batch
        counts as seen."""
        c, n = self.config, self.config.queue
        if not n or not self.ready or not len(gains):
            return gains
        self.medians[int(self.batches) % n] = float(np.median(gains))
        self.batches += 1
        usual = float(self.medians[: min(n, int(self.batches))].mean())
        if not usual > 0:
            return np.zeros_like(gains)
        return (
            np.minimum(gains / usual, c.limit)
            if c.limit and c.bonus == "information"
            else gains / usual
        )

    def fit(self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray) -> dict[str, float]:
        """Takes a batch into the pool and learns from the pool; arguments as for `bonus`.

        Returns:
            `likelihood`: mean log density of this batch before it was learned from (nats a
                transition, of standardized targets);
            `noise`: mean deviation of the likelihood; `belief`: divergence from the prior (nats);
                `transitions` in the pool.
        """
        obs, act, next_obs = self.checked(obs, act, next_obs)
        c, figures = self.config, {}
        if self.ready:
            x, y = (
                columns(self.pool.inputs(obs, act)),
                columns(self.pool.targets(obs, next_obs))[:-1],
            )
            figures["likelihood"] = float(self.model.likelihood(x, y).mean())
        self.pool.add(obs, act, next_obs)
        held = len(self.pool)
        if held >= c.least:
            rng = np.random.default_rng([self.seed, 14, int(self.fits)])
            k = self.model.members if isinstance(self.model, Ensemble) else 1
            x, y = self.pool.draw(c.updates * k * c.minibatch, rng)
            xs = np.ones((c.updates, k, x.shape[1] + 1, c.minibatch), np.float32)
            xs[:, :, :-1] = x.reshape(c.updates, k, c.minibatch, -1).transpose(0, 1, 3, 2)
            ys = np.ascontiguousarray(
                y.reshape(c.updates, k, c.minibatch, -1).transpose(0, 1, 3, 2)
            )
            if isinstance(self.model, Ensemble):
                self.model.fit(xs, ys)
            else:
                self.model.fit(
                    xs[:, 0],
                    ys[:, 0],
                    rng,
                    1 / held if c.weight == "elbo" else 1 / (5 * c.minibatch),
                )
                figures["belief"] = self.model.divergence()
            figures["noise"] = float(self.model.noise().mean())
            self.fits += 1
        return figures | {"transitions": float(held)}

    def checked(
        self, obs: np.ndarray, act: np.ndarray, next_obs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arguments as float32 matrices, discrete actions one-hot."""
        obs, act, next_obs = np.asarray(obs), np.asarray(act), np.asarray(next_obs)
        if act.ndim == 1 and np.issubdtype(act.dtype, np.integer):
            if len(act) and not (act.min() >= 0 and act.max() < self.act_dim):
                raise UsageError(
                    f"Actions are from {act.min()} to {act.max()}, expected classes from "
                    f"0 to {self.act_dim - 1}."
                )
            act = np.eye(self.act_dim, dtype=np.float32)[act]
        n = len(obs)
        for name, array, width in (
            ("obs", obs, self.obs_dim),
            ("act", act, self.act_dim),
            ("next_obs", next_obs, self.obs_dim),
        ):
            if array.shape != (n, width):
                raise UsageError(
                    f"{name} has the shape {array.shape}, expected ({n}, {width}): give "
                    "one row a transition."
                )
            if not np.isfinite(array).all():
                raise UsageError(
                    f"{name} has numbers that are not finite: leave these transitions out."
                )
        return (
            obs.astype(np.float32, copy=False),
            act.astype(np.float32, copy=False),
            next_obs.astype(np.float32, copy=False),
        )
