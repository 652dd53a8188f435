"""Curves of several runs: grouping, quartiles on a common grid, the plot, and wrong input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zeuxis.checkpoints.run_folder import Run
from zeuxis.commands.curves import main
from zeuxis.errors import MissingExtra, UsageError
from zeuxis.visual.curves import Curve, plot, read_curves, resample


def made(
    folder: Path,
    bonus: str,
    seed: int,
    values: list[float],
    unit: str = "steps",
    of: str = "return",
) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps(
            {"model": "vime", "vime": {"bonus": bonus}, "training": {"seed": seed, "threads": seed}}
        )
    )
    lines = [{unit: 10 * (i + 1), of: value, "seconds": 1.0} for i, value in enumerate(values)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_runs_are_grouped_by_what_differs_but_the_seed(tmp_path: Path) -> None:
    runs = [made(tmp_path / f"a{s}", "information", s, [s, s + 1.0, s + 2.0]) for s in range(3)]
    runs += [made(tmp_path / f"b{s}", "none", s, [0.0, 0.0, 0.0, 0.0]) for s in range(2)]
    unit, found = read_curves([Run(run) for run in runs], "return", points=3)
    assert unit == "steps"
    assert [(c.name, c.values.shape) for c in found] == [
        ("bonus information", (3, 3)),
        ("bonus none", (2, 3)),
    ]
    assert found[0].times.tolist() == [10, 20, 30]
    assert found[0].quartiles().tolist() == [[0.5, 1.5, 2.5], [1, 2, 3], [1.5, 2.5, 3.5]]
    assert found[0].first_reach(2) == 20
    assert found[0].first_reach(4) is None
    assert found[1].as_dict()["last of each run"] == [0, 0]


def test_what_follows_from_a_task_does_not_name_its_runs(tmp_path: Path) -> None:
    folders = [made(tmp_path / task, "none", 0, [0.0, 1.0]) for task in ("a", "b")]
    for folder, size in zip(folders, (3, 4), strict=True):
        about = json.loads((folder / "config.json").read_text())
        about |= {
            "env": folder.name,
            "task": {"name": folder.name, "observation": size},
            "digest": str(size),
        }
        (folder / "config.json").write_text(json.dumps(about))
    assert [
        curve.name for curve in read_curves([Run(folder) for folder in folders], "return")[1]
    ] == [
        "env a",
        "env b",
    ]


def test_reports_between_two_points_are_averaged_and_gaps_keep_the_last() -> None:
    at, values = np.array([1.0, 2, 3, 9]), np.array([1.0, 3, 5, 7])
    assert resample(at, values, np.array([2, 4, 6, 8, 10])).tolist() == [2, 5, 5, 5, 7]


def test_before_its_first_report_a_run_has_no_figure() -> None:
    at, values = np.array([5.0, 9]), np.array([1.0, 7])
    assert np.isnan(resample(at, values, np.array([0.5, 4.9]))).all()
    late = Curve(
        "late", np.array([2.0, 4, 6]), np.array([[np.nan, np.nan, 8.0], [np.nan, 2.0, 4.0]])
    )
    assert late.reported().tolist() == [0, 1, 2]
    assert late.quartiles()[1, 1:].tolist() == [2, 6]
    assert np.isnan(late.quartiles()[:, 0]).all()
    assert late.first_reach(0) == 4
    rows = json.loads(json.dumps(late.as_dict(), allow_nan=False))["curve"]
    assert [row["quartiles"][1] for row in rows] == [None, 2, 6]
    assert [row["runs"] for row in rows] == [0, 1, 2]


COLORED = {(0, 114, 178): "first group", (213, 94, 0): "second group"}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_line_starts_where_its_run_first_reports(tmp_path: Path) -> None:
    times = np.linspace(1.0, 100.0, 100)
    values = np.where(times <= 50, np.nan, 1.0 + times / 100)[None]
    picture = pixels(plot([Curve("a", times, values)], "return", "steps", tmp_path / "a.png"))
    line = (picture[100:] == (0, 114, 178)).all(-1)  # below the legend
    assert np.flatnonzero(line.any(0)).min() > picture.shape[1] * 0.45


def test_the_plot_has_a_line_in_the_color_of_each_group(tmp_path: Path) -> None:
    runs = [
        made(tmp_path / f"{b}{s}", b, s, [s * 1.0, 2.0 * s])
        for b in ("information", "none")
        for s in range(2)
    ]
    _, groups = read_curves([Run(run) for run in runs], "return")
    picture = pixels(plot(groups, "return", "steps", tmp_path / "groups.png"))
    assert picture.shape == (600, 1080, 3)
    for color, group in COLORED.items():
        assert (picture == color).all(-1).sum() > 100, group


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_equal_curves_are_equal_files(suffix: str, tmp_path: Path) -> None:
    curve = Curve("batch 64", np.array([1e3, 2e6]), np.array([[1.0, 2.0], [2.0, 4.0]]))
    first, second = (
        plot([curve], "bits/dim", "images", tmp_path / f"{i}{suffix}").read_bytes() for i in (0, 1)
    )
    assert first == second
    start = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}[suffix]
    assert first.startswith(start)
    if suffix == ".svg":
        for text in (b"batch 64 (2 runs)", b"bits/dim", b"images", b"2M"):
            assert text in first, "text stays text"


def test_a_plot_without_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"zeuxis\[plot\]"):
        plot([Curve("a", np.ones(1), np.ones((1, 1)))], "return", "steps", tmp_path / "a.svg")


def test_the_record_of_runs_that_report_late_invents_nothing(tmp_path: Path) -> None:
    run = made(tmp_path / "late", "none", 0, [1.0, 3.0, 5.0])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines[:2]:
        line["loss"] = line.pop("return")
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = tmp_path / "late.json"
    main([str(run), "--metric", "return", "--points", "3", "--record", str(record)])
    found = json.loads(record.read_text())["figures"]["groups"]["runs"]["curve"]
    assert [row["quartiles"][1] for row in found] == [None, None, 5.0]


def test_the_command_writes_plot_and_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(made(tmp_path / f"r{s}", "information", s, [0.0, 1.0])) for s in range(2)]
    picture, record = tmp_path / "deep" / "c.png", tmp_path / "c.json"
    main([*runs, "--above", "0.5", "--out", str(picture), "--record", str(record)])
    assert Image.open(picture).size == (1080, 600)
    found = json.loads(record.read_text())
    assert found["figures"]["groups"]["runs"]["median first reaches 0.5"] == 20
    assert found["training seconds"] == 2
    assert "20" in capsys.readouterr().out


def test_wrong_input_gets_a_sentence(tmp_path: Path) -> None:
    run, images = (
        str(made(tmp_path / "a", "none", 0, [1.0])),
        str(made(tmp_path / "b", "none", 0, [1.0], "images")),
    )
    empty = str(made(tmp_path / "c", "none", 0, []))
    for words, sentence in (
        ([], "Name at least one run folder"),
        ([run, "--metric", "loss"], "no figure 'loss': choose from return, seconds, steps"),
        ([run, images], "count in images and steps"),
        ([run, "--out", "c.webp"], "must end in .svg, .pdf or .png"),
        ([run, "--points", "1"], "--points must be at least 2"),
        ([empty], "nothing yet"),
    ):
        with pytest.raises(UsageError, match=sentence):
            main(words)
