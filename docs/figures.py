"""Figures in README.md and docs/*.md: every measured number is taken from its record, and none is
typed.

A number has an invisible comment behind it that says where it comes from:

    79.06<!--= -[static-diagonal:nats] -->
    [0.79](../results/imitation-cartpole-bc-1.json)<!--= share -->
    mean 84.2<!--= mean([improved-gan-mnist-100-moved-seed{2..11}:errors]) -->

`RECORD:KEY:KEY` is a value of `results/**/RECORD.json`. Keys are looked for in its `figures`, then
in the whole record; a key may skip levels where only one place fits, an index takes an entry of a
list, and `*` fits any text. The record may be left out behind a link to it, and in a row of a table
that links to one record. `{2..11}` and `{a,b}` name several records, whose values come as a list.
In square brackets such references are parts of an arithmetic expression, with min, max, mean,
median, std, sum and count of lists, abs and round of each number. What papers published is in
`docs/published.json`, a record named `published`.

The comment decides the number, the text before it how many decimals are shown.
`python docs/figures.py --write` writes all numbers anew, and without `--write` it says what
differs, as a test does. Both refuse a number without a comment in a section headed "Measured", in
the README's table of figures, and wherever a paragraph or table links to a record. Settings and
protocols are free: the phrases of `docs/config.txt`, paragraphs behind a line `<!-- config -->`,
and in prose numbers of one digit.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from references import ROOT, Problem, Records, evaluate, written

NUMBER = r"(?<![\w.,])(?<!\w-)[-+]?\d(?:[\d,]*\d)?(?:\.\d+)?"
LINK = r"\]\((?P<link>[^)\s]*?results/(?P<record>[^)\s]+)\.json)\)"
MARKER = re.compile(
    rf"(?P<number>{NUMBER})(?P<linked>[^\[\]\d<>]*{LINK})?<!--=(?P<expression>.*?)-->", re.S
)
RECORD_LINK = re.compile(LINK)


class Page:
    """A Markdown page with numbers from records.

    Arguments:
        text: The page.
        records: Where its numbers come from.
        settings: Phrases whose numbers say what was done, not what came out.
        measured: Headings below which every number must have a comment.
    """

    def __init__(
        self,
        text: str,
        records: Records,
        config: Iterable[str] = (),
        measured: tuple[str, ...] = ("Measured",),
    ) -> None:
        self.text, self.records, self.measured = text, records, measured
        self.config = {
            phrase: phrase_pattern(phrase) for phrase in sorted(config, key=len, reverse=True)
        }
        self.used: set[str] = set()

    def near(self, match: re.Match[str]) -> str:
        """The record that a number's comment may leave out."""
        if match["record"]:
            return match["record"]
        start, end = self.text.rfind("\n", 0, match.start()) + 1, self.text.find("\n", match.end())
        line = self.text[start : end if end >= 0 else None]
        linked = {found["record"] for found in RECORD_LINK.finditer(line)}
        return linked.pop() if line.startswith("|") and len(linked) == 1 else ""

    @cached_property
    def problems(self) -> list[str]:
        """What is wrong with the page, a sentence each."""
        return [*self.differences(), *self.unmarked()]

    def differences(self) -> Iterator[str]:
        """Numbers that are not their record's, and comments that give none."""
        marked = {match.start("expression") for match in MARKER.finditer(self.text)}
        for match in re.finditer(r"<!--=", self.text):
            if match.end() not in marked:
                yield (
                    f"line {self.line(match.start())}: a comment "
                    f"'{self.text[match.start() : match.end() + 30]}' follows no "
                    "number"
                )
        for match in MARKER.finditer(self.text):
            try:
                value = evaluate(match["expression"], self.records, self.near(match))
            except Problem as problem:
                yield f"line {self.line(match.start())}: {match['number']} has no record: {problem}"
                continue
            if (right := written(value, match["number"])) != match["number"]:
                yield (
                    f"line {self.line(match.start())}: {match['number']} is {right} by "
                    f"its record ({match['expression'].strip()})"
                )

    def unmarked(self) -> Iterator[str]:
        """Numbers without a comment where measured ones are."""
        for first, block in self.blocks():
            if block.startswith("<!-- settings -->"):
                continue
            bare = MARKER.sub(lambda m: " " * len(m["number"]) + (m["linked"] or ""), block)
            bare = re.sub(r"<!--.*?-->", "", bare, flags=re.S)
            bare = re.sub(r"!?\]\([^)]*\)|`[^`]*`|\$[^$]*\$|https?://\S+", " ; ", bare)
            for phrase, pattern in self.config.items():
                if pattern.search(bare):
                    self.used.add(phrase)
                    bare = pattern.sub(" ; ", bare)
            for match in re.finditer(NUMBER + r"(?![\w])", bare):
                if len(match[0]) == 1 and not block.startswith("|"):
                    continue
                around = " ".join(bare[max(0, match.start() - 40) : match.end() + 40].split())
                line = first + bare.count("\n", 0, match.start())
                yield f"line {line}: {match[0]} has no record, in '... {around} ...'"

    def blocks(self) -> Iterator[tuple[int, str]]:
        """Line number and text of each paragraph, list or table in which numbers must have
        comments."""
        level, inside, fenced, first = 0, False, False, 0
        block: list[str] = []
        for number, line in enumerate([*self.text.splitlines(), ""], 1):
            if line.startswith("```"):
                fenced = not fenced
            heading = None if fenced else re.match(r"(#+) +(.*)", line)
            if heading and (not inside or len(heading[1]) <= level):
                level, inside = len(heading[1]), heading[2].strip() in self.measured
            if line.strip() and not fenced and not line.startswith("```") and not heading:
                first = first if block else number
                block.append(line)
            elif block:
                text = "\n".join(block)
                if inside or RECORD_LINK.search(text):
                    yield first, text
                block = []

    def line(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def rewritten(self) -> str:
        """The page with every number as its record has it."""

        def right(match: re.Match[str]) -> str:
            value = evaluate(match["expression"], self.records, self.near(match))
            return written(value, match["number"]) + match[0][len(match["number"]) :]

        return MARKER.sub(right, self.text)


def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """A phrase as a pattern, with # for any number and a line break for any space."""
    words = [r"\s+".join(map(re.escape, part.split(" "))) for part in phrase.split("#")]
    before = r"(?<!\w)" if re.match(r"[\w#]", phrase) else ""
    return re.compile(before + r"[-+]?\d(?:[\d,]*\d)?(?:\.\d+)?".join(words) + r"(?!\w)", re.I)


def phrases(root: Path = ROOT) -> list[str]:
    """The phrases of `docs/config.txt`."""
    path = root / "docs" / "settings.txt"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith(";")]


def pages(root: Path = ROOT) -> dict[str, Path]:
    """README and documentation, by their names."""
    return {"README.md": root / "README.md"} | {
        path.name: path for path in sorted((root / "docs").glob("*.md"))
    }


def problems(root: Path = ROOT) -> list[str]:
    """What is wrong with all pages, records and lists, a sentence each."""
    records, config, found = Records(root), phrases(root), []
    used: set[str] = set()
    for name, path in pages(root).items():
        page = Page(path.read_text(), records, config, ("Measured", "Models and figures"))
        found += [f"{name}, {problem}" for problem in page.problems]
        used |= page.used
        for link in RECORD_LINK.finditer(page.text):
            if (
                link["record"] not in records.paths
                or not (path.parent / link["link"]).resolve().is_file()
            ):
                found.append(
                    f"{name}, line {page.line(link.start())}: there is no record '{link['link']}'"
                )
            records.used.add(link["record"])
    found += [f"settings.txt: no page says '{phrase}'" for phrase in config if phrase not in used]
    found += [f"'{name}' is cited by no page" for name in records.paths if name not in records.used]
    return found


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Takes the figures of README.md and docs/*.md from results/."
    )
    parser.add_argument(
        "--write", action="store_true", help="write every number anew from its record"
    )
    if parser.parse_args(words).write:
        records = Records()
        for name, path in pages().items():
            text = path.read_text()
            try:
                new = Page(text, records).rewritten()
            except Problem as problem:
                print(f"{name} is left as it is: {problem}", file=sys.stderr)
                continue
            if new != text:
                path.write_text(new)
                print(f"{name} written")
    found = problems()
    print(
        "\n".join(found) or "Every figure is its record's.",
        file=sys.stderr if found else sys.stdout,
    )
    return min(1, len(found))


if __name__ == "__main__":
    sys.exit(main())
