"""zeuxis list: every name is shown whole, and topics and models narrow it down."""

from __future__ import annotations

import pytest

from zeuxis.cli import main
from zeuxis.recipes import recipes
from zeuxis.registry import models


@pytest.mark.parametrize("width", [40, 80])
def test_no_name_is_cut(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {*models(), *recipes()} <= set(lines)


def test_a_topic_and_a_model_select_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "recipes", "dcgan"]) == 0
    shown = capsys.readouterr().out
    assert "dcgan/mnist-demo" in shown and "vae" not in shown and "Runs in" not in shown
    assert main(["list", "recipes", "gail"]) == 0
    shown = capsys.readouterr().out
    assert "gail/paper" in shown and "gail/modern" in shown and "vime" not in shown
    assert main(["list", "models", "vae"]) == 0
    shown = capsys.readouterr().out
    assert "mnist/vae" in shown and "dcgan" not in shown and "Policies" not in shown
    assert main(["list", "models", "trpo"]) == 0
    assert "Models" not in capsys.readouterr().out
    assert main(["list", "runs", "--runs", "nowhere"]) == 0
    assert capsys.readouterr().out == "\nNo runs in 'nowhere'\n"


def test_an_unknown_model_is_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "recipes", "dcgann"]) == 2
    assert "did you mean dcgan?" in capsys.readouterr().err
