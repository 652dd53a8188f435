"""The sections on what models can do: likelihood, sampling, codes."""

from __future__ import annotations

import math
from html import escape

from ...visual.svg import Line, Row, curves, dots
from .pieces import Page, figure, row_of, table


def likelihood(page: Page) -> str:
    """Nats by kind, for binary pixels and for 256 levels."""
    parts = []
    for pixels, words in (
        ("binary", "Binarized pixels"),
        ("256 levels", "256 levels of gray or color"),
    ):
        rows = []
        for column in page.columns:
            found = column.nats(pixels)
            if found is None:
                continue
            kind, runs = found
            means = [sum(run) / len(run) for run in runs]
            rows.append(Row(f"{column.title}, {kind}", means, color=page.color(column)))
            bound = column.annealed(pixels)
            if bound and kind != "AIS":
                rows.append(
                    Row(f"{column.title}, AIS", [sum(bound) / len(bound)],
                        color=page.color(column))
                )  # fmt: skip
        if rows:
            parts.append(f"<h3>{words}</h3>" + dots(rows, "nats an image, higher is likelier",
                         f"log-likelihood of test images, {words.lower()}"))  # fmt: skip
    if not parts:
        return ""
    text = (
        "Autoregressive figures are exact. A VAE has a lower bound by importance weighting (IWAE), "
        "flow matching an estimate of one, and a GAN no density at all: annealed importance "
        "sampling (AIS) gives it the likelihood of another model, its images with noise around "
        "them, and depends on that noise. Densities of dequantized pixels are given as bounds on "
        "the probability of 256 levels. The two kinds of pixels do not compare."
    )
    return f'<h2 id="likelihood">Likelihood</h2><p>{text}</p>{"".join(parts)}{gaps(page)}'


def gaps(page: Page) -> str:
    """The check of annealing: the gap between lower and upper bound."""
    rows = []
    for column in page.columns:
        for pixels in ("binary", "256 levels"):
            found = column.first(f"annealed.{pixels}.observation")
            if found is None:
                continue
            width, gap = (column.first(f"annealed.{pixels}.{key}") for key in ("width", "gap"))
            noise = "its own" if found == "own" else f"{found}, {width:g}"
            accepted = column.first(f"annealed.{pixels}.acceptance")
            count = len(column.first(f"annealed.{pixels}.nats"))
            rows.append(
                f'<tr><th scope="row">{escape(column.title)}, {pixels}</th><td>{noise}</td>'
                f"<td>{'-' if gap is None else f'{gap:.2f}'}</td><td>{accepted:.0%}</td>"
                f"<td>{count}</td></tr>"
            )
    heads = ("", "pixels around the image", "gap of both bounds (nats)", "accepted", "images")
    return table(heads, rows, "Annealing checked by bidirectional Monte Carlo on simulated images: "
                 "a gap of a few nats is a good estimate, a large one a loose bound."
                 ) if rows else ""  # fmt: skip


def sampling(page: Page) -> str:
    """Seconds an image, and passes."""
    rows = []
    for column in page.columns:
        for batch in ("64", "1"):
            if column.values(f"cost.seconds.{batch}"):
                row = row_of(page, column, f"cost.seconds.{batch}")
                rows.append(named(row, f"{column.title}, batch {batch}"))
        if column.values("cost.naive.64"):
            rows.append(named(row_of(page, column, "cost.naive.64"), f"{column.title}, no cache"))
    if not rows:
        return ""
    plot = dots(rows, "seconds an image (log scale)", "time of a sample", log=True)
    body = []
    for column in page.columns:
        passes = column.first("cost.passes")
        if passes is None:
            continue
        flops, threads = column.first("cost.flops"), column.first("cost.threads")
        body.append(
            f'<tr><th scope="row">{escape(column.title)}</th><td>{passes:,}</td>'
            f"<td>{flops / 1e6:,.1f}</td><td>{threads}</td></tr>"
        )
    heads = ("", "passes one after the other", "million operations an image", "CPU threads")
    return (
        '<h2 id="sampling">Sampling</h2>'
        + figure(plot, "A cache keeps what earlier pixels computed; without it the network runs "
                 "anew for every value.")
        + table(heads, body, "What one image takes.")
    )  # fmt: skip


def named(row: Row, name: str) -> Row:
    """A row with another name, and its interval only where it is finite and positive."""
    low = row.low if row.low > 0 else math.nan
    return Row(name, row.points, low, row.high, row.text, row.color)


def codes(page: Page) -> str:
    """Accuracy of codes, walks and reconstructions."""
    lines = []
    for column in page.columns:
        rows = column.first("codes.accuracy")
        if rows:
            source = "" if column.first("codes.source") == "its own encoder" else " (fitted)"
            points = [(row[0], row[1]) for row in rows]
            lines.append(Line(column.title + source, points, page.color(column)))
    base = next((b for c in page.columns if (b := c.first("codes.baseline"))), None)
    if base:
        lines.append(Line("principal comp.", [(row[0], row[1]) for row in base], -1, True))
    parts = []
    if lines:
        plot = curves(lines, "labels (log scale)", "accuracy of a linear probe",
                      "accuracy of codes by the number of labels", log_x=True)  # fmt: skip
        caption = (
            "Classes of test images read from codes. Models marked (fitted) have no encoder: one "
            "was trained on their samples."
        )
        parts.append(figure(plot, caption))
    body = []
    for column in page.columns:
        length = column.first("codes.length")
        cells = "".join(
            f"<td>{'-' if value is None else f'{value.value:.3g}'}</td>"
            for value in (
                column.interval("codes.error"),
                column.interval("walks.path ratio"),
                column.interval("walks.largest step"),
                column.interval("walks.sure"),
            )
        )
        body.append(
            f'<tr><th scope="row">{escape(column.title)}</th>'
            f"<td>{'-' if length is None else length}</td>{cells}</tr>"
        )
    heads = ("", "numbers of a code", "reconstruction error", "walk: length over distance",
             "walk: largest over mean step", "walk: sure of a class")  # fmt: skip
    parts.append(table(heads, body, "“-” is a capability that the model lacks, and not a 0."))
    pictures = []
    for column in page.columns:
        walk = page.image(column, "walks.picture", f"four walks between latents, {column.title}")
        again = page.image(column, "codes.picture", f"images above reconstructions, {column.title}")
        if walk or again:
            caption = f"<b>{escape(column.title)}</b>: walks between latents"
            caption += ", and test images above their reconstructions" if again else ""
            pictures.append(figure(walk + "<br>" * bool(walk and again) + again, caption))
    return (
        '<h2 id="codes">Codes</h2>' + "".join(parts)
        + (f'<div class="columns wide">{"".join(pictures)}</div>' if pictures else "")
    )  # fmt: skip
