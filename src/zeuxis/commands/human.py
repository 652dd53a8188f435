"""zeuxis human: a test whether people can tell a model's images from real ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..applications.human_test.pictures import material
from ..applications.human_test.protocol import Rules, StudyConfig
from ..applications.human_test.report import report, sentences, table, write_report
from ..applications.human_test.server import TestServer
from ..applications.human_test.store import Store, create
from ..errors import UsageError
from ..evaluation.images import check_split
from ..progress import out
from ..ranges import BaseConfig, Range, Seed, SmallCountOrNone
from .inputs import FLAT
from .provenance import provenance
from .record_options import RecordOptions

HELP = """usage: zeuxis human serve MODEL [--mode untimed|feedback|timed|grid] [--out FILE]
       zeuxis human serve FILE
       zeuxis human report FILE [--out FOLDER]

MODEL is a run folder or a shipped model; FILE is a study, which holds its images and all answers.
zeuxis human serve --help shows the options.
"""
Port = Annotated[int, Range(0, 65_535)]


@dataclass(frozen=True)
class Serve(BaseConfig, flags="--"):
    """Serves the test "real or generated?" as a page on this machine. A model's name makes a new
    study; a study's file goes on with it."""

    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL|FILE")]
    """A run folder, a shipped model, or the file of a study."""
    study: Annotated[StudyConfig, FLAT] = field(default_factory=StudyConfig)
    rules: Annotated[Rules, FLAT] = field(default_factory=Rules)
    data: str = ""
    """The data set of the real images, by default the run's own."""
    split: str = "test"
    """Their part: test, train or held-out."""
    out: str = "study.sqlite"
    """The file of a new study."""
    port: Port = 7870
    """Port of the page; 0 takes a free one."""
    public: bool = False
    """Let other machines reach the page; by default it answers this machine alone."""
    invitations: SmallCountOrNone = 0
    """Links to make, each for one session; without one of them nobody starts any more."""
    completion_code: str = ""
    """Text shown after the last image, as crowd platforms want it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_split(self.split)


@dataclass(frozen=True)
class Report(BaseConfig, flags="--"):
    """The figures of a study, from its file alone."""

    file: tyro.conf.Positional[str]
    """The file of a study."""
    out: str = ""
    """A folder for a table of all images and a gallery of those that convinced most and least."""
    seed: Seed = 0
    """Fixes the bootstrap."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
    elif argv[0] == "serve":
        serve(tyro.cli(Serve, args=argv[1:], prog="zeuxis human serve"))
    elif argv[0] == "report":
        show_report(tyro.cli(Report, args=argv[1:], prog="zeuxis human report"))
    else:
        raise UsageError(f"zeuxis human cannot '{argv[0]}': it can serve and report.")


def serve(args: Serve) -> None:
    """zeuxis human serve."""
    store = open_study(args)
    host = "0.0.0.0" if args.public else "127.0.0.1"
    with TestServer(store, host, args.port, args.completion_code) as server:
        say(f"Study: {store.path} ({store.study.config.mode}, {store.study.model})")
        if args.public:
            say(
                f"Open to every machine that reaches this one on port {server.server_address[1]}: "
                "the page, the images of sessions that were begun, and the storing of answers. "
                "Nothing else of this machine. Use invitations, and HTTPS in front of it."
            )
        for token in store.invite(args.invitations) if args.invitations else []:
            say(f"{server.address}?invitation={token}")
        say(f"Open {server.address} (Ctrl-C ends the server; answers are kept)")
        server.serve_forever()


def open_study(args: Serve) -> Store:
    """The study of a file, or a new one of a model."""
    path = Path(args.what)
    if path.is_file():
        return Store(path)
    if args.what.endswith((".sqlite", ".db")):
        raise UsageError(f"There is no study '{args.what}': name a model to make one.")
    if Path(args.out).exists():
        raise UsageError(
            f"'{args.out}' exists: continue it with zeuxis human serve {args.out}, or give "
            "another --out."
        )
    say("Drawing the images...")
    return create(
        args.out, material(args.what, args.study, args.data, args.split), args.study, args.rules
    )


def show_report(args: Report) -> None:
    """zeuxis human report."""
    began, store = time.monotonic(), Store(args.file)
    figures = report(store, args.seed)
    out.print(table(figures))
    for line in sentences(figures):
        say(line)
    if args.out:
        for path in write_report(store, args.out, figures):
            say(str(path))
    if args.record.record:
        args.record.write(figures, began, args.seed, **about(store))


def about(store: Store) -> dict[str, Any]:
    """What a record says of a study; where its model is at hand, also how that was trained."""
    study = store.study
    details: dict[str, Any] = {
        "study": {
            "created": study.created,
            "weights": study.run_hash,
            "pool": study.pool_hash,
            "binarized": study.binarized,
            "config": vars(study.config),
            "rules": vars(study.rules),
        }
    }
    try:
        return provenance(study.model) | details
    except UsageError:  # the file alone suffices for a report
        return details


def say(text: str) -> None:
    """Prints a line that may be long."""
    out.print(text, markup=False, soft_wrap=True)
