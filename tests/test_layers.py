"""Layers that are rewritten for speed give what the ones they replace give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeuxis.nn.elu import elu
from zeuxis.nn.transposed import TransposedConv
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
@pytest.mark.parametrize(("kernel", "padding", "more"), [(3, 1, 1), (3, 1, 0), (4, 1, 0), (5, 2, 1)])
def test_transposed_convolution_with_its_bias_afterwards(layout: torch.memory_format, kernel: int, padding: int, more: int) -> None:
    layer = TransposedConv(3, 5, kernel, 2, padding, more).double().to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    leaves = (x, layer.weight, layer.bias)
    plain = nn.ConvTranspose2d.forward(layer, x)
    ours = layer(x)
    assert ours.is_contiguous(memory_format=layout)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(*(torch.autograd.grad(y.cos().sum(), leaves) for y in (ours, plain)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("inside", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_normalised_convolution_keeps_the_layout_of_its_weight(inside: int, layout: torch.memory_format) -> None:
    layer = WeightNorm(nn.Conv2d(inside, 4, 3), gain=True)
    layer.layer.to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(2, inside, 6, 6)
    assert layer.weight().stride() == layer.layer.weight.stride()
    assert layer(x).is_contiguous(memory_format=layout)
