"""One step of a model: every player takes its turn.

`model.play(batch)` yields `(player, loss)` in the order of the paper's algorithm. After each yield
the loss is differentiated, the player's gradients are averaged over batches and processes, and its
optimizer moves its parameters. Then `play` goes on, and a later turn sees the new weights.

Several batches are played side by side, so that each turn sees all of them before its player moves:
this is gradient accumulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn
from torch.optim import Optimizer

from ..distributed import average_gradients
from ..model import Batch, Model

Play = Iterator[tuple[str, Tensor]]


def take_turns(
    model: Model,
    batches: Sequence[Batch],
    optimizers: Mapping[str, Optimizer],
    *,
    scale: float = 1.0,
    clip: float = 0.0,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    on_loss: Callable[[str, Tensor], None] | None = None,
) -> None:
    """Lets every player of a model take its turn once.

    Arguments:
        model: The model that plays.
        batches: What it plays with; several are portions of one global batch.
        optimizers: The optimizer of each player, made with the player's own step size.
        scale: Factor of the step sizes.
        clip: Largest norm of a player's gradient; 0 does not clip.
        autocast: Context in which the losses are computed.
        on_loss: Called with player and loss before the gradients are computed.

    Example:
        >>> from zeuxis.checkpoints.weights import build
        >>> from zeuxis.gan.dcgan import DCGANConfig
        >>> from zeuxis.data.dataset import Spec
        >>> from zeuxis.noise import Noise
        >>> from zeuxis.optim import factory
        >>> import torch
        >>> model = build("dcgan", DCGANConfig(), Spec("noise", (1, 28, 28)))
        >>> optimizers = {name: factory.make(player) for name, player in model.players().items()}
        >>> x = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
        >>> turns = []
        >>> take_turns(
        ...     model,
        ...     [Batch(x, None, Noise(0, 0, slice(0, 4), 4))],
        ...     optimizers,
        ...     on_loss=lambda player, loss: turns.append(player),
        ... )
        >>> turns
        ['discriminator', 'generator']
    """
    plays = [model.play(batch) for batch in batches]
    while (player := backward(plays, autocast, on_loss)) is not None:
        optimizer_step(optimizers[player], scale, clip)
        model.zero_grad(set_to_none=True)


def backward(
    plays: Sequence[Play],
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    on_loss: Callable[[str, Tensor], None] | None = None,
) -> str | None:
    """Gradients of the next turn, averaged over all plays; the player's name, None at the end."""
    player = None
    for play in plays:
        with autocast():
            turn = next(play, None)
        if turn is None:
            continue
        player, loss = turn
        if on_loss is not None:
            on_loss(player, loss.detach())
        (loss / len(plays)).backward()
    return player


def optimizer_step(optimizer: Optimizer, scale: float = 1.0, clip: float = 0.0) -> None:
    """Moves one player's parameters by the mean of their gradients over the processes."""
    group = optimizer.param_groups[0]
    average_gradients(group["params"])
    if clip:
        nn.utils.clip_grad_norm_(group["params"], clip)
    group["lr"] = optimizer.defaults["lr"] * scale
    optimizer.step()
