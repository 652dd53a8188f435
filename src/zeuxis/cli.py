"""The command line: its first word chooses the command, whose dataclass gives options, types,
defaults and help."""

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
from .openmp import limit_spinning

COMMANDS = {
    "demo": "samples of the shipped models; train, film and score a DCGAN in three minutes",
    "train": (
        "train a model: zeuxis train MODEL [--recipe NAME] [--data DATA]; a policy: "
        "train trpo --env TASK; or --resume RUN"
    ),
    "sweep": (
        "many trainings, for every seed and every value of some settings: zeuxis sweep train "
        "MODEL --seeds 0-9 --set model.lr=1e-3,3e-3"
    ),
    "sample": "draw new examples from a run or a shipped model",
    "arithmetic": "add and subtract the latents of chosen samples",
    "traverse": "vary each latent code with everything else fixed, as a picture or a film",
    "reconstruct": "draw images next to their reconstructions, and measure the error",
    "interpolate": "the way between random latents, or between images: interpolate RUN a.png b.png",
    "attributes": "find directions in latent space for attributes of images, and measure them",
    "edit": "change images along attributes: zeuxis edit RUN me.png --attribute smiling=+2",
    "restore": (
        "remove noise, fill holes, enlarge: zeuxis restore RUN IMAGE ... --task "
        "denoise|inpaint|super-resolve"
    ),
    "steps": "how samples or reconstructions come about, as a film or a sheet: zeuxis steps RUN",
    "film": "make a film of a run's training: .webp, .gif or .mp4",
    "evaluate": "score a model's samples against real images",
    "likelihood": "log-likelihoods of images, or their bounds, with the protocol",
    "predict": "the hidden part of images given the seen part: zeuxis predict RUN IMAGE ...",
    "objects": "how many objects images show, and where: zeuxis objects RUN IMAGE ...",
    "surprisal": "the bits that each pixel costs, as a heat map: zeuxis surprisal RUN IMAGE ...",
    "classify": (
        "the class of images, or the errors on a set, by one model or several: "
        "zeuxis classify RUN IMAGE ..."
    ),
    "pretrain": ("errors from a few labels, with what a model has learned and without"),
    "compress": (
        "images into one file, in as many bits as a model gives them: zeuxis "
        "compress RUN IMAGE ... -o file.zx"
    ),
    "decompress": "the images of a .zx file, to the last pixel",
    "codes": "measure latent codes: errors, correlations, disentanglement",
    "compare": (
        "approaches trained and measured on equal terms, on one page: zeuxis compare --data mnist"
    ),
    "studio": "a page in the browser to see, change and train models: zeuxis studio [DIR]",
    "human": "real or generated? A page that asks people, and its report: zeuxis human serve MODEL",
    "factors": "how latents follow known factors of rendered faces: zeuxis factors RUN",
    "curves": (
        "figures of several runs over time, median and quartiles over seeds: zeuxis curves RUN ..."
    ),
    "ablation": "Improved GAN with one technique left out at a time",
    "demos": "an expert's demonstrations: zeuxis demos record POLICY, zeuxis demos show FILE",
    "play": "film a policy in its task: zeuxis play RUN",
    "data": "look at a data set, or write its images as files: zeuxis data check PATH",
    "export": "a decoder, sampler or classifier for PyTorch without zeuxis, or as ONNX",
    "push": "a model to the Hugging Face Hub: zeuxis push RUN owner/name",
    "list": "models, recipes, data sets and runs: zeuxis list [TOPIC] [MODEL]",
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
    lines += ["", "zeuxis COMMAND --help shows a command's options. Start with: zeuxis demo"]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code: 0, 1 for what failed, 2 for what could not be taken, 130 for an interruption.
    """
    limit_spinning()
    try:
        run_command(list(sys.argv[1:] if argv is None else argv))
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
        if not out_of_memory(error):
            raise
        print(
            "zeuxis: the memory ran out: use a smaller --batch, or --training.accumulate 2.",
            file=sys.stderr,
        )
        return 1
    finally:
        if "torch" in sys.modules:
            importlib.import_module("zeuxis.distributed").shutdown()


def run_command(argv: list[str]) -> None:
    """Imports and runs the command that a command line names.

    Every failure is an exception with a sentence, so no exit code but 0 comes without one.

    Raises:
        UsageError: No command is named, or there is none of this name.
    """
    if not argv:
        print(overview())
        raise UsageError("Name a command after zeuxis, as in zeuxis demo.")
    if argv[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if argv[0] in ("-V", "--version"):
        print(f"zeuxis {version('zeuxis')}")
        return
    for module in pop_imports(argv):
        importlib.import_module("zeuxis.registry").imported(module)
    if not argv:
        raise UsageError(
            "Name a command after --import, as in zeuxis --import mymodels.py sample RUN."
        )
    if argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}."
        raise UsageError(f"There is no command '{argv[0]}': {hint}")
    with interrupts_deferred():
        command = importlib.import_module(f"zeuxis.commands.{argv[0]}")
    command.main(with_record_folder(argv[1:]))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be allocated."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text


def pop_imports(argv: list[str]) -> list[str]:
    """Takes every `--import MODULE` out of a command line; the modules in their order.

    Example:
        >>> argv = ["sample", "--import", "mymodels.py", "RUN"]
        >>> pop_imports(argv), argv
        (['mymodels.py'], ['sample', 'RUN'])
    """
    modules, i = [], 0
    while i < len(argv):
        name, equals, value = argv[i].partition("=")
        if name != "--import":
            i += 1
        elif equals:
            modules.append(value)
            del argv[i]
        elif i + 1 < len(argv):
            modules.append(argv[i + 1])
            del argv[i : i + 2]
        else:
            raise UsageError("--import needs a module after it, as in --import mymodels.py.")
    return modules


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
    """Delays a Ctrl-C until the block is done: an interrupted import of PyTorch may swallow it or
    abort the process."""
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
