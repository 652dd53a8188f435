"""Parts of a data set by whatever name: folders, arrays, tables and files; validation stays out,
and what is left out is said."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zeuxis.data import Dataset, Spec, load_data
from zeuxis.data.facts import Facts
from zeuxis.data.parts import part_of, role_of
from zeuxis.errors import DataError


def gray(n: int, level: int) -> np.ndarray:
    return np.full((n, 8, 8), level, np.uint8)


def save(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gray(1, level)[0]).save(path)


def tree(root: Path, folders: dict[str, int], each: int = 2) -> str:
    """Images of a gray level in each folder."""
    for folder, level in folders.items():
        for i in range(each):
            save(root / folder / f"{i}.png", level)
    return str(root)


def levels(data: Dataset) -> set[int]:
    return set(data.all()[:, 0, 0, 0].tolist())


@pytest.mark.parametrize(
    "name",
    [
        "train",
        "Training",
        "TRAIN",
        "train_set",
        "trainset",
        "train2017",
        "X_train",
        "xTrain",
        "train-00000-of-00002",
    ],
)
def test_names_of_the_training_part(name: str) -> None:
    assert part_of(name) == "train" and part_of(
        name.replace("rain", "est").replace("RAIN", "EST")
    ) in ("test", None)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(
            (name, "test")
            for name in ("test", "Testing", "t10k-images", "x_test", "testset", "test1")
        ),
        *(
            (name, "validation")
            for name in ("val", "valid", "Validation", "dev", "val_images", "y_val", "eval")
        ),
        *(
            (name, None)
            for name in (
                "contest",
                "latest",
                "devil",
                "evaluate_me",
                "trained",
                "x",
                "train_test",
                "valley",
                "cat",
            )
        ),
        ("trainval", "train"),
    ],
)
def test_names_of_parts(name: str, part: str | None) -> None:
    assert part_of(name) == part


def test_names_of_arrays() -> None:
    assert [
        role_of(n) for n in ("x_train", "Y", "train_labels", "imgs", "targets_test", "latents")
    ] == [*("images", "labels", "labels", "images", "labels"), None]


NAMES = [
    ("training", "testing"),
    ("Train", "Test"),
    ("TRAIN", "TEST"),
    ("train_images", "test_images"),
    ("seg_train", "seg_test"),
]


@pytest.mark.parametrize(("first", "second"), NAMES)
@pytest.mark.parametrize(
    "form", ["{part}/{kind}", "archive/{part}/{kind}", "{part}/{part}/{kind}", "{kind}/{part}"]
)
def test_folders(tmp_path: Path, first: str, second: str, form: str) -> None:
    level = {first: 10, second: 200, "val": 90}
    if "seg" in first:
        level = (
            {first: 10, second: 200, "seg_pred": 90}
            if form.startswith("{part}")
            else {first: 10, second: 200}
        )
    root = tree(
        tmp_path,
        {form.format(part=part, kind=kind): v for part, v in level.items() for kind in "ab"},
    )
    for split, expected in (("train", 10), ("test", 200)):
        data = load_data(root, split=split)
        assert (
            levels(data) == {expected}
            and data.facts.part == split
            and data.spec.class_names == ("a", "b")
        )
        assert data.labels is not None and data.labels.tolist() == [0, 0, 1, 1]
        assert (len(level) < 3) == (not data.facts.notes) and all(
            note.startswith("Left out: 4 pictures") for note in data.facts.notes
        )


def test_classes_are_numbered_alike_in_both_parts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {"train/a": 1, "train/b": 2, "train/c": 3, "test/c": 3, "test/b": 2, "test/zebra": 9},
    )
    data = load_data(root, split="test")
    assert data.labels is not None and data.labels.tolist() == [1, 1, 2, 2, -1, -1]
    assert data.spec.class_names == ("a", "b", "c") and "zebra" in data.facts.notes[0]


def test_a_set_without_a_test_part_has_one_part(tmp_path: Path) -> None:
    one, two = (
        tree(tmp_path / "1", {"a": 1, "b": 2}),
        tree(tmp_path / "2", {"train/a": 1, "train/b": 2, "val/a": 3}),
    )
    for root in (one, two):
        train, test = (load_data(root, split=split) for split in ("train", "test"))
        assert (
            train.facts.part == test.facts.part == "all"
            and train.fingerprint() == test.fingerprint()
            and levels(test) == {1, 2}
        )
    only = tree(tmp_path / "3", {"test/a": 1, "test/b": 2})
    assert len(load_data(only, split="test")) == 4
    with pytest.raises(DataError, match="holds a folder 'test' and none named 'train'"):
        load_data(only)
    with pytest.raises(DataError, match="holds a folder 'validation' and none named 'train'"):
        load_data(tree(tmp_path / "4", {"val/a": 1}))


def test_a_folder_beside_a_test_part_is_for_training_and_a_train_may_be_a_vehicle(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path / "1", {"cat": 1, "dog": 2, "testing": 9})
    data = load_data(root)
    assert (
        data.spec.class_names == ("cat", "dog")
        and levels(data) == {1, 2}
        and levels(load_data(root, split="test")) == {9}
    )
    assert load_data(tree(tmp_path / "2", {"bus": 1, "car": 2, "train": 3})).spec.class_names == (
        "bus",
        "car",
        "train",
    )
    vehicles = load_data(
        tree(tmp_path / "3", {f"{p}/{k}": 1 for p in ("train", "test") for k in ("bus", "train")})
    )
    assert vehicles.spec.class_names == ("bus", "train") and vehicles.facts.part == "train"


KERAS = {
    "x_test": gray(4, 9),
    "x_train": gray(10, 1),
    "y_train": np.arange(10) % 2,
    "y_test": np.arange(4) % 2,
}
MEDMNIST = {
    **{
        "train_images": gray(10, 1),
        "val_images": gray(3, 5),
        "test_images": gray(4, 9),
        "train_labels": (np.arange(10) % 2)[:, None],
    },
    **{"val_labels": np.zeros((3, 1), int), "test_labels": (np.arange(4) % 2)[:, None]},
}
UPPER = {
    "X_train": gray(10, 1),
    "Y_train": np.eye(2)[np.arange(10) % 2],
    "X_test": gray(4, 9),
    "Y_test": np.eye(2)[np.arange(4) % 2],
}
PLAIN = {
    "images": gray(10, 1),
    "labels": np.arange(10) % 2,
    "test_images": gray(4, 9),
    "test_labels": np.arange(4) % 2,
}
WORDS = {**KERAS, "y_train": np.array(["cat", "dog"] * 5), "y_test": np.array(["cat", "dog"] * 2)}


@pytest.mark.parametrize(
    "arrays",
    [KERAS, MEDMNIST, UPPER, PLAIN, WORDS],
    ids=["keras", "medmnist", "one-hot", "plain", "words"],
)
def test_arrays(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    for split, level, n in (("train", 1, 10), ("test", 9, 4)):
        data = load_data(str(tmp_path / "a.npz"), split=split)
        assert levels(data) == {level} and len(data) == n and data.facts.part == split
        assert (
            data.labels is not None
            and data.labels.tolist() == [i % 2 for i in range(n)]
            and data.spec.classes == 2
        )
        assert bool(data.facts.notes) == ("val_images" in arrays)


def test_labels_from_one_make_no_class_more(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        x_train=gray(6, 1),
        y_train=np.arange(6) % 3 + 1,
        x_test=gray(2, 9),
        y_test=np.array([3, 2]),
    )
    train, test = (load_data(str(tmp_path / "a.npz"), split=split) for split in ("train", "test"))
    assert (
        train.spec.classes == test.spec.classes == 3
        and train.spec.class_names == test.spec.class_names == ("1", "2", "3")
    )
    assert (
        test.labels is not None
        and test.labels.tolist() == [2, 1]
        and "go from 1 to 3" in test.facts.notes[0]
    )
    np.savez(
        tmp_path / "b.npz",
        x_train=gray(6, 1),
        y_train=np.arange(6) % 3,
        x_test=gray(2, 9),
        y_test=np.array([2, 1]),
    )
    other = load_data(str(tmp_path / "b.npz"), split="test")
    assert other.labels is not None and other.labels.tolist() == [2, 1] and other.spec.classes == 3


def test_files_of_arrays_by_part(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", images=gray(3, 1), labels=np.arange(3))
    np.savez(tmp_path / "test.npz", images=gray(2, 9), labels=np.arange(2))
    assert levels(load_data(str(tmp_path))) == {1}
    data = load_data(str(tmp_path), split="test")
    assert levels(data) == {9} and data.labels is not None and data.facts.part == "test"


def write_idx(path: Path, x: np.ndarray) -> None:
    content = struct.pack(f">BBBB{x.ndim}I", 0, 0, 8, x.ndim, *x.shape) + x.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    "names",
    [("train-", "t10k-"), ("emnist-letters-train-", "emnist-letters-test-"), ("Train.", "Test.")],
)
def test_idx(tmp_path: Path, names: tuple[str, str]) -> None:
    for prefix, level, n in zip(names, (1, 9), (6, 3), strict=True):
        write_idx(tmp_path / f"{prefix}images-idx3-ubyte.gz", gray(n, level))
        write_idx(tmp_path / f"{prefix}labels-idx1-ubyte", (np.arange(n) % 3 + 1).astype(np.uint8))
    for split, level in (("train", 1), ("test", 9)):
        data = load_data(str(tmp_path), split=split)
        assert levels(data) == {level} and data.facts.part == split and data.spec.classes == 3
    write_idx(tmp_path / "other-train-images-idx3-ubyte", gray(2, 5))
    with pytest.raises(DataError, match="holds the data sets .*other"):
        load_data(str(tmp_path))


def table(path: Path, level: int, n: int = 3) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gray(1, level)[0]).save(out := io.BytesIO(), "PNG")
    pq.write_table(pa.table({"image": [out.getvalue()] * n, "label": list(range(n))}), path)


FORMS = [
    "data/{}-00000-of-00001.parquet",
    "{}.parquet",
    "default/{}/0000.parquet",
    "{}/part-0.parquet",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("first", "second"), [("train", "test"), ("training", "testing")])
def test_parquet(tmp_path: Path, form: str, first: str, second: str) -> None:
    for part, level in ((first, 1), (second, 9), ("validation", 5)):
        table(tmp_path / form.format(part), level)
    for split, level in (("train", 1), ("test", 9)):
        data = load_data(str(tmp_path), split=split)
        assert (
            levels(data) == {level}
            and len(data) == 3
            and data.facts.part == split
            and "validation" in data.facts.notes[0]
        )
    one = load_data(str(tmp_path / form.format(second)))
    assert levels(one) == {9} and one.facts.part == "all"


def test_mat(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    for part, level in (("train", 1), ("test", 9), ("extra", 5)):
        io.savemat(
            tmp_path / f"{part}_32x32.mat",
            {"X": np.full((32, 32, 3, 4), level, np.uint8), "y": np.array([[1], [2], [10], [3]])},
        )
    for split, level in (("train", 1), ("test", 9)):
        data = load_data(str(tmp_path), split=split)
        assert levels(data) == {level} and data.facts == Facts(
            part=split, notes=("Left out: extra_32x32.mat.",)
        )


def test_built_in_sets_say_their_part() -> None:
    for name in ("mnist", "faces", "heads", "mnist-static", "multi-mnist", "sprites"):
        for split in ("train", "test"):
            assert load_data(name, split=split, limit=3).facts.part == split


def test_a_part_of_the_hub_by_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    cells = datasets.Dataset.from_dict(
        {"image": [{"bytes": b"", "path": None}]},
        features=datasets.Features({"image": datasets.Image()}),
    )
    asked = []

    def load(_: str, __: str | None, split: str) -> object:
        asked.append(split)
        if split in ("train", "test"):
            raise ValueError(f'Unknown split "{split}". Should be one of {names}.')
        return cells

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_: names)
    from zeuxis.data.sources import open_source

    for names in (["training", "testing"], ["Training", "valid"]):
        assert open_source("someone/pets", "test").part == ("test" if "testing" in names else "all")
    assert [name for name in asked if name != "test"] == ["testing", "Training"]
    names = ["validation"]
    with pytest.raises(DataError, match="no train images"):
        open_source("someone/pets", "train")


# Fingerprints.


def pair(
    n: int = 50, classes: tuple[str, ...] = ("a", "b")
) -> tuple[torch.Tensor, torch.Tensor, Spec]:
    x = torch.randint(
        0, 256, (n, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return x, torch.arange(n) % 2, Spec("tiny", (1, 4, 4), 2, classes)


def test_a_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    x, y, spec = pair()
    mark = Dataset(spec, x, y).fingerprint()
    assert (
        len(mark) == 64
        and mark
        == Dataset(Spec("other", *list(vars(spec).values())[1:]), x.clone(), y).fingerprint()
    )
    np.save(tmp_path / "x.npy", x.numpy())
    assert mark == Dataset(spec, np.load(tmp_path / "x.npy", mmap_mode="r"), y).fingerprint()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    back = torch.argsort(order)
    assert mark == Dataset(spec, x[order], y[order], rows=back).fingerprint()
    for place in (0, 7, 49):
        other = x.clone()
        other[place, 0, 3, 3] ^= 1
        assert Dataset(spec, other, y).fingerprint() != mark
    changed = [
        Dataset(spec, x, 1 - y),
        Dataset(spec, x, None),
        Dataset(pair(classes=("b", "a"))[2], x, y),
        Dataset(spec, x[:49], y[:49]),
    ]
    assert len({mark, *(data.fingerprint() for data in changed)}) == 5


def test_large_sets_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    import zeuxis.data.fingerprint as module

    monkeypatch.setattr(module, "WHOLE", 100)
    monkeypatch.setattr(module, "SAMPLE", 5)
    x, y, spec = pair(n=41)
    mark = Dataset(spec, x, y).fingerprint()
    for place in range(41):
        other = x.clone()
        other[place] ^= 1
        assert (Dataset(spec, other, y).fingerprint() != mark) == (place % 10 == 0)
    assert Dataset(spec, x, 1 - y).fingerprint() != mark


# Labels of arrays.

FORMS_OF_LABELS = {
    "bytes": np.array([b"caf\xc3\xa9", b"\xff", b"a"]),
    "words": np.array(["b", "", "a"]),
    "column": np.array([[0], [2], [1]]),
    "cube": np.zeros((3, 1, 1), int),
    "bool": np.array([True, False, True]),
}
REFUSED_LABELS = {
    "2^63": np.array([0, 1, 2**63], np.uint64),
    "largest": np.array([0, 1, 2**63 - 1]),
    "objects": np.array([1, "a", None], object),
    "complex": np.array([1j, 2, 3]),
    "dates": np.array(["2020-01-01"] * 3, "M8[D]"),
    "several": np.zeros((3, 5), int),
    "one": np.array(3),
}


@pytest.mark.parametrize("kind", FORMS_OF_LABELS)
def test_labels_that_are_taken(tmp_path: Path, kind: str) -> None:
    np.savez(tmp_path / "a.npz", images=gray(3, 1), labels=FORMS_OF_LABELS[kind])
    data = load_data(str(tmp_path / "a.npz"))
    expected = {
        "bytes": [1, 2, 0],
        "words": [1, -1, 0],
        "column": [0, 2, 1],
        "cube": [0, 0, 0],
        "bool": [1, 0, 1],
    }[kind]
    assert data.labels is not None and data.labels.tolist() == expected


@pytest.mark.parametrize("kind", REFUSED_LABELS)
def test_labels_that_are_refused(tmp_path: Path, kind: str) -> None:
    np.savez(tmp_path / "a.npz", images=gray(3, 1), labels=REFUSED_LABELS[kind])
    with pytest.raises(DataError, match=r"labels"):
        load_data(str(tmp_path / "a.npz"))


def test_labels_of_a_parquet_file(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    Image.fromarray(gray(1, 1)[0]).save(out := io.BytesIO(), "PNG")
    for labels, expected in (
        (["b", None, "a"], [1, -1, 0]),
        (pa.array(["b", "a", "a"]).dictionary_encode(), [1, 0, 0]),
        ([3, 1, 2], [2, 0, 1]),
        ([None] * 3, None),
        (pa.array([0, 1, 2**63], pa.uint64()), DataError),
        ([[1], [2], [3]], DataError),
        (pa.array([1, 2, 3], pa.timestamp("s")), DataError),
    ):
        pq.write_table(
            pa.table({"image": [out.getvalue()] * 3, "label": labels}), tmp_path / "a.parquet"
        )
        if expected is DataError:
            with pytest.raises(DataError, match="The labels of"):
                load_data(str(tmp_path / "a.parquet"))
            continue
        data = load_data(str(tmp_path / "a.parquet"))
        assert (None if data.labels is None else data.labels.tolist()) == expected


def test_a_copy_of_a_built_in_set_keeps_its_numbers(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", gray(3, 1))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([1, 2, 3], np.uint8))
    data = load_data(f"mnist={tmp_path}")
    assert (
        data.labels is not None
        and data.labels.tolist() == [1, 2, 3]
        and data.spec.class_names == tuple("0123456789")
    )
    with pytest.raises(DataError, match="holds no test images"):
        load_data(f"mnist={tmp_path}", split="test")


def test_points_that_are_not_finite_are_refused() -> None:
    from zeuxis.data.densities import points

    data = points("ring", 5)
    data.require_finite()
    data.x[2, 1] = float("inf")
    with pytest.raises(DataError, match="1 of the 5 examples of 'ring' hold NaN or infinity"):
        data.require_finite()


def test_labels_of_the_hub_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    Image.fromarray(gray(1, 1)[0]).save(out := io.BytesIO(), "PNG")
    cells = [{"bytes": out.getvalue(), "path": None}] * 3
    for kind, labels, expected in (
        ("int64", [2, 0, 1], [2, 0, 1]),
        ("string", ["b", "a", "b"], [1, 0, 1]),
        ("float64", [0.5, 1.5, 2.5], None),
    ):
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value(kind)})
        rows = datasets.Dataset.from_dict({"image": cells, "label": labels}, features=features)
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, rows=rows, **__: rows)
        data = load_data("someone/pets")
        assert (None if data.labels is None else data.labels.tolist()) == expected
        assert bool(data.facts.notes) == (expected is None)
