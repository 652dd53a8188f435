"""What the sections of the page share: figures, tables, and rows of seeds."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ...evaluation.intervals import Interval
from ...visual.svg import Row, dots
from .results import Column


@dataclass(frozen=True)
class Page:
    """What the sections draw from.

    Arguments:
        figures: All figures, as `comparison.json` has them.
        columns: The columns.
        folder: Where the pictures lie.
    """

    figures: dict[str, Any]
    columns: Sequence[Column]
    folder: Path

    def color(self, column: Column) -> int:
        """The number of a column's color."""
        return [c.name for c in self.columns].index(column.name)

    def image(self, column: Column, path: str, text: str) -> str:
        """A picture of a column inlined, with a text for those who do not see it; "" without."""
        name = column.first(path)
        if not name or not (self.folder / name).is_file():
            return ""
        data = base64.b64encode((self.folder / name).read_bytes()).decode()
        return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'


def figure(content: str, caption: str) -> str:
    """A figure with its caption."""
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>" if content else ""


def row_of(page: Page, column: Column, path: str, of: Callable[[float], float] = float) -> Row:
    """The seeds of a figure as a row of dots."""
    points = [of(v) for v in column.values(path)]
    found = column.interval(path) if len(points) > 1 else None
    low, high = (of(found.low), of(found.high)) if found else (math.nan, math.nan)
    return Row(column.title, points, low, high, color=page.color(column))


def dots_for(
    page: Page, path: str, axis: str, title: str, log: bool = False, reference: str = "",
    zero: bool = False,
) -> str:  # fmt: skip
    """Rows of all columns that have a figure, with the floor as a reference; "" without any."""
    rows = [row_of(page, c, path) for c in page.columns if c.values(path)]
    floor = page.figures["reference"]["floor"].get(reference) if reference else None
    meaning = "real images" if floor is not None else ""
    return dots(rows, axis, title, log, floor, meaning, zero) if rows else ""


def table(heads: Sequence[str], rows: Sequence[str], caption: str) -> str:
    """A table that scrolls by itself on narrow screens."""
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def interval_cell(found: Interval) -> str:
    """A share with its interval as a cell."""
    return f"<td>{found.value:.0%}<small>{found.low:.0%} to {found.high:.0%}</small></td>"
