"""The sections on samples and trainings: pictures, sharpness, stability, coverage. A section is
left out where no column has its figures."""

from __future__ import annotations

import math
from html import escape

from ...evaluation.intervals import Interval
from ...evaluation.stability import robust_share
from ...visual.svg import Line, Row, bars, curves, dots, number
from .capability_sections import codes, likelihood, sampling
from .pieces import Page, dots_for, figure, interval_cell, row_of, table
from .results import at

MEASURES = {
    "spectrum": "energy above half the Nyquist frequency",
    "gradient": "length of the gradient",
    "laplacian": "variance of the Laplacian",
    "fringe": "share of gray pixels",
}


def samples(page: Page) -> str:
    """Uncurated samples of the first seed."""
    parts = []
    for column in page.columns:
        text = f"64 samples of {column.title}, not selected"
        if image := page.image(column, "quality.picture", text):
            drawn = page.image(column, "sharpness.drawn picture", f"drawn pixels, {column.title}")
            more = f"<p class=small>Pixels drawn from its distribution:</p>{drawn}" if drawn else ""
            parts.append(figure(image + more, f"<b>{escape(column.title)}</b> ({column.model})"))
    if not parts:
        return ""
    return (
        '<h2 id="samples">Samples</h2><p>The first 64 of the first seed of each model. Nothing was '
        f'selected.</p><div class="columns">{"".join(parts)}</div>'
    )


def sharpness(page: Page) -> str:
    """Ratios to real images, with rulers, and the radial spectrum."""
    rulers = page.figures["reference"]["rulers"]
    parts = []
    for name, words in MEASURES.items():
        rows = []
        for column in page.columns:
            for key, suffix in (("mean", ""), ("drawn", ", drawn")):
                path = f"sharpness.{key}.{name}"
                found = column.over_images(path)
                if found is not None and column.values(f"{path}.0"):
                    points = column.values(f"{path}.0")
                    color = page.color(column)
                    rows.append(
                        Row(column.title + suffix, points, found.low, found.high, color=color)
                    )
        if not rows:
            continue
        for ruler, values in rulers.items():
            if name in values["ratios"]:
                value, low, high = values["ratios"][name]
                rows.append(Row(f"real, {ruler}", [value], low, high, color=-1))
        title = f"{words}, ratio to real images"
        parts.append(
            f"<h3>{words[0].upper()}{words[1:]}</h3>"
            + dots(rows, "ratio to real images", title, True, 1.0, "real images")
        )
    if not parts:
        return ""
    lines = [
        Line(c.title, ring_points(c.first("sharpness.curve")), page.color(c))
        for c in page.columns
        if c.first("sharpness.curve")
    ]
    lines.append(Line("real images", ring_points(page.figures["reference"]["curve"]), -1))
    lines.append(Line("real, blur 1", ring_points(rulers["blur 1"]["curve"]), -1, True))
    spectra = curves(
        lines, "frequency (cycles per pixel)", "share of energy", "radial spectrum of samples and "
        "real images", log_y=True,
    )  # fmt: skip
    text = (
        "A ratio of 1 is the sharpness of real images. More is not better: noise has it too. The "
        "gray rows are rulers, real images blurred by half a pixel and by one, and with noise."
    )
    return (
        f'<h2 id="sharpness">Sharpness</h2><p>{text}</p>'
        + figure(spectra, "Energy of each frequency. What blur removes lies on the right.")
        + "".join(parts)
    )


def ring_points(curve: list[float]) -> list[tuple[float, float]]:
    """A radial spectrum as points."""
    return [((i + 0.5) / len(curve) / 2, value) for i, value in enumerate(curve)]


def stability(page: Page) -> str:
    """Scores over seeds, over time, and over settings."""
    scores = dots_for(page, "quality.frechet", "Fréchet distance (log scale)",
                      "Fréchet distance of every seed", True, "frechet")  # fmt: skip
    lines = [
        Line(column.title, course, page.color(column))
        for column in page.columns
        for course in column.courses()
        if course
    ]
    if not scores and not lines:
        return ""
    parts = ['<h2 id="stability">Stability</h2>']
    parts.append("<p>Runs of one row differ in their seed only. Nothing was selected.</p>")
    parts.append(figure(scores, "Each small dot is a seed, the large one their mean, the band its "
                        "95 % interval. Lower is closer to real images."))  # fmt: skip
    if lines:
        course = curves(lines, "images seen (log scale)", "Fréchet distance of validation samples",
                        "validation scores over the training", log_x=True, log_y=True)  # fmt: skip
        parts.append(figure(course, "The score on validation images during each training."))
    parts.append(stability_table(page))
    return "".join(parts)


def stability_table(page: Page) -> str:
    """Failures, variation, drawdown and settings as a table."""
    rows = []
    for column in page.columns:
        spread = column.spread()
        if spread is None:
            continue
        falls = [c.drawdown for c in column.time_courses() if math.isfinite(c.drawdown)]
        jumps = sum(course.jumps for course in column.time_courses())
        settings = [at(run, "quality.frechet") for run in column.settings.values()]
        own = column.values("quality.frechet")[:1]
        near = (
            interval_cell(robust_share([math.nan if v is None else v for v in settings] + own))
            if settings
            else "<td>not run</td>"
        )
        variation = "-" if math.isnan(spread.variation) else f"{spread.variation:.0%}"
        fall = f"{sum(falls) / len(falls):.0%}" if falls else "-"
        rows.append(
            f'<tr><th scope="row">{escape(column.title)}</th>{interval_cell(spread.failed)}'
            f"<td>{variation}</td><td>{fall}</td><td>{jumps}</td>{near}</tr>"
        )
    if not rows:
        return ""
    heads = ("", "failed runs", "variation over seeds", "drawdown after the best",
             "jumps by half", "settings within twice the best")  # fmt: skip
    return table(heads, rows, "A failed run diverges, covers less than 0.3 of the real images, or "
                 "has three times the median distance.")  # fmt: skip


def coverage(page: Page) -> str:
    """Precision, recall, coverage, classes, birthdays and neighbors."""
    parts = []
    for name, words in (
        ("precision", "Precision: samples near real images"),
        ("recall", "Recall: real images near samples"),
        ("coverage", "Coverage: real images with a sample nearby"),
    ):
        plot = dots_for(page, f"quality.{name}", name, words, reference=name, zero=True)
        if plot:
            parts.append(f"<h3>{words}</h3>{plot}")
    names = page.figures["data"]["classes"]
    charts = []
    for column in page.columns:
        shares = column.first("quality.histogram.shares")
        if shares:
            chart = bars(shares, names, f"classes of {column.title}", page.color(column),
                         1 / len(shares))  # fmt: skip
            charts.append(figure(chart, escape(column.title)))
    if charts:
        parts.append("<h3>Classes of samples</h3><p>As a classifier sees them; the dashed line is "
                     f'an even share.</p><div class="bars">{"".join(charts)}</div>')  # fmt: skip
    if rows := [row_of(page, c, "modes.hit") for c in page.columns if c.values("modes.hit")]:
        expected = next(c.first("modes.expected") for c in page.columns if c.values("modes.hit"))
        plot = dots(rows, "modes of 1,000", "modes hit", reference=expected, meaning="real images")
        parts.append(f"<h3>Modes of stacked digits</h3>{plot}")
    parts.append(variety(page))
    pictures = [
        figure(image, f"<b>{escape(column.title)}</b>")
        for column in page.columns
        if (image := page.image(column, "memorization.picture",
                                f"samples above nearest training images, {column.title}"))
    ]  # fmt: skip
    if pictures:
        parts.append("<h3>Nearest training images</h3><p>The eight samples that are nearest to "
                     "training images, above those images.</p>"
                     f'<div class="columns">{"".join(pictures)}</div>')  # fmt: skip
    found = "".join(parts)
    return f'<h2 id="coverage">Coverage and memory</h2>{found}' if found else ""


def variety(page: Page) -> str:
    """Support by the birthday test, and memorization, as a table."""
    rows = []
    for column in page.columns:
        least = column.first("diversity.at_least")
        ratio, copies = column.interval("memorization.ratio"), column.first("memorization.copies")
        if least is None or ratio is None or not copies:
            continue
        support = column.first("diversity.support")
        different = number(support) if support is not None else f"over {number(least)}"
        rows.append(
            f'<tr><th scope="row">{escape(column.title)}</th><td>{different}</td>'
            f"<td>{ratio.value:.3f}</td>{interval_cell(Interval(*copies))}</tr>"
        )
    heads = ("", "different images, by birthdays", "distance to training over test images",
             "samples closer than 99 % of test images")  # fmt: skip
    return table(heads, rows, "A distance ratio well below 1, or far more than 1 % of close "
                 "samples, would be memorized images.") if rows else ""  # fmt: skip


SECTIONS = (samples, sharpness, stability, likelihood, sampling, codes, coverage)
