r"""An LSTM cell for networks whose inputs are made step by step.

$$ [i, f, g, o] = K\, [x, h] + b, \qquad c \leftarrow f \odot c + i \odot g, \qquad
   h \leftarrow o \odot \tanh(c) , $$

where i, f and o have passed a sigmoid and g a tanh. One matrix product gives the four gates. It may
run in bfloat16; the cell, a sum over all steps, stays in float32. `torch.nn.LSTMCell` takes two
products, and under autocast its cell is bfloat16.

The state before the first step is learned. The cell is clipped, since over many steps a gate that
stays open adds up without limit.

Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of Gers,
Schmidhuber and Cummins, 2000.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .precision import at_least_float32

LARGEST = 10.0  # of a cell; tanh(10) is 1 in float32


class LSTMState(NamedTuple):
    """What a cell carries from step to step.

    Arguments:
        h: Outputs, (n, hidden).
        c: Cells, (n, hidden).
    """

    h: Tensor
    c: Tensor


class LSTMCell(nn.Module):
    """One step of an LSTM.

    Recurrent weights start orthogonal gate by gate, the forget gate's bias at 1 (Jozefowicz,
    Zaremba and Sutskever, 2015), and the learned first state at 0.

    Arguments:
        inputs: Numbers that a step reads, beside the state.
        hidden: Units.

    Example:
        >>> cell = LSTMCell(3, 5)
        >>> state = cell.start(2)
        >>> for _ in range(4):
        ...     state = cell(torch.ones(2, 3), state)
        >>> state.h.shape
        torch.Size([2, 5])
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Linear(inputs + hidden, 4 * hidden)
        self.first = nn.Parameter(torch.zeros(2, hidden))
        with torch.no_grad():
            nn.init.xavier_uniform_(self.gates.weight[:, :inputs])
            for gate in self.gates.weight[:, inputs:].split(hidden):
                nn.init.orthogonal_(gate)
            self.gates.bias.zero_()
            self.gates.bias[hidden : 2 * hidden] = 1.0

    def start(self, n: int) -> LSTMState:
        """The learned state before the first step, of n examples."""
        return LSTMState(*self.first[:, None].expand(-1, n, -1))

    def forward(self, x: Float[Tensor, "n inputs"], state: LSTMState) -> LSTMState:
        """The state after a step that reads x."""
        gates = at_least_float32(self.gates(torch.cat([x, state.h], 1)))
        i, f, g, o = gates.chunk(4, 1)
        c = torch.addcmul(f.sigmoid() * state.c, i.sigmoid(), g.tanh()).clamp(-LARGEST, LARGEST)
        return LSTMState(o.sigmoid() * c.tanh(), c)
