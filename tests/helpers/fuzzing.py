"""Runs an act on many damaged copies of a file or folder, in child processes, and says how each
ended.

A test gives the unchanged file or folder, what damages it (`mutations`), and what is done with it;
every copy must be taken or refused in a sentence, within a time and a memory. A child works through
the numbered copies; after a crash or a hang in compiled code another one goes on behind it. Memory
is the peak of one act above the child's size before it. Linux only.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from mutations import Mutant
from zeuxis.cli import main
from zeuxis.errors import ZeuxisError

SECONDS, MEGABYTES = 20, 2000
WALL = 6  # seconds on the clock per second of work: other programs share the cores

linux_only = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux tells it"
)


@dataclass(frozen=True)
class Target:
    """What is damaged and what is done with it.

    Arguments:
        source: A file, or a folder.
        mutants: For each file of the folder that may be damaged what damages it; "" is the source
            itself.
        act: Takes the path of a damaged copy and returns its content, anything with a repr.
    """

    source: Path
    mutants: Mapping[str, Mutant]
    act: Callable[[Path], object]


@dataclass(frozen=True)
class Outcome:
    """How one copy ended.

    Arguments:
        number: Which copy; the same number of the same target is the same copy again.
        kind: "accepted", "refused" (in a sentence), or a fault: "mute" (refused with hardly a
            word), "traceback", "crash", "hang" or "memory".
        more: The content's repr, the sentence, or the exception and its place.
        change: What was done to it, in words.
        seconds: Time.
        megabytes: Peak memory above that before the act.
    """

    number: int
    kind: str
    more: str
    change: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0


def fuzz(
    target: Target,
    copies: int,
    folder: Path,
    *,
    seed: int = 0,
    seconds: float = SECONDS,
    megabytes: float = MEGABYTES,
) -> list[Outcome]:
    """Acts on this many damaged copies.

    Arguments:
        target: What is damaged and what is done.
        copies: How many.
        folder: A folder for the copies, made and removed.
        seed: Chooses other damages.
        seconds: An act that computes for longer, or waits for `WALL` times as long, is a hang.
        megabytes: One that takes more is a fault.
    """
    results: list[Outcome] = []
    left = list(range(copies))
    while left:
        found, at, status = child(target, left, folder, seed, seconds, megabytes)
        results += found
        done = {one.number for one in found}
        left = [n for n in left if n not in done]
        if at in left:
            results.append(Outcome(at, "hang" if status is None else "crash", f"status {status}"))
            left.remove(at)
    return results


def faults(outcomes: Sequence[Outcome]) -> str:
    """Everything that is neither taken nor refused in a sentence, in words; empty if nothing."""
    bad = [one for one in outcomes if one.kind not in ("accepted", "refused")]
    lines = [
        (
            f"#{one.number} {one.kind} [{one.change}] {one.more} ({one.seconds:.1f} s, "
            f"{one.megabytes:.0f} MB)"
        )
        for one in bad[:20]
    ]
    return "\n".join([f"{dict(Counter(one.kind for one in outcomes))}", *lines]) if bad else ""


def check(
    target: Target, copies: int, folder: Path, *, intact: bool = False, **limits: Any
) -> list[Outcome]:
    """Fails unless every copy is taken or refused in a sentence; `intact`: and whatever is taken
    has the content of the source."""
    outcomes = fuzz(target, copies, folder, **limits)
    assert not (found := faults(outcomes)), found
    assert any(one.kind == "refused" for one in outcomes), (
        "nothing was refused: the damage does not reach what is read"
    )
    if intact:
        same = repr(target.act(target.source))
        other = [one for one in outcomes if one.kind == "accepted" and one.more != same]
        assert not other, f"{len(other)} copies were taken and have other content: {other[:3]}"
    return outcomes


def command(*words: str) -> str:
    """What a command of the program printed; its refusal as the exception it was."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as said,
        contextlib.redirect_stderr(io.StringIO()) as error,
    ):
        try:
            code = main(list(words))
        except SystemExit as end:
            code = int(end.code or 0)
    if code:
        raise ZeuxisError(error.getvalue()[-300:])
    return said.getvalue()


def guarded(act: Callable[[], object], folder: Path, **limits: float) -> Outcome:
    """How one act ends, in a child: the same limits and words as `fuzz`."""
    folder.mkdir(exist_ok=True)
    source = folder / "nothing"
    source.write_bytes(b"0")
    return fuzz(
        Target(source, {"": lambda raw, r: (b"1", "")}, lambda path: act()),
        1,
        folder / "guarded",
        **limits,
    )[0]


class Late(BaseException):
    """Raised in a child when an act takes too long."""


def child(
    target: Target,
    numbers: Sequence[int],
    folder: Path,
    seed: int,
    seconds: float,
    megabytes: float,
) -> tuple[list[Outcome], int, int | None]:
    """One child's outcomes, the copy it was at when it ended, and its status; none if it had to be
    killed."""
    folder.mkdir()
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        os.close(read)
        try:
            work(target, numbers, folder, write, seed, seconds, megabytes)
        finally:
            os._exit(9)
    os.close(write)
    found, held, at, last, status = [], b"", numbers[0], time.monotonic(), None
    while True:
        if select.select([read], [], [], 0.5)[0]:
            if not (more := os.read(read, 1 << 20)):
                status = os.waitpid(pid, 0)[1]
                break
            *lines, held = (held + more).split(b"\n")
            last = time.monotonic()
            for line in lines:
                if line.startswith(b"@"):
                    at = int(line[1:])
                else:
                    found.append(Outcome(**json.loads(line)))
        elif time.monotonic() - last > WALL * seconds + 15:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
    os.close(read)
    shutil.rmtree(folder, ignore_errors=True)
    return found, at, status


def work(
    target: Target,
    numbers: Sequence[int],
    folder: Path,
    pipe: int,
    seed: int,
    seconds: float,
    megabytes: float,
) -> None:
    """What a child does."""

    def late(*_: object) -> None:
        raise Late

    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, late)
    resource.setrlimit(resource.RLIMIT_AS, (10 << 30, 10 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    faulthandler.disable()  # its report of a crash would go to the parent's terminal
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.chdir(folder)
    for number in numbers:
        os.write(pipe, f"@{number}\n".encode())
        outcome = one(target, number, folder / "copy", seed, seconds, megabytes)
        os.write(pipe, (json.dumps(asdict(outcome)) + "\n").encode())
    os._exit(0)


def status(key: str) -> float:
    """A size of this process in MB: VmRSS now, VmHWM at most."""
    found = re.search(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def one(
    target: Target, number: int, folder: Path, seed: int, seconds: float, megabytes: float
) -> Outcome:
    """Copies, damages, acts."""
    r = random.Random(f"{target.source.name} {number} {seed}")
    folder.mkdir()
    path = folder / target.source.name
    (shutil.copytree if target.source.is_dir() else shutil.copy)(target.source, path)
    file = r.choice(sorted(target.mutants))
    inner = path / file if file else path
    raw = changed = inner.read_bytes()
    what = ""
    for _ in range(20):
        if changed == raw:
            changed, what = target.mutants[file](raw, r)
    inner.write_bytes(changed)
    Path("/proc/self/clear_refs").write_text("5")
    before, began = status("VmRSS"), time.monotonic()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WALL * seconds)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            kind, more = "accepted", repr(target.act(path))
    except ZeuxisError as error:
        kind, more = "refused", str(error)
        if len(more.strip()) < 15:
            kind = "mute"
    except Late as error:
        kind, more = "hang", "".join(traceback.format_tb(error.__traceback__)[-4:])[-300:]
    except BaseException as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/zeuxis/" in f.filename]
        where = (
            f"{frames[-1].filename.split('/zeuxis/')[-1]}:{frames[-1].lineno}" if frames else "?"
        )
        kind, more = (
            "traceback",
            f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:200]}",
        )
        if (
            isinstance(error, MemoryError)
            or "can't allocate memory" in str(error)
            or "not enough memory" in str(error)
        ):
            kind = "memory"
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
    grown, took = status("VmHWM") - before, time.monotonic() - began
    if grown > megabytes and kind not in ("memory", "hang"):
        kind, more = "memory", f"{kind}: {more}"
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(number, kind, more[:400], what, took, grown)
