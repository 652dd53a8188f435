r"""The walk of an LSTM over an image, whole rows or diagonals at a time, with its gradient by hand.

A step of the walk treats all places of a row or a diagonal at once. Each reads some states of the step before (its *taps*) and goes on
from the cell of one of them:

$$ [o, f, i, g] = \text{given} + [h_{\text{tap 1}}, h_{\text{tap 2}}, \dots]\, K, \qquad c = f \odot c_{before} + i \odot g,
\qquad h = o \odot \tanh(c) . $$

There are tens of steps in a layer and a dozen small operations in each, which is where training spends its time. Three things save most
of it against the formula written out (`benchmarks/pixel.py` has both): what autograd would add up place by place (padding, joining,
splitting) is written where it belongs; the logistic function is several times as fast a number on a whole tensor as on a slice of its
maps, so that all four gates go through one; and $\tanh(a) = 2\sigma(2a) - 1$ takes a fifth of the time of tanh itself. The factor 2 within
is the caller's: what is given for g, and K's columns of g, come doubled.

Products are computed in the type of what is given, sums of cells in at least float32.

Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """The places of a step, and for each tap the run of states it reads: first state, first place, length. Other places see the border."""

    places: int
    taps: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Plan:
    """A walk.

    Arguments:
        steps: Its steps.
        before: States that there are before the first step, all alike.
        own: The tap whose cell a place goes on from.
        border: Whether what lies outside the image has those states too; else it has h = 0.
    """

    steps: tuple[Step, ...]
    before: int
    own: int
    border: bool


@lru_cache
def along_rows(height: int, width: int) -> Plan:
    """Row by row; a place reads the three above it and goes on from the middle one.

    Example:
        >>> along_rows(2, 5).steps[0].taps
        ((0, 1, 4), (0, 0, 5), (1, 0, 4))
    """
    step = Step(width, ((0, 1, width - 1), (0, 0, width), (1, 0, width - 1)))
    return Plan((step,) * height, before=width, own=1, border=False)


@lru_cache
def along_diagonals(height: int, width: int) -> Plan:
    """Diagonal by diagonal, places by row; a place reads the one above it and the one to its left and goes on from the latter.

    Example:
        >>> [step.places for step in along_diagonals(2, 3).steps]
        [1, 2, 2, 1]
    """
    steps, count = [], 0
    for d in range(height + width - 1):
        top, left = int(d < width), int(d < height)  # whether the diagonal's first place is in the first row, its last in the first column
        places = count + top + left - 1
        above, beside = (0, top, places - top), (1 - top, 0, places - left)
        steps.append(Step(places, (above, beside)))
        count = places
    return Plan(tuple(steps), before=0, own=1, border=True)


class Walk(torch.autograd.Function):
    """States h of all places, (directions, places, n, m).

    Arguments, of `apply`:
        given: What the input gives to the gates, (directions, places, n, 4m), in the walk's order.
        state: K, (directions, taps * m, 4m).
        first: h and c before the first step, (2, directions, m); no parameter itself, which would ask for a gradient where none is wanted.
        plan: The walk.
    """

    @staticmethod
    def forward(ctx: Any, given: Tensor, state: Tensor, first: Tensor, plan: Plan) -> Tensor:
        directions, places, n, m = *given.shape[:3], given.shape[3] // 4
        product, exact = given.dtype, torch.promote_types(given.dtype, torch.float32)
        first, state = first.to(exact), state.to(product)
        h, c = (t[:, None, None].expand(directions, plan.before, n, m) for t in first)
        outside = first[0][:, None, None] if plan.border else first.new_zeros(1, 1, 1, 1)
        found, at, kept = given.new_empty(directions, places, n, m), 0, []
        for step in plan.steps:
            read = given.new_empty(directions, step.places, n, len(step.taps), m)
            for tap, run in enumerate(step.taps):
                put(read[:, :, :, tap], h, run, outside)
            if step.taps[plan.own][2] < step.places:
                before = c.new_empty(directions, step.places, n, m)
                put(before, c, step.taps[plan.own], first[1][:, None, None])
            else:
                begin, _, length = step.taps[plan.own]
                before = c[:, begin : begin + length]
            gates = given[:, at : at + step.places].flatten(1, 2)
            gates = torch.baddbmm(gates, read.view(directions, -1, len(step.taps) * m), state).to(exact).sigmoid_()
            gates = gates.view(directions, step.places, n, 4 * m)
            o, f, i, g = gates.chunk(4, -1)
            g = g.mul(2).sub_(1)
            c = torch.mul(f, before).addcmul_(i, g)
            t = c.mul(2).sigmoid_().mul_(2).sub_(1)
            found[:, at : at + step.places] = o * t
            h = found[:, at : at + step.places]
            if any(ctx.needs_input_grad):
                kept += [read, before, gates, g, t]
            at += step.places
        ctx.save_for_backward(state, *kept)
        ctx.plan = plan
        return found

    @staticmethod
    def backward(ctx: Any, dfound: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        plan: Plan = ctx.plan
        state, *kept = ctx.saved_tensors
        gates = kept[2]
        directions, n, m = gates.shape[0], gates.shape[2], gates.shape[3] // 4
        back, at = state.transpose(1, 2), dfound.shape[1]
        dgiven, dfound = dfound.new_empty(directions, at, n, 4 * m), dfound.to(gates.dtype)
        dstate, dfirst = torch.zeros_like(state, dtype=gates.dtype), gates.new_zeros(2, directions, m)
        dh_next = dc_next = None
        for index in reversed(range(len(plan.steps))):
            step = plan.steps[index]
            read, before, gates, g, t = kept[5 * index : 5 * index + 5]
            at -= step.places
            o, f, i, _ = gates.chunk(4, -1)
            dh = dfound[:, at : at + step.places]
            dh = dh if dh_next is None else dh_next.add_(dh)
            dc = torch.ops.aten.tanh_backward(dh * o, t)
            dc = dc if dc_next is None else dc_next.add_(dc)
            dgates = torch.empty_like(gates)
            for part, (a, b) in zip(dgates.chunk(4, -1), ((dh, t), (dc, before), (dc, g), (2 * dc, i)), strict=True):
                torch.mul(a, b, out=part)
            dgiven[:, at : at + step.places] = torch.ops.aten.sigmoid_backward(dgates, gates)
            dgates = dgiven[:, at : at + step.places].flatten(1, 2)
            dread = torch.bmm(dgates, back).to(gates.dtype).view(directions, step.places, n, len(step.taps), m)
            dstate += torch.bmm(read.view(directions, -1, len(step.taps) * m).transpose(1, 2), dgates)
            count = plan.steps[index - 1].places if index else plan.before
            dh_next, dc_next = gates.new_zeros(2, directions, count, n, m)
            for tap, run in enumerate(step.taps):
                outside = take(dread[:, :, :, tap], dh_next, run)
                if plan.border:
                    dfirst[0] += outside
            dfirst[1] += take(dc * f, dc_next, step.taps[plan.own])
        if plan.before:
            assert dh_next is not None and dc_next is not None
            dfirst += torch.stack([dh_next.sum((1, 2)), dc_next.sum((1, 2))])
        return dgiven, dstate, dfirst, None


def put(into: Tensor, states: Tensor, run: tuple[int, int, int], outside: Tensor) -> None:
    """Writes a run of states to their places and the border's to the others."""
    begin, place, length = run
    into[:, place : place + length] = states[:, begin : begin + length]
    if place:
        into[:, :place] = outside
    if place + length < into.shape[1]:
        into[:, place + length :] = outside


def take(gradient: Tensor, states: Tensor, run: tuple[int, int, int]) -> Tensor | float:
    """Adds the gradients of a run of places to those of its states; returns the sum of the others', (directions, m)."""
    begin, place, length = run
    states[:, begin : begin + length] += gradient[:, place : place + length]
    ends = [part for part in (gradient[:, :place], gradient[:, place + length :]) if part.shape[1]]
    return sum((part.sum((1, 2), dtype=states.dtype) for part in ends), start=0.0)
