"""The images of a study, and their encoding, in which nothing but the pixels differs.

Every image becomes an uncompressed PNG of one size and mode, so that all files have the same
number of bytes; names are random tokens (`store`). Where a model's images have two values only, the
real ones are drawn as two values as well, by the rule that binary models are trained with. Real
images that were decoded from a lossy copy are left out.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ...capabilities import CanSample
from ...checkpoints.weights import digest, load, shipped
from ...data.binarized import binarized
from ...data.dataset import Dataset
from ...data.inexact import exact_positions
from ...errors import UsageError
from ...experiments.unseen import evaluation_data
from ...model import require
from .protocol import PRACTICE, StudyConfig, extra_trials

BATCH = 250  # samples at a time
MASKS = 8  # noise images of the timed mode
SEEDS = {"generated": 1, "practice": 2, "qualification": 3, "check": 4, "mask": 5, "real": 6}


@dataclass(frozen=True)
class Material:
    """What a study shows.

    Arguments:
        model: Name of the judged model.
        weights: SHA-256 of its weights.
        data: Name of the data set of the real images.
        split: Their part, as "test".
        binarized: Whether both kinds were brought to two values.
        pools: Images by pool, uint8 (n, C, H, W); see `plan`.
    """

    model: str
    weights: str
    data: str
    split: str
    binarized: bool
    pools: dict[str, Tensor]

    @property
    def digest(self) -> str:
        """SHA-256 of all pixels, in the order of the pools' names."""
        value = hashlib.sha256()
        for name in sorted(self.pools):
            value.update(name.encode() + self.pools[name].numpy().tobytes())
        return value.hexdigest()


def material(name: str, config: StudyConfig, data: str = "", split: str = "test") -> Material:
    """Draws the generated images and chooses the real ones.

    Arguments:
        name: A run folder or a shipped model's name.
        config: The study.
        data: The data set of the real images, by default the model's own.
        split: Their part.

    Raises:
        UsageError: The model makes no images, or the data are of another size or too few.
    """
    model = require(load(name), CanSample, "draw samples")
    shape = model.spec.shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UsageError(f"'{name}' makes no images that people could look at: choose another.")
    real, images = evaluation_data(name, data, split)
    if real.spec.shape != shape:
        raise UsageError(
            f"'{real.spec.name}' has images of shape {real.spec.shape}, and the model makes "
            f"{shape}: give data of its size."
        )
    pools = {"generated": samples(model, config.pool, config.study_seed, "generated")}
    others = practice_models(name, config, shape)
    if others[:1]:
        pools["generated-practice"] = mixed(others[:1], 10 * PRACTICE, config, "practice", shape)
    if config.qualify:
        names = list(config.qualify_models) or others
        if not names:
            raise UsageError("There is no other model for a qualification: give --qualify-models.")
        pools["generated-qualification"] = mixed(
            names, 5 * config.qualify, config, "qualification", shape
        )
    two_valued = is_binary(pools["generated"])
    pools |= real_pools(real, config, two_valued, practice=bool(others))
    pools["check"] = noise_like(
        pools["real"], max(20, 4 * sum(map(extra_trials, config.blocks))), config.study_seed
    )
    if config.mode == "timed":
        pools["mask"] = textures(pools["real"], pools["generated"], config.study_seed)
    if two_valued:
        pools = {key: x if is_binary(x) else halved(x) for key, x in pools.items()}
    return Material(name, digest(name), real.spec.name, images.split, two_valued, pools)


def samples(model: CanSample, n: int, seed: int, purpose: str) -> UInt8[Tensor, "n c h w"]:
    """n samples of a model, in batches."""
    generator = torch.Generator().manual_seed(seed * 16 + SEEDS[purpose])
    parts = []
    while n > 0:
        parts.append(model.sample(min(n, BATCH), generator=generator).cpu())
        n -= BATCH
    return torch.cat(parts)


def practice_models(name: str, config: StudyConfig, shape: tuple[int, ...]) -> list[str]:
    """The models whose images the practice shows: the first of them; the others serve a
    qualification."""
    if config.practice == "none":
        return []
    if config.practice:
        if config.practice == name:
            raise UsageError(
                f"--practice is '{name}', the judged model: name another one, or none."
            )
        return [config.practice]
    others: list[str] = []
    for other in ("mnist/vae", "mnist/dcgan", "mnist/infogan"):
        if other != name and other in shipped() and load(other).spec.shape == shape:
            others.append(other)
    if not others:
        raise UsageError(
            "No shipped model makes images of this size for the practice: name another model "
            "with --practice, or give --practice none."
        )
    return others


def mixed(
    names: Sequence[str], n: int, config: StudyConfig, purpose: str, shape: tuple[int, ...]
) -> Tensor:
    """Images of several models in equal shares."""
    parts = []
    for i, name in enumerate(names):
        model = require(load(name), CanSample, "draw samples")
        if model.spec.shape != shape:
            raise UsageError(
                f"'{name}' makes images of shape {model.spec.shape}, and the judged model of "
                f"{shape}: name one of its size."
            )
        parts.append(samples(model, -(-n // len(names)), config.study_seed + i, purpose))
    return torch.cat(parts)[:n]


def real_pools(
    real: Dataset, config: StudyConfig, two_valued: bool, practice: bool
) -> dict[str, Tensor]:
    """Real images for the practice, the qualification and the test, none in two of them."""
    positions = exact_positions(real)
    generator = torch.Generator().manual_seed(config.study_seed * 16 + SEEDS["real"])
    order = positions[torch.randperm(len(positions), generator=generator)]
    sizes = {"real-practice": 10 * PRACTICE if practice else 0}
    sizes["real-qualification"] = 5 * config.qualify
    least = config.images // 2
    small = len(order) < sum(sizes.values()) + least
    if small:  # as many as are needed, and no more
        sizes = {
            "real-practice": PRACTICE // 2 if practice else 0,
            "real-qualification": config.qualify // 2,
        }
    if len(order) < sum(sizes.values()) + least:
        raise UsageError(
            f"'{real.spec.name}' has {len(order):,} images for this test, which needs "
            f"{sum(sizes.values()) + least:,}: give a smaller --n or other --data."
        )
    pools, first = {}, 0
    for name, n in [*sizes.items(), ("real", min(config.pool, len(order) - sum(sizes.values())))]:
        if not n:
            continue
        rows = order[first : first + n]
        x = real.batch(rows)[0].cpu()
        pools[name] = binarized(x, rows, config.study_seed) if two_valued else x
        first += n
    return pools


def is_binary(x: Tensor) -> bool:
    """Whether all pixels are 0 or 255.

    Example:
        >>> is_binary(torch.tensor([0, 255])), is_binary(torch.tensor([0, 7]))
        (True, False)
    """
    return bool(((x == 0) | (x == 255)).all())


def halved(x: Tensor) -> Tensor:
    """Each pixel as 0 or 255, whichever is nearer."""
    return (x >= 128).to(torch.uint8) * 255


def noise_like(x: UInt8[Tensor, "m c h w"], n: int, seed: int) -> UInt8[Tensor, "n c h w"]:
    """Obvious fakes: real images whose pixels are in random order, so that the histogram of an
    image does not tell."""
    generator = torch.Generator().manual_seed(seed * 16 + SEEDS["check"])
    out = []
    for i in range(n):
        flat = x[i % len(x)].flatten(1)
        out.append(flat[:, torch.randperm(flat.shape[1], generator=generator)].view(x.shape[1:]))
    return torch.stack(out)


def textures(real: Tensor, generated: Tensor, seed: int) -> UInt8[Tensor, "n c h w"]:
    """Noise with the spatial frequencies of the images of both kinds, which ends the after-image:
    amplitudes of a Fourier transform are kept, and phases are drawn."""
    generator = torch.Generator().manual_seed(seed * 16 + SEEDS["mask"])
    half = MASKS // 2
    x = torch.cat([real[:half], generated[:half]]).float()
    amplitude = torch.fft.rfft2(x).abs()
    phase = torch.fft.rfft2(torch.rand(x.shape, generator=generator)).angle()
    noise = torch.fft.irfft2(torch.polar(amplitude, phase), s=x.shape[-2:])
    noise -= noise.amin((1, 2, 3), keepdim=True)
    noise /= noise.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
    return (noise * 255).round().byte()


def png(pixels: bytes, shape: Sequence[int]) -> bytes:
    """An uncompressed PNG; images of one shape have files of one length.

    Arguments:
        pixels: Channels, rows, columns, as uint8.
        shape: Channels, height and width.

    Example:
        >>> len(png(bytes(784), (1, 28, 28))) == len(png(bytes(range(196)) * 4, (1, 28, 28)))
        True
    """
    x = np.frombuffer(pixels, np.uint8).reshape(tuple(shape))
    picture = Image.fromarray(x[0] if len(x) == 1 else np.ascontiguousarray(x.transpose(1, 2, 0)))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=0)
    return file.getvalue()
