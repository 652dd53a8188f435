"""Odd data and odd settings for every model: a training ends well or in a sentence, and what it
saves is finite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import ZeuxisError
from zeuxis.experiments.train import train
from zeuxis.registry import models

KINDS = [name for name in tiny.NAMES if name not in ("char-rnn", "planar", "improved-gan-128")]
DATA = (
    "noise",
    "black",
    "white",
    "one image",
    "one class",
    "no labels",
    "unlabeled",
    "one pixel",
    "color",
    "oblong",
    "two channels",
)
POINTS = ("noise", "one", "same", "huge", "nan", "inf")
TRAINING: list[dict] = [
    {"batch": 1},
    {"batch": 200},
    {"accumulate": 16},
    {"average": 0},
    {"clip": 1e-30},
    {"precision": "bf16"},
    {"hold_out": 63, "validate_every": 16},
    {"schedule": "cosine", "warmup": 64},
]
RATES = (0.0, 1e-30, 1.0, 1e3, 1e9, 1e30, float("nan"))
CASES = [(kind, what, {}, None) for kind in KINDS for what in DATA] + [
    ("planar", what, {}, None) for what in POINTS
]
CASES += [(kind, "noise", change, None) for kind in (*KINDS, "planar") for change in TRAINING]
CASES += [(kind, "noise", {}, rate) for kind in (*KINDS, "planar") for rate in RATES]
FAST = [
    ("infogan", "one image", {}, None),
    ("classifier", "one pixel", {}, None),
    ("planar", "inf", {}, None),
    ("vae", "noise", {}, 1e30),
]
FAST += [("dcgan", "noise", {"batch": 1}, None), ("dcgan", "noise", {}, float("nan"))]


def odd(kind: str, what: str) -> Dataset:
    """64 examples that a careless user might bring, or a single one."""
    generator = torch.Generator().manual_seed(5)
    if kind == "planar":
        points = torch.randn(64, 2, generator=generator)
        changed = {
            "one": points[:1],
            "same": torch.ones(64, 2),
            "huge": 1e30 * points,
            "nan": points / 0 * 0,
            "inf": points / 0,
        }
        return Dataset(Spec("points", (2,)), changed.get(what, points))
    x, y = tiny.images(side=8 if kind.startswith("pixel") else 28).batch(torch.arange(64))
    pixels = {
        "black": x * 0,
        "white": x * 0 + 255,
        "one image": x[:1],
        "one pixel": x[:, :, :1, :1].contiguous(),
        "color": x.expand(-1, 3, -1, -1).contiguous(),
        "two channels": x.expand(-1, 2, -1, -1).contiguous(),
        "oblong": x[:, :, : x.shape[2] // 2].contiguous(),
    }.get(what, x)
    assert y is not None
    labels = {"no labels": None, "unlabeled": y * 0 - 1, "one class": y * 0}.get(
        what, y[: len(pixels)]
    )
    classes = 0 if labels is None else 1 if what == "one class" else 10
    return Dataset(
        Spec("odd", tuple(pixels.shape[1:]), classes, tuple(map(str, range(classes)))),
        pixels,
        labels,
    )


def check(kind: str, what: str, change: dict, rate: float | None, out: Path) -> None:
    """Trains; anything but an end or a sentence is an error, and so is a save that is not
    finite."""
    try:
        config = models()[kind].Config(**tiny.config(kind))
        rates = {
            name: rate
            for name in ("lr", "generator_lr", "generator_rate")
            if rate is not None and hasattr(config, name)
        }
        training = tiny.training(
            **{
                "images": 128,
                "film": 2,
                "log_every": 16,
                "save_minutes": 0.0,
                "average": 100,
                **change,
            }
        )
        train(kind, odd(kind, what), config=replace(config, **rates), training=training, out=out)
    except ZeuxisError as error:
        assert str(error).strip() and "\n" not in str(error)
    for file in out.glob("*/*.safetensors"):
        for name, tensor in load_file(file).items():
            assert not tensor.is_floating_point() or torch.isfinite(tensor).all(), (
                f"{file.name}: {name}"
            )


@pytest.mark.parametrize(("kind", "what", "change", "rate"), FAST, ids=str)
def test_odd_trainings_in_short(
    kind: str, what: str, change: dict, rate: float | None, tmp_path: Path
) -> None:
    check(kind, what, change, rate, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "what", "change", "rate"), CASES, ids=str)
def test_odd_trainings(
    kind: str, what: str, change: dict, rate: float | None, tmp_path: Path
) -> None:
    check(kind, what, change, rate, tmp_path)
