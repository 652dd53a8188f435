"""Readers: each form of data gives the right pixels and labels, and each broken one a sentence that
says what to do."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zeuxis.data import load_data
from zeuxis.errors import DataError, UsageError

random = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return random.integers(0, 256, shape, np.uint8)


def png(x: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(x).save(out, "PNG")
    return out.getvalue()


def idx(x: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{x.ndim}I", 0, 0, 8, x.ndim, *x.shape) + x.tobytes()


def counts(labels: torch.Tensor | None) -> list[int]:
    assert labels is not None
    return torch.bincount(labels).tolist()


# Built-in sets: facts known from their papers and pages.


def test_mnist_comes_with_the_package() -> None:
    train, test = load_data("mnist"), load_data("mnist", split="test")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert (
        train.spec.shape == (1, 28, 28)
        and train.spec.classes == 10
        and train.spec.class_names == tuple("0123456789")
    )
    assert counts(train.labels) == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts(test.labels) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.labels is not None and train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert train.all().double().mean() / 255 == pytest.approx(0.1307, abs=1e-4)


@pytest.mark.parametrize("by", ["place", "environment"])
def test_fashion_mnist_from_a_place(shared: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_DATA", str(shared) if by == "environment" else "")
    data = load_data(
        f"fashion-mnist={shared}/fashion-mnist" if by == "place" else "fashion-mnist", split="test"
    )
    assert len(data) == 10_000 and counts(data.labels) == [1000] * 10
    assert data.labels is not None and data.spec.class_names[int(data.labels[0])] == "ankle boot"


def test_cifar10_from_a_place(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEUXIS_DATA", str(shared))
    few = load_data("cifar10", limit=100)
    labels = few.labels
    assert few.spec.shape == (3, 32, 32) and few.spec.classes == 10 and labels is not None
    assert few.spec.class_names[int(labels[0])] == "frog"
    test = load_data(f"cifar10={shared}/cifar10", split="test", limit=20)
    assert test.spec == few.spec and not torch.equal(test.all(), few.all()[:20])


def test_cifar10_is_whole(shared: Path) -> None:
    from zeuxis.data.sources import open_source

    for split, n in (("train", 50_000), ("test", 10_000)):
        raw = open_source(f"cifar10={shared}/cifar10", split)
        assert (
            len(raw.images) == n
            and raw.labels is not None
            and np.bincount(raw.labels).tolist() == [n // 10] * 10
        )


# Files of one array.


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx(tmp_path: Path, zipped: bool, split: str) -> None:
    x, y = pixels(6, 5, 4), np.array([2, 0, 1, 1, 0, 2], np.uint8)
    prefix = "train" if split == "train" else "t10k"
    for name, array in ((f"{prefix}-images-idx3-ubyte", x), (f"{prefix}-labels-idx1-ubyte", y)):
        content = idx(array)
        (tmp_path / (name + ".gz" * zipped)).write_bytes(
            gzip.compress(content) if zipped else content
        )
    data = load_data(str(tmp_path), split=split)
    assert np.array_equal(data.all().numpy(), x[:, None]) and counts(data.labels) == [2, 2, 2]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x89PNG" + bytes(40), "starts with 89504e47, expected 000008"),
        (idx(pixels(3, 4, 4))[:-5], "holds 43 bytes and its header promises 48"),
        (idx(pixels(3, 4, 4)) + b"x", "holds 49 bytes and its header promises 48"),
        (b"\0\0\x08\x03\0\0", "ends within its header"),
        (
            b"\0\0\x08\x03" + b"\x80\0\0\0" * 2 + b"\0\0\0\4",
            "header promises 18,446,744,073,709,551,616",
        ),
        (idx(pixels(7)), "have shape (7,), expected (N, H, W)"),
        (b"", "starts with , expected 000008"),
    ],
)
def test_idx_that_is_none(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path))
    assert sentence in str(caught.value) and "train-images-idx3-ubyte" in str(caught.value)


def test_idx_cut_short_within_gzip(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels(9, 8, 8)))[:-40])
    with pytest.raises(DataError, match="cannot be read .*fetch the file again"):
        load_data(str(tmp_path))


@pytest.mark.parametrize("layout", ["NHW", "NHWC", "NHW1", "NCHW"])
def test_npz_layouts(tmp_path: Path, layout: str) -> None:
    x = pixels(5, 1 if layout in ("NHW", "NHW1") else 3, 6, 7)
    stored = {
        "NHW": x[:, 0],
        "NHWC": x.transpose(0, 2, 3, 1),
        "NHW1": x.transpose(0, 2, 3, 1),
        "NCHW": x,
    }[layout]
    np.savez_compressed(
        tmp_path / "a.npz", images=stored, labels=np.array([0, 1, -1, 1, 3], np.int16)
    )
    data = load_data(str(tmp_path / "a.npz"))
    assert np.array_equal(data.all().numpy(), x)
    assert (
        data.labels is not None
        and data.labels.tolist() == [0, 1, -1, 1, 3]
        and data.spec.classes == 4
    )


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return exec, ("import builtins; builtins.trapped = True",)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": np.array([Trap(), 1], object)}, "cannot be read as plain arrays"),
        (
            {"images": pixels(3, 4, 4), "labels": np.array([Trap()] * 3, object)},
            "cannot be read as plain arrays",
        ),
        ({"images": pixels(3, 4, 4).astype(np.float32)}, "are float32, expected uint8"),
        ({"images": pixels(3, 4, 4, 2)}, "have shape (3, 4, 4, 2), expected"),
        ({"images": pixels(3, 0, 4)}, "at least one pixel"),
        ({"images": pixels(0, 4, 4)}, "holds no images"),
        ({"weights": pixels(9)}, "holds weights and no array 'images'"),
        ({"images": pixels(3, 4, 4), "labels": np.arange(2)}, "3 images and 2 labels"),
        ({"images": pixels(3, 4, 4), "labels": np.ones(3)}, "are float64, expected whole numbers"),
        (
            {"images": pixels(3, 4, 4), "labels": np.array([0, 1, 1 << 40])},
            "go from 0 to 1099511627776",
        ),
        ({"images": pixels(3, 4, 4), "labels": np.array([0, 1, -2])}, "go from -2 to 1"),
    ],
)
def test_npz_that_cannot_be_taken(
    tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str
) -> None:
    import builtins

    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path / "a.npz"))
    assert sentence in str(caught.value)
    assert not hasattr(builtins, "trapped")


def test_npz_that_is_no_zip(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pixels(3, 4, 4))
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "|u1", "fortran_order": False, "shape": (1 << 30, 1 << 20, 1 << 10)}
    )
    import zipfile

    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as file:
        file.writestr("images.npy", huge.getvalue())
    for name, content in (
        ("array", (tmp_path / "a.npy").read_bytes()),
        ("pickle", pickle.dumps(Trap())),
        ("empty", b""),
    ):
        (tmp_path / f"{name}.npz").write_bytes(content)
    for name in ("array", "pickle", "empty", "huge"):
        with pytest.raises(DataError, match=f"{name}.npz' cannot be read as plain arrays"):
            load_data(str(tmp_path / f"{name}.npz"))


def test_mat_of_svhn(tmp_path: Path) -> None:
    from scipy.io import savemat

    x, y = pixels(32, 32, 3, 6), np.array([[10], [1], [2], [9], [10], [3]], np.uint8)
    savemat(tmp_path / "train_32x32.mat", {"X": x, "y": y})
    for source in (f"svhn={tmp_path}", str(tmp_path / "train_32x32.mat")):
        data = load_data(source)
        assert data.labels is not None and data.labels.tolist() == [0, 1, 2, 9, 0, 3]
        assert (
            np.array_equal(data.all().numpy(), x.transpose(3, 2, 0, 1)) and data.spec.classes == 10
        )
    savemat(tmp_path / "bad.mat", {"X": x, "y": y[:4]})
    (tmp_path / "hdf5.mat").write_bytes(
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(600)
    )
    savemat(tmp_path / "other.mat", {"Z": x})
    (tmp_path / "noise.mat").write_bytes(bytes(pixels(900)))
    for name, sentence in (
        ("bad", "has X of shape"),
        ("hdf5", "SVHN's X and y"),
        ("other", "X and y"),
        ("noise", "X and y"),
    ):
        with pytest.raises(DataError, match=sentence):
            load_data(str(tmp_path / f"{name}.mat"))


# Parquet and the Hub.


def table(path: Path, columns: dict[str, list[object]], group: int = 2) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


@pytest.mark.parametrize("form", ["struct", "binary"])
def test_parquet_in_several_files(tmp_path: Path, form: str) -> None:
    x = pixels(7, 8, 9, 3)
    cells = [
        {"bytes": png(one), "path": f"{i}.png"} if form == "struct" else png(one)
        for i, one in enumerate(x)
    ]
    table(
        tmp_path / "data" / "train-00000-of-00002.parquet",
        {"image": cells[:5], "label": [0, 1, 2, 0, 1]},
    )
    table(tmp_path / "data" / "train-00001-of-00002.parquet", {"image": cells[5:], "label": [9, 2]})
    data = load_data(f"svhn={tmp_path}")
    assert np.array_equal(data.all().numpy(), x.transpose(0, 3, 1, 2))
    assert data.labels is not None and data.labels.tolist() == [0, 1, 2, 0, 1, 9, 2]
    with pytest.raises(DataError, match="no test images"):
        load_data(f"svhn={tmp_path}", split="test")


def test_parquet_rows_recovered_from_a_lossy_copy_are_known(tmp_path: Path) -> None:
    image = png(np.zeros((4, 4), np.uint8))
    for part, paths in enumerate((["recovered-from-jpeg", None], ["a.png", "recovered-from-jpeg"])):
        table(
            tmp_path / f"train-{part}.parquet",
            {"img": [{"bytes": image, "path": path} for path in paths]},
        )
    assert load_data(str(tmp_path)).facts.inexact == (0, 3)
    table(tmp_path / "plain.parquet", {"img": [{"bytes": image, "path": "a.png"}]})
    assert load_data(str(tmp_path / "plain.parquet")).facts.inexact == ()


def test_parquet_that_cannot_be_taken(tmp_path: Path) -> None:
    good = png(pixels(4, 4))
    table(tmp_path / "train-0.parquet", {"image": [good] * 3})
    table(tmp_path / "train-1.parquet", {"image": [good, b"no picture", good]})
    with pytest.raises(DataError, match="in row 1 of '.*train-1.parquet' cannot be decoded"):
        load_data(str(tmp_path))
    table(tmp_path / "numbers.parquet", {"a": [1, 2], "b": [3, 4]})
    with pytest.raises(
        DataError, match="has the columns a, b and none of them holds encoded images"
    ):
        load_data(str(tmp_path / "numbers.parquet"))
    table(tmp_path / "null.parquet", {"image": [good, None]})
    with pytest.raises(DataError, match="row 1 .* holds no bytes"):
        load_data(str(tmp_path / "null.parquet"))
    table(tmp_path / "floats.parquet", {"image": [good, good], "label": [1, None]})
    with pytest.raises(DataError, match="are float64, expected whole numbers"):
        load_data(str(tmp_path / "floats.parquet"))
    whole = (tmp_path / "train-0.parquet").read_bytes()
    for name, content in (("cut", whole[:-9]), ("empty", b"")):
        (tmp_path / f"{name}.parquet").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as parquet"):
            load_data(str(tmp_path / f"{name}.parquet"))
    (tmp_path / "page.parquet").write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    with pytest.raises(DataError, match="cannot be (read|decoded)"):
        load_data(str(tmp_path / "page.parquet"))


def test_hub_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the Hub\nand a second line")

    monkeypatch.delenv("ZEUXIS_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError) as caught:
        load_data("cifar10")
    said = str(caught.value)
    assert (
        "'uoft-cs/cifar10' could not be had from the Hub (Couldn't reach the Hub)" in said
        and "--data cifar10=FOLDER" in said
    )
    assert "\n" not in said
    with pytest.raises(DataError, match="'uoft-cs/cifar10' could not be had"):
        load_data("uoft-cs/cifar10")


def test_hub_data_stay_encoded_until_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    x, wanted = pixels(5, 6, 4, 3), []
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=["cat", "dog"]), "picture": datasets.Image()}
    )
    cells = [{"bytes": png(one), "path": None} for one in x]
    rows = datasets.Dataset.from_dict(
        {"picture": cells, "label": [0, 1, 1, 0, 1]}, features=features
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: wanted.append((a, k)) or rows)
    data = load_data("someone/pets")
    assert wanted == [(("someone/pets", None), {"split": "train"})]
    assert np.array_equal(data.all().numpy(), x.transpose(0, 3, 1, 2)) and data.spec.name == "pets"
    assert (
        data.labels is not None
        and data.labels.tolist() == [0, 1, 1, 0, 1]
        and data.spec.class_names == ("cat", "dog")
    )
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_dict({"text": ["a"]})
    )
    with pytest.raises(DataError, match="has the columns text and none of them holds images"):
        load_data("someone/words")


# Places and settings.


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    cases = [
        ("minst", DataError, "There is no data set 'minst': did you mean mnist?"),
        (str(tmp_path), DataError, "holds no train images"),
        (str(tmp_path / "none.npz"), DataError, "There is no data set"),
        (f"mnist={tmp_path}/none", DataError, "check the path"),
        ("minst=/tmp", UsageError, "no built-in set"),
        ("mnist=", UsageError, "gives 'mnist' no place"),
        ("", UsageError, "is empty"),
    ]
    for source, kind, sentence in cases:
        with pytest.raises(kind) as caught:
            load_data(source)
        assert sentence in str(caught.value)
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(DataError, match="has the ending '.rar', expected"):
        load_data(str(tmp_path / "a.rar"))
    (tmp_path / "a=b").mkdir()
    (tmp_path / "a=b" / "c.png").write_bytes(png(pixels(4, 4)))
    assert len(load_data(str(tmp_path / "a=b"))) == 1


@pytest.mark.parametrize("given", [{"size": 0}, {"limit": 0}, {"limit": -5}, {"channels": 2}])
def test_settings_that_make_no_sense(given: dict[str, int]) -> None:
    name, value = next(iter(given.items()))
    with pytest.raises(UsageError, match=f"--{name} must be .*got {value}"):
        load_data("mnist", split="test", **given)


def test_settings_apply_to_arrays() -> None:
    data = load_data("mnist", split="test", size=14, channels=3, limit=7)
    assert (
        data.all().shape == (7, 3, 14, 14)
        and data.labels is not None
        and len(data.labels) == 7
        and data.spec.classes == 10
    )
