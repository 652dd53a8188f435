"""The whole comparison with tiny models: given runs and trained ones, resuming, failures, and a
page that stands alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import tiny
import zeuxis
from zeuxis.applications.comparison import compare as comparison
from zeuxis.applications.comparison import measure as measuring
from zeuxis.applications.comparison.effort import QUICK, Effort
from zeuxis.applications.comparison.entrants import EQUAL
from zeuxis.checkpoints.weights import build
from zeuxis.cli import main
from zeuxis.data.dataset import Spec
from zeuxis.evaluation.sampling_cost import count_weights
from zeuxis.training.loop import Trainer

SMALL = Effort(
    samples=24, validations=2, validation_samples=20, likelihood_images=4, flow_images=2,
    latents=2, annealed_images=2, chains=2, distributions=3, leapfrog=1, simulated=1,
    code_images=60, walks=2, inverter_steps=2,
)  # fmt: skip
MODELS = ("dcgan", "vae", "flow-matching")
OWN = '''
import torch
from dataclasses import dataclass
from torch import nn
from zeuxis import Model, Player

@dataclass(frozen=True)
class {Name}Config:
    lr: float = 0.1

class {Name}(Model):
    """Learns the mean image."""
    name = "{name}"
    Config = {Name}Config

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.net = nn.Linear(1, spec.size, bias=False)

    def players(self):
        return {{"mean": Player(self.net, self.config.lr)}}

    def play(self, batch):
        x = batch.x.float().flatten(1) / 255
        loss = (x - self.net(torch.ones(1, 1))).square().sum(1).mean()
        yield "mean", loss * {factor}

    def sample(self, n, *, generator=None):
        u = torch.rand(n, self.spec.size, generator=generator)
        x = self.net(torch.ones(n, 1)) * 255 + 20 * u
        return x.detach().round().clamp(0, 255).byte().view(n, *self.spec.shape)
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small labeled data set, saved tiny models, and two of the user's own."""
    at = tmp_path_factory.mktemp("comparison")
    digits = zeuxis.load_data("mnist", split="test")
    x, y = digits.batch(digits.y[:300].argsort())  # by class, as in a folder
    middle = x[:, 0, 6:22, 6:22]  # an autoregressive model takes a step for each pixel
    np.savez(at / "digits.npz", images=middle.numpy(), labels=y.numpy())
    for name in (*MODELS, "pixelcnn"):
        config = tiny.models()[name].tiny()[0]
        zeuxis.save(build(name, config, Spec("tiny", (1, 16, 16), 10)), at / name)
    zeuxis.save(tiny.model("pixelcnnpp"), at / "other")
    for name, factor in (("meanimage", "1"), ("divergent", "float('nan')")):
        (at / f"{name}.py").write_text(OWN.format(Name=name.capitalize(), name=name, factor=factor))
    return at


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comparison, "QUICK", SMALL)
    monkeypatch.setenv("ZEUXIS_CACHE", str(tmp_path / "cache"))


def run(place: Path, *words: str) -> int:
    return main(["compare", "--data", str(place / "digits.npz"), "--quick", *words])


@pytest.fixture(scope="module")
def report(place: Path) -> Path:
    """The folder of a comparison of three given models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "QUICK", SMALL)
        models = [str(place / name) for name in MODELS]
        assert run(place, "--models", *models, "--out", str(place / "report")) == 0
    return place / "report"


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_stands_alone_and_can_be_read_by_all(report: Path) -> None:
    text = (report / "index.html").read_text()
    page = Elements(text)
    outside = re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", text)
    assert "http://" not in outside and "https://" not in outside and "<script" not in text
    assert len(text) < 3_000_000
    assert page.all("html")[0]["lang"] == "en" and len(page.all("h1")) == 1
    assert len(page.all("img")) >= 4 and all(i["alt"] for i in page.all("img"))
    assert all(i["src"].startswith("data:image/png;base64,") for i in page.all("img"))
    assert len(page.all("svg")) == text.count("<title>") - 1 > 5, "every figure has a title"
    identities = {attributes.get("id") for _, attributes in page.found}
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= identities
    assert text.count('class="verdict"') == 10
    assert not re.search(r"\b(nan|inf|None)\b", re.sub('base64,[^"]+', "", text))
    assert "few" in text, "300 images are few, and the page says so"


def test_every_model_has_the_measures_it_can_do(report: Path) -> None:
    figures = json.loads((report / "comparison.json").read_text())
    columns = {column["model"]: column["runs"][0] for column in figures["columns"]}
    assert list(columns) == list(MODELS)
    for name, run in columns.items():
        assert set(run) == set(measuring.MEASURES)
        has = {measure for measure in run if "figures" in run[measure]}
        assert {"size", "quality", "sharpness", "diversity", "memorization", "cost"} <= has, name
        assert ("likelihood" in has) == (name != "dcgan")
        assert ("annealed" in has) == (name in ("dcgan", "vae")), run["annealed"]
        assert {"codes", "walks"} <= has
    assert columns["dcgan"]["codes"]["figures"]["source"].startswith("an encoder trained")
    assert [h["number"] for h in figures["hypotheses"]] == [f"H{i}" for i in range(1, 11)]
    outcomes = {h["number"]: h["outcome"] for h in figures["hypotheses"]}
    assert outcomes["H3"] == "undecided"
    assert "models that can" in columns["dcgan"]["likelihood"]["missing"]


@pytest.mark.slow
def test_an_autoregressive_model_has_a_likelihood_and_no_code(place: Path, tmp_path: Path) -> None:
    models = [str(place / name) for name in ("pixelcnn", "vae")]
    assert run(place, "--models", *models, "--out", str(tmp_path / "report")) == 0
    figures = json.loads((tmp_path / "report" / "comparison.json").read_text())
    cells = figures["columns"][0]["runs"][0]
    assert cells["likelihood"]["figures"]["kind"] == "exact"
    assert cells["cost"]["figures"]["passes"] == 256 and cells["cost"]["figures"]["naive"]
    assert "cannot encode or decode" in cells["codes"]["missing"]
    outcomes = {h["number"]: h["outcome"] for h in figures["hypotheses"]}
    assert outcomes["H7"] == "holds"


def test_what_is_done_is_not_done_again(
    report: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(subject: object) -> dict:
        raise AssertionError("measured twice")

    monkeypatch.setattr(measuring, "MEASURES", dict.fromkeys(measuring.MEASURES, again))
    models = [str(place / name) for name in MODELS]
    assert run(place, "--models", *models, "--out", str(report)) == 0
    assert run(place, "--models", *models, "--out", str(report), "--minutes", "3") == 2


@pytest.mark.slow
def test_models_of_the_user_are_trained_and_a_diverging_one_is_a_failed_run(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    models = [f"{place}/{name}.py:{name.capitalize()}" for name in ("meanimage", "divergent")]
    words = ("--minutes", "0.02", "--seeds", "2", "--out", str(tmp_path / "report"))
    assert run(place, "--models", *models, *words) == 0
    shown = capsys.readouterr()
    assert "[1 of 4] training meanimage, seed 0; about" in shown.err and "Page: " in shown.out
    figures = json.loads((tmp_path / "report" / "comparison.json").read_text())
    good, bad = figures["columns"]
    assert "figures" in good["runs"][1]["quality"] and len(bad["runs"]) == 2
    assert "nan" in bad["runs"][0]["training"]["figures"]["failed"]
    trained = good["runs"][0]["training"]["figures"]
    assert trained["images"] > 0 and len(trained["courses"]) >= 2 and trained["flops"] > 0
    text = (tmp_path / "report" / "index.html").read_text()
    assert "meanimage" in text and "100%" in text, "both runs of the other have failed"
    folder = tmp_path / "report" / "runs" / "meanimage-seed0"
    assert main(["sample", str(folder), "--n", "2", "--out", str(tmp_path / "s.png")]) == 0


@pytest.mark.slow
def test_an_interrupted_training_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Trainer.one_step, []

    def interrupted(trainer: Trainer) -> None:
        if trainer.run_folder is not None:
            steps.append(trainer.images)
            if len(steps) == 3:
                trainer.session.stop.set()
        step(trainer)

    monkeypatch.setattr(Trainer, "one_step", interrupted)
    model = f"{place}/meanimage.py:Meanimage"
    words = ("--models", model, "--minutes", "0.02", "--out", str(tmp_path / "report"))
    assert run(place, *words) == 130
    assert run(place, *words) == 0
    assert steps[3] > steps[2], "it goes on behind its last save"


def test_requests_that_cannot_be_met_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = ["--out", str(tmp_path / "r")]
    for words, sentence in (
        (["--data", "ring"], "compare is for images"),
        (["--models", "nothing"], "no model 'nothing'"),
        (["--models", "vae", "vae"], "names 'vae' twice"),
        (["--models", "mnist/vae", "--data", str(place / "few.npz")], "at least 50"),
        (["--models", str(place / "other")], "makes images of shape (1, 8, 8)"),
    ):
        np.savez(place / "few.npz", images=np.zeros((9, 28, 28), np.uint8))
        assert main(["compare", "--quick", *words, *out]) in (1, 2)
        assert sentence in capsys.readouterr().err
        (tmp_path / "r" / "plan.json").unlink(missing_ok=True)


def test_the_default_networks_have_a_million_weights_for_sampling() -> None:
    for name, (config, _) in EQUAL.items():
        model = build(name, config, Spec("mnist", (1, 28, 28), 10)).eval()
        weights = sum(p.numel() for p in model.parameters())
        if name in ("dcgan", "vae"):
            weights = count_weights(model).sampling
        assert 0.9e6 < weights < 1.1e6, (name, weights)
    assert QUICK.samples < Effort().samples
