"""Information gain of a batch at once against one transition at a time, learning by written-out
gradients against differentiating, and what both cost beside the collection of a batch.

    python benchmarks/vime.py [--quick]

The peer is the plain script: a PyTorch network of Gaussian weights, pre-activations sampled ten
times, `torch.autograd.grad` for each transition, `torch.optim.Adam` for the bound. Its tuned rival
differentiates many transitions at once by `torch.func`, compiled where a compiler is there.
Interleaved in one process run, on one thread; ratios of medians.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan import interleaved
from zeuxis.device import setup_device
from zeuxis.evaluation.record import machine, write_record
from zeuxis.recipes.policies import policy_experiment
from zeuxis.rl.exploration.bayesian_network import BNN, columns
from zeuxis.rl.exploration.vime import VIME

SIZES = {
    "classic": (3, (32,), 2),
    "HalfCheetah": (26, (64, 64), 20),
    "SwimmerGather": (35, (32,), 33),
}
TASKS = (
    "zeuxis/SparseMountainCar-v0",
    "zeuxis/SparseCartPoleSwingup-v0",
    "zeuxis/SparseHalfCheetah-v0",
)
SAMPLES = 10


class Plain:
    """The Bayesian network of a plain script."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int) -> None:
        sizes = [inputs, *hidden, outputs]
        self.mu, self.rho = [], []
        for a, b in pairwise(sizes):
            self.mu += [
                (torch.randn(a, b) * math.sqrt(2 / a)).requires_grad_(),
                torch.zeros(b, requires_grad=True),
            ]
            self.rho += [
                torch.full(p.shape, math.log(math.expm1(0.5))).requires_grad_()
                for p in self.mu[-2:]
            ]
        self.parameters = [*self.mu, *self.rho]
        self.adam = torch.optim.Adam(self.parameters, 1e-3)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Negative log-likelihood of rows, averaged over samples of the pre-activations, but for a
        constant."""
        h = x.expand(SAMPLES, *x.shape)
        sigma = [F.softplus(r) for r in self.rho]
        last = len(self.mu) - 2
        for i in range(0, len(self.mu), 2):
            m = h @ self.mu[i] + self.mu[i + 1]
            v = h.square() @ sigma[i].square() + sigma[i + 1].square()
            h = m + v.sqrt() * torch.randn_like(m)
            if i < last:
                h = h.relu()
        return 0.5 * (h - y).square().sum(2).mean(0).mean()

    def bonus(self, x: Tensor, y: Tensor) -> float:
        """Of one transition."""
        gradients = torch.autograd.grad(self.loss(x, y), self.parameters)
        k, total = len(self.mu), 0.0
        for i, rho in enumerate(self.rho):
            sigma, slope = F.softplus(rho), torch.sigmoid(rho)
            fisher_quadratic_form = (gradients[i] * sigma).square() + (
                gradients[k + i] * sigma / slope
            ).square() / 2
            total += fisher_quadratic_form.sum().item()
        return 0.5e-4 * total

    def batched(self, part: int, compiled: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
        """Bonuses of many transitions at once, the tuned rival: `torch.func` differentiates for
        each of a part of the rows together.

        Arguments:
            part: Rows at a time.
            compiled: Let `torch.compile` fuse it.
        """
        k, last = len(self.mu), len(self.mu) - 2
        mu, sigma = [m.detach() for m in self.mu], [F.softplus(r.detach()) for r in self.rho]
        # The bonus of a row is half a sum of squared slopes by mean and by deviation, each in units
        # of its posterior's width.
        weights = [s.square() for s in sigma] + [s.square() / 2 for s in sigma]

        def loss(parameters: list[Tensor], x: Tensor, y: Tensor, noise: list[Tensor]) -> Tensor:
            h = x.expand(SAMPLES, -1)
            for i in range(0, k, 2):
                m = h @ parameters[i] + parameters[i + 1]
                v = h.square() @ parameters[k + i].square() + parameters[k + i + 1].square()
                h = m + v.sqrt() * noise[i // 2]
                if i < last:
                    h = h.relu()
            return 0.5 * (h - y).square().sum(1).mean()

        def one(x: Tensor, y: Tensor, noise: list[Tensor]) -> Tensor:
            slopes = torch.func.grad(loss)([*mu, *sigma], x, y, noise)
            return 0.5e-4 * sum(
                (g.square() * w).sum() for g, w in zip(slopes, weights, strict=True)
            )

        many = torch.func.vmap(one)
        if compiled:
            many = torch.compile(many)
        outputs = [m.shape[1] for m in mu[::2]]

        def bonuses(x: Tensor, y: Tensor) -> Tensor:
            parts = zip(x.split(part), y.split(part), strict=True)
            return torch.cat(
                [many(a, b, [torch.randn(len(a), SAMPLES, o) for o in outputs]) for a, b in parts]
            )

        return bonuses

    def step(self, x: Tensor, y: Tensor, weight: float) -> None:
        """One step of Adam on the bound of a minibatch."""
        divergence = torch.zeros(())
        for mu, rho in zip(self.mu, self.rho, strict=True):
            sigma = F.softplus(rho)
            divergence = divergence + ((mu.square() + sigma.square()) / 0.5 - sigma.log()).sum()
        loss = self.loss(x, y) + weight * divergence
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()


def rivals(plain: Plain, x: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """Bonuses of all rows by `torch.func`, in parts of 100 and 500, and compiled where there is a
    compiler; checked against autograd."""
    result: dict[str, Callable[[], object]] = {}
    for part in (100, 500):
        bonuses = plain.batched(part)
        result[f"torch.func, {part} rows"] = lambda bonuses=bonuses: bonuses(x, y)
    one_by_one = statistics.mean(plain.bonus(x[:1], y[:1]) for _ in range(300))
    together = plain.batched(100)(x[:1].expand(300, -1), y[:1].expand(300, -1)).mean().item()
    if abs(together / one_by_one - 1) > 0.3:
        raise SystemExit(
            f"The batched rival computes something else: {together:.3g} and not {one_by_one:.3g}."
        )
    try:
        compiled = plain.batched(500, compiled=True)
        compiled(x, y)
        result["torch.func, compiled"] = lambda: compiled(x, y)
    except Exception as error:  # whatever the compiler lacks here
        print(
            "torch.compile does not work here, its rival is left out: "
            f"{str(error).strip().splitlines()[0][:100]}"
        )
    return result


def gains(name: str, n: int, single: int, rounds: int) -> dict[str, float]:
    """Milliseconds of the bonus of n transitions; the slow ways do `single` of them, and
    their time is scaled up."""
    inputs, hidden, outputs = SIZES[name]
    rng = np.random.default_rng(0)
    x, y = (
        rng.standard_normal((n, inputs)).astype(np.float32),
        rng.standard_normal((n, outputs)).astype(np.float32),
    )
    inputs_by_column, targets = columns(x), np.ascontiguousarray(y.T)
    nets = {
        kind: BNN(inputs, hidden, outputs, expectation=kind, samples=SAMPLES)
        for kind in ("moments", "samples")
    }  # type: ignore[arg-type]
    plain, xs, ys = Plain(inputs, hidden, outputs), torch.from_numpy(x), torch.from_numpy(y)
    calls: dict[str, Callable[[], object]] = {
        kind: lambda net=net: net.fisher_quadratic_form(inputs_by_column, targets, rng)
        for kind, net in nets.items()
    }
    calls["autograd"] = lambda: [plain.bonus(xs[i : i + 1], ys[i : i + 1]) for i in range(single)]
    calls["closed, one by one"] = lambda: [
        nets["moments"].fisher_quadratic_form(
            inputs_by_column[:, i : i + 1], targets[:, i : i + 1], rng
        )
        for i in range(single)
    ]
    calls |= rivals(plain, xs, ys)
    times = interleaved(calls, rounds)
    scale = {"autograd": n / single, "closed, one by one": n / single}
    result = {
        f"{kind} ms": 1e3 * statistics.median(taken) * scale.get(kind, 1)
        for kind, taken in times.items()
    }
    result |= {
        f"{kind} times as fast as autograd": result["autograd ms"] / result[f"{kind} ms"]
        for kind in nets
    }
    batched = {kind: value for kind, value in result.items() if kind.startswith("torch.func")}
    best = min(batched, key=lambda kind: batched[kind])
    result |= {
        f"{kind} times as fast as batched": batched[best] / result[f"{kind} ms"] for kind in nets
    }
    print(
        (
            f"{name}, {n:,} transitions, {nets['moments'].weights:,} weights: "
            f"{result['autograd ms']:,.0f} ms by autograd, "
        ),
        end="",
    )
    print(f"{batched[best]:,.0f} ms by {best.removesuffix(' ms')}, ", end="")
    print(f"{result['closed, one by one ms']:,.0f} ms in closed form one by one, ", end="")
    for kind in ("samples", "moments"):
        print(f"{result[f'{kind} ms']:.1f} ms at once by {kind} ", end="")
        print(f"({result[f'{kind} times as fast as autograd']:,.0f} and ", end="")
        print(f"{result[f'{kind} times as fast as batched']:.1f} times)", end=", ")
    print()
    return result


def fits(name: str, part: int, rounds: int) -> dict[str, float]:
    """Milliseconds of an iteration's learning: the paper's 500 steps on 10 rows, and the corrected
    settings' 150 on 64."""
    inputs, hidden, outputs = SIZES[name]
    rng = np.random.default_rng(0)

    def batches(steps: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.ones((steps, inputs + 1, rows), np.float32)
        x[:, :-1] = rng.standard_normal((steps, inputs, rows))
        return x, rng.standard_normal((steps, outputs, rows)).astype(np.float32)

    small, large = batches(500 // part, 10), batches(150 // part, 64)
    plain = Plain(inputs, hidden, outputs)
    rows = [
        (torch.from_numpy(x[:-1].T.copy()), torch.from_numpy(y.T.copy()))
        for x, y in zip(*small, strict=True)
    ]
    by = {
        kind: BNN(inputs, hidden, outputs, expectation=kind, samples=SAMPLES)
        for kind in ("moments", "samples")
    }  # type: ignore[arg-type]
    calls: dict[str, Callable[[], object]] = {
        "autograd, 500 on 10": lambda: [plain.step(x, y, 1e-5) for x, y in rows],
        "samples, 500 on 10": lambda: by["samples"].fit(*small, rng, 1e-5),
        "moments, 500 on 10": lambda: by["moments"].fit(*small, rng, 1e-5),
        "moments, 150 on 64": lambda: by["moments"].fit(*large, rng, 1e-5),
    }
    result = {
        f"{kind} ms": 1e3 * part * statistics.median(taken)
        for kind, taken in interleaved(calls, rounds).items()
    }
    print(
        f"{name}, learning of an iteration: "
        + ", ".join(f"{kind} {value:,.0f}" for kind, value in result.items())
    )
    return result


def timed(agent: VIME, name: str, spent: dict[str, float]) -> None:
    """Adds up the seconds that a method of the agent's exploration takes."""
    inner = getattr(agent.curiosity, name)

    def outer(*arguments: np.ndarray) -> object:
        began = time.perf_counter()
        result = inner(*arguments)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
        return result

    object.__setattr__(agent.curiosity, name, outer)


def iterations(task: str, rounds: int, batch: int) -> dict[str, float]:
    """Steps a second with and without exploration, and the shares of bonus and learning,
    on one core."""
    experiment = policy_experiment("vime", task)
    training, config = experiment.training, experiment.config
    training = replace(training, workers=0, threads=1, batch=min(batch, training.batch))
    experiment = replace(experiment, training=training)
    spent: dict[str, float] = {}
    agents = {
        kind: VIME(replace(experiment, config=replace(config, bonus=kind)), quiet=True)
        for kind in ("none", "information")
    }  # type: ignore[arg-type]
    for name in ("bonus", "fit"):
        timed(agents["information"], name, spent)
    steps = dict.fromkeys(agents, 0)
    began = dict.fromkeys(agents, 0)

    def go(kind: str) -> None:
        steps[kind] = agents[kind].steps
        agents[kind].iterate()
        began[kind] += agents[kind].steps - steps[kind]

    for kind in agents:
        agents[kind].iterate()  # the first has no bonus
    for counts in (began, spent):
        counts.update(dict.fromkeys(counts, 0))
    times = interleaved({kind: lambda kind=kind: go(kind) for kind in agents}, rounds)
    # the call that warms up spends and counts as well; it is a full iteration like the others
    rounds += 1
    typical = {kind: statistics.median(taken) for kind, taken in times.items()}
    each = {kind: count / rounds for kind, count in began.items()}
    result = {f"{kind} steps/s": each[kind] / typical[kind] for kind in agents}
    result |= {f"{name} ms": 1e3 * seconds / rounds for name, seconds in spent.items()}
    result |= {
        f"{name} share": seconds / rounds / typical["information"]
        for name, seconds in spent.items()
    }
    print(
        (
            f"{task}: {result['none steps/s']:,.0f} steps/s without, "
            f"{result['information steps/s']:,.0f} with; of an iteration "
        ),
        end="",
    )
    print(
        f"the bonus takes {result['bonus share']:.1%} ({result['bonus ms']:.1f} ms), "
        f"learning {result['fit share']:.1%}"
    )
    for agent in agents.values():
        agent.collector.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, no record")
    parser.add_argument("--record", default="results/speed/vime.json", help="where the figures go")
    args = parser.parse_args()
    began, figures = time.monotonic(), {}
    setup_device("cpu", "fp32", 1)
    print(machine())
    single, rounds = (20, 1) if args.quick else (500, 7)
    for name in SIZES:
        figures[f"bonus {name}"] = gains(name, 5_000, single, rounds)
    for name in SIZES:
        figures[f"learning {name}"] = fits(name, 10 if args.quick else 1, 1 if args.quick else 5)
    for task in TASKS[:1] if args.quick else TASKS:
        figures[f"iteration {task}"] = iterations(
            task, 1 if args.quick else 9, 1_000 if args.quick else 5_000
        )
    if not args.quick:
        note = (
            "one thread; medians of interleaved rounds; one by one 500 transitions "
            "are timed and scaled to 5,000"
        )
        print(
            "record:",
            write_record(args.record, figures, seconds=time.monotonic() - began, seed=0, note=note),
        )


if __name__ == "__main__":
    sys.exit(main())
