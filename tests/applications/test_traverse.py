"""Traversals: which numbers change, which do not, and where each image lies on the sheet."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import tiny
from zeuxis.applications import traverse
from zeuxis.capabilities import Code
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.errors import UsageError
from zeuxis.visual import grid

CODES = (
    Code("category", "categorical", 2, 3),
    Code("tilt", "continuous", 5),
    Code("shade", "continuous", 6, low=0.0, high=1.0),
)


class Bars:
    """Each row of an image is as bright as one number of z; keeps every z that it was given."""

    name = "bars-in-place"

    def __init__(self) -> None:
        self.given: list[Tensor] = []

    def codes(self) -> tuple[Code, ...]:
        return CODES

    def infer(self, x: Tensor) -> list[Tensor]:
        return []

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        u = torch.rand(n, 7, generator=generator) * 2 - 1
        u[:, 2:5] = torch.eye(3)[torch.randint(3, (n,), generator=generator)]
        return u

    def decode(self, z: Tensor) -> Tensor:
        self.given.append(z)
        return (
            (127.5 + 60 * z.clamp(-2, 2)).byte()[:, None, :, None].expand(-1, 1, -1, 7).contiguous()
        )


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(2, 5),
    which=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_only_the_code_itself_varies(rows: int, columns: int, which: int, seed: int) -> None:
    code = CODES[which]
    z = Bars().prior(rows, generator=torch.Generator().manual_seed(seed))
    kept = z.clone()
    values = traverse.code_values(code, columns)
    out = traverse.vary(z, code, values)
    assert out.shape == (rows, len(values), 7) and torch.equal(z, kept)
    place = torch.zeros(7, dtype=torch.bool)
    place[code.start : code.start + code.size] = True
    assert torch.equal(out[:, :, ~place], z[:, None, ~place].expand(-1, len(values), -1))
    assert torch.equal(out[:, :, place], values.expand(rows, -1, -1))


def test_a_category_has_a_column_each_and_a_number_goes_over_twice_its_range() -> None:
    assert torch.equal(traverse.code_values(CODES[0], 99), torch.eye(3))
    assert traverse.code_values(CODES[1], 5)[:, 0].tolist() == [-2, -1, 0, 1, 2]
    assert traverse.code_values(CODES[1], 3, -1.0, 1.0)[:, 0].tolist() == [-1, 0, 1]
    assert traverse.code_range(CODES[2]) == (-0.5, 1.5)


def test_rows_are_samples_and_columns_are_values() -> None:
    model = Bars()
    picture = traverse.traversal_sheet(model, CODES[1], rows=3, columns=4, seed=5)
    (z,) = model.given
    assert len(z) == 12
    first = model.prior(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(z.view(3, 4, 7)[:, :, :5], first[:, None, :5].expand(-1, 4, -1))
    assert torch.allclose(z.view(3, 4, 7)[..., 5], torch.linspace(-2, 2, 4).expand(3, -1))
    factor = (picture.height - grid.CAPTION) // (3 * 8 + 1)
    image = model.decode(z)
    for row in range(3):
        for column in range(4):
            for number in (0, 5, 6):
                x, y = (
                    (1 + column * 8 + 3) * factor,
                    grid.CAPTION + (1 + row * 8 + number) * factor,
                )
                assert picture.getpixel((x, y)) == (int(image[row * 4 + column, 0, number, 0]),) * 3


def test_every_code_starts_from_the_same_samples() -> None:
    model = Bars()
    for code in CODES[1:]:
        traverse.traversal_sheet(model, code, rows=2, columns=2, seed=3)
    assert torch.equal(model.given[0][:, :5], model.given[1][:, :5])


def test_panels_do_not_overlap() -> None:
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    panels = [
        Image.new("RGB", size, color)
        for size, color in zip(((10, 20), (30, 5), (7, 9)), colors, strict=True)
    ]
    sheet = grid.arranged(panels, gap=2)
    assert sheet.size == (10 + 2 + 30, 20 + 2 + 9)
    for panel, color in zip(panels, colors, strict=True):
        assert (
            sum(sheet.getpixel((x, y)) == color for x in range(42) for y in range(31))
            == panel.width * panel.height
        )


def test_a_caption_is_never_cut_off() -> None:
    narrow = grid.captioned(Image.new("L", (5, 5)), "a rather long name of a code")
    assert narrow.width > 100 and narrow.height == 5 + grid.CAPTION


def test_a_film_goes_there_and_back_and_closes() -> None:
    model = Bars()
    frames = list(traverse.traversal_film(model, CODES, samples=4, frames=12, seed=1))
    assert len(frames) == 12 and len({frame.size for frame in frames}) == 1
    tilt = torch.stack([z[:, 5] for z in model.given[1::3]])  # one call for each frame and code
    assert torch.allclose(tilt[0], torch.tensor(-2.0)) and torch.allclose(
        tilt[6], torch.tensor(2.0)
    )
    assert torch.allclose(tilt[1:], tilt[1:].flip(0), atol=1e-6)
    shown = [z[0, 2:5].argmax().item() for z in model.given[0::3]]
    assert shown == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    ("samples", "size"), [(16, (4, 4)), (10, (5, 2)), (7, (7, 1)), (1, (1, 1))]
)
def test_a_panel_of_a_film_has_no_empty_place(samples: int, size: tuple[int, int]) -> None:
    frame = next(traverse.traversal_film(Bars(), CODES[1:2], samples=samples, frames=2))
    across, down = size[0] * 8 + 1, size[1] * 8 + 1
    factor = -(-200 // across)
    assert frame.size == (across * factor, down * factor + grid.CAPTION)


def test_what_cannot_be_traversed() -> None:
    model = Bars()
    for call, sentence in (
        (lambda: traverse.find_code(CODES, "hue"), "the codes are category, tilt, shade"),
        (lambda: traverse.traversal_sheet(model, CODES[1], rows=0), "at least 1 row"),
        (lambda: traverse.traversal_sheet(model, CODES[1], columns=1), "at least 2 columns"),
        (
            lambda: traverse.traversal_sheet(model, CODES[1], low=1.0, high=-1.0),
            "--low below --high",
        ),
        (
            lambda: traverse.traversal_sheet(model, CODES[1], high=float("nan")),
            "--low below --high",
        ),
        (lambda: next(traverse.traversal_film(model, CODES, frames=1)), "at least 2 frames"),
        (lambda: traverse.traversal_sheet(model, Code("late", "continuous", 7)), "correct codes"),
    ):
        with pytest.raises(UsageError, match=sentence):
            call()
    model.decode = lambda z: z[:, :2]  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="shown as images"):
        traverse.traversal_sheet(model, CODES[1])


def test_the_command_draws_sheets_and_films(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(save(tiny.model("infogan"), tmp_path / "model"))
    small = ["--rows", "2", "--columns", "3"]
    assert main(["traverse", run, *small, "--out", str(tmp_path / "all.png")]) == 0
    assert (
        main(
            ["traverse", run, *small, "--code", "continuous 2", "--out", str(tmp_path / "one.png")]
        )
        == 0
    )
    with Image.open(tmp_path / "all.png") as whole, Image.open(tmp_path / "one.png") as one:
        assert whole.width > one.width and whole.height > one.height
    assert (
        main(
            [
                "traverse",
                run,
                *small,
                "--separate",
                "--low",
                "-1",
                "--high",
                "1",
                "--out",
                str(tmp_path / "t.png"),
            ]
        )
        == 0
    )
    assert {p.name for p in tmp_path.glob("t-*")} == {
        "t-category.png",
        "t-continuous-1.png",
        "t-continuous-2.png",
    }
    assert (
        main(["traverse", run, "--rows", "2", "--frames", "4", "--out", str(tmp_path / "film.gif")])
        == 0
    )
    with Image.open(tmp_path / "film.gif") as film:
        assert getattr(film, "n_frames", 1) > 1
    capsys.readouterr()
    assert main(["traverse", run, "--code", "hue"]) == 2
    assert "the codes are category, continuous 1, continuous 2" in capsys.readouterr().err
    assert main(["traverse", "mnist/dcgan"]) != 0
    assert "cannot vary its latent codes; models that can: " in capsys.readouterr().err
