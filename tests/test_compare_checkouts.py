"""The script that compares two checkouts: both are timed in turn, what one does not know is left
out, nothing is left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "compare.py"


def compare(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False
    )


def test_what_cannot_be_compared_is_said_in_a_sentence() -> None:
    for words, sentence in (
        ((), "give the checkout or revision"),
        (
            (str(ROOT), "--only", "nonsense"),
            "no case has nonsense in its name: the cases are step dcgan",
        ),
        (
            ("no-such-revision", "--only", "planar"),
            "'no-such-revision' is neither the folder of a checkout nor a revision",
        ),
    ):
        done = compare(*words)
        assert done.returncode != 0 and sentence in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_both_checkouts_are_timed_and_what_one_does_not_know_is_left_out(tmp_path: Path) -> None:
    other, record = tmp_path / "other", tmp_path / "record.json"
    shutil.copytree(ROOT / "src" / "zeuxis", other / "src" / "zeuxis")
    (other / "src" / "zeuxis" / "gan" / "planar.py").unlink()
    words = [
        "--only",
        "step planar",
        "--only",
        "import zeuxis",
        "--rounds",
        "3",
        "--record",
        str(record),
    ]
    done = compare(str(other), str(ROOT), *words)
    assert done.returncode == 0, done.stderr
    assert "step planar" in done.stdout and "left out: KeyError: 'planar'" in done.stdout
    figures = json.loads(record.read_text())["figures"]
    assert list(figures) == ["start: import zeuxis"]
    found = figures["start: import zeuxis"]
    assert (
        found["before ms"] > 0
        and found["lower quartile"] <= found["ratio"] <= found["upper quartile"]
    )
    assert found["ratio"] == pytest.approx(1, abs=0.9)
