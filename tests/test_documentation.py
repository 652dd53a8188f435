"""The commands of README and documentation do what their pages say.

Commands after `$` in blocks marked `console` are run, and their results checked. Commands in other
blocks, which take hours or your data, are only parsed: command and options must exist.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import zeuxis
from zeuxis.applications.interpolate import combine
from zeuxis.cli import COMMANDS, main
from zeuxis.experiments.policy_training import ALGORITHMS
from zeuxis.recipes import recipes
from zeuxis.registry import models

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "zeuxis"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW = re.compile(
    r"zeuxis (codes|decompress|interpolate|likelihood|sample mnist/(flow|pixel)|.*--task denoise)"
)


def blocks(kind: str) -> Iterator[tuple[str, list[str]]]:
    """Page and lines of every fenced block with this info string."""
    for path in PAGES:
        for block in re.finditer(rf"(?ms)^```{kind}\n(.*?)^```$", path.read_text()):
            yield path.name, block[1].splitlines()


def console_commands() -> dict[str, list[str]]:
    """Every command that is run, with the commands before it in its block."""
    commands: dict[str, list[str]] = {}
    for _, lines in blocks("console"):
        block = [line.removeprefix("$ ") for line in lines]
        for number, command in enumerate(block):
            commands.setdefault(command, block[:number])
    return commands


def other_commands() -> list[tuple[str, str]]:
    """Page and command of every `zeuxis` line in plain blocks."""
    return sorted(
        {
            (page, line.split("  #")[0].strip())
            for page, lines in blocks("")
            for line in lines
            if line.startswith("zeuxis ")
        }
    )


def argv_of(command: str) -> list[str]:
    program, *argv = shlex.split(command, comments=True)
    assert program == "zeuxis", command
    return argv


def output_file(command: str, default: str) -> str:
    """The file that a command writes: the value of --out or -o."""
    argv = argv_of(command)
    return next((argv[i + 1] for i, part in enumerate(argv) if part in ("--out", "-o")), default)


def check_picture(command: str, out: str) -> None:
    """The picture is neither empty nor flat, and a film moves."""
    path = Path(output_file(command, f"{argv_of(command)[0]}.png"))
    path = path if path.is_file() else next(Path().glob("*.png"))
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(image)]
    assert all(frame.std() > 20 for frame in frames)
    if path.suffix == ".webp":
        assert len(frames) > 10
        assert np.abs(frames[0].astype(int) - frames[len(frames) // 2]).mean() > 5


def check_classification(command: str, out: str) -> None:
    errors = re.search(r"([\d,]+) errors", out)
    assert errors, out
    assert int(errors[1].replace(",", "")) <= 100


def check_likelihood(command: str, out: str) -> None:
    """Within six nats, three standard errors of 100 images, of the record's figure."""
    nats = {
        row: float(x) for row, x in re.findall(r"│ (ELBO|log p\(x\), exact) *│ *(-[\d.]+)", out)
    }
    expected = {"mnist/vae": -84.4, "mnist/iaf-vae": -82.5, "mnist/pixelcnn": -89.2}
    assert abs(next(iter(nats.values())) - expected[argv_of(command)[1]]) < 6


def check_scores(command: str, out: str) -> None:
    """Samples are worse than real images and far better than an untrained network's 191."""
    row = re.search(r"Fréchet distance[^│]*│ *([\d.]+) *│ *([\d.]+)", out)
    assert row, out
    assert float(row[2]) < float(row[1]) < 10


def check_steps(command: str, out: str) -> None:
    """Something is added to the canvas, and the last step is to be seen."""
    with Image.open(output_file(command, "")) as film:
        frames = [np.asarray(frame.convert("L"), int) for frame in ImageSequence.Iterator(film)]
    assert all(frame.std() > 20 for frame in frames)
    assert np.abs(frames[-1] - frames[0]).mean() > 0.5


def check_objects(command: str, out: str) -> None:
    """Most canvases are counted right, and each box is nearly that of the digit."""
    share, overlap = re.search(r"right ([\d.]+)%.*boxes\s+([\d.]+)", out, re.DOTALL).groups()
    assert float(share) > 96 and float(overlap) > 0.75


def check_reconstruction(command: str, out: str) -> None:
    variance = re.search(r"([\d.]+)% of the variance", out)
    assert variance, out
    assert float(variance[1]) > 85
    check_picture(command, out)


def check_archive(command: str, out: str) -> None:
    """Smaller than one bit a pixel, and than the images compressed by PNG, WebP and xz."""
    size = Path(output_file(command, "")).stat().st_size
    n = int(re.search(r"--n (\d+)", command)[1])  # type: ignore[index]
    assert size < n * 784 / 8 / 2
    others = {name: int(x.replace(",", "")) for name, x in re.findall(r"│ (\w+) +│ +([\d,]+)", out)}
    for name in ("xz", "WebP", "PNG"):
        assert others.get(name, size + 1) > size


def check_restored(command: str, out: str) -> None:
    """At least 2 dB above the classical method, and nearly every digit can be read."""
    lines = [[cell.strip() for cell in line.split("│")[1:]] for line in out.splitlines()]
    rows = {cells[0]: cells for cells in lines if cells}
    model, classical = rows["flow-matching"], rows["classical"]
    assert float(model[2]) > float(classical[2]) + 2
    assert float(model[5]) > 0.8


def check_decompressed(command: str, out: str) -> None:
    with np.load(output_file(command, "")) as arrays:
        images = next(array for array in arrays.values() if array.ndim >= 3)
    assert set(np.unique(images)) == {0, 255}


def check_arithmetic(command: str, out: str) -> None:
    """The classifier reads the digit that was added, bolder than the samples it came from."""
    check_picture(command, out)
    plus, minus, then = (
        [int(number) for number in re.search(rf"--{term} ([\d ]+)", command)[1].split()]
        for term in ("plus", "minus", "then")
    )
    model, classifier = zeuxis.load("mnist/vae"), zeuxis.load("mnist/classifier")
    z = model.prior(64, generator=torch.Generator().manual_seed(0))
    samples = model.decode(z)
    result = model.decode(combine(z[plus], z[minus], z[then])[None])
    digits = classifier.classify(samples).argmax(1)
    assert set(digits[[*plus, *minus]].tolist()) == {8}
    assert set(digits[then].tolist()) == {5}
    assert classifier.classify(result)[0, 5] > 0.9
    assert result.float().mean() > samples[then].float().mean() * 1.2


def check_codes(command: str, out: str) -> None:
    error = re.search(r"category *│ *([\d.]+)%", out)
    assert error, out
    assert float(error[1]) < 8


def check_list(command: str, out: str) -> None:
    assert {"dcgan", "vae", "pixelrnn"} <= set(re.findall(r"[\w-]+", out))


def check_dry_run(command: str, out: str) -> None:
    assert "weights" in out
    assert not Path("runs").exists()


CHECKS: dict[str, Callable[[str, str], None]] = {
    "sample": check_picture,
    "arithmetic": check_arithmetic,
    "interpolate": check_picture,
    "traverse": check_picture,
    "classify": check_classification,
    "likelihood": check_likelihood,
    "evaluate": check_scores,
    "reconstruct": check_reconstruction,
    "compress": check_archive,
    "restore": check_restored,
    "decompress": check_decompressed,
    "codes": check_codes,
    "steps": check_steps,
    "objects": check_objects,
    "list": check_list,
    "train": check_dry_run,
}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.slow] if SLOW.match(command) else [])
        for command in console_commands()
    ],
)
def test_commands_of_the_documentation(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    before = console_commands()[command] if command.startswith("zeuxis decompress") else []
    for each in [*before, command]:
        capsys.readouterr()
        assert main(argv_of(each)) == 0
    CHECKS[argv_of(command)[0]](command, capsys.readouterr().out)


@cache
def help_of(*argv: str) -> str:
    """What `zeuxis ARGV --help` prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([*argv, "--help"])
    return text.getvalue()


def has_option(text: str, option: str) -> bool:
    """Whether a help text has an option, or the option that it negates."""
    name = option.split("=")[0]
    return name in text or name.replace(".no-", ".").replace("--no-", "--") in text


def test_files_named_in_prose_exist() -> None:
    for path in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        prose = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
        for name in re.findall(r"`((?:src|tests|docs|results|benchmarks|\.ci)/[\w./-]*)`", prose):
            if not re.search("[A-Z]", name):  # words in capitals stand for names
                assert (ROOT / name).exists(), f"{path.name}: {name}"


@pytest.mark.parametrize(("page", "command"), other_commands())
def test_commands_that_are_not_run_have_existing_options(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    name, *argv = argv_of(command.replace("…", "2"))
    if name == "--help":
        return
    assert name in COMMANDS, f"{page}: {command}"
    text = help_of(name)
    if name in ("train", "demos", "human") and argv and not argv[0].startswith("-"):
        text += help_of(name, argv[0])
    if name == "sweep" and argv[0] == "train":
        text += help_of("train", argv[1])
    for part in argv:
        assert not part.startswith("--") or has_option(text, part), f"{page}: {command}: {part}"
    if name == "train" and "--recipe" in argv:
        assert f"{argv[0]}/{argv[argv.index('--recipe') + 1]}" in recipes(), f"{page}: {command}"


def test_options_named_in_prose_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    other_programs = {"--nproc-per-node", "--max-restarts", "--import", "--help", "--version"}
    text = "".join(help_of(command) for command in COMMANDS)
    text += help_of("human", "serve") + help_of("human", "report")
    text += "".join(help_of("train", name) for name in [*models(), *ALGORITHMS])
    for path in PAGES:
        prose = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
        for code in re.findall(r"`([^`]+)`", prose):
            for option in re.findall(r"(?<!\S)--[a-z][\w.-]+", code):
                assert option in other_programs or has_option(text, option), (path.name, option)
            for recipe in re.findall(r"--recipe ([\w-]+)", code):
                assert any(name.endswith(f"/{recipe}") for name in recipes()), (path.name, recipe)


@pytest.mark.parametrize(
    ("page", "code"),
    [(page, "\n".join(lines)) for page, lines in blocks("python") if lines[0][:3] != ">>>"],
)
def test_examples_in_python_import_what_exists(page: str, code: str) -> None:
    """Examples that need data or hours are only compiled, and their imports from zeuxis done.

    Indented ones are quoted from the package's files.
    """
    try:
        tree = ast.parse(code)
    except IndentationError:
        lines = {line.strip() for path in SOURCE.rglob("*.py") for line in path.open()}
        assert {line.strip() for line in code.splitlines()} <= lines, f"{page} quotes other code"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zeuxis"):
            module = importlib.import_module(node.module or "")
            for name in node.names:
                assert hasattr(module, name.name), f"{page}: {node.module} has no {name.name}"
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "zeuxis":
            assert hasattr(zeuxis, node.attr), f"{page}: zeuxis has no {node.attr}"
