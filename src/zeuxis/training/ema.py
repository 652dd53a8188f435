r"""Exponential moving average of the weights, from which samples are drawn.

With half-life $h$ and batch size $B$ (both in images), the decay of one step is $d = 2^{-B/h}$ and
the average after $t$ steps is

$$ \bar\theta_t = \frac{1 - d}{1 - d^t} \sum_{s=1}^{t} d^{\,t-s} \theta_s , $$

so the first average equals the first weights and nothing of the random start stays in it (Adam's
bias correction).
"""

from __future__ import annotations

import copy

import torch

from ..model import Model


class EMA:
    """The bias-corrected exponential average of a model's parameters, with its newest buffers.

    Running statistics and counters are not weights, and their average means nothing. So the copy
    takes the model's own, when `model` is read and not at every step: the same result at no cost.

    Arguments:
        model: The model that is trained.
        halflife: Images after which a weight counts half; 0 keeps the newest weights only.
        batch: Images per step.

    Example:
        >>> from zeuxis.training.ema import decay
        >>> round(decay(halflife=1000, batch=100), 4)
        0.933
    """

    def __init__(self, model: Model, halflife: int, batch: int) -> None:
        self.copy = copy.deepcopy(model).requires_grad_(False)
        self.updated_from: Model | None = None  # its buffers are newer than the copy's
        self.decay = decay(halflife, batch)
        self.steps = 0

    @torch.no_grad()
    def update(self, model: Model) -> None:
        """Adds the weights of one more step."""
        self.steps += 1
        average, newest = ([p.detach() for p in m.parameters()] for m in (self.copy, model))
        weight = (1 - self.decay) / (1 - self.decay**self.steps) if self.decay else 1.0
        torch._foreach_lerp_(average, newest, weight)
        self.updated_from = model

    @property
    def model(self) -> Model:
        """The averaged model."""
        if self.updated_from is not None:
            newest = dict(self.updated_from.named_buffers())
            with torch.no_grad():
                for name, buffer in self.copy.named_buffers():
                    if buffer.shape == newest[name].shape:
                        buffer.copy_(newest[name])
                    else:  # a buffer that grows
                        buffer.data = newest[name].detach().clone()
            self.updated_from = None
        return self.copy


def decay(halflife: int, batch: int) -> float:
    """The decay of one step of `batch` images for a half-life in images; 0 for no average."""
    return 0.5 ** (batch / halflife) if halflife else 0.0
