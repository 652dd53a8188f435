"""Values of records and arithmetic on them, as the expressions of `docs/figures.toml` name them.

`RECORD:KEY:KEY` is a value of `results/RECORD.json`. Keys are searched in its `figures`, then in
the whole record. A key may skip levels where only one place fits, an index takes an entry of a
list, and `*` matches any text. `{2..11}` and `{a,b}` name several records or keys, whose values
make a list. In square brackets such references are operands of arithmetic, with min, max, mean,
median, std, sum and count of lists, and abs and round of each number.
"""

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
AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
    "std": statistics.stdev,
    "sum": sum,
    "count": len,
}
ELEMENTWISE: dict[str, Callable[..., float]] = {"abs": abs, "round": round}
OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


class Problem(Exception):
    """An expression that gives no number."""


class Records:
    """All records by their path below `results/`, and the published figures as `published`.

    Arguments:
        root: The folder with `results/` and `docs/`.
    """

    def __init__(self, root: Path = ROOT) -> None:
        results = root / "results"
        self.paths = {
            path.relative_to(results).with_suffix("").as_posix(): path
            for path in sorted(results.rglob("*.json"))
        }
        if (published := root / "docs" / "published.json").is_file():
            self.paths["published"] = published
        self.used: set[str] = set()
        self.contents: dict[str, Any] = {}

    def __getitem__(self, name: str) -> dict[str, Any]:
        if name not in self.paths:
            raise Problem(f"there is no record '{name}'")
        self.used.add(name)
        if name not in self.contents:
            self.contents[name] = json.loads(self.paths[name].read_text())
        return self.contents[name]

    def value(self, reference: str) -> Any:
        """The number that `RECORD:KEY:KEY` names, or a list where braces or `*` name several."""
        references = list(expand(reference))
        matches = [value for each in references for value in self.values(*each.split(":"))]
        if len(matches) == 1:
            return matches[0]
        if len(references) == 1 and "*" not in reference:
            raise Problem(f"'{reference}' fits {len(matches)} places")
        return list(flatten(matches))

    def values(self, name: str, *keys: str) -> list[Any]:
        """All values at the end of a path of keys of one record."""
        record, path = self[name.strip()], [key.strip() for key in keys]
        for place in (record.get("figures", {}), record):
            if matches := search(place, path):
                return matches
        raise Problem(f"'{name.strip()}' has no '{':'.join(path)}'")


def flatten(values: list[Any]) -> Iterator[Any]:
    """The entries of nested lists, in order."""
    for value in values:
        yield from flatten(value) if isinstance(value, list) else [value]


def expand(name: str) -> Iterator[str]:
    """Every name that braces stand for.

    Example:
        >>> list(expand("seed{2..4}-{a,b}"))
        ['seed2-a', 'seed2-b', 'seed3-a', 'seed3-b', 'seed4-a', 'seed4-b']
    """
    brace = re.search(r"\{([^{}]*)\}", name)
    if not brace:
        yield name
        return
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", brace[1])
    choices = map(str, range(int(ends[1]), int(ends[2]) + 1)) if ends else brace[1].split(",")
    for choice in choices:
        yield from expand(name[: brace.start()] + choice.strip() + name[brace.end() :])


def search(place: Any, keys: list[str]) -> list[Any]:
    """All values at the end of a path of keys, at the highest level where it fits."""
    if not keys:
        return [place]
    key, rest = keys[0], keys[1:]
    if isinstance(place, list):
        index = re.fullmatch(r"-?\d+", key)
        entries = [place[int(key)]] if index and -len(place) <= int(key) < len(place) else []
        entries = place if key == "*" else entries
        return [value for entry in entries for value in search(entry, rest)]
    if not isinstance(place, dict):
        return []
    pattern = re.compile(".*".join(map(re.escape, key.split("*"))))
    children = [value for name, value in place.items() if pattern.fullmatch(name)]
    if matches := [value for child in children for value in search(child, rest)]:
        return matches
    deeper = [child for child in place.values() if isinstance(child, dict)]
    return [value for child in deeper for value in search(child, keys)]


def evaluate(expression: str, records: Records) -> list[float]:
    """The numbers of an expression, usually one.

    Example:
        >>> records = Records.__new__(Records)
        >>> records.paths, records.used = {"a": Path("a.json")}, set()
        >>> records.contents = {"a": {"figures": {"nats": -79.059, "both": [1, 2]}}}
        >>> evaluate("a:nats", records), evaluate("-round([a:nats] * 10)", records)
        ([-79.059], [791])
        >>> evaluate("10 * [a:both]", records)
        [10, 20]
    """
    expression = " ".join(expression.split())
    if "[" not in expression:
        value = records.value(expression)
    else:
        operands: list[Any] = []

        def placeholder(match: re.Match[str]) -> str:
            operands.append(records.value(match[1]))
            return f" value_{len(operands) - 1} "

        text = re.sub(r"\[([^\]]*)\]", placeholder, expression).strip()
        try:
            value = compute(ast.parse(text, mode="eval").body, operands)
        except (SyntaxError, TypeError, ArithmeticError, statistics.StatisticsError) as error:
            raise Problem(f"'{expression}' cannot be computed ({error})") from error
    values = list(flatten([value]))
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Problem(f"'{expression}' is {type(value).__name__} and not a number")
        if not math.isfinite(value):
            raise Problem(f"'{expression}' is not finite")
    return values


def compute(node: ast.expr, operands: list[Any]) -> Any:
    """Arithmetic on numbers and lists of numbers, and nothing else of Python."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name) and re.fullmatch(r"value_\d+", node.id):
        return operands[int(node.id[6:])]
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = compute(node.left, operands), compute(node.right, operands)
        return elementwise(OPERATORS[type(node.op)], left, right)
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        return elementwise(OPERATORS[type(node.op)], compute(node.operand, operands))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, arguments = node.func.id, [compute(argument, operands) for argument in node.args]
        if name in AGGREGATES:
            return AGGREGATES[name](list(flatten(arguments)))
        if name in ELEMENTWISE and arguments:
            return elementwise(ELEMENTWISE[name], *arguments)
    raise Problem(f"'{ast.unparse(node)}' is no arithmetic")


def elementwise(function: Callable[..., float], *arguments: Any) -> Any:
    """Applies a function to each entry of the lists among the arguments."""
    lengths = {len(argument) for argument in arguments if isinstance(argument, list)}
    if not lengths:
        return function(*arguments)
    if len(lengths) > 1:
        raise Problem(f"lists of {' and '.join(map(str, sorted(lengths)))} values do not match")
    columns = [a if isinstance(a, list) else [a] * max(lengths) for a in arguments]
    return [function(*row) for row in zip(*columns, strict=True)]


def written(value: float, like: str) -> str:
    """A number with the decimals and the sign of another, and commas between thousands.

    Example:
        >>> written(1049.4, "1049"), written(-0.0061, "+0.60"), written(0.6014, "+0.60")
        ('1,049', '-0.01', '+0.60')
    """
    decimals = len(like.partition(".")[2])
    rounded = f"{value:,.{decimals}f}"
    if not any(digit in rounded for digit in "123456789"):
        rounded = rounded.lstrip("-")
    return f"+{rounded}" if like.startswith("+") and not rounded.startswith("-") else rounded
