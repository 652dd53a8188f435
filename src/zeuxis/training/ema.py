r"""An average of the weights along the way, the one that samples are drawn from.

With half-life $h$ and batch size $B$ (both in images), the decay of one step is $d = 2^{-B/h}$ and
the average after $t$ steps is

$$ \bar\theta_t = \frac{1 - d}{1 - d^t} \sum_{s=1}^{t} d^{\,t-s} \theta_s , $$

so the first average equals the first weights and nothing of the random start stays in it (the bias
correction of Adam).
"""

from __future__ import annotations

import copy

import torch

from ..model import Model


class EMA:
    """The bias-corrected exponential average of a model's parameters, with the newest of its
    buffers.

    Running statistics and counters are no weights: their average would be none of anything, so the
    copy has the model's own. They are copied when `model` is asked for and not at every step, which
    gives the same and costs a training nothing.

    Arguments:
        model: The model that is trained.
        halflife: Images after which a weight counts half; 0 keeps the newest weights only.
        batch: Images a step.

    Example:
        >>> from zeuxis.training.ema import decay
        >>> round(decay(halflife=1000, batch=100), 4)
        0.933
    """

    def __init__(self, model: Model, halflife: int, batch: int) -> None:
        self.copy = copy.deepcopy(model).requires_grad_(False)
        self.source: Model | None = None  # whose buffers are newer than the copy's
        self.decay = decay(halflife, batch)
        self.steps = 0

    @torch.no_grad()
    def update(self, model: Model) -> None:
        """Takes in the weights of one more step."""
        self.steps += 1
        mine, theirs = ([p.detach() for p in m.parameters()] for m in (self.copy, model))
        weight = (1 - self.decay) / (1 - self.decay**self.steps) if self.decay else 1.0
        torch._foreach_lerp_(mine, theirs, weight)
        self.source = model

    @property
    def model(self) -> Model:
        """The averaged model."""
        if self.source is not None:
            newest = dict(self.source.named_buffers())
            with torch.no_grad():
                for name, buffer in self.copy.named_buffers():
                    if buffer.shape == newest[name].shape:
                        buffer.copy_(newest[name])
                    else:  # one that grows
                        buffer.data = newest[name].detach().clone()
            self.source = None
        return self.copy


def decay(halflife: int, batch: int) -> float:
    """The decay of one step of `batch` images for this half-life in images."""
    return 0.5 ** (batch / halflife) if halflife else 0.0
