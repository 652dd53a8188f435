"""The report on factors: a model whose latents are the scene, and the models it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers import tiny
from zeuxis.checkpoints.weights import build
from zeuxis.cli import main
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.face_groups import FaceGroups
from zeuxis.data.faces import FACE_FACTORS, IDENTITY, Heads, faces, factors, heads, render
from zeuxis.errors import UsageError
from zeuxis.evaluation import factor_report
from zeuxis.evaluation.factor_latents import encoded, invert, latents_of, read
from zeuxis.evaluation.factor_report import FactorReport, describe_factors
from zeuxis.gan.infogan import InfoGAN, InfoGANConfig

SIDE, Q = 16, len(FACE_FACTORS)


class Oracle:
    """Renders its latents, which it looks up by the image: factors, then the identity.

    Arguments:
        sets: The images that it knows.
        mix: A rotation of the latents; with None each factor has its own.
        spread: Standard deviation of the posterior.
    """

    name = "oracle"

    def __init__(self, sets: list[Dataset], mix: Tensor | None = None, spread: float = 0.0) -> None:
        self.spec, self.spread = sets[0].spec, spread
        self.mix = torch.eye(Q + len(IDENTITY)) if mix is None else mix
        self.known: dict[bytes, Tensor] = {}
        for data in sets:
            self.learn(data)

    def learn(self, data: Dataset) -> None:
        rows = torch.arange(len(data)).numpy()
        assert isinstance(data.x, FaceGroups | Heads)
        grouped = isinstance(data.x, FaceGroups)
        scene = data.x.scene_of(rows) if grouped else torch.cat(data.x.scenes(rows), 1)
        for image, row in zip(data.all(), scene, strict=True):
            self.known[image.numpy().tobytes()] = row

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(n, Q + len(IDENTITY), generator=generator) * 2 - 1

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.stack([self.known[image.numpy().tobytes()] for image in x]) @ self.mix
        return mean, torch.full_like(mean, self.spread).log()

    def decode(self, z: Tensor) -> Tensor:
        scene = (z @ self.mix.T).clamp(-1, 1)
        return render(scene[:, :Q], scene[:, Q:], SIDE)


def oracle(monkeypatch: pytest.MonkeyPatch, **changes: object) -> FactorReport:
    """The report on an oracle that learns every set of the measurement when it is made."""
    data = faces(300, seed=1, side=SIDE)
    model = Oracle([data], **changes)  # type: ignore[arg-type]
    make, group = factor_report.made, factor_report.grouped

    def made(*arguments: object) -> Dataset:
        images = make(*arguments)  # type: ignore[arg-type]
        model.learn(images)
        return images

    def grouped(*arguments: object) -> Dataset:
        images = group(*arguments)  # type: ignore[arg-type]
        model.learn(images)
        return images

    monkeypatch.setattr(factor_report, "made", made)
    monkeypatch.setattr(factor_report, "grouped", grouped)
    return describe_factors(model, data, groups=25, exchanges=60, other=200)


@pytest.mark.slow
def test_latents_that_are_the_scene_have_the_best_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    report = oracle(monkeypatch)
    assert report.matched and report.error < 1e-5
    assert [row.latent for row in report.factors.values()] == [f"latent {i + 1}" for i in range(Q)]
    for row in report.factors.values():
        assert row.pooled > 0.999 and row.within > 0.999 and row.left > 0.99 and row.right > 0.99
        assert row.gain > 0.99 and row.change > 0.99 and row.leak < 0.25 and row.read_out < 0.1
    assert report.invariance == pytest.approx(0, abs=1e-6)
    assert report.gap > 0.6 and report.dci.disentanglement > 0.9
    text = report.as_dict()
    assert text["factors"]["smile"]["change"] > 0.99 and len(report.table().columns) == 10


@pytest.mark.slow
def test_mixed_latents_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.linalg.qr(torch.randn(15, 15, generator=generator)).Q
    report = oracle(monkeypatch, mix=mix)
    rows = report.factors.values()
    assert max(row.pooled for row in rows) < 0.95
    assert min(row.within for row in rows) > 0.999, "within a group only one thing moves"
    assert min(row.leak for row in rows) > 0.2 and min(row.read_out for row in rows) > 0.15
    assert max(row.gain for row in rows) < 0.95 and max(row.change for row in rows) < 0.95
    assert report.invariance is not None and report.invariance > 0.02 and report.gap < 0.3


@pytest.mark.slow
def test_a_posterior_is_read_by_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means far below the posterior's deviation are not information."""
    report = oracle(monkeypatch, spread=10.0)
    assert max(row.pooled for row in report.factors.values()) < 0.3
    assert max(row.within for row in report.factors.values()) < 0.5
    assert report.error < 1e-5, "reconstructions are those of means"


def test_dcign_names_its_factors_and_a_vae_does_not() -> None:
    data = faces(30, seed=1, side=28)
    changes = {"factors": FACE_FACTORS, "latent_dim": 9}
    dcign = tiny.model("dcign", **changes).eval()
    names = [latent.name for latent in latents_of(dcign)]
    assert names == [*FACE_FACTORS, "latent 6", "latent 7", "latent 8", "latent 9"]
    report = describe_factors(dcign, data, groups=10, exchanges=5, other=20)
    assert [row.latent for row in report.factors.values()] == list(FACE_FACTORS)
    assert not report.matched
    config = {"likelihood": "logistic", "latent_dim": 5}
    vae = build("vae", type(tiny.model("vae").config)(**tiny.config("vae") | config), data.spec, 0)
    report = describe_factors(vae.eval(), data, groups=10, exchanges=5, other=20)
    assert report.matched and report.invariance is None
    assert all(row.read_out == 0 for row in report.factors.values()), "there is no other latent"


def test_infogan_is_read_by_its_codes_and_inverted() -> None:
    data = faces(20, seed=1, side=28)
    config = InfoGANConfig(width=0.05, noise_dim=6, categorical=(3,), continuous=6)
    model = InfoGAN(config, data.spec).eval()
    assert [latent.column for latent in latents_of(model)] == list(range(9, 15))
    x = data.all()
    start = torch.zeros(len(x), 15)
    start[:, 9:] = read(model, x)

    def error(z: Tensor) -> float:
        return (model.render(z) - x).square().mean().item()

    z = invert(model, x, start, 20)
    assert error(z) < error(start) and z.abs().max() <= 1
    assert encoded(model, x, 2, torch.Generator().manual_seed(0)).shape == (20, 15)
    report = describe_factors(model, data, groups=10, exchanges=5, other=20, steps=2)
    assert report.matched and len(report.factors) == Q


@pytest.mark.parametrize(
    ("model", "data", "options", "sentence"),
    [
        ("dcign", load_data("mnist", limit=9), {}, "'mnist' is not rendered"),
        ("dcign", heads(9), {}, r"shape \(1, 32, 32\) and the model expects \(1, 28, 28\)"),
        ("dcign", faces(9, side=28), {"groups": 9}, "at least 10 groups"),
        ("dcign", faces(9, side=28), {"exchanges": 10}, "2 to 9 exchanges"),
        ("pixelcnn", faces(9, side=28), {"exchanges": 5}, "reads no continuous latents"),
        ("infogan", faces(9, side=28), {"exchanges": 5, "other": 9}, "2 latents cannot each"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    model: str, data: Dataset, options: dict, sentence: str
) -> None:
    built = tiny.model(model).eval()
    built.spec = Spec(built.spec.name, (1, 28, 28), built.spec.classes)
    with pytest.raises(UsageError, match=sentence):
        describe_factors(built, data, **{"groups": 10, "exchanges": 5} | options)


def test_the_command_prints_and_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "runs"
    small = ["--size", "16", "--limit", "400", "--training.film", "0", "--training.threads", "1"]
    small += ["--model.channels", "4", "--model.hidden-dim", "8", "--images", "320"]
    assert main(["train", "dcign", "--data", "faces", *small, "--out", str(run)]) == 0
    (folder,) = run.iterdir()
    record = tmp_path / "record.json"
    few = ["--n", "40", "--groups", "10", "--exchanges", "9", "--record", str(record)]
    assert main(["factors", str(folder), *few]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "elevation" in printed and "latent is named by the model" in printed
    assert '"within"' in record.read_text()
    assert factors(faces(2)).shape == (2, Q)
