"""The figures of a study, from its file alone.

The score of a study carries the name of its mode, since modes do not compare. It stands three
times: of all who answered every image, of those whom no rule excludes, and, after a qualification,
of those who passed it.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.table import Table

from ... import files
from ...errors import UsageError
from ...evaluation.intervals import Interval
from ...visual.grid import captioned, numbered, save
from .exclusions import Answered, qualified, reasons
from .protocol import modal_exposure
from .statistics import (
    COLUMNS,
    LEAST_PEOPLE,
    Tally,
    over_people,
    scores,
    wilson,
)
from .store import Store

LEAST_ANSWERS = 5  # on an image, for its own share
SHOWN = 16  # images of the gallery
QUERY = """SELECT person, phase, block, kind, truth, said, rt_ms, pool, number,
    exposure_ms_wanted FROM trial JOIN image ON image.id = trial.image
    JOIN answer ON answer.trial = trial.id ORDER BY person, position"""


@dataclass(frozen=True)
class Person:
    """What one person answered.

    Arguments:
        role: "maker", "colleague" or "public".
        answers: In order.
        finished: Whether every image is answered.
        excluded: Why, empty if not.
        qualified: Whether the qualification was passed, None if there was none.
    """

    role: str
    answers: list[Answered]
    finished: bool
    excluded: list[str]
    qualified: bool | None

    @property
    def counts(self) -> list[int]:
        """Hits, real images, false alarms, generated images."""
        counted = [a for a in self.answers if a.counts]
        real = [a for a in counted if a.truth == "real"]
        generated = [a for a in counted if a.truth == "generated"]
        return [
            sum(a.right for a in real),
            len(real),
            sum(not a.right for a in generated),
            len(generated),
        ]


def people_of(store: Store) -> list[Person]:
    """Everybody who answered at least one image, in the order in which they began."""
    answers: dict[str, list[Answered]] = defaultdict(list)
    for row in store.rows(QUERY):
        image = (row["pool"], row["number"])
        answers[row["person"]].append(
            Answered(
                row["phase"],
                row["block"],
                row["kind"],
                row["truth"],
                row["said"],
                row["rt_ms"],
                image,
                row["exposure_ms_wanted"],
            )
        )
    count = "SELECT person, COUNT(*) AS n FROM trial GROUP BY person"
    asked = {row["person"]: row["n"] for row in store.rows(count)}
    people, rules = [], store.study.rules
    for row in store.rows("SELECT id, role FROM person ORDER BY number"):
        if (own := answers.get(row["id"])) is None:
            continue
        finished = len(own) == asked[row["id"]]
        people.append(
            Person(row["role"], own, finished, reasons(own, rules, finished), qualified(own, rules))
        )
    return people


def report(store: Store, seed: int = 0) -> dict[str, Any]:
    """All figures of a study.

    Arguments:
        store: The study.
        seed: Fixes the bootstrap.

    Raises:
        UsageError: Nobody answered all images yet.
    """
    people, study = people_of(store), store.study
    finished = [person for person in people if person.finished]
    if not finished:
        raise UsageError(
            f"Nobody has answered all images of '{store.path}' yet: the report needs one person."
        )
    kept = [person for person in finished if not person.excluded]
    groups = {"all": finished, "not excluded": kept}
    if study.config.qualify:
        groups["qualified"] = [person for person in kept if person.qualified]
    withdrawn = store.rows("SELECT COUNT(*) FROM person WHERE withdrawn_at IS NOT NULL")[0][0]
    return {
        "score": f"human-{study.config.mode}",
        "model": study.model,
        "data": f"{study.data}, {study.split}",
        "people": len(people),
        "finished": len(finished),
        "withdrawn": withdrawn,
        "roles": {
            role: sum(person.role == role for person in finished)
            for role in ("maker", "colleague", "public")
        },
        "answers": sum(len(person.answers) for person in finished),
        "excluded": [person.excluded for person in people if person.excluded],
        "groups": {name: group_figures(group, seed) for name, group in groups.items()},
        "each": [each(person) for person in finished],
    }


def group_figures(people: Sequence[Person], seed: int) -> dict[str, Any]:
    """Figures of a group with their intervals; only the number where it is empty."""
    if not people:
        return {"people": 0}
    tally = Tally(np.array([person.counts for person in people]))
    figures: dict[str, Any] = {"people": len(people)}
    figures |= {name: ends(value) for name, value in scores(tally, seed).items()}
    times = [timed for person in people if (timed := exposure_times(person)) is not None]
    if times:
        for i, name in enumerate(("exposure ms", "exposure ms, last half")):
            column = np.array(times)[:, i : i + 1]
            figures[name] = ends(over_people(column, lambda mean: mean[..., 0], seed=seed))
    return figures


def ends(interval: Interval) -> dict[str, float | None]:
    """An interval for a record: None where the data do not bound it."""
    bounded = np.isfinite(interval.low)
    return {
        "value": interval.value,
        "low": interval.low if bounded else None,
        "high": interval.high if bounded else None,
    }


def exposure_times(person: Person) -> tuple[float, float] | None:
    """The mean over blocks of the modal exposure, and of the mean of the last half of a block."""
    blocks: dict[int, list[int]] = defaultdict(list)
    for a in person.answers:
        if a.counts and a.exposure_ms is not None:
            blocks[a.block].append(a.exposure_ms)
    if not blocks:
        return None
    modes = [modal_exposure(times) for times in blocks.values()]
    halves = [float(np.mean(times[len(times) // 2 :])) for times in blocks.values()]
    return float(np.mean(modes)), float(np.mean(halves))


def each(person: Person) -> dict[str, Any]:
    """One person's counts, and the error with Wilson's interval."""
    hits, real, alarms, generated = counts = person.counts
    share = wilson(real - hits + alarms, real + generated)
    return {
        "role": person.role,
        **dict(zip(COLUMNS, counts, strict=True)),
        "error": ends(share),
        "excluded": person.excluded,
        "qualified": person.qualified,
    }


def per_image(people: Sequence[Person]) -> list[dict[str, Any]]:
    """How often each image was called real, by people whom no rule excludes."""
    said: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for person in people:
        if person.finished and not person.excluded:
            for a in person.answers:
                if a.counts:
                    said[a.image].append(a.said == "real")
    return [
        {"kind": pool, "number": number, "answers": len(said), "called real": sum(said)}
        for (pool, number), said in sorted(said.items())
    ]


def table(figures: dict[str, Any]) -> Table:
    """The report as a terminal shows it."""
    groups = {k: group for k, group in figures["groups"].items() if group["people"]}
    title = f"{figures['score']}: {figures['model']} among {figures['data']} images"
    caption = (
        "Intervals of 95 % by a bootstrap over people. d' is 0 for who cannot tell; a criterion "
        "below 0 is a tendency to say real."
    )
    if figures["finished"] < LEAST_PEOPLE:
        caption = f"{figures['finished']} people: no interval over people. Wilson's for each below."
    shown = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    shown.add_column("")
    for name, group in groups.items():
        shown.add_column(f"{name} ({group['people']})", justify="right")
    names = list(dict.fromkeys(name for group in groups.values() for name in group))[1:]
    for name in names:
        shown.add_row(name, *(text_of(name, group.get(name)) for group in groups.values()))
    return shown


def text_of(name: str, value: dict[str, float | None] | None) -> str:
    """A figure with its interval; errors in per cent.

    Example:
        >>> text_of("error", {"value": 0.5, "low": 0.45, "high": None})
        '50.0 %'
    """
    if value is None or value["value"] is None:
        return "-"
    share = name.startswith("error")
    numbers = [
        f"{100 * x:.1f}" if share else f"{x:.0f}" if name.startswith("exposure") else f"{x:.2f}"
        for x in value.values()
        if x is not None
    ]
    text = numbers[0] + (" %" if share else "")
    return f"{text} ({numbers[1]} to {numbers[2]})" if len(numbers) == 3 else text


def sentences(figures: dict[str, Any]) -> list[str]:
    """What the table does not say: who answered, who is excluded, what it means."""
    roles = ", ".join(f"{n} {role}" for role, n in figures["roles"].items() if n)
    lines = [f"{figures['finished']} of {figures['people']} people finished ({roles})."]
    if figures["withdrawn"]:
        lines.append(f"{figures['withdrawn']} withdrew, and their answers are deleted.")
    for why in figures["excluded"]:
        lines.append(f"Excluded: {', '.join(why)}.")
    if figures["finished"] < LEAST_PEOPLE:
        for i, one in enumerate(figures["each"]):
            lines.append(f"Person {i + 1}: error {text_of('error', one['error'])}.")
        lines.append("So few people are a demonstration and no result.")
    error = figures["groups"]["all"]["error"]["value"]
    if error > 0.5:
        lines.append(
            "An error above 50 % is no better than 50 %: it tells the images from real ones."
        )
    return lines


def gallery(store: Store, people: Sequence[Person]) -> Image.Image | None:
    """The generated images that were most and least often called real; None where no image has
    enough answers."""
    rows = [row for row in per_image(people) if row["kind"] == "generated"]
    least = LEAST_ANSWERS if any(row["answers"] >= LEAST_ANSWERS for row in rows) else 1
    rows = [row for row in rows if row["answers"] >= least]
    if not rows:
        return None
    rows.sort(key=lambda row: (-row["called real"] / row["answers"], row["number"]))
    parts = []
    for title, part in (("most often", rows[:SHOWN]), ("least often", rows[::-1][:SHOWN])):
        pixels = [store.pixels("generated", row["number"]) or b"" for row in part]
        x = torch.from_numpy(
            np.stack([np.frombuffer(p, np.uint8).reshape(store.study.shape) for p in pixels])
        )
        texts = [f"{row['called real']} of {row['answers']}" for row in part]
        parts.append(captioned(numbered(x, texts=texts), f"Called real {title}"))
    sheet = Image.new("RGB", (max(p.width for p in parts), sum(p.height for p in parts)))
    for i, picture in enumerate(parts):
        sheet.paste(picture, (0, sum(p.height for p in parts[:i])))
    return sheet


def write_report(store: Store, folder: str | Path, figures: dict[str, Any]) -> list[Path]:
    """Writes a table of images and the gallery."""
    folder, people = Path(folder), people_of(store)
    rows, text = per_image(people), io.StringIO()
    writer = csv.DictWriter(text, ["kind", "number", "answers", "called real"])
    writer.writeheader()
    writer.writerows(rows)
    written = [files.write(folder / "images.csv", text.getvalue())]
    if (picture := gallery(store, people)) is not None:
        written.append(save(picture, folder / "gallery.png"))
    return written
