"""Exported parts compute what the model computes, in a process that cannot import zeuxis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import tiny
import zeuxis
from zeuxis.checkpoints.export import export
from zeuxis.cli import main
from zeuxis.errors import MissingCapability, UsageError
from zeuxis.model import Model

DECODERS = ["dcgan", "vae", "iaf-vae", "improved-gan", "infogan"]
WITHOUT = """
import sys
sys.modules["zeuxis"] = None  # any import of it fails
import torch
from safetensors.torch import load_file
module = torch.export.load(sys.argv[1]).module()
for n in (1, 5, int(sys.argv[3])):
    given = load_file(sys.argv[2])
    try:
        result = module(given["x"][:n])
    except Exception:
        assert n != int(sys.argv[3]), "not even the number it was traced with"
        continue
    assert (result.float() - given["y"][:n].float()).abs().max() <= float(sys.argv[4]), n
print("equal")
"""


def runs_without_zeuxis(path: Path, x: torch.Tensor, y: torch.Tensor, close: float) -> None:
    save_file({"x": x.contiguous(), "y": y.contiguous()}, path.with_suffix(".safetensors"))
    data = str(path.with_suffix(".safetensors"))
    words = [sys.executable, "-I", "-c", WITHOUT, str(path), data, str(len(x)), str(close)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal", done.stderr


@pytest.mark.slow
def test_a_decoder_runs_without_zeuxis(tmp_path: Path) -> None:
    model = tiny.model("vae").eval()
    written = export(model, tmp_path / "decoder.pt2", batch=6)
    z = model.prior(6, generator=torch.Generator().manual_seed(1))
    assert written.batch == 0 and written.difference == 0
    runs_without_zeuxis(written.path, z, model.decode(z), 1.0)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("vae", {"path": "a.pth"}, "must end in .pt2 or .onnx"),
        ("vae", {"path": "a.onnx", "part": "sampler"}, "no random generator"),
        ("vae", {"path": "a.pt2", "part": "classifier"}, "does not classify"),
        ("pixelcnn", {"path": "a.pt2"}, "autoregressive models draw pixel by pixel"),
        ("planar", {"path": "a.pt2"}, "has no decoder"),
    ],
)
def test_what_cannot_be_exported_gets_a_sentence(
    name: str, options: dict, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, MissingCapability), match=sentence):
        export(tiny.model(name).eval(), **{**options, "path": tmp_path / options["path"]})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", DECODERS)
def test_shipped_decoders_and_samplers_run_without_zeuxis(name: str, tmp_path: Path) -> None:
    model = zeuxis.load(f"mnist/{name}")
    z = model.prior(8, generator=torch.Generator().manual_seed(1))
    written = export(model, tmp_path / "decoder.pt2", batch=8)
    runs_without_zeuxis(written.path, z, model.decode(z), 1.0)
    sampler = export(model, tmp_path / "sampler.pt2", "sampler", batch=8)
    torch.manual_seed(3)
    images = torch.export.load(sampler.path).module()()
    torch.manual_seed(3)
    assert (images.float() - decoded(model, 8).float()).abs().max() <= 1


def decoded(model: Model, n: int) -> torch.Tensor:
    return model.decode(model.prior(n))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classifier", "improved-gan"])
def test_shipped_classifiers_run_without_zeuxis(name: str, tmp_path: Path) -> None:
    model = zeuxis.load(f"mnist/{name}")
    x = zeuxis.load_data("mnist", split="test").batch_of(8)
    written = export(model, tmp_path / "classifier.pt2", "classifier", batch=8)
    runs_without_zeuxis(written.path, x, model.classify(x), 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DECODERS, "classifier"])
def test_onnxruntime_computes_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    part = "classifier" if name == "classifier" else "decoder"
    path = str(tmp_path / "part.onnx")
    assert main(["export", f"mnist/{name}", "-o", path, "--part", part, "--batch", "8"]) == 0
    model = zeuxis.load(f"mnist/{name}")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    if part == "classifier":
        x = zeuxis.load_data("mnist", split="test").batch_of(8)
        expected, close = model.classify(x), 1e-3
    else:
        x = model.prior(8, generator=torch.Generator().manual_seed(2))
        expected, close = model.decode(x), 1.0
    (given,) = session.get_inputs()
    (result,) = session.run(None, {given.name: x.numpy()})
    assert (torch.from_numpy(result).float() - expected.float()).abs().max() <= close
