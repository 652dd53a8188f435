"""Validation on held-out data, and the best weights by one of its figures."""

from __future__ import annotations

from collections.abc import Callable

from ..checkpoints.run_folder import Run
from ..errors import UsageError
from ..model import Model

Validation = Callable[[Model], dict[str, float]]
PREFIX = "held-out/"


class Selection:
    """Validates a model, and says when it is the best so far.

    Arguments:
        select: "min:FIGURE" or "max:FIGURE"; "" keeps no best weights.
        validate: Figures of a model on held-out data; None validates nothing.

    Example:
        >>> from zeuxis.checkpoints.weights import load
        >>> model, losses = load("mnist/vae"), iter([3.0, 1.0, 2.0])
        >>> selection = Selection("min:loss", lambda model: {"loss": next(losses)})
        >>> [selection.figures(model)[1] for _ in range(3)], selection.best
        ([True, True, False], 1.0)
    """

    def __init__(self, select: str, validate: Validation | None) -> None:
        self.validate = validate
        self.sign = 1 if select.startswith("min") else -1
        self.name = PREFIX + select[4:] if select else ""
        self.best = float("nan")

    def figures(self, model: Model) -> tuple[dict[str, float], bool]:
        """Held-out figures of a model, and whether it is the best so far."""
        if self.validate is None:
            return {}, False
        figures = {PREFIX + name: value for name, value in self.validate(model).items()}
        if not self.name:
            return figures, False
        if self.name not in figures:
            known = ", ".join(key.removeprefix(PREFIX) for key in figures)
            raise UsageError(
                f"--training.select names '{self.name.removeprefix(PREFIX)}', which validation "
                f"does not give: it gives {known}."
            )
        better = not self.sign * figures[self.name] >= self.sign * self.best  # best is nan at first
        if better:
            self.best = figures[self.name]
        return figures, better


def logged(run: Run | None, images: int) -> bool:
    """Whether the log of a run has figures on held-out data after this many images."""
    rows = [] if run is None else run.metrics()
    now = [row for row in rows if row.get("images") == images]
    return any(key.startswith(PREFIX) for row in now for key in row)
