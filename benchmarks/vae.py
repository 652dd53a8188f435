"""Steps of the VAE and the IAF-VAE on digits against plain and tuned scripts, of the ladder's
smallest recipe, and evaluation.

    python benchmarks/vae.py [--quick]

Interleaved, each contestant in a separate process, printed as ratios of medians, with the share
of the machine's own rate of matrix products. If `pythae` is installed, its VAE and VAE_IAF take the
same step with the same dense network, in this process.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from zeuxis.evaluation.memory import bytes_of

from dcgan import color, interleaved, ours, product_rate, seconds
from tuning import Tuning, contest
from zeuxis.checkpoints.weights import build
from zeuxis.data import load_data
from zeuxis.data.binarized import binarized
from zeuxis.data.dataset import Dataset
from zeuxis.device import has_bf16
from zeuxis.evaluation.likelihood import BLOCK, likelihood
from zeuxis.evaluation.record import machine, write_record
from zeuxis.model import Batch, Model
from zeuxis.noise import Noise
from zeuxis.recipes import recipes
from zeuxis.vae.iaf import IAFConfig
from zeuxis.vae.vae import VAEConfig

BATCH = 100


class Block(nn.Module):
    """The tutorial's residual block with weight normalization."""

    def __init__(self, inside: int, out: int, change: int = 0, side: int = 0) -> None:
        super().__init__()

        def first() -> nn.Module:
            if change > 0:
                return weight_norm(nn.ConvTranspose2d(inside, out, 3, 2, 1, 1 - side % 2), dim=1)
            return weight_norm(nn.Conv2d(inside, out, 3, 2 if change else 1, 1))

        self.one, self.two = first(), weight_norm(nn.Conv2d(out, out, 3, 1, 1))
        self.skip = first() if change or inside != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(F.elu(x)) + self.two(F.elu(self.one(F.elu(x))))


class Made(nn.Module):
    """One step of flow with masks multiplied at every pass."""

    def __init__(self, size: int, width: int, context: int) -> None:
        super().__init__()
        self.one, self.two, self.context = (
            nn.Linear(size, width),
            nn.Linear(width, 2 * size),
            nn.Linear(context, width),
        )
        degree = torch.arange(width) * (size - 1) // width
        self.register_buffer("first", (torch.arange(size)[None] <= degree[:, None]).float())
        self.register_buffer(
            "second", (degree[None] < torch.arange(size)[:, None]).float().repeat(2, 1)
        )

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.elu(F.linear(z, self.one.weight * self.first, self.one.bias) + self.context(h))
        shift, scale = (
            F.linear(hidden, self.two.weight * self.second, self.two.bias).float().chunk(2, 1)
        )
        gate = torch.sigmoid(scale + 1.5)
        return gate * z + (1 - gate) * shift, gate.log().sum(1)


def script(data: Dataset, steps_of_flow: int, width: int, tuning: Tuning) -> Callable[[int], None]:
    """The residual VAE of digits, with or without flow: float32, default layouts and Adamax, a
    DataLoader; or tuned."""
    encoder = nn.Sequential(
        *(
            Block(1, 16, -1),
            Block(16, 16),
            Block(16, 32, -1),
            Block(32, 32),
            Block(32, 32, -1),
            nn.ELU(),
            nn.Flatten(),
        ),
        *(weight_norm(nn.Linear(512, 450)), nn.ELU()),
    )
    head = weight_norm(nn.Linear(450, 64))
    decoder = nn.Sequential(
        *(
            weight_norm(nn.Linear(32, 450)),
            nn.ELU(),
            weight_norm(nn.Linear(450, 512)),
            nn.ELU(),
            nn.Unflatten(1, (32, 4, 4)),
        ),
        *(
            Block(32, 32, 1, 7),
            Block(32, 32),
            Block(32, 16, 1, 14),
            Block(16, 16),
            Block(16, 16, 1, 28),
            nn.ELU(),
        ),
        weight_norm(nn.Conv2d(16, 1, 3, 1, 1)),
    )
    flow = nn.ModuleList(Made(32, width, 450) for _ in range(steps_of_flow))
    encoder, decoder = tuning.layout(encoder), tuning.layout(decoder)
    parameters = [p for part in (encoder, head, decoder, flow) for p in part.parameters()]
    optimizer = torch.optim.Adamax(parameters, 2e-3, foreach=True if tuning.tuned else None)
    batches = tuning.batches(data.all() if tuning.tuned else data.all().float() / 255, BATCH)
    normal = torch.distributions.Normal(0, 1)

    def steps(n: int) -> None:
        for _ in range(n):
            x = next(batches)
            x = (
                (torch.rand_like(x, dtype=torch.float32) * 255 < x).float()
                if tuning.tuned
                else torch.bernoulli(x)
            )
            with tuning.autocast():
                h = encoder(x)
                mean, log_std = head(h).float().chunk(2, 1)
                eps = torch.randn_like(mean)
                z, log_q = mean + log_std.exp() * eps, (normal.log_prob(eps) - log_std).sum(1)
                for step in flow:
                    z, log_scale = step(z.flip(1), h)
                    log_q = log_q - log_scale
                fit_to = F.binary_cross_entropy_with_logits(
                    decoder(z).float(), x, reduction="none"
                ).sum([1, 2, 3])
                loss = (fit_to + log_q - normal.log_prob(z).sum(1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    return steps


def operations(model: Model, data: Dataset, batch: int) -> float:
    """Operations of one step, counted by PyTorch over forward and backward."""
    x, _ = data.batch(torch.arange(batch))
    with FlopCounterMode(display=False) as counter:
        for _, loss in model.play(Batch(x, None, Noise(0, 0, slice(0, batch), batch))):
            loss.backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def peers(data: Dataset, rounds: int, n: int) -> dict[str, dict[str, float]]:
    """The dense network 784-450-450-32 in pythae's VAE and VAE_IAF and in ours."""
    if importlib.util.find_spec("pythae") is None:
        print("pythae is not installed: no comparison with it")
        return {}
    from pythae.models import VAE as PeerVAE
    from pythae.models import VAE_IAF, VAE_IAF_Config
    from pythae.models import VAEConfig as PeerConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Flatten(), nn.Linear(784, 450), nn.ELU(), nn.Linear(450, 450), nn.ELU()
            )
            self.mean, self.log_var = nn.Linear(450, 32), nn.Linear(450, 32)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.body(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(32, 450),
                nn.ELU(),
                nn.Linear(450, 450),
                nn.ELU(),
                nn.Linear(450, 784),
                nn.Sigmoid(),
            )

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.body(z).view(-1, 1, 28, 28))

    def peer(model: nn.Module) -> Callable[[int], None]:
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        loader = DataLoader(
            TensorDataset(data.all().float() / 255), BATCH, shuffle=True, drop_last=True
        )

        def steps(n: int) -> None:
            batches = iter(loader)
            for _ in range(n):
                loss = model({"data": torch.bernoulli(next(batches)[0])}).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()

        return steps

    common = {"input_dim": (1, 28, 28), "latent_dim": 32, "reconstruction_loss": "bce"}
    dense = {"architecture": "dense", "hidden_dim": 450, "optimizer": "adam"}
    pairs = {
        "vae": (PeerVAE(PeerConfig(**common), Encoder(), Decoder()), VAEConfig(**dense)),
        "iaf-vae": (
            VAE_IAF(
                VAE_IAF_Config(**common, n_made_blocks=2, n_hidden_in_made=1, hidden_size=320),
                Encoder(),
                Decoder(),
            ),
            IAFConfig(**dense),
        ),
    }
    found = {}
    for name, (theirs, config) in pairs.items():
        calls = {
            "pythae": peer(theirs),
            "zeuxis": ours(build(name, config, data.spec), data, BATCH),
        }
        times = interleaved({key: lambda c=call: c(n) for key, call in calls.items()}, rounds)
        ratio = statistics.median(
            a / b for a, b in zip(times["pythae"], times["zeuxis"], strict=True)
        )
        figures = {
            f"{key} ms": 1e3 * statistics.median(values) / n for key, values in times.items()
        }
        found[f"{name}, dense, against pythae"] = figures | {"ratio": ratio}
        print(
            f"{name}, dense: a step {figures['pythae ms']:.0f} ms in pythae, "
            f"{figures['zeuxis ms']:.0f} ms in zeuxis: {ratio:.2f} times"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, no record")
    parser.add_argument("--record", default="results/speed/vae.json", help="where the figures go")
    args = parser.parse_args()
    rounds, n = (2, 2) if args.quick else (7, 8)
    began, figures = time.monotonic(), {}
    digits, bf16 = load_data("mnist"), has_bf16(torch.device("cpu"))
    print(machine())
    cases = {
        "vae, residual": (build("vae", VAEConfig(), digits.spec), partial(script, digits, 0, 0)),
        "iaf-vae, depth 2, width 320": (
            build("iaf-vae", IAFConfig(), digits.spec),
            partial(script, digits, 2, 320),
        ),
        "iaf-vae, depth 4, width 1920": (
            build("iaf-vae", IAFConfig(depth=4, width=1920), digits.spec),
            partial(script, digits, 4, 1920),
        ),
    }
    for name, (model, contestant) in cases.items():
        found = contest(name, contestant, partial(ours, model, digits, BATCH), n, rounds)
        rate = product_rate(bf16, 5)
        share = operations(model, digits, BATCH) / (found["zeuxis ms"] / 1e3) / rate
        figures[name] = found | {"share of product rate": share}
        print(f"{share:.0%} of the machine's {rate / 1e9:.0f} GFLOP/s")
    for name in ("cifar10-small", "cifar10-small-factorized"):
        config, data = recipes()[f"iaf-ladder/{name}"].config, color()
        model = build("iaf-ladder", config, data.spec)
        call = ours(model, data, 32)
        call(1)
        own = min(seconds(lambda c=call: c(1)) for _ in range(rounds))
        share = operations(model, data, 32) / own / product_rate(bf16, 5)
        figures[f"iaf-ladder, {name}"] = {"zeuxis ms": 1e3 * own, "share of product rate": share}
        print(
            f"iaf-ladder, {name}: a step of 32 images {1e3 * own:.0f} ms, {share:.0%} of "
            "the machine's rate"
        )
        drawn = min(seconds(lambda m=model: m.sample(16)) for _ in range(rounds)) / 16
        figures[f"iaf-ladder, {name}"]["seconds to draw an image"] = drawn
    model = build("iaf-vae", IAFConfig(), digits.spec).eval()
    figures["iaf-vae, seconds to draw a digit"] = {
        "mean": min(seconds(lambda: model.sample(500)) for _ in range(rounds)) / 500
    }
    test = load_data("mnist", split="test")
    one = binarized(test.batch(torch.arange(1))[0], torch.arange(1), 0)
    for k, images in ((128, 8 if args.quick else 40), (10_000, 2)):
        took = seconds(lambda k=k, images=images: likelihood(model, test, k=k, n=images))
        peak = bytes_of(lambda k=k: model.log_weights(one, min(k, BLOCK))) / 1e6
        figures[f"importance weights, K = {k}"] = {
            "images/s": images / took,
            "codes/s": images * k / took,
            "peak MB": peak,
        }
        print(
            f"K = {k}: {images / took:.1f} images/s, {images * k / took:,.0f} codes/s, "
            f"{peak:.1f} MB of tensors at once"
        )
    figures |= peers(digits, rounds, 4 * n)
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
