"""The checker: it counts what is there, names what is broken, and refuses what training would
refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zeuxis.commands.data import main
from zeuxis.data import check, load_data
from zeuxis.errors import DataError, UsageError

random = np.random.default_rng(0)


def save(path: Path, *shape: int, value: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    x = (
        random.integers(0, 256, shape, np.uint8)
        if value is None
        else np.full(shape, value, np.uint8)
    )
    Image.fromarray(x).save(path)
    return path


def good(folder: Path) -> None:
    for i in range(6):
        save(folder / ("ant" if i < 4 else "bee") / f"{i}.png", 6, 8, 3)


def mixed_sizes(folder: Path) -> None:
    good(folder)
    save(folder / "bee" / "9.png", 7, 7, 3)


def mixed_channels(folder: Path) -> None:
    good(folder)
    save(folder / "bee" / "9.png", 6, 8)


def corrupt(folder: Path) -> None:
    good(folder)
    for name in ("ant/7.png", "bee/8.png"):
        (folder / name).write_bytes((folder / "ant" / "0.png").read_bytes()[:60])


def empty(folder: Path) -> None:
    folder.mkdir()


def without_images(folder: Path) -> None:
    folder.mkdir()
    np.savez(folder / "a.npz", images=np.zeros((0, 4, 4), np.uint8))


def too_few_labels(folder: Path) -> None:
    folder.mkdir()
    np.savez(
        folder / "a.npz", images=random.integers(0, 256, (5, 4, 4), np.uint8), labels=np.arange(4)
    )


def test_a_good_folder(tmp_path: Path) -> None:
    good(tmp_path / "x")
    report = check(str(tmp_path / "x"))
    assert (report.images, report.fatal, report.duplicates, report.constant, report.corrupt) == (
        6,
        None,
        0,
        0,
        [],
    )
    assert dict(report.sizes) == {(6, 8): 6} and dict(report.channels) == {3: 6}
    assert dict(report.classes) == {"ant": 4, "bee": 2} and report.problems == []


def test_the_report_reads_well(tmp_path: Path) -> None:
    good(tmp_path)
    assert str(check(str(tmp_path))).splitlines()[1:] == [
        "  width x height: 8x6 (6)",
        "  channels: 3 (6)",
        "  classes: ant (4), bee (2)",
        "  corrupt: 0, duplicates: 0, of a single color: 0",
        "It can be trained on.",
    ]


@pytest.mark.parametrize("make", [corrupt, empty, without_images, too_few_labels])
def test_what_training_would_refuse_is_refused_alike(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "x")
    report = check(str(tmp_path / "x"))
    assert report.fatal and str(report).endswith("It cannot be trained on as it is.")
    with pytest.raises(DataError) as refused:
        load_data(str(tmp_path / "x"))
    reported = {"too_few_labels": "5 images and 4 labels"}
    reported |= {
        "corrupt": "7.png' cannot be decoded",
        "empty": "holds no train images",
        "without_images": "holds no images",
    }
    assert reported[make.__name__] in report.fatal and reported[make.__name__] in str(refused.value)
    assert report.fatal.count("\n") == 0 and report.fatal.endswith(".")


def test_every_corrupt_image_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    corrupt(tmp_path)
    report = check(str(tmp_path))
    assert report.images == 8 and report.sizes.total() == 6
    assert [sentence.split("'")[1] for sentence in report.corrupt] == [
        str(tmp_path / "ant/7.png"),
        str(tmp_path / "bee/8.png"),
    ]
    assert report.fatal is not None and report.fatal.endswith("; further corrupt images: 1.")
    (tmp_path / "bee/8.png").unlink()
    one = check(str(tmp_path))
    assert one.fatal == one.corrupt[0]
    for i in range(20):
        (tmp_path / f"ant/bad{i}.png").write_text("no image")
    assert "Further images that cannot be decoded: 11." in check(str(tmp_path)).problems


def test_copies_and_single_colors(tmp_path: Path) -> None:
    good(tmp_path)
    content = (tmp_path / "ant" / "0.png").read_bytes()
    for name in ("a", "b"):
        (tmp_path / "bee" / f"{name}.png").write_bytes(content)
    save(tmp_path / "bee" / "black.png", 6, 8, 3, value=0)
    save(tmp_path / "cow" / "gray.png", 6, 8, 3, value=7)
    report = check(str(tmp_path))
    assert (report.duplicates, report.constant, report.fatal) == (2, 2, None)
    assert report.problems == [
        "Images that equal an earlier one in every pixel: 2.",
        "Images of a single color: 2.",
        "Classes with a single image: 1 (cow).",
    ]


def test_the_same_bytes_in_another_shape_are_no_copy(tmp_path: Path) -> None:
    for i, shape in enumerate(((4, 6), (6, 4))):
        Image.fromarray(np.arange(24, dtype=np.uint8).reshape(shape)).save(tmp_path / f"{i}.png")
    assert check(str(tmp_path)).duplicates == 0


def test_unlabeled_images_are_counted_as_such(tmp_path: Path) -> None:
    good(tmp_path / "x")
    (tmp_path / "y.csv").write_text("file,label\nant/0.png,5\nant/1.png,5\n")
    report = check(str(tmp_path / "x"), labels=tmp_path / "y.csv")
    assert dict(report.classes) == {"unlabeled": 4, "5": 2} and report.fatal is None
    with pytest.raises(UsageError, match="for a folder of images"):
        check("mnist", split="test", labels=tmp_path / "y.csv")


def test_mnist_is_sound() -> None:
    report = check("mnist", split="test")
    assert (report.images, report.duplicates, report.constant, report.problems) == (
        10_000,
        0,
        0,
        [],
    )
    assert report.classes["7"] == 1028 and sum(report.classes.values()) == 10_000


def test_the_command_prints_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good(tmp_path / "x")
    main(["check", str(tmp_path / "x")])
    assert "6 images" in capsys.readouterr().out
    mixed_sizes(tmp_path / "y")
    main(["check", str(tmp_path / "y")])  # training brings them to one size
    said = capsys.readouterr().out
    assert (
        "8x6 (6), 7x7 (1)" in said
        and "--size" in said
        and said.strip().endswith("It can be trained on.")
    )
    corrupt(tmp_path / "z")
    with pytest.raises(DataError, match="cannot be decoded"):
        main(["check", str(tmp_path / "z")])


def test_texts_and_sets_that_are_made(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("to be, or not to be; " * 40)
    report = check(str(tmp_path / "book.txt"))
    assert (report.images, report.fatal) == (len(load_data(str(tmp_path / "book.txt"))), None)
    assert "It can be trained on." in str(report) and "of its 9 different characters" in str(report)
    assert check("heads", split="test").sizes == {(32, 32): 10_000}
    assert check("mnist-static", split="test").classes == check("mnist", split="test").classes
    (tmp_path / "short.txt").write_text("a")
    assert "a piece takes 128" in (check(str(tmp_path / "short.txt")).fatal or "")


def test_images_of_which_little_can_be_seen(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(random.integers(0, 4096, (6, 6)).astype(np.uint16)).save(
            tmp_path / f"{i}.tif"
        )
    report = check(str(tmp_path))
    assert report.dark == 3 and report.problems == [
        "Images that are nearly black: 3; in files of 16 bits white is 65535."
    ]
