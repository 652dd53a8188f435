"""The lossless codec: how fast it is each way, and how far above the model's own code length it
stays.

    python benchmarks/codec.py [--quick]

Models are trained for seconds on digits, so that codes have a realistic length; the length itself
means nothing. Rates are of raw pixels, on one core, with PNG, WebP and xz on the same images beside
them.
"""

from __future__ import annotations

import argparse
import io
import lzma
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from zeuxis.autoregressive.pixelcnn import PixelCNNConfig
from zeuxis.checkpoints.weights import build
from zeuxis.compression.codec import coder_for
from zeuxis.compression.entropy_coding import Precision, reproducible
from zeuxis.data import load_data
from zeuxis.data.binarized import binarized
from zeuxis.data.dataset import Spec
from zeuxis.evaluation.record import machine, write_record
from zeuxis.model import Model
from zeuxis.training.config import TrainingConfig
from zeuxis.training.loop import fit
from zeuxis.vae.vae import VAEConfig
from zeuxis.visual.grid import to_image


def measured(model: Model, x: Tensor, precision: Precision, lanes: int) -> dict[str, float]:
    """Megabytes a second of both directions, and what the code costs beyond the model's own
    length."""
    with reproducible():
        coder = coder_for(model, precision)
        began = time.monotonic()
        coded = coder.encode(x, lanes, lambda more: None)
        middle = time.monotonic()
        back = coder.decode(coded, len(x), lambda more: None)
        end = time.monotonic()
    if not torch.equal(back, x):
        raise SystemExit("The images did not come back.")
    net, megabytes = 8 * len(coded.payload) - coded.initial, x.numel() / 1e6
    figures = {"MB/s in": megabytes / (middle - began), "MB/s out": megabytes / (end - middle)}
    return figures | {
        "overhead": net * math.log(2) / coded.nats - 1,
        "initial bits": coded.initial,
        "images": len(x),
    }


def rate(x: Tensor, write: Callable[[Tensor], object]) -> float:
    """Megabytes a second of a codec that takes images one by one."""
    began = time.monotonic()
    for one in x:
        write(one)
    return x.numel() / 1e6 / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few images, no record")
    parser.add_argument("--record", default="results/speed/codec.json", help="where the figures go")
    args = parser.parse_args()
    began, n = time.monotonic(), 256 if args.quick else 1024
    print(machine())
    digits, test = load_data("mnist"), load_data("mnist", split="test")
    binary = binarized(test.batch_of(n), torch.arange(n), 0)
    color = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (4 if args.quick else 32, 3, 32, 32), np.uint8)
    )
    cases: tuple[tuple[str, str, object, Spec, Tensor, int], ...] = (
        (
            "VAE, dense",
            "vae",
            VAEConfig(architecture="dense", hidden_dim=200, latent_dim=20),
            digits.spec,
            binary,
            8,
        ),
        ("VAE, residual", "vae", VAEConfig(), digits.spec, binary[: n // 4], 8),
        (
            "PixelCNN, 7 blocks of 16 maps",
            "pixelcnn",
            PixelCNNConfig(channels=16, layers=7),
            digits.spec,
            binary[:256],
            256,
        ),
        (
            "VAE, 256 levels of color",
            "vae",
            VAEConfig(channels=(32, 64), latent_dim=64),
            Spec("noise", (3, 32, 32)),
            color,
            4,
        ),
        (
            "PixelCNN, 256 levels of color",
            "pixelcnn",
            PixelCNNConfig(channels=24, layers=4, head_channels=64),
            Spec("noise", (3, 32, 32)),
            color,
            32,
        ),
    )
    figures: dict[str, object] = {}
    for name, kind, config, spec, x, lanes in cases:
        model = build(kind, config, spec, 0)
        if spec == digits.spec:
            short = 5_000 if args.quick else 20_000
            model = fit(
                model,
                digits,
                None,
                TrainingConfig(images=short, batch=100, film=0, log_every=10**12),
                quiet=True,
            ).model
        for precision in ("double", "single"):
            found = measured(model.eval(), x, precision, min(lanes, len(x)))
            figures[f"{name}, {precision}"] = found
            print(
                f"{name}, {precision}: {found['MB/s in']:.4f} MB/s in, "
                f"{found['MB/s out']:.4f} out, {found['overhead']:+.3%}"
            )
    peers: dict[str, tuple[Callable[[Tensor], object], Tensor]] = {
        "PNG": (lambda one: to_image(one).save(io.BytesIO(), "PNG", optimize=True), binary[:64]),
        "WebP": (
            lambda one: to_image(one).save(
                io.BytesIO(), "WEBP", lossless=True, quality=100, method=6
            ),
            binary[:64],
        ),
        "xz": (
            lambda all: lzma.compress(np.packbits(all.numpy() > 0).tobytes(), preset=9),
            binary[None],
        ),
    }
    for name, (write, items) in peers.items():
        figures[name] = {"MB/s in": rate(items, write)}
        print(f"{name}: {figures[name]['MB/s in']:.3f} MB/s in")  # type: ignore[index]
    if not args.quick:
        print(
            "record:",
            write_record(
                args.record, figures, seconds=time.monotonic() - began, seed=0, note="one core"
            ),
        )


if __name__ == "__main__":
    sys.exit(main())
