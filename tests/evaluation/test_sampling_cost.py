"""What samples cost: passes and weights by counting, for every model that samples images."""

from __future__ import annotations

import pytest
import torch

import tiny
from zeuxis.capabilities import CanAutoregress, CanSample
from zeuxis.evaluation.sampling_cost import (
    count_weights,
    sample_flops,
    sampling_cost,
    sequential_passes,
)

SAMPLERS = [
    name
    for name in tiny.NAMES
    if tiny.models()[name].__module__.startswith("zeuxis.")
    and hasattr(tiny.models()[name], "sample")
    and len(tiny.models()[name].tiny()[1].shape) == 3
    and name not in ("improved-gan-128", "pixelcnnpp", "iaf-ladder")
]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_has_passes_and_weights(name: str) -> None:
    model = tiny.model(name).eval()
    if not model.can(CanSample):
        pytest.skip("its settings rule sampling out")
    weights = count_weights(model)
    assert 0 < weights.sampling <= sum(p.numel() for p in model.parameters())
    assert sequential_passes(model) >= 1
    if model.can(CanAutoregress):
        assert sequential_passes(model) == model.spec.size


def test_only_the_generator_or_the_decoder_samples() -> None:
    gan, vae = tiny.model("dcgan").eval(), tiny.model("vae").eval()
    assert count_weights(gan).sampling == sum(p.numel() for p in gan.generator.parameters())
    assert count_weights(vae).sampling == sum(p.numel() for p in vae.decoder.parameters())
    autoregressive = tiny.model("pixelcnn").eval()
    assert count_weights(autoregressive).training == 0


@pytest.mark.parametrize(("solver", "steps", "passes"), [("euler", 5, 5), ("heun", 5, 9)])
def test_a_flow_has_the_passes_of_its_solver(solver: str, steps: int, passes: int) -> None:
    model = tiny.model("flow-matching", solver=solver, steps=steps).eval()
    assert sequential_passes(model) == passes


def test_operations_of_a_dense_decoder_are_those_of_its_matrices() -> None:
    model = tiny.model("vae", architecture="dense", hidden_dim=16, latent_dim=3).eval()
    matrices = [m for m in model.decoder.modules() if isinstance(getattr(m, "out_features", 0), int)
                and getattr(m, "out_features", 0)]  # fmt: skip
    assert sample_flops(model) == sum(2 * m.in_features * m.out_features for m in matrices)


def test_times_are_positive_and_a_cache_is_compared_with_none() -> None:
    model = tiny.model("pixelcnn").eval()
    cost = sampling_cost(model, (1, 2), repeats=1)
    assert set(cost.seconds) == set(cost.naive) == {1, 2} and min(cost.naive.values()) > 0
    assert sampling_cost(tiny.model("vae").eval(), (1,), repeats=1).naive == {}
    assert torch.get_num_threads() == cost.threads
