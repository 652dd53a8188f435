"""Figures as SVG text without any library: dots with intervals, curves, and bars.

They stand inside a page: text takes its font and color, and a title and a description say to a
screen reader what others see. Colors are Okabe and Ito's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from .curves import COLORS

WIDTH = 640
LEFT, RIGHT = 190, 110  # room for names and for values of rows
ROW = 26
MARGIN = (54, 18, 44)  # of curves: left, top, bottom


@dataclass(frozen=True)
class Row:
    """A row of dots.

    Arguments:
        name: On its left.
        points: The single values, as of seeds.
        low: Lower end of an interval; NaN for none.
        high: Upper end.
        text: On its right, by default the mean of the points.
        color: Number of the color; -1 for gray.
    """

    name: str
    points: Sequence[float]
    low: float = math.nan
    high: float = math.nan
    text: str = ""
    color: int = 0


@dataclass(frozen=True)
class Line:
    """A curve.

    Arguments:
        name: At its end.
        points: (x, y) in the order of x.
        color: Number of the color; -1 for gray.
        dashed: Whether the line is dashed.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0
    dashed: bool = False


def color_of(number: int) -> str:
    """A color by its number; -1 is gray.

    Example:
        >>> color_of(0), color_of(-1)
        ('#0072b2', '#8a8a8a')
    """
    return "#8a8a8a" if number < 0 else COLORS[number % len(COLORS)]


def number(value: float) -> str:
    """A short number.

    Example:
        >>> [number(v) for v in (0.00213, 12.345, 150000.0, 1e-6)]
        ['0.00213', '12.3', '150,000', '1e-6']
    """
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.2g}".replace("e-0", "e-")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ticks(low: float, high: float, log: bool = False, count: int = 5) -> list[float]:
    """Round numbers inside a range, about `count` of them.

    Example:
        >>> ticks(0, 1), ticks(0.02, 30, log=True)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.1, 1.0, 10.0])
    """
    if log:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        powers = [10.0**p for p in range(first, last + 1)]
        if len(powers) > 2 or (len(powers) == 2 and high / low > 50):
            return powers[:: max(1, -(-len(powers) // 7))]
        return [s * 10.0**p for p in range(first - 1, last + 2) for s in (1, 2, 5)
                if low <= s * 10.0**p <= high]  # fmt: skip
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next((s for s in (1, 2, 5, 10) if (high - low) / (s * step) <= count), 10)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def scale(low: float, high: float, start: float, end: float, log: bool) -> Callable[[float], float]:
    """A map from values to pixels; values beyond the ends go to the ends."""
    f = (lambda value: math.log10(max(value, low))) if log else float
    a, b = f(low), f(high)
    width = (b - a) or 1.0
    return lambda value: start + (end - start) * min(1.0, max(0.0, (f(value) - a) / width))


def extent(values: Sequence[float], log: bool, room: float = 0.06) -> tuple[float, float]:
    """Ends of an axis around values, a little beyond them."""
    known = [v for v in values if math.isfinite(v) and (not log or v > 0)]
    low, high = min(known, default=0.1 if log else 0.0), max(known, default=1.0)
    if log:
        factor = max((high / low) ** room, 1.15)
        return low / factor, high * factor
    more = (high - low) * room or abs(high) * room or 1.0
    return low - more, high + more


def dots(
    rows: Sequence[Row],
    axis: str,
    title: str,
    log: bool = False,
    reference: float | None = None,
    meaning: str = "",
    zero: bool = False,
) -> str:
    """A row of dots for each name, with an interval as a line and the mean as a value.

    Arguments:
        rows: The rows from top to bottom.
        axis: What the values are.
        title: What the figure shows, for screen readers.
        log: Whether the axis is logarithmic.
        reference: A value to mark by a vertical line, as that of real images.
        meaning: What the reference is.
        zero: Whether the axis begins at 0.

    Example:
        >>> figure = dots([Row("a", [1.0, 2.0]), Row("b", [3.0])], "score", "scores of a and b")
        >>> figure.startswith("<svg"), figure.count("<circle")
        (True, 4)
    """
    values = [v for row in rows for v in (*row.points, row.low, row.high)]
    low, high = extent([*values, *([] if reference is None else [reference])], log)
    if zero and not log:
        low = min(0.0, low)
        low = 0.0 if min([v for v in values if math.isfinite(v)], default=0.0) >= 0 else low
    top, bottom = (20 if meaning else 8), 38
    height = top + ROW * len(rows) + bottom
    x = scale(low, high, LEFT, WIDTH - RIGHT, log)
    parts = [grid_of(ticks(low, high, log), x, top, height - bottom)]
    if reference is not None and math.isfinite(reference):
        at = x(reference)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{height - bottom}" '
            f'stroke="currentColor" stroke-dasharray="3 3" opacity="0.7"/>'
        )
        parts.append(label(at, top - 6, meaning, "middle", small=True))
    for i, row in enumerate(rows):
        parts += dots_of(row, top + ROW * (i + 0.5), x)
    parts.append(label((LEFT + WIDTH - RIGHT) / 2, height - 6, axis, "middle", small=True))
    known = "; ".join(f"{row.name} {value_of(row)}" for row in rows)
    return framed(parts, WIDTH, height, title, known)


def dots_of(row: Row, y: float, x: Callable[[float], float]) -> list[str]:
    """Name, interval, dots, mean and value of a row."""
    color = color_of(row.color)
    points = [v for v in row.points if math.isfinite(v)]
    parts = [label(LEFT - 10, y + 4, row.name, "end")]
    if math.isfinite(row.low) and math.isfinite(row.high):
        parts.append(
            f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{color}" stroke-width="6" stroke-linecap="round" opacity="0.3"/>'
        )
    if len(points) > 1:
        parts += [
            f'<circle cx="{x(v):.1f}" cy="{y:.1f}" r="3" fill="{color}" opacity="0.65"/>'
            for v in points
        ]
    if points:
        middle = sum(points) / len(points)
        parts.append(f'<circle cx="{x(middle):.1f}" cy="{y:.1f}" r="5" fill="{color}"/>')
    parts.append(label(WIDTH - RIGHT + 12, y + 4, value_of(row), "start"))
    return parts


def value_of(row: Row) -> str:
    """The text of a row, by default its mean."""
    points = [v for v in row.points if math.isfinite(v)]
    return row.text or (number(sum(points) / len(points)) if points else "-")


def curves(
    lines: Sequence[Line],
    x_axis: str,
    y_axis: str,
    title: str,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 300,
) -> str:
    """Curves with their names at their ends.

    Arguments:
        lines: The curves; lines of one name and color are one group, named once.
        x_axis: What x is.
        y_axis: What y is.
        title: What the figure shows, for screen readers.
        log_x: Whether x is logarithmic.
        log_y: Whether y is logarithmic.
        height: Of the figure (pixels).

    Example:
        >>> figure = curves([Line("loss", [(1, 2.0), (2, 1.0)])], "step", "nats", "a loss falls")
        >>> "polyline" in figure and "loss" in figure
        True
    """
    left, top, bottom = MARGIN
    drawn = [shown_points(line, log_x, log_y) for line in lines]
    xs = [p[0] for points in drawn for p in points]
    ys = [p[1] for points in drawn for p in points]
    (x_low, x_high), (y_low, y_high) = extent(xs, log_x, 0.02), extent(ys, log_y)
    x = scale(x_low, x_high, left, WIDTH - RIGHT, log_x)
    y = scale(y_low, y_high, height - bottom, top, log_y)
    parts = []
    for tick in ticks(y_low, y_high, log_y):
        parts.append(
            f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            'stroke="currentColor" opacity="0.12"/>'
        )
        parts.append(label(left - 6, y(tick) + 4, number(tick), "end", small=True))
    for tick in ticks(x_low, x_high, log_x):
        parts.append(label(x(tick), height - bottom + 16, number(tick), "middle", small=True))
    ends: dict[tuple[str, int], float] = {}
    for line, points in filter(all, zip(lines, drawn, strict=True)):
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color_of(line.color)}" '
            f'stroke-width="1.8"{dash}/>'
        )
        ends.setdefault((line.name, line.color), y(points[-1][1]))
    for (name, color), place in spread(ends).items():
        parts.append(label(WIDTH - RIGHT + 6, place + 4, name, "start", color=color_of(color)))
    parts.append(label((left + WIDTH - RIGHT) / 2, height - 8, x_axis, "middle", small=True))
    parts.append(label(left - 40, top - 6, y_axis, "start", small=True))
    known = "; ".join(
        f"{line.name} from {number(points[0][1])} to {number(points[-1][1])}"
        for line, points in zip(lines, drawn, strict=True)
        if points
    )
    return framed(parts, WIDTH, height, title, known)


def shown_points(line: Line, log_x: bool, log_y: bool) -> list[tuple[float, float]]:
    """The points of a line that an axis can show."""
    return [
        (a, b)
        for a, b in line.points
        if math.isfinite(a) and math.isfinite(b) and (a > 0 or not log_x) and (b > 0 or not log_y)
    ]


def spread(places: dict[tuple[str, int], float], gap: float = 15) -> dict[tuple[str, int], float]:
    """Places moved so that no two names overlap.

    Example:
        >>> spread({("a", 0): 10.0, ("b", 1): 12.0})
        {('a', 0): 10.0, ('b', 1): 25.0}
    """
    moved: dict[tuple[str, int], float] = {}
    before = -math.inf
    for key, place in sorted(places.items(), key=lambda item: item[1]):
        before = max(place, before + gap)
        moved[key] = before
    return moved


def bars(shares: Sequence[float], names: Sequence[str], title: str, color: int, even: float) -> str:
    """Small bars of shares, with a line at the share that each would have if all were even.

    Example:
        >>> bars([0.5, 0.5], ["a", "b"], "shares", 0, 0.5).count("<rect")
        2
    """
    width, height, top = 240, 92, 8
    base = height - 18
    most = max([*shares, even]) * 1.05
    step = (width - 4) / max(1, len(shares))
    parts = []
    for i, share in enumerate(shares):
        tall = (base - top) * share / most
        parts.append(
            f'<rect x="{2 + i * step + 1:.1f}" y="{base - tall:.1f}" width="{step - 2:.1f}" '
            f'height="{tall:.1f}" fill="{color_of(color)}"/>'
        )
        if len(shares) <= 12:
            short = names[i][:3] if i < len(names) else str(i)
            parts.append(label(2 + (i + 0.5) * step, height - 5, short, "middle", small=True))
    line = base - (base - top) * even / most
    parts.append(
        f'<line x1="0" x2="{width}" y1="{line:.1f}" y2="{line:.1f}" stroke="currentColor" '
        'stroke-dasharray="3 3" opacity="0.7"/>'
    )
    pairs = zip(names or [str(i) for i in range(len(shares))], shares, strict=False)
    return framed(parts, width, height, title, "; ".join(f"{n} {s:.1%}" for n, s in pairs))


def grid_of(values: Sequence[float], x: Callable[[float], float], top: float, bottom: float) -> str:
    """Vertical lines with their values below."""
    parts = []
    for value in values:
        at = x(value)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}" stroke="currentColor" '
            'opacity="0.12"/>'
        )
        parts.append(label(at, bottom + 15, number(value), "middle", small=True))
    return "".join(parts)


def label(
    x: float, y: float, text: str, anchor: str, small: bool = False, color: str = "currentColor"
) -> str:
    """A text."""
    size = 11 if small else 13
    weak = ' fill-opacity="0.75"' if small else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{color}"{weak}>{escape(text)}</text>'
    )


def framed(parts: Sequence[str], width: int, height: float, title: str, known: str) -> str:
    """A whole figure with its title and description."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        f'role="img" font-family="inherit"><title>{escape(title)}</title>'
        f"<desc>{escape(known)}</desc>{''.join(parts)}</svg>"
    )
