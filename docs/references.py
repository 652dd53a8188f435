"""References to records in the comments of pages, `RECORD:KEY:KEY`, and arithmetic on what they
stand for. `figures.py` says how."""

from __future__ import annotations

import ast
import json
import math
import operator
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OF_MANY: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
    "std": statistics.stdev,
    "sum": sum,
    "count": len,
}
OF_ONE: dict[str, Callable[..., float]] = {"abs": abs, "round": round}
OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


class Problem(Exception):
    """A comment that gives no number."""


class Records:
    """All records by name, and the published figures.

    Arguments:
        root: The folder with `results/` and `docs/`.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.paths: dict[str, Path] = {}
        self.used: set[str] = set()
        self.read: dict[str, Any] = {}
        for path in sorted((root / "results").rglob("*.json")):
            self.paths[path.relative_to(root / "results").with_suffix("").as_posix()] = path
        if (published := root / "docs" / "published.json").is_file():
            self.paths["published"] = published

    def __getitem__(self, name: str) -> dict[str, Any]:
        if name not in self.paths:
            raise Problem(f"there is no record '{name}'")
        self.used.add(name)
        if name not in self.read:
            self.read[name] = json.loads(self.paths[name].read_text())
        return self.read[name]

    def value(self, reference: str, near: str = "") -> Any:
        """What RECORD:KEY:KEY stands for: a number, or a list where several records or keys fit.

        Arguments:
            reference: As above; `near` is the record meant where it names none.
            near: The record that is linked beside the number.
        """
        keys = [key.strip() for key in reference.split(":")]
        names = list(spread(keys[0]))
        if names[0] in self.paths or len(names) > 1 or not near:
            keys = keys[1:]
        else:
            names = [near]
        found: list[Any] = []
        for name in names:
            record = self[name]
            places = [record.get("figures", {}), record]
            here = next((values for place in places if (values := look(place, keys))), [])
            if not here:
                raise Problem(f"'{name}' has no '{':'.join(keys)}'")
            found += here
        if len(found) == 1:
            return found[0]
        if len(names) == 1 and not any("*" in key for key in keys):
            raise Problem(f"'{':'.join(keys)}' fits {len(found)} places in '{names[0]}'")
        return [
            entry for value in found for entry in (value if isinstance(value, list) else [value])
        ]


def spread(name: str) -> Iterator[str]:
    """Every name that braces stand for.

    Example:
        >>> list(spread("seed{2..4}-{a,b}"))
        ['seed2-a', 'seed2-b', 'seed3-a', 'seed3-b', 'seed4-a', 'seed4-b']
    """
    brace = re.search(r"\{([^{}]*)\}", name)
    if not brace:
        yield name
        return
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", brace[1])
    words = map(str, range(int(ends[1]), int(ends[2]) + 1)) if ends else brace[1].split(",")
    for word in words:
        yield from spread(name[: brace.start()] + word.strip() + name[brace.end() :])


def look(place: Any, keys: list[str]) -> list[Any]:
    """All values at the end of a path of keys, found as high up as possible."""
    if not keys:
        return [place]
    key, rest = keys[0], keys[1:]
    if isinstance(place, list):
        index = re.fullmatch(r"-?\d+", key)
        inside = [place[int(key)]] if index and -len(place) <= int(key) < len(place) else []
        inside = place if key == "*" else inside
        return [value for entry in inside for value in look(entry, rest)]
    if not isinstance(place, dict):
        return []
    pattern = re.compile(".*".join(map(re.escape, key.split("*"))))
    children = [value for name, value in place.items() if pattern.fullmatch(name)]
    if found := [value for child in children for value in look(child, rest)]:
        return found
    return [
        value for child in place.values() if isinstance(child, dict) for value in look(child, keys)
    ]


def evaluate(expression: str, records: Records, near: str = "") -> float:
    """The number that a comment stands for.

    Example:
        >>> records = Records.__new__(Records)
        >>> records.paths, records.used, records.read = {"a": Path("a.json")}, set(), {"a": {"figures": {"nats": -79.059}}}
        >>> evaluate("a:nats", records), evaluate("-round([a:nats] * 10)", records)
        (-79.059, 791)
    """
    expression = " ".join(expression.split())
    if "[" not in expression:
        value = records.value(expression, near)
    else:
        values: list[Any] = []

        def placed(match: re.Match[str]) -> str:
            values.append(records.value(match[1], near))
            return f" value_{len(values) - 1} "

        text = re.sub(r"\[([^\]]*)\]", placed, expression).strip()
        try:
            value = compute(ast.parse(text, mode="eval").body, values)
        except (SyntaxError, TypeError, ArithmeticError, statistics.StatisticsError) as error:
            raise Problem(f"'{expression}' cannot be computed ({error})") from error
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Problem(f"'{expression}' is {type(value).__name__} and no number")
    return value


def compute(node: ast.expr, values: list[Any]) -> Any:
    """Arithmetic on values, and nothing else of Python."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name) and re.fullmatch(r"value_\d+", node.id):
        return values[int(node.id[6:])]
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](compute(node.left, values), compute(node.right, values))
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](compute(node.operand, values))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, given = node.func.id, [compute(argument, values) for argument in node.args]
        if name in OF_MANY:
            return OF_MANY[name](
                [
                    entry
                    for value in given
                    for entry in (value if isinstance(value, list) else [value])
                ]
            )
        if name in OF_ONE and given:
            first, *rest = given
            return (
                [OF_ONE[name](v, *rest) for v in first]
                if isinstance(first, list)
                else OF_ONE[name](first, *rest)
            )
    raise Problem(f"'{ast.unparse(node)}' is no arithmetic")


def written(value: float, like: str) -> str:
    """A number with the decimals of another, and with thousands set apart.

    Example:
        >>> written(1049.4, "1049"), written(-0.0061, "+0.60"), written(0.6014, "+0.60")
        ('1,049', '-0.01', '+0.60')
    """
    decimals = len(like.partition(".")[2])
    rounded = f"{value:,.{decimals}f}"
    if not any(digit in rounded for digit in "123456789"):
        rounded = rounded.lstrip("-")
    return f"+{rounded}" if like.startswith("+") and not rounded.startswith("-") else rounded
