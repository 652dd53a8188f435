"""Numbers in README.md and docs/*.md: every measured number comes from its record.

A comment behind a number, invisible on the page, names a key of `docs/figures.toml`:

    The bound is -84.35<!--=bound--> nats.
    Three seeds make 92, 92 and 95<!--=errors--> errors.

The key's value there is one expression or a list of them (`references.py`), in the table of the
page; `<!--=vae.bound-->` is the key of another page. `<a|b>` in an expression stands for several
expressions. A key with n values covers the n numbers before the comment in the same paragraph or
table row. The expression gives the number, the text shows with how many decimals.

`python docs/figures.py --write` writes all numbers from the records. Without `--write` it lists
what differs, as a test does. Both refuse a number without a key in sections headed "Measured" or
"Results". Settings and protocols need none: numbers in the phrases of `figures.toml`, paragraphs
after a line `<!-- settings -->`, and numbers of one digit in prose.

`--write` also fills the block `<!-- models -->` of README.md with the names of all models.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from references import ROOT, Problem, Records, evaluate, written

from zeuxis.registry import built_in

NUMBER = re.compile(r"(?<![\w.,])(?<!\w-)[-+]?\d(?:[\d,]*\d)?(?:\.\d+)?(?![\w])")
MARKER = re.compile(r"<!--=\s*([\w.-]+)\s*-->")
RECORD_LINK = re.compile(r"\](?:\(|: )(?P<link>[^)\s]*?results/(?P<record>[^)\s]+)\.json)")
HIDDEN = re.compile(
    r"<!--.*?-->|!?\]\([^)]*\)|``.*?``|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|https?://\S+", re.S
)
MEASURED = ("Measured", "Results")
MODELS = re.compile(r"<!-- models -->\n.*?<!-- end -->", re.S)


@dataclass
class Figures:
    """The keys of `docs/figures.toml`, and the records they refer to.

    Arguments:
        root: The folder with `results/` and `docs/`.
    """

    root: Path = ROOT

    def __post_init__(self) -> None:
        path = self.root / "docs" / "figures.toml"
        self.keys: dict[str, Any] = tomllib.loads(path.read_text()) if path.is_file() else {}
        self.phrases: list[str] = self.keys.pop("settings", {}).get("phrases", [])
        self.records = Records(self.root)
        self.used: set[str] = set()

    def values(self, page: str, key: str) -> list[float]:
        """The numbers of a key: of a page's own table, or of another's as `page.key`."""
        table, _, name = key.rpartition(".")
        table = table or page
        if name not in self.keys.get(table, {}):
            raise Problem(f"figures.toml has no key '{table}.{name}'")
        self.used.add(f"{table}.{name}")
        entry = self.keys[table][name]
        expressions = entry if isinstance(entry, list) else [entry]
        return [
            value
            for expression in expressions
            for each in alternatives(expression)
            for value in evaluate(each, self.records)
        ]

    def unused(self) -> Iterator[str]:
        """A sentence for each key that no page uses."""
        for table, entries in self.keys.items():
            for key in entries:
                if f"{table}.{key}" not in self.used:
                    yield f"figures.toml: no page uses '{table}.{key}'"


@dataclass
class Page:
    """A Markdown page with numbers from records.

    Arguments:
        name: The page's table in `figures.toml`.
        text: The page.
        figures: Keys and records.
    """

    name: str
    text: str
    figures: Figures

    def __post_init__(self) -> None:
        self.used_phrases: set[str] = set()

    @cached_property
    def prose(self) -> str:
        """The text with blanks for blocks of code."""
        return re.sub(r"(?ms)^```.*?^```", blanks, self.text)

    @cached_property
    def visible(self) -> str:
        """The text with blanks for comments, code, formulas and addresses."""
        return HIDDEN.sub(blanks, self.prose)

    @cached_property
    def covered(self) -> list[tuple[re.Match[str], float]]:
        """Each number that a key covers, with its value by the record."""
        return [pair for pairs in self.covers.values() for pair in pairs]

    @cached_property
    def covers(self) -> dict[int, list[tuple[re.Match[str], float]]]:
        """The same by the place of the comment; sets `broken`."""
        self.broken: list[str] = []
        pairs: dict[int, list[tuple[re.Match[str], float]]] = {}
        before = 0
        for marker in MARKER.finditer(self.prose):
            row = self.text[: marker.start()].rfind("\n", before)
            paragraph = self.text[: marker.start()].rfind("\n\n", before)
            in_table = self.text[row + 1 : row + 2] == "|"
            start = max(before, (row if in_table else paragraph) + 1)
            before = marker.end()
            numbers = list(NUMBER.finditer(self.visible, start, marker.start()))
            try:
                values = self.figures.values(self.name, marker[1])
            except Problem as problem:
                self.broken.append(f"{self.line(marker.start())}: {problem}")
                continue
            if len(numbers) < len(values):
                self.broken.append(
                    f"{self.line(marker.start())}: '{marker[1]}' has {len(values)} values "
                    f"and follows {len(numbers)} numbers"
                )
                continue
            chosen = numbers[len(numbers) - len(values) :]
            pairs[marker.start()] = list(zip(chosen, values, strict=True))
        return pairs

    def problems(self) -> list[str]:
        """What is wrong with the page, a sentence each."""
        return [*self.differences(), *self.unmarked()]

    def differences(self) -> Iterator[str]:
        """Numbers that differ from their record, and comments that give no number."""
        covers = self.covers
        yield from self.broken
        markers = {match.start() for match in MARKER.finditer(self.prose)}
        for match in re.finditer(r"<!--=", self.prose):
            if match.start() not in markers:
                yield f"{self.line(match.start())}: a comment '<!--=' without a key"
        for pairs in covers.values():
            for number, value in pairs:
                if (right := written(value, number[0])) != number[0]:
                    yield f"{self.line(number.start())}: {number[0]} is {right} by its record"

    def unmarked(self) -> Iterator[str]:
        """Numbers without a key in measured sections."""
        bare = list(self.visible)
        for number, _ in self.covered:
            bare[number.start() : number.end()] = " " * len(number[0])
        text = "".join(bare)
        for phrase in sorted(self.figures.phrases, key=len, reverse=True):
            pattern = phrase_pattern(phrase)
            if pattern.search(text):
                self.used_phrases.add(phrase)
                text = pattern.sub(lambda m: re.sub(r"[^\n]", ";", m[0]), text)
        for start, end in self.measured():
            table = self.text[start] == "|"
            for match in NUMBER.finditer(text, start, end):
                if len(match[0]) == 1 and not table:
                    continue
                around = " ".join(text[max(start, match.start() - 40) : match.end() + 40].split())
                yield f"{self.line(match.start())}: {match[0]} has no key, in '... {around} ...'"

    def measured(self) -> Iterator[tuple[int, int]]:
        """Start and end of each paragraph, list or table in which numbers must have keys."""
        level, inside = 0, False
        for block in re.finditer(r"(?:[^\n]+\n?)+", self.text):
            heading = re.match(r"(#+) +(.*)", block[0])
            if heading and (not inside or len(heading[1]) <= level):
                level, inside = len(heading[1]), heading[2].strip() in MEASURED
            if inside and not heading and not block[0].startswith(("<!-- settings -->", "```")):
                yield block.start(), block.end()

    def line(self, position: int) -> str:
        return f"line {self.text.count(chr(10), 0, position) + 1}"

    def rewritten(self) -> str:
        """The page with every number as its record has it."""
        text = self.text
        for number, value in sorted(self.covered, key=lambda pair: -pair[0].start()):
            text = text[: number.start()] + written(value, number[0]) + text[number.end() :]
        return text


def alternatives(expression: str) -> list[str]:
    """The expressions that `<a|b>` stands for, one for each alternative.

    Example:
        >>> alternatives("max([run:<azimuth|width>])")
        ['max([run:azimuth])', 'max([run:width])']
    """
    choice = re.search(r"<([^<>]*)>", expression)
    if not choice:
        return [expression]
    before, after = expression[: choice.start()], expression[choice.end() :]
    return [each for part in choice[1].split("|") for each in alternatives(before + part + after)]


def blanks(match: re.Match[str]) -> str:
    """As many blanks as a match has characters, with its line breaks."""
    return re.sub(r"[^\n]", " ", match[0])


def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """A phrase as a pattern, with # for any number and a line break for any space."""
    parts = [r"\s+".join(map(re.escape, part.split(" "))) for part in phrase.split("#")]
    before = r"(?<!\w)" if re.match(r"[\w#]", phrase) else ""
    return re.compile(before + r"[-+]?\d(?:[\d,]*\d)?(?:\.\d+)?".join(parts) + r"(?!\w)", re.I)


def pages(root: Path = ROOT) -> dict[str, Path]:
    """README and documentation by their tables in `figures.toml`."""
    return {path.stem: path for path in (root / "README.md", *sorted((root / "docs").glob("*.md")))}


def problems(root: Path = ROOT) -> list[str]:
    """What is wrong with pages, records and keys, a sentence each."""
    figures, sentences = Figures(root), []
    used: set[str] = set()
    for name, path in pages(root).items():
        page = Page(name, path.read_text(), figures)
        sentences += [f"{path.name}, {problem}" for problem in page.problems()]
        used |= page.used_phrases
        for link in RECORD_LINK.finditer(page.text):
            if not (path.parent / link["link"]).resolve().is_file():
                sentences.append(
                    f"{path.name}, {page.line(link.start())}: there is no record '{link['link']}'"
                )
            figures.records.used.add(link["record"])
    sentences += [
        f"figures.toml: no page says '{phrase}'" for phrase in figures.phrases if phrase not in used
    ]
    sentences += figures.unused()
    return sentences + [
        f"'{name}' is cited by no page"
        for name in figures.records.paths
        if name not in figures.records.used
    ]


def with_models(text: str) -> str:
    """A page whose block `<!-- models -->` names every model that ships with zeuxis."""
    names = ", ".join(f"`{name}`" for name in sorted(built_in()))
    block = textwrap.fill(names, 118, break_on_hyphens=False)
    return MODELS.sub(f"<!-- models -->\n{block}\n<!-- end -->", text)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Copies the figures of README.md and docs/*.md from results/."
    )
    parser.add_argument("--write", action="store_true", help="write every number from its record")
    if parser.parse_args(argv).write:
        figures = Figures()
        for name, path in pages().items():
            text = path.read_text()
            if (new := with_models(Page(name, text, figures).rewritten())) != text:
                path.write_text(new)
                print(f"{path.name} written")
    sentences = problems()
    print(
        "\n".join(sentences) or "Every figure is its record's.",
        file=sys.stderr if sentences else sys.stdout,
    )
    return min(1, len(sentences))


if __name__ == "__main__":
    sys.exit(main())
