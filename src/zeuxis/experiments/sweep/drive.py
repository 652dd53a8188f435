"""Drives a sweep: submits its trainings, retries the failed, and shows one table.

What is done is not done again. A training that failed for what it was asked (exit code 2) would
fail again, so only others are retried.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from ...checkpoints.run_folder import Run
from ...progress import clock, console
from .cell import Outcome, claim, is_done, planned, run_of
from .grid import Cell
from .places import Place

POLL, LINE = 0.5, 30.0  # seconds between looks, and between lines where there is no terminal
TAIL = 4_096  # bytes of metrics.jsonl that hold its last line
ROWS = 16  # trainings that the live table shows


@dataclass
class State:
    """A training of the sweep while it is driven.

    Arguments:
        cell: The training.
        place: Its folder.
        status: waiting, running, done or failed.
        attempts: How often it was begun.
        outcome: How the last attempt ended.
        job: What the place gave for it.
    """

    cell: Cell
    place: Path
    status: str = "waiting"
    attempts: int = 0
    outcome: Outcome = field(default_factory=lambda: Outcome(0))
    job: Any = None

    def share(self) -> float:
        """The part of the training that lies behind, from 0 to 1."""
        if self.status == "done":
            return 1.0
        run = newest(self.place)
        if run is None or not (total := planned(run)):
            return 0.0
        return min(1.0, reached(run) / total)


def newest(place: Path) -> Run | None:
    """The newest run folder of a training, with a save or without."""
    paths = sorted(place.glob("*/config.json"))
    return Run(paths[-1].parent) if paths else None


def reached(run: Run) -> int:
    """Images or steps of the last report."""
    try:
        with open(run.path("metrics.jsonl"), "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().splitlines()
        last = json.loads(lines[-1])
        return int(last.get("images") or last.get("steps") or 0)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def drive(
    cells: Sequence[Cell],
    root: Path,
    place: Place,
    retries: int = 0,
    imports: Sequence[str] = (),
    poll: float = POLL,
) -> list[State]:
    """Runs trainings until each is done or has failed as often as allowed.

    Arguments:
        cells: The trainings.
        root: The sweep's folder.
        place: Where they run; it is closed at the end.
        retries: How often a failed one is started again.
        imports: Modules with models of the user's.
        poll: Seconds between two looks at the jobs.
    """
    states = [State(cell, root / cell.name) for cell in cells]
    for state in states:
        claim(state.cell, state.place)
        state.status = "done" if is_done(state.place) else "waiting"
    already = sum(state.status == "done" for state in states)
    if already:
        console.print(f"{already} of {len(states)} trainings are done already.")
    show = Progress(states)
    try:
        with show:
            while any(state.status in ("waiting", "running") for state in states):
                for state in [one for one in states if one.status == "running"]:
                    outcome = place.outcome(state.job)
                    if outcome is not None:
                        handle_end(state, outcome, retries, show.say)
                running = sum(state.status == "running" for state in states)
                for state in states:
                    if state.status == "waiting" and (not place.at_once or running < place.at_once):
                        state.job = place.submit(state.cell.argv, state.place, imports)
                        state.status, state.attempts = "running", state.attempts + 1
                        running += 1
                show.update()
                time.sleep(poll)
    finally:
        place.close()
    return states


def handle_end(state: State, outcome: Outcome, retries: int, say: Callable[[str], None]) -> None:
    """Updates the state after an attempt ended, and prints what failed."""
    state.outcome, state.job = outcome, None
    if outcome.code == 0:
        state.status = "done"
        return
    again = outcome.code != 2 and state.attempts <= retries
    state.status = "waiting" if again else "failed"
    then = f"it is started again ({state.attempts} of {retries})" if again else "it is left out"
    lines = "".join(f"\n    {line}" for line in outcome.lines)
    say(f"{state.cell.name} failed with exit code {outcome.code}; {then}:{lines}")


class Progress:
    """One table of all trainings on a terminal, and a line now and then elsewhere."""

    def __init__(self, states: Sequence[State]) -> None:
        self.states, self.began = states, time.monotonic()
        self.before = sum(state.share() for state in states)
        self.said = self.began
        self.stack = ExitStack()
        self.live: Live | None = None

    def __enter__(self) -> Progress:
        if console.is_terminal:
            self.live = self.stack.enter_context(
                Live(self.table(), console=console, refresh_per_second=2, transient=True)
            )
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def update(self) -> None:
        """Shows the present state."""
        now = time.monotonic()
        if self.live is not None:
            self.live.update(self.table())
        elif now - self.said >= LINE:
            self.said = now
            console.print(self.line())

    def say(self, sentence: str) -> None:
        """Prints a sentence above the table."""
        console.print(sentence, soft_wrap=True)

    def left(self) -> float | None:
        """Seconds until the end at the pace so far, None before there is one."""
        reached = sum(state.share() for state in self.states if state.status != "failed")
        total = sum(state.status != "failed" for state in self.states)
        gained, seconds = reached - self.before, time.monotonic() - self.began
        return seconds * (total - reached) / gained if gained > 0.01 else None

    def line(self) -> str:
        """Counts and the time left.

        Example:
            >>> from zeuxis.experiments.sweep.grid import Cell
            >>> Progress([State(Cell("seed0", (), 0), Path("seed0"), "done")]).line()
            '1 done, 0 running, 0 waiting, 0 failed of 1'
        """
        count = dict.fromkeys(("done", "running", "waiting", "failed"), 0)
        for state in self.states:
            count[state.status] += 1
        text = ", ".join(f"{number} {name}" for name, number in count.items())
        left = self.left()
        more = "" if left is None or not count["running"] else f", {clock(left)} left"
        return f"{text} of {len(self.states)}{more}"

    def table(self) -> Table:
        """The trainings that run or failed, then the next ones, under the counts."""
        table = Table(title=self.line(), title_justify="left")
        for name in ("training", "status", "done", "speed"):
            table.add_column(name, justify="left" if name in ("training", "status") else "right")
        order = {"failed": 0, "running": 1, "waiting": 2, "done": 3}
        shown = sorted(self.states, key=lambda state: order[state.status])[:ROWS]
        for state in shown:
            share = f"{100 * state.share():.0f} %"
            table.add_row(state.cell.name, state.status, share, speed(state))
        if len(self.states) > ROWS:
            table.add_row(f"and {len(self.states) - ROWS} more", "", "", "")
        return table


def speed(state: State) -> str:
    """Images or steps a second by the last report of a running training."""
    run = newest(state.place) if state.status == "running" else None
    lines = run.metrics()[-1:] if run is not None else []
    for unit in ("images", "steps"):
        if lines and f"{unit}/s" in lines[0]:
            return f"{lines[0][f'{unit}/s']:,.0f} {unit}/s"
    return ""


def finished_runs(states: Sequence[State]) -> list[tuple[Cell, Run]]:
    """The run folder of each training that is done."""
    found = [(state.cell, run_of(state.place)) for state in states if state.status == "done"]
    return [(cell, run) for cell, run in found if run is not None]
