"""denoise, inpaint and super_resolve: any size, gray and color, what is known comes back."""

from __future__ import annotations

import sys

import pytest
import torch

import tiny
import zeuxis
from linear_gaussian import LinearGaussian
from zeuxis.applications.restoration.any_size import in_tiles
from zeuxis.applications.restoration.benchmark import Degradation, benchmark
from zeuxis.applications.restoration.gaussian import posterior_mean
from zeuxis.applications.restoration.operators import Average, Identity, Mask
from zeuxis.applications.restoration.restore import METHODS, choose
from zeuxis.applications.restoration.tiles import Tiling
from zeuxis.errors import MissingCapability, UsageError


def pixels(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("size", [(4, 4), (9, 7), (3, 2), (4, 11)])
def test_joined_tiles_are_the_image(size: tuple[int, int]) -> None:
    tiling, x = Tiling(*size, (4, 4)), pixels(2, 3, *size).float()
    tiles = tiling.cut(x)
    assert tiles.shape[1:] == (3, 4, 4) and len(tiles) == 2 * len(tiling.corners())
    torch.testing.assert_close(tiling.join(tiles[None].repeat(5, 1, 1, 1, 1))[3], x)


SHAPES = [(1, 1, 4, 4), (2, 1, 7, 5), (1, 3, 4, 6), (1, 1, 3, 2)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_any_size_and_kind(shape: tuple[int, ...], channels: int) -> None:
    model, x = LinearGaussian((channels, 4, 4)), pixels(*shape)
    visible = torch.rand(shape[2:], generator=torch.Generator().manual_seed(1)) > 0.4
    visible[0, 0], visible[-1, -1] = True, False
    noisy = zeuxis.denoise(model, x, 25.0, n=3)
    filled = zeuxis.inpaint(model, x, visible, n=3)
    assert noisy.samples.shape == filled.samples.shape == (3, *shape)
    assert noisy.method == filled.method == "latent"
    for image in (*filled.samples, filled.mean):
        assert torch.equal(image[..., visible], x[..., visible])
    other = torch.where(visible, x, 255 - x)
    assert torch.equal(zeuxis.inpaint(model, other, visible, n=3).mean, filled.mean), "no leak"
    large = zeuxis.super_resolve(model, x, 2, n=3)
    assert large.samples.shape == (3, *shape[:2], 2 * shape[2], 2 * shape[3])
    for image in (*large.samples, large.mean):
        assert torch.equal(Average(2).forward(image.double()), x.double())
    again = zeuxis.denoise(model, x, 25.0, n=3)
    assert torch.equal(again.samples, noisy.samples)
    assert not torch.equal(zeuxis.denoise(model, x, 25.0, n=3, seed=1).samples, noisy.samples)


def test_only_tiles_with_hidden_pixels_are_restored() -> None:
    """A scratch in a photograph is a few tiles of it."""
    x, visible = pixels(2, 1, 24, 24), torch.ones(24, 24, dtype=torch.bool)
    seen = []

    def count(
        model: object, y: torch.Tensor, operator: Mask, sigma: float, *, n: int, generator: object
    ) -> torch.Tensor:
        assert (~operator.visible.flatten(1).all(1)).all()
        seen.append(len(y))
        return torch.full((n, *y.shape), 7.0)

    model = LinearGaussian()
    known = in_tiles(model, x.float(), Mask(visible), 0.0, 3, count, 0)
    assert torch.equal(known, x.expand(3, -1, -1, -1, -1)) and not seen
    visible[5, 5] = False  # in four tiles of each image
    filled = in_tiles(model, x.float(), Mask(visible), 0.0, 3, count, 0)
    assert sum(seen) == 2 * 4 and (filled[..., 5, 5] == 7).all()


def test_a_gray_image_and_its_copy_in_color_are_denoised_alike() -> None:
    model, x = LinearGaussian((3, 4, 4)), pixels(3, 1, 4, 4).float() / 2 + 64
    y = x + 30 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    # Three measurements that are each as much worse say together as much as one.
    color = y.expand(3, 3, 4, 4)
    expected = posterior_mean(model.gaussian(), color, Identity(), 3**0.5 * 30).mean(1).flatten(1)
    restored = zeuxis.denoise(model, y, 30.0, n=300).mean.float().flatten(1)
    assert (restored - expected).abs().mean() < 1.5 < (y.flatten(1) - expected).abs().mean()


def test_everything_visible_comes_back_and_nothing_visible_is_a_sample() -> None:
    model, x = LinearGaussian(), pixels(2, 1, 4, 4)
    assert torch.equal(zeuxis.inpaint(model, x, torch.ones(4, 4).bool()).mean, x)
    drawn = zeuxis.inpaint(model, x, torch.zeros(4, 4).bool(), n=1000).samples.float()
    prior = model.render(model.prior(20_000, generator=torch.Generator().manual_seed(0)))
    prior = prior.clamp(0, 255)
    error = (drawn[:, 0].mean(0) - prior.mean(0)).abs() / prior.std(0)
    assert error.max() < 0.15
    ratio = drawn[:, 0].std(0) / prior.std(0)
    assert ratio.min() > 0.85 and ratio.max() < 1.15


def test_methods_are_chosen_by_capability() -> None:
    assert choose(tiny.model("vae"), "inpaint")[0] == "latent"
    assert choose(tiny.model("vae"), "inpaint", "metropolis")[0] == "metropolis"
    assert choose(tiny.model("dcgan"), "denoise")[0] == "inversion"
    assert choose(None, "denoise", "classical")[0] == "classical"
    with pytest.raises(
        MissingCapability, match="'classifier' cannot denoise images; models that can: .*dcgan.*vae"
    ):
        choose(tiny.model("classifier"), "denoise")
    with pytest.raises(
        MissingCapability,
        match="'dcgan' cannot inpaint images by the method "
        "'metropolis'; models that can: iaf-vae, vae",
    ):
        choose(tiny.model("dcgan"), "inpaint", "metropolis")
    with pytest.raises(UsageError, match="no method 'magic' to denoise images: give one of auto, "):
        choose(tiny.model("vae"), "denoise", "magic")
    with pytest.raises(UsageError, match="no method 'metropolis' to denoise"):
        choose(tiny.model("vae"), "denoise", "metropolis")
    assert all(method.tasks for method in METHODS.values())


def test_wrong_arguments_get_one_sentence() -> None:
    model, x = LinearGaussian(), pixels(2, 1, 4, 4)
    with pytest.raises(UsageError, match=r"mask has shape \(4, 5\), expected \(4, 4\)"):
        zeuxis.inpaint(model, x, torch.ones(4, 5, dtype=torch.bool))
    for sigma in (0.0, -1.0, 300.0):
        with pytest.raises(UsageError, match="denoise: sigma must be"):
            zeuxis.denoise(model, x, sigma)
    with pytest.raises(UsageError, match="factor is 3, and does not divide the model's 4 x 4"):
        zeuxis.super_resolve(model, x, 3)
    with pytest.raises(UsageError, match="factor must be from 2 to 64"):
        zeuxis.super_resolve(model, x, 1)
    with pytest.raises(UsageError, match="uint8 or float32"):
        zeuxis.denoise(model, x.double(), 25.0)
    with pytest.raises(UsageError, match="2 channels and the model's have 1"):
        zeuxis.denoise(model, pixels(1, 2, 4, 4), 25.0)


def test_a_baseline_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    data = tiny.images(8)
    model = tiny.model("flow-matching").eval()
    figures = benchmark([model], data, data, Degradation("denoise", 25.0), n=1)
    assert "classical" not in figures and "Gaussian prior" in figures
    said = capsys.readouterr().err
    assert "Left out: classical." in said and "zeuxis[restore]" in said
