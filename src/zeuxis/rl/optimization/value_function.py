r"""Value functions: what the rest of an episode is worth, seen from a state.

*network*: a multilayer perceptron over standardized observations, perhaps with the time $t / T$ as
a further input, whose targets are standardized as well. It is fitted either by a few passes of Adam
or, as in the code released with GAIL, by one natural-gradient step an iteration on the squared
error, within a region of mean squared change 0.01.

*linear*: a ridge regression on rllab's features $[o, o^2, t/100, (t/100)^2, (t/100)^3, 1]$ with o
clipped to $\pm 10$, whose first prediction is 0.

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
from ..policies.running_stats import Running
from .numpy_adam import Regression
from .trust_region import TrustRegionConfig, step

Fit = Literal["adam", "natural", "linear"]


class NetworkValue(nn.Module):
    """A network as a value function.

    Arguments:
        entries: Numbers of an observation.
        horizon: Longest episode (steps), by which times are divided.
        hidden: Units of each hidden layer.
        activation: Between them.
        timed: Whether it reads the time.
        seed: Fixes the first weights.

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
        self.network = MLP(
            entries + timed, hidden, 1, activation, torch.Generator().manual_seed(seed + 1)
        )
        self.seen, self.worth = Running(entries, clip=10.0), Running(1)

    def inputs(self, x: Float[Tensor, "n entries"], times: Float[Tensor, " n"]) -> Tensor:
        x = self.seen.standardize(x)
        return torch.cat([x, times[:, None] / self.horizon], 1) if self.timed else x

    @torch.no_grad()
    def predict(
        self, x: Float[Tensor, "n entries"], times: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """V of each state."""
        y = self.network(self.inputs(x, times))[:, 0]
        return (
            y
            if self.worth.count == 0
            else y * self.worth.std.to(y.dtype) + self.worth.mean.to(y.dtype)
        )

    def prepare(self, x: Tensor, times: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Takes a batch into the running statistics; standardized inputs and targets."""
        self.seen.update(x)
        self.worth.update(targets[:, None])
        return self.inputs(x, times), self.worth.standardize(targets[:, None])

    def fit_adam(
        self,
        adam: Regression,
        x: Float[Tensor, "n entries"],
        times: Float[Tensor, " n"],
        targets: Float[Tensor, " n"],
        epochs: int,
        batch: int,
        generator: torch.Generator,
    ) -> None:
        """A few passes of Adam over shuffled minibatches."""
        inputs, wanted = self.prepare(x, times, targets)
        adam.fit(self.network, inputs, wanted, epochs, batch, generator)

    def fit_natural(
        self,
        x: Float[Tensor, "n entries"],
        times: Float[Tensor, " n"],
        targets: Float[Tensor, " n"],
        region: TrustRegionConfig,
        rows: Tensor,
    ) -> dict[str, float]:
        """One natural-gradient step; curvature from the given rows."""
        inputs, wanted = self.prepare(x, times, targets)
        trace = self.network.trace(inputs)
        part, n, start = trace.rows(rows), len(rows), trace.outputs
        gradient = self.network.back(trace, 2 * (wanted - start) / len(x))
        error = (wanted - start).square().mean().item()

        def product(v: Tensor) -> Tensor:
            return self.network.back(part, 2 * self.network.along(part, v) / n)

        @torch.no_grad()
        def judge() -> tuple[float, float]:
            y = self.network(inputs)
            return error - (wanted - y).square().mean().item(), (y - start).square().mean().item()

        return step(self.network, gradient, product, judge, region)


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
        """V of each state."""
        return (self.features(x, times) @ self.weights).to(x.dtype)

    def fit(
        self,
        x: Float[Tensor, "n entries"],
        times: Float[Tensor, " n"],
        targets: Float[Tensor, " n"],
    ) -> None:
        """Solves the regression on this batch alone."""
        f = self.features(x, times)
        gram, right = f.T @ f, f.T @ targets.double()
        for power in range(6):
            ridge = (
                self.ridge * 10**power * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
            )
            found = torch.linalg.lstsq(
                gram + ridge, right[:, None], driver=None if gram.is_cuda else "gelsd"
            ).solution[:, 0]
            if torch.isfinite(found).all():
                self.weights.copy_(found)
                return
