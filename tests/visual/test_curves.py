"""Curves of several runs: grouping, quartiles on a common grid, the picture, and wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zeuxis.checkpoints.run_folder import Run
from zeuxis.commands.curves import main
from zeuxis.errors import UsageError
from zeuxis.visual.curves import Curve, curves, draw, resample


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
            {"model": "vime", "vime": {"bonus": bonus}, "learning": {"seed": seed, "threads": seed}}
        )
    )
    lines = [{unit: 10 * (i + 1), of: value, "seconds": 1.0} for i, value in enumerate(values)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_runs_are_grouped_by_what_differs_but_the_seed(tmp_path: Path) -> None:
    runs = [made(tmp_path / f"a{s}", "information", s, [s, s + 1.0, s + 2.0]) for s in range(3)]
    runs += [made(tmp_path / f"b{s}", "none", s, [0.0, 0.0, 0.0, 0.0]) for s in range(2)]
    unit, found = curves([Run(run) for run in runs], "return", points=3)
    assert unit == "steps"
    assert [(c.name, c.values.shape) for c in found] == [
        ("bonus information", (3, 3)),
        ("bonus none", (2, 3)),
    ]
    assert found[0].at.tolist() == [10, 20, 30]
    assert found[0].quartiles().tolist() == [[0.5, 1.5, 2.5], [1, 2, 3], [1.5, 2.5, 3.5]]
    assert found[0].reached(2) == 20
    assert found[0].reached(4) is None
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
    assert [curve.name for curve in curves([Run(folder) for folder in folders], "return")[1]] == [
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
    assert late.reached(0) == 4
    rows = json.loads(json.dumps(late.as_dict(), allow_nan=False))["curve"]
    assert [row["quartiles"][1] for row in rows] == [None, 2, 6]
    assert [row["runs"] for row in rows] == [0, 1, 2]


def test_a_line_starts_where_its_run_first_reports() -> None:
    at = np.linspace(1.0, 100.0, 100)
    values = np.where(at <= 50, np.nan, 1.0 + at / 100)[None]
    ink = (np.asarray(draw([Curve("a", at, values)], "return", "steps")) == (0, 114, 178)).all(-1)
    columns = np.flatnonzero(ink[80:].any(0))  # below the legend
    assert columns.min() > 360


def test_the_picture_has_a_line_in_the_ink_of_each_group(tmp_path: Path) -> None:
    runs = [
        made(tmp_path / f"{b}{s}", b, s, [s * 1.0, 2.0 * s])
        for b in ("information", "none")
        for s in range(2)
    ]
    _, found = curves([Run(run) for run in runs], "return")
    picture = draw(found, "return", "steps")
    assert picture.size == (720, 400)
    inks = {color for _, color in picture.getcolors(10**6) or []}
    assert (0, 114, 178) in inks
    assert (213, 94, 0) in inks


def test_a_long_name_takes_more_lines_and_leaves_the_plot_its_height() -> None:
    short, long = (
        draw([Curve(name, np.array([1.0, 2.0]), np.ones((1, 2)))], "return", "steps")
        for name in ("a", "batch 50000, " * 12)
    )
    assert long.width == short.width
    assert long.height > short.height
    margin = np.asarray(long)[: long.height - short.height + 20, -10:]
    assert (margin == 255).all()


def test_the_record_of_runs_that_report_late_invents_nothing(tmp_path: Path) -> None:
    run = made(tmp_path / "late", "none", 0, [1.0, 3.0, 5.0])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines[:2]:
        line["loss"] = line.pop("return")
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = tmp_path / "late.json"
    main([str(run), "--of", "return", "--points", "3", "--record", str(record)])
    found = json.loads(record.read_text())["figures"]["groups"]["runs"]["curve"]
    assert [row["quartiles"][1] for row in found] == [None, None, 5.0]


def test_the_command_writes_picture_and_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(made(tmp_path / f"r{s}", "information", s, [0.0, 1.0])) for s in range(2)]
    picture, record = tmp_path / "deep" / "c.png", tmp_path / "c.json"
    main([*runs, "--above", "0.5", "--out", str(picture), "--record", str(record)])
    assert Image.open(picture).size == (720, 400)
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
        ([], "No run was given"),
        ([run, "--of", "loss"], "no figure 'loss': choose from return, seconds, steps"),
        ([run, images], "count in images and steps"),
        ([run, "--out", "c.pdf"], "another ending"),
        ([run, "--points", "1"], "--points must be at least 2"),
        ([empty], "nothing yet"),
    ):
        with pytest.raises(UsageError, match=sentence):
            main(words)
