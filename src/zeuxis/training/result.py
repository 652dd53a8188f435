"""What a training ends with."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..checkpoints.run_folder import Run
from ..model import Model


@dataclass
class Result:
    """What a training ends with.

    Arguments:
        model: The averaged model, ready for use.
        images: Images seen.
        seconds: Time of the whole training.
        figures: The last figures that were reported.
        stopped: Whether it was interrupted.
        run: Its folder.
    """

    model: Model
    images: int
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)
    stopped: bool = False
    run: Run | None = None
