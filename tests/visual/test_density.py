"""The picture of a density: its colors, its curve when a run is resumed, and points without a known
density."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.densities import Density, density, points
from zeuxis.gan.planar import PlanarConfig
from zeuxis.model import Model
from zeuxis.visual.density import DensityPicture


class Sampler(Model):
    """The target's own sampler, moved."""

    def __init__(self, target: Density, shift: float) -> None:
        super().__init__(None, Spec(target.name, (2,)))
        self.target, self.shift = target, shift

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self.target.sample(n, generator) + self.shift


def test_picture_shows_blue_green_and_both() -> None:
    data, target = points("ring", 1000), density("ring")
    draw = DensityPicture(data, 100)
    column, row = draw.square.pixels(torch.tensor([[2.0, 0.0]]))[0].astype(
        int
    )  # the middle of a mode
    right = np.asarray(draw(Sampler(target, 0.0), 50)).astype(int)
    wrong = np.asarray(draw(Sampler(target, 0.3), 100)).astype(int)
    assert right.shape == (480, 720, 3)
    assert right[row, column, 1] > 200 and right[row, column, 2] > 200  # both lights
    assert wrong[row, column, 1] < 160 < 200 < wrong[row, column, 2]  # the data's blue alone
    up = round(0.3 / draw.square.step)
    assert (
        wrong[row - up, column + up, 1] > 200 > 180 > wrong[row - up, column + up, 2]
    )  # the model's green alone
    (_, near, _), (_, far, js) = draw.curve
    assert near < 0.05 and far > 3 and js > 0.6


def test_curve_is_resumed_and_rewound() -> None:
    data = points("ring", 1000)
    model = build("planar", PlanarConfig(), data.spec, 0)
    draw = DensityPicture(data, 300, samples=2000)
    frames = [draw(model, images) for images in (0, 100, 200)]
    again = DensityPicture(data, 300, samples=2000)
    again.restore(json.loads(json.dumps(draw.state())))
    assert again.curve == draw.curve and len(again.curve) == 3
    repeated = again(model, 200)  # the frame after the last save is drawn again
    assert [point[0] for point in again.curve] == [0, 100, 200]
    assert np.array_equal(np.asarray(repeated), np.asarray(frames[-1]))


def test_points_without_a_density_are_drawn_from_themselves() -> None:
    x = torch.randn(5000, 2) * 3 + 40
    data = Dataset(Spec("mine", (2,)), x)
    draw = DensityPicture(data, 10, samples=2000)
    assert draw.target is None and draw.p.sum() == pytest.approx(1)
    assert draw.square.center[0] == pytest.approx(40, abs=3)
    draw(build("planar", PlanarConfig(latent_dim=3), data.spec, 0), 0)
    assert math.isfinite(draw.curve[0][1]) and draw.curve[0][2] > 0.5
