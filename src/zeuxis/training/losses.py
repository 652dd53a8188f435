"""Losses of the players, and the figures that a model logs beside them, between two reports."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class LossLog:
    """Losses and logged figures since the last report.

    They stay on their device: reading one would make a GPU wait for the step that computes it.

    Arguments:
        batch: Images of a step, for messages.

    Attributes:
        turns: Step, player and loss of every turn.
        logs: Values of each logged figure by its name.

    Example:
        >>> losses = LossLog(batch=64)
        >>> for step, loss in enumerate([3.0, 1.0, float("nan")]):
        ...     losses.add(step, "discriminator", torch.tensor(loss))
        >>> losses.not_finite()
        'The loss of the discriminator became nan at step 2 (128 images)'
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.turns: list[tuple[int, str, Tensor]] = []
        self.logs: dict[str, list[Tensor]] = {}

    def add(self, step: int, player: str, loss: Tensor) -> None:
        """Keeps the loss of a turn."""
        self.turns.append((step, player, loss))

    def add_logs(self, logs: Mapping[str, Tensor]) -> None:
        """Keeps the figures that a model logged in a step."""
        for name, value in logs.items():
            self.logs.setdefault(name, []).append(value.detach())

    def not_finite(self, since: int = 0) -> str:
        """Which loss is the first that is not finite, "" if all are.

        Arguments:
            since: The first turn to look at, counted as an index of `turns`.
        """
        turns = self.turns[since:]
        if not turns or torch.isfinite(torch.stack([loss for _, _, loss in turns])).all():
            return ""
        step, player, loss = next(turn for turn in turns if not torch.isfinite(turn[2]))
        return (
            f"The loss of the {player} became {loss.item()} at step {step:,} "
            f"({step * self.batch:,} images)"
        )

    def means(self) -> dict[str, float]:
        """The mean of each player's losses and of each logged figure."""
        values: dict[str, list[Tensor]] = {}
        for _, player, loss in self.turns:
            values.setdefault(player, []).append(loss)
        return {
            name: torch.stack(parts).mean().item() for name, parts in (values | self.logs).items()
        }

    def clear(self) -> None:
        """Begins again, after a report."""
        self.turns, self.logs = [], {}
