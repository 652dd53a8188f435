"""zeuxis demo: the contact sheet of the shipped models, and the commands it proposes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zeuxis
from zeuxis.checkpoints.weights import shipped
from zeuxis.cli import COMMANDS
from zeuxis.commands.demo import NEXT, contact_sheet
from zeuxis.visual.grid import grid


def test_the_contact_sheet_has_a_row_for_every_shipped_generator(tmp_path: Path) -> None:
    with Image.open(contact_sheet(str(tmp_path / "new"))) as sheet:
        rows = [path / "samples.png" for path in shipped().values()]
        rows = [path for path in rows if path.is_file()]
        assert len(rows) == len(shipped()) - 1  # the classifier draws nothing
        assert sheet.height == sum(2 * Image.open(path).height + 2 for path in rows)


@pytest.mark.parametrize("name", ["mnist/dcgan", "mnist/improved-gan", "mnist/infogan"])
def test_the_rows_are_samples_of_the_weights_beside_them(name: str) -> None:
    drawn = grid(zeuxis.load(name).sample(16, seed=0), 16)
    with Image.open(shipped()[name] / "samples.png") as stored:
        assert stored.size == drawn.size
        difference = np.asarray(stored.convert("L"), float) - np.asarray(drawn.convert("L"), float)
    assert np.abs(difference).mean() < 0.5  # gray levels: processors round differently


def test_the_demo_proposes_three_commands() -> None:
    assert len(NEXT) == 3
    assert {command.split()[0] for _, command in NEXT} <= set(COMMANDS)
