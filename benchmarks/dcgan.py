"""DCGAN's training against the plain script a competent user would write, and against the machine's
own rates.

    python benchmarks/dcgan.py [--quick]

Every comparison is interleaved in one run, steps in separate processes, and printed as a ratio
of medians, since machines are noisy; absolute times are of this machine and moment. Prints: one
step and one stretch of an epoch against the plain script, the share of the machine's rate of matrix
products, batches from memory against a DataLoader on the same tensors, and peak memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tuning import Tuning, contest
from zeuxis.checkpoints.weights import build
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.device import has_bf16
from zeuxis.evaluation.record import machine, write_record
from zeuxis.gan.dcgan import DCGANConfig
from zeuxis.model import Model
from zeuxis.training.config import TrainingConfig
from zeuxis.training.loop import Trainer
from zeuxis.training.sampler import EpochSampler

BATCH = 128


class PlainGenerator(nn.Module):
    """The usual tutorial's generator in the shapes of the recipe."""

    def __init__(self, side: int, channels: int, image: int, halvings: int) -> None:
        super().__init__()
        widths = [channels * 2**i for i in range(halvings)][::-1]
        self.side, self.first = side, nn.Linear(100, widths[0] * side * side, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(a, b, 5, 2, 2, 1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            ]
        self.rest = nn.Sequential(
            *layers, nn.ConvTranspose2d(widths[-1], image, 5, 2, 2, 1, bias=False), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.rest(F.relu(self.norm(self.first(z).view(len(z), -1, self.side, self.side))))


class PlainDiscriminator(nn.Module):
    """Its discriminator."""

    def __init__(self, side: int, channels: int, image: int, halvings: int) -> None:
        super().__init__()
        widths = [image, *(channels * 2**i for i in range(halvings))]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            layers += [
                nn.Conv2d(a, b, 5, 2, 2, bias=False),
                *([nn.BatchNorm2d(b)] if i else []),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[:, 0]


def script(
    data: Dataset, side: int, channels: int, halvings: int, tuning: Tuning
) -> Callable[[int], None]:
    """The usual script, in float32 with default layouts and Adam, both networks' gradients in both
    turns and a DataLoader, or tuned."""
    image = data.spec.shape[0]
    g = tuning.layout(PlainGenerator(side, channels, image, halvings))
    d = tuning.layout(PlainDiscriminator(side, channels, image, halvings))
    adam_g, adam_d = (tuning.adam(m.parameters(), 2e-4, (0.5, 0.999)) for m in (g, d))
    batches = tuning.batches(data.all() if tuning.tuned else data.all().float() / 127.5 - 1, BATCH)
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)

    def cross(logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits.float(), target)

    def steps(n: int) -> None:
        for _ in range(n):
            x = next(batches)
            if tuning.tuned:
                x = x.float() / 127.5 - 1
            with tuning.autocast():
                with tuning.unused():
                    fake = g(torch.rand(BATCH, 100) * 2 - 1)
                loss = cross(d(x), ones) + cross(d(fake.detach()), zeros)
            adam_d.zero_grad()
            loss.backward()
            adam_d.step()
            with tuning.frozen(d), tuning.autocast():
                loss = cross(d(g(torch.rand(BATCH, 100) * 2 - 1)), ones)
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
            loss.item()

    return steps


def ours(model: Model, data: Dataset, batch: int = BATCH) -> Callable[[int], None]:
    """The same steps by zeuxis; the start that data give a model is not a step, as it is none in
    the plain script."""
    trainer = Trainer(
        model,
        data,
        None,
        TrainingConfig(images=10**9, batch=batch, film=0, log_every=10**12),
        quiet=True,
    )

    def steps(n: int) -> None:
        for _ in range(n):
            trainer.one_step()
        trainer.losses.clear()

    return steps


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Times of each call, in turn, after one call to warm up."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def multiplications(side: int, channels: int, image: int, halvings: int) -> float:
    """Operations of one step of both players on one image: forward 1, weight gradient 1, input
    gradient 1 for each layer it reaches."""
    layers, at = [], side
    for i in reversed(range(halvings)):
        out = channels * 2 ** (i - 1) if i else image
        layers.append(2 * (at**2) * channels * 2**i * out * 25)
        at *= 2
    convolutions, dense = sum(layers), 2 * 100 * side**2 * channels * 2 ** (halvings - 1)
    # D turn: G forward, D forward and both gradients on two batches less the input gradient of the
    # first layer; G turn: G forward
    # and both gradients, D forward and input gradient.
    return (1 + 6 + 3 + 2) * convolutions - 2 * layers[-1] + 4 * dense


def product_rate(bf16: bool, rounds: int) -> float:
    """The machine's own rate of matrix products, operations a second."""
    n = 2048
    a, b = (torch.randn(n, n, dtype=torch.bfloat16 if bf16 else torch.float32) for _ in range(2))
    a @ b
    return 2 * n**3 / min(seconds(lambda: a @ b) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, no record")
    parser.add_argument("--record", default="results/speed/dcgan.json", help="where the figures go")
    args = parser.parse_args()
    rounds, n = (2, 2) if args.quick else (7, 6)
    began, figures = time.monotonic(), {}
    print(machine())
    for name, source, side, channels, halvings in (
        ("dcgan 28x28x1", load_data("mnist"), 7, 64, 2),
        ("dcgan 32x32x3", color(), 4, 64, 3),
    ):
        model = build("dcgan", DCGANConfig(architecture="strided", channels=channels), source.spec)
        contestant = partial(script, source, side, channels, halvings)
        found = contest(name, contestant, partial(ours, model, source), n, rounds)
        rate = product_rate(has_bf16(torch.device("cpu")), 5)
        slow, fast = (found[f"{key} ms"] / 1e3 for key in ("plain", "zeuxis"))
        share = (
            BATCH * multiplications(side, channels, source.spec.shape[0], halvings) / fast / rate
        )
        found |= {"share of product rate": share}
        found |= {
            "epoch minutes": len(source) / BATCH * fast / 60,
            "plain epoch minutes": len(source) / BATCH * slow / 60,
        }
        figures[name] = found
        print(
            (
                f"{share:.0%} of the machine's {rate / 1e9:.0f} GFLOP/s; an epoch "
                f"{found['epoch minutes']:.1f} min; "
            ),
            end="",
        )
        print(
            f"peak memory {found['plain peak memory MB']:.0f} MB plain, "
            f"{found['zeuxis peak memory MB']:.0f} MB zeuxis"
        )
    figures["batches"] = batches(rounds)
    if not args.quick:
        print(
            "record:",
            write_record(
                args.record,
                figures,
                seconds=time.monotonic() - began,
                seed=0,
                note="ratios of medians",
            ),
        )


def color() -> Dataset:
    """Made-up images in the size of CIFAR-10: speed does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    return Dataset(
        Spec("color", (3, 32, 32)),
        torch.randint(0, 256, (50_000, 3, 32, 32), dtype=torch.uint8, generator=generator),
    )


def batches(rounds: int) -> dict[str, float]:
    """Batches of MNIST by this loop's indexing against a DataLoader over the same tensors, images a
    second."""
    data = load_data("mnist")
    order, loader = (
        EpochSampler(len(data), 100, 0),
        DataLoader(TensorDataset(data.all()), 100, shuffle=True),
    )

    def own() -> None:
        for step in range(100):
            data.batch(order.rows(step))

    def theirs() -> None:
        for i, _ in enumerate(loader):
            if i == 99:
                return

    times = interleaved({"own": own, "loader": theirs}, rounds)
    rates = {key: 100 * 100 / statistics.median(values) for key, values in times.items()}
    print(f"batches: {rates['own']:,.0f} images/s against {rates['loader']:,.0f} by a DataLoader")
    return {
        "images/s": rates["own"],
        "DataLoader images/s": rates["loader"],
        "ratio": rates["own"] / rates["loader"],
    }


if __name__ == "__main__":
    sys.exit(main())
