"""The public names from Python: wrong arguments get the command line's kind of sentence, and models
take seed, label and y alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
import zeuxis
from zeuxis.cli import main
from zeuxis.errors import DataError, MissingCapability, UsageError, ZeuxisError
from zeuxis.model import Model

IMAGES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
SPEC = zeuxis.Spec("x", (1, 8, 8))


@pytest.fixture(scope="module")
def vae() -> Model:
    return tiny.model("vae").eval()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in tiny.NAMES
        if name not in ("classifier", "cvae", "glimpse-classifier", "improved-gan-128")
    ],
)
def test_every_model_takes_n_and_seed_alike(name: str) -> None:
    model = tiny.model(name).eval()
    first, second, other = model.sample(2, seed=3), model.sample(2, seed=3), model.sample(2, seed=4)
    assert torch.equal(first, second) and first.shape == (2, *model.spec.shape)
    assert torch.equal(first, model.sample(2, generator=torch.Generator().manual_seed(3)))
    assert not torch.equal(first, other) or name == "improved-gan"
    assert (
        model.sample(0).shape == (0, *model.spec.shape) and model.sample(np.int64(1)).shape[0] == 1
    )
    for n, sentence in (
        (-1, "at least 0, got -1"),
        (1.5, "a whole number, got 1.5"),
        ("3", "a whole number, got '3'"),
        (2**70, "18 digits"),
    ):
        with pytest.raises(UsageError, match=f"^sample: n must be .*{sentence}"):
            model.sample(n)
    for seed in (-1, "x", 2**40):
        with pytest.raises(UsageError, match="^sample: seed must be "):
            model.sample(1, seed=seed)
    with pytest.raises(UsageError, match="both a seed and a generator"):
        model.sample(1, seed=1, generator=torch.Generator())
    with pytest.raises(
        MissingCapability,
        match=f"'{name}' was not trained to know classes.*dcgan, pixelcnn, pixelcnnpp",
    ):
        model.sample(2, label=1)
    with pytest.raises(MissingCapability, match="was not trained to know classes"):
        model.sample(2, y=torch.tensor([0, 1]))


CONDITIONAL = {"dcgan": {}, "pixelcnn": {"architecture": "gated"}, "pixelcnnpp": {}}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_conditional_model_takes_a_class(name: str) -> None:
    model = tiny.model(name, conditional=True, **CONDITIONAL[name]).eval()
    assert torch.equal(
        model.sample(3, seed=0, label=7), model.sample(3, seed=0, y=torch.full((3,), 7))
    )
    assert torch.equal(model.sample(3, seed=0, label="7"), model.sample(3, seed=0, y=[7, 7, 7]))
    assert torch.equal(
        model.sample(2, seed=0, y=np.array([1, 2])),
        model.sample(2, seed=0, y=torch.tensor([1, 2], dtype=torch.int32)),
    )
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"label": 10}, "label is 10, expected 0 to 9"),
        ({"label": -1}, "label is -1, expected 0 to 9"),
        ({"label": "cat"}, "label is 'cat', expected one of 0 to 9"),
        ({"label": 1.5}, "label must be a whole number"),
        ({"y": torch.tensor([1])}, "one whole number for each of 3 examples"),
        ({"y": torch.tensor([0.0, 1, 2])}, "one whole number for each"),
        ({"y": torch.tensor([0, 1, 10])}, "classes from 0 to 10, expected 0 to 9"),
        ({"y": torch.tensor([0, 1, -1])}, "classes from -1 to 1"),
        ({"y": "abc"}, "one whole number for each"),
        ({"y": [1, 2, 3], "label": 1}, "both label and y"),
    ]
    for more, sentence in wrong:
        with pytest.raises(UsageError, match=sentence):
            model.sample(3, **more)


def test_the_command_takes_a_label_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = zeuxis.save(tiny.model("dcgan", conditional=True), tmp_path / "model")
    out = tmp_path / "x.npz"
    assert (
        main(["sample", str(path), "--n", "3", "--label", "7", "--seed", "0", "--out", str(out)])
        == 0
    )
    assert np.array_equal(
        np.load(out)["images"], zeuxis.load(path).sample(3, seed=0, label=7).numpy()
    )
    capsys.readouterr()
    for label, sentence in (("10", "label is 10, expected 0 to 9"), ("cat", "label is 'cat'")):
        assert (
            main(["sample", str(path), "--label", label]) == 2
            and sentence in capsys.readouterr().err
        )
    other = zeuxis.save(tiny.model("vae"), tmp_path / "vae")
    assert (
        main(["sample", str(other), "--label", "1"]) == 1
        and "was not trained to know classes" in capsys.readouterr().err
    )


def test_examples_are_checked_before_any_network(vae: Model) -> None:
    x = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    for method in ("encode", "log_prob", "elbo"):
        for wrong in (
            x.float(),
            x[0],
            x[..., :20],
            x.numpy(),
            [1],
            None,
            "x",
            x.expand(2, 3, 28, 28),
        ):
            with pytest.raises(
                UsageError,
                match=(
                    rf"^{method} of 'vae' takes uint8 images as a tensor of shape \(n, "
                    r"1, 28, 28\), got "
                ),
            ):
                getattr(vae, method)(wrong)
    for z in (torch.zeros(2, 5), torch.zeros(3), None, torch.zeros(2, 3, dtype=torch.int64)):
        with pytest.raises(UsageError, match="decode of 'vae' takes codes"):
            vae.decode(z)


class Drawing:
    """Methods that a model has from a class beside `Model`."""

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        return torch.randint(0, 256, (n, 1, 8, 8), generator=generator).byte()

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().flatten(1)


def test_methods_of_a_class_beside_the_model_are_checked_too() -> None:
    class Draws(Drawing, Model):
        name = "draws-beside"

    model = Draws(None, zeuxis.Spec("tiny", (1, 8, 8)))
    assert torch.equal(model.sample(2, seed=1), model.sample(2, seed=1))
    with pytest.raises(UsageError, match="sample: n must be at least 0, got -1"):
        model.sample(-1)
    with pytest.raises(UsageError, match="^encode of 'draws-beside' takes uint8 images"):
        model.encode(torch.zeros(2, 8))


def test_a_missing_method_names_who_has_it(vae: Model) -> None:
    model = tiny.model("dcgan")
    with pytest.raises(
        MissingCapability,
        match="'dcgan' cannot turn examples into codes; models that can: air, dcign, draw, flow",
    ):
        model.encode(torch.zeros(1))
    assert (
        not hasattr(model, "encode")
        and hasattr(vae, "encode")
        and getattr(model, "classify", None) is None
    )
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        model.nonsense


MISTAKES: list[tuple[Callable[[Model, zeuxis.Dataset], Any], str]] = [
    (lambda m, d: zeuxis.load(3), "load: name must be text or a path, got 3"),
    (lambda m, d: zeuxis.load(""), "'' is neither a folder nor a model"),
    (lambda m, d: zeuxis.load("mnist/vae", device="moon"), "The device 'moon' cannot be used here"),
    (lambda m, d: zeuxis.load("mnist/vae", device="meta"), "The device 'meta' cannot be used here"),
    (lambda m, d: zeuxis.load("a\0b"), "neither a folder nor a model"),
    (lambda m, d: zeuxis.train("dcgan", 5), "train: data must be text or of type Dataset, got 5"),
    (lambda m, d: zeuxis.train("dcgan", d, nonsense=1), "Training has no setting 'nonsense'"),
    (
        lambda m, d: zeuxis.train("dcgan", d, images=0),
        "--training.images must be at least 1, got 0",
    ),
    (
        lambda m, d: zeuxis.train("dcgan", d, images="x"),
        "--training.images must be a whole number, got 'x'",
    ),
    (
        lambda m, d: zeuxis.train("dcgan", d, config=3),
        "takes settings of the type DCGANConfig, got 3",
    ),
    (
        lambda m, d: zeuxis.train("dcgan", d, training=3),
        "train: training must be of type TrainingConfig, got 3",
    ),
    (lambda m, d: zeuxis.train("dcgan", d, size=-1), "train: size must be at least 1, got -1"),
    (
        lambda m, d: zeuxis.evaluate("mnist/dcgan", d),
        "evaluate: model must be of type Model, got 'mnist/dcgan'",
    ),
    (
        lambda m, d: zeuxis.evaluate(m, "mnist"),
        "evaluate: data must be of type Dataset, got 'mnist' .zeuxis.load_data makes one",
    ),
    (lambda m, d: zeuxis.evaluate(m, d, n=0), "evaluate: n must be at least 1, got 0"),
    (lambda m, d: zeuxis.classify("vae", IMAGES), "'vae' is no model and cannot classify"),
    (lambda m, d: zeuxis.classify(m, IMAGES), "The model 'vae' cannot classify; models that can"),
    (lambda m, d: zeuxis.classify(m, IMAGES.float()), "classify: x must be a tensor of uint8"),
    (lambda m, d: zeuxis.classify(m, d), "classify: x must be a tensor of uint8"),
    (lambda m, d: zeuxis.fit(m, "mnist"), "fit: data must be of type Dataset"),
    (
        lambda m, d: zeuxis.fit("vae", d),
        "fit: model must be of type Model, got 'vae' .zeuxis.load opens one",
    ),
    (lambda m, d: zeuxis.fit(m, d, run=5), "fit: run must be .*, got 5"),
    (lambda m, d: zeuxis.save("m", "x"), "save: model must be of type Model"),
    (lambda m, d: zeuxis.save(m, 5), "save: folder must be text or a path, got 5"),
    (
        lambda m, d: zeuxis.save(m, "x", what=object()),
        "config.json holds texts, numbers, lists and dicts only",
    ),
    (lambda m, d: zeuxis.few_labels(d, 0, 0), "few_labels: per_class must be at least 1, got 0"),
    (lambda m, d: zeuxis.few_labels("mnist", 1, 0), "few_labels: data must be of type Dataset"),
    (lambda m, d: zeuxis.hold_out(d, -1, 0), "hold_out: n must be at least 1, got -1"),
    (lambda m, d: zeuxis.hold_out(d, 5, -1), "hold_out: seed must be at least 0, got -1"),
    (lambda m, d: zeuxis.load_data(5), "load_data: source must be text, got 5"),
    (
        lambda m, d: zeuxis.load_data("mnist", split="dev"),
        "load_data: split must be one of train, test, got 'dev'",
    ),
    (
        lambda m, d: zeuxis.load_data("mnist", size="x"),
        "load_data: size must be a whole number, got 'x'",
    ),
    (lambda m, d: zeuxis.check(3), "check: source must be text, got 3"),
    (lambda m, d: zeuxis.resume(3), "resume: folder must be text or a path, got 3"),
    (lambda m, d: zeuxis.resume("x", images=-1), "resume: images must be at least 1, got -1"),
    (lambda m, d: zeuxis.Run(3), "Run: folder must be text or a path, got 3"),
    (lambda m, d: zeuxis.Run.open(3), "Run.open: folder must be text or a path, got 3"),
    (
        lambda m, d: zeuxis.Spec("x", (1, -8, 8)),
        "Spec.shape must be a list of values, each at least 1",
    ),
    (lambda m, d: zeuxis.Spec("x", (1, 8, 8), -1), "Spec.classes must be at least 0, got -1"),
    (lambda m, d: zeuxis.Player(m, -1.0), "Player.lr must be from 0 to 1,000, got -1.0"),
]


@pytest.mark.parametrize(
    ("call", "sentence"), MISTAKES, ids=[sentence[:50] for _, sentence in MISTAKES]
)
def test_a_wrong_argument_gets_one_sentence(
    call: Callable, sentence: str, vae: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeuxisError, match=f"^.*{sentence}") as error:
        call(vae, tiny.images())
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": IMAGES.float()}, "images of 'x' are float32, expected uint8"),
        ({"x": IMAGES.numpy().astype(np.float32)}, "images of 'x' are float32, expected uint8"),
        ({"x": IMAGES[..., :7]}, r"have shape \(1, 8, 7\), expected \(1, 8, 8\)"),
        ({"y": torch.tensor([0, 1, 2])}, "4 examples but 3 labels"),
        ({"y": torch.tensor([0, 1, 0.5, 1])}, "expected whole numbers"),
        ({"y": torch.tensor([0, 1, 1, 2])}, "labels from 0 to 2, expected 0 to 1, or -1"),
        ({"y": torch.tensor([0, 1, 1, -2])}, "labels from -2 to 1, expected 0 to 1, or -1"),
    ],
)
def test_a_data_set_is_checked_when_it_is_made(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        zeuxis.Dataset(zeuxis.Spec("x", (1, 8, 8), 2), **{"x": IMAGES, **change})


def test_fit_takes_a_path_and_goes_on_from_it(tmp_path: Path) -> None:
    data, folder = tiny.images(), tmp_path / "deep" / "run"
    whole = zeuxis.fit(
        tiny.model("vae"), data, training=tiny.training(images=64, average=0), quiet=True
    )
    first = zeuxis.fit(
        tiny.model("vae"), data, str(folder), tiny.training(images=32, average=0), quiet=True
    )
    assert first.run is not None and first.run.folder == folder
    assert json.loads((folder / "config.json").read_text())["model"] == "vae"
    again = zeuxis.fit(
        tiny.model("vae", seed=9),
        data,
        run=folder,
        training=tiny.training(images=64, average=0),
        quiet=True,
    )
    assert again.images == 64 and zeuxis.load(folder).name == "vae"
    assert all(
        torch.allclose(a, b)
        for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True)
    )
    with pytest.raises(UsageError, match="does not say which data"):
        zeuxis.resume(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeuxisError, match="cannot be made"):
        zeuxis.fit(tiny.model("vae"), data, tmp_path / "file" / "run", tiny.training(), quiet=True)


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert (
        capsys.readouterr().out.strip() == f"zeuxis {zeuxis.__version__}"
        and "__version__" in dir(zeuxis)
    )
