"""The comparison of restorations: baselines by hand, and no method sees what is hidden."""

from __future__ import annotations

import pytest
import torch

import tiny
from zeuxis.applications.restoration.benchmark import Degradation, benchmark, fingerprint
from zeuxis.data.dataset import Dataset, Spec

SHAPE = (1, 8, 8)


def digits(n: int, seed: int) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)
    return Dataset(Spec("tiny", SHAPE), x)


def test_rows_that_are_known_by_hand() -> None:
    """A test image is among the training images, so that the nearest one is exact."""
    training, model = digits(30, 0), tiny.model("order-agnostic").eval()
    data = Dataset(training.spec, training.x[:3])
    found = benchmark([model], data, training, Degradation("inpaint", mask="left"), n=2)
    assert set(found) == {
        *("order-agnostic", "classical", "Gaussian prior"),
        *("nearest image", "ten nearest images", "mean image"),
    }
    assert found["nearest image"]["PSNR"] == float("inf")
    error = (training.x.float().mean(0).round() - data.x.float())[..., :4].square().mean((1, 2, 3))
    by_hand = (10 * (255**2 / error).log10()).mean().item()
    assert found["mean image"]["PSNR"] == pytest.approx(by_hand, abs=1e-4)
    whole = found["mean image"]["PSNR of all pixels"] - found["mean image"]["PSNR"]
    assert whole == pytest.approx(3.01, abs=0.01)
    mask = torch.ones(8, 8, dtype=torch.bool)
    mask[:, :4] = False
    nats = -model.log_prob(data.x, mask).nats.mean().item()
    assert found["order-agnostic"]["nats of the hidden pixels"] == pytest.approx(nats)


def test_the_gaussian_prior_is_scored_by_its_mean_and_not_by_samples() -> None:
    data, training = digits(4, 1), digits(200, 2)
    found = benchmark(
        *([tiny.model("order-agnostic").eval()], data, training),
        *(Degradation("inpaint", mask="left"),),
        n=2,
    )
    row = found["Gaussian prior"]
    assert row["PSNR"] > row["best PSNR of the samples"] > row["PSNR of a sample"] - 1e-6


@pytest.mark.parametrize("name", ["center", "drop-50", "left"])
def test_degraded_images_do_not_depend_on_what_is_hidden(name: str) -> None:
    degradation, x = Degradation("inpaint", mask=name), digits(5, 3).x.float()
    y, mask, _ = degradation.apply(x, 7)
    other, _, _ = degradation.apply(torch.where(mask.visible, x, 255 - x), 7)  # type: ignore
    assert fingerprint(y) == fingerprint(other) != fingerprint(degradation.apply(x, 7)[0] + 1)
