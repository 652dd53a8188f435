"""Errors by the number of labels, as a plot: a line for each method, and a band of one standard
deviation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import MissingExtra
from ..files import write
from .curves import COLORS, check_format


def plot_errors(
    labels: Sequence[int], errors: Mapping[str, Sequence[Sequence[float]]], path: str | Path
) -> Path:
    """Draws mean errors over the number of labels, both on logarithmic axes.

    Arguments:
        labels: Numbers of labels.
        errors: For each method and number of labels the errors of all splits (percent).
        path: An .svg, .pdf or .png file.

    Raises:
        MissingExtra: matplotlib is not installed.
        UsageError: The file has another ending.
    """
    suffix = check_format(path)
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, NullFormatter
    except ImportError as error:
        raise MissingExtra("matplotlib", "plot", "A plot") from error
    # A fixed salt and no date: equal figures are equal files.
    with rc_context({"svg.hashsalt": "zeuxis", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.2, 4), layout="constrained", dpi=150)
        axes = figure.add_subplot(xscale="log", yscale="log")
        for color, (name, rows) in zip(COLORS, errors.items(), strict=False):
            mean = np.array([np.mean(row) for row in rows])
            std = np.array([np.std(row, ddof=1) if len(row) > 1 else 0.0 for row in rows])
            axes.plot(labels, mean, "o-", markersize=4, color=color, label=name)
            # A band that reached 0 would have no end on a logarithmic axis.
            lower = np.maximum(mean - std, 0.2 * mean)
            axes.fill_between(labels, lower, mean + std, color=color, alpha=0.15, linewidth=0)
        axes.set(xlabel="labels", ylabel="errors, %")
        plain = FuncFormatter(lambda value, _: f"{value:,g}")
        axes.set_xticks(labels, minor=False)
        axes.xaxis.set_major_formatter(plain)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(
            FuncFormatter(lambda value, _: f"{value:,g}" if f"{value:e}"[0] in "235" else "")
        )
        axes.grid(color="#dddddd", which="both")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper left", frameon=False, ncols=len(errors))
        buffer = io.BytesIO()
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}
        figure.savefig(buffer, format=suffix[1:], metadata=metadata[suffix])
    return write(path, buffer.getvalue())
