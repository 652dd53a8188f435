"""Shards: what is written is read again, by zeuxis and by WebDataset; order, resume, damage."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from zeuxis.cli import main
from zeuxis.data import load_data
from zeuxis.data.shard_writer import as_png, write_shards
from zeuxis.data.streamed import Streamed
from zeuxis.errors import DataError, UsageError
from zeuxis.experiments.resume import resume
from zeuxis.experiments.train import train
from zeuxis.training.sampler import EpochSampler, buffered, kept_files


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random images of ten classes in four shards."""
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    write_shards(tiny.images(70), tmp_path / "shards", "train", 20)
    return tmp_path / "shards"


def tar_with(path: Path, *members: tuple[str, bytes], cut: int = 0) -> Path:
    """A tar file of these members, without its last bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) - cut])
    return path


PNG = as_png(np.full((1, 4, 4), 7, np.uint8))


@pytest.mark.parametrize("stream", [True, False])
def test_shards_hold_the_images(shards: Path, stream: bool) -> None:
    data, again = tiny.images(70), load_data(str(shards), stream=stream)
    assert isinstance(again.x, Streamed) == stream
    assert torch.equal(again.all(), data.all()) and torch.equal(again.labels, data.labels)
    assert again.spec.shape == (1, 28, 28) and again.spec.classes == 10
    assert list(again.facts.files) == ([20, 20, 20, 10] if stream else [])
    rows = torch.tensor([65, 3, 3])
    assert torch.equal(again.batch(rows)[0], data.x[rows])


def test_equal_data_give_equal_bytes(shards: Path, tmp_path: Path) -> None:
    paths = write_shards(tiny.images(70), tmp_path / "again", "train", 20)
    assert [p.read_bytes() for p in paths] == [(shards / p.name).read_bytes() for p in paths]


def test_webdataset_reads_and_writes_the_same(shards: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="needs the package webdataset")
    data = tiny.images(70)
    urls = [str(path) for path in sorted(shards.glob("*.tar"))]
    read = list(webdataset.WebDataset(urls, shardshuffle=False).decode("l8").to_tuple("png", "cls"))
    assert np.array_equal(np.stack([x for x, _ in read]), data.all()[:, 0].numpy())
    assert [y for _, y in read] == data.labels.tolist()
    (tmp_path / "theirs").mkdir()
    with webdataset.TarWriter(str(tmp_path / "theirs" / "a.tar")) as writer:
        for i in range(5):
            writer.write({"__key__": f"{i:04}", "png": as_png(data.x[i].numpy()), "cls": i})
    ours = load_data(str(tmp_path / "theirs"), stream=True)
    assert torch.equal(ours.all(), data.x[:5]) and ours.labels.tolist() == [0, 1, 2, 3, 4]


def test_examples_are_found_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without a label, other files, folders, and a label before its image."""
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    members = [("a/1.cls", b"2"), ("a/1.png", PNG), ("b/1.seg.PNG", PNG), ("b/1.json", b"{}")]
    path = tar_with(tmp_path / "x.tar", *members, ("2.txt", b"no image"))
    data = load_data(str(path), stream=True)
    assert data.labels.tolist() == [2, -1] and int(data.all().float().mean()) == 7


@pytest.mark.parametrize(
    ("members", "cut", "sentence"),
    [
        ([("1.png", PNG)], 10_100, "cannot be read as an uncompressed tar file"),
        ([("1.txt", b"x")], 0, "holds no images"),
        ([("1.png", PNG), ("1.cls", b"many")], 0, "'1.cls' holds 'many' and no class number"),
        ([("1.png", PNG), ("1.cls", b"-1")], 0, "no class number"),
        ([("1.png", b"nothing")], 0, "The image 0 of '.*x.tar' cannot be decoded"),
    ],
)
def test_damaged_shards_get_a_sentence(
    members: list, cut: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    path = tar_with(tmp_path / "x.tar", *members, cut=cut)
    with pytest.raises(DataError, match=sentence):
        load_data(str(path), stream=True)


def test_links_devices_and_holes_in_a_shard_are_no_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("1.png")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    with pytest.raises(DataError, match="holds no images"):
        load_data(str(path), stream=True)


def test_a_shard_that_changes_is_indexed_anew(shards: Path) -> None:
    before = load_data(str(shards), stream=True)
    first = sorted(shards.glob("*.tar"))[0]
    tar_with(first, ("1.png", as_png(np.full((1, 28, 28), 9, np.uint8))))
    after = load_data(str(shards), stream=True)
    assert len(after) == len(before) - 19 and int(after.batch_of(1).float().mean()) == 9


def test_parts_are_named_by_their_shards(shards: Path) -> None:
    assert load_data(str(shards), stream=True).facts.part == "all"
    write_shards(tiny.images(6), shards, "test", 4)
    assert len(load_data(str(shards), split="test", stream=True)) == 6
    assert load_data(str(shards), stream=True).facts.part == "train"
    with pytest.raises(UsageError, match="has test shards already"):
        write_shards(tiny.images(6), shards, "test", 4)


def test_a_buffer_reads_one_file_after_the_other() -> None:
    files, buffer = [20, 20, 20, 10], 8
    order = buffered(files, buffer, torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(70))
    assert not torch.equal(order, torch.arange(70))
    ends = torch.tensor(files).cumsum(0)
    shard = torch.bucketize(order, ends, right=True)
    for first in range(0, 70 - buffer):  # no shard is still drawn from much later
        assert len(shard[first : first + 5].unique()) <= 3
    sampler = EpochSampler(70, 10, 0, buffer=buffer, files=files)
    assert torch.equal(sampler.rows(3), EpochSampler(70, 10, 0, 1, buffer, files).rows(3))
    epochs = [torch.cat([sampler.rows(k) for k in range(e * 7, e * 7 + 7)]) for e in (0, 1)]
    assert sorted(epochs[1].tolist()) == list(range(70)) and not torch.equal(*epochs)


def test_a_part_of_a_set_keeps_its_files(shards: Path) -> None:
    data = load_data(str(shards), stream=True)
    assert kept_files(data.take(torch.tensor([0, 5, 19, 20, 60, 69]))) == [3, 1, 0, 2]
    assert kept_files(data.take(torch.tensor([5, 0]))) == []


def test_a_resumed_stream_goes_on_at_the_exact_example(shards: Path, tmp_path: Path) -> None:
    settings = {"shuffle_buffer": 16, "hold_out": 0, "film": 0}
    data = load_data(str(shards), stream=True)
    config = tiny.model("vae").config
    short, whole = (
        train(
            "vae",
            data,
            out=tmp_path / str(images),
            config=config,
            training=tiny.training(images=images, batch=16, average_limit=0.0, **settings),
        )
        for images in (64, 160)
    )
    again = resume(short.run.folder, images=160, data=data)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_the_command_writes_shards_that_train_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))
    for i in range(9):
        place = tmp_path / "images" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8), (20 * i, 0, 0)).save(place / f"{i}.png")
    out = tmp_path / "out"
    line = ["data", "shard", str(tmp_path / "images"), "--out", str(out), "--size", "8"]
    assert main([*line, "--per-shard", "4"]) == 0
    assert "9 images of shape (3, 8, 8) in 3 shards" in capsys.readouterr().out
    data = load_data(str(out), stream=True)
    assert data.spec.class_names == ("a", "b") and len(data) == 9
    assert main([*line, "--split", "test"]) == 2
    assert main(["data", "shard", str(tmp_path / "images"), "--out", str(out)]) == 2
    assert len(os.listdir(out)) == 4
