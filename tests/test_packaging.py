"""What is installed: the wheel's files, the command, the versions that are pinned."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_code_data_models_and_licenses(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        size = sum(info.compress_size for info in file.infolist())
    code = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src").rglob("*.py")}
    assert code <= names
    for kind in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        assert f"zeuxis/data/files/mnist/{kind}-ubyte.gz" in names
    assert {"zeuxis/py.typed", "zeuxis/data/files/mnist/NOTICE.md"} <= names
    pixels = ("pixelcnn", "pixelcnn-whole", "pixelrnn", "pixelrnn-row")
    vaes, gans = ("vae", "iaf-vae", "draw"), ("dcgan", "improved-gan", "infogan")
    digits = (*vaes, *gans, *pixels, "classifier", "flow-matching", "order-agnostic")
    for model in (*(f"mnist/{name}" for name in digits), "multi-mnist/air"):
        assert {
            f"zeuxis/shipped/{model}/{name}" for name in ("config.json", "model.safetensors")
        } <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE.md") for name in names)
    assert not any(name.startswith(("tests", "runs", "benchmarks")) for name in names)
    assert size < 42e6  # twelve of them the digits, the others the models that ship


def test_shipped_models_are_small() -> None:
    for path in (ROOT / "src/zeuxis/shipped").rglob("*.safetensors"):
        assert path.stat().st_size <= 5e6, path


def test_every_version_is_pinned_exactly() -> None:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^=]+", line) for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [
        *project["dependencies"],
        *(d for e in ("data", "track", "sklearn", "docs", "dev") for d in extras[e]),
    ]
    for requirement in needed:
        name = re.split(r"[\[<>=!~; ]", requirement)[0].lower()
        assert name in pinned | {"zeuxis"}, f"{name} is not pinned for make demo and make test"
        assert name == "zeuxis" or ">=" in requirement, "the package itself declares ranges"


def test_every_extra_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    modules = {"scikit-learn": "sklearn", "scikit-image": "skimage"}
    for extra, requirements in project["optional-dependencies"].items():
        if extra in ("docs", "dev"):
            continue
        for requirement in requirements:
            name = re.split(r"[\[<>=!~; ]", requirement)[0]
            module = modules.get(name, name.replace("-", "_"))
            assert re.search(rf"\b{module}\b", source), f"nothing uses '{name}' of '{extra}'"


def test_forms_and_workflows_are_valid_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]
    for path in [*files, ROOT / "CITATION.cff"]:
        assert isinstance(yaml.safe_load(path.read_text()), dict), path


def test_the_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"version: {project['version']}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_hosted_checks_cover_the_range_of_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    oldest, newest = re.fullmatch(r"torch>=([\d.]+),(<[\d.]+)", project["dependencies"][0]).groups()
    assert f"torch=={oldest}" in workflow
    assert f"torch{newest}" in workflow
    assert all(f'python: "3.{minor}"' in workflow for minor in (11, 12, 13))


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "torch==2.13.0", str(wheel)], check=True)
    done = subprocess.run(
        [python.with_name("zeuxis"), "sample", "mnist/dcgan", "--n", "4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples.png").stat().st_size > 0
