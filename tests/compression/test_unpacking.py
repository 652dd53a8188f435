"""What `zeuxis decompress` writes: PNG files that hold what was coded, over nothing that was there,
and through no link."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codec import InMemoryImages, chain, noise
from zeuxis.cli import main
from zeuxis.compression import unpacking
from zeuxis.compression.codec import compress, decompress
from zeuxis.compression.unpacking import write_array, write_png
from zeuxis.errors import UsageError, ZeuxisError

links = pytest.mark.skipif(
    not hasattr(os, "symlink") or os.name != "posix", reason="symbolic links"
)


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7), (1, 1, 1), (3, 1, 9)])
@pytest.mark.parametrize("fill", ["noise", "black", "white"])
def test_pixels_are_those_of_the_image(shape: tuple[int, ...], fill: str, tmp_path: Path) -> None:
    x = (
        noise(*shape)
        if fill == "noise"
        else torch.full(shape, 255 * (fill == "white"), dtype=torch.uint8)
    )
    path = write_png(x, tmp_path / "new", "a/b.png")
    with Image.open(path, formats=["PNG"]) as picture:
        back = np.asarray(picture)
    assert np.array_equal(back, x[0].numpy() if len(x) == 1 else x.permute(1, 2, 0).numpy())
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    write_array([x, x], 2, shape, tmp_path / "x.npz")
    assert np.array_equal(np.load(tmp_path / "x.npz")["images"], np.stack([x.numpy()] * 2))


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    x = noise(1, 4, 4)
    for act, name in (
        (lambda more: write_png(x, tmp_path, "a.png", more), "a.png"),
        (lambda more: write_array([x], 1, (1, 4, 4), tmp_path / "a.npz", more), "a.npz"),
    ):
        (tmp_path / name).write_bytes(b"precious")
        with pytest.raises(UsageError, match="nothing is overwritten"):
            act(False)
        assert (tmp_path / name).read_bytes() == b"precious"
        act(True)
        assert (tmp_path / name).read_bytes() != b"precious"
        assert sorted(p.name for p in tmp_path.iterdir()) == [name]
        (tmp_path / name).unlink()
    (tmp_path / "a.png").mkdir()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is a folder"):
            write_png(x, tmp_path, "a.png", overwrite)


def test_a_file_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for link in (os.link, None):
        path = tmp_path / f"{link is None}.png"
        monkeypatch.setattr(unpacking, "require_free", lambda path, overwrite: None)

        def late(partial: Path, to: Path, link: object = link, path: Path = path) -> None:
            path.write_bytes(b"precious")
            monkeypatch.undo()
            if link is None:
                raise PermissionError(1, "Operation not permitted")
            link(partial, to)

        monkeypatch.setattr(os, "link", late)
        with pytest.raises(UsageError, match="nothing is overwritten"):
            write_png(noise(1, 4, 4), tmp_path, path.name)
        assert path.read_bytes() == b"precious"


def test_a_file_system_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    assert write_png(noise(1, 4, 4), tmp_path, "a.png").stat().st_size > 0
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@links
def test_no_link_is_followed(tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.mkdir(), out.mkdir()
    (victim / "a.png").write_bytes(b"precious")
    (out / "a.png").symlink_to(victim / "a.png")
    (out / "dangling.png").symlink_to(victim / "none.png")
    (out / "folder").symlink_to(victim)
    x = noise(1, 4, 4)
    for name in ("a.png", "dangling.png"):
        with pytest.raises(UsageError, match="nothing is overwritten"):
            write_png(x, out, name)
        assert write_png(x, out, name, overwrite=True).is_symlink() is False
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is a link or a file"):
            write_png(x, out, "folder/b.png", overwrite)
        with pytest.raises(UsageError, match="is a link or a file"):
            write_png(x, out, "a.png/b.png", overwrite)
    assert (victim / "a.png").read_bytes() == b"precious"
    assert [p.name for p in victim.iterdir()] == ["a.png"]


def test_a_disk_that_gives_back_other_bytes_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.FileIO):
        def write(self, data: bytes) -> int:
            other = io.BytesIO()
            Image.new("L", (4, 4), 9).save(other, "PNG")
            return super().write(other.getvalue()) and len(data)

    class Cut(io.FileIO):
        def write(self, data: bytes) -> int:
            return super().write(bytes(data)[:40]) and len(data)

    for kind, said in ((Failing, "other pixels"), (Cut, "could not be read back")):
        monkeypatch.setattr(
            os, "fdopen", lambda descriptor, mode, kind=kind: kind(descriptor, "r+")
        )
        with pytest.raises(ZeuxisError, match=said):
            write_png(noise(1, 4, 4), tmp_path, "a.png")
        assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: Full(descriptor, "r+"))
    with pytest.raises(ZeuxisError, match="the disk is full"):
        write_png(noise(1, 4, 4), tmp_path, "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_files_have_the_modes_that_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        assert stat.S_IMODE(write_png(noise(1, 4, 4), tmp_path, "a.png").stat().st_mode) == 0o640
    finally:
        os.umask(before)


class Named(InMemoryImages):
    """Images with names of the test's choice."""

    def __init__(self, names: list[str]) -> None:
        super().__init__([noise(1, 4, 4, seed=i) for i in range(len(names))])
        self.names = names

    def name(self, i: int) -> str:
        return self.names[i]


def test_what_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    for names, said in (
        (["a.jpg"], "does not end in .png"),
        (["../a.png"], "out of its folder"),
        (["a.png", "A.png"], "both be called"),
    ):
        with pytest.raises(UsageError, match=said):
            compress(chain(), Named(names), tmp_path / "x.zx")
    assert not list(tmp_path.iterdir())


def test_an_image_is_not_written_over_by_its_archive(tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    (tmp_path / "a.png").write_bytes(b"precious")
    with pytest.raises(UsageError, match="which `zeuxis compress` did not write"):
        compress(chain(), InMemoryImages([noise(1, 4, 4)]), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"precious"
    for seed in (0, 1):
        compress(chain(), InMemoryImages([noise(1, 4, 4, seed=seed)]), tmp_path / "x.zx")
    assert [x.tolist() for _, x in decompress(tmp_path / "x.zx", chain())] == [
        noise(1, 4, 4, seed=1).tolist()
    ]


def test_odd_file_names_come_back_under_portable_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("constriction")
    if os.name != "posix":
        pytest.skip("names that only some systems have")
    from codec import vae
    from zeuxis.checkpoints.weights import save

    save(vae((1, 6, 6), binary=False), tmp_path / "model")
    (tmp_path / "in").mkdir()
    names = {
        "12:30.png": "12_30.png",
        "a\nb.png": "a_b.png",
        "con.jpg": "con_.png",
        "x\\y.png": "x_y.png",
        "\x1b[2J.png": "_[2J.png",
    }
    names |= {"y" * 251 + ".png": "y" * 251 + ".png"}
    for name in names:
        Image.fromarray(noise(1, 6, 6)[0].numpy()).save(tmp_path / "in" / name)
    assert (
        main(
            [
                "compress",
                str(tmp_path / "model"),
                str(tmp_path / "in"),
                "-o",
                str(tmp_path / "x.zx"),
            ]
        )
        == 0
    )
    assert main(["decompress", str(tmp_path / "x.zx"), "--out", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out" / "in").iterdir()) == sorted(names.values())
    assert (
        main(["decompress", str(tmp_path / "x.zx"), "--out", str(tmp_path / "out"), "--overwrite"])
        == 0
    )
    assert (
        main(
            ["decompress", str(tmp_path / "x.zx"), "--out", str(tmp_path / "numbers"), "--numbers"]
        )
        == 0
    )
    assert sorted(p.name for p in (tmp_path / "numbers").iterdir()) == [
        f"{i}.png" for i in range(len(names))
    ]
    assert "\x1b" not in "".join(capsys.readouterr())


def test_images_whose_names_are_refused_are_had_by_numbers(tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    from test_container import BLOCK, forged

    from zeuxis.compression.blocks import digest
    from zeuxis.errors import DataError

    model, x = chain(), noise(1, 4, 4)
    compress(model, InMemoryImages([x]), tmp_path / "good.zx")
    from zeuxis.compression.container import Block, sections

    payload = next(
        body for about, body in sections(tmp_path / "good.zx") if isinstance(about, Block)
    )
    for name in ("../../a.png", "a.exe", "CON.png"):
        forged(
            tmp_path / "x.zx", model, (BLOCK | {"names": [name], "digest": digest([x])}, payload)
        )
        with pytest.raises(DataError, match="numbers=True"):
            next(decompress(tmp_path / "x.zx", model))
        [(found, back)] = decompress(tmp_path / "x.zx", model, numbers=True)
        assert found == "0.png"
        assert torch.equal(back, x)
