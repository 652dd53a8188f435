"""zeuxis objects: figures and a picture for a data set, counts and a picture for files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zeuxis
from zeuxis.applications.objects import objects_sheet
from zeuxis.capabilities import Objects
from zeuxis.cli import main
from zeuxis.vae.air import AIR, AIRConfig


@pytest.fixture
def saved(tmp_path: Path) -> str:
    config = AIRConfig(hidden_dim=4, layer_dim=4, latent_dim=2, window=4)
    model = AIR(config, zeuxis.Spec("multi-mnist", (1, 50, 50)))
    return str(zeuxis.save(model, tmp_path / "model"))


def test_a_data_set_gives_figures_a_record_and_a_picture(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    record, picture = tmp_path / "record.json", tmp_path / "o.png"
    options = ["--data", "multi-mnist-3", "--n", "20", "--shown", "4", "--out", str(picture)]
    assert main(["objects", saved, *options, "--record", str(record)]) == 0
    assert "counted right" in capsys.readouterr().out
    figures = json.loads(record.read_text())["figures"]
    assert figures["images"] == 20 and 0 <= figures["counting accuracy"] <= 1
    assert sum(map(sum, figures["counts, true by said"])) == 20
    assert Image.open(picture).width > 2 * 150


def test_files_give_counts_and_a_picture_and_no_record(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file, picture = tmp_path / "digits.png", tmp_path / "o.png"
    Image.new("L", (50, 50), 200).save(file)
    assert main(["objects", saved, str(file), "--out", str(picture)]) == 0
    assert "digits.png: 3 objects " in capsys.readouterr().out
    assert picture.exists()
    assert main(["objects", saved, str(file), "--record", str(tmp_path / "r.json")]) == 2
    assert "leave out the image files" in capsys.readouterr().err
    assert main(["objects", "mnist/vae", str(file)]) == 1
    assert "cannot count and locate objects; models that can: air" in capsys.readouterr().err


def test_boxes_are_drawn_around_objects_and_none_where_there_are_none() -> None:
    x = torch.zeros(2, 1, 50, 50, dtype=torch.uint8)
    boxes = torch.full((2, 2, 4), torch.nan)
    boxes[0, 0] = torch.tensor([10.0, 20.0, 30.0, 40.0])
    found = Objects(torch.tensor([1, 0]), boxes, torch.zeros(2, 3))
    sheet = np.asarray(objects_sheet(x, found, columns=2))[22:]
    first, second = sheet[:150, :150], sheet[:150, 158:308]
    colored = np.argwhere(first.max(2) > 100)
    assert colored.min(0).tolist() == [60, 30] and colored.max(0).tolist() == [119, 89]
    assert second.max() == 0
