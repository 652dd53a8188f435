"""PixelRNN: rows and diagonals against recurrences written pixel by pixel, who sees whom, the
cached scan."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import causal
import tiny
from zeuxis.autoregressive.lstm_scan import Plan, Walk, along_diagonals, along_rows
from zeuxis.autoregressive.pixelrnn import DiagonalBiLSTM, PixelRNN, PixelRNNConfig, RowLSTM
from zeuxis.autoregressive.sampling import in_order
from zeuxis.capabilities import CanAutoregress, CanComplete, CanLogProb
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.training.loop import fit

SMALL = {"channels": 5, "layers": 2, "head_channels": 6, "first_kernel": 3}


def test_diagonals_hold_every_place_once_and_rows_their_own() -> None:
    plan = along_diagonals(3, 4)
    assert [step.pixels for step in plan.steps] == [1, 2, 3, 3, 2, 1]
    for direction in range(2):
        seen = [plan.order[direction, step.begin : step.begin + step.pixels] for step in plan.steps]
        assert torch.equal(torch.cat(seen).sort().values, torch.arange(12))
        for d, places in enumerate(seen):
            row, column = places // 4, places % 4
            assert set((row + (column if direction == 0 else 3 - column)).tolist()) == {d}
            assert places.tolist() == sorted(places.tolist())
    assert along_rows(3, 4).order.tolist() == [list(range(12))]


@pytest.mark.parametrize(
    "plan",
    [along_rows(3, 4), *(along_diagonals(*size) for size in ((3, 4), (4, 3), (1, 4), (4, 1)))],
)
def test_no_two_places_share_a_slot_and_each_tap_is_read_from_slots_filled_before(
    plan: Plan,
) -> None:
    filled = set(plan.border.tolist())
    assert set(plan.learned.tolist()) <= filled
    for step in plan.steps:
        for tap in step.taps:
            assert set(range(tap, tap + step.pixels)) <= filled
        own = set(range(step.slot, step.slot + step.pixels))
        assert not own & filled
        filled |= own
    assert filled == set(range(plan.slots))


@pytest.mark.parametrize(
    ("directions", "plan"),
    [(1, along_rows(3, 4)), (2, along_diagonals(3, 4)), (2, along_diagonals(4, 1))],
)
def test_gradients_by_hand_are_those_of_differences(directions: int, plan: Plan) -> None:
    places, taps = sum(step.pixels for step in plan.steps), len(plan.steps[0].taps)
    shapes = (3, places, 2), (directions, 8, 3 + taps * 2), (directions, 8), (2, directions, 2)
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *t: Walk.apply(*t, plan), inputs)


@pytest.mark.parametrize("autocast", [False, True])
def test_products_in_bfloat16_change_a_walk_and_its_gradients_by_their_rounding_alone(
    autocast: bool,
) -> None:
    plan, generator = along_diagonals(4, 5), torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(shape, generator=generator)
        for shape in ((4, 20, 3), (2, 16, 12), (2, 16), (2, 2, 4))
    ]
    found = []
    for kind in (torch.bfloat16, torch.float64):
        exact = torch.promote_types(kind, torch.float32)
        own = exact if autocast else kind
        leaves = [
            t.to(k).detach().clone().requires_grad_()
            for t, k in zip(inputs, (own, exact, exact, exact), strict=True)
        ]
        with torch.autocast("cpu", kind, enabled=autocast and kind == torch.bfloat16):
            h = Walk.apply(*leaves, plan)
        assert h.dtype == kind
        h.square().sum().backward()
        found.append([h, *(t.grad for t in leaves)])
    for low, high in zip(*found, strict=True):
        assert (low.double() - high).norm() < 0.02 * high.norm()


def lstm(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    o, f, i, g = gates.view(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def places(x: Tensor) -> Tensor:
    """Images (n, maps, h, w) as layers take them."""
    return x.permute(1, 2, 3, 0)


def images(x: Tensor) -> Tensor:
    return x.permute(3, 0, 1, 2)


def randomized(layer: torch.nn.Module) -> torch.nn.Module:
    for p in layer.parameters():
        torch.nn.init.normal_(p, 0, 0.4)
    return layer.double()


@torch.no_grad()
def test_a_diagonal_layer_is_the_recurrence_over_left_and_above() -> None:
    layer, x = randomized(DiagonalBiLSTM(3, 1)), torch.randn(1, 6, 3, 4, dtype=torch.float64)
    assert isinstance(layer, DiagonalBiLSTM)
    given = layer.input(x)[0].view(2, 12, 3, 4)
    states: list[dict[tuple[int, int], tuple[Tensor, Tensor]]] = [{}, {}]
    for direction in range(2):
        start = layer.first[0, direction], layer.first[1, direction]
        for r in range(3):
            for i in range(4):
                c = i if direction == 0 else 3 - i
                before = states[direction].get((r, c - 1 if direction == 0 else c + 1), start)
                above = states[direction].get((r - 1, c), start)[0]
                gates = (
                    given[direction, :, r, c]
                    + torch.cat([above, before[0]]) @ layer.state[direction]
                )
                states[direction][r, c] = lstm(gates, before[1])
    h = torch.zeros(1, 3, 3, 4, dtype=torch.float64)
    for (r, c), (state, _) in states[0].items():
        h[0, :, r, c] = state + (states[1][r - 1, c][0] if r else 0)
    torch.testing.assert_close(images(layer(places(x))), x + layer.out(h))


@torch.no_grad()
def test_a_row_layer_is_the_recurrence_over_the_row_above() -> None:
    layer, x = randomized(RowLSTM(3, 1)), torch.randn(1, 6, 3, 4, dtype=torch.float64)
    assert isinstance(layer, RowLSTM)
    given, state, found = layer.input(x)[0], layer.state.view(3, 3, 12), []
    h, c = (t[:, None].expand(-1, 4) for t in layer.first)
    for r in range(3):
        rows = [
            lstm(
                given[:, r, k]
                + sum(h[:, k + j - 1] @ state[j] for j in range(3) if 0 <= k + j - 1 < 4),
                c[:, k],
            )
            for k in range(4)
        ]
        h, c = torch.stack([a for a, _ in rows], 1), torch.stack([b for _, b in rows], 1)
        found.append(h)
    torch.testing.assert_close(images(layer(places(x))), x + layer.out(torch.stack(found, 1)[None]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layers", [1, 2])
def test_diagonal_layers_see_everything_before_but_the_last_number_above(
    channels: int, layers: int
) -> None:
    """Which the first convolution, of one pixel to the right, shows to the last two columns."""
    shape = (channels, 4, 5)
    model = causal.make(
        "pixelrnn", shape, channels=9, layers=layers, head_channels=12, first_kernel=3, levels=4
    )
    seen = causal.influence(model.network, shape, channels)
    expected = causal.earlier(len(seen)).view(4, 5, channels, 4, 5, channels).clone()
    for r in range(1, 4):
        expected[r, :3, :, r - 1, 4, channels - 1] = False
    assert torch.equal(seen, expected.view(len(seen), -1))


def row_sees(shape: tuple[int, int, int], layers: int) -> Tensor:
    """Who sees whom through row layers: the left neighbor and the triangle above, layer after
    layer, behind a 3x3 mask A."""
    channels, height, width = shape
    places = [(r, c, k) for r in range(height) for c in range(width) for k in range(channels)]
    reach, layer, head = (torch.zeros(len(places), len(places)) for _ in range(3))
    for i, (r, c, k) in enumerate(places):
        for j, (s, d, m) in enumerate(places):
            above, left = s < r and abs(c - d) <= r - s, s == r and d == c - 1
            here = (r, c) == (s, d)
            reach[i, j] = (s == r - 1 and abs(c - d) <= 1) or left or (here and m < k)
            # The states above have themselves read their left neighbor.
            layer[i, j] = above or left or (here and m <= k) or (s < r and c - d == r - s + 1)
            head[i, j] = here and m <= k
    for _ in range(layers):
        reach = reach + (head @ layer @ reach > 0).float()
    return head @ reach > 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layers", [1, 2])
def test_row_layers_see_their_triangles_and_nothing_after(channels: int, layers: int) -> None:
    shape = (channels, 4, 6)
    model = causal.make(
        "pixelrnn",
        shape,
        architecture="row",
        channels=9,
        layers=layers,
        head_channels=12,
        first_kernel=3,
        levels=4,
    )
    seen, expected = causal.influence(model.network, shape, channels), row_sees(shape, layers)
    assert torch.equal(seen, expected)
    assert not (seen & ~causal.earlier(len(seen))).any()


VARIANTS = [
    ((1, 4, 6), {"architecture": "diagonal"}),
    ((1, 6, 3), {"architecture": "diagonal"}),
    ((3, 3, 4), {"architecture": "diagonal", "levels": 5}),
    ((1, 5, 4), {"architecture": "row"}),
    ((3, 4, 3), {"architecture": "row", "levels": 4}),
]


@pytest.mark.parametrize(("shape", "changes"), VARIANTS)
def test_a_scan_gives_the_conditionals_and_the_likelihood_is_their_sum(
    shape: tuple, changes: dict
) -> None:
    causal.check_autoregress(causal.make("pixelrnn", shape, **SMALL, **changes))


@pytest.mark.parametrize(("shape", "changes"), VARIANTS)
def test_the_cached_sampler_gives_the_naive_ones_images(shape: tuple, changes: dict) -> None:
    causal.check_sampler(causal.make("pixelrnn", shape, **SMALL, **changes))


@pytest.mark.parametrize("layer", ["row", "diagonal"])
@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 2, 2), 2), ((1, 2, 2), 3), ((3, 1, 2), 3), ((2, 2, 2), 2)]
)
def test_probabilities_of_a_tiny_space_add_up_to_one(layer: str, shape: tuple, levels: int) -> None:
    model = causal.make("pixelrnn", shape, architecture=layer, levels=levels, **SMALL)
    p = model.log_prob(causal.all_images(shape, levels)).nats.exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-10)
    assert p.std() > 0.01 * p.mean(), "a uniform distribution shows little"


@pytest.mark.parametrize("layer", ["row", "diagonal"])
def test_a_scan_costs_no_more_than_one_pass(layer: str) -> None:
    model = causal.make(
        "pixelrnn",
        (1, 7, 7),
        architecture=layer,
        channels=16,
        layers=2,
        head_channels=16,
        first_kernel=3,
    )
    x = causal.random_images(model, 4)
    once = causal.operations(lambda: model.log_prob(x))
    assert 0.3 < causal.operations(lambda: causal.walk(model, 4)) / once < 1.1


@pytest.mark.parametrize("layer", ["row", "diagonal"])
def test_it_learns_a_distribution_of_known_entropy(layer: str) -> None:
    """Images whose every row continues a pattern begun in the row above: log 2 nats, all of them at
    the first pixel."""
    stripes = (torch.arange(6)[:, None] + torch.arange(6)) % 2
    x = torch.stack([stripes, 1 - stripes] * 32)[:, None].to(torch.uint8) * 255
    data = Dataset(Spec("boards", (1, 6, 6)), x)
    model = build(
        "pixelrnn",
        PixelRNNConfig(architecture=layer, channels=8, layers=1, head_channels=8, lr=4e-2),
        data.spec,
    )
    model = fit(
        model, data, training=tiny.training(images=1600, batch=16, average=30), quiet=True
    ).model
    assert isinstance(model, PixelRNN)
    assert -model.log_prob(x).nats.mean().item() == pytest.approx(0.6931, abs=0.12)
    drawn = in_order(model.sample(64, generator=torch.Generator().manual_seed(0)))
    assert (drawn == in_order(x)[torch.where(drawn[:, 0] == 0, 0, 1)]).float().mean() > 0.98


def test_full_sizes() -> None:
    def weights(shape: tuple, **changes: object) -> int:
        with torch.device("meta"):
            model = PixelRNN(PixelRNNConfig(**changes), Spec("x", shape))
        return sum(
            p.numel()
            for name, p in model.named_parameters()
            if "layers" in name and "head" not in name
        )

    # Input to state 2h x 4h for each direction, two neighbors' states h x 4h each, and h x 2h out;
    # then biases and first states.
    h = 128
    assert weights((3, 32, 32)) == 12 * (
        2 * 8 * h * h + 2 * 8 * h * h + 2 * h * h + 8 * h + 4 * h + 2 * h
    )
    h = 16
    assert weights((1, 28, 28), channels=16, layers=7) == 7 * (34 * h * h + 14 * h)
    # Row LSTM: two of three columns are left by the mask.
    assert weights((1, 28, 28), architecture="row", channels=16, layers=7) == 7 * (
        2 * 8 * h * h + 3 * 4 * h * h + 2 * h * h + 8 * h
    )


def test_capabilities_and_completion() -> None:
    model = causal.make("pixelrnn", (1, 4, 4), **SMALL)
    for capability in (CanAutoregress, CanComplete, CanLogProb):
        assert isinstance(model, capability)
    x, mask = causal.random_images(model, 3), torch.rand(4, 4) < 0.5
    (done,) = model.complete(x, mask, generator=torch.Generator().manual_seed(1))
    assert torch.equal(done[..., mask], x[..., mask])
    assert not torch.equal(done[..., ~mask], x[..., ~mask])


def test_rmsprop_is_adam_without_a_first_moment() -> None:
    player = PixelRNN(
        PixelRNNConfig(optimizer="rmsprop", channels=4, layers=1), Spec("x", (1, 4, 4))
    ).players()["model"]
    assert player.betas == (0.0, 0.95)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"first_kernel": 4}, "odd"),
        ({"first_kernel": 2}, "first-kernel must be from 3"),
        ({"layers": 0}, "layers must be from 1"),
        ({"channels": 2}, "at least 3 channels"),
    ],
)
def test_settings_that_cannot_work(changes: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        PixelRNN(PixelRNNConfig(**changes), Spec("tiny", (3, 5, 5)))
