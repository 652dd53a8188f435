"""Layers that are rewritten for speed give what the ones they replace give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeuxis.nn.elu import elu
from zeuxis.nn.image_conv import ImageConv, is_faster
from zeuxis.nn.transposed_conv import TransposedConv
from zeuxis.nn.weight_norm import WeightNorm

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def test_elu_and_its_gradient() -> None:
    x = torch.randn(4, 50, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(elu, x)
    assert torch.equal(elu(x), F.elu(x))
    ours, theirs = (torch.autograd.grad(f(x).square().sum(), x)[0] for f in (elu, F.elu))
    torch.testing.assert_close(ours, theirs)


def test_elu_in_bfloat16_has_slopes_within_its_rounding() -> None:
    x = torch.linspace(-8, 3, 500).bfloat16().requires_grad_()
    slope = torch.autograd.grad(elu(x).sum(), x)[0].float()
    exact = x.detach().float().clamp(max=0).exp()
    assert (slope - exact).abs().max() <= 1 / 256


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("kernel", "padding", "more"), [(3, 1, 1), (3, 1, 0), (4, 1, 0), (5, 2, 1), (1, 0, 1)]
)
@pytest.mark.parametrize("out", [1, 5, 9])
def test_transposed_convolution_with_its_bias_afterwards(
    layout: torch.memory_format, kernel: int, padding: int, more: int, out: int
) -> None:
    layer = TransposedConv(3, out, kernel, 2, padding, more).double().to(memory_format=layout)
    x = (
        torch.randn(2, 3, 4, 6, dtype=torch.float64)
        .contiguous(memory_format=layout)
        .requires_grad_()
    )
    leaves = (x, layer.weight, layer.bias)
    plain = nn.ConvTranspose2d.forward(layer, x)
    ours = layer(x)
    assert ours.is_contiguous(memory_format=layout)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(
        *(torch.autograd.grad(y.cos().sum(), leaves) for y in (ours, plain)), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "side"),
    [(4, 2, 1, 8), (5, 2, 2, 9), (3, 3, 0, 7), (2, 3, 0, 8), (6, 4, 1, 11)],
)
def test_a_convolution_of_an_image_and_its_adjoint(
    layout: torch.memory_format, kernel: int, stride: int, padding: int, side: int
) -> None:
    conv = ImageConv(3, 5, kernel, stride, padding).double().to(memory_format=layout)
    x = (
        torch.randn(2, 3, side, side + 1, dtype=torch.float64)
        .contiguous(memory_format=layout)
        .requires_grad_()
    )
    assert is_faster(conv, x, 3)
    leaves = (x, conv.weight, conv.bias)
    ours, plain = conv(x), nn.Conv2d.forward(conv, x)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(
        *(torch.autograd.grad(y.cos().sum(), leaves) for y in (ours, plain)), strict=True
    ):
        torch.testing.assert_close(a, b)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.grad(conv(x).cos().sum(), x, create_graph=True)[0].sum().backward()


def test_layers_of_images_obey_autocast_as_the_plain_ones_do() -> None:
    conv, back = ImageConv(1, 8, 4, 2, 1), TransposedConv(8, 1, 4, 2, 1)
    x = torch.randn(3, 1, 28, 28).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = back(conv(x))
        plain = nn.ConvTranspose2d.forward(back, nn.Conv2d.forward(conv, x))
    assert ours.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(ours, plain, rtol=2e-2, atol=2e-2)
    leaves = (x, *conv.parameters(), *back.parameters())
    for leaf, a, b in zip(
        leaves,
        *(torch.autograd.grad(y.float().square().mean(), leaves) for y in (ours, plain)),
        strict=True,
    ):
        assert a.dtype == leaf.dtype
        assert (a - b).norm() <= 2e-2 * b.norm()


@pytest.mark.parametrize("inside", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_normalized_convolution_keeps_the_layout_of_its_weight(
    inside: int, layout: torch.memory_format
) -> None:
    layer = WeightNorm(nn.Conv2d(inside, 4, 3), gain=True)
    layer.layer.to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(2, inside, 6, 6)
    assert layer.weight().stride() == layer.layer.weight.stride()
    assert layer(x).is_contiguous(memory_format=layout)
