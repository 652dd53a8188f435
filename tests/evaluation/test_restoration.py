"""Measures of restored images against their definitions and other implementations."""

from __future__ import annotations

import math

import pytest
import torch
from skimage.metrics import structural_similarity

from zeuxis.evaluation.features.feature_network import feature_network
from zeuxis.evaluation.restoration import accuracy, psnr, spread, ssim


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_psnr_of_a_known_error_and_of_the_counted_pixels_alone() -> None:
    x = images(3, 3, 8, 8) * 0.9
    counted = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5
    y = torch.where(counted, x + 2.55, x + 25.5)
    assert torch.allclose(psnr(x, y, counted), torch.full((3,), 40.0), atol=1e-3)
    assert torch.allclose(psnr(x, y, ~counted), torch.full((3,), 20.0), atol=1e-3)
    assert (psnr(x, y) < 40).all() and (psnr(x, y) > 20).all()
    assert math.isinf(psnr(x, x)[0])
    assert torch.equal(psnr(x * 0 + 255, x * 0 + 300), psnr(x, x)), "clipped first"


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_that_of_scikit_image(channels: int) -> None:
    x = images(2, channels, 20, 17)
    y = (x + 40 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 255)
    for i in range(2):
        expected = structural_similarity(
            x[i].double().numpy(),
            y[i].double().numpy(),
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        assert ssim(x, y)[i].item() == pytest.approx(expected, abs=1e-5)
    assert ssim(x[..., :10], y[..., :10]).isnan().all()


def test_a_network_sees_classes_and_differences() -> None:
    network = feature_network("mnist/classifier")
    x = images(4, 1, 28, 28)
    labels = network.features(x.byte())[1].argmax(1)
    labels[0] = (labels[0] + 1) % 10
    assert accuracy(network, x.byte().float(), labels) == 0.75
    same, other = x.expand(3, 4, 1, 28, 28), images(3, 4, 1, 28, 28)
    assert spread(network, same) < 1e-2 < spread(network, other)
    assert spread(network, x[None]) == 0.0
