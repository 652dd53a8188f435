"""zeuxis data: images of a data set as files, with what is known of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zeuxis.commands.data import main
from zeuxis.data import load_data
from zeuxis.data.attributes import read_attributes
from zeuxis.errors import UsageError


def test_faces_are_written_with_their_factors(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "faces"
    main(["faces", "--n", "3", "--size", "64", "--out", f"{folder}/"])
    data = load_data("faces", split="test", size=64, limit=3)
    for i, x in enumerate(data.all()):
        assert np.array_equal(np.asarray(Image.open(folder / f"{i:05}.png")), x[0].numpy())
    names = [path.name for path in sorted(folder.glob("*.png"))]
    table, others = read_attributes(folder / "attributes.csv", names)
    assert table.names == ("azimuth", "elevation", "lighting", "width", "smile") and not others
    assert data.facts.factors is not None
    assert torch.allclose(table.values, data.facts.factors.double(), atol=1e-6)
    assert capsys.readouterr().out.count("\n") == 4


def test_labeled_images_are_written_so_that_they_can_be_read_again(tmp_path: Path) -> None:
    main(["mnist", "--n", "20", f"--out={tmp_path}", "--split", "train"])
    again = load_data(str(tmp_path), labels=tmp_path / "labels.csv")
    known = load_data("mnist", limit=20)
    assert again.labels is not None and known.labels is not None
    written = [again.spec.class_names[y] for y in again.labels.tolist()]
    assert written == [str(y) for y in known.labels.tolist()]
    assert torch.equal(again.all(), known.all())


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="images are written with --out"):
        main(["faces", "--n", "3"])
    text = tmp_path / "book.txt"
    text.write_text("some words " * 200)
    with pytest.raises(UsageError, match="has no images to write"):
        main([str(text), "--out", str(tmp_path / "out"), "--split", "train"])
