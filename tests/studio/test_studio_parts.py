"""What the studio takes from its page: uploads within limits, names within its folder, one training
at a time."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio", reason="the studio needs Gradio: pip install 'zeuxis[studio]'")

from zeuxis.capabilities import CanAutoregress, CanDecode
from zeuxis.checkpoints.weights import shipped
from zeuxis.errors import DataError, UsageError
from zeuxis.studio import learn_tab, parts
from zeuxis.studio.catalog import Catalog
from zeuxis.studio.explore_tab import between, knobs, moved, picked
from zeuxis.studio.processes import Training, beginning
from zeuxis.studio.surprise_tab import coded, zipped

pytestmark = pytest.mark.slow  # Gradio takes seconds to import


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


def png(size: tuple[int, int] = (20, 10)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(file, "PNG")
    return file.getvalue()


def test_uploads_are_decoded_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = tmp_path / "a.png"
    good.write_bytes(png())
    assert parts.opened(str(good)).shape == (3, 10, 20)
    assert parts.opened(str(good), 8, 1).shape == (1, 8, 8)
    for content, sentence in (
        (b"text", "cannot be decoded .it is no PNG"),
        (png()[:45], "cannot be decoded"),
        (png((5000, 4000)), "more than 16 million pixels"),
    ):
        good.write_bytes(content)
        with pytest.raises(DataError, match=sentence):
            parts.opened(str(good))
    with open(good, "wb") as file:
        file.truncate(parts.MOST_BYTES + 1)
    with pytest.raises(DataError, match="larger than 20 MB"):
        parts.opened(str(good))
    with pytest.raises(UsageError, match="no image yet"):
        parts.opened(None)
    with pytest.raises(DataError, match="cannot be read"):
        parts.opened("/dev/zero")


def test_names_from_the_page_stay_in_the_folder(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(next(iter(shipped().values())))
    for name in ("../x", "/etc", str(tmp_path), "link", None, 3):
        with pytest.raises(UsageError, match="There is no model"):
            catalog.place(name)
    assert "mnist/pixelcnn" in catalog.models(CanAutoregress)
    assert "mnist/pixelcnn" not in catalog.models(CanDecode)
    assert "dcgan" in catalog.card("mnist/dcgan")


def test_what_is_painted_is_hidden() -> None:
    layer = np.zeros((80, 80, 4), np.uint8)
    layer[:40, :40, 3] = 255
    visible = parts.mask_of({"layers": [layer]}, (8, 8))
    assert not visible[:4, :4].any() and visible.sum() == 48
    with pytest.raises(UsageError, match="Nothing is hidden"):
        parts.mask_of({"layers": [0 * layer]}, (8, 8))


def test_sliders_move_codes(catalog: Catalog) -> None:
    found = knobs(catalog, "mnist/infogan")
    values = [k[4] for k in found]
    first = moved(catalog, "mnist/infogan", 0, values)
    assert torch.equal(first, moved(catalog, "mnist/infogan", 0, values))
    assert not torch.equal(first, moved(catalog, "mnist/infogan", 0, [3.0, *values[1:]]))
    ends = (
        between(catalog, "mnist/vae", 0, (1, 2), 0.0),
        between(catalog, "mnist/vae", 0, (1, 2), 1),
    )
    swapped = between(catalog, "mnist/vae", 0, (2, 1), 0.0)
    assert torch.equal(ends[1], swapped) and not torch.equal(*ends)
    assert picked("3, 17") == [3, 17]
    for wrong in ("", "x", "32", "-1"):
        with pytest.raises(UsageError, match="names no samples"):
            picked(wrong)


def test_a_file_of_compressed_images_gives_them_back(catalog: Catalog) -> None:
    x = coded(catalog, "mnist/pixelcnn", None, 7)
    table, back, file = zipped(catalog, "mnist/pixelcnn", x)
    assert torch.equal(back, x) and file.stat().st_size > 0 and "PNG" in table


def test_an_uploaded_folder_is_copied_after_it_was_decoded(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.png", tmp_path / "b.png"
    good.write_bytes(png())
    bad.write_text("text")
    with pytest.raises(DataError, match="cannot be decoded"):
        learn_tab.kept([str(good), str(bad)], tmp_path / "uploads")
    assert not (tmp_path / "uploads").exists()
    place = learn_tab.kept([str(good)], tmp_path / "uploads")
    assert [path.name for path in place.iterdir()] == ["00000.png"]
    with pytest.raises(UsageError, match="holds 0 images"):
        learn_tab.kept([], tmp_path)


def test_a_process_is_known_by_its_beginning() -> None:
    assert beginning(os.getpid()) and beginning(os.getpid()) == beginning(os.getpid())
    assert beginning(2**22 + 5) == ""


def test_no_training_at_first(tmp_path: Path) -> None:
    training = Training(tmp_path)
    assert not training.running() and training.run() is None
    assert learn_tab.watch(training)[0].startswith("No training runs")
    with pytest.raises(UsageError, match="No training runs"):
        training.stop()


def test_one_training_at_a_time_which_stops_and_resumes(tmp_path: Path) -> None:
    training = Training(tmp_path)
    words = ("dcgan", "--recipe", "mnist-small", "--out", str(tmp_path))
    training.start(*words, "--training.log-every", "1000", "--training.save-minutes", "0.05")
    with pytest.raises(UsageError, match="runs already"):
        Training(tmp_path).start("vae")

    def until(true: object) -> None:
        for _ in range(600):
            if true():  # type: ignore[operator]
                return
            time.sleep(0.5)
        raise AssertionError(training.said())

    until(lambda: (run := training.run()) and len(run.metrics()) > 1)
    status, frame, losses = learn_tab.watch(Training(tmp_path))  # a page that was opened later
    assert status.startswith("**Running**") and len(losses) and frame is not None
    training.stop()
    until(lambda: not training.running())
    [name] = Catalog(tmp_path).unfinished()
    seen = Catalog(tmp_path)
    training.start("--resume", str(seen.place(name)))
    until(lambda: (run := training.run()) and len(run.metrics()) > len(losses) // 2)
    training.stop()
    until(lambda: not training.running())
