"""The LSTM cell: as PyTorch's, with a learned first state, a cell in float32 and a limit."""

from __future__ import annotations

import torch

from zeuxis.nn.lstm_cell import LARGEST, LSTMCell, LSTMState
from zeuxis.nn.precision import full_precision


def test_a_step_is_that_of_pytorch() -> None:
    ours, theirs = LSTMCell(3, 5), torch.nn.LSTMCell(3, 5)
    with torch.no_grad():
        for kind, columns in (("ih", slice(0, 3)), ("hh", slice(3, 8))):
            getattr(theirs, f"weight_{kind}").copy_(ours.gates.weight[:, columns])
        theirs.bias_ih.copy_(ours.gates.bias)
        theirs.bias_hh.zero_()
    x, h, c = torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(tuple(ours(x, LSTMState(h, c))), theirs(x, (h, c)))


def test_the_first_state_is_learned_and_the_cell_limited() -> None:
    cell = LSTMCell(2, 4)
    state = cell.start(3)
    cell(torch.ones(3, 2), state).h.sum().backward()
    assert cell.first.grad is not None and cell.first.grad.abs().min() > 0
    with torch.no_grad():
        cell.gates.bias.fill_(50.0)
        for _ in range(30):
            state = cell(torch.zeros(3, 2), state)
    assert state.c.max() == LARGEST


def test_under_autocast_the_cell_stays_in_float32() -> None:
    cell, x = LSTMCell(2, 4), torch.ones(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert cell(x, cell.start(3)).c.dtype == torch.float32
        assert (x @ x.T).dtype == torch.bfloat16
        with full_precision(x):
            assert (x @ x.T).dtype == torch.float32
