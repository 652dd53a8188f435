"""Ensembles, confusion tables and the commands that print them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.errors import DataError, MissingCapability, UsageError
from zeuxis.evaluation.classification import classify, score


def oracle(table: list[list[float]], spec: Spec | None = None) -> SimpleNamespace:
    """A classifier that looks the class probabilities of an image up by its first pixel."""
    chances = torch.tensor(table)
    found = spec or Spec("tiny", (1, 2, 2), chances.shape[1])
    return SimpleNamespace(
        name="oracle", spec=found, classify=lambda x: chances[x[:, 0, 0, 0].long()]
    )


def four(labels: list[int], classes: int = 2) -> Dataset:
    """Images distinguished by their first pixel."""
    x = (
        torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None]
        .expand(-1, 1, 2, 2)
        .contiguous()
    )
    return Dataset(Spec("tiny", (1, 2, 2), classes), x, torch.tensor(labels))


A, B = (
    [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.45, 0.55]],
    [[0.3, 0.7], [0.8, 0.2], [0.1, 0.9], [0.9, 0.1]],
)


def test_an_ensemble_is_the_mean_of_its_members_probabilities() -> None:
    data = four([0, 0, 1, 0])
    mean = classify([oracle(A), oracle(B)], data.all())
    torch.testing.assert_close(mean, (torch.tensor(A) + torch.tensor(B)).double() / 2)
    torch.testing.assert_close(classify([oracle(B), oracle(A)], data.all(), batch=3), mean)
    found, chances = score([oracle(A), oracle(B)], data)
    assert torch.equal(chances, mean)
    assert (found.members, found.errors, found.images) == ((2, 1), 0, 4)
    assert (found.mean, found.accuracy) == (1.5, 100.0)
    assert found.deviation == pytest.approx(0.5**0.5)


def test_a_confusion_table_has_true_classes_as_rows_and_leaves_the_unlabeled_out() -> None:
    found, chances = score(oracle(A), four([0, 0, 1, -1]), split="test")
    assert found.confusion == ((1, 1), (0, 1))
    assert len(chances) == 4
    assert str(found) == "tiny: 66.67 % of 3 test images, 1 errors"
    assert found.as_dict()["confusion"] == found.confusion


def test_models_that_do_not_go_together_are_refused() -> None:
    other = oracle([[0.2, 0.3, 0.5]] * 4)
    data = four([0, 1, 0, 1])
    with pytest.raises(UsageError, match="do not go together"):
        classify([oracle(A), other], data.all())
    with pytest.raises(UsageError, match="at least one"):
        classify([], data.all())
    with pytest.raises(UsageError, match="trained on"):
        classify(oracle(A), torch.zeros(2, 1, 3, 3, dtype=torch.uint8))
    with pytest.raises(UsageError, match="at least one"):
        classify(oracle(A), data.all()[:0])
    with pytest.raises(MissingCapability, match="cannot classify"):
        classify(tiny.model("dcgan"), tiny.images().all())
    with pytest.raises(UsageError, match="give data of the same classes"):
        score(other, data)
    with pytest.raises(DataError, match="No image of 'tiny' has a label"):
        score(oracle(A), four([-1, -1, -1, -1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of digits, one of something else, images and labeled arrays."""
    at = tmp_path_factory.mktemp("classify")
    for seed in (0, 1):
        save(tiny.model("improved-gan", seed), at / f"run{seed}")
    save(tiny.model("improved-gan", supervised=False), at / "unsupervised")
    save(tiny.model("dcgan"), at / "dcgan")
    data = tiny.images(60)
    np.savez(at / "set.npz", images=data.all().numpy(), labels=data.labels.numpy())
    (at / "pictures").mkdir()
    for i in range(3):
        Image.fromarray(data.all()[i, 0].numpy()).resize((60, 40)).save(
            at / "pictures" / f"{i}.png"
        )
    return at


def test_image_files_of_any_size_are_classified(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")  # narrower than any path
    sheet = tmp_path / "classes.csv"
    assert (
        main(
            [
                "classify",
                *(str(folder / f"run{i}") for i in (0, 1)),
                str(folder / "pictures"),
                "--top",
                "2",
                "--csv",
                str(sheet),
            ]
        )
        == 0
    )
    rows = list(csv.reader(sheet.open()))
    assert rows[0][:3] == ["image", "class", "0"]
    assert len(rows) == 4
    lines = capsys.readouterr().out.splitlines()
    for line, (image, name, *chances) in zip(lines[:3], rows[1:], strict=True):
        first, second = sorted(map(float, chances), reverse=True)[:2]
        assert re.fullmatch(
            rf"{re.escape(image)}: {name} {100 * first:.1f}%, \d {100 * second:.1f}%", line
        )
        assert sum(map(float, chances)) == pytest.approx(1, abs=1e-4)
        assert int(name) == int(np.argmax([float(c) for c in chances]))


def test_a_negative_is_classified_as_its_original(folder: Path, tmp_path: Path) -> None:
    x = tiny.images(1).all()[0, 0].numpy()
    for name, array in (("a", x), ("b", 255 - x)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
        words = [
            "classify",
            str(folder / "run0"),
            str(tmp_path / f"{name}.png"),
            "--csv",
            str(tmp_path / f"{name}.csv"),
        ]
        assert main(words + (["--invert"] if name == "b" else [])) == 0
    assert [row[1:] for row in csv.reader((tmp_path / "a.csv").open())] == [
        row[1:] for row in csv.reader((tmp_path / "b.csv").open())
    ]


def test_a_set_gives_a_confusion_table_a_record_and_its_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [
        "classify",
        str(folder / "run0"),
        str(folder / "run1"),
        "--data",
        str(folder / "set.npz"),
    ]
    record, picture = tmp_path / "record.json", tmp_path / "wrong.png"
    assert main([*words, "--record", str(record), "--mistakes", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "by the mean of 2 models" in " ".join(out.split())
    figures = json.loads(record.read_text())["figures"]
    assert len(figures["members"]) == 2
    assert sum(map(sum, figures["confusion"])) == figures["images"] == 60
    assert figures["errors"] == 60 - sum(figures["confusion"][k][k] for k in range(10))
    assert Image.open(picture).width > 100


def test_evaluate_gives_classes_and_samples_or_only_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "evaluate",
        str(folder / "run0"),
        "--data",
        str(folder / "set.npz"),
        "--network",
        "mnist/classifier",
        "--n",
        "20",
    ]
    assert main([*words, "--only", "classification"]) == 0
    only = capsys.readouterr().out
    assert "predicted class" in only
    assert "Frechet" not in only and "Fréchet" not in only
    assert main([*words, "--only", "samples"]) == 0
    assert "predicted class" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("classify", "Name the model first"),
        ("classify {0}/pictures", "Name the model first"),
        ("classify {0}/run0", "Give either image files"),
        ("classify {0}/run0 {0}/pictures --data mnist", "Got both"),
        ("classify {0}/run0 {0}/absent.png", "There is no"),
        ("classify {0}/run0 {0}/set.npz", "cannot be decoded"),
        ("classify {0}/dcgan {0}/pictures", "cannot classify"),
        ("classify {0}/unsupervised {0}/pictures", "its settings rule it out"),
        ("classify {0}/run0 {0}/pictures --record r.json", "needs a labeled set"),
        ("classify {0}/run0 {0}/pictures --top 0", "--top must be at least 1"),
        ("classify {0}/run0 --data heads", "needs labels"),
        ("classify {0}/run0 --data {0}/set.npz --split dev", "expected test or train"),
        ("evaluate {0}/dcgan --data {0}/set.npz --only classification", "cannot classify"),
    ],
)
def test_what_cannot_be_classified_is_said_in_a_sentence(
    words: str, sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.format(folder).split()) in (1, 2)
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_members_trained_elsewhere_count_by_what_they_said(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one, two, data = str(folder / "run0"), str(folder / "run1"), str(folder / "set.npz")
    for name, sheet in ((one, "one.csv"), (two, "two.csv.gz")):
        assert main(["classify", name, "--data", data, "--csv", str(tmp_path / sheet)]) == 0
    both = [
        [one, two],
        [one, str(tmp_path / "two.csv.gz")],
        [str(tmp_path / "one.csv"), str(tmp_path / "two.csv.gz")],
    ]
    found = []
    for i, members in enumerate(both):
        record = tmp_path / f"{i}.json"
        assert main(["classify", *members, "--data", data, "--record", str(record)]) == 0
        found.append(json.loads(record.read_text()))
    assert found[0]["figures"] == found[1]["figures"] == found[2]["figures"]
    assert found[2]["training"][1]["probabilities"] == "two.csv.gz"
    again = (tmp_path / "two.csv.gz").read_bytes()
    assert main(["classify", two, "--data", data, "--csv", str(tmp_path / "two.csv.gz")]) == 0
    assert (tmp_path / "two.csv.gz").read_bytes() == again


@pytest.mark.parametrize(
    ("content", "more", "sentence"),
    [
        (b"image,class,a,b\n0,a,1,0\n", [], "has the classes a, b, expected 0, 1"),
        (b"", [], "cannot be read as a table"),
        (b"\x1f\x8b damaged", [], "cannot be read as a table"),
        (b"image,class,0,1,2,3,4,5,6,7,8,9\n0,0,2,0,0,0,0,0,0,0,0,0\n", [], "Line 2"),
        (
            b"image,class,0,1,2,3,4,5,6,7,8,9\n0,0,1,0,0,0,0,0,0,0,0,0\n",
            [],
            "10 probabilities for 1 images; 10 for each of 60",
        ),
    ],
)
def test_a_table_that_holds_something_else_is_refused(
    content: bytes,
    more: list[str],
    sentence: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    sheet = tmp_path / "said.csv"
    sheet.write_bytes(content)
    assert main(
        ["classify", str(folder / "run0"), str(sheet), "--data", str(folder / "set.npz"), *more]
    ) in (1, 2)
    error = capsys.readouterr().err
    assert sentence in error.replace("\n", " ")
    assert len(error.splitlines()) == 1
    assert main(["classify", str(folder / "run0"), str(sheet), str(folder / "pictures")]) in (1, 2)
    assert "name the set with --data" in capsys.readouterr().err.replace("\n", " ")
