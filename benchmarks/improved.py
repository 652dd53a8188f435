"""The steps of Improved GAN and InfoGAN on digits against the plain scripts a user would write and
tuned ones.

    python benchmarks/improved.py [--quick]

Interleaved, each in a separate process, printed as ratios of medians, with the share of the
machine's own rate of matrix products.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from dcgan import ours, product_rate
from tuning import Tuning, contest
from zeuxis.checkpoints.weights import build
from zeuxis.data import few_labels, load_data
from zeuxis.data.dataset import Dataset
from zeuxis.device import has_bf16
from zeuxis.evaluation.record import machine, write_record
from zeuxis.gan.infogan import InfoGANConfig
from zeuxis.recipes import recipes


class Noisy(nn.Module):
    """Gaussian noise while training."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x)


def improved(data: Dataset, batch: int, tuning: Tuning) -> Callable[[int], None]:
    """The semi-supervised game on digits: three passes of D (tuned: one over all three parts) and a
    matching step of G."""
    widths = [784, 1000, 500, 250, 250, 250]
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers += [Noisy(0.5 if i else 0.3), weight_norm(nn.Linear(a, b)), nn.ReLU()]
    body, head = nn.Sequential(*layers), nn.Sequential(Noisy(0.5), weight_norm(nn.Linear(250, 10)))
    hidden = [
        nn.Linear(100, 500),
        nn.BatchNorm1d(500),
        nn.Softplus(),
        nn.Linear(500, 500),
        nn.BatchNorm1d(500),
        nn.Softplus(),
    ]
    g = nn.Sequential(*hidden, weight_norm(nn.Linear(500, 784)), nn.Sigmoid())
    x, y = (
        data.all().flatten(1) if tuning.tuned else data.all().float().flatten(1) / 255,
        data.labels,
    )
    assert y is not None
    labeled, classes = x[y >= 0], y[y >= 0]
    adam_d = tuning.adam([*body.parameters(), *head.parameters()], 1e-3, (0.5, 0.999))
    adam_g = tuning.adam(g.parameters(), 1e-3, (0.5, 0.999))
    one, two = tuning.batches(x, batch), tuning.batches(x, batch)

    def scored(*parts: Tensor) -> Sequence[Tensor]:
        return (
            head(body(torch.cat(parts))).float().split(batch)
            if tuning.tuned
            else [head(body(part)) for part in parts]
        )

    def steps(n: int) -> None:
        for _ in range(n):
            some = torch.randint(len(labeled), (batch,))
            known, real, other = labeled[some], next(one), next(two)
            if tuning.tuned:
                known, real, other = (part.float() / 255 for part in (known, real, other))
            with tuning.autocast():
                with tuning.unused():
                    fake = g(torch.rand(batch, 100))
                on_labeled, on_real, on_fake = scored(known, real, fake.detach())
                r, f = on_real.logsumexp(1), on_fake.logsumexp(1)
                loss = (
                    F.cross_entropy(on_labeled, classes[some])
                    + 0.5 * (F.softplus(r) - r).mean()
                    + 0.5 * F.softplus(f).mean()
                )
            adam_d.zero_grad()
            loss.backward()
            adam_d.step()
            with tuning.frozen(body), tuning.autocast():
                with tuning.unused():
                    wanted = body(other).float().mean(0)
                loss = (
                    (body(g(torch.rand(batch, 100))).float().mean(0) - wanted.detach())
                    .square()
                    .mean()
                )
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
            loss.item()

    return steps


def infogan(data: Dataset, batch: int, tuning: Tuning) -> Callable[[int], None]:
    """The MNIST game of InfoGAN: float32, default layouts and Adam, both networks' gradients in
    both turns; or tuned."""
    g = nn.Sequential(
        *(
            nn.Linear(74, 1024),
            nn.BatchNorm1d(1024),
            nn.ReLU(),
            nn.Linear(1024, 6272),
            nn.BatchNorm1d(6272),
            nn.ReLU(),
        ),
        *(
            nn.Unflatten(1, (128, 7, 7)),
            nn.ConvTranspose2d(128, 64, 4, 2, 1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
        ),
        *(nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Sigmoid()),
    )
    trunk = nn.Sequential(
        *(
            nn.Conv2d(1, 64, 4, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(64, 128, 4, 2, 1),
            nn.BatchNorm2d(128),
            nn.LeakyReLU(0.1),
        ),
        *(nn.Flatten(), nn.Linear(6272, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.1)),
    )
    d, q = (
        nn.Linear(1024, 1),
        nn.Sequential(
            nn.Linear(1024, 128), nn.BatchNorm1d(128), nn.LeakyReLU(0.1), nn.Linear(128, 14)
        ),
    )
    g, trunk = tuning.layout(g), tuning.layout(trunk)
    adam_d = tuning.adam(
        [*trunk.parameters(), *d.parameters(), *q.parameters()], 2e-4, (0.5, 0.999)
    )
    adam_g = tuning.adam(g.parameters(), 1e-3, (0.5, 0.999))
    batches = tuning.batches(data.all() if tuning.tuned else data.all().float() / 255, batch)

    def bce(logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits.float(), target)

    def code() -> tuple[Tensor, Tensor, Tensor]:
        c, u = torch.randint(10, (batch,)), torch.rand(batch, 2) * 2 - 1
        return torch.cat([torch.rand(batch, 62) * 2 - 1, F.one_hot(c, 10).float(), u], 1), c, u

    def information(reading: Tensor, c: Tensor, u: Tensor) -> Tensor:
        reading = reading.float()
        return (
            F.cross_entropy(reading[:, :10], c)
            + 0.5 * (reading[:, 10:12] - u).square().sum(1).mean()
        )

    def steps(n: int) -> None:
        for _ in range(n):
            x = next(batches)
            if tuning.tuned:
                x = x.float() / 255
            z, c, u = code()
            with tuning.autocast():
                with tuning.unused():
                    fake = g(z)
                h_real, h_fake = trunk(x), trunk(fake.detach())
                loss = (
                    bce(d(h_real), torch.ones(batch, 1))
                    + bce(d(h_fake), torch.zeros(batch, 1))
                    + information(q(h_fake), c, u)
                )
            adam_d.zero_grad()
            loss.backward()
            adam_d.step()
            z, c, u = code()
            with tuning.frozen(trunk, d, q), tuning.autocast():
                h = trunk(g(z))
                loss = bce(d(h), torch.ones(batch, 1)) + information(q(h), c, u)
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
            loss.item()

    return steps


def operations(parts: dict[str, tuple[float, float]]) -> float:
    """Operations of a step on one image from (multiply-adds forward, forward passes counted with
    their gradients)."""
    return sum(2 * macs * passes for macs, passes in parts.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, no record")
    parser.add_argument(
        "--record", default="results/speed/improved.json", help="where the figures go"
    )
    args = parser.parse_args()
    rounds, n = (2, 4) if args.quick else (7, 30)
    began, figures = time.monotonic(), {}
    data = few_labels(load_data("mnist"), 10, 0)
    config = recipes()["improved-gan/mnist"].config
    print(machine())
    # Passes: D sees labeled, real and generated images with both gradients (3 each, less the first
    # layer's input gradient), then
    # one generated batch forward and to the input, and one real batch forward; G is run once
    # without and once with gradients.
    dense = {"D": (1.54e6, 9 + 3), "D's first layer": (0.784e6, -3), "G": (0.69e6, 1 + 3)}
    convolutional = {"D": (13.2e6, 6 + 2), "G": (13.1e6, 1 + 3)}
    cases = (
        ("improved-gan, batch 100", config, "improved-gan", 100, improved, dense, n),
        ("improved-gan, batch 500", config, "improved-gan", 500, improved, dense, max(2, n // 4)),
        (
            "infogan, batch 128",
            InfoGANConfig(),
            "infogan",
            128,
            infogan,
            convolutional,
            max(2, n // 6),
        ),
    )
    for name, config, model, batch, script, parts, count in cases:
        if model == "improved-gan":  # as many labeled images as the plain script takes
            config = type(config)(**{**vars(config), "labeled": 0})
        fast = partial(ours, build(model, config, data.spec), data, batch)
        found = contest(
            name, partial(script, data, batch), fast, count, rounds, images=model == "infogan"
        )
        rate = product_rate(has_bf16(torch.device("cpu")), 5)
        share = batch * operations(parts) / (found["zeuxis ms"] / 1e3) / rate
        figures[name] = found | {"share of product rate": share}
        print(f"{share:.0%} of the machine's {rate / 1e9:.0f} GFLOP/s")
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


if __name__ == "__main__":
    sys.exit(main())
