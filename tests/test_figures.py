"""The numbers of README and documentation are those of the records."""

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
    """A small project: two records, three keys, one page."""
    for seed, errors in ((0, 92), (1, 95)):
        record = {
            "figures": {
                "errors": errors,
                "ELBO": {"nats": -84.352},
                "curve": [{"at": 5}, {"at": 1200.4}],
            },
            "training": {"seed": 3},
        }
        path = tmp_path / "results" / "vae" / "mnist" / f"run-seed{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "figures.toml").write_text(
        '[README]\nerrors = "vae/mnist/run-seed{0,1}:errors"\n'
        'mean = "mean([vae/mnist/run-seed{0,1}:errors])"\n'
        '[settings]\nphrases = ["# labels"]\n'
    )
    (tmp_path / "README.md").write_text(
        "# Title\n\nSince 2016 in 3.14 lines.\n\n## Results\n\n"
        "| model | errors |\n| --- | --- |\n"
        "| 100 labels | 92, [95](results/vae/mnist/run-seed1.json)<!--=errors-->,"
        " mean 93.5<!--=mean--> |\n"
    )
    return tmp_path


def edit(place: Path, before: str, after: str) -> None:
    for path in (place / "README.md", place / "docs" / "figures.toml"):
        if before in path.read_text():
            path.write_text(path.read_text().replace(before, after))
            return
    raise AssertionError(before)


def test_every_figure_of_the_project_is_its_records(figures: ModuleType) -> None:
    assert figures.problems() == []


def test_every_number_with_a_key_is_compared_with_its_record(figures: ModuleType) -> None:
    """Whichever number is changed, its page is refused."""
    keys = figures.Figures()
    for name, path in figures.pages().items():
        text = path.read_text()
        for number, _ in figures.Page(name, text, keys).covered[::5]:
            digit = "1" if number[0][-1] != "1" else "2"
            wrong = text[: number.end() - 1] + digit + text[number.end() :]
            page = figures.Page(name, wrong, keys)
            assert any("by its record" in problem for problem in page.differences()), (
                name,
                number[0],
            )


def test_a_sound_page_has_no_problems(figures: ModuleType, place: Path) -> None:
    assert figures.problems(place) == []


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("| 92,", "| 91,", "91 is 92 by its record"),
        ("[95]", "[96]", "96 is 95 by its record"),
        ("mean 93.5", "mean 93.6", "93.6 is 93.5 by its record"),
        ("<!--=errors-->", "", "92 has no key"),
        ("<!--=mean-->", "", "93.5 has no key"),
        ("<!--=mean-->", "", "figures.toml: no page uses 'README.mean'"),
        ("<!--=errors-->", "<!--=mistakes-->", "figures.toml has no key 'README.mistakes'"),
        ("<!--=errors-->", "<!--=vae.errors-->", "figures.toml has no key 'vae.errors'"),
        ("<!--=errors-->", "<!--= two keys -->", "a comment '<!--=' without a key"),
        ('seed{0,1}:errors"', 'seed0:mistakes"', "'vae/mnist/run-seed0' has no 'mistakes'"),
        ("run-seed{0,1}", "run-seed{0..2}", "there is no record 'vae/mnist/run-seed2'"),
        ("| 100 labels |", "| 1,234 images |", "1,234 has no key"),
        ("100 labels", "labels", "figures.toml: no page says '# labels'"),
        ("mean([vae", "__import__('os').getcwd([vae", "is no arithmetic"),
        ("100 labels | 92, [95]", "one | [95]", "'errors' has 2 values and follows 1 numbers"),
        ("run-seed1.json", "run-seed7.json", "no record 'results/vae/mnist/run-seed7.json'"),
    ],
)
def test_problems_are_reported(
    figures: ModuleType, place: Path, before: str, after: str, sentence: str
) -> None:
    edit(place, before, after)
    assert any(sentence in problem for problem in figures.problems(place)), figures.problems(place)


def test_a_record_that_no_page_cites_is_reported(figures: ModuleType, place: Path) -> None:
    path = place / "results" / "vae" / "mnist" / "run-seed0.json"
    path.with_name("more-seed0.json").write_text(path.read_text())
    assert figures.problems(place) == ["'vae/mnist/more-seed0' is cited by no page"]


def test_a_record_that_changes_is_noticed_and_written(figures: ModuleType, place: Path) -> None:
    path = place / "results" / "vae" / "mnist" / "run-seed0.json"
    path.write_text(path.read_text().replace("92", "1094"))
    assert len(figures.problems(place)) == 2
    readme = place / "README.md"
    text = figures.Page("README", readme.read_text(), figures.Figures(place)).rewritten()
    assert "| 1,094, [95](results" in text
    assert "mean 594.5<!--=mean-->" in text
    readme.write_text(text)
    assert figures.problems(place) == []


def test_sections_named_measured_are_checked_on_every_page(
    figures: ModuleType, place: Path
) -> None:
    page = place / "docs" / "model.md"
    page.write_text(
        "# Model\n\n0.5 is free.\n\n## Measured\n\nIt has 84.35 nats.\n\n### "
        "More\n\n7.5\n\n## Free\n\n8.5, `9.5`\n\n```\n1.5<!--=no key-->\n```\n"
    )
    assert [re.findall(r"[\d.]+ has", problem) for problem in figures.problems(place)] == [
        ["84.35 has"],
        ["7.5 has"],
    ]
    edit(place, "[settings]", '[model]\nnats = "-[vae/mnist/run-seed0:nats]"\n[settings]')
    page.write_text(
        page.read_text()
        .replace("84.35", "84.35<!--=nats-->")
        .replace("7.5", "<!-- settings -->\n7.5")
    )
    assert figures.problems(place) == []


def test_a_key_covers_the_numbers_of_one_row_only(figures: ModuleType, place: Path) -> None:
    edit(place, "| 100 labels | 92, ", "| 100 labels | 92 |\n| one | ")
    assert any("follows 1 numbers" in problem for problem in figures.problems(place))


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("seed0:ELBO:nats", [-84.352]),
        ("seed0:nats", [-84.352]),
        ("seed0:training:seed", [3]),
        ("seed0:curve:-1:at", [1200.4]),
        ("seed{0..1}:errors", [92, 95]),
        ("100 - [seed{0..1}:errors]", [8, 5]),
        ("[seed{0..1}:errors] - [seed{1,0}:errors]", [-3, 3]),
        ("seed0:{errors,nats}", [92, -84.352]),
        ("max([seed0:curve:*:at])", [1200.4]),
        ("std([seed{0..1}:errors]) * 2", [2 * 4.5**0.5]),
        ("round([seed0:curve:1:at], -2)", [1200]),
        ("min([seed0:errors], [seed1:errors] - 10)", [85]),
        ("max(abs([seed0:*:nats]))", [84.352]),
    ],
)
def test_expressions(
    figures: ModuleType, place: Path, expression: str, values: list[float]
) -> None:
    expression = expression.replace("seed", "vae/mnist/run-seed").replace(":vae/mnist/run-", ":")
    assert figures.evaluate(expression, figures.Records(place)) == pytest.approx(values)


def test_no_line_of_a_page_is_longer_than_its_limit() -> None:
    limits = {ROOT / "README.md": 120} | dict.fromkeys((ROOT / "docs").glob("*.md"), 100)
    for path, limit in limits.items():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line) <= limit, f"{path.name}, line {number} has {len(line)} columns"


def test_published_figures_have_sources(figures: ModuleType) -> None:
    published: dict[str, Any] = json.loads((ROOT / "docs" / "published.json").read_text())
    assert all(isinstance(entry, dict) and entry.get("source") for entry in published.values())


def test_what_uses_augmented_images_says_so_beside_a_published_figure() -> None:
    augmenting = ("elastic", "flip", "consistency")
    augmented = 0
    for name, recipe in recipes().items():
        if recipe.target and any(getattr(recipe.config, setting, 0) for setting in augmenting):
            augmented += 1
            assert "augmented" in recipe.target, name
    assert augmented >= 3
    for name, path in {"README": ROOT / "README.md"}.items():
        for line in path.read_text().splitlines():
            if line.startswith("|") and re.search(r"-moved|-invariant|cifar10-4000", line):
                assert "augmented" in line or "mirrored" in line, (name, line[:80])


def test_recipes_state_no_times() -> None:
    """--dry-run says how long a recipe takes on the machine at hand; a note may only say what the
    authors needed."""
    for name, recipe in recipes().items():
        note = recipe.note.replace("five days on the authors' 8 GPUs", "")
        assert not re.search(r"\b(minutes?|hours?|days?)\b", note), name


@pytest.mark.parametrize("name", ["figures", "records", "references"])
def test_examples_of_the_programs(figures: ModuleType, name: str) -> None:
    done = doctest.testmod(importlib.import_module(name))
    assert done.failed == 0
    assert name == "figures" or done.attempted


def test_readme_names_every_model(figures: ModuleType) -> None:
    """`make figures` writes them."""
    text = (ROOT / "README.md").read_text()
    assert "`wgan-gp`" in text and figures.with_models(text) == text
