"""What a folder scan takes and leaves out, counted and said alike by `data check` and by a
training; and tables of labels."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny
from zeuxis.cli import main
from zeuxis.data import Dataset, check, load_data
from zeuxis.data.config import DataConfig
from zeuxis.data.images import image_paths
from zeuxis.data.scan import scan
from zeuxis.errors import DataError
from zeuxis.experiments.experiment import Experiment
from zeuxis.experiments.train import start
from zeuxis.vae.vae import VAEConfig

random = np.random.default_rng(0)


def save(path: Path, form: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path, form)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Three cats and three dogs."""
    for kind in ("cat", "dog"):
        for i in range(3):
            save(tmp_path / "pets" / kind / f"{i}.png")
    return tmp_path / "pets"


def labels(data: Dataset) -> list[int]:
    assert data.labels is not None
    return data.labels.tolist()


def taken(folder: Path) -> tuple[list[int], tuple[str, ...]]:
    """Labels and notes of what is trained on, which `data check` must count and say alike."""
    data, report = load_data(str(folder)), check(str(folder))
    assert (
        report.images == len(data)
        and tuple(report.notes) == data.facts.notes
        and report.fatal is None
    )
    assert all(note in str(report) for note in report.notes)
    return labels(data), data.facts.notes


SIX = [0, 0, 0, 1, 1, 1]


def test_nothing_is_said_of_a_clean_folder(pets: Path) -> None:
    assert taken(pets) == (SIX, ())


def test_a_stray_picture_costs_no_labels(pets: Path) -> None:
    save(pets / "contact-sheet.png")
    assert taken(pets) == (
        SIX,
        ("Left out: 1 picture beside the class folders (contact-sheet.png).",),
    )


def test_endings_of_jpeg(pets: Path) -> None:
    for path in list((pets / "dog").iterdir()):
        save(path.with_suffix(".JFIF" if path.stem == "1" else ".jfif"), "JPEG")
        path.unlink()
    assert taken(pets) == (SIX, ())


def test_hidden_files_other_types_and_empty_folders(pets: Path) -> None:
    save(pets / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png")
    save(pets / "__MACOSX" / "cat" / "0.png")
    save(pets / "cat" / "._0.png")
    (pets / "cow" / "sub").mkdir(parents=True)
    for name in ("notes.txt", "cat/a.heic", "cat/Thumbs.db", "dog/b.csv", "dog/c.csv"):
        (pets / name).write_text("x")
    found, notes = taken(pets)
    assert found == SIX and len(notes) == 1
    for part in (
        "4 files of other types (",
        "4 hidden files or folders (",
        "1 folder without images (cow/sub)",
    ):
        assert part in notes[0]
    assert "cat/.ipynb_checkpoints" in notes[0] or ", ..." in notes[0]


def test_a_folder_called_like_an_image(pets: Path) -> None:
    save(pets / "bird.png" / "0.png")
    assert (
        taken(pets)[0] == [0, 1, 1, 1, 2, 2, 2]
        and load_data(str(pets)).spec.class_names[0] == "bird.png"
    )


def test_linked_folders_are_followed_once(pets: Path) -> None:
    save(pets.parent / "elsewhere" / "a.png")
    for name, goal in (
        *(
            ("cow", pets.parent / "elsewhere"),
            ("cow2", pets.parent / "elsewhere"),
            ("cat2", pets / "cat"),
        ),
        *(("loop", pets), ("cat/loop", pets / "cat"), ("up", pets.parent), ("root", Path("/"))),
    ):
        (pets / name).symlink_to(goal, target_is_directory=True)
    found, notes = taken(pets)
    assert found == [0, 0, 0, 1, 2, 2, 2] and load_data(str(pets)).spec.class_names == (
        "cat",
        "cow",
        "dog",
    )
    assert "6 links to folders read already (" in notes[0]


def test_links_to_nothing_and_what_is_no_file(pets: Path) -> None:
    (pets / "cat" / "gone.png").symlink_to("/nowhere/b.png")
    (pets / "cat" / "self.png").symlink_to(pets / "cat" / "self.png")
    os.mkfifo(pets / "cat" / "pipe.png")
    (pets / "cat" / "zero.png").symlink_to("/dev/zero")
    (pets / "dog" / "linked.png").symlink_to(pets / "cat" / "0.png")
    found, notes = taken(pets)
    assert found == [*SIX, 1]
    assert (
        "2 links to nothing (cat/gone.png, cat/self.png), 2 pipes, devices or sockets "
        "(cat/pipe.png, cat/zero.png)"
    ) in notes[0]
    assert len(image_paths([str(pets)])) == 7


def test_folders_within_classes_and_around_them(pets: Path) -> None:
    save(pets / "cat" / "persian" / "9.png")
    found, notes = taken(pets)
    assert found == [0, *SIX] and notes == (
        "Pictures in folders within class folders count to their class: 1.",
    )
    (pets.parent / "archive" / "deep").mkdir(parents=True)
    pets.rename(pets.parent / "archive" / "deep" / "pets")
    assert taken(pets.parent / "archive")[0] == [0, *SIX]


def test_names_that_are_no_utf8(pets: Path) -> None:
    os.rename(os.fsencode(pets / "cat"), os.fsencode(pets) + b"/caf\xe9")
    os.rename(os.fsencode(pets / "dog" / "0.png"), os.fsencode(pets / "dog") + b"/\xff\n.png")
    assert taken(pets) == (SIX, ()) and load_data(str(pets)).spec.class_names == ("caf\xe9", "dog")
    with open(os.fsencode(pets / "dog") + b"/\xff\n.png", "wb") as file:
        file.write(b"no image")
    with pytest.raises(DataError, match=r"\xff\\n.png' cannot be decoded"):
        load_data(str(pets))


def test_a_training_says_the_same_numbers(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(pets / "contact-sheet.png")
    (pets / "cat" / "gone.png").symlink_to("/nowhere/b.png")
    for i in range(14):
        save(pets / "cat" / f"more{i}.png")
    assert main(["data", "check", str(pets)]) == 0
    checked = capsys.readouterr().out
    small = VAEConfig(channels=(4, 4), hidden_dim=8, latent_dim=2)
    training = tiny.training(images=8, batch=4, device="cpu")
    start(Experiment("vae", small, training, DataConfig(str(pets))), tmp_path / "runs")
    reported = " ".join(capsys.readouterr())
    sentence = (
        "Left out: 1 picture beside the class folders (contact-sheet.png), 1 link "
        "to nothing (cat/gone.png)."
    )
    assert sentence in checked and sentence in reported and "20 images" in checked
    numbers = re.search(r"learn from (\d+) examples(?:, (\d+) more are held out)?", reported)
    assert numbers and sum(int(n or 0) for n in numbers.groups()) == 20


def test_an_unreadable_folder_is_named(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def locked(path: Path) -> object:
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(DataError, match=r"dog' cannot be read \(Permission denied\)"):
        load_data(str(pets))


def test_a_very_deep_folder(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 100)
    save(deep / "0.png")
    save(tmp_path / "1.png")
    assert len(scan(tmp_path).images) == 1 and "deep" in scan(tmp_path).left_out


# Tables of labels.


@pytest.fixture
def four(tmp_path: Path) -> Path:
    for i in range(4):
        save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder.parent / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


HEADS = [
    "file,label",
    "filename,class",
    "Image_ID;Category",
    "path\ttarget",
    " file , label ",
    "id,breed",
    "label_name|image",
]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_in_other_words(four: Path, head: str, encoding: str) -> None:
    separator = next(c for c in ",;\t|" if c in head)
    rows = [("./0.png", "cat"), ("images/1.png", "dog"), ("2", "cat")]
    cells = [row[::-1] if head.startswith("label") else row for row in rows]
    text = "\r\n".join([head, *(separator.join(row) for row in cells)])
    data = load_data(str(four), labels=table(four, text, encoding))
    assert labels(data) == [0, 1, 0, -1] and data.spec.class_names == ("cat", "dog")


@pytest.mark.parametrize("unknown", ["-1", "-1.0", "NaN", "nan", "", " ", "NA", "null"])
def test_labels_that_are_none(four: Path, unknown: str) -> None:
    data = load_data(
        str(four),
        labels=table(four, f"file,label\n0.png,3\n1.png,{unknown}\n2.png,7\n3.png,{unknown}\n"),
    )
    assert labels(data) == [0, -1, 1, -1] and data.spec.class_names == ("3", "7")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (("1", "2", "3"), ("1", "2", "3")),
        (("1.0", "10.0", "2.0"), ("1", "2", "10")),
        (("b", "2", "a"), ("2", "a", "b")),
    ],
)
def test_labels_are_classes_in_their_order(
    four: Path, given: tuple[str, ...], names: tuple[str, ...]
) -> None:
    data = load_data(
        str(four),
        labels=table(four, "file,label\n" + "".join(f"{i}.png,{v}\n" for i, v in enumerate(given))),
    )
    assert data.spec.class_names == names and data.spec.classes == 3
    assert [data.spec.class_names[k] for k in labels(data)[:3]] == [
        v.removesuffix(".0") for v in given
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\n0.png,cat,extra\n", "Line 2 of '.*labels.csv' has 3 cells, expected 2"),
        ("file,label\n0.png,cat\n1.png\n", "Line 3 of '.*labels.csv' has 1 cells, expected 2"),
        ("file,label\n0.png,cat\n./0.png,dog\n", "give '0.png' two labels, 'cat' and 'dog'"),
        ("0.png,cat\n1.png,dog\n", "need a first line `file,label` .* first line is `0.png,cat`"),
        ("file,label\n", "need a first line `file,label`"),
        ("", "need a first line `file,label`"),
        ("file,label\n../0.png,cat\n", "name '../0.png', which is not in"),
        ("file,label\n\0,cat\n", "labels.csv"),
        ("file,label\n0.png," + "9" * 5000 + "\n1.png,x\n2.png,9\n", None),
    ],
)
def test_tables_that_contradict_themselves(four: Path, text: str, sentence: str | None) -> None:
    path = table(four, text)
    if sentence is None:
        assert load_data(str(four), labels=path).spec.classes == 3
        return
    with pytest.raises(DataError, match=sentence):
        load_data(str(four), labels=path)


def test_trailing_separators_and_the_table_itself_are_no_matter(four: Path) -> None:
    path = table(four, "file;label;\n0.png;cat;\n1.png;dog;\n")
    path = path.rename(four / "labels.csv")
    data = load_data(str(four), labels=path)
    assert labels(data) == [0, 1, -1, -1] and data.facts.notes == ()


def test_one_table_for_both_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for i in range(2):
            save(tmp_path / "set" / part / f"{part}{i}.png")
    text = "file,label\n" + "".join(
        f"{part}/{part}{i}.png,{'ab'[i]}\n" for part in ("train", "test") for i in range(2)
    )
    path = tmp_path / "labels.csv"
    path.write_text(text)
    for split in ("train", "test"):
        data = load_data(str(tmp_path / "set"), split=split, labels=path)
        assert labels(data) == [0, 1] and data.facts.part == split


def test_a_byte_order_mark_is_no_letter(tmp_path: Path) -> None:
    words = "voil\xe0 l'\xe9t\xe9 " * 80
    for encoding, text in (
        ("utf-8-sig", words),
        ("utf-16", words),
        ("utf-8", words + "\ufeff" + words),
        ("utf-8", words),
    ):
        (book := tmp_path / "book.txt").write_bytes(text.encode(encoding))
        assert load_data(str(book), size=16).spec.class_names == tuple(sorted(set(words)))
