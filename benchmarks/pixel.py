"""Steps of PixelCNN and PixelRNN against plain and tuned scripts, and cached sampling against whole
passes and lesser ones.

    python benchmarks/pixel.py [--quick]

Steps are interleaved, each contestant in a separate process, and printed as ratios of medians,
with the share of the machine's own rate of matrix products. A naive sampler makes one whole pass
for each number; all its passes cost the same, so some are timed and multiplied, and the record says
how many. Beside it are passes that take the image down to the own row alone, and for gray PixelCNNs
the textbook's cache of every layer's maps. Images are drawn 64 at a time, as many as
`zeuxis sample` gives. That both samplers draw the same images is tested, not timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from zeuxis.evaluation.memory import bytes_of

from dcgan import color, ours, product_rate, seconds
from tuning import Tuning, contest
from zeuxis.autoregressive.pixel_model import PixelModel
from zeuxis.autoregressive.pixelcnn import PixelCNNConfig
from zeuxis.autoregressive.pixelcnnpp import PixelCNNPPConfig
from zeuxis.autoregressive.pixelrnn import PixelRNNConfig
from zeuxis.checkpoints.weights import build
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset
from zeuxis.device import has_bf16
from zeuxis.evaluation.record import machine, write_record


class PlainMasked(nn.Conv2d):
    """The usual masked convolution: a square kernel whose weight is multiplied by its mask in
    place."""

    def __init__(self, inside: int, out: int, kernel: int, see_itself: bool) -> None:
        super().__init__(inside, out, kernel, padding=kernel // 2)
        mask = torch.zeros(kernel, kernel)
        mask[: kernel // 2] = 1
        mask[kernel // 2, : kernel // 2 + see_itself] = 1
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data *= self.mask
        return super().forward(x)


class PlainBlock(nn.Module):
    """Its residual block."""

    def __init__(self, h: int) -> None:
        super().__init__()
        masked = PlainMasked(h, h, 3, True)
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Conv2d(2 * h, h, 1), nn.ReLU(), masked, nn.ReLU(), nn.Conv2d(h, 2 * h, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PlainDiagonal(nn.Module):
    """Its Diagonal BiLSTM, as the paper describes it: rows are skewed and columns of the skewed
    image follow each other."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.given = nn.ModuleList([nn.Conv2d(2 * h, 4 * h, 1) for _ in range(2)])
        self.state = nn.ModuleList([nn.Conv1d(h, 4 * h, 2, bias=False) for _ in range(2)])
        self.out = nn.Conv2d(h, 2 * h, 1)

    def walk(self, x: Tensor, direction: int) -> Tensor:
        n, _, height, width = x.shape
        long = height + width - 1
        skewed = (
            F.pad(self.given[direction](x), (0, height))
            .flatten(2)[..., : height * long]
            .unflatten(2, (height, long))
        )
        h = c = x.new_zeros(n, x.shape[1] // 2, height)
        found = []
        for given in skewed.unbind(3):
            o, f, i, g = (given + self.state[direction](F.pad(h, (1, 0)))).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            found.append(h)
        return F.pad(torch.stack(found, 3).flatten(2), (0, height)).unflatten(
            2, (height, long + 1)
        )[..., :width]

    def forward(self, x: Tensor) -> Tensor:
        late = F.pad(self.walk(x.flip(3), 1).flip(3), (0, 0, 1, 0))[:, :, :-1]
        return x + self.out(self.walk(x, 0) + late)


def network(channels: int, config: PixelCNNConfig | PixelRNNConfig) -> nn.Sequential:
    """Its network: mask A, the layers, a head; masks without colors (with which it would be no
    faster)."""
    h, (outputs, head) = (
        config.channels,
        (1, 32) if channels == 1 else (256 * channels, config.head_channels),
    )
    layer = PlainBlock if isinstance(config, PixelCNNConfig) else PlainDiagonal
    body = [
        PlainMasked(channels, 2 * h, config.first_kernel, False),
        *(layer(h) for _ in range(config.layers)),
    ]
    ends = [
        nn.ReLU(),
        nn.Conv2d(2 * h, head, 1),
        nn.ReLU(),
        nn.Conv2d(head, head, 1),
        nn.ReLU(),
        nn.Conv2d(head, outputs, 1),
    ]
    return nn.Sequential(*body, *ends)


def script(
    data: Dataset, config: PixelCNNConfig | PixelRNNConfig, batch: int, tuning: Tuning
) -> Callable[[int], None]:
    """The plain script, in float32 with default Adam and a DataLoader, or tuned."""
    channels = data.spec.shape[0]
    net = tuning.layout(network(channels, config))
    adam = tuning.adam(net.parameters(), 1e-3)
    batches = tuning.batches(data.batch_of(2_000), batch)

    def steps(n: int) -> None:
        for _ in range(n):
            raw = next(batches)
            with tuning.autocast():
                if channels == 1:
                    x = (torch.rand_like(raw, dtype=torch.float32) * 255 < raw).float()
                    loss = F.binary_cross_entropy_with_logits(net(x).float(), x, reduction="sum")
                else:
                    logits = net(raw.float() / 127.5 - 1).float().unflatten(1, (256, channels))
                    loss = F.cross_entropy(logits, raw.long(), reduction="sum")
            adam.zero_grad()
            (loss / batch).backward()
            adam.step()
            loss.item()

    return steps


class Kept:
    """The textbook's cached sampler of the plain PixelCNN: every layer's maps are kept, and a pixel
    computes its own column of them.

    Arguments:
        net: The network.
        n: Images at a time.
        side: Their side.
    """

    def __init__(self, net: nn.Sequential, n: int, side: int) -> None:
        self.n, self.side = n, side
        self.maps: dict[nn.Module, Tensor] = {}
        self.weights: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        for part in net.modules():
            if isinstance(part, nn.Conv2d):
                reach = part.kernel_size[0] // 2
                weight = part.weight * part.mask if isinstance(part, PlainMasked) else part.weight
                # No row below is ever seen, and of images with one color nothing to the right in
                # the own row.
                self.weights[part] = (
                    weight[:, :, : reach + 1].flatten(1).t().contiguous(),
                    part.bias,
                )
                if reach:
                    self.maps[part] = torch.zeros(
                        n, part.in_channels, side + reach, side + 2 * reach
                    )
        self.net = net

    def conv(self, part: nn.Conv2d, x: Tensor | None, row: int, column: int) -> Tensor:
        weight, bias = self.weights[part]
        if part in self.maps:
            size, maps = part.kernel_size[0], self.maps[part]
            if x is not None:
                maps[:, :, row + size // 2, column + size // 2] = x
            x = maps[:, :, row : row + size // 2 + 1, column : column + size].flatten(1)
        assert x is not None
        return torch.addmm(bias, x, weight)

    def logits(self, row: int, column: int) -> Tensor:
        """The network's numbers at a place, from the pixels before it."""
        x: Tensor | None = None
        for part in self.net:
            if isinstance(part, PlainBlock):
                assert x is not None
                inner = x
                for layer in part.layers:
                    inner = (
                        self.conv(layer, inner, row, column)
                        if isinstance(layer, nn.Conv2d)
                        else layer(inner)
                    )
                x = x + inner
            else:
                x = self.conv(part, x, row, column) if isinstance(part, nn.Conv2d) else part(x)
        assert x is not None
        return x

    def put(self, pixel: Tensor, row: int, column: int) -> None:
        first = self.net[0]
        reach = first.kernel_size[0] // 2
        self.maps[first][:, :, row + reach, column + reach] = pixel

    def sample(self) -> Tensor:
        """n binary images."""
        x = torch.zeros(self.n, 1, self.side, self.side)
        for row in range(self.side):
            for column in range(self.side):
                pixel = (torch.rand(self.n, 1) < torch.sigmoid(self.logits(row, column))).float()
                self.put(pixel, row, column)
                x[:, :, row, column] = pixel
        return x


def kept_seconds(config: PixelCNNConfig, n: int, side: int) -> float:
    """Seconds in which the textbook's cached sampler draws n binary images; checked against whole
    passes."""
    net = network(1, config).eval().requires_grad_(False)
    sampler = Kept(net, n, side)
    began = time.perf_counter()
    x = sampler.sample()
    taken = time.perf_counter() - began
    last = sampler.logits(side - 1, side - 1)  # from the maps as they are at the end
    torch.testing.assert_close(last, net(x)[:, :, -1, -1], rtol=1e-3, atol=1e-3)
    return taken


def made(name: str, config: object, data: Dataset) -> PixelModel:
    model = build(name, config, data.spec)
    assert isinstance(model, PixelModel)
    return model


def operations(model: PixelModel, data: Dataset, batch: int) -> int:
    """Operations of one step, as torch counts them."""
    v = (
        model.observed(data.batch_of(batch))
        if model.levels > 2
        else torch.zeros(batch, *data.spec.shape, dtype=torch.int64)
    )
    with FlopCounterMode(display=False) as counter:
        model.log_likelihood(v, None).sum().backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def training(
    cases: list[tuple[str, str, PixelCNNConfig | PixelRNNConfig, Dataset, int, int]], rounds: int
) -> dict[str, dict[str, float]]:
    """Steps of the plain script, of the tuned one and of zeuxis."""
    figures = {}
    for name, kind, config, data, batch, n in cases:
        model = made(kind, config, data)
        found = contest(
            name, partial(script, data, config, batch), partial(ours, model, data, batch), n, rounds
        )
        rate = product_rate(has_bf16(torch.device("cpu")), 5)
        share = operations(model, data, batch) / (found["zeuxis ms"] / 1e3) / rate
        figures[name] = found | {"share of product rate": share}
        print(f"{share:.0%} of the machine's {rate / 1e9:.0f} GFLOP/s")
    return figures


def rows_so_far(model: PixelModel, v: Tensor, passes_a_row: int, repeats: int) -> float:
    """Seconds of the passes for all numbers where each takes the image down to its own row alone,
    by a line through a few heights."""
    height, times = v.shape[2], []
    heights = sorted(
        {max(4, height * part // 16 * 4) for part in range(1, 5)}
    )  # of multiples of 4, which some networks need
    for rows in heights:
        part = v[:, :, :rows].contiguous()
        times.append(
            statistics.median(
                seconds(lambda part=part: model.log_likelihood(part, None))
                for _ in range(max(1, repeats // 3))
            )
        )
    return passes_a_row * float(np.interp(np.arange(1, height + 1), heights, times).sum())


def sampling(
    cases: list[tuple[str, str, object, Dataset]], n: int, passes: int
) -> dict[str, dict[str, float]]:
    """Images by one scan, and by whole passes."""
    figures = {}
    for name, kind, config, data in cases:
        model = made(kind, config, data).eval().requires_grad_(False)
        v, size = torch.zeros(n, *data.spec.shape, dtype=torch.int64), data.spec.size
        model.log_likelihood(v, None)
        numbers = (
            size if kind != "pixelcnnpp" else size // data.spec.shape[0]
        )  # whole pixels come from one pass
        one = statistics.median(
            seconds(lambda m=model, v=v: m.log_likelihood(v, None)) for _ in range(passes)
        )
        scan = lambda m=model: m.sample(n, generator=torch.Generator().manual_seed(0))  # noqa: E731
        cached = seconds(scan)
        naive, rows = numbers * one, rows_so_far(model, v, numbers // data.spec.shape[1], passes)
        about = {
            "images": n,
            "cached s": cached,
            "naive s": naive,
            "ratio": naive / cached,
            "naive passes": numbers,
        }
        about |= {"rows so far s": rows, "ratio to rows so far": rows / cached}
        if (
            isinstance(config, PixelCNNConfig)
            and config.architecture == "plain"
            and data.spec.shape[0] == 1
        ):
            kept = kept_seconds(config, n, data.spec.shape[1])
            about |= {"textbook's cache s": kept, "ratio to textbook's cache": kept / cached}
        memory = {
            "cached MB": bytes_of(scan) / 1e6,
            "whole pass MB": bytes_of(lambda m=model, v=v: m.log_likelihood(v, None)) / 1e6,
        }
        figures[name] = about | {"naive passes timed": passes} | memory
        print(
            (
                f"{name}: {n} images in {cached:.2f} s; {naive:,.0f} s by {numbers:,} whole "
                f"passes ({passes} timed), "
            ),
            end="",
        )
        print(
            (
                f"{rows:,.0f} s by passes over the rows so far: {naive / cached:,.0f} and "
                f"{rows / cached:,.0f} times as fast; "
            ),
            end="",
        )
        if "textbook's cache s" in about:
            print(f"{kept:.2f} s by the textbook's cache: {kept / cached:.2f} times; ", end="")
        print(
            f"{memory['cached MB']:.1f} MB at once (a whole pass {memory['whole pass MB']:.1f})",
            flush=True,
        )
    return figures


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="few repetitions, small networks, no record"
    )
    parser.add_argument("--record", default="results/speed/pixel.json", help="where the figures go")
    args = parser.parse_args()
    quick, began, figures = args.quick, time.monotonic(), {}
    gray, rgb = load_data("mnist"), color()
    print(machine())
    digits = (
        PixelCNNConfig(channels=16, layers=3) if quick else PixelCNNConfig(channels=32, layers=7)
    )
    photographs = (
        PixelCNNConfig(channels=16, layers=2, head_channels=32)
        if quick
        else PixelCNNConfig(channels=48, layers=8, head_channels=128)
    )
    gated = PixelCNNConfig(architecture="gated", channels=digits.maps, layers=digits.layers)
    plus = PixelCNNPPConfig(channels=8 if quick else 32, blocks=1 if quick else 2, mixtures=5)
    recurrent = PixelRNNConfig(channels=16, layers=1 if quick else 3)
    rounds, n = (2, 2) if quick else (7, 6)
    with torch.enable_grad():
        cases: list[tuple[str, str, PixelCNNConfig | PixelRNNConfig, Dataset, int, int]] = [
            ("pixelcnn 28x28x1", "pixelcnn", digits, gray, 32, n),
            (
                "pixelcnn 28x28x1, first kernel 55x55",
                "pixelcnn",
                replace(digits, first_kernel=55),
                gray,
                32,
                n,
            ),
            ("pixelcnn 32x32x3", "pixelcnn", photographs, rgb, 16, n),
            ("pixelrnn 28x28x1", "pixelrnn", recurrent, gray, 64, n),
        ]
        figures |= {f"step, {name}": found for name, found in training(cases, rounds).items()}
    every: list[tuple[str, str, object, Dataset]] = [
        ("pixelcnn 28x28x1", "pixelcnn", digits, gray),
        ("gated 28x28x1", "pixelcnn", gated, gray),
        (
            "pixelcnn 28x28x1, first kernel 55x55",
            "pixelcnn",
            replace(digits, first_kernel=55),
            gray,
        ),
        ("pixelrnn 28x28x1", "pixelrnn", recurrent, gray),
        ("pixelcnn 32x32x3", "pixelcnn", photographs, rgb),
        ("pixelcnnpp 32x32x3", "pixelcnnpp", plus, rgb),
    ]
    found = sampling(every[:2] if quick else every, 2 if quick else 64, 3 if quick else 20)
    figures |= {f"sampling, {name}": about for name, about in found.items()}
    if not quick:
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
