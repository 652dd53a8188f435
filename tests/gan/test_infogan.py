"""InfoGAN: the bound on information, who moves what, and the networks of the paper."""

from __future__ import annotations

import math

import pytest
import torch

import tiny
from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError
from zeuxis.gan.infogan import InfoGAN, InfoGANConfig
from zeuxis.gan.infogan_augmented import factorized
from zeuxis.nn.augmentation import random_elastic
from zeuxis.noise import Noise
from zeuxis.training.loop import fit


def information(model: InfoGAN, reading: torch.Tensor, z: torch.Tensor) -> dict[str, float]:
    batch = tiny.batch("infogan")
    model.information(reading, z, batch)
    return {key: value.item() for key, value in batch.logs.items()}


def test_a_blind_reader_knows_nothing_and_a_perfect_one_the_entropy() -> None:
    model = tiny.model("infogan")
    z = model.prior(1000, generator=torch.Generator().manual_seed(0))
    blind = information(model, torch.zeros(1000, 14), z)
    assert blind["information on category"] == pytest.approx(0, abs=1e-5)
    perfect = torch.zeros(1000, 14)
    perfect[:, :10], perfect[:, 10], perfect[:, 12] = 50 * z[:, 6:16], z[:, 16], z[:, 17]
    found = information(model, perfect, z)
    assert found["information on category"] == pytest.approx(math.log(10), abs=1e-5)
    assert found["information on continuous 1"] == pytest.approx(
        math.log(2) - 0.5 * math.log(2 * math.pi), abs=1e-5
    )


def test_a_learned_deviation_gives_the_gaussian_bound() -> None:
    model = tiny.model("infogan", categorical=(), continuous=1, std="learned")
    z = torch.zeros(2000, 7)
    z[:, 6] = torch.rand(2000) * 2 - 1
    sigma = 0.1
    reading = torch.stack(
        [z[:, 6] + sigma * torch.randn(2000), torch.full((2000,), 2 * math.log(sigma))], 1
    )
    found = information(model, reading, z)["information on continuous 1"]
    assert found == pytest.approx(
        math.log(2) - 0.5 * math.log(2 * math.pi * math.e * sigma**2), abs=0.05
    )
    sure = torch.stack([z[:, 6], torch.full((2000,), -100.0)], 1)
    assert information(model, sure, z)["information on continuous 1"] < 3.0, (
        "certainty must be bounded"
    )


def test_information_reaches_the_generator_and_the_shared_layers() -> None:
    model = tiny.model("infogan").train()
    z = model.prior(16)
    loss = model.information(model.discriminator.both(model.generator(z))[1], z)
    loss.backward()
    for name, p in model.named_parameters():
        if name.startswith("discriminator.last"):
            assert p.grad is None
        else:
            assert p.grad is not None, name
            assert p.grad.abs().sum() > 0, name


def test_both_players_maximize_the_weighted_information() -> None:
    """The turn's loss by itself is the adversarial one; each code's bound is taken off with its
    weight."""
    turns: dict[tuple[float, float], list[float]] = {}
    for weights in ((0.0, 0.0), (0.7, 0.0), (0.0, 0.3)):
        model = tiny.model("infogan", info=weights[0], info_continuous=weights[1]).train()
        batch = tiny.batch("infogan")
        turns[weights] = [loss.item() for _, loss in model.play(batch)]
        bounds = {
            name: value.item()
            for name, value in batch.logs.items()
            if name.startswith("information")
        }
    category = bounds["information on category"]
    numbers = bounds["information on continuous 1"] + bounds["information on continuous 2"]
    plain, on_category, on_numbers = turns.values()
    assert plain[0] - on_category[0] == pytest.approx(0.7 * category, abs=1e-5)
    assert plain[0] - on_numbers[0] == pytest.approx(0.3 * numbers, abs=1e-5)
    # The generator's turn draws other codes, and Q has not moved here: as many nats, about.
    assert abs(plain[1] - on_category[1] - 0.7 * category) < 0.02 and plain[1] != on_category[1]
    assert abs(plain[1] - on_numbers[1] - 0.3 * numbers) < 0.2 and plain[1] != on_numbers[1]


def test_the_reader_learns_in_the_discriminators_turn() -> None:
    model, found = tiny.model("infogan").train(), []
    optimizer = torch.optim.SGD(model.discriminator.read.parameters(), 0.1)
    for _ in range(6):  # on the same images and codes
        optimizer.zero_grad()
        batch = tiny.batch("infogan")
        player, loss = next(model.play(batch))
        assert player == "discriminator"
        loss.backward()
        optimizer.step()
        found.append(
            sum(
                value.item() for name, value in batch.logs.items() if name.startswith("information")
            )
        )
    assert found == sorted(found) and found[-1] > found[0], "Q reads no better"


def test_the_control_leaves_the_generator_uninformed() -> None:
    losses = {}
    for inform in (True, False):
        torch.manual_seed(0)
        model = tiny.model("infogan", inform_generator=inform).train()
        losses[inform] = [loss.item() for _, loss in model.play(tiny.batch("infogan"))]
    assert losses[True][0] == losses[False][0]
    assert losses[True][1] != losses[False][1]
    assert losses[False][1] == pytest.approx(math.log(2), abs=0.3), "the adversarial loss alone"


def test_moving_by_nothing_leaves_an_image_and_moving_keeps_its_ink_about_the_middle() -> None:
    x = torch.zeros(64, 1, 28, 28)
    x[:, :, 10:18, 12:16] = 1
    assert torch.allclose(random_elastic(x, 0.0, Noise(0, 0, slice(0, 64), 64)), x, atol=1e-5)
    moved = random_elastic(x, 1.0, Noise(0, 0, slice(0, 64), 64))
    assert (moved - x).abs().flatten(1).amax(1).min() > 0.2, "each of them moved"
    assert moved.flatten(1).std(0).sum() > 1, "each by other numbers"
    assert moved.mean().item() == pytest.approx(x.mean().item(), rel=0.25), (
        "bigger as often as smaller"
    )
    assert moved[:, :, [0, -1]].abs().max() < 0.01, "what is in the middle does not reach the rim"


def test_categories_alone_are_read_from_moved_images() -> None:
    still, moving = tiny.model("infogan").eval(), tiny.model("infogan-augmented").eval()
    batch = tiny.batch("infogan")
    fake = still.scale(batch.x)
    plain, moved = still.read(fake, batch), moving.read(fake, tiny.batch("infogan"))
    assert torch.equal(plain[0], moved[0])
    assert torch.equal(plain[1][:, 10:], moved[1][:, 10:])
    assert torch.equal(
        moved[1][:, :10],
        moving.discriminator.both(random_elastic(fake, 1.0, tiny.batch("infogan").noise))[1][
            :, :10
        ],
    )
    assert not torch.allclose(plain[1][:, :10], moved[1][:, :10], rtol=1e-3, atol=0)


def test_what_is_read_from_moved_images_teaches_the_generator() -> None:
    model = tiny.model("infogan-augmented").train()
    batch = tiny.batch("infogan")
    _, reading = model.read(model.generator(model.prior(len(batch.x))), batch)
    reading[:, :10].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.generator.parameters())


def test_codes_follow_their_priors() -> None:
    model = tiny.model("infogan", categorical=(3, 5), continuous=2)
    z = model.prior(5000, generator=torch.Generator().manual_seed(0))
    assert [(c.name, c.start, c.size) for c in model.codes()] == [
        ("category 1", 6, 3),
        ("category 2", 9, 5),
        ("continuous 1", 14, 1),
        ("continuous 2", 15, 1),
    ]
    for start, size in ((6, 3), (9, 5)):
        one_hot = z[:, start : start + size]
        assert torch.equal(one_hot.sum(1), torch.ones(5000))
        assert (one_hot.mean(0) - 1 / size).abs().max() < 0.03
    for column in (0, 14, 15):
        assert z[:, column].min() >= -1
        assert z[:, column].max() <= 1
        assert abs(z[:, column].var().item() - 1 / 3) < 0.02
    batch = tiny.batch("infogan")
    drawn = model.draw(batch)
    assert drawn.shape == (16, 16)
    assert torch.equal(drawn[:, 6:9].sum(1), torch.ones(16))


def sizes(shape: tuple[int, ...], **changes: object) -> dict[str, float]:
    with torch.device("meta"):
        model = InfoGAN(InfoGANConfig(**changes), Spec("x", shape))
    return {
        name: round(sum(p.numel() for p in player.module.parameters()) / 1e6, 2)
        for name, player in model.players().items()
    }


def test_full_sizes_are_the_papers() -> None:
    assert sizes((1, 28, 28)) == {"generator": 6.65, "discriminator": 6.69}
    assert sizes((3, 32, 32), noise_dim=124, categorical=(10,) * 4, continuous=4) == {
        "generator": 2.8,
        "discriminator": 1.19,
    }
    assert sizes((3, 32, 32), noise_dim=128, categorical=(10,) * 10, continuous=0) == {
        "generator": 2.91,
        "discriminator": 1.2,
    }
    assert sizes((1, 32, 32), noise_dim=128, categorical=(), continuous=5) == {
        "generator": 8.68,
        "discriminator": 8.54,
    }
    chairs = sizes((3, 64, 64), noise_dim=128, categorical=(20,) * 3, continuous=1)
    assert chairs["generator"] == pytest.approx(19.8, abs=0.2)
    assert chairs["discriminator"] == pytest.approx(19.6, abs=0.2)


@pytest.mark.parametrize(
    ("changes", "inputs", "outputs"),
    [
        ({}, 74, 14),
        ({"noise_dim": 124, "categorical": (10,) * 4, "continuous": 4}, 168, 48),
        ({"noise_dim": 128, "categorical": (10,) * 10, "continuous": 0}, 228, 100),
        ({"noise_dim": 128, "categorical": (), "continuous": 5}, 133, 10),
        ({"noise_dim": 128, "categorical": (20,) * 3, "continuous": 1}, 189, 62),
    ],
)
def test_codes_have_the_papers_length(changes: dict, inputs: int, outputs: int) -> None:
    with torch.device("meta"):
        model = InfoGAN(InfoGANConfig(width=0.05, **changes), Spec("x", (1, 28, 28)))
    assert model.generator.dense[0].in_features == inputs
    assert model.discriminator.read.out_features == outputs


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 64, 64)])
def test_every_layout_trains_and_samples(shape: tuple[int, ...]) -> None:
    x = torch.randint(0, 256, (32, *shape), dtype=torch.uint8)
    data = Dataset(Spec("tiny", shape), x)
    model = build(
        "infogan",
        InfoGANConfig(width=0.03, noise_dim=4, categorical=(3,), continuous=1, std="learned"),
        data.spec,
    )
    fit(model, data, training=tiny.training(images=32), quiet=True)
    model.eval().update_statistics(x)
    assert isinstance(model, InfoGAN)
    assert model.sample(3).shape == (3, *shape)
    category, number = model.infer(x)
    torch.testing.assert_close(category.sum(1), torch.ones(32))
    assert number.shape == (32, 1)


def test_it_learns_a_code_for_what_images_differ_in() -> None:
    """Two kinds of images, bright on the left or on the right: the category of two must tell them
    without a label."""
    kind = torch.arange(256) % 2
    x = torch.zeros(256, 1, 28, 28, dtype=torch.uint8)
    x[kind == 0, :, :, :14] = 200
    x[kind == 1, :, :, 14:] = 200
    data = Dataset(Spec("halves", (1, 28, 28)), x)
    model = build(
        "infogan",
        InfoGANConfig(
            width=0.1, noise_dim=4, categorical=(2,), continuous=0, generator_lr=2e-3, lr=1e-3
        ),
        data.spec,
    )
    fit(model, data, training=tiny.training(images=32 * 75, batch=32, average=200), quiet=True)
    model.eval().update_statistics(x)
    assert isinstance(model, InfoGAN)
    guess = model.infer(x)[0].argmax(1)
    agreement = (guess == kind).float().mean().item()
    assert max(agreement, 1 - agreement) > 0.95


@pytest.mark.parametrize(
    ("changes", "shape", "sentence"),
    [
        ({}, (1, 20, 20), "choose --size"),
        ({"architecture": "chairs"}, (1, 28, 28), "choose --size"),
        ({"categorical": (1,)}, (1, 28, 28), "each at least 2"),
        ({"categorical": (), "continuous": 0}, (1, 28, 28), "needs a code"),
        ({"width": 0.0}, (1, 28, 28), "above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    changes: dict, shape: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        InfoGAN(InfoGANConfig(**changes), Spec("x", shape))


def test_a_factorized_copy_of_full_rank_is_the_model_and_one_of_lower_rank_is_smaller() -> None:
    torch.manual_seed(0)
    model = tiny.model("infogan", width=0.1).eval()
    for layer in (model.generator.dense[1], model.discriminator.dense[0]):
        rows, columns = layer.weight.shape
        layer.weight.data = torch.randn(rows, 20) @ torch.randn(20, columns) * 0.02
    x = tiny.images(200).all()
    model.update_statistics(x)
    z = model.prior(20, generator=torch.Generator().manual_seed(1))
    whole, small = factorized(model, 20, x), factorized(model, 3, x)
    assert isinstance(whole.generator.dense[1], torch.nn.Sequential)
    assert (whole.decode(z).float() - model.decode(z).float()).abs().max() <= 1
    torch.testing.assert_close(whole.infer(x)[0], model.infer(x)[0], atol=1e-3, rtol=1e-3)
    count = [sum(p.numel() for p in m.parameters()) for m in (model, whole, small)]
    assert count[2] < 0.3 * count[0]
    assert small.sample(2).shape == (2, 1, 28, 28)
