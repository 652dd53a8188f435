"""Progress: items pass through unchanged, and a plain line says how far, how fast and how long."""

from __future__ import annotations

import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from zeuxis import progress
from zeuxis.training import metrics_log as report


def test_a_plain_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "console", Console(file=io.StringIO(), force_terminal=False))
    ticks = iter(float(t) for t in range(0, 1000, 2))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    assert list(progress.track(range(5), 5, "decoding", every=6)) == list(range(5))
    assert capsys.readouterr().err == "decoding: 3 of 5, 0.5/s, 0:04 left\n"
    ticks = iter([0.0, 0.001, 20.0, 20.001])
    assert list(progress.track("abc", 12_000, "reading")) == list("abc")
    assert re.fullmatch(r"reading: 2 of 12,000, 0.1/s, [\d:]+ left\n", capsys.readouterr().err)


def test_short_work_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "console", Console(file=io.StringIO(), force_terminal=False))
    assert (
        list(progress.track("abc", 3, "decoding")) == list("abc") and capsys.readouterr().err == ""
    )


def test_a_terminal_sees_a_bar_with_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=shown, force_terminal=True, width=120))
    slow = (time.sleep(0.002) or i for i in range(300))
    assert list(progress.track(slow, 300, "decoding")) == list(range(300))
    text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown.getvalue())
    assert "decoding" in text and "300/300" in text and re.search(r" \d{2,3}/s", text)


def test_a_training_that_slept_still_says_how_long_the_rest_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(report, "console", Console(file=io.StringIO(), force_terminal=False))
    monkeypatch.setattr(report, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    said = []
    with report.MetricsLog(None, 1000, False).open(100) as shown:
        shown.figures({"held-out/bound": 1.0}, 100)
        for images in range(200, 600, 100):
            clock[0] += 3600 if images == 400 else 10
            shown.figures({"bound": 1.0}, images)
            shown.figures({"held-out/bound": 1.0}, images)
        said = capsys.readouterr().out.splitlines()
    assert "left" not in said[0], "nothing has been done yet"
    assert [line.split()[-2] for line in said[1:]] == [
        "1:20",
        "1:20",
        "1:10",
        "1:10",
        "1:00",
        "1:00",
        "0:50",
        "0:50",
    ]


def test_a_terminal_of_80_columns_shows_bar_count_and_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    narrow = progress.Terminal()
    narrow.file, narrow.width = stream, 80
    monkeypatch.setattr(progress, "console", narrow)
    with progress.bar("images", "{task.fields[note]}") as shown:
        note = "1,234/s  discriminator 1.234  generator 0.789  D(x) 0.65  D(G(z)) 0.31"
        shown.add_task("training", total=1_500_000, completed=750_000, note=note)
        narrow.print(shown.get_renderable())
    line = stream.getvalue().splitlines()[0]
    assert "750000/1500000" in line and "left" in line and "━" in line
    assert len(line) <= 80
