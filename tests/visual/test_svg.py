"""SVG figures: whole XML, no numbers that are not finite, names that are escaped and do not
overlap."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from zeuxis.visual.svg import Line, Row, bars, curves, dots, extent, number, scale, spread, ticks

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.001, 50.0], [math.nan], []])
def test_dots_of_any_values_are_xml_without_nan(values: list[float], log: bool) -> None:
    rows = [Row("a & <b>", values), Row("c", [1.0], 0.5, 2.0, color=-1)]
    text = dots(rows, "axis", "title <1>", log, 1.0, "real")
    figure = ElementTree.fromstring(text)
    assert figure.find(f"{SVG}title").text == "title <1>"
    assert "a & <b>" in figure.find(f"{SVG}desc").text
    assert "nan" not in text and "inf" not in text


def test_curves_and_bars_are_xml_and_leave_out_what_an_axis_cannot_show() -> None:
    lines = [Line("a", [(1, 2.0), (2, math.nan), (3, -1.0), (4, 8.0)]), Line("empty", [])]
    text = curves(lines, "x", "y", "title", log_y=True)
    figure = ElementTree.fromstring(text)
    assert len(figure.find(f"{SVG}polyline").get("points").split()) == 2
    assert "nan" not in text
    assert "nan" not in curves([], "x", "y", "nothing")
    ElementTree.fromstring(bars([0.2, 0.8], ["a<", "b"], "t", 0, 0.5))


def test_scales_put_the_ends_at_the_ends_and_cut_off_beyond() -> None:
    for log in (False, True):
        x = scale(1, 100, 10, 20, log)
        assert (x(1), x(100), x(1000)) == (10, 20, 20)
    assert scale(1, 100, 0, 1, True)(10) == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.98, 1.02), (-3, 900), (1e-4, 2e-4)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 8 and low - 1e-9 <= min(found) and max(found) <= high + 1e-9


def test_ticks_of_a_logarithmic_axis() -> None:
    assert ticks(0.3, 4, log=True) == [0.5, 1.0, 2.0]
    assert ticks(0.8, 12, log=True) == [1.0, 2.0, 5.0, 10.0]
    assert len(ticks(1e-9, 1e9, log=True)) <= 7


def test_names_keep_their_distance() -> None:
    places = spread({("a", 0): 5.0, ("b", 0): 5.0, ("c", 0): 80.0}, gap=10)
    assert sorted(places.values()) == [5.0, 15.0, 80.0]


def test_numbers_and_extents() -> None:
    assert [number(v) for v in (1234567.0, -0.5, 100.0)] == ["1,234,567", "-0.5", "100"]
    low, high = extent([3.0, 3.0], log=True)
    assert low < 3 < high
