"""Names of images in archives: what a stranger's file may not name, and what every system can
write."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeuxis.compression.names import clash, fault, folded, portable

GOOD = [
    "a.png",
    "a/b/c.png",
    "caf\u00e9.png",
    "caf\udce9.png",
    "a b.png",
    ".a.png",
    "-rf.png",
    "a..b.png",
    "...a.png",
    "console.png",
]
GOOD += ['b "x"?.png', "\U0001f642.png", "x" * 251 + ".png", "/".join("a" * 32) + ".png"]
BAD = {
    "leads out": [
        "../a.png",
        "/a.png",
        "a/../../b.png",
        "c:\\a.png",
        "c:a.png",
        "a\\b.png",
        "",
        "a//b.png",
        "./a.png",
        "a/.",
        "//h/a.png",
    ],
    "control": [
        "a\nb.png",
        "a\x1b[2J.png",
        "a\0.png",
        "\r.png",
        "a\x7f.png",
        "a\x9b.png",
        "a\u202egnp.png",
        "a\tb.png",
        "a\ud800.png",
    ],
    "end in .png": [
        "a.jpg",
        "a",
        "a.png.exe",
        "a.PNG",
        ".png",
        "b/.png",
        "a.png ",
        "a.png.",
        "a.svg",
        "a.png/b",
    ],
    "device": [
        "CON.png",
        "con.png",
        "nul.tar.png",
        "a/AUX/b.png",
        "com1.png",
        "LPT9.png",
        "prn .png",
        "COM\u00b9.png",
        "conin$.png",
    ],
    "too long": [
        "x" * 252 + ".png",
        "/".join("a" * 40) + ".png",
        "/".join(["x" * 200] * 6) + ".png",
        "\u00e9" * 126 + ".png",
    ],
}


@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_good_names_are_taken(name: str) -> None:
    assert not fault(name)


@pytest.mark.parametrize(
    ("why", "name"), [(why, name) for why, names in BAD.items() for name in names], ids=ascii
)
def test_bad_names_are_refused_with_the_reason(why: str, name: str) -> None:
    assert why in fault(name)


@given(
    st.text(st.characters(), max_size=40),
    st.lists(
        st.sampled_from([*"/.\\: \0\n", "..", "con", "x" * 300, "a", "\u00e9", "nul."]), max_size=60
    ),
)
def test_every_name_can_be_made_portable(text: str, parts: list[str]) -> None:
    for name in (f"{text}.png", "".join(parts) + ".png", f"{text}/{''.join(parts)}.png"):
        found = portable(name)
        assert not fault(found), found
        assert not set('*?"<>|') & set(found)
        assert portable(found) == found


def test_good_names_stay_as_they_are() -> None:
    for name in GOOD:
        assert portable(name) == name or '"' in name


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_portable_names_can_be_written(tmp_path: Path) -> None:
    for i, name in enumerate(
        [*GOOD, *(portable(f"{n}.png") for names in BAD.values() for n in names)]
    ):
        path = tmp_path / str(i) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_names_that_some_system_takes_for_the_same_clash() -> None:
    composed, separate = (unicodedata.normalize(form, "caf\u00e9.png") for form in ("NFC", "NFD"))
    for names in (
        ["a.png", "a.png"],
        ["a.png", "A.PNG"],
        [composed, separate],
        ["stra\u00dfe.png", "STRASSE.png"],
        ["a/b.png", "A /B.png"],
    ):
        assert clash(names) == names[1]
    for names in (
        ["a.png", "a.png/b.png"],
        ["A.png/b.png", "a.png"],
        ["a/b.png/c.png", "a/b.png"],
        ["x.png/y/z.png", "x.png/y"],
    ):
        assert clash(names) == names[1]
    assert not clash(["a/b.png", "a/c.png", "b/b.png", "ab.png"])
    assert folded("a") != folded("b")
