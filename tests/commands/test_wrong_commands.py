"""Wrong command lines: each ends with one sentence and an exit code that is not 0, and never with a
traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny
import zeuxis
from zeuxis.cli import main

NUMBERS = ("nan", "-1", "1e400", "99999999999999999999", "9223372036854775808", "x", "")
OPTIONS = {
    "sample {0}": ("n", "seed", "temperature", "length"),
    "interpolate {0}": ("points", "steps", "walks", "seed", "seconds"),
    "traverse {0}": ("rows", "columns", "frames", "seconds", "seed"),
    "reconstruct {0}": ("n", "shown", "seed"),
    "likelihood {0}": ("n", "k", "seed", "batch"),
    "evaluate {0}": ("n", "seed"),
    "surprisal {0}": ("n", "max-bits", "seed"),
    "curves {0}": ("points",),
    "codes {0}": ("n", "fit", "generated", "seed"),
    "train vae --limit 64": (
        "training.images",
        "training.batch",
        "training.clip",
        "training.film",
        "model.latent",
        "model.lr",
        "size",
    ),
}
LINES = [
    f"{command} --{option}={value}"
    for command, options in OPTIONS.items()
    for option in options
    for value in NUMBERS
]
LINES += [
    f"{command} {{1}}"
    for command in (
        "sample",
        "interpolate",
        "film",
        "evaluate",
        "likelihood",
        "traverse",
        "codes",
        "curves",
        "decompress",
    )
]
LINES += [f"sample {{0}} --out {place}" for place in ("/proc/x.png", "{1}/x.png", "{0}", "x.abc")]
LINES += [
    "sample {0} --out ''",
    "sample {0} --device cuda:99",
    "sample {0} --device moon",
    "sample {0} --weights ../x",
    "train vae --resume ''",
    "train :",
    "play",
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    at = tmp_path_factory.mktemp("wrong")
    (at / "file").write_text("hello")
    return str(zeuxis.save(tiny.model("vae"), at / "model")), str(at / "file")


def test_there_are_many_of_them() -> None:
    assert len(set(LINES)) > 250


@pytest.mark.parametrize("line", LINES)
def test_it_ends_in_words(
    line: str, places: tuple[str, str], capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main([word.strip("'") for word in line.format(*places).split()])
    except SystemExit as end:  # the parser's own refusals
        code = end.code
    said = capsys.readouterr()
    assert code in (1, 2), f"{line} was accepted"
    assert (said.err + said.out).strip() and "Traceback" not in said.err
    assert not any(tmp_path.rglob("config.json")), "no run was made"


@pytest.mark.parametrize("words", [[], ["--import"], ["--import", "math"], ["nothing"], ["train"]])
def test_a_refusal_is_a_sentence_on_the_error_stream(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(words)
    except SystemExit as end:  # the parser's own refusals
        code = int(end.code or 0)
    sentence = capsys.readouterr().err
    assert code == 2 and len(sentence) > 30 and sentence.rstrip().endswith((".", "?", "╯"))


def started(words: list[str], **more: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "zeuxis", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_a_reader_that_has_gone_is_no_error() -> None:
    process = started(["list"])
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(60) == 0


def test_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    process = started(["sample", "voilà"], env=os.environ | {"PYTHONIOENCODING": "ascii"})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "voil\\xe0" in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.4, 0.8, 1.2, 1.6])
def test_ctrl_c_while_starting(moment: float, tmp_path: Path) -> None:
    words = [
        "train",
        "dcgan",
        "--data",
        "mnist",
        "--training.images",
        "10000000",
        "--model.channels",
        "4",
        "--training.film",
        "0",
    ]
    process = started(words, cwd=tmp_path, start_new_session=True)
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT, 0)
