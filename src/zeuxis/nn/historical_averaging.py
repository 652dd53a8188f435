r"""Historical averaging: a penalty on the distance of parameters from their past mean.

$$ L + w \, \Big\lVert \theta - \tfrac{1}{t} \sum_{i=1}^{t} \theta_i \Big\rVert^2 $$

Gradient descent by two players can orbit an equilibrium for ever. The term, inspired by fictitious
play, pulls both to the center of the orbit. The mean is a running mean, so a long history costs one
copy of the weights. The paper does not give the weight w, and no released code has the term.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HistoricalAverage(nn.Module):
    """The running mean of a player's parameters, saved with the model.

    Arguments:
        player: The module whose parameters are averaged.

    Example:
        >>> import torch
        >>> point = nn.Linear(1, 1, bias=False)
        >>> history = HistoricalAverage(point)
        >>> for value in (0.0, 1.0):
        ...     _ = point.weight.data.fill_(value)
        ...     distance = history.distance(point, step=int(value))
        >>> distance.item()  # (1 - 1/2)^2
        0.25
    """

    steps: Tensor
    last: Tensor

    def __init__(self, player: nn.Module) -> None:
        super().__init__()
        for i, p in enumerate(p for p in player.parameters() if p.requires_grad):
            self.register_buffer(f"mean{i}", p.detach().clone())
        self.register_buffer("steps", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("last", torch.full((1,), -1, dtype=torch.int64))

    def distance(self, player: nn.Module, step: int) -> Tensor:
        """Squared distance of the parameters from their mean so far.

        Arguments:
            player: The module.
            step: Number of the training step; the first call of a step updates the mean first.
        """
        parameters = [p for p in player.parameters() if p.requires_grad]
        means = [self.get_buffer(f"mean{i}") for i in range(len(parameters))]
        if step != int(self.last):
            self.steps += 1
            self.last.fill_(step)
            with torch.no_grad():
                torch._foreach_lerp_(means, [p.detach() for p in parameters], 1 / int(self.steps))
        total = torch.zeros((), device=parameters[0].device)
        for p, mean in zip(parameters, means, strict=True):
            total = total + (p - mean).square().sum()
        return total
