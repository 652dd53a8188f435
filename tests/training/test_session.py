"""Sessions: length, saves and signals; and the turns of the players."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.distributed import World
from zeuxis.optim import factory
from zeuxis.training import budget
from zeuxis.training.session import Session, require_count, require_seconds, resume_or_rewind
from zeuxis.training.turns import take_turns


def test_a_session_ends_at_its_length_and_counts_what_was_crossed() -> None:
    session, crossed = Session(tiny.training(), 10, unit="steps", quiet=True), []
    with session.open(3, seconds=5.0):
        while session.goes_on():
            session.advance(session.done + 2)
            crossed.append(session.crossed(4))
    assert session.done == 11 and session.finished and not session.stopped
    assert crossed == [True, False, True, False]
    assert session.seconds >= 5.0 and {"steps/s", "seconds"} == session.pace().keys()


def test_a_signal_stops_a_session_before_its_end() -> None:
    session = Session(tiny.training(), 10, quiet=True)
    with session.open():
        while session.goes_on():
            session.advance(session.done + 1)
            if session.done == 4:
                os.kill(os.getpid(), signal.SIGTERM)
    assert session.stopped and session.done == 4


def test_minutes_end_a_session_as_a_finished_one() -> None:
    session = Session(tiny.training(minutes=1.0), 10, quiet=True)
    with session.open(2, seconds=61.0):
        assert not session.goes_on()
    assert not session.stopped and session.done == 2


def test_saves_are_due_by_time_and_never_after_the_last_step(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "session")
    session = Session(tiny.training(save_minutes=0.0), 2, run, quiet=True)
    with session.open():
        session.advance(1)
        assert session.save_due()
        session.advance(2)
        assert not session.save_due()
    assert not Session(tiny.training(save_minutes=0.0), 2, quiet=True).save_due()


def test_a_run_without_a_save_loses_its_reports(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "session")
    run.log({"images": 16, "loss": 1.0})
    assert not resume_or_rewind(run, lambda run: pytest.fail("there is no save"))
    assert run.metrics() == []


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None, 2**53])
def test_counts_of_a_save_are_checked(value: object) -> None:
    with pytest.raises(ValueError, match="step is"):
        require_count({"step": value}, "step")


@pytest.mark.parametrize("value", [-1.0, 1e300, "x", None])
def test_seconds_of_a_save_are_checked(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        require_seconds({"seconds": value})


@pytest.mark.parametrize("name", ["dcgan", "vae"])
def test_each_player_moves_only_in_its_turn(name: str) -> None:
    model = tiny.model(name)
    players = model.players()
    optimizers = {player: factory.make(settings) for player, settings in players.items()}
    turns: list[str] = []
    before = {k: [p.detach().clone() for p in v.module.parameters()] for k, v in players.items()}

    def on_loss(player: str, loss: torch.Tensor) -> None:
        for other in players.keys() - {*turns}:
            now = list(players[other].module.parameters())
            assert all(torch.equal(a, b) for a, b in zip(before[other], now, strict=True)), other
        turns.append(player)

    take_turns(model, [tiny.batch(name)], optimizers, on_loss=on_loss)
    assert turns == list(players)
    for player, settings in players.items():
        now = list(settings.module.parameters())
        assert any(not torch.equal(a, b) for a, b in zip(before[player], now, strict=True)), player


def test_a_slow_trial_does_not_make_the_training_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(step=100)  # each look at the clock finds the minute gone
    monkeypatch.setattr(budget.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(budget, "steps_per_second", lambda trainer, seconds: 2.0)
    settings = budget.fit_minutes(
        tiny.model("vae"), tiny.images(64), tiny.training(minutes=1.0), World()
    )
    assert settings.images == pytest.approx(16 * 2.0 * 30, abs=16)
