"""Directions of attributes: recovered where they are known, tested on images they were not computed
from, kept in a safe file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import autoencoder
import tiny
from zeuxis.applications.attributes import (
    attribute_sheet,
    concordance,
    measure_directions,
    slopes,
)
from zeuxis.applications.directions import Directions, load_directions, save_directions
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.data import load_data
from zeuxis.data.attributes import (
    Attributes,
    attributes_of,
    by_ending,
    image_names,
    read_attributes,
)
from zeuxis.data.dataset import Dataset
from zeuxis.errors import DataError, UsageError, ZeuxisError

TWO = ("smiling", "glasses")


def planted(
    n: int, seed: int, chance: float = 0.5, noise: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of six numbers in which two binary attributes, equal with this chance, and one number
    act along known directions."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(n, generator=generator) < 0.5
    second = torch.where(torch.rand(n, generator=generator) < chance, first, ~first)
    a = torch.stack(
        [first.double(), second.double(), 5 * torch.rand(n, generator=generator).double()], 1
    )
    true = torch.tensor([[2.0, 0, 0, 1, 0, 0], [0, 2, 0, 0, -1, 0], [0, 0, 0.5, 0, 0, 0]]).double()
    return (a @ true + noise * torch.randn(n, 6, generator=generator).double()).float(), a, true


def named(a: Tensor, *names: str) -> Attributes:
    kinds = [
        "binary" if set(column[column.isfinite()].tolist()) <= {0.0, 1.0} else "number"
        for column in a.T
    ]
    return Attributes(names, tuple(kinds), a)  # type: ignore[arg-type]


def test_a_binary_direction_is_the_difference_of_mean_codes() -> None:
    z, a, _ = planted(500, 0)
    a[:7, 0] = math.nan
    found = slopes(z, a[:, :2])
    for j in (0, 1):
        having, lacking = z[a[:, j] == 1].double(), z[a[:, j] == 0].double()
        torch.testing.assert_close(found[j], having.mean(0) - lacking.mean(0))


@given(n=st.integers(8, 40), k=st.integers(1, 3), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_slopes_are_those_of_least_squares(n: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z, a = torch.randn(n, 4, generator=generator), torch.randn(n, k, generator=generator).double()
    a[0, 0] = math.nan
    for j in range(k):
        rows = a[:, j].isfinite().numpy()
        table = np.stack([np.ones(rows.sum()), a[rows, j].numpy()], 1)
        expected = np.linalg.lstsq(table, z.double().numpy()[rows], rcond=None)[0][1]
        np.testing.assert_allclose(slopes(z, a)[j].numpy(), expected, atol=1e-9)
    table = np.concatenate([np.ones((n - 1, 1)), a[1:].numpy()], 1)
    expected = np.linalg.lstsq(table, z.double().numpy()[1:], rcond=None)[0][1:]
    np.testing.assert_allclose(slopes(z, a, together=True).numpy(), expected, atol=1e-8)


def test_planted_directions_are_recovered_with_their_units() -> None:
    z, a, true = planted(6000, 1)
    found = measure_directions(z, named(a, *TWO, "age"))
    assert found.kinds == ("binary", "binary", "number") and found.held_out == 1200
    assert found.units[:2] == (1.0, 1.0) and found.units[2] == pytest.approx(5 / 12**0.5, rel=0.03)
    expected = true * torch.tensor(found.units).double()[:, None]
    assert (
        found.vectors - expected
    ).abs().max() < 0.15  # the standard error of a difference of means is 0.03
    assert all(sum(count) == 4800 for count in found.counts) and found.counts[2] == (4800, 0)
    assert min(found.auc[:2]) > 0.85 and 0.6 < found.auc[2] < 0.75
    # Two projections of unit noise with means a distance d = sqrt 5 from each other: Phi(d / sqrt
    # 2).
    assert found.auc[0] == pytest.approx(0.5 + 0.5 * math.erf(5**0.5 / 2), abs=0.02)


def test_only_a_joint_fit_separates_correlated_attributes() -> None:
    z, a, true = planted(6000, 2, chance=0.9)
    known = named(a[:, :2], *TWO)
    alone, together = measure_directions(z, known), measure_directions(z, known, together=True)

    def leak(found):
        return (found.vectors[0] @ true[1].float() / true[1].square().sum().float()).item()

    assert (
        leak(alone) > 0.6
    )  # the correlation is 0.8, so that much of the other direction comes along
    assert abs(leak(together)) < 0.1
    assert (together.vectors - true[:2]).abs().max() < 0.25
    assert together.together and not alone.together


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_concordance_counts_pairs(points: list[tuple[int, int]]) -> None:
    scores, values = (torch.tensor([point[i] for point in points]).double() for i in (0, 1))
    pairs = [(s - t) for s, v in points for t, w in points if v > w]
    found = concordance(scores, values)
    if pairs:
        assert found == pytest.approx(
            sum(1.0 if d > 0 else 0.5 if d == 0 else 0.0 for d in pairs) / len(pairs)
        )
    else:
        assert math.isnan(found)


def test_noise_is_not_predicted_on_held_out_images() -> None:
    generator = torch.Generator().manual_seed(0)
    z, a = (
        torch.randn(200, 100, generator=generator),
        (torch.rand(200, 1, generator=generator) < 0.5).double(),
    )
    direction = slopes(z, a)[0]
    assert (
        concordance(z.double() @ direction, a[:, 0]) > 0.75
    )  # on the images that it was computed from
    assert (
        abs(measure_directions(z, named(a, "luck"), hold_out=0.5).auc[0] - 0.5) < 0.17
    )  # three standard errors


def test_attributes_that_few_images_have_are_left_out() -> None:
    z, a, _ = planted(60, 3)
    a[:, 1] = 0
    a[5, 1] = 1
    found = measure_directions(z, named(a, *TWO, "age"))
    assert found.names == ("smiling", "age")
    assert measure_directions(z, named(a, *TWO, "age"), hold_out=0.0).auc == pytest.approx(
        (math.nan, math.nan), nan_ok=True
    )


CANNOT: list[tuple[Callable[[Tensor, Tensor], object], str]] = [
    (
        lambda z, a: measure_directions(z, named(0 * a[:, :2], *TWO)),
        "no attribute has 2 images with it",
    ),
    (
        lambda z, a: measure_directions(z[:9], named(a[:, :2], *TWO)),
        "attributes of the same images",
    ),
    (lambda z, a: measure_directions(z, named(a[:, :2], *TWO), hold_out=1.0), "less than 1"),
    (
        lambda z, a: measure_directions(z, named(a[:, [0, 0]], *TWO), together=True),
        "'glasses' is determined by",
    ),
    (
        lambda z, a: measure_directions(
            z[:8], named(torch.rand(8, 6).double(), *"abcdef"), together=True
        ),
        "need at least 8 images",
    ),
    (
        lambda z, a: measure_directions(
            z, Attributes(("0", "1"), ("class", "class"), a[:, :2]), together=True
        ),
        "leave out --together",
    ),
    (
        lambda z, a: measure_directions(z, named(a[:, :2], *TWO)).move(z, {"beard": 1}),
        "the attributes are smiling, glasses",
    ),
    (
        lambda z, a: measure_directions(z, named(a[:, :2], *TWO)).move(z, {"smiling": math.nan}),
        "a number of steps from -100 to 100",
    ),
    (
        lambda z, a: measure_directions(z, named(a[:, :2], *TWO)).move(z[:, :3], {"smiling": 1}),
        "belong to another model",
    ),
    (
        lambda z, a: attribute_sheet(
            autoencoder.Halves(),
            z[:1, :2],
            measure_directions(z[:, :2], named(a[:, :2], *TWO)),
            columns=4,
        ),
        "an odd number",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), CANNOT, ids=[case[1] for case in CANNOT])
def test_what_cannot_be_measured(call: Callable, sentence: str) -> None:
    z, a, _ = planted(80, 4)
    with pytest.raises(UsageError, match=sentence):
        call(z, a)


def test_directions_go_through_their_file(tmp_path: Path) -> None:
    z, a, _ = planted(300, 5)
    a[:, 2] = math.nan
    a[:3, 2] = torch.tensor([1.0, 2.0, 4.0])  # too few to be held out
    found = measure_directions(
        z, named(a, *TWO, "age"), together=False, weights="abc", hold_out=0.0
    )
    path = save_directions(found, tmp_path / "attributes.safetensors")
    again = load_directions(path, "abc")
    assert torch.equal(again.vectors, found.vectors)
    assert (again.names, again.kinds, again.units, again.counts) == (
        found.names,
        found.kinds,
        found.units,
        found.counts,
    )
    assert again.auc == pytest.approx(found.auc, nan_ok=True) and not again.together
    assert (
        json.loads(json.dumps(found.as_dict(), allow_nan=False))["attributes"][0]["name"]
        == "smiling"
    )


def test_files_that_hold_no_directions(tmp_path: Path) -> None:
    found = Directions(
        ("smiling",),
        ("binary",),
        torch.tensor([[1.0, 2.0]]),
        (1.0,),
        ((3, 3),),
        (0.5,),
        weights="abc",
    )
    with pytest.raises(UsageError, match="zeuxis attributes RUN"):
        load_directions(tmp_path / "attributes.safetensors")
    with pytest.raises(UsageError, match="There is no folder"):
        save_directions(found, tmp_path / "none" / "attributes.safetensors")
    path = save_directions(found, tmp_path / "attributes.safetensors")
    with pytest.raises(ZeuxisError, match="not finite"):
        save_directions(replace(found, vectors=torch.tensor([[1.0, math.inf]])), path)
    assert load_directions(path).vectors.isfinite().all()
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ZeuxisError, match="damaged or no safetensors"):
        load_directions(path)
    with pytest.raises(DataError, match="no file of attributes"):
        load_directions(save(tiny.model("vae"), tmp_path / "vae") / "model.safetensors")


def test_a_sheet_has_the_reconstruction_in_its_middle_and_steps_beside_it() -> None:
    found = Directions(("top",), ("binary",), torch.tensor([[0.2, 0.0]]), (1.0,), ((3, 3),), (1.0,))
    picture = attribute_sheet(
        autoencoder.Halves(), torch.tensor([[0.0, 0.5]]), found, reach=2.0, columns=5
    )
    factor = (picture.height - 22) // (4 + 2)

    def shown(column, row):
        return picture.getpixel(((1 + column * 5 + 2) * factor, 22 + (1 + row) * factor + 1))[0]

    assert [shown(i, 0) for i in range(5)] == [
        round(127.5 * (1 + 0.2 * step)) for step in (-2, -1, 0, 1, 2)
    ]
    assert {shown(i, 3) for i in range(5)} == {round(127.5 * 1.5)}


def test_a_csv_may_name_paths_in_part_and_leave_cells_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufefffile,smiling,glasses,age\nb/1.png,1,-1,20\na/1.png,0,1,\n2.png,,-1,3.5\n"
        "else.png,1,1,1\n\n"
    )
    table, others = read_attributes(path, ["x/a/1.png", "x/b/1.png", "x/2.png", "x/3.png"])
    assert table.names == ("smiling", "glasses", "age") and table.kinds == (
        "binary",
        "binary",
        "number",
    )
    assert others == ["else.png"]
    nan = math.nan
    expected = torch.tensor([[0, 1, nan], [1, 0, 20], [nan, 0, 3.5], [nan, nan, nan]]).double()
    torch.testing.assert_close(table.values, expected, equal_nan=True)
    assert table.known.tolist() == [0, 1, 2]


def test_the_list_of_celeba_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(
        "3\nBald Smiling \n000001.jpg -1  1\n000002.jpg  1 -1\n000003.jpg -1 -1\n"
    )
    (tmp_path / "list.csv").write_text(
        "image_id,Bald,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n000003.jpg,-1,-1\n"
    )
    images = ["000003.jpg", "000001.jpg"]
    for name in ("list.txt", "list.csv"):
        table, others = read_attributes(tmp_path / name, images)
        assert table.names == ("Bald", "Smiling") and table.kinds == ("binary", "binary")
        assert table.values.tolist() == [[0, 0], [0, 1]] and others == ["000002.jpg"]


BAD = [
    ("name,smiling\na.png,1\n", "need a first line like"),
    ("file\na.png\n", "need a first line like"),
    ("", "need a first line like"),
    ("file,smiling,smiling\na.png,1,1\n", "'smiling' that is nameless or there twice"),
    ("file,smiling,\na.png,1,1\n", "'' that is nameless"),
    ("file,smiling\na.png,1,2\n", "Line 2 .* has 3 cells, expected 2"),
    ("file,smiling\na.png,yes\n", "The cell 'yes' in line 2, column 'smiling'"),
    ("file,smiling\na.png,nan\n", "The cell 'nan' .* is no finite number"),
    ("file,smiling\na.png,inf\n", "The cell 'inf' .* is no finite number"),
    ("file,smiling\n1.png,1\n", "there are several"),
    ("file,smiling\na.png,1\nx/a.png,0\n", "Line 3 .* other values"),
    ("file,smiling\nother.png,1\n", "name none of the 3 images; it names 'other.png'"),
    ("file,smiling\n", "name none of the 3 images"),
    ('file,smiling\na.png,"1\n', "cannot be read"),
    (b"\xff\xfe\x00", "cannot be read"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD, ids=[case[1] for case in BAD])
def test_bad_tables_are_refused(text: str | bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=sentence):
        read_attributes(path, ["x/a.png", "x/1.png", "y/1.png"])
    with pytest.raises(DataError, match="cannot be read"):
        read_attributes(tmp_path / "absent.csv", ["a.png"])


def test_endings_of_long_paths() -> None:
    places = by_ending(["/p/q/r/s/t/a.png", "/p/q/r/s/u/a.png"])
    assert places["a.png"] == -1 and places["t/a.png"] == 0 and places["/p/q/r/s/u/a.png"] == 1


def test_classes_and_factors_are_attributes() -> None:
    data = tiny.few(20, labeled=8)
    table = attributes_of(data)
    assert (
        set(table.kinds) == {"class"}
        and table.names == tuple("0123456789")
        and len(table.known) == 8
    )
    assert torch.equal(table.values[:8].argmax(1), data.labels[:8])
    heads = load_data("heads", limit=30)
    some = attributes_of(heads.take(torch.tensor([4, 2])))
    assert torch.equal(some.values, attributes_of(heads).values[[4, 2]])
    for made in ("heads", "mnist-static", "mnist"):
        assert image_names(heads, made, "train") == [str(i) for i in range(30)]
    with pytest.raises(UsageError, match="Nothing is known"):
        attributes_of(Dataset(data.spec, data.x))
    with pytest.raises(DataError, match="different names"):
        Attributes(("a", "a"), ("binary", "binary"), torch.zeros(1, 2).double())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a VAE trained on digits."""
    return str(save(autoencoder.digits()[0], tmp_path_factory.mktemp("runs") / "digits"))


def test_the_command_measures_classes(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "attributes",
        run,
        "--n",
        "2000",
        "--out",
        str(tmp_path / "a.png"),
        "--record",
        str(tmp_path / "r.json"),
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2,000 test images encoded" in said and "(400 held out;" in " ".join(said.split())
    found = load_directions(Path(run) / "attributes.safetensors")
    assert found.names == tuple("0123456789") and found.vectors.shape == (10, 8)
    assert sum(found.auc) / 10 > 0.8
    figures = json.loads((tmp_path / "r.json").read_text())["figures"]
    assert [row["AUC"] for row in figures["attributes"]] == pytest.approx(found.auc)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1000  # ten panels, four in a row


def test_the_command_reads_a_csv_for_a_folder_of_images(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = autoencoder.digits()[1].batch_of(60)
    lines = ["file,ink,dark,rare"]
    (tmp_path / "digits").mkdir()
    for i, one in enumerate(x):
        Image.fromarray(one[0].numpy()).save(tmp_path / "digits" / f"{i}.png")
        ink = one.float().mean().item() / 255
        lines.append(f"{i}.png,{ink:.4f},{1 if ink > 0.13 else -1},{1 if i == 0 else -1}")
    table = tmp_path / "a.csv"
    table.write_text("\n".join([*lines, "gone.png,0.5,1,1"]))
    data = [
        "--data",
        str(tmp_path / "digits"),
        "--labels",
        str(table),
        "--out",
        str(tmp_path / "a.png"),
    ]
    place = str(tmp_path / "own.safetensors")
    assert main(["attributes", run, *data, "--file", place, "--together", "--hold-out", "0.5"]) == 0
    said = capsys.readouterr()
    assert "1 lines of" in said.err and "as 'gone.png'" in said.err
    assert "few images have them, or lack them: rare" in " ".join(said.err.split())
    found = load_directions(place)
    assert found.names == ("ink", "dark") and found.kinds == ("number", "binary") and found.together
    assert found.auc[0] > 0.5


COMMANDS = [
    ("attributes mnist/dcgan", 1, "cannot find attributes in its latent space; models that can: "),
    ("attributes {run} --split half", 2, "expected test or train"),
    ("attributes {run} --rows 0", 2, "--rows must be at least 1"),
    ("attributes {run} --n 300 --hold-out 1.5", 2, "--hold-out must be at least 0 and below 1"),
    ("attributes {run} --n 300 --columns 4", 2, "an odd number of columns"),
    ("attributes {run} --n 300 --reach nan", 2, "--reach must be a finite number"),
    ("attributes {run} --n 300 --together", 2, "leave out --together"),
    ("attributes {run} --labels {at}/absent.csv", 1, "absent.csv' cannot be read"),
    ("attributes {run} --labels {at}/bad.csv", 1, "is no finite number"),
    (
        "attributes {run} --data {at}/plain.npz",
        2,
        "give a CSV of file and attributes with --labels",
    ),
    ("attributes {run} --n 300 --out {at}/x.abc", 2, "picture format"),
    ("attributes {run} --n 300 --file {at}/no/x.safetensors", 2, "There is no folder"),
    ("attributes {at}", 1, "holds no config.json"),
]


@pytest.mark.parametrize(
    ("words", "code", "sentence"), COMMANDS, ids=[case[0] for case in COMMANDS]
)
def test_bad_input_to_the_command(
    words: str, code: int, sentence: str, run: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("file,smiling\n0,maybe\n")
    np.savez(tmp_path / "plain.npz", images=np.zeros((5, 28, 28), np.uint8))
    assert main(words.format(run=run, at=tmp_path).split()) == code
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1 and said.rstrip().endswith(".")
