"""Reconstructions, ways between images, and edits: what they must equal, and what an edit does to
what is measured of an image."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import autoencoder
import tiny
from zeuxis.applications.attributes import measure_directions
from zeuxis.applications.directions import Directions, save_directions
from zeuxis.applications.edit import edit, parse_amounts
from zeuxis.applications.interpolate import great_circle, has_normal_prior, interpolate
from zeuxis.applications.reconstruct import (
    encode_dataset,
    encode_images,
    image_autoencoder,
    interpolate_images,
    measure_fidelity,
    pair_sheet,
    panel_sheet,
    squared_errors,
)
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.data.attributes import Attributes
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.evaluation.disentanglement import slant_and_width
from zeuxis.evaluation.features.feature_network import weights_hash

TOP = Directions(
    ("top", "low"),
    ("binary", "number"),
    torch.tensor([[0.4, 0.0], [0.0, -0.4]]),
    (1.0, 1.0),
    ((3, 3), (6, 0)),
    (1.0, 1.0),
)


def halves(n: int = 12) -> Tensor:
    return torch.randint(
        60, 196, (n, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@given(top=st.floats(-3, 3), low=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_an_edit_moves_the_code_and_nothing_else(top: float, low: float) -> None:
    model, x = autoencoder.Halves(), halves()
    found = edit(model, x, TOP, {"top": top, "low": low})
    assert torch.equal(found.original, x) and torch.equal(
        found.reconstruction, model.decode(model.encode(x))
    )
    expected = model.decode(model.encode(x) + torch.tensor([0.4 * top, -0.4 * low]))
    assert (
        found.edited.int() - expected.int()
    ).abs().max() <= 1  # a rounding, where a step is no binary number


def test_detail_is_kept_and_clipped() -> None:
    model, x = autoencoder.Halves(), halves()
    assert torch.equal(edit(model, x, TOP, {"top": 0.0}, keep_detail=True).edited, x)
    plain, kept = (edit(model, x, TOP, {"top": 1.0}, keep_detail=keep) for keep in (False, True))
    assert torch.equal(
        kept.edited.int(), (x.int() + plain.edited.int() - plain.reconstruction.int()).clamp(0, 255)
    )
    assert torch.equal(kept.edited[:, :, 2:], x[:, :, 2:]) and not torch.equal(
        plain.edited[:, :, 2:], x[:, :, 2:]
    )
    assert (
        edit(model, x, TOP, {"top": 50.0}, keep_detail=True).edited[:, :, :2] > x[:, :, :2]
    ).all()


def moved(
    names: tuple[str, ...], values: Tensor, steps: list[float], of: Callable[[Tensor], Tensor]
) -> list[float]:
    """The mean of what is measured of digits, after some steps along the first attribute."""
    model, data = autoencoder.digits()
    found = measure_directions(
        encode_dataset(model, data), Attributes(names, ("number",) * len(names), values)
    )
    x = data.batch_of(200)
    return [
        of(edit(model, x, found, {names[0]: step}).edited).double().mean().item() for step in steps
    ]


def test_an_edit_moves_what_is_measured_of_the_image() -> None:
    """Ink and slant are read from the edited pixels, by no part of the model; a step is one
    standard deviation of the digits."""
    x = autoencoder.digits()[1].all()
    ink = lambda images: images.double().mean((1, 2, 3)) / 255  # noqa: E731
    slant = lambda images: slant_and_width(images)[:, 0]  # noqa: E731
    for name, of in (("ink", ink), ("slant", slant)):
        values = of(x)[:, None]
        found = moved((name,), values, [-2.0, -1.0, 0.0, 1.0, 2.0], of)
        rises = [(b - a) / values.std().item() for a, b in pairwise(found)]
        assert min(rises) > 0.15, name
        assert 0.4 < sum(rises) / 4 < 1.6, name


def test_a_reconstruction_is_measured_as_by_hand() -> None:
    model, x = autoencoder.Halves(), halves(700)  # more than one batch
    found = measure_fidelity(model, Dataset(model.spec, x))
    pixels, again = x.double() / 255, model.decode(model.encode(x)).double() / 255
    assert found.images == 700
    assert found.error == pytest.approx((pixels - again).square().mean().item())
    assert found.error == pytest.approx(
        squared_errors(x, model.decode(model.encode(x))).mean().item()
    )
    assert found.explained == pytest.approx(
        1 - ((pixels - again).square().mean() / (pixels - pixels.mean(0)).square().mean()).item()
    )
    assert "of the variance explained" in str(found)
    same = measure_fidelity(model, Dataset(model.spec, x[:1].repeat(3, 1, 1, 1)))
    assert "variance" not in str(same)
    model.encode = lambda x: torch.zeros(len(x), 2) + (pixels.mean() * 2 - 1)
    assert abs(measure_fidelity(model, Dataset(model.spec, x)).explained) < 0.01
    assert torch.equal(
        encode_dataset(autoencoder.Halves(), Dataset(model.spec, x)), autoencoder.Halves().encode(x)
    )
    with pytest.raises(UsageError, match="at least one"):
        measure_fidelity(model, Dataset(model.spec, x[:0]))


def test_a_way_begins_and_ends_with_reconstructions() -> None:
    model, x = autoencoder.Halves(), halves(3)
    way = interpolate_images(model, x, 5)
    assert len(way) == 11 and len(interpolate_images(model, x, 5, closed=True)) == 15
    assert torch.equal(way[::5], model.decode(model.encode(x)))
    assert not has_normal_prior(model) and torch.equal(
        way, model.decode(interpolate(model.encode(x), 5))
    )
    model.config = type("Normal", (), {})
    assert has_normal_prior(model) and torch.equal(
        interpolate_images(model, x, 5), model.decode(interpolate(model.encode(x), 5, circle=True))
    )
    with pytest.raises(UsageError, match="at least 2 images"):
        interpolate_images(model, x[:1], 5)


def test_a_great_circle_from_the_origin_is_straight() -> None:
    b = torch.tensor([3.0, 4.0])
    assert torch.allclose(great_circle(torch.zeros(2), b, 0.5), b / 2) and torch.allclose(
        great_circle(b, torch.zeros(2), 0.25), b * 0.75
    )


def test_pairs_stand_above_each_other_and_columns_in_line() -> None:
    x, y = (
        torch.full((5, 1, 4, 4), 200, dtype=torch.uint8),
        torch.full((5, 1, 4, 4), 100, dtype=torch.uint8),
    )
    x[3], y[3] = 210, 110
    picture = pair_sheet(x, y, columns=3)
    factor = (picture.height - 22) // 21

    def at(column, row):
        return picture.getpixel(((1 + column * 5) * factor + 1, 22 + (1 + row * 5) * factor + 1))[0]

    assert [[at(c, r) for c in range(3)] for r in range(4)] == [
        [200] * 3,
        [100] * 3,
        [210, 200, 32],
        [110, 100, 32],
    ]
    sheet = panel_sheet([("a", x[:2, None]), ("b", torch.stack([y[:2], y[3:]], 1))], side=40)
    assert sheet.height == 22 + 11 * 10
    panel = 6 * 10 + 8
    assert [
        sheet.getpixel((panel + 15 + 50 * i, 22 + 15 + 50 * j))[0] for j in (0, 1) for i in (0, 1)
    ] == [100, 110, 100, 100]


def test_codes_that_are_no_numbers_are_refused() -> None:
    model = autoencoder.Halves()
    model.encode = lambda x: torch.full((len(x), 2), torch.nan)  # type: ignore[method-assign]
    with pytest.raises(ZeuxisError, match="diverged"):
        encode_images(model, halves())


def test_steps_are_read_from_words() -> None:
    assert parse_amounts(["smiling=+2", "big nose=-0.5", "a=b=1"]) == {
        "smiling": 2.0,
        "big nose": -0.5,
        "a=b": 1.0,
    }
    for word in ("smiling", "smiling=", "=2", "smiling=much", "smiling=nan", "smiling=inf"):
        with pytest.raises(UsageError, match="as in --attribute smiling=\\+2"):
            parse_amounts([word])
    with pytest.raises(UsageError, match="given twice"):
        parse_amounts(["smiling=1", "smiling=2"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained VAE that knows attributes, one that does not, and images."""
    at = tmp_path_factory.mktemp("place")
    model, data = autoencoder.digits()
    ink = data.all().double().mean((1, 2, 3))[:, None]
    save(model, at / "run")
    known = Attributes(
        ("ink", "thin stroke"),
        ("number", "binary"),
        torch.cat([ink, (ink < ink.median()).double()], 1),
    )
    found = measure_directions(encode_dataset(model, data), known, weights=weights_hash(model))
    save_directions(found, at / "run" / "attributes.safetensors")
    save(tiny.model("vae"), at / "other")
    save_directions(found, at / "other" / "attributes.safetensors")
    save(tiny.model("vae", 1), at / "bare")
    (at / "images").mkdir()
    for i, one in enumerate(data.batch_of(3)):
        Image.fromarray(one[0].numpy()).save(at / "images" / f"{i}.png")
    Image.new("RGB", (90, 60), (250, 250, 250)).save(at / "photo.jpg")
    (at / "broken.png").write_bytes(b"no image")
    return at


def test_the_command_edits_images(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = autoencoder.digits()
    run, images = str(place / "run"), str(place / "images")
    assert (
        main(
            [
                "edit",
                run,
                images,
                "--attribute",
                "ink=+2",
                "--attribute",
                "thin stroke=-1",
                "--out",
                str(tmp_path / "sheet.png"),
            ]
        )
        == 0
    )
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 3 * 96 and sheet.width > 3 * 96
    assert (
        main(
            [
                "edit",
                run,
                f"{images}/1.png",
                "--attribute",
                "ink=2",
                "--plain",
                "--out",
                str(tmp_path / "one.png"),
            ]
        )
        == 0
    )
    with Image.open(tmp_path / "one.png") as one:
        assert one.size == (28, 28) and one.mode == "L"
        edited = torch.tensor(list(one.tobytes())).view(28, 28)
    before = model.decode(model.encode(data.batch_of(2)[1:]))
    assert edited.float().mean() > before.float().mean() + 5
    folder = tmp_path / "edited"
    assert (
        main(
            [
                "edit",
                run,
                images,
                f"{images}/1.png",
                "--attribute",
                "ink=0",
                "--keep-detail",
                "--plain",
                "--out",
                f"{folder}/",
            ]
        )
        == 0
    )
    assert sorted(p.name for p in folder.iterdir()) == [
        "000-0.png",
        "001-1.png",
        "002-2.png",
        "003-1.png",
    ]
    assert (folder / "001-1.png").read_bytes() == (folder / "003-1.png").read_bytes()
    with Image.open(folder / "002-2.png") as kept:
        assert torch.equal(
            torch.tensor(list(kept.tobytes())).view(28, 28), data.batch_of(3)[2, 0].int()
        )
    assert (
        main(
            [
                "edit",
                run,
                str(place / "photo.jpg"),
                "--invert",
                "--attribute",
                "ink=1",
                "--out",
                str(tmp_path / "photo.png"),
            ]
        )
        == 0
    )
    capsys.readouterr()


def test_the_commands_reconstruct_and_interpolate(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, images = str(place / "run"), str(place / "images")
    assert main(["reconstruct", run, "--n", "500", "--out", str(tmp_path / "r.png")]) == 0
    said = capsys.readouterr().out
    model, data = autoencoder.digits()
    assert "mnist, 500 of 10,000 test images: mean squared error 0.0" in said
    assert 30 < float(said.split("levels), ")[1].split("%")[0]) < 95
    assert main(["reconstruct", run, images, "--out", str(tmp_path / "r2.png")]) == 0
    said = capsys.readouterr().out
    errors = squared_errors(data.batch_of(3), model.decode(model.encode(data.batch_of(3))))
    assert (
        f"1.png: mean squared error {errors[1].item():.5f}" in said
        and f"mean of 3 images: {errors.mean().item():.5f}" in said
    )
    assert (
        main(["interpolate", run, images, "--steps", "4", "--out", str(tmp_path / "way.png")]) == 0
    )
    with Image.open(tmp_path / "way.png") as sheet:
        assert sheet.width > 7 * 64 and sheet.height > 2 * 64
    assert (
        main(["interpolate", run, images, "--steps", "3", "--out", str(tmp_path / "way.webp")]) == 0
    )
    with Image.open(tmp_path / "way.webp") as film:
        assert getattr(film, "n_frames", 1) == 9 and film.width >= 256


@pytest.mark.slow
def test_any_model_with_an_encoder_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    able = [
        name
        for name in tiny.NAMES
        if hasattr(tiny.models()[name], "encode") and hasattr(tiny.models()[name], "decode")
    ]
    assert "vae" in able
    for name in able:
        run = str(save(tiny.model(name).eval(), tmp_path / name))
        more = ["--data", "mnist", "--n", "200", "--out", str(tmp_path / "x.png")]
        assert main(["reconstruct", run, *more]) == 0
        assert main(["attributes", run, *more, "--rows", "1"]) == 0
        Image.new("L", (28, 28), 90).save(tmp_path / "a.png")
        assert (
            main(
                [
                    "edit",
                    run,
                    str(tmp_path / "a.png"),
                    "--attribute",
                    "3=1",
                    "--out",
                    str(tmp_path / "x.png"),
                ]
            )
            == 0
        )
        assert (
            main(
                [
                    "interpolate",
                    run,
                    *[str(tmp_path / "a.png")] * 2,
                    "--out",
                    str(tmp_path / "x.png"),
                ]
            )
            == 0
        )
    capsys.readouterr()


BAD = [
    (
        "edit run images/0.png --attribute beard=1",
        2,
        "There is no attribute 'beard': the attributes are ink, thin stroke.",
    ),
    (
        "edit run images/0.png",
        2,
        "Say what to change, as in --attribute 'ink=+2'; the attributes are ink, thin stroke.",
    ),
    ("edit run images/0.png --attribute ink=nan", 2, "write a name and a number of steps"),
    ("edit run images/0.png --attribute ink", 2, "write a name and a number of steps"),
    ("edit run images/0.png --attribute ink=1 --attribute ink=2", 2, "given twice"),
    ("edit run images/0.png --attribute ink=1e9", 2, "a number of steps from -100 to 100"),
    ("edit run images --attribute ink=1 --plain", 2, "end --out in /"),
    ("edit run absent.png --attribute ink=1", 2, "There is no 'absent.png'"),
    ("edit run broken.png --attribute ink=1", 1, "cannot be decoded"),
    ("edit run images/0.png --attribute ink=1 --out x.abc", 2, "picture format"),
    ("edit run --attribute ink=1", 2, "Name the images after the model"),
    ("edit bare images/0.png --attribute ink=1", 2, "first, with zeuxis attributes RUN"),
    ("edit other images/0.png --attribute ink=1", 1, "measured with other weights"),
    ("edit mnist/dcgan images/0.png --attribute ink=1", 1, "cannot edit images; models that can: "),
    ("reconstruct mnist/dcgan", 1, "cannot reconstruct images; models that can: "),
    ("reconstruct run images --data mnist", 2, "Got both"),
    ("reconstruct run --split half", 2, "expected test or train"),
    ("reconstruct run --n -1", 2, "--n must be at least 0"),
    ("reconstruct run nowhere", 2, "There is no 'nowhere'"),
    ("interpolate mnist/dcgan images", 1, "cannot interpolate between images; models that can: "),
    ("interpolate run images/0.png", 2, "needs at least 2 images"),
    ("interpolate run images --steps -1", 2, "--steps must be at least 0"),
    ("interpolate run images --seconds nan", 2, "--seconds must be a finite number"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_gets_one_sentence(
    words: str, code: int, sentence: str, place: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(place)
    assert main(words.split()) == code
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1 and said.rstrip().endswith(".")


def test_a_model_of_points_has_no_images_to_edit() -> None:
    model = autoencoder.Halves()
    model.spec = Spec("ring", (2,))
    with pytest.raises(UsageError, match="Only a model of images can"):
        image_autoencoder(model, "edit images")
