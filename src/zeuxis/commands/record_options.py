"""The options --record, --paper and --note, which every measuring command has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..evaluation.record import write_record
from ..progress import out
from ..ranges import BaseConfig


@dataclass(frozen=True)
class RecordOptions(BaseConfig, flags="--"):
    """Where the measured figures go, and what a reader of them should know."""

    record: str = ""
    """Write the figures with command, seed, machine and time to this JSON file, or into this folder
    under a derived name; without a value into the folder results."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""

    def write(
        self, figures: dict[str, Any], began: float, seed: int | list[int], **details: Any
    ) -> None:
        """Writes the record and prints its path.

        Arguments:
            figures: What was measured.
            began: `time.monotonic()` at the start of the measurement.
            seed: Seed of the measurement.
            details: Everything else in the record, as `training` and `config` (`provenance`).
        """
        path = write_record(
            self.record,
            figures,
            seconds=time.monotonic() - began,
            seed=seed,
            paper=self.paper,
            note=self.note,
            **details,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)
