"""Which run a restarted group of torchrun resumes."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeuxis.checkpoints.run_folder import STATE, Run
from zeuxis.distributed import World
from zeuxis.experiments.elastic import note_run, run_to_resume


def test_only_a_restarted_group_resumes_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.at(tmp_path / "0001-run")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    note_run(tmp_path, run)
    assert run_to_resume(tmp_path, World()) is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "group/1")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run_to_resume(tmp_path, World()) is None  # nothing was begun
    note_run(tmp_path, run)
    assert run_to_resume(tmp_path, World()) is None  # nothing was saved
    run.write_tensors(STATE, {})
    assert run_to_resume(tmp_path, World()) == run.folder
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert run_to_resume(tmp_path, World()) is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run_to_resume(tmp_path, World()) is None  # a new group with the same id


def test_a_marker_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    other = Run.at(tmp_path / "other")
    other.write_tensors(STATE, {})
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".torchrun-a").write_text("../other")
    assert run_to_resume(tmp_path / "runs", World()) is None
