"""One person's way through a study: consent, images, answers, debriefing, withdrawal.

The truth of an image is computed here and leaves only with the reply to its stored answer, or after
the last one. The state of a session is in the file alone, so a person may close the page, and the
server may be killed, at any time.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from .plan import plan
from .protocol import (
    FRAME_MS,
    MOST_LOST,
    SCREEN,
    WITH_FEEDBACK,
    Mode,
    next_exposure,
)
from .store import Store, new_token, now

ROLES = ("maker", "colleague", "public")
LONGEST_MS = 3_600_000.0
OF_TRIALS = "SELECT trial.*, answer.said FROM trial LEFT JOIN answer ON answer.trial = trial.id "


@dataclass(frozen=True)
class Answer:
    """What a page sends for one image.

    Arguments:
        token: The image's.
        said: "real", "generated", or "lost" where the window was not in front.
        rt_ms: Time from the image to the key (milliseconds).
        seen_ms: Measured time that the image stood, in the timed mode.
    """

    token: str
    said: str
    rt_ms: float
    seen_ms: float | None = None


def start(store: Store, wanted: dict[str, Any]) -> str:
    """Takes a person's consent and draws the images for them.

    Arguments:
        store: The study.
        wanted: From the page: consent, age_ok, role, screen, frame_ms, reading_ms, invitation.

    Returns:
        The person's token.

    Raises:
        UsageError: There is no consent, the invitation is used, or the screen is too slow.
    """
    mode, frame = store.study.config.mode, number(wanted.get("frame_ms"))
    if wanted.get("consent") is not True or wanted.get("age_ok") is not True:
        raise UsageError("The test begins when an adult has consented: check both boxes.")
    if wanted.get("role") not in ROLES:
        raise UsageError("Say who you are: the maker of the model, a colleague, or neither.")
    if mode == "timed" and (frame is None or not FRAME_MS[0] <= frame <= FRAME_MS[1]):
        raise UsageError(
            f"This test needs a screen with a new frame every 8 to 17 milliseconds, and yours has "
            f"one every {frame or math.nan:.1f}: close other programs, or use another screen."
        )
    person = new_token()
    with store.transaction() as connection:
        place = connection.execute("SELECT COALESCE(MAX(number) + 1, 0) FROM person").fetchone()[0]
        connection.execute(
            "INSERT INTO person (id, number, study, consent_at, role, age_ok, screen, frame_ms, "
            "reading_ms) VALUES (?, ?, 1, ?, ?, 1, ?, ?, ?)",
            (
                person,
                place,
                now(),
                wanted["role"],
                str(wanted.get("screen", ""))[:40],
                frame,
                number(wanted.get("reading_ms")),
            ),
        )
        use_invitation(connection, str(wanted.get("invitation") or ""), person)
        add_trials(store, connection, person, place)
    return person


def number(value: Any) -> float | None:
    """A finite number at least 0 from a page, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= LONGEST_MS else None


def use_invitation(connection: sqlite3.Connection, token: str, person: str) -> None:
    """Marks an invitation as used; without any invitation in the file everybody may start."""
    if not connection.execute("SELECT COUNT(*) FROM invitation").fetchone()[0]:
        return
    used = connection.execute(
        "UPDATE invitation SET person = ? WHERE token = ? AND person IS NULL", (person, token)
    )
    if used.rowcount != 1:
        raise UsageError("This study takes each invitation once: ask for a link of your own.")


def add_trials(store: Store, connection: sqlite3.Connection, person: str, place: int) -> None:
    """Writes the trials of a person, each under a random token."""
    ids = {
        (row["pool"], row["number"]): row["id"]
        for row in connection.execute("SELECT id, pool, number FROM image")
    }
    trials = plan(store.study.config, store.sizes(), place)
    connection.executemany(
        "INSERT INTO trial (study, person, phase, block, position, image_token, kind, truth, "
        "image, image_index) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                person,
                one.phase,
                one.block,
                position,
                new_token(),
                one.kind,
                one.truth,
                ids[one.pool, one.number],
                one.number,
            )
            for position, one in enumerate(trials)
        ),
    )


def require_person(connection: sqlite3.Connection, person: Any) -> None:
    """Refuses a token of no person."""
    found = connection.execute(
        "SELECT withdrawn_at FROM person WHERE id = ?", (str(person),)
    ).fetchone()
    if found is None or found["withdrawn_at"]:
        raise UsageError("This session is not known: begin again from the first page.")


def state(store: Store, person: str) -> dict[str, Any]:
    """What the page needs to go on: tokens of the images that are left, never their kind."""
    connection = store.connection()
    require_person(connection, person)
    trials = trials_of(connection, person)
    left = [trial for trial in trials if trial["said"] is None]
    return {
        "left": [{"token": trial["image_token"], "phase": trial["phase"]} for trial in left],
        "done": len(trials) - len(left),
        "all": len(trials),
        "screen": [trial["image_token"] for trial in turn(trials, store.study.config.mode)],
    }


def trials_of(connection: sqlite3.Connection, person: str) -> list[sqlite3.Row]:
    """A person's trials in order, with `said` None where there is no answer."""
    query = OF_TRIALS + "WHERE person = ? ORDER BY position"
    return connection.execute(query, (person,)).fetchall()


def turn(trials: Sequence[sqlite3.Row], mode: Mode) -> list[sqlite3.Row]:
    """The trials that are answered next: one, or those of a screen."""
    left = [trial for trial in trials if trial["said"] is None]
    if mode != "grid" or not left:
        return left[:1]
    phase = [trial for trial in trials if trial["phase"] == left[0]["phase"]]
    first = len([trial for trial in phase if trial["said"] is not None])
    return phase[first : SCREEN * (first // SCREEN + 1)]


def show(store: Store, person: str) -> dict[str, Any]:
    """Notes that the next images are about to be shown, which their answers need; says for how
    long."""
    config = store.study.config
    with store.transaction() as connection:
        require_person(connection, person)
        trials = trials_of(connection, person)
        now_shown = turn(trials, config.mode)
        if not now_shown:
            raise UsageError("All images of this session are answered: there is nothing to show.")
        exposure = None
        if config.mode == "timed":
            exposure = exposure_of(trials, now_shown[0])
        connection.executemany(
            "UPDATE trial SET shown_at = COALESCE(shown_at, ?), exposure_ms_wanted = ? "
            "WHERE id = ?",
            [(time.time(), exposure, trial["id"]) for trial in now_shown],
        )
    return {"tokens": [trial["image_token"] for trial in now_shown], "exposure_ms": exposure}


def exposure_of(trials: Sequence[sqlite3.Row], trial: sqlite3.Row) -> int:
    """The exposure of a trial, from the answers before it in its block (milliseconds)."""
    same = [
        one
        for one in trials
        if (one["phase"], one["block"]) == (trial["phase"], trial["block"])
        and one["kind"] in ("real", "generated")
        and one["said"] in ("real", "generated")
    ]
    return next_exposure([one["said"] == one["truth"] for one in same])


def answer(store: Store, person: str, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Stores the answers to one image, or to one screen, in one transaction.

    An answer that is there already is not stored again; its reply is the same, so a page may send
    an answer again when it got none.

    Returns:
        For each answer whether it was stored before, and its truth where the mode gives feedback.

    Raises:
        UsageError: The image was not shown, or it is another's turn.
    """
    mode = store.study.config.mode
    for one in answers:
        require_possible(one, mode)
    with store.transaction() as connection:
        require_person(connection, person)
        trials = {trial["image_token"]: trial for trial in trials_of(connection, person)}
        if not answers or any(one.token not in trials for one in answers):
            raise UsageError("This image does not belong to this session.")
        again = [trials[one.token]["said"] is not None for one in answers]
        if not all(again):
            expected = [one["image_token"] for one in turn(list(trials.values()), mode)]
            if sorted(one.token for one in answers) != sorted(expected):
                raise UsageError("It is another image's turn: reload the page to go on.")
            for one in answers:
                store_answer(connection, trials[one.token], one, mode)
    return [
        {
            "token": one.token,
            "stored before": before,
            **feedback(trials[one.token], one, mode, before),
        }
        for one, before in zip(answers, again, strict=True)
    ]


def require_possible(one: Answer, mode: Mode) -> None:
    """Refuses answers that no page sends."""
    said = ("real", "generated", "lost") if mode == "timed" else ("real", "generated")
    if one.said not in said or number(one.rt_ms) is None:
        raise UsageError("An answer is real or generated, with its time in milliseconds.")


def store_answer(
    connection: sqlite3.Connection, trial: sqlite3.Row, one: Answer, mode: Mode
) -> None:
    """Inserts one answer."""
    if trial["shown_at"] is None:
        raise UsageError("An image is answered after it was shown: reload the page to go on.")
    if one.said == "lost":
        lost = connection.execute(
            "SELECT COUNT(*) FROM answer JOIN trial ON trial.id = answer.trial "
            "WHERE person = ? AND said = 'lost'",
            (trial["person"],),
        ).fetchone()[0]
        if lost >= MOST_LOST:
            raise UsageError(
                f"The window was left during {MOST_LOST} images, so this session ends here."
            )
    tells = trial["phase"] == "practice" or mode in WITH_FEEDBACK
    connection.execute(
        "UPDATE trial SET exposure_ms_seen = ? WHERE id = ?", (number(one.seen_ms), trial["id"])
    )
    connection.execute(
        "INSERT INTO answer (trial, said, rt_ms, at, feedback_shown) VALUES (?, ?, ?, ?, ?)",
        (trial["id"], one.said, one.rt_ms, now(), int(tells)),
    )


def feedback(trial: sqlite3.Row, one: Answer, mode: Mode, before: bool) -> dict[str, Any]:
    """The truth, where it is shown after an answer."""
    if trial["phase"] != "practice" and mode not in WITH_FEEDBACK:
        return {}
    said = trial["said"] if before else one.said
    return {"truth": trial["truth"], "right": said == trial["truth"]}


def debrief(store: Store, person: str) -> dict[str, Any]:
    """The truth of all images, after the last answer."""
    connection = store.connection()
    require_person(connection, person)
    trials = trials_of(connection, person)
    if any(trial["said"] is None for trial in trials):
        raise UsageError("The truth is shown after the last image.")
    main = [t for t in trials if t["phase"] == "main" and t["kind"] in ("real", "generated")]
    right = [trial["said"] == trial["truth"] for trial in main if trial["said"] != "lost"]
    return {
        "right": sum(right),
        "of": len(right),
        "images": [
            {"token": trial["image_token"], "truth": trial["truth"], "said": trial["said"]}
            for trial in main
        ],
    }


def withdraw(store: Store, person: str) -> None:
    """Deletes all that a person left, but for the fact that there was one."""
    with store.transaction() as connection:
        require_person(connection, person)
        connection.execute(
            "DELETE FROM answer WHERE trial IN (SELECT id FROM trial WHERE person = ?)", (person,)
        )
        connection.execute("DELETE FROM trial WHERE person = ?", (person,))
        connection.execute(
            "UPDATE person SET withdrawn_at = ?, role = 'public', screen = '', frame_ms = NULL, "
            "reading_ms = NULL WHERE id = ?",
            (now(), person),
        )
