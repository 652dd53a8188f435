"""A session: the order leaks nothing, answers are stored once, exclusions follow the rules."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import human
from zeuxis.applications.human_test import session
from zeuxis.applications.human_test.exclusions import Answered, reasons
from zeuxis.applications.human_test.plan import plan
from zeuxis.applications.human_test.protocol import Rules, StudyConfig
from zeuxis.applications.human_test.report import gallery, people_of, report, write_report
from zeuxis.applications.human_test.session import Answer
from zeuxis.applications.human_test.store import Store
from zeuxis.errors import UsageError, ZeuxisError

SIZES = {"real": 400, "generated": 400, "check": 40}


def go_through(store: Store, rng: np.random.Generator, said: str = "", skill: float = 0.8) -> str:
    """One person who answers everything: always the same, or right with a probability."""
    person = session.start(store, human.CONSENT)
    truth = {
        row["image_token"]: (row["truth"], row["kind"])
        for row in store.rows("SELECT * FROM trial WHERE person = ?", person)
    }
    while session.state(store, person)["left"]:
        tokens, answers = session.show(store, person)["tokens"], []
        for token in tokens:
            real, kind = truth[token]
            sure = kind == "check" or rng.random() < skill
            other = "generated" if real == "real" else "real"
            answers.append(
                Answer(token, said or (real if sure else other), float(rng.uniform(600, 3000)))
            )
        session.answer(store, person, answers)
    return person


def test_the_place_of_an_image_says_nothing_about_it() -> None:
    config = StudyConfig(practice="none")
    counts, neighbors = np.zeros((2, 11)), np.zeros((2, 2))
    for person in range(150):
        trials = plan(config, SIZES, person)
        for place, trial in enumerate(trials):
            if trial.kind != "check":
                counts[int(trial.truth == "real"), min(place // 10, 10)] += 1
        kinds = [t.truth == "real" for t in trials if t.kind in ("real", "generated")]
        for a, b in itertools.pairwise(kinds):
            neighbors[int(a), int(b)] += 1
    assert stats.chi2_contingency(counts).pvalue > 0.01
    same = neighbors.trace() / neighbors.sum()
    assert same == pytest.approx(49 / 99, abs=0.015)  # of 50 and 50 drawn without replacement


def test_each_person_has_both_kinds_checks_and_repeats() -> None:
    trials = plan(StudyConfig(practice="none"), SIZES, 3)
    kinds = [trial.kind for trial in trials]
    assert [kinds.count(k) for k in ("real", "generated", "check", "repeat")] == [50, 50, 5, 5]
    for i, trial in enumerate(trials):
        if trial.kind == "repeat":
            before = [(t.pool, t.number) for t in trials[: i - 5]]
            assert (trial.pool, trial.number) in before
    assert (
        trials
        == plan(StudyConfig(practice="none"), SIZES, 3)
        != plan(StudyConfig(practice="none"), SIZES, 4)
    )


def test_a_session_from_consent_to_report(tmp_path: Path) -> None:
    store = human.study(tmp_path, practice="b/model")
    rng = np.random.default_rng(1)
    people = [go_through(store, rng, skill=0.8) for _ in range(5)]
    figures = report(store)
    whole = figures["groups"]["all"]
    assert figures["score"] == "human-untimed" and whole["people"] == 5
    assert whole["error"]["low"] < whole["error"]["value"] < whole["error"]["high"] < 0.5
    assert figures == report(Store(store.path))  # from the file alone
    truth = session.debrief(store, people[0])
    assert truth["of"] == 20 and {one["truth"] for one in truth["images"]} == {"real", "generated"}
    assert gallery(store, people_of(store)) is not None
    assert [path.name for path in write_report(store, tmp_path, figures)] == [
        "images.csv",
        "gallery.png",
    ]


def test_who_always_says_real_is_excluded_and_scores_exactly_half(tmp_path: Path) -> None:
    store = human.study(tmp_path, n=100)
    go_through(store, np.random.default_rng(2), said="real")
    figures = report(store)
    whole = figures["groups"]["all"]
    assert whole["error"]["value"] == 0.5 and whole["d'"]["value"] == 0.0
    assert figures["groups"]["not excluded"] == {"people": 0}
    assert figures["excluded"][0] == [
        "5 obvious fakes missed",
        "the same answer 110 times running",
    ]


def test_grid_and_timed_modes_go_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = human.study(tmp_path / "grid", mode="grid", n=40)
    go_through(grid, np.random.default_rng(3))
    assert report(grid)["score"] == "human-grid"
    monkeypatch.setattr("zeuxis.applications.human_test.protocol.StudyConfig.blocks", (20, 20, 20))
    timed = human.study(tmp_path / "timed", mode="timed")
    go_through(timed, np.random.default_rng(4), skill=1.0)
    whole = report(timed)["groups"]["all"]
    assert whole["exposure ms, last half"]["value"] == pytest.approx(500 - 10 * 14.5)


def test_the_timed_mode_needs_a_fast_screen(tmp_path: Path) -> None:
    store = human.study(tmp_path, mode="timed", pool=300)
    with pytest.raises(UsageError, match="new frame every 8 to 17 milliseconds.*every 33.0"):
        session.start(store, human.CONSENT | {"frame_ms": 33.0})


def test_an_answer_is_stored_once_and_only_in_its_turn(tmp_path: Path) -> None:
    store = human.study(tmp_path)
    person = session.start(store, human.CONSENT)
    first, second = (one["token"] for one in session.state(store, person)["left"][:2])
    with pytest.raises(UsageError, match="after it was shown"):
        session.answer(store, person, [Answer(first, "real", 700.0)])
    session.show(store, person)
    with pytest.raises(UsageError, match="another image's turn"):
        session.answer(store, person, [Answer(second, "real", 700.0)])
    assert not session.answer(store, person, [Answer(first, "real", 700.0)])[0]["stored before"]
    again = session.answer(store, person, [Answer(first, "generated", 700.0)])[0]
    assert again == {"token": first, "stored before": True}
    rows = store.rows("SELECT said FROM answer")
    assert [row["said"] for row in rows] == ["real"]
    with pytest.raises(UsageError, match="not belong"):
        session.answer(store, person, [Answer("nothing", "real", 700.0)])
    with pytest.raises(UsageError, match="after the last image"):
        session.debrief(store, person)
    for wrong in (Answer(second, "lost", 1.0), Answer(second, "real", float("nan"))):
        with pytest.raises(UsageError, match="real or generated"):
            session.answer(store, person, [wrong])
    with pytest.raises(sqlite3.Error, match="not changed"):
        store.connection().execute("UPDATE answer SET said = 'generated'")


def test_consent_and_invitations(tmp_path: Path) -> None:
    store = human.study(tmp_path)
    for missing in ({"consent": False}, {"age_ok": 1}):
        with pytest.raises(UsageError, match="adult has consented"):
            session.start(store, human.CONSENT | missing)
    with pytest.raises(UsageError, match="Say who you are"):
        session.start(store, human.CONSENT | {"role": "robot"})
    [link] = store.invite(1)
    person = session.start(store, human.CONSENT | {"invitation": link})
    for other in (link, "", "x"):
        with pytest.raises(UsageError, match="each invitation once"):
            session.start(store, human.CONSENT | {"invitation": other})
    assert len(store.rows("SELECT * FROM person")) == 1
    session.withdraw(store, person)
    assert not store.rows("SELECT * FROM trial")
    with pytest.raises(UsageError, match="not known"):
        session.state(store, person)


def answered(n: int = 40, **changes: Any) -> list[Answered]:
    """Answers of an attentive person, with changes."""
    rng = np.random.default_rng(0)
    return [
        Answered(
            **{
                "phase": "main",
                "block": 0,
                "kind": "real",
                "truth": "real",
                "said": "real" if i % 3 else "generated",
                "rt_ms": float(rng.uniform(500, 1500)),
                "image": ("real", i),
            }
            | changes
        )
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (answered(), None),
        (answered(rt_ms=250.0), "median time of 250 ms"),
        (answered(said="real"), "same answer 40 times"),
        (answered(rt_ms=900.0), "regular as a program"),
        (answered() + answered(2, kind="check", truth="generated", said="real"), "2 obvious fakes"),
        (answered() + answered(1, kind="check", truth="generated", said="real"), None),
        (
            answered(20) + answered(3, kind="repeat", said="real", image=("real", 0)),
            "0 of 3 repeated",
        ),
    ],
)
def test_rules_of_exclusion(answers: list[Answered], reason: str | None) -> None:
    found = reasons(answers, Rules())
    assert (not found) if reason is None else any(reason in one for one in found)


def test_qualified_people_are_reported_beside_all(tmp_path: Path) -> None:
    store = human.study(tmp_path, qualify=20)
    for skill in (1.0, 0.3):
        go_through(store, np.random.default_rng(5), skill=skill)
    groups = report(store)["groups"]
    assert groups["all"]["people"] == 2 and groups["qualified"]["people"] == 1


def test_a_file_that_is_no_study(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with pytest.raises(UsageError, match="There is no"):
        Store(path)
    path.write_text("text")
    with pytest.raises(UsageError, match="is no study"):
        Store(path)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE a (b)")
    with pytest.raises(ZeuxisError, match="no study that can be read"):
        Store(path)
    with pytest.raises(UsageError, match="half of the images"):
        StudyConfig(n=7)
    with pytest.raises(UsageError, match="--pool is 3"):
        StudyConfig(pool=3)
