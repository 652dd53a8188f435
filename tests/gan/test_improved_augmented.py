"""Improved GAN with augmented images: augmentation, the consistency loss, and the switches."""

from __future__ import annotations

import pytest
import torch

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError
from zeuxis.gan.improved_augmented import ImprovedGANAugmented, ImprovedGANAugmentedConfig
from zeuxis.nn.augmentation import random_elastic
from zeuxis.noise import Noise
from zeuxis.training.loop import fit


def small(**changes: object) -> ImprovedGANAugmented:
    """A small model without any extension but `changes`."""
    return tiny.model("improved-gan-augmented", **{"elastic": 0.0, "consistency": 0.0, **changes})


def test_consistency_enters_with_its_weight() -> None:
    losses = []
    for weight in (0.0, 1.0, 3.0):
        model = small(elastic=0.5, consistency=weight).train()
        model.discriminator.last.length.data.mul_(80)
        losses.append(next(model.play(tiny.batch("improved-gan")))[1].item())
    assert losses[1] > losses[0] + 0.01
    assert losses[2] - losses[0] == pytest.approx(3 * (losses[1] - losses[0]), rel=1e-3)


def test_the_ema_weights_have_their_own_distance_scale(tmp_path) -> None:
    model, data = (
        small(generator="non-saturating", minibatch=5, distance_momentum=0.1),
        tiny.data_for("improved-gan"),
    )
    result = fit(
        model, data, Run.create(tmp_path, "x"), tiny.training(images=48, average=50), quiet=True
    )
    discriminator = result.model.discriminator
    layer, x = discriminator.minibatch, result.model.scale(data.batch_of(2_000))
    distances = [layer.distances(discriminator(part)[0]) for part in x.split(100)]
    nearest = torch.stack([d.sort(2).values[:, :, 1].mean(1) for d in distances]).mean(0)
    torch.testing.assert_close(nearest / layer.unit, torch.full((5,), 2.0), rtol=1e-4, atol=1e-4)


def test_only_confident_images_give_pseudo_labels() -> None:
    model = small(elastic=0.5, consistency=1.0).train()
    batch = tiny.batch("improved-gan")
    model.discriminator.last.length.data.mul_(80)
    p = model.discriminator(model.scale(batch.x))[1].softmax(1)
    confident = p.amax(1) >= 0.95
    assert 0 < confident.sum() < len(confident), "some are confident and some are not"
    logits = torch.randn(len(p), 10, requires_grad=True)
    loss = model.auxiliary_loss(batch, logits)
    expected = -(logits.log_softmax(1)[torch.arange(len(p)), p.argmax(1)] * confident).sum() / len(
        p
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert batch.logs["confident"].item() == pytest.approx(confident.float().mean().item())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert ((gradient != 0).any(1) == confident).all()


@pytest.mark.parametrize("unlabeled", [1.0, 0.0])
@pytest.mark.parametrize("reuse", [False, True])
def test_every_pass_augments_real_images_and_no_generated_ones(
    unlabeled: float, reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def watched(x: torch.Tensor, strength: float, noise: Noise) -> torch.Tensor:
        assert strength == 0.5
        seen.append((x, random_elastic(x, strength, noise)))
        return seen[-1][1]

    monkeypatch.setattr("zeuxis.gan.improved_augmented.random_elastic", watched)
    data = tiny.few(64, labeled=8)
    model = small(elastic=0.5, unlabeled=unlabeled, reuse=reuse)
    real = model.scale(data.all()).flatten(1)
    fit(model, data, training=tiny.training(images=16), quiet=True)
    parts = 1 if not unlabeled else 2 if reuse else 3
    assert len(seen) == parts, "labeled; unlabeled; those whose features are matched"
    for x, moved in seen:
        distances = (x.flatten(1)[:, None] - real).abs().amax(2)
        assert distances.amin(1).max() < 1e-3, "no generated image is augmented"
        assert (moved - x).abs().flatten(1).amax(1).min() > 0.01
    assert parts == 1 or not torch.equal(seen[0][1], seen[1][1])


def test_about_half_of_the_images_are_flipped() -> None:
    model = small(flip=True)
    x = torch.randint(256, (400, 1, 28, 28), dtype=torch.uint8)
    plain = model.scale(x)
    seen = model.augment(x, Noise(0, 0, slice(0, 400), 400))
    turned = (seen == plain.flip(3)).all(3).all(2).all(1)
    assert 150 < turned.sum() < 250
    assert torch.equal(seen[~turned], plain[~turned])


@pytest.mark.parametrize(
    "changes",
    [
        {"elastic": 0.5, "consistency": 1.0, "reuse": True},
        {"flip": True, "muon": True},
        {"generator": "non-saturating", "minibatch": 5, "distance_momentum": 0.1},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_every_switch_trains_and_samples(changes: dict) -> None:
    model = small(**changes)
    before = [p.detach().clone() for p in model.parameters()]
    fit(model, tiny.data_for("improved-gan"), training=tiny.training(images=48), quiet=True)
    pairs = zip(before, model.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in pairs)
    assert model.eval().sample(3).shape == (3, 1, 28, 28)


def test_without_extensions_it_is_the_paper_s_model() -> None:
    one, two = tiny.model("improved-gan"), small()
    for model in (one, two):
        fit(model, tiny.data_for("improved-gan"), training=tiny.training(images=48), quiet=True)
    theirs = two.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "spec", "sentence"),
    [
        (
            {"consistency": 1.0, "elastic": 0.5, "unlabeled": 0.0},
            Spec("x", (1, 28, 28), 10),
            "unlabeled 0",
        ),
        (
            {"consistency": 1.0, "elastic": 0.5, "supervised": False},
            Spec("x", (1, 28, 28), 10),
            "no labels",
        ),
        ({"consistency": 1.0}, Spec("x", (1, 28, 28), 10), "give --model.elastic"),
        ({"elastic": -1.0}, Spec("x", (1, 28, 28), 10), "elastic must be from 0 to 10"),
        ({"elastic": 1.0}, Spec("x", (784,), 10), "are for images"),
        ({"flip": True}, Spec("x", (784,), 10), "are for images"),
        ({"distance_momentum": 0.1}, Spec("x", (1, 28, 28), 10), "minibatch too"),
        ({"distance_momentum": 1.0, "minibatch": 5}, Spec("x", (1, 28, 28), 10), "below 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, spec: Spec, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ImprovedGANAugmented(ImprovedGANAugmentedConfig(**changes), spec)
