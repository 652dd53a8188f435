"""zeuxis predict: a table and a picture for a data set, a picture for files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import tiny
import zeuxis
from zeuxis.cli import main


@pytest.fixture
def saved(tmp_path: Path) -> str:
    return str(zeuxis.save(tiny.model("cvae"), tmp_path / "model"))


def test_a_data_set_gives_a_table_a_record_and_a_picture(saved: str, tmp_path: Path) -> None:
    record, picture = tmp_path / "record.json", tmp_path / "p.png"
    options = ["--data", "mnist", "--n", "20", "--k", "3", "--shown", "2", "--completions", "4"]
    assert main(["predict", saved, *options, "--out", str(picture), "--record", str(record)]) == 0
    figures = json.loads(record.read_text())["figures"]
    assert set(figures) >= {"baseline", "ELBO", "IWAE-3", "Monte Carlo-3"}
    assert figures["images"] == 20 and figures["hidden"] == 588
    assert Image.open(picture).width > 6 * 96


def test_files_give_a_picture_and_no_record(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file, picture = tmp_path / "digit.png", tmp_path / "p.png"
    Image.new("L", (28, 28), 200).save(file)
    assert main(["predict", saved, str(file), "--out", str(picture)]) == 0
    assert picture.exists()
    assert main(["predict", saved, str(file), "--record", str(tmp_path / "r.json")]) == 2
    assert "Likelihoods are measured on a data set" in capsys.readouterr().err
    assert main(["predict", "mnist/vae", str(file)]) == 1
    assert "cannot predict hidden pixels; models that can: cvae" in capsys.readouterr().err
