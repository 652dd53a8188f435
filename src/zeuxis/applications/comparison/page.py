"""The page: one HTML file without scripts and without anything from a network.

It begins with what was done and a table of the main figures, gives a verdict on each sentence of
the article, shows the figures behind them, and ends with what to take for what.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from ...evaluation.intervals import Interval
from ...progress import clock
from ...visual.svg import number
from .advice import Advice
from .compare import column_from
from .pieces import Page, table
from .results import Column
from .sections import SECTIONS
from .style import CSS
from .verdicts import Verdict

CLASSES = {"holds": "holds", "does not hold": "fails", "undecided": "open"}
WORDS = ("", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
CONTENTS = {
    "verdicts": "Verdicts", "samples": "Samples", "sharpness": "Sharpness",
    "stability": "Stability", "likelihood": "Likelihood", "sampling": "Sampling",
    "codes": "Codes", "coverage": "Coverage", "take": "What to take", "protocol": "Protocol",
}  # fmt: skip


def html(
    figures: dict[str, Any], verdicts: Sequence[Verdict], advised: Sequence[Advice], folder: Path
) -> str:
    """The whole page.

    Arguments:
        figures: All figures, as `comparison.json` has them.
        verdicts: A verdict on each hypothesis.
        advised: What to take for what.
        folder: Where the pictures lie that are inlined.
    """
    columns = [column_from(values) for values in figures["columns"]]
    page = Page(figures, columns, folder)
    data = figures["data"]["name"]
    title = f"{counted(len(columns))} on {data}"
    sections = "".join(section(page) for section in SECTIONS)
    body = [
        f'<p class="kicker">zeuxis compare · {escape(figures["date"])}</p><h1>{escape(title)}</h1>',
        lead(figures, columns, verdicts),
        notes(figures),
        overview(page),
        verdict_list(verdicts),
        sections,
        taken(advised),
        protocol(figures, columns),
    ]
    whole = "".join(body)
    links = "".join(
        f'<a href="#{key}">{words}</a>' for key, words in CONTENTS.items() if f'id="{key}"' in whole
    )
    body.insert(2, f'<nav aria-label="Contents">{links}</nav>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def counted(n: int) -> str:
    """How many approaches.

    Example:
        >>> counted(1), counted(4), counted(12)
        ('One approach', 'Four approaches', '12 approaches')
    """
    word = WORDS[n] if n < len(WORDS) else str(n)
    return f"{word} approach" + ("" if n == 1 else "es")


def lead(figures: dict[str, Any], columns: Sequence[Column], verdicts: Sequence[Verdict]) -> str:
    """What was done, in two paragraphs."""
    data, how = figures["data"], figures["protocol"]
    trained = [c for c in columns if c.first("training.images")]
    text = f"{', '.join(escape(c.title) for c in columns[:-1])} and {escape(columns[-1].title)}"
    text = text if len(columns) > 1 else escape(columns[0].title)
    if trained:
        seeds = how["seeds"]
        runs = "once each" if seeds == 1 else f"with {seeds} seeds each"
        text += (
            f" learned from the same {data['train']:,} images of {escape(data['name'])}, each for "
            f"{how['minutes']:g} minutes, {runs}"
        )
    else:
        text += f" were measured on {data['test']:,} test images of {escape(data['name'])}"
    tally = [sum(v.outcome == word for v in verdicts) for word in CLASSES]
    return (
        f'<p class="lead">{text}. What do the sentences that everyone repeats about them amount '
        f"to at this size?</p><p>Of ten hypotheses {tally[0]} hold, {tally[1]} do not, and "
        f"{tally[2]} are undecided: their intervals do not say. {quick_words(how)}</p>"
    )


def quick_words(how: dict[str, Any]) -> str:
    """What a first look leaves open."""
    if not how["quick"]:
        return ""
    return (
        "This is a <b>first look</b> with short trainings and few samples: its figures are "
        "rough, and compare with no others."
    )


def notes(figures: dict[str, Any]) -> str:
    """Warnings about the data."""
    return "".join(f'<p class="note">{escape(note)}</p>' for note in figures["data"]["notes"])


def cell(found: Interval | None, unit: str = "", digits: str = "") -> str:
    """A figure with its interval as a cell; "-" where the model lacks it."""
    if found is None or math.isnan(found.value):
        return "<td>-</td>"
    text = f"{found.value:{digits}}" if digits else number(found.value)
    if math.isfinite(found.low) and math.isfinite(found.high):
        low = max(found.low, 0.0)  # no figure of the table can be negative
        ends = [f"{v:{digits}}" if digits else number(v) for v in (low, found.high)]
        return f"<td>{text}{unit}<small>{ends[0]} to {ends[1]}</small></td>"
    return f"<td>{text}{unit}</td>"


def overview(page: Page) -> str:
    """The main figures of all columns."""
    columns, floor = page.columns, page.figures["reference"]["floor"]
    rows = []

    def row(name: str, cells: Sequence[str], real: str = "-") -> None:
        if any(text != "<td>-</td>" for text in cells):
            rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}<td>{real}</td></tr>')

    for key, words in (
        ("frechet", "Fréchet distance"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("coverage", "coverage"),
    ):
        row(words, [cell(c.interval(f"quality.{key}")) for c in columns], number(floor[key]))
        if key == "frechet":
            best = [cell(c.interval("best.frechet")) for c in columns]
            row("the same, best by validation", best)
    row("sharpness, ratio to real",
        [cell(c.over_images("sharpness.mean.spectrum")) for c in columns], "1")  # fmt: skip
    row("nats, binarized", [nats_cell(c) for c in columns])
    row("seconds an image, batch 64", [cell(c.interval("cost.seconds.64")) for c in columns])
    row("class from a code, 100 labels",
        [cell(c.interval("codes.accuracy.0.1")) for c in columns])  # fmt: skip
    row("weights for sampling", [plain_cell(c.first("size.sampling")) for c in columns])
    row("weights for training only", [plain_cell(c.first("size.training")) for c in columns])
    row("images seen", [plain_cell(c.first("training.images")) for c in columns])
    row("operations of training (10¹⁵)", [cell(training_flops(c)) for c in columns])
    row("minutes of training", [cell(minutes_of(c), digits=".1f") for c in columns])
    net = page.figures["network"]
    n = page.figures["protocol"]["count"]
    seeds = max(len(c.runs) for c in columns)
    spread = "Mean over seeds with its 95 % interval. " if seeds > 1 else ""
    caption = (
        f"{spread}Scores of {n:,} samples against {n:,} test images on features of "
        f"{escape(net['name'])} ({net['hash']}); they do not compare with those on others. "
        "“-”: the model cannot."
    )
    return table(["", *(c.title for c in columns), "real images"], rows, caption)


def nats_cell(column: Column) -> str:
    """Mean nats of binarized images and their kind."""
    found = column.nats("binary")
    if found is None:
        return "<td>-</td>"
    kind, runs = found
    mean = sum(sum(run) / len(run) for run in runs) / len(runs)
    return f"<td>{mean:.1f}<small>{escape(kind)}</small></td>"


def plain_cell(value: Any) -> str:
    """A whole number as a cell."""
    return "<td>-</td>" if value in (None, 0) else f"<td>{int(value):,}</td>"


def training_flops(column: Column) -> Interval | None:
    """Operations of the whole training, in 10^15."""
    each, images = column.first("training.flops"), column.first("training.images")
    if not each or not images:
        return None
    return Interval(each * images / 1e15, -math.inf, math.inf)


def minutes_of(column: Column) -> Interval | None:
    """Minutes of training, without validation."""
    values = column.values("training.seconds")
    return Interval(sum(values) / len(values) / 60, -math.inf, math.inf) if values else None


def verdict_list(verdicts: Sequence[Verdict]) -> str:
    """Each sentence of the article with its verdict."""
    rows = []
    for verdict in verdicts:
        kind = CLASSES[verdict.outcome]
        rows.append(
            f'<div class="verdict"><div class="tag {kind}"><b>{verdict.number}</b>'
            f"{verdict.outcome}</div><div><blockquote>“{escape(verdict.sentence)}”</blockquote>"
            f"<p>{escape(verdict.hypothesis)}</p>"
            f'<p class="small">{escape(verdict.evidence)}</p></div></div>'
        )
    intro = (
        "The sentences are those of <i>Generative Models</i> (OpenAI, June 2016). A hypothesis "
        "holds if every interval lies on its side, and does not if one lies on the other."
    )
    return f'<h2 id="verdicts">Ten sentences</h2><p>{intro}</p>{"".join(rows)}'


def taken(advised: Sequence[Advice]) -> str:
    """The last lines: for what to take what."""
    if not advised:
        return ""
    rows = "".join(
        f"<li>For <b>{escape(line.wanted)}</b> take {escape(' or '.join(line.take))}."
        f'<br><span class="small">{escape(line.why)}.</span></li>'
        for line in advised
    )
    return (
        '<h2 id="take">What to take</h2><p>Good likelihoods, good samples and good codes do not '
        f"imply each other, so there is no winner of all.</p><ul class=take>{rows}</ul>"
    )


def protocol(figures: dict[str, Any], columns: Sequence[Column]) -> str:
    """How it was measured, and what is missing and why."""
    data, how = figures["data"], figures["protocol"]
    machine = escape(str(figures["machine"]))
    missing = []
    for column in columns:
        for name in ("likelihood", "annealed", "codes", "walks", "quality"):
            if why := column.missing(name):
                missing.append(f"<li>{escape(column.title)}, {name}: {escape(why)}</li>")
    return (
        '<h2 id="protocol">Protocol</h2><ul>'
        f"<li>{data['train']:,} images to learn from, {data['validation']:,} for choices "
        f"(checkpoint, noise of annealing), {data['test']:,} to measure on.</li>"
        "<li>Averaged weights of the last step; settings were fixed before these seeds were "
        "run, and no run was selected.</li>"
        f"<li>Likelihoods on {how['likelihood_images']:,} test images, annealing on "
        f"{how['annealed_images']} of the first seed.</li>"
        f"<li>Written in {clock(figures['seconds'])} of the last call, on {machine}.</li>"
        f"<li><code>{escape(figures['command'])}</code></li></ul>"
        + (f"<details><summary>What models cannot do, or was not measured</summary><ul>"
           f"{''.join(missing)}</ul></details>" if missing else "")
        + '<p class="small">All figures: <a href="comparison.json">comparison.json</a>.</p>'
    )  # fmt: skip
