r"""Value functions: the expected discounted return from a state.

*network*: a multilayer perceptron over standardized observations, optionally with the time $t / T$
as a further input. Its targets are standardized too. It is fitted either by several passes of Adam
or, as in the code released with GAIL, by one natural-gradient step an iteration on the squared
error, within a region of mean squared change 0.01.

*linear*: ridge regression on rllab's features $[o, o^2, t/100, (t/100)^2, (t/100)^3, 1]$ with o
clipped to $\pm 10$. Its first prediction is 0.

Sources: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage
Estimation", 2016, section 5; Duan et al., "Benchmarking Deep Reinforcement Learning for Continuous
Control", 2016, for the linear features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..policies.mlp import MLP, Activation
from ..policies.running_stats import RunningMeanStd
from .numpy_mlp import Regression
from .trust_region import TrustRegionConfig, natural_gradient_step

Fit = Literal["adam", "natural", "linear"]


class NetworkValue(nn.Module):
    """A network as a value function.

    Arguments:
        entries: Numbers of an observation.
        horizon: Longest episode (steps), the unit of time.
        hidden: Units of each hidden layer.
        activation: Activation between the layers.
        timed: Whether it reads the time.
        seed: Seed of the first weights.

    Example:
        >>> value = NetworkValue(3, 100)
        >>> value.predict(torch.zeros(2, 3), torch.zeros(2))
        tensor([0., 0.])
    """

    def __init__(
        self,
        entries: int,
        horizon: int,
        hidden: Sequence[int] = (64, 64),
        activation: Activation = "tanh",
        timed: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.timed, self.horizon = timed, horizon
        generator = torch.Generator().manual_seed(seed + 1)
        self.network = MLP(entries + timed, hidden, 1, activation, generator)
        self.obs_rms, self.return_rms = RunningMeanStd(entries, clip=10.0), RunningMeanStd(1)

    def inputs(self, x: Float[Tensor, "n entries"], times: Float[Tensor, " n"]) -> Tensor:
        x = self.obs_rms.standardize(x)
        return torch.cat([x, times[:, None] / self.horizon], 1) if self.timed else x

    @torch.no_grad()
    def predict(
        self, x: Float[Tensor, "n entries"], times: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Value of each state.

        Arguments:
            x: Raw observations.
            times: Steps since the beginning of the episode.
        """
        y, rms = self.network(self.inputs(x, times))[:, 0], self.return_rms
        return y if rms.count == 0 else y * rms.std.to(y.dtype) + rms.mean.to(y.dtype)

    def prepare(self, x: Tensor, times: Tensor, returns: Tensor) -> tuple[Tensor, Tensor]:
        """Updates the running statistics; returns standardized inputs and targets."""
        self.obs_rms.update(x)
        self.return_rms.update(returns[:, None])
        return self.inputs(x, times), self.return_rms.standardize(returns[:, None])

    def fit_adam(
        self,
        regression: Regression,
        x: Float[Tensor, "n entries"],
        times: Float[Tensor, " n"],
        returns: Float[Tensor, " n"],
        epochs: int,
        batch: int,
        generator: torch.Generator,
    ) -> None:
        """Fits discounted returns by several passes of Adam over shuffled minibatches."""
        inputs, targets = self.prepare(x, times, returns)
        regression.fit(self.network, inputs, targets, epochs, batch, generator)

    def fit_natural(
        self,
        x: Float[Tensor, "n entries"],
        times: Float[Tensor, " n"],
        returns: Float[Tensor, " n"],
        config: TrustRegionConfig,
        rows: Tensor,
    ) -> dict[str, float]:
        """Fits discounted returns by one natural-gradient step.

        Arguments:
            x: Raw observations.
            times: Steps since the beginning of the episode.
            returns: Discounted returns.
            config: Settings of the trust region.
            rows: Rows that estimate the curvature.
        """
        inputs, targets = self.prepare(x, times, returns)
        trace, network = self.network.trace(inputs), self.network
        subset, n, start = trace.rows(rows), len(rows), trace.outputs
        gradient = network.vjp(trace, 2 * (targets - start) / len(x))
        error = (targets - start).square().mean().item()

        def product(v: Tensor) -> Tensor:
            return network.vjp(subset, 2 * network.jvp(subset, v) / n)

        @torch.no_grad()
        def evaluate() -> tuple[float, float]:
            y = network(inputs)
            change = (y - start).square().mean().item()
            return error - (targets - y).square().mean().item(), change

        return natural_gradient_step(network, gradient, product, evaluate, config)


class LinearValue(nn.Module):
    """rllab's linear baseline.

    Arguments:
        entries: Numbers of an observation.
        ridge: Penalty on the coefficients; multiplied by ten until the solution is finite.
    """

    weights: Tensor

    def __init__(self, entries: int, ridge: float = 1e-5) -> None:
        super().__init__()
        self.ridge, self.timed = ridge, True
        self.register_buffer("weights", torch.zeros(2 * entries + 4, dtype=torch.float64))

    def features(
        self, x: Float[Tensor, "n entries"], times: Float[Tensor, " n"]
    ) -> Float[Tensor, "n features"]:
        o, t = x.double().clamp(-10, 10), times.double()[:, None] / 100
        return torch.cat([o, o * o, t, t**2, t**3, torch.ones_like(t)], 1)

    def predict(
        self, x: Float[Tensor, "n entries"], times: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Value of each state."""
        return (self.features(x, times) @ self.weights).to(x.dtype)

    def fit(
        self,
        x: Float[Tensor, "n entries"],
        times: Float[Tensor, " n"],
        returns: Float[Tensor, " n"],
    ) -> None:
        """Solves the regression on this batch alone."""
        f = self.features(x, times)
        gram, right = f.T @ f, f.T @ returns.double()
        identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        driver = None if gram.is_cuda else "gelsd"
        for power in range(6):
            ridge = self.ridge * 10**power * identity
            weights = torch.linalg.lstsq(gram + ridge, right[:, None], driver=driver).solution[:, 0]
            if torch.isfinite(weights).all():
                self.weights.copy_(weights)
                return
