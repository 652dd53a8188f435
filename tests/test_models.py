"""Properties that hold for every model, found by walking the families."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys

import pytest
import torch
from torch import nn

import tiny
from zeuxis.capabilities import ALL, CanComplete, CanSample, has
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.serialization import from_json, to_json
from zeuxis.checkpoints.weights import load, save
from zeuxis.data.dataset import Spec
from zeuxis.data.masks import quadrants
from zeuxis.errors import MissingCapability, UsageError, ZeuxisError
from zeuxis.model import Batch, Model, Player, require
from zeuxis.nn.norm import BatchNorm
from zeuxis.noise import Noise
from zeuxis.optim import factory as optimizers
from zeuxis.registry import built_in, model_class, models
from zeuxis.training.loop import fit

# The ladder's column starts from a state that is zero before the first step, as published: its
# first weights move from the second on.
STILL = {"iaf-ladder": ("layers.1.down_first.layer.weight", "layers.1.down_first.length")}


def record_outputs(model: nn.Module) -> dict[str, list[torch.Tensor]]:
    """Outputs of every layer with a bias, filled during forward passes; their gradients are
    kept."""
    outputs: dict[str, list[torch.Tensor]] = {}

    def record(key: str, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.retain_grad()
            outputs.setdefault(key, []).append(output)

    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            key = f"{name}.bias"
            layer.register_forward_hook(lambda _, __, output, key=key: record(key, output))
    return outputs


@pytest.mark.parametrize("name", tiny.NAMES)
def test_gradients_reach_every_parameter_of_the_player_and_no_other(name: str) -> None:
    model = tiny.model(name).train()
    outputs = record_outputs(model)
    players = model.players()
    seen = set()
    for player, loss in model.play(tiny.batch(name)):
        loss.backward()
        own = {id(p) for p in players[player].module.parameters()}
        # The gradients of a bias cancel where a loss is a difference of outputs, as the last bias
        # of a Wasserstein critic: then the layer's output must have one.
        reached = {
            key
            for key, layers in outputs.items()
            if any(out.grad is not None and out.grad.abs().sum() > 0 for out in layers)
        }
        for key, p in model.named_parameters():
            if not p.requires_grad:
                assert p.grad is None, f"{player} moves {key}, which is frozen"
            elif id(p) in own:
                assert p.grad is not None, f"{player} leaves {key} without a gradient"
                assert key in STILL.get(name, ()) or key in reached or p.grad.abs().sum() > 0, (
                    f"{player} has a zero gradient for {key}"
                )
            else:
                assert p.grad is None, f"{player} moves {key} of another player"
        seen.add(player)
        outputs.clear()
        model.zero_grad(set_to_none=True)
    assert seen == set(players)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_players_share_no_parameter_and_leave_none_out(name: str) -> None:
    model = tiny.model(name)
    owned = [id(p) for player in model.players().values() for p in player.module.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in model.parameters()}


PAPERS: dict[str, dict[str, tuple]] = {  # optimizer, step size, decays of the moments, weight decay
    "dcgan": dict.fromkeys(("discriminator", "generator"), ("adam", 2e-4, (0.5, 0.999), 1e-5)),
    "improved-gan": dict.fromkeys(
        ("discriminator", "generator"), ("adam-root", 3e-3, (0.5, 0.999), 0.0)
    ),
    "infogan": {
        "discriminator": ("adam", 2e-4, (0.5, 0.999), 0.0),
        "generator": ("adam", 1e-3, (0.5, 0.999), 0.0),
    },
    "wgan-gp": dict.fromkeys(("critic", "generator"), ("adam", 1e-4, (0.0, 0.9), 0.0)),
    "vae": {"model": ("adamax", 1e-3, (0.9, 0.999), 0.0)},
    "iaf-ladder": {"model": ("adamax", 2e-3, (0.9, 0.999), 0.0)},
    "air": {"model": ("adam", 1e-4, (0.9, 0.999), 0.0)},
    "glimpse-classifier": {"classifier": ("adam", 1e-3, (0.9, 0.999), 0.0)},
    "cvae": dict.fromkeys(("baseline", "cvae"), ("adam", 1e-3, (0.9, 0.999), 0.0)),
    "dcign": {"model": ("adam-root", 5e-4, (0.9, 0.99), 0.0)},
    "draw": {"model": ("adam", 3e-4, (0.9, 0.999), 0.0)},
    "pixelcnn": {"model": ("adam", 1e-3, (0.9, 0.999), 0.0)},
    "pixelcnnpp": {"model": ("adam", 1e-3, (0.95, 0.9995), 0.0)},
}


@pytest.mark.parametrize("name", PAPERS)
def test_optimizers_have_the_papers_settings(name: str) -> None:
    players = tiny.model(name).players()
    assert {
        key: (p.optimizer, p.lr, p.betas, p.weight_decay) for key, p in players.items()
    } == PAPERS[name]
    for player in players.values():
        group = optimizers.make(player).param_groups[0]
        assert (group["lr"], tuple(group["betas"]), group["weight_decay"]) == (
            player.lr,
            player.betas,
            player.weight_decay,
        )


@pytest.mark.parametrize("name", tiny.PARAMS)
def test_a_seed_repeats_bit_for_bit_and_another_does_not(name: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        model = tiny.model(name, seed)
        fit(model, tiny.data_for(name), training=tiny.training(seed=seed), quiet=True)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("name", [*tiny.NAMES, "improved-gan history"])
def test_buffers_of_the_averaged_model_are_finite_and_follow(name: str) -> None:
    name, _, history = name.partition(" ")
    model, data = tiny.model(name, **({"history": 0.1} if history else {})), tiny.data_for(name)
    first = {key: value.clone() for key, value in model.named_buffers()}
    average = fit(model, data, training=tiny.training(images=48), quiet=True).model
    newest = dict(model.named_buffers())
    for key, value in average.named_buffers():
        assert torch.isfinite(value).all(), key
        moved = not torch.equal(newest[key], first[key])
        assert torch.equal(value, newest[key]) or not torch.equal(value, first[key]), (
            key
        )  # the model's, or computed from data
        assert not (moved and torch.equal(value, first[key])), (
            f"{key} is as it was before the training"
        )
    norms = [
        m
        for m in average.modules()
        if isinstance(m, BatchNorm) and "generator" in dict(average.named_children())
    ]
    assert not any(torch.equal(norm.mean, torch.zeros_like(norm.mean)) for norm in norms), (
        "statistics were not computed"
    )


class Stock(Model):
    """Stock batch normalization, whose statistics are buffers, around one weight a pixel."""

    name = "stock"

    def __init__(self, config: object, spec: Spec) -> None:
        super().__init__(config, spec)
        self.net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(spec.size), nn.Linear(spec.size, 1))

    def players(self) -> dict[str, Player]:
        return {"net": Player(self.net, 1e-3)}

    def play(self, batch: Batch):
        yield "net", self.net(batch.x.float()).square().mean()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        return torch.zeros(n, *self.spec.shape, dtype=torch.uint8)


def test_stock_batch_normalization_is_averaged_with_its_true_statistics(tmp_path) -> None:
    data = tiny.images(side=4)
    model = Stock(None, data.spec)
    run = Run(tmp_path)
    result = fit(
        model, data, run, tiny.training(images=64 * 40, batch=64, average=1000), quiet=True
    )
    x = data.all().float().flatten(1)
    for norm in (result.model.net[1], model.net[1]):
        torch.testing.assert_close(norm.running_mean, x.mean(0), rtol=0.03, atol=0)
        torch.testing.assert_close(norm.running_var, x.var(0), rtol=0.05, atol=0)
        assert norm.num_batches_tracked == 40
    assert not torch.equal(result.model.net[2].weight, model.net[2].weight)
    saved, _ = run.read_tensors("ema.safetensors")
    assert all(torch.equal(value, saved[key]) for key, value in result.model.state_dict().items())


@pytest.mark.parametrize("name", tiny.NAMES)
def test_saved_and_loaded_models_agree(name: str, tmp_path) -> None:
    model = tiny.model(name).eval()
    model.update_statistics(tiny.data_for(name).all()[:32])
    again = load(save(model, tmp_path / "model"))
    assert again.config == model.config
    assert again.spec == model.spec
    for (key, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    if isinstance(model, CanSample):
        assert torch.equal(
            *(m.sample(5, generator=torch.Generator().manual_seed(0)) for m in (model, again))
        )


@pytest.mark.parametrize("name", tiny.NAMES)
def test_samples_have_the_shape_and_type_of_the_data(name: str) -> None:
    model = tiny.model(name).eval()
    if not isinstance(model, CanSample):
        pytest.skip("makes no samples")
    data = tiny.data_for(name)
    x = model.sample(3, generator=torch.Generator().manual_seed(0))
    assert x.shape == (3, *data.spec.shape)
    assert x.dtype == data.all().dtype
    assert torch.equal(x, model.sample(3, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(x, model.sample(3, generator=torch.Generator().manual_seed(1)))
    assert model.sample(0).shape == (0, *data.spec.shape)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_a_sample_does_not_depend_on_its_companions(name: str) -> None:
    model = tiny.model(name).eval()
    if not hasattr(model, "decode"):
        pytest.skip("has no codes")
    model.update_statistics(tiny.data_for(name).all()[:32])
    z = model.prior(8, generator=torch.Generator().manual_seed(0))
    together, alone = (
        model.decode(z).float(),
        torch.cat([model.decode(one[None]) for one in z]).float(),
    )
    assert (together - alone).abs().max() <= (
        1 if together.max() > 2 else 1e-5
    )  # one gray level, by rounding


@pytest.mark.parametrize("name", [name for name in tiny.NAMES if has(models()[name], CanComplete)])
def test_completions_keep_what_is_seen(name: str) -> None:
    model, x = tiny.model(name).eval(), tiny.data_for(name).all()[:3]
    if model.levels == 2:
        x = (x > 127).byte() * 255
    mask = quadrants(("bottom-left",), *x.shape[2:])
    done = model.complete(x, mask, n=2, generator=torch.Generator().manual_seed(0))
    assert done.shape == (2, *x.shape) and done.dtype == torch.uint8
    seen = mask.expand(x.shape)
    assert all(torch.equal(one[seen], x[seen]) for one in done)
    assert not torch.equal(done[0], done[1])
    again = model.complete(
        torch.where(seen, x, 255 - x), mask, n=2, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(done, again)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_copies_train_alike(name: str) -> None:
    model = tiny.model(name)
    other = copy.deepcopy(model)
    for one in (model, other):
        fit(one, tiny.data_for(name), training=tiny.training(images=32), quiet=True)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", tiny.NAMES)
def test_config_goes_through_json(name: str) -> None:
    kind = model_class(name)
    config = kind.Config(**tiny.config(name))
    assert from_json(kind.Config, to_json(config), "here") == config
    with pytest.raises(ZeuxisError, match="does not know"):
        from_json(kind.Config, {"no such setting": 1}, "here")
    with pytest.raises(ZeuxisError, match="--model.lr must be a number, got 'fast'"):
        from_json(kind.Config, {"lr": "fast"}, "here")


def test_the_registry_names_near_and_all() -> None:
    with pytest.raises(UsageError, match="dcgan"):
        model_class("dcgna")


@pytest.mark.parametrize("name", tiny.NAMES)
def test_no_layer_or_helper_is_taken_for_a_capability(name: str) -> None:
    """A model has what its class has, and its methods take what the protocols' methods take."""
    model = tiny.model(name)
    for capability in ALL.values():
        if not isinstance(model, capability):
            continue
        assert has(type(model), capability), f"{capability.__name__} by attributes"
        for method, expected in inspect.getmembers(capability, inspect.isfunction):
            if method.startswith("_"):
                continue
            names = list(inspect.signature(getattr(model, method)).parameters)
            wanted = [key for key in inspect.signature(expected).parameters if key != "self"]
            assert set(wanted[:1]) <= set(names), f"{capability.__name__}.{method}{names}"


def test_a_missing_capability_names_who_has_it() -> None:
    with pytest.raises(MissingCapability, match="cannot fill in"):
        require(tiny.model("dcgan"), CanComplete, "fill in")

    class Mute(Model):
        pass

    with pytest.raises(MissingCapability, match="dcgan"):
        require(Mute(None, Spec("tiny", (1, 4, 4))), CanSample, "draw samples")


def test_noise_is_the_global_batch_cut_in_rows() -> None:
    whole = Noise(3, 128, slice(0, 8), 8).normal(5)
    parts = [Noise(3, 128, slice(i, i + 4), 8).normal(5) for i in (0, 4)]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, Noise(3, 136, slice(0, 8), 8).normal(5))
    assert not torch.equal(whole, Noise(4, 128, slice(0, 8), 8).normal(5))


def test_models_are_found_and_loaded_without_any_extra() -> None:
    missing = (
        "gymnasium",
        "mujoco",
        "stable_baselines3",
        "h5py",
        "minari",
        "constriction",
        "sklearn",
        "datasets",
    )
    code = (
        f"import sys; sys.modules |= dict.fromkeys({missing!r}); from zeuxis.registry "
        "import models; print(len(models()));"
        "import zeuxis; zeuxis.load('mnist/dcgan').sample(1);"
        "print('torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, slow_imports = done.stdout.splitlines()
    assert int(count) == len(built_in())
    assert slow_imports == "False False", "a shipped model takes seconds longer to load"
