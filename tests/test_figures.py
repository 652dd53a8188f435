"""The numbers of README and documentation are those of the records, and none is typed."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zeuxis.recipes import recipes

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def figures() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "docs"))
    yield importlib.import_module("figures")
    sys.path.remove(str(ROOT / "docs"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A small project: two records, one page."""
    (tmp_path / "docs").mkdir()
    for name, errors in (("run-seed0", 92), ("run-seed1", 95)):
        record = {
            "figures": {
                "errors": errors,
                "ELBO": {"nats": -84.352},
                "curve": [{"at": 5}, {"at": 1200.4}],
            },
            "training": {"seed": 3},
        }
        path = tmp_path / "results" / "deep" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    (tmp_path / "README.md").write_text(
        "# Title\n\nSince 2016 in 3.14 words.\n\n## Models and figures\n\n"
        "| model | figure |\n| --- | --- |\n"
        "| one | [92](results/deep/run-seed0.json)<!--= errors -->, mean 93.5<!--= "
        "mean([deep/run-seed{0,1}:errors]) --> |\n"
    )
    return tmp_path


def edited(place: Path, before: str, after: str) -> None:
    path = place / "README.md"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_every_figure_of_the_project_is_its_records(figures: ModuleType) -> None:
    assert figures.problems() == []


def test_every_measured_number_of_the_project_is_held_to_its_record(figures: ModuleType) -> None:
    """Whichever number is changed, its page is refused."""
    records, config = figures.Records(), figures.phrases()
    for name, path in figures.pages().items():
        text = path.read_text()
        for match in list(figures.MARKER.finditer(text))[::5]:
            number = match["number"]
            digit = "1" if number[-1] != "1" else "2"
            wrong = (
                text[: match.start()] + number[:-1] + digit + text[match.start() + len(number) :]
            )
            assert any(
                "by its record" in problem
                for problem in figures.Page(wrong, records, config).differences()
            ), (name, number)


def test_a_sound_page_has_no_problems(figures: ModuleType, place: Path) -> None:
    assert figures.problems(place) == []


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("[92]", "[91]", "91 is 92 by its record"),
        ("93.5", "93.6", "93.6 is 93.5 by its record"),
        ("<!--= errors -->", "", "92 has no record"),
        ("<!--= errors -->", "<!--= mistakes -->", "'deep/run-seed0' has no 'mistakes'"),
        ("deep/run-seed{0,1}", "deep/run-seed{0..2}", "there is no record 'deep/run-seed2'"),
        ("93.5<!--= mean([deep/run-seed{0,1}:errors]) -->", "93.5", "93.5 has no record"),
        ("| one |", "| one of 1,234 |", "1,234 has no record"),
        ("mean([run", "__import__('os').getcwd([run", "is no arithmetic"),
        (
            "mean([deep/run-seed{0,1}:errors])",
            "[deep/run-seed{0,1}:errors]",
            "is list and no number",
        ),
        ("mean 93.5<!--", "mean <!--", "follows no number"),
        ("run-seed0.json", "run-seed7.json", "there is no record 'results/deep/run-seed7.json'"),
        (
            "mean([deep/run-seed{0,1}:errors])",
            "deep/run-seed0:errors",
            "'deep/run-seed1' is cited by no page",
        ),
    ],
)
def test_what_is_wrong_is_told(
    figures: ModuleType, place: Path, before: str, after: str, sentence: str
) -> None:
    edited(place, before, after)
    assert any(sentence in problem for problem in figures.problems(place)), figures.problems(place)


def test_a_record_that_changes_is_noticed_and_written(figures: ModuleType, place: Path) -> None:
    path = place / "results" / "deep" / "run-seed0.json"
    path.write_text(path.read_text().replace("92", "1094"))
    assert len(figures.problems(place)) == 2
    text = figures.Page((place / "README.md").read_text(), figures.Records(place)).rewritten()
    assert "[1,094](results/deep/run-seed0.json)<!--= errors -->, mean 594.5<!--=" in text
    (place / "README.md").write_text(text)
    assert figures.problems(place) == []


def test_numbers_outside_measured_places_are_free_and_a_paragraph_with_a_record_is_not(
    figures: ModuleType, place: Path
) -> None:
    edited(
        place,
        "Since 2016 in 3.14 words.",
        "Since 2016 in 3.14 words ([record](results/deep/run-seed0.json)).",
    )
    assert sum("has no record" in problem for problem in figures.problems(place)) == 2
    (place / "docs" / "settings.txt").write_text("; settings\nSince # in\n# words\n")
    assert figures.problems(place) == []
    edited(place, "Since 2016 in", "In")
    assert figures.problems(place) == ["settings.txt: no page says 'Since # in'"]


def test_measured_sections_of_other_pages_are_held_to_it(figures: ModuleType, place: Path) -> None:
    page = place / "docs" / "model.md"
    page.write_text(
        "# Model\n\n0.5 is free.\n\n## Measured\n\nIt has 84.35 nats.\n\n### "
        "More\n\n7.5\n\n## Free\n\n8.5, `9.5`\n\n```\n1.5\n```\n"
    )
    assert [re.findall(r"[\d.]+ has", problem) for problem in figures.problems(place)] == [
        ["84.35 has"],
        ["7.5 has"],
    ]
    page.write_text(
        page.read_text()
        .replace("84.35", "84.35<!--= -[deep/run-seed0:nats] -->")
        .replace("7.5", "<!-- settings -->\n7.5")
    )
    assert figures.problems(place) == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("deep/run-seed0:ELBO:nats", -84.352),
        ("deep/run-seed0:nats", -84.352),
        ("deep/run-seed0:training:seed", 3),
        ("deep/run-seed0:curve:-1:at", 1200.4),
        ("max([deep/run-seed0:curve:*:at])", 1200.4),
        ("std([deep/run-seed{0..1}:errors]) * 2", 2 * 4.5**0.5),
        ("round([deep/run-seed0:curve:1:at], -2)", 1200),
        ("min([deep/run-seed0:errors], [deep/run-seed1:errors] - 10)", 85),
        ("max(abs([deep/run-seed0:*:nats]))", 84.352),
    ],
)
def test_expressions(figures: ModuleType, place: Path, expression: str, value: float) -> None:
    assert figures.evaluate(expression, figures.Records(place)) == pytest.approx(value)


def test_published_figures_have_sources(figures: ModuleType) -> None:
    published: dict[str, Any] = json.loads((ROOT / "docs" / "published.json").read_text())
    assert all(isinstance(entry, dict) and entry.get("source") for entry in published.values())


def test_what_uses_augmented_images_says_so_beside_a_published_figure() -> None:
    augmenting = ("moved", "mirror", "agree", "invariant")
    found = 0
    for name, recipe in recipes().items():
        if recipe.target and any(getattr(recipe.config, setting, 0) for setting in augmenting):
            found += 1
            assert "augmented" in recipe.target, name
    assert found >= 3
    for name, path in {"README": ROOT / "README.md"}.items():
        for line in path.read_text().splitlines():
            if line.startswith("|") and re.search(r"-moved|-invariant|cifar10-4000", line):
                assert "augmented" in line or "mirrored" in line, (name, line[:80])


def test_recipes_do_not_type_times() -> None:
    """How long a recipe takes is told by --dry-run on the machine at hand; only what the authors
    needed is theirs to tell."""
    for name, recipe in recipes().items():
        words = recipe.note.replace("five days on the authors' 8 GPUs", "")
        assert not re.search(r"\b(minutes?|hours?|days?)\b", words), name


@pytest.mark.parametrize("name", ["figures", "records", "references"])
def test_examples_of_the_programs(figures: ModuleType, name: str) -> None:
    done = doctest.testmod(importlib.import_module(name))
    assert done.failed == 0
    assert name == "figures" or done.attempted
