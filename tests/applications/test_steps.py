"""Steps as pictures: where rectangles lie, which step is where, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from zeuxis.applications.steps import BAR, READ, SMALLEST, WRITE, outline, steps_film, steps_sheet
from zeuxis.applications.steps import views as views_of
from zeuxis.capabilities import Steps, Window
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main


def made(n: int = 2, total: int = 5, side: int = 14) -> Steps:
    """Canvases that are as bright as their step, with a window one pixel further each step."""
    bright = (40 * torch.arange(total)).byte().view(1, total, 1, 1, 1)
    box = torch.tensor([2.0, 3, 6, 9]) + torch.arange(total).view(1, total, 1) * torch.tensor(
        [1.0, 0, 1, 0]
    )
    windows = {
        name: Window(box.expand(n, -1, -1), torch.zeros(n, total)) for name in ("read", "write")
    }
    return Steps(bright.expand(n, -1, 1, side, side).contiguous(), windows)


def colored(picture: Image.Image, color: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels of a color."""
    return np.argwhere((np.asarray(picture.convert("RGB")) == color).all(2))


def test_a_rectangle_lies_around_its_pixels() -> None:
    (canvas,) = views_of(made())
    factor = SMALLEST // 14
    found = colored(canvas.picture(0, 2), WRITE)
    assert found.min(0).tolist() == [3 * factor, 4 * factor]
    assert found.max(0).tolist() == [9 * factor, 8 * factor]


@pytest.mark.parametrize("far", [-1e9, 1e9, float("inf"), float("nan")])
def test_windows_outside_the_image_are_not_seen(far: float) -> None:
    picture = Image.new("RGB", (20, 20))
    outline(picture, torch.tensor([far, far, far, far]).nan_to_num(1e9), 0.5, 2.0, READ)
    assert not len(colored(picture, READ))
    outline(picture, torch.tensor([-1e9, 2.0, 1e9, 3.0]), 1e9, 2.0, READ)


def test_a_blurred_window_has_a_wider_line() -> None:
    areas = []
    for blur in (0.0, 1.0):
        picture = Image.new("RGB", (60, 60))
        outline(picture, torch.tensor([2.0, 2, 13, 13]), blur, 4.0, READ)
        areas.append(len(colored(picture, READ)))
    assert areas[1] > 3 * areas[0]


def test_a_film_has_a_frame_for_each_step_and_all_are_of_one_size() -> None:
    steps, x = made(n=3, total=12), torch.full((3, 1, 14, 14), 200, dtype=torch.uint8)
    frames = list(steps_film(views_of(steps, x)))
    assert len(frames) == 12 and len({frame.size for frame in frames}) == 1
    for step, frame in enumerate(frames):
        assert len(colored(frame, READ)) and len(colored(frame, WRITE))
        bar = np.asarray(frame)[-BAR // 2]
        assert (bar == (240, 180, 60)).all(1).mean() == pytest.approx((step + 1) / 12, abs=0.01)


def test_a_sheet_has_a_column_for_each_step_chosen() -> None:
    steps = Steps(made().canvases)
    sheet = np.asarray(steps_sheet(views_of(steps), columns=3))
    middles = [SMALLEST // 2 + i * (SMALLEST + 4) for i in range(3)]
    assert [sheet[-10, at, 0] for at in middles] == [0, 80, 160]
    assert steps_sheet(views_of(steps), columns=1).width >= SMALLEST
    rows = steps_sheet(views_of(steps, torch.zeros(2, 1, 14, 14, dtype=torch.uint8)))
    assert rows.height - sheet.shape[0] == 2 * (SMALLEST + 4), "a row more for each image"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("draw")
    save(tiny.model("draw"), at / "draw")
    save(tiny.model("dcgan"), at / "dcgan")
    Image.new("L", (40, 40), 255).save(at / "white.png")
    return at


@pytest.mark.parametrize(
    ("options", "out", "frames"),
    [
        ("--n 3", "steps.webp", 3),
        ("--n 2 --no-windows --columns 2", "sheet.png", 1),
        ("--n 2 --data mnist --reconstruct --seconds 1", "film.gif", 3),
        ("white.png --invert", "one.webp", 3),
    ],
)
def test_the_command_writes_films_and_sheets(
    options: str, out: str, frames: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert main(["steps", "draw", *options.split(), "--out", out]) == 0
    with Image.open(place / out) as film:
        assert getattr(film, "n_frames", 1) == frames


def test_a_model_without_steps_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", str(place / "dcgan")]) == 1
    assert "'dcgan' cannot show the steps of its images; models that can: air, draw" in (
        capsys.readouterr().err
    )
