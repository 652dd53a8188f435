"""zeuxis compare: models trained and measured on equal terms, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..applications.comparison.compare import Request, compare
from ..applications.comparison.effort import QUICK_MINUTES
from ..applications.comparison.report import PAGE, sentences, summary, write_report
from ..data.config import DataConfig
from ..errors import UsageError
from ..progress import out
from ..ranges import BaseConfig, Duration, Pixels, Range

MINUTES, SEEDS = 15.0, 5


@dataclass(frozen=True)
class Compare(BaseConfig, flags="--"):
    """Compares a GAN, a VAE, an autoregressive model and flow matching, or models that are named:
    trains each for the same time with several seeds, measures samples, likelihoods, codes, cost and
    stability, and writes one page with a verdict on ten sentences about them. The same command goes
    on where it was stopped."""

    data: str = "mnist"
    """A data set, as --data of train takes it."""
    models: tuple[str, ...] = ()
    """What to compare: names of models, file.py:Class, run folders or shipped models."""
    minutes: Duration = 0.0
    """Minutes of each training; 0 means 15, or with --quick three quarters of one."""
    seeds: Annotated[int, Range(0, 100)] = 0
    """Trainings of each model; 0 means 5, or with --quick one."""
    out: str = "comparison"
    """The folder of the page, its figures and the runs."""
    quick: bool = False
    """A first look in about ten minutes: one short training each, and few samples."""
    settings: bool = False
    """Also train other step sizes and batches, one of each, for the sensitivity to them."""
    size: Pixels | None = None
    """Side to which images are brought (pixels)."""
    labels: str | None = None
    """A CSV of file and label for a folder of images."""
    network: str = ""
    """Feature network for the scores, as for evaluate; by default the data set's own, a classifier
    trained on its labels, or principal components."""

    def request(self) -> Request:
        """What the comparison is asked for."""
        if not self.out:
            raise UsageError("--out is empty: name the folder of the page.")
        return Request(
            DataConfig(self.data, self.size, labels=self.labels),
            self.models,
            self.minutes or (QUICK_MINUTES if self.quick else MINUTES),
            self.seeds or (1 if self.quick else SEEDS),
            Path(self.out),
            self.quick,
            self.network,
            self.settings,
        )


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Compare, args=argv, prog="zeuxis compare")
    request = args.request()
    columns, verdicts = write_report(compare(request), request.out)
    out.print(summary(columns))
    out.print(sentences(verdicts), markup=False, soft_wrap=True)
    out.print(f"Page: {request.out / PAGE}", markup=False, soft_wrap=True)
