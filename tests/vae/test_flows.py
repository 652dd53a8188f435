"""Flows: masks let no later number in, determinants are autograd's, and densities add up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from zeuxis.nn.data_dependent_init import data_dependent_init
from zeuxis.vae.flows import (
    ConvStep,
    DenseStep,
    affine,
    conv_mask,
    degrees,
    dense_mask,
    gated,
    lower,
)


def perturbed(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in float64 with random weights and gains, so that nothing vanishes by its
    start."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    for p in module.parameters():
        p.data.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return module


def order_of(size: int, side: int) -> list[int]:
    """Flat indices of maps of codes in the flow's order: positions from the last to the first, maps
    from the first to the last."""
    index = torch.arange(size * side * side).view(size, side, side)
    return [
        int(index[c, i, j])
        for i in reversed(range(side))
        for j in reversed(range(side))
        for c in range(size)
    ]


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("size", "width"), [(2, 6), (5, 5), (7, 40), (32, 320)])
def test_a_dense_step_is_strictly_triangular_and_complete(
    size: int, width: int, layers: int
) -> None:
    step = perturbed(DenseStep(size, width, layers, 3))
    h = torch.randn(3, dtype=torch.float64)
    for part in (0, 1):
        jacobian = torch.autograd.functional.jacobian(
            lambda z, part=part: step(z, h)[part], torch.randn(size, dtype=torch.float64)
        )
        assert torch.equal(jacobian.triu(), torch.zeros_like(jacobian)), (
            "a number sees itself or a later one"
        )
        seen = jacobian.abs() > 0
        assert torch.equal(seen, torch.ones(size, size).tril(-1).bool()), (
            "a number does not see all earlier ones"
        )


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize(("size", "width"), [(2, 6), (3, 9), (4, 4)])
def test_a_convolutional_step_is_strictly_triangular_over_positions_and_maps(
    size: int, width: int, layers: int
) -> None:
    side = 4
    step = perturbed(ConvStep(size, width, layers))
    h = torch.randn(1, width, side, side, dtype=torch.float64)
    z = torch.randn(size, side, side, dtype=torch.float64)
    order = order_of(size, side)
    for part in (0, 1):

        def shift(z: Tensor, part: int = part) -> Tensor:
            found = step(z[None], h)[part]
            assert found is not None
            return found[0]

        jacobian = torch.autograd.functional.jacobian(shift, z).reshape(
            size * side**2, size * side**2
        )[order][:, order]
        assert torch.equal(jacobian.triu(), torch.zeros_like(jacobian))
        reach = layers + 1
        for row, at in enumerate(order):
            for column, source in enumerate(order[:row]):
                (i, j), (k, m) = (divmod(index % side**2, side) for index in (at, source))
                rows, columns = k - i, m - j
                if (
                    rows <= reach and -rows <= columns <= reach
                ):  # each row further down reaches one column further left
                    assert jacobian[row, column] != 0, f"{at} does not see {source}"


@pytest.mark.parametrize(("inside", "out", "size"), [(4, 8, 4), (8, 4, 4), (6, 6, 3), (1, 5, 1)])
def test_masks_of_a_convolution_count_what_they_let_through(
    inside: int, out: int, size: int
) -> None:
    for strict in (False, True):
        mask = conv_mask(inside, out, size, strict)
        assert mask[:, :, 0].sum() == 0
        assert mask[:, :, 1, 0].sum() == 0
        assert mask[:, :, 2].min() == 1
        assert mask[:, :, 1, 2].min() == 1
        pairs = size * (size - 1) // 2 + (0 if strict else size)
        assert mask[:, :, 1, 1].sum() == pairs * (inside // size) * (out // size)


def test_degrees_leave_no_number_out() -> None:
    assert degrees(10, 3).tolist() == [0] * 5 + [1] * 5
    assert set(degrees(320, 32).tolist()) == set(range(31))
    assert dense_mask(torch.arange(3), torch.arange(3), strict=False).tolist() == [
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 1],
    ]


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("kind", ["gated", "affine", "shift"])
def test_determinants_equal_those_of_autograd(kind: str, depth: int) -> None:
    size, side = 3, 2
    steps = [perturbed(ConvStep(size, 6, 1, scaled=kind != "shift"), seed) for seed in range(depth)]
    h = torch.randn(1, 6, side, side, dtype=torch.float64)

    def chain(z: Tensor) -> tuple[Tensor, Tensor]:
        z, total = z[None], torch.zeros((), dtype=torch.float64)
        for step in steps:
            shift, scale = step(z, h)
            z, log_scale = (
                affine(z, shift, scale) if kind != "gated" else gated(z, shift, scale, 1.0)
            )
            total = total + log_scale.sum()
            z = z.flip(1, 2, 3)
        return z[0], total

    z = torch.randn(size, side, side, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda z: chain(z)[0], z).reshape(
        size * side**2, -1
    )
    assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(chain(z)[1].item(), abs=1e-9)


def test_a_step_can_be_undone_number_by_number() -> None:
    size = 6
    step = perturbed(DenseStep(size, 12, 2, 2))
    h, z = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, size, dtype=torch.float64)
    moved, _ = gated(z, *step(z, h), 1.0)
    back = torch.zeros_like(z)
    for i in range(size):
        shift, scale = step(back, h)
        gate = torch.sigmoid(scale + 1.0)
        back[:, i] = ((moved - (1 - gate) * shift) / gate)[:, i]
    assert torch.allclose(back, z, atol=1e-9)


def test_the_density_of_a_flow_adds_up_to_one() -> None:
    """Over a grid of end points of a two-number flow, undone in closed form."""
    step = perturbed(DenseStep(2, 8, 1, 1), 3)
    h = torch.zeros(1, dtype=torch.float64)
    axis = torch.linspace(-12, 12, 601, dtype=torch.float64)
    end = torch.cartesian_prod(axis, axis)
    back = torch.zeros_like(end)
    for i in range(2):
        shift, scale = step(back, h)
        gate = torch.sigmoid(scale + 1.0)
        back[:, i] = ((end - (1 - gate) * shift) / gate)[:, i]
    _, log_scale = gated(back, *step(back, h), 1.0)
    density = (-0.5 * back.square().sum(1) - math.log(2 * math.pi) - log_scale.sum(1)).exp()
    assert density.sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=0.01)


def test_a_triangular_matrix_reaches_a_correlated_gaussian_and_a_diagonal_one_stops_short() -> None:
    rho = 0.9
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]])
    target = torch.distributions.MultivariateNormal(torch.zeros(2), covariance)
    eps = torch.randn(4_000, 2, generator=torch.Generator().manual_seed(0))

    def divergence(correlated: bool) -> float:
        below, log_std = torch.zeros(1, requires_grad=True), torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.Adam([below, log_std], 0.05)
        loss = torch.zeros(())
        for _ in range(120):
            y = log_std.exp() * eps
            z = lower(below.expand(len(y), 1), y) if correlated else y
            log_q = -0.5 * eps.square().sum(1) - math.log(2 * math.pi) - log_std.sum()
            loss = (log_q - target.log_prob(z)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    assert divergence(True) == pytest.approx(0, abs=0.01)
    assert divergence(False) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.03)


def test_a_new_step_nearly_keeps_its_code() -> None:
    step, z, h = DenseStep(8, 16, 1, 4), torch.randn(500, 8), torch.randn(500, 4)
    with data_dependent_init(step):
        step(z, h)
    moved, log_scale = gated(z, *step(z, h), 1.5)
    assert torch.sigmoid(torch.tensor(1.5)).item() == pytest.approx(
        log_scale.exp().mean().item(), abs=0.03
    )
    assert torch.corrcoef(torch.stack([moved.flatten(), z.flatten()]))[0, 1] > 0.99
