"""Names and descriptions from files reach a terminal as text and never as orders to it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

import tiny
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.errors import DataError, MissingExtra, UsageError, ZeuxisError
from zeuxis.evaluation.classification import Classification
from zeuxis.printable import printable
from zeuxis.progress import Terminal, bar

HOSTILE = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\r",
    "\x08",
    "\u202e",
    "\u2028",
    "\udc9b",
    "\x7f",
    "\ufeff",
]


@given(st.text(st.characters(), max_size=20))
def test_no_character_steers_and_the_others_stay(text: str) -> None:
    found = printable(text)
    assert not any(
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\t\n" for c in found
    )
    assert "\n" not in printable(text, lines=False)
    assert printable(found) == found
    if text.isprintable():
        assert found == text


@pytest.mark.parametrize("mark", HOSTILE, ids=ascii)
def test_every_error_is_safe_to_show_from_python_too(mark: str) -> None:
    for kind in (ZeuxisError, UsageError, DataError):
        assert str(kind(f"'{mark}\n.png' is odd.")) == f"'{ascii(mark)[1:-1]}\\n.png' is odd."
    assert "pip install" in str(MissingExtra("a", "b", "c"))


def shown(*things: object, terminal: bool = False, encoding: str = "utf-8") -> str:
    """What a terminal is given."""
    raw = io.BytesIO()
    out = Terminal()
    out._force_terminal = terminal
    out.file = io.TextIOWrapper(raw, encoding)
    for thing in things:
        out.print(thing)
    out.file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize(
    "mark", [*HOSTILE, "[link=http://a.b]c[/link]", "[/none]", "[bold]", ":smile:"], ids=ascii
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_is_printed_holds_names_as_text(mark: str, encoding: str) -> None:
    table = Table(mark, title=mark, caption=mark)
    table.add_row(f"a {mark} b")
    confusion = Classification(
        "data", "test", 4, (f"x{mark}", "y"), (1,), 1, ((2, 1), (0, 1))
    ).confusion_table()
    text = shown(mark, table, confusion, encoding=encoding)
    assert text.count(ascii(mark)[1:-1] if mark in HOSTILE else mark) >= 4
    assert mark not in HOSTILE or mark not in text


def test_what_a_character_set_lacks_is_written_as_an_escape() -> None:
    assert shown("voil\u00e0 \U0001f642", encoding="ascii") == "voil\\xe0 \\U0001f642\n"
    assert shown("voil\u00e0 \U0001f642") == "voil\u00e0 \U0001f642\n"


def test_on_a_terminal_styles_are_left_and_orders_are_not() -> None:
    table = Table("\x1b[2J", title="a")
    table.add_row("b\x1b]0;x\x07")
    assert set(re.findall(r"\x1b.", shown(table, terminal=True))) <= {"\x1b["}
    assert "\x1b[2J" not in shown(table, terminal=True)


def test_bars_take_descriptions_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    out.file, out._force_terminal = io.StringIO(), True
    monkeypatch.setattr("zeuxis.progress.console", out)
    with bar("{task.fields[note]}") as work:
        work.add_task("[/a] \x1b]0;x\x07", total=1, note="[/b]")
    assert "[/a]" in out.file.getvalue()
    assert "[/b]" in out.file.getvalue()
    assert "\x1b]0" not in out.file.getvalue()


def test_a_strangers_folder_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tiny.model("classifier"), tmp_path / "run")
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    for place in ("model", "config", "spec"):
        hostile = dict(about)
        hostile[place] = "\x1b]0;mine\x07" if place == "model" else {"\x1b]0;mine\x07": 1}
        (tmp_path / "run" / "config.json").write_text(json.dumps(hostile))
        with contextlib.suppress(SystemExit):
            assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "x.png")]) != 0
        said = capsys.readouterr()
        assert "mine" in said.err
        assert "\x1b" not in said.err + said.out
