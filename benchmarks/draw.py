"""Steps of DRAW on digits against a plain port, with the share of the machine's own rate of matrix
products, and the time to draw a digit.

    python benchmarks/draw.py [--quick]

Interleaved, each contestant in a separate process, printed as ratios of medians. The plain port is
what the well-known ones are: `torch.nn.LSTMCell`, a module for each linear map, filter banks that
are normalized by hand, and a window for each image that is applied by broadcasting products.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dcgan import ours, product_rate, seconds
from tuning import Tuning, contest
from zeuxis.checkpoints.weights import build
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset
from zeuxis.device import has_bf16
from zeuxis.evaluation.record import machine, write_record
from zeuxis.model import Batch, Model
from zeuxis.noise import Noise
from zeuxis.vae.draw import DRAWConfig

BATCH = 100


class PlainDRAW(nn.Module):
    """A port as they are written from the paper, equation by equation."""

    def __init__(self, glimpses: int, read: int, write: int) -> None:
        super().__init__()
        hidden, latent, self.side = 256, 100, 28
        self.glimpses, self.read, self.write = glimpses, read, write
        seen = 2 * read**2 if read else 2 * 784
        self.encoder = nn.LSTMCell(seen + hidden, hidden)
        self.decoder = nn.LSTMCell(latent, hidden)
        self.mean, self.log_std = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.read_window, self.write_window = nn.Linear(hidden, 5), nn.Linear(hidden, 5)
        self.patch = nn.Linear(hidden, write**2 if write else 784)

    def banks(self, numbers: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """F_X, F_Y and gamma."""
        gx, gy, log_var, log_delta, log_gamma = numbers.split(1, 1)
        gx, gy = (self.side + 1) / 2 * (gx + 1), (self.side + 1) / 2 * (gy + 1)
        delta = (self.side - 1) / (n - 1) * log_delta.exp()
        i = torch.arange(1, n + 1) - (n + 1) / 2
        a = torch.arange(1, self.side + 1).view(1, 1, -1)

        def bank(center: Tensor) -> Tensor:
            mean = (center + i * delta)[:, :, None]
            f = torch.exp(-((a - mean) ** 2) / (2 * log_var.exp()[:, :, None]))
            return f / (f.sum(2, keepdim=True) + 1e-8)

        return bank(gx), bank(gy), log_gamma.exp()

    def look(self, x: Tensor, error: Tensor, h: Tensor) -> Tensor:
        """read(x, x_hat, h_dec)."""
        if not self.read:
            return torch.cat([x, error], 1)
        fx, fy, gamma = self.banks(self.read_window(h), self.read)
        parts = [
            gamma * (fy @ part.view(-1, 28, 28) @ fx.transpose(1, 2)).flatten(1)
            for part in (x, error)
        ]
        return torch.cat(parts, 1)

    def painted(self, h: Tensor) -> Tensor:
        """write(h_dec)."""
        if not self.write:
            return self.patch(h)
        fx, fy, gamma = self.banks(self.write_window(h), self.write)
        patch = self.patch(h).view(-1, self.write, self.write)
        return (fy.transpose(1, 2) @ patch @ fx).flatten(1) / gamma

    def loss(self, x: Tensor) -> Tensor:
        """Minus the bound, by one path of latents."""
        x = x.flatten(1)
        canvas = torch.zeros_like(x)
        h_enc = c_enc = h_dec = c_dec = x.new_zeros(len(x), 256)
        rate = x.new_zeros(len(x))
        for _ in range(self.glimpses):
            r = self.look(x, x - torch.sigmoid(canvas), h_dec)
            h_enc, c_enc = self.encoder(torch.cat([r, h_dec], 1), (h_enc, c_enc))
            mean, log_std = self.mean(h_enc).float(), self.log_std(h_enc).float()
            z = mean + log_std.exp() * torch.randn_like(mean)
            rate = rate + 0.5 * (mean**2 + (2 * log_std).exp() - 2 * log_std - 1).sum(1)
            h_dec, c_dec = self.decoder(z, (h_dec, c_dec))
            canvas = canvas + self.painted(h_dec)
        error = F.binary_cross_entropy_with_logits(canvas.float(), x.float(), reduction="none")
        return (error.sum(1) + rate).mean()


def script(
    data: Dataset, glimpses: int, read: int, write: int, tuning: Tuning
) -> Callable[[int], None]:
    """Steps of the plain port by Adam."""
    model = PlainDRAW(glimpses, read, write)
    optimizer = tuning.adam(model.parameters(), 3e-4)
    x = data.all()
    batches = tuning.batches(x if tuning.tuned else x.float() / 255, BATCH)

    def steps(n: int) -> None:
        for _ in range(n):
            pixels = next(batches)
            pixels = pixels.float() / 255 if tuning.tuned else pixels
            with tuning.autocast():
                loss = model.loss(pixels)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, no record")
    parser.add_argument("--record", default="results/speed/draw.json", help="where the figures go")
    args = parser.parse_args()
    rounds, n = (2, 1) if args.quick else (7, 4)
    began, figures = time.monotonic(), {}
    digits, bf16 = load_data("mnist-static", limit=2_000), has_bf16(torch.device("cpu"))
    print(machine())
    cases = {
        "draw, 16 glimpses": (16, 2, 5),
        "draw, 10 glimpses without attention": (10, 0, 0),
    }
    if not args.quick:
        cases["draw, 64 glimpses"] = (64, 2, 5)
    for name, (glimpses, read, write) in cases.items():
        config = DRAWConfig(glimpses=glimpses, read=read, write=write)
        model = build("draw", config, digits.spec)
        contestant = partial(script, digits, glimpses, read, write)
        found = contest(
            name, contestant, partial(ours, model, digits, BATCH), n, rounds, images=False
        )
        rate = product_rate(bf16, 5)
        share = operations(model, digits, BATCH) / (found["zeuxis ms"] / 1e3) / rate
        model.eval()
        drawn = min(seconds(lambda m=model: m.sample(BATCH)) for _ in range(rounds)) / BATCH
        figures[name] = found | {
            "share of product rate": share,
            "images/s": 1e3 * BATCH / found["zeuxis ms"],
            "seconds to draw a digit": drawn,
        }
        print(
            f"{share:.0%} of the machine's {rate / 1e9:.0f} GFLOP/s, {1e3 * drawn:.2f} ms a digit"
        )
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
