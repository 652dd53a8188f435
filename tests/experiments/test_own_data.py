"""A user's data set: what is held out of it, what a run is scored by, and what is chosen where
nothing is printed."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
import zeuxis
from zeuxis.checkpoints.run_folder import Run
from zeuxis.cli import main
from zeuxis.data import Dataset, hold_out, load_data
from zeuxis.data.config import DataConfig
from zeuxis.data.dataset import Spec
from zeuxis.data.facts import Facts
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.experiments.defaults import default_experiment
from zeuxis.experiments.experiment import Experiment
from zeuxis.experiments.train import length_notes
from zeuxis.experiments.unseen import evaluation_data
from zeuxis.recipes import recipes
from zeuxis.registry import model_class
from zeuxis.rl.optimization.config import OnPolicyConfig, PolicyExperiment
from zeuxis.rl.optimization.on_policy import TRPO
from zeuxis.training.config import TrainingConfig
from zeuxis.training.held_out import FILE

VAE = [
    "--model.channels",
    "4",
    "4",
    "--model.hidden-dim",
    "16",
    "--model.latent-dim",
    "3",
    "--model.architecture",
    "conv",
]
SHORT = [
    "--training.images",
    "64",
    "--training.batch",
    "16",
    "--training.film",
    "0",
    "--training.threads",
    "1",
]


def photographs(
    folder: Path, n: int = 60, sides: tuple[int, int] = (20, 40), gray: bool = True
) -> Path:
    """Pictures of mixed sizes in two class folders, no two the same."""
    draw = np.random.default_rng(n)
    for i in range(n):
        width, height = draw.integers(*sides, size=2, endpoint=True)
        pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        place = folder / ("cats" if i % 2 else "dogs") / f"{i:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(pixels)
        (picture.convert("L") if gray and i % 5 == 0 else picture).save(place)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photographs and a VAE of 54 of them."""
    place = tmp_path_factory.mktemp("own")
    data = photographs(place / "photos")
    assert (
        main(["train", "vae", "--data", str(data), "--out", str(place / "runs"), *VAE, *SHORT]) == 0
    )
    return data, next((place / "runs").iterdir())


def positions(data: Dataset) -> list[int]:
    return (torch.arange(len(data)) if data.rows is None else data.rows).tolist()


def test_a_tenth_is_held_out_by_class_and_can_be_drawn_again(own: tuple[Path, Path]) -> None:
    data, run = own
    about = json.loads((run / "config.json").read_text())
    assert about["held_out"] == {"images": 6, "of": 60, "seed": 0}
    whole = load_data(str(data), size=32, channels=3)
    again = hold_out(whole, 6, 0)[1]
    used, images = evaluation_data(run)
    assert (
        positions(used) == positions(again)
        and images.as_dict()["evaluated on"]["split"] == "held-out"
    )
    assert torch.bincount(used.labels).tolist() == [3, 3]
    seen, images = evaluation_data(run, split="train")
    assert (
        sorted(positions(seen) + positions(used)) == list(range(60))
        and images.split == "trained on"
    )


def test_the_same_set_is_known_under_any_name(
    own: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = own
    held = positions(evaluation_data(run)[0])
    monkeypatch.chdir(data.parent)
    (tmp_path / "link").symlink_to(data)
    shutil.copytree(data, tmp_path / "copy")
    for spelling in (
        "photos",
        "./photos/",
        "runs/../photos",
        str(tmp_path / "link"),
        str(tmp_path / "copy"),
    ):
        found, images = evaluation_data(run, spelling)
        assert positions(found) == held and images.split == "held-out", spelling
    first, images = evaluation_data(run, "photos", limit=4)
    assert positions(first) == held[:4] and images.images == 4
    array = load_data("photos", size=32, channels=3).all().numpy()
    np.savez(tmp_path / "array.npz", images=array[::-1])  # another form, and another order
    found, _ = evaluation_data(run, str(tmp_path / "array.npz"))
    assert [59 - i for i in reversed(positions(found))] == held
    cats, images = evaluation_data(run, "photos/cats")  # a part of the set
    assert images.split == "held-out" and len(cats) == 3


def test_other_images_are_all_used_and_a_test_part_is_called_so(
    own: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = own
    photographs(tmp_path / "others", 30)
    found, images = evaluation_data(run, str(tmp_path / "others"))
    assert len(found) == 30 and str(images) == "30 images"
    with pytest.raises(UsageError, match="was not trained on"):
        evaluation_data(run, str(tmp_path / "others"), "held-out")
    photographs(tmp_path / "both" / "train", 30)
    photographs(tmp_path / "both" / "test", 20)
    assert (
        main(
            ["train", "vae", "--data", str(tmp_path / "both"), "--out", str(tmp_path), *VAE, *SHORT]
        )
        == 0
    )
    two = next(tmp_path.glob("0*"))
    assert json.loads((two / "config.json").read_text())["held_out"]["images"] == 0
    assert str(evaluation_data(two)[1]) == "20 test images"
    assert str(evaluation_data(two, split="train")[1]) == "30 images it was trained on"
    assert (
        str(evaluation_data(two, str(tmp_path / "both" / "train"))[1])
        == "30 images it was trained on"
    )
    assert (
        main(
            [
                "train",
                "vae",
                "--data",
                str(tmp_path / "both/test"),
                "--out",
                str(tmp_path / "t"),
                *VAE,
                *SHORT,
            ]
        )
        == 0
    )
    trained = next((tmp_path / "t").iterdir())  # what is a test part elsewhere was trained on here
    found, images = evaluation_data(trained, str(tmp_path / "both"))
    assert images.split == "held-out" and len(found) == 2


def test_a_run_that_held_nothing_out_says_what_it_is_scored_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(photographs(tmp_path / "photos", 24))
    argv = [
        "train",
        "vae",
        "--data",
        data,
        "--out",
        str(tmp_path / "runs"),
        "--training.hold-out",
        "0",
        *VAE,
        *SHORT,
    ]
    assert main(argv) == 0
    run = next((tmp_path / "runs").iterdir())
    for hashed in (True, False):
        if not hashed:  # a folder that says nothing of the images it was trained on
            (run / FILE).unlink()
            about = json.loads((run / "config.json").read_text())
            del about["held_out"], about["training"]["average_limit"], about["training"]["minutes"]
            Run(run).write_json("config.json", about)
        capsys.readouterr()
        assert main(["reconstruct", str(run), "--out", str(tmp_path / "r.png")]) == 0
        output = capsys.readouterr().out
        assert "24 images it was trained on" in output and "test image" not in output
    with pytest.raises(UsageError, match="held no"):
        evaluation_data(run, split="held-out")


COMMANDS = (
    "reconstruct {run} --out {at}/r.png",
    "likelihood {run} --k 2 --record {at}/l.json",
    "attributes {run} --out {at}/a.png --file {at}/d.safetensors --record {at}/a.json --hold-out 0",
    "compress {run} --data {data} -o {at}/x.zx --record {at}/c.json --split held-out",
)


def test_a_table_of_attributes_uses_every_image_that_it_names(
    own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Few images are labeled by hand, and a tenth of them would be too few."""
    data, run = own
    table = tmp_path / "attributes.csv"
    named = sorted(path.name for path in data.rglob("*.png"))[:20]
    table.write_text("file,happy\n" + "".join(f"{n},{i % 2}\n" for i, n in enumerate(named)))
    place = ["--out", str(tmp_path / "a.png"), "--file", str(tmp_path / "d.safetensors")]
    words = ["attributes", str(run), "--labels", str(table), *place]
    assert main(words) == 0
    assert "20 labeled images encoded" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--split", "held-out"]) == 2  # asked for: those that were not seen
    assert "No direction" in capsys.readouterr().err


@pytest.mark.parametrize("argv", COMMANDS, ids=[argv.split()[0] for argv in COMMANDS])
def test_every_command_says_which_images(
    argv: str, own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = own
    if argv.startswith("compress"):  # in the images' own size, which must be one
        array = load_data(str(data), size=32, channels=3)
        np.savez(tmp_path / "same.npz", images=array.all().numpy())
        data = tmp_path / "same.npz"
    assert main(argv.format(run=run, at=tmp_path, data=data).split()) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "6 " in output and "test image" not in output
    assert "6 held-out images" in output or "6 of 6 held-out images" in output
    for record in tmp_path.glob("*.json"):
        assert json.loads(record.read_text())["evaluated on"] == {
            "split": "held-out",
            "images": 6,
            "of": 60,
            "seed": 0,
        }


def test_a_classifier_is_scored_by_images_of_all_members_that_none_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(photographs(tmp_path / "photos", 60))
    small = ["--model.width", "8", "--model.generator-width", "8", "--model.labeled", "8"]
    for seed in ("0", "1"):
        argv = [
            "train",
            "improved-gan",
            "--data",
            data,
            "--labels-per-class",
            "4",
            "--out",
            str(tmp_path / "runs"),
        ]
        assert main([*argv, *small, *SHORT, "--training.seed", seed]) == 0
    runs = [str(run) for run in sorted((tmp_path / "runs").iterdir())]
    assert "54 examples, 8 of them labeled, 6 more are held out" in capsys.readouterr().err
    assert (
        main(
            [
                "classify",
                *runs,
                "--data",
                data,
                "--csv",
                str(tmp_path / "c.csv"),
                "--record",
                str(tmp_path / "c.json"),
            ]
        )
        == 0
    )
    assert "of 6 held-out images" in " ".join(capsys.readouterr().out.split())
    rows = [line.split(",")[0] for line in (tmp_path / "c.csv").read_text().splitlines()[1:]]
    assert rows == [str(i) for i in positions(evaluation_data(runs)[0])]
    assert json.loads((tmp_path / "c.json").read_text())["evaluated on"]["images"] == 6


def test_what_is_too_few_says_what_to_do(
    own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = own
    for argv, code, sentence in (
        (
            f"train improved-gan --data {data} --labels-per-class 30 --out {tmp_path}",
            1,
            "hold fewer than 6 images out with --training.hold-out",
        ),
        (
            f"evaluate {run} --network mnist/classifier",
            2,
            "train with more held out (--training.hold-out)",
        ),
        (f"compress {run} --data {data} -o {tmp_path}/x.zx", 1, f"zeuxis compress {run} FOLDER"),
        (f"likelihood {run} --split half", 2, "expected test or train"),
    ):
        assert main(argv.split()) == code
        assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_damaged_memory_is_refused(own: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = own
    shutil.copytree(run, tmp_path / "run")
    damaged = Run(tmp_path / "run")
    hashes = damaged.read_tensors(FILE)[0]["hashes"]
    for tensors in (
        {"hashes": hashes, "held_out": torch.tensor([60])},
        {"hashes": hashes.float()},
        {"hashes": hashes[:, None]},
    ):
        damaged.write_tensors(FILE, tensors)
        with pytest.raises(ZeuxisError, match="damaged"):
            evaluation_data(damaged.folder, str(data))
    about = damaged.read_json("config.json")
    damaged.path(FILE).unlink()
    for entry in ("six", {"images": "six", "seed": 0}, {"images": 6}):
        damaged.write_json("config.json", about | {"held_out": entry})
        with pytest.raises(ZeuxisError, match=r"held out|config\.json"):
            evaluation_data(damaged.folder, str(data))


def test_built_in_sets_hold_nothing_out_and_published_half_lives_stay() -> None:
    from zeuxis.training.held_out import held_out

    data = load_data("mnist", limit=100)
    assert held_out(data, TrainingConfig())["images"] == 0
    longer = {
        name: r.training.average_limit
        for name, r in recipes().items()
        if r.training.half_life < r.training.average
    }
    assert not longer, "a published recipe's half-life is cut: give it an average_limit"
    assert (
        TrainingConfig(images=1000).half_life == 50
        and TrainingConfig(images=1000, average=0).half_life == 0
    )


def test_python_does_as_the_command_line(own: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = own
    config = replace(
        default_experiment(model_class("vae"), DataConfig(str(data))).config,
        **{**tiny.config("vae"), "architecture": "conv"},
    )
    result = zeuxis.train(
        "vae", str(data), out=tmp_path, config=config, images=64, batch=16, film=0, threads=1
    )
    assert result.run is not None
    ours, theirs = (json.loads((at / "config.json").read_text()) for at in (result.run.folder, run))
    assert ours["data"] == theirs["data"] and ours["training"] == theirs["training"]
    assert all(
        torch.equal(a, b)
        for a, b in zip(result.model.parameters(), zeuxis.load(run).parameters(), strict=True)
    )
    with pytest.raises(UsageError, match="either minutes or images"):
        zeuxis.train("vae", str(data), out=tmp_path, minutes=1, images=5)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [((20, 40), 32), ((24, 96), 32), ((70, 200), 64), ((32, 32), 32), ((400, 400), 64)],
)
def test_a_size_is_chosen_by_the_median(
    tmp_path: Path, sides: tuple[int, int], expected: int
) -> None:
    data = photographs(tmp_path / "photos", 12, sides)
    found = default_experiment(model_class("dcgan"), DataConfig(str(data)))
    assert (found.data_config.size, found.data_config.channels) == (expected, 3)
    assert any("RGB" in note for note in found.notes)
    assert any("--size" in note for note in found.notes) == (sides != (32, 32))
    assert default_experiment(
        model_class("dcgan"), DataConfig(str(data), 48, 1)
    ).data_config == DataConfig(str(data), 48, 1)


@pytest.mark.parametrize("name", ["vae", "iaf-vae", "dcgan"])
def test_shades_of_gray_get_a_likelihood_over_their_levels(name: str) -> None:
    """As probabilities of white, photographs tell a latent almost nothing."""
    shades = torch.randint(60, 200, (40, 1, 32, 32), dtype=torch.uint8)
    strokes = 255 * (shades > 150).byte()
    for x, likelihood in ((shades, "logistic"), (strokes, "auto")):
        data = Dataset(Spec("mine", (1, 32, 32)), x)
        found = default_experiment(model_class(name), DataConfig("mine"), data=data)
        assert getattr(found.config, "likelihood", likelihood) == likelihood
        said = any("--model.likelihood bernoulli" in note for note in found.notes)
        assert said == (name != "dcgan" and likelihood == "logistic")


@pytest.mark.parametrize("n", [3, 60, 700])
def test_length_and_batch_follow_from_the_set(n: int) -> None:
    for name in ("dcgan", "vae", "improved-gan", "pixelcnn", "classifier"):
        data = replace(tiny.images(n, 32, 3, classes=2), facts=Facts(part="all"))
        found = default_experiment(model_class(name), DataConfig("mine"), data=data)
        t = found.training
        assert t.batch <= n and t.images <= 300 * n and t.half_life <= t.images / 20
        assert t.warmup <= t.images / 2
    asked = default_experiment(model_class("dcgan"), DataConfig("mine"), "cifar10", data)
    assert asked.training == recipes()["dcgan/cifar10"].training


def test_many_epochs_get_a_better_command() -> None:
    data, config = tiny.images(18), model_class("dcgan").Config()
    for images, many in ((5_401, True), (5_400, False)):
        training = TrainingConfig(images=images)
        experiment = Experiment("dcgan", config, training, DataConfig("photos"))
        notes = " ".join(length_notes(experiment, data))
        assert f"{images:,} images are seen" in notes
        assert ("zeuxis train dcgan --data photos --images 5400" in notes) == many
    published = recipes()["dcgan/mnist"].training
    experiment = Experiment("dcgan", config, published, DataConfig("mnist"), "dcgan/mnist")
    assert not length_notes(experiment, data)
    longer = replace(published, images=2 * published.images)
    assert length_notes(replace(experiment, training=longer), data)


@pytest.mark.slow
def test_minutes_choose_the_length_and_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(photographs(tmp_path / "photos", 20))
    argv = [
        "train",
        "vae",
        "--data",
        data,
        "--out",
        str(tmp_path / "runs"),
        *VAE,
        "--training.film",
        "2",
        "--training.threads",
        "1",
    ]
    began = time.monotonic()
    assert main([*argv, "--minutes", "0.03"]) == 0
    run = next((tmp_path / "runs").iterdir())
    about = json.loads((run / "config.json").read_text())["training"]
    assert about["minutes"] == 0.03 and about["images"] == Run(run).saved_images() > 0
    assert time.monotonic() - began < 30 and main(["train", "--resume", str(run)]) == 0
    assert main([*argv, "--minutes", "0.03", "--training.images", "9"]) == 2
    monkeypatch.setattr(
        "zeuxis.experiments.train.fit_minutes",
        lambda model, data, training, world: replace(training, images=10**8),
    )
    assert main([*argv, "--minutes=0.02"]) == 0  # slower than it seemed
    slow = sorted((tmp_path / "runs").iterdir())[-1]
    about = json.loads((slow / "config.json").read_text())["training"]
    assert 0 < about["images"] == Run(slow).saved_images() < 10**8


def test_minutes_end_a_policy(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    import tiny_envs

    config = OnPolicyConfig(steps=10**9, batch=40, horizon=20, minutes=0.005, workers=0, threads=1)
    agent = TRPO(PolicyExperiment(tiny_envs.Corridor, config), quiet=True).train()
    assert 0 < agent.steps < 10**9 and not agent.stopped


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vae", "dcgan", "improved-gan", "pixelcnn", "infogan", "iaf-vae", "classifier"]
)
def test_the_path_of_somebody_with_photographs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(photographs(tmp_path / "photos", 100, (24, 96)))
    assert main(["data", "check", data]) == 0
    labels = ["--labels-per-class", "10"] if name == "improved-gan" else []
    assert (
        main(
            [
                "train",
                name,
                "--data",
                data,
                "--minutes",
                "0.2",
                "--out",
                str(tmp_path / "runs"),
                *labels,
            ]
        )
        == 0
    )
    run = str(next((tmp_path / "runs").iterdir()))
    capsys.readouterr()
    if name in ("improved-gan", "classifier"):
        assert main(["classify", run, "--data", data]) == 0
        assert "10 held-out images" in " ".join(capsys.readouterr().out.split())
    if name in ("vae", "iaf-vae"):
        assert main(["reconstruct", run, "--out", str(tmp_path / "r.png")]) == 0
        assert "10 held-out images" in " ".join(capsys.readouterr().out.split())
    if name == "pixelcnn":
        assert main(["likelihood", run]) == 0
        assert "10 held-out images" in " ".join(capsys.readouterr().out.split())
