"""What goes from step to step of DRAW, and Gaussians from the outputs of linear layers."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..nn.lstm_cell import LSTMState
from .draw_attention import Filters, Rows


class Outputs(NamedTuple):
    """What linear layers make of the decoder's state.

    Arguments:
        read: The next step's read window, (n, 5), or (n, 0) without one.
        prior: Means and log standard deviations of the next step's latent, or (n, 0).
        write: The window written to, likewise.
        patch: What is written there.
    """

    read: Tensor
    prior: Tensor
    write: Tensor
    patch: Tensor


class State(NamedTuple):
    """What generation carries from step to step: canvas, decoder and its outputs."""

    canvas: Rows
    decoder: LSTMState
    outputs: Outputs


class Glimpse(NamedTuple):
    """What a step of inference gives.

    Arguments:
        posterior: Means and log standard deviations of the step's latent, (n, 2 * latent).
        prior: The same of its prior; (n, 0) for N(0, I).
        h: State of the encoder, (n, hidden).
        canvas: The canvas after the step.
        read: The window read from, None without attention.
        written: The window written to.
    """

    posterior: Tensor
    prior: Tensor
    h: Tensor
    canvas: Rows
    read: Filters | None
    written: Filters | None

    @property
    def center(self) -> Tensor:
        """The posterior's mean, standardized by the prior."""
        mean, prior = moments(self.posterior)[0], moments(self.prior)
        return (mean - prior[0]) * (-prior[1]).exp()


def moments(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation of a Gaussian from a layer's outputs, of N(0, 1) from none.

    Example:
        >>> import torch
        >>> moments(torch.tensor([[1.0, 2.0]])), moments(torch.zeros(1, 0))
        ((tensor([[1.]]), tensor([[2.]])), (tensor([0.]), tensor([0.])))
    """
    if not numbers.shape[-1]:
        return numbers.new_zeros(1), numbers.new_zeros(1)
    mean, log_std = numbers.chunk(2, -1)
    return mean, log_std


def drawn(numbers: Tensor, eps: Tensor) -> Tensor:
    """Draws from such a Gaussian by standard normal numbers."""
    if not numbers.shape[-1]:
        return eps
    mean, log_std = moments(numbers)
    return mean + log_std.exp() * eps
