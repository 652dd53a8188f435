"""The harness of the fuzz tests notices every way an act can end."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzzing import Target, check, faults, fuzz, guarded, linux_only
from mutations import bytes_mutant
from zeuxis.errors import DataError

pytestmark = linux_only


def refuse() -> None:
    raise DataError("A sentence that says what was given.")


def mute() -> None:
    raise DataError("no")


def traceback() -> None:
    raise KeyError("x")


def hang() -> None:
    time.sleep(60)


def compute() -> None:
    while True:
        pass


def share() -> int:
    """Computes for less than its limit, and waits for longer, as beside other programs."""
    time.sleep(0.8)
    return 1


def memory() -> int:
    fresh = mmap.mmap(
        -1, 300_000_000
    )  # not from the allocator, which may have this much lying free
    for page in range(0, len(fresh), mmap.PAGESIZE):
        fresh[page] = 1
    return len(fresh)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda: 1, "accepted"),
        (refuse, "refused"),
        (mute, "mute"),
        (traceback, "traceback"),
        pytest.param(hang, "hang", marks=pytest.mark.slow),
        (compute, "hang"),
        (share, "accepted"),
        (memory, "memory"),
        (lambda: b"x" * (20 << 30), "memory"),
        (os.abort, "crash"),
    ],
    ids=[
        "accepted",
        "refused",
        "mute",
        "traceback",
        "hang",
        "compute",
        "share",
        "memory",
        "too much memory",
        "crash",
    ],
)
def test_every_end_is_noticed(act: Callable[[], object], kind: str, tmp_path: Path) -> None:
    seconds = 0.5 if act in (hang, compute, share) else 20
    assert guarded(act, tmp_path / "work", seconds=seconds, megabytes=200).kind == kind


@pytest.mark.slow
def test_later_copies_are_tried_after_a_crash_and_the_same_number_is_the_same_copy(
    tmp_path: Path,
) -> None:
    source = tmp_path / "numbers"
    source.write_bytes(bytes(range(100)))

    def act(path: Path) -> str:
        raw = path.read_bytes()
        if len(raw) < 100:
            os.abort()
        return raw.hex()

    target = Target(source, {"": bytes_mutant}, act)
    first = fuzz(target, 40, tmp_path / "work")
    assert sorted(one.number for one in first) == list(range(40))
    assert {"accepted", "crash"} == {one.kind for one in first}
    assert "crash" in faults(first)
    again = fuzz(target, 40, tmp_path / "work")
    assert [(one.number, one.kind, one.more) for one in again] == [
        (one.number, one.kind, one.more) for one in first
    ]
    assert [one.more for one in fuzz(target, 40, tmp_path / "work", seed=1)] != [
        one.more for one in first
    ]


def test_content_that_differs_unnoticed_fails(tmp_path: Path) -> None:
    source = tmp_path / "numbers"
    source.write_bytes(bytes(100))

    def act(path: Path) -> int:
        raw = path.read_bytes()
        if len(raw) != 100:
            refuse()
        return sum(raw)

    target = Target(source, {"": bytes_mutant}, act)
    check(target, 20, tmp_path / "work")
    with pytest.raises(AssertionError, match="other content"):
        check(target, 20, tmp_path / "work", intact=True)
