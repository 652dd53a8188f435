"""Two checkouts of zeuxis against each other: did anything get slower?

    python benchmarks/compare.py BEFORE [AFTER] [--only dcgan] [--record FILE]

BEFORE and AFTER are folders of checkouts, or revisions, which are checked out for as long as this
takes; AFTER is by default the checkout that this script lies in. Every case runs in a process of
its own for each of the two, and the processes take turns, so that a busy machine slows both. What
is printed is the median of the turns' ratios of times, after to before (above 1 is slower), with
their quartiles. Cases use the public interface alone; one that a checkout does not know is left out
and said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
SLOWER = 1.05

Turn = Callable[[Callable[[float], None]], None]


class Side:
    """A process that runs one case with one checkout's code, a turn whenever it is asked."""

    def __init__(self, checkout: Path, case: str, quick: bool, threads: int) -> None:
        words = [
            sys.executable,
            str(HERE),
            "--serve",
            case,
            "--threads",
            str(threads),
            *(["--quick"] if quick else []),
        ]
        environment = os.environ | {
            "PYTHONPATH": str(checkout / "src"),
            "OMP_NUM_THREADS": str(threads),
        }
        self.scratch = tempfile.TemporaryDirectory(prefix="compare-")
        environment |= {"XDG_CACHE_HOME": self.scratch.name}
        self.log = open(Path(self.scratch.name) / "log", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            words,
            env=environment,
            cwd=self.scratch.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def turn(self) -> float:
        """Seconds of one turn."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write("turn\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            lines = self.log.read().strip().splitlines() or ["it ended without a word"]
            raise LookupError(lines[-1])
        return float(answer)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()
        self.scratch.cleanup()


# --- what is timed, in the process of one checkout


def noise(shape: tuple[int, ...], n: int = 2_000, binary: bool = False) -> Any:
    """Images of noise with ten classes."""
    import torch

    import zeuxis

    x = torch.randint(
        0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    if binary:
        x = 255 * (x > 127).to(torch.uint8)
    return zeuxis.Dataset(zeuxis.Spec("noise", shape, 10), x, torch.arange(n) % 10)


BEFORE = {  # names that version 0.1 had
    "architecture": ("layout", "network"),
    "channels": ("maps",),
    "latent_dim": ("latent", "code"),
    "elastic": ("moved",),
    "consistency": ("agree",),
}


def fresh(name: str, data: Any, config: dict[str, Any]) -> Any:
    """A new model of this name, or in an old checkout the one that it came from."""
    import dataclasses

    import torch

    import zeuxis

    torch.manual_seed(0)
    known = zeuxis.models()
    kind = known[name] if name in known else known[name.removesuffix("-augmented")]
    fields = {field.name for field in dataclasses.fields(kind.Config)}
    named = {
        next((key for key in (key, *BEFORE.get(key, ())) if key in fields), key): value
        for key, value in config.items()
    }
    return kind(kind.Config(**named), data.spec)


def steps(
    name: str, shape: tuple[int, ...], batch: int, count: int, **config: Any
) -> Callable[[bool, int, Turn], None]:
    """Training steps: `fit` runs on, and the game of each step notes when it begins."""

    def serve(quick: bool, threads: int, wait: Callable[[float | None], None]) -> None:
        import time

        import zeuxis

        data = noise(shape)
        model, n = fresh(name, data, config), 2 if quick else count
        game, taken, began = model.play, 0, 0.0

        def play(given: Any) -> Iterator[Any]:
            nonlocal taken, began
            if taken % n == 0:
                wait((time.perf_counter() - began) / n if taken else None)
                began = time.perf_counter()
            taken += 1
            yield from game(given)

        model.play = play
        kind = getattr(zeuxis, "TrainingConfig", None) or zeuxis.Training
        training = kind(images=10**9, batch=batch, film=0, log_every=10**12, threads=threads)
        zeuxis.fit(model, data, training=training, quiet=True)

    return serve


def calls(make: Callable[[], Callable[[], object]]) -> Callable[[bool, int, Turn], None]:
    """One call a turn, of what `make` returns."""

    def serve(quick: bool, threads: int, wait: Callable[[float | None], None]) -> None:
        import time

        import torch

        torch.set_num_threads(threads)
        call, taken = make(), None
        while True:
            wait(taken)
            began = time.perf_counter()
            call()
            taken = time.perf_counter() - began

    return serve


def sampled(
    name: str, shape: tuple[int, ...], n: int, **config: Any
) -> Callable[[], Callable[[], object]]:
    """Drawing n images."""

    def make() -> Callable[[], object]:
        import torch

        model = fresh(name, noise(shape, 100), config).eval().requires_grad_(False)
        return lambda: model.sample(n, generator=torch.Generator().manual_seed(0))

    return make


def likely(
    name: str, shape: tuple[int, ...], n: int, **config: Any
) -> Callable[[], Callable[[], object]]:
    """Log-likelihoods, or bounds, of n images."""

    def make() -> Callable[[], object]:
        data = noise(shape, n, binary=True)
        model, x = fresh(name, data, config).eval().requires_grad_(False), data.all()
        return lambda: model.log_prob(x)

    return make


def loaded(name: str) -> Callable[[], Callable[[], object]]:
    """Loading a shipped model."""

    def make() -> Callable[[], object]:
        import zeuxis

        return lambda: zeuxis.load(name)

    return make


def classified() -> Callable[[], object]:
    """Classes of a thousand images by the shipped classifier."""
    import zeuxis

    model, x = zeuxis.load("mnist/improved-gan"), noise((1, 28, 28), 1_000).all()
    return lambda: model.classify(x)


def saved() -> Callable[[], object]:
    """Saving a model of 3.5 million weights."""
    import zeuxis

    model = fresh("dcgan", noise((3, 64, 64), 10), {"channels": 32})
    return lambda: zeuxis.save(model, "saved")


def command(*words: str) -> Callable[[], Callable[[], object]]:
    """A command in a new process; `DATA` stands for an array file."""

    def make() -> Callable[[], object]:
        import numpy as np

        data = noise((1, 28, 28))
        np.savez("data.npz", x=data.all().numpy(), y=data.labels.numpy())
        line = [sys.executable, *(word.replace("DATA", "data.npz") for word in words)]
        return lambda: subprocess.run(line, check=True, stdout=subprocess.DEVNULL)

    return make


def scanned(again: bool) -> Callable[[], Callable[[], object]]:
    """Reading a folder of 500 pictures, for the first time or from the cache."""

    def make() -> Callable[[], object]:
        import shutil

        from PIL import Image

        import zeuxis

        for i, x in enumerate(noise((3, 32, 32), 500).all()):
            place = Path("pictures") / str(i % 5)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x.permute(1, 2, 0).numpy()).save(place / f"{i}.png")

        def read() -> None:
            if not again:
                for cache in Path(os.environ["XDG_CACHE_HOME"]).glob("zeuxis*"):
                    shutil.rmtree(cache)
            zeuxis.load_data("pictures")

        read()
        return read

    return make


TINY = (
    "--training.images",
    "100",
    "--training.batch",
    "100",
    "--training.film",
    "0",
    "--out",
    "runs",
)
DENSE = ("--model.architecture", "dense", "--model.hidden-dim", "50", "--model.latent-dim", "5")
GRAY, RGB = (1, 28, 28), (3, 32, 32)
CASES: dict[str, Callable[[bool, int, Any], None]] = {
    "step dcgan 28x28": steps("dcgan", GRAY, 128, 4, architecture="strided", channels=64),
    "step dcgan 32x32x3": steps("dcgan", RGB, 64, 4, architecture="strided", channels=64),
    "step improved-gan 28x28": steps("improved-gan", GRAY, 100, 15),
    "step improved-gan-augmented 28x28": steps(
        "improved-gan-augmented", GRAY, 100, 8, elastic=0.5, consistency=1.0
    ),
    "step infogan 28x28": steps("infogan", GRAY, 128, 4),
    "step vae 28x28": steps("vae", GRAY, 100, 6),
    "step iaf-vae 28x28": steps("iaf-vae", GRAY, 100, 6),
    "step iaf-ladder 32x32x3": steps(
        "iaf-ladder", RGB, 16, 2, blocks=(2, 2), channels=32, latent_dim=8
    ),
    "step pixelcnn 28x28": steps("pixelcnn", GRAY, 16, 3, channels=16, layers=4),
    "step pixelcnnpp 32x32x3": steps("pixelcnnpp", RGB, 8, 2, channels=16, blocks=1, mixtures=5),
    "step pixelrnn 28x28": steps("pixelrnn", GRAY, 16, 2, channels=16, layers=2),
    "step planar": steps("planar", (2,), 512, 40),
    "sampling dcgan, 500": calls(sampled("dcgan", GRAY, 500)),
    "sampling vae, 500": calls(sampled("vae", GRAY, 500)),
    "sampling pixelcnn, 16": calls(sampled("pixelcnn", GRAY, 16, channels=16, layers=4)),
    "sampling pixelrnn, 16": calls(sampled("pixelrnn", GRAY, 16, channels=16, layers=2)),
    "likelihood vae, 500": calls(likely("vae", GRAY, 500)),
    "likelihood pixelcnn, 100": calls(likely("pixelcnn", GRAY, 100, channels=16, layers=4)),
    "classify, 1,000": calls(lambda: classified()),
    "load mnist/dcgan": calls(loaded("mnist/dcgan")),
    "load mnist/improved-gan": calls(loaded("mnist/improved-gan")),
    "save": calls(lambda: saved()),
    "read 500 pictures": calls(scanned(again=False)),
    "read 500 pictures again": calls(scanned(again=True)),
    "start: import zeuxis": calls(command("-c", "import zeuxis")),
    "start: zeuxis --help": calls(command("-m", "zeuxis", "--help")),
    "start: a run of one step": calls(
        command("-m", "zeuxis", "train", "vae", "--data", "DATA", *TINY, *DENSE)
    ),
}


def serve(case: str, quick: bool, threads: int) -> None:
    """Runs a case, a turn for each line that comes in, and answers with its seconds."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    waiting = iter(sys.stdin.readline, "")

    def wait(taken: float | None) -> None:
        if taken is not None:
            print(repr(taken), file=answers, flush=True)
        if next(waiting, None) is None:
            os._exit(0)

    CASES[case](quick, threads, wait)


# --- the comparison


@contextmanager
def checkout(place: str) -> Iterator[tuple[Path, str]]:
    """A folder with a checkout and what it is called; of a revision a temporary one."""
    folder, root = Path(place).resolve(), HERE.parents[1]
    if (folder / "src" / "zeuxis").is_dir():
        yield folder, revision(folder)
        return
    with tempfile.TemporaryDirectory(prefix="compare-") as temporary:
        folder = Path(temporary) / "checkout"
        made = ["git", "-C", str(root), "worktree"]
        done = subprocess.run(
            [*made, "add", "--detach", str(folder), place],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"'{place}' is neither the folder of a checkout nor a revision: "
                f"{done.stderr.strip().splitlines()[-1]}"
            )
        try:
            yield folder, revision(folder)
        finally:
            subprocess.run(
                [*made, "remove", "--force", str(folder)], capture_output=True, check=False
            )


def revision(folder: Path) -> str:
    """The commit that a folder is at, with a plus if files differ from it."""
    said = [
        subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        ).stdout.strip()
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "src"))
    ]
    return (said[0] or folder.name) + ("+" if said[1] else "")


def compared(
    case: str, before: Path, after: Path, rounds: int, quick: bool, threads: int
) -> dict[str, float]:
    """Medians of both and of the ratio of each round."""
    sides = {
        "before": Side(before, case, quick, threads),
        "after": Side(after, case, quick, threads),
    }
    try:
        for side in sides.values():
            side.turn()  # warms up
        times: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(rounds):
            for name in list(sides)[:: -1 if turn % 2 else 1]:
                times[name].append(sides[name].turn())
    finally:
        for side in sides.values():
            side.end()
    ratios = sorted(a / b for a, b in zip(times["after"], times["before"], strict=True))
    found = {f"{name} ms": 1e3 * statistics.median(values) for name, values in times.items()}
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    return found | {
        "ratio": statistics.median(ratios),
        "lower quartile": quartiles[0],
        "upper quartile": quartiles[2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", nargs="?", help="a checkout's folder or a revision")
    parser.add_argument(
        "after", nargs="?", default=str(HERE.parents[1]), help="likewise; by default this checkout"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="only cases with this in their name",
    )
    parser.add_argument("--rounds", type=int, default=9, help="turns of each")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--quick", action="store_true", help="short turns, no record")
    parser.add_argument(
        "--record", default="results/speed/before-after.json", help="where the figures go"
    )
    parser.add_argument("--serve", choices=list(CASES), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve:
        return serve(wanted.serve, wanted.quick, wanted.threads)
    if wanted.before is None:
        parser.error("give the checkout or revision to compare with")
    cases = [case for case in CASES if not wanted.only or any(word in case for word in wanted.only)]
    if not cases:
        parser.error(
            f"no case has {' or '.join(wanted.only)} in its name: the cases are {', '.join(CASES)}"
        )
    figures: dict[str, dict[str, float]] = {}
    with checkout(wanted.before) as (before, old), checkout(wanted.after) as (after, new):
        print(
            f"before {old}, after {new}; {wanted.rounds} turns, {wanted.threads} "
            "threads; above 1 is slower\n"
        )
        print(f"{'':40} {'before':>10} {'after':>10} {'ratio':>7}  quartiles")
        for case in cases:
            try:
                found = compared(case, before, after, wanted.rounds, wanted.quick, wanted.threads)
            except LookupError as error:
                print(f"{case:40} left out: {str(error)[:120]}", flush=True)
                continue
            figures[case] = found
            row = (
                f"{case:40} {found['before ms']:7.1f} ms {found['after ms']:7.1f} ms "
                f"{found['ratio']:7.3f}"
            )
            mark = "  slower" if found["lower quartile"] > SLOWER else ""
            print(
                f"{row}  {found['lower quartile']:.3f} to {found['upper quartile']:.3f}{mark}",
                flush=True,
            )
    if not wanted.quick:
        record = {
            "command": " ".join(["python", *sys.argv]),
            "before": old,
            "after": new,
            "rounds": wanted.rounds,
        }
        record |= {"threads": wanted.threads, "figures": figures}
        Path(wanted.record).write_text(json.dumps(record, indent=2) + "\n")
        print(f"\nrecord: {wanted.record}")
    return None


if __name__ == "__main__":
    main()
