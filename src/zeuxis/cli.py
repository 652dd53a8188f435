"""The command line: one word chooses the command, a dataclass of that command gives its options,
types, defaults and help."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from .errors import UsageError, ZeuxisError

COMMANDS = {
    "demo": "train a DCGAN on handwritten digits, film it and score it, in minutes",
    "train": (
        "train a model: zeuxis train MODEL [--recipe NAME] [--data DATA]; a policy: "
        "train trpo --env TASK; or --resume RUN"
    ),
    "sample": "draw new examples from a run or a shipped model",
    "walk": "walk smoothly from code to code, as a picture or a film",
    "arithmetic": "add and subtract the codes of chosen samples",
    "traverse": "vary each code of a model with everything else fixed, as a picture or a film",
    "reconstruct": "what a model's codes keep of images, drawn and measured",
    "interpolate": "the way from one image to another: zeuxis interpolate RUN a.png b.png",
    "attributes": "find directions among codes for what is known of images, and measure them",
    "edit": "change images along attributes: zeuxis edit RUN me.png --attribute smiling=+2",
    "film": "make the film of a run's learning: .webp, .gif or .mp4",
    "evaluate": "score a model's samples against real images",
    "likelihood": "how likely images are to a model: log p or its bounds, with their protocol",
    "surprise": (
        "which pixels a model did not expect, as heat beside the image: zeuxis "
        "surprise RUN IMAGE ..."
    ),
    "classify": (
        "the class of images, or the errors on a set, by one model or several: "
        "zeuxis classify RUN IMAGE ..."
    ),
    "compress": (
        "images into one file, in as many bits as a model gives them: zeuxis "
        "compress RUN IMAGE ... -o file.zx"
    ),
    "decompress": "the images of a .zx file, to the last pixel",
    "codes": "measure what a model's codes mean: errors, correlations, disentanglement",
    "curves": (
        "figures of several runs over time, median and quartiles over seeds: zeuxis curves RUN ..."
    ),
    "ablation": "Improved GAN with one technique left out at a time",
    "demos": "an expert's demonstrations: zeuxis demos record POLICY, zeuxis demos show FILE",
    "play": "film a policy in its task: zeuxis play RUN",
    "data": "look at a data set before training on it: zeuxis data check PATH",
    "list": "what there is: models, recipes, data, shipped models, runs",
}


def overview() -> str:
    """What `zeuxis --help` prints."""
    lines = [
        f"zeuxis {version('zeuxis')}: generative models, faithful, fast and measured",
        "",
        "usage: zeuxis COMMAND ...",
        "",
    ]
    lines += [f"  {name:<13}{text}" for name, text in COMMANDS.items()]
    lines += [
        "",
        (
            "  --import MODULE  a module or file.py with models of your own, before or after "
            "any command"
        ),
    ]
    lines += ["", "zeuxis COMMAND --help teaches a command's options. Start with: zeuxis demo"]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 for what failed, 2 for what could not be taken,
    130 for an interruption."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("-h", "--help", "help"):
            print(overview())
            return 0 if words else 2
        if words[0] in ("-V", "--version"):
            print(f"zeuxis {version('zeuxis')}")
            return 0
        for module in modules_named(words):
            importlib.import_module("zeuxis.registry").imported(module)
        if not words:
            raise UsageError(
                "Name a command after --import, as in zeuxis --import mymodels.py sample RUN."
            )
        if words[0] not in COMMANDS:
            near = difflib.get_close_matches(words[0], COMMANDS, 1)
            hint = (
                f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}."
            )
            raise UsageError(f"There is no command '{words[0]}': {hint}")
        with interrupts_deferred():
            command = importlib.import_module(f"zeuxis.commands.{words[0]}")
        command.main(with_record_folder(words[1:]))
        sys.stdout.flush()  # here, where a reader that has gone is no error
        return 0
    except ZeuxisError as error:
        print(f"zeuxis: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("zeuxis: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MemoryError, RuntimeError) as error:
        if (
            isinstance(error, MemoryError)
            or "out of memory" in str(error).lower()
            or "can't allocate" in str(error).lower()
        ):
            print(
                (
                    "zeuxis: the memory ran out: use a smaller --training.batch, or "
                    "--training.accumulate 2."
                ),
                file=sys.stderr,
            )
            return 1
        raise
    finally:
        if "torch" in sys.modules:
            importlib.import_module("zeuxis.distributed").shutdown()


def modules_named(words: list[str]) -> list[str]:
    """Takes `--import MODULE` out of a command line, wherever it stands; the modules in their
    order."""
    found = []
    while (
        i := next(
            (
                i
                for i, word in enumerate(words)
                if word == "--import" or word.startswith("--import=")
            ),
            None,
        )
    ) is not None:
        if "=" in words[i]:
            found.append(words.pop(i).split("=", 1)[1])
        elif i + 1 < len(words):
            found.append(words.pop(i + 1))
            words.pop(i)
        else:
            raise UsageError("--import needs a module after it, as in --import mymodels.py.")
    return found


def with_record_folder(argv: Sequence[str]) -> list[str]:
    """Adds the folder `results` after a `--record` without a value; the file's name in it is
    derived.

    Example:
        >>> with_record_folder(["RUN", "--record", "--seed", "1"])
        ['RUN', '--record', 'results', '--seed', '1']
    """
    following = [*argv[1:], "--"]
    return [
        part
        for word, value in zip(argv, following, strict=False)
        for part in ([word, "results"] if word == "--record" and value[:2] == "--" else [word])
    ]


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Keeps a Ctrl-C until what is inside is done: an import of PyTorch that is cut short is
    swallowed or aborts the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def run() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal has no letter for
    code = main()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # Under torchrun the threads of the process group may outlive it; an interpreter that takes
        # itself down beside them may abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
