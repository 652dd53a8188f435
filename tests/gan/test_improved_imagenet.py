"""The 128-pixel networks of Improved GAN: their size, what sees which image, and the losses' least
values."""

from __future__ import annotations

import pytest
import torch

import tiny
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError
from zeuxis.gan.improved_imagenet import ImprovedGAN128, ImprovedGAN128Config, divergence
from zeuxis.gan.improved_imagenet_nets import Closeness, CrossBatchNorm
from zeuxis.recipes import recipes


def test_the_full_networks_have_the_authors_number_of_weights() -> None:
    with torch.device("meta"):
        model = ImprovedGAN128(
            recipes()["improved-gan-128/imagenet"].config, Spec("imagenet", (3, 128, 128), 1000)
        )
    count = {
        name: sum(p.numel() for p in player.module.parameters()) / 1e6
        for name, player in model.players().items()
    }
    assert count["generator"] == pytest.approx(72.3, abs=0.05)
    assert count["discriminator"] == pytest.approx(67.7, abs=0.1)  # less biases without effect
    assert model.discriminator.last.out_features == 1001


@pytest.mark.parametrize("shape", [(12, 6), (12, 6, 5, 5)])
def test_halves_of_the_features_are_normalized_by_real_and_by_generated_examples(
    shape: tuple[int, ...],
) -> None:
    torch.manual_seed(0)
    x, real = torch.randn(shape) * 3 + 2, 8
    norm = CrossBatchNorm(6).train()
    torch.nn.init.ones_(norm.gain)
    y = norm(x, real)
    axes = [0, *range(2, x.ndim)]
    for part in (y[:real, :3], y[real:, 3:]):
        torch.testing.assert_close(part.mean(axes), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(part.var(axes, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    moved = x.clone()
    moved[real:, :3] += 5
    torch.testing.assert_close(norm(moved, real)[:real], y[:real])
    norm.keep = True
    norm(x, real)
    norm.keep = False
    torch.testing.assert_close(norm.eval()(x, real), y)


def test_closeness_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    layer, f, real = Closeness(5, kernels=3, dimensions=2), torch.randn(7, 5), 4
    found = layer(f, real)
    m = layer.project(f).view(7, 3, 2)
    for i in range(7):
        for b in range(3):
            for group, column, count in (((0, 4), b, 4), ((4, 7), 3 + b, 3)):
                near = sum(
                    (-(m[i, b] - m[j, b]).abs().sum()).exp() for j in range(*group) if j != i
                )
                assert found[i, column].item() == pytest.approx(
                    near.item() / (2 * count**2 - count), rel=1e-5
                )


def test_losses_are_least_at_their_targets() -> None:
    for target in (0.75, 0.375):
        best = torch.tensor([target]).logit()
        assert divergence(best, target).item() == pytest.approx(0, abs=1e-6)
        assert divergence(best + 0.5, target).item() > 0.01
    assert divergence(torch.tensor([-30.0]), 0.0).item() == pytest.approx(0, abs=1e-6)


def test_every_image_gets_other_noise_but_codes_fix_an_image() -> None:
    model = tiny.model("improved-gan-128").eval()
    z = model.prior(1, generator=torch.Generator().manual_seed(0))
    twice = model.decode(torch.cat([z, z]))
    assert torch.equal(twice[0], twice[1])
    model.prior = lambda n, generator=None: z.expand(n, -1)  # type: ignore[method-assign]
    a, b = model.sample(2, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(a, b)


def test_labels_add_the_cross_entropy_of_the_labeled_images_alone() -> None:
    def first_loss(y: torch.Tensor | None) -> float:
        model, batch = tiny.model("improved-gan-128").train(), tiny.batch("improved-gan-128", 4)
        batch.y = y
        return next(model.play(batch))[1].item()

    none, unknown = first_loss(None), first_loss(torch.full((4,), -1))
    one, four = first_loss(torch.tensor([3, -1, -1, -1])), first_loss(torch.full((4,), 3))
    assert unknown == pytest.approx(none)
    assert one - none == pytest.approx(
        torch.tensor(11.0).log().item(), abs=0.5
    )  # eleven logits, not trained yet
    assert four - none == pytest.approx(torch.tensor(11.0).log().item(), abs=0.5)


@pytest.mark.parametrize(
    ("changes", "shape", "sentence"),
    [
        ({}, (3, 64, 64), "--size 128"),
        ({"smoothing": 0.4}, (3, 128, 128), "--model.smoothing"),
        ({"virtual": 0}, (3, 128, 128), "virtual must be at least 1"),
        ({"width": 0.0}, (3, 128, 128), "width must be above 0"),
    ],
)
def test_wrong_settings_are_refused(changes: dict, shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ImprovedGAN128(ImprovedGAN128Config(**changes), Spec("odd", shape, 10))
