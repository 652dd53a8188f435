"""Pictures, films, interpolation, arithmetic on latents, records and trackers."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import tiny
from zeuxis.applications.interpolate import combine, great_circle, interpolate, neighbors
from zeuxis.checkpoints.run_folder import Run
from zeuxis.errors import MissingExtra, UsageError, ZeuxisError
from zeuxis.evaluation.record import write_record
from zeuxis.training.loop import fit
from zeuxis.training.metrics_log import tracker
from zeuxis.visual import grid as pictures
from zeuxis.visual.film import MissingEncoder, SamplePicture, film_times, write_film


def test_a_grid_holds_every_pixel_in_its_place() -> None:
    x = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8)
    sheet = pictures.grid(x, columns=2, gap=1)
    assert sheet.size == (2 * 7 + 1, 3 * 5 + 1)
    for i in range(5):
        row, column = divmod(i, 2)
        for r, c in ((0, 0), (3, 5), (2, 1)):
            assert sheet.getpixel((1 + column * 7 + c, 1 + row * 5 + r)) == tuple(
                x[i, :, r, c].tolist()
            )


def test_the_clock_shows_the_share_done() -> None:
    blank = Image.new("RGB", (200, 50))
    frame = pictures.with_clock(blank, 500, 1000)
    bar = [frame.getpixel((x, 51)) == (240, 180, 60) for x in range(200)]
    assert abs(sum(bar) - 100) <= 1


def test_pictures_that_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 or 3 channels"):
        pictures.to_image(torch.zeros(2, 4, 4, dtype=torch.uint8))
    with pytest.raises(UsageError, match=r"\.png"):
        pictures.save(Image.new("L", (2, 2)), tmp_path / "x.nothing")
    assert not list(tmp_path.iterdir())


def frames(folder: Path, n: int) -> list[Path]:
    paths = []
    for i in range(n):
        paths.append(folder / f"{i:03}.png")
        Image.new("RGB", (33, 21), (i * 40, 0, 255 - i * 40)).save(paths[-1])
    return paths


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_films_have_their_frames_and_hold_the_last(kind: str, tmp_path: Path) -> None:
    path = write_film(frames(tmp_path, 5), tmp_path / f"film.{kind}", seconds=1, hold=1)
    film = Image.open(path)
    assert film.n_frames == 5
    durations = []
    for i in range(5):
        film.seek(i)
        film.load()
        durations.append(film.info["duration"])
    assert durations[:4] == [200] * 4
    assert durations[4] == 1200


def test_mp4_needs_an_encoder_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = frames(tmp_path, 3)
    if shutil.which("ffmpeg"):
        assert write_film(given, tmp_path / "film.mp4", seconds=1).stat().st_size > 500
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MissingEncoder, match="ffmpeg"):
        write_film(given, tmp_path / "film2.mp4")
    with pytest.raises(UsageError, match=r"\.webp, \.gif or \.mp4"):
        write_film(given, tmp_path / "film.mov")
    with pytest.raises(UsageError, match="no frames"):
        write_film([], tmp_path / "film.webp")


@given(
    st.integers(2, 200),
    st.integers(1, 500),
    st.integers(1000, 10**7),
    st.sampled_from(["linear", "log"]),
)
@settings(max_examples=50, deadline=None)
def test_film_times_run_from_zero_to_the_end(n: int, first: int, total: int, clock: str) -> None:
    times = film_times(n, first, total, clock)
    assert times == sorted(set(times))
    assert times[0] == 0
    assert times[-1] == total
    assert len(times) <= n + 1


def test_log_time_spends_its_frames_early() -> None:
    assert sum(t < 10_000 for t in film_times(60, 100, 1_000_000, "log")) > 25
    assert sum(t < 10_000 for t in film_times(60, 100, 1_000_000, "linear")) == 1


def test_the_same_codes_are_filmed_again() -> None:
    model, picture = tiny.model("dcgan").eval(), SamplePicture(100, side=3)
    assert picture(model, 10).tobytes() == picture(model, 10).tobytes()


def test_interpolation_passes_through_its_points_with_even_steps() -> None:
    points = torch.randn(4, 7)
    way = interpolate(points, 5)
    assert len(way) == 16
    torch.testing.assert_close(way[::5], points)
    lengths = (way[1:6] - way[:5]).norm(dim=1)
    torch.testing.assert_close(lengths, lengths.mean().expand(5))
    closed = interpolate(points, 5, closed=True)
    assert len(closed) == 20
    torch.testing.assert_close(closed[::5], points)
    with pytest.raises(UsageError, match="at least 2 latents"):
        interpolate(points[:1], 5)


def test_a_great_circle_keeps_the_distance_from_the_origin() -> None:
    a, b = torch.randn(2, 50)
    b = b / b.norm() * a.norm()
    way = torch.stack([great_circle(a, b, t / 10) for t in range(11)])
    torch.testing.assert_close(way.norm(dim=1), a.norm().expand(11))
    angles = [
        math.acos(float((p @ q / p.norm() / q.norm()).clamp(-1, 1))) for p, q in pairwise(way)
    ]
    assert max(angles) - min(angles) < 1e-3
    torch.testing.assert_close(great_circle(a, a * 2, 0.5), a * 1.5)


def test_arithmetic_is_on_means() -> None:
    a, b, c = torch.randn(3, 4, 6)
    torch.testing.assert_close(combine(a, b, c), a.mean(0) - b.mean(0) + c.mean(0))
    near = neighbors(a[0], 9, 0.25, torch.Generator().manual_seed(0))
    assert near.shape == (9, 6)
    assert torch.equal(near[0], a[0])
    assert (near - a[0]).abs().max() <= 0.25
    with pytest.raises(UsageError, match="three is more stable"):
        combine(a, b[:0], c)


def test_a_record_says_everything(tmp_path: Path) -> None:
    path = write_record(
        tmp_path / "results" / "a.json",
        {"error": 1.5},
        seconds=3.21,
        seed=4,
        paper="2.0 (Table 1)",
        note="small",
    )
    record = json.loads(path.read_text())
    assert record["figures"] == {"error": 1.5}
    assert {
        "command",
        "machine",
        "date",
        "zeuxis",
        "seed",
        "seconds",
        "paper",
        "note",
    } <= record.keys()
    assert "torch" in record["machine"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeuxisError, match="could not be written"):
        write_record(tmp_path / "file" / "a.json", {}, seconds=0, seed=0)


def test_tensorboard_gets_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = Run.create(tmp_path, "test")
    fit(
        tiny.model("dcgan"),
        tiny.images(),
        run,
        tiny.training(log_every=16, track="tensorboard"),
        quiet=True,
    )
    assert list(run.path("tensorboard").glob("events*"))


def test_a_tracker_that_is_not_installed_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(MissingExtra, match="wandb"):
        tracker("wandb", Run(tmp_path), {})


def test_other_trackers_get_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    class Service:
        @staticmethod
        def init(**config: object) -> None:
            calls.append(config)

        @staticmethod
        def log(figures: dict[str, float]) -> None:
            calls.append(figures)

    monkeypatch.setattr("importlib.import_module", lambda name: Service)
    send = tracker("trackio", Run(tmp_path), {"lr": 1})
    assert send is not None
    send({"loss": 2.0}, 30)
    assert calls == [
        {"project": "zeuxis", "name": tmp_path.name, "config": {"lr": 1}},
        {"loss": 2.0, "images": 30},
    ]
