"""Optimizers against their formulas, and Muon against PyTorch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from zeuxis.model import Player
from zeuxis.optim import factory as optimizers
from zeuxis.optim.lasagne_adam import RootAdam
from zeuxis.optim.muon import COEFFICIENTS, Muon, polar


def test_epsilon_stands_inside_the_root() -> None:
    p, q = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = RootAdam([p], 0.1, (0.5, 0.999), 1e-2, 0.0)
    m = v = torch.zeros(3)
    for t in range(1, 6):
        g = torch.tensor([1e-3, 0.1, 10.0]) * t
        p.grad = g.clone()
        optimizer.step()
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g.square()
        q = q - 0.1 * (m / (1 - 0.5**t)) / (v / (1 - 0.999**t) + 1e-2).sqrt()
    torch.testing.assert_close(p, q)


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 4, 60), (2, 64, 64), (1, 1, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_newton_and_schulz_bring_singular_values_near_one_and_turn_nothing(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    assert polar(matrices.to(dtype)).dtype == dtype
    inside = u.mT @ polar(matrices.to(dtype)).double() @ v.mT  # diagonal, were nothing turned
    diagonal = inside.diagonal(dim1=1, dim2=2)
    dominant = s > s.amax(1, keepdim=True) / 50
    assert ((diagonal > 0.6) & (diagonal < 1.3))[dominant].all()
    assert (inside - torch.diag_embed(diagonal)).abs().max() < (
        0.1 if dtype == torch.bfloat16 else 1e-4
    )


@pytest.mark.parametrize("fall", [0, 10])
def test_steps_by_gram_matrices_are_the_steps(fall: int) -> None:
    scale = torch.exp(-fall * torch.linspace(0, 1, 24))[:, None]
    x = torch.randn(2, 24, 100, generator=torch.Generator().manual_seed(0)) * scale
    a, b, c = COEFFICIENTS
    direct = x.double() / x.double().norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = direct @ direct.mT
        direct = a * direct + b * gram @ direct + c * gram @ gram @ direct
    torch.testing.assert_close(polar(x), direct.float(), rtol=0, atol=1e-4)


def test_a_matrix_of_zeros_stays_zeros() -> None:
    assert torch.equal(polar(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


@pytest.mark.parametrize("exponent", [-18, -22, -24, -30, -44])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [4, 9])
def test_momentum_that_dies_out_gives_finite_steps(
    exponent: int, dtype: torch.dtype, columns: int
) -> None:
    """The momentum of a layer without a gradient, as behind units that are off for good."""
    x = 10.0**exponent * torch.randn(2, 4, columns, generator=torch.Generator().manual_seed(0))
    found = polar(x.to(dtype))
    assert found.isfinite().all()
    assert found.float().abs().max() < 1.3


def test_a_step_is_that_of_the_formula_for_matrices_and_adams_for_the_rest() -> None:
    wide, tall, bias, *scales = (
        nn.Parameter(torch.randn(s, dtype=torch.float64))
        for s in [(4, 6), (6, 4), (5,), (1, 1, 1), (3, 1, 1)]
    )
    kernel = nn.Parameter(
        torch.randn(4, 2, 3, 3, dtype=torch.float64).to(memory_format=torch.channels_last)
    )
    rest = [bias, *scales]
    ours, twins = [wide, tall, kernel, *rest], [nn.Parameter(p.detach().clone()) for p in rest]
    expected = [p.detach().clone(memory_format=torch.contiguous_format) for p in ours]
    optimizer, adam = (
        Muon(ours, 0.1, (0.8, 0.9), weight_decay=0.01),
        torch.optim.Adam(twins, 0.1, (0.8, 0.9), weight_decay=0.01),
    )
    memory = [torch.zeros_like(p) for p in expected]
    for _ in range(4):
        for i, p in enumerate(ours):
            p.grad = torch.randn_like(p)
            memory[i] = 0.95 * memory[i] + 0.05 * p.grad
            if i < 3:
                ahead = (0.05 * p.grad + 0.95 * memory[i]).reshape(len(p), -1)
                turned = (
                    polar(ahead[None])[0]
                    if ahead.shape[0] <= ahead.shape[1]
                    else polar(ahead.T[None])[0].T
                )
                expected[i] = expected[i] * (1 - 0.1 * 0.01) - 0.1 * 0.2 * math.sqrt(
                    max(ahead.shape)
                ) * turned.reshape(p.shape)
        for p, twin in zip(rest, twins, strict=True):
            assert p.grad is not None
            twin.grad = p.grad.clone()
        optimizer.step()
        adam.step()
    for p, q in zip([wide, tall, kernel], expected[:3], strict=True):
        torch.testing.assert_close(p.detach(), q, rtol=1e-8, atol=1e-8)
    for p, twin in zip(rest, twins, strict=True):
        torch.testing.assert_close(p, twin, rtol=1e-6, atol=1e-6)
    assert kernel.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("single", [False, True])
def test_matrices_get_the_steps_of_torchs_muon(
    single: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal to rounding: that of bfloat16 as released, and that of float32 if torch's Muon, which
    converts every gradient to bfloat16, is made to stay in float32."""
    if single:
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(s, generator=generator) for s in [(8, 24), (24, 8), (16, 16), (3, 50)]]
    ours, torchs = ([nn.Parameter(p.clone()) for p in start] for _ in range(2))
    both = [
        Muon(ours, 0.1, weight_decay=0.1, bf16=not single),
        torch.optim.Muon(torchs, 0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(5):
        for p, q in zip(ours, torchs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone()
        for optimizer in both:
            optimizer.step()
    for p, q, first in zip(ours, torchs, start, strict=True):
        step = (q - first).square().mean().sqrt()
        assert (p - q).square().mean().sqrt() < (1e-5 if single else 2e-2) * step


def test_turning_the_problem_turns_the_steps_with_it() -> None:
    """What distinguishes Muon from Adam: no direction of a weight's rows and columns is
    preferred."""
    turn = [torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in (4, 7)]
    a, b = (
        nn.Parameter(torch.zeros(4, 7, dtype=torch.float64)),
        nn.Parameter(torch.zeros(4, 7, dtype=torch.float64)),
    )
    one, other = Muon([a], 0.1), Muon([b], 0.1)
    for _ in range(5):
        a.grad = torch.randn(4, 7, dtype=torch.float64)
        b.grad = turn[0] @ a.grad @ turn[1]
        one.step()
        other.step()
    torch.testing.assert_close(b.detach(), turn[0] @ a.detach() @ turn[1])


def test_a_step_is_about_as_large_as_adams_whatever_the_shape() -> None:
    for shape in [(8, 400), (400, 8), (64, 64), (16, 4, 3, 3)]:
        p = nn.Parameter(torch.zeros(shape))
        optimizer = Muon([p], 1.0)
        p.grad = 1e-3 * torch.randn(shape)
        optimizer.step()
        assert 0.14 < p.detach().square().mean().sqrt() < 0.26


@pytest.mark.parametrize("bf16", [False, True])
def test_its_state_goes_into_a_save_and_comes_back(bf16: bool) -> None:
    networks = [nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    made = [optimizers.make(Player(n, 0.1, optimizer="muon"), bf16) for n in networks]
    x = torch.randn(5, 2, 4, 4)

    def step(i: int) -> None:
        networks[i].zero_grad()
        networks[i](x).square().sum().backward()
        made[i].step()

    for _ in range(3):
        step(0)
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers.restore(made[1], "model", optimizers.state(made[0], "model"))
    step(0)
    step(1)
    for p, q in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(p, q)
