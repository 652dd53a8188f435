r"""The walk of an LSTM over an image, whole rows or diagonals at a time, with its gradient by hand.

A step of the walk treats all places of a row or a diagonal at once. Each reads its own features x and some states of the step before
(its *taps*), and goes on from the cell of one of them:

$$ [o, f, i, g] = [x, h_{\text{tap 1}}, h_{\text{tap 2}}, \dots]\, K + b, \qquad c = f \odot c_{before} + i \odot g,
\qquad h = o \odot \tanh(c) . $$

There are tens of steps in a layer and a dozen small operations in each, which is where training spends its time; what such operations
cost is the memory they go through. Four things save most of it against the formula written out (`benchmarks/pixel.py` has both):

- The input's share of the gates, which could be had for the whole image at once, comes from the same product as the states', step by
  step. So the gates, four times as wide as a state, are written once and are still in the processor's cache when they are read.
- The places of a diagonal are evenly spaced in the image: a view with that distance reads and writes them without a copy.
- The logistic function is several times as fast a number on a whole tensor as on a slice of its maps; all four gates go through one.
- $\tanh(a) = 2\sigma(2a) - 1$ takes a fifth of the time of tanh itself. The factor 2 within is the caller's: K's columns and b of g come
  doubled.

Products are computed in the type of x, or of autocast where it is on; sums of cells in at least float32.

Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Run = tuple[int, int, int]


@dataclass(frozen=True)
class Step:
    """One step.

    Arguments:
        places: How many places it has.
        at: For each direction its places in raster numbering: first and distance.
        taps: For each tap the run of states it reads: first state, first place, length. Other places see the border.
    """

    places: int
    at: tuple[tuple[int, int], ...]
    taps: tuple[Run, ...]

    def of(self, x: Tensor, direction: int) -> Tensor:
        """The places of this step in a tensor of all places, as a view."""
        first, apart = self.at[direction]
        return x[first : first + apart * (self.places - 1) + 1 : apart]


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
        >>> along_rows(2, 5).steps[1]
        Step(places=5, at=((5, 1),), taps=((0, 1, 4), (0, 0, 5), (1, 0, 4)))
    """
    taps = (0, 1, width - 1), (0, 0, width), (1, 0, width - 1)
    return Plan(tuple(Step(width, ((row * width, 1),), taps) for row in range(height)), before=width, own=1, border=False)


@lru_cache
def along_diagonals(height: int, width: int) -> Plan:
    """Diagonal by diagonal, places by row, from the left and from the right; a place reads the one above it and the one beside it that
    comes before, and goes on from the latter.

    Example:
        >>> [step.places for step in along_diagonals(2, 3).steps]
        [1, 2, 2, 1]
    """
    steps, count = [], 0
    for d in range(height + width - 1):
        top, left = int(d < width), int(d < height)  # whether the diagonal's first place is in the first row, its last in the first column
        places = count + top + left - 1
        row = max(0, d - width + 1)
        at = (row * width + d - row, max(width - 1, 1)), (row * width + width - 1 - (d - row), width + 1)
        above, beside = (0, top, places - top), (1 - top, 0, places - left)
        steps.append(Step(places, at, (above, beside)))
        count = places
    return Plan(tuple(steps), before=0, own=1, border=True)


class Walk(torch.autograd.Function):
    """States h of all places, (directions, places, n, m).

    Arguments, of `apply`:
        x: Features of all places in raster order, (places, n, features), the same for all directions.
        weight: K, (directions, features + taps * m, 4m).
        bias: b, (directions, 4m).
        first: h and c before the first step, (2, directions, m); no parameter itself, which would ask for a gradient where none is wanted.
        plan: The walk.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, first: Tensor, plan: Plan) -> Tensor:
        (places, n, features), directions, m = x.shape, len(weight), weight.shape[2] // 4
        kind = x.device.type
        product = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        exact = torch.promote_types(product, torch.float32)
        weight, bias, first = weight.to(product), bias[:, None].to(exact), first.to(exact)
        h, c = (t[:, None, None].expand(directions, plan.before, n, m) for t in first)
        outside = first[0][:, None, None] if plan.border else first.new_zeros(1, 1, 1, 1)
        found, kept = x.new_empty(directions, places, n, m, dtype=product), []
        for step in plan.steps:
            read = x.new_empty(directions, step.places, n, weight.shape[1], dtype=product)
            for direction in range(directions):
                read[direction, :, :, :features] = step.of(x, direction)
            for tap, run in enumerate(step.taps):
                put(read[..., features + tap * m : features + (tap + 1) * m], h, run, outside)
            if step.taps[plan.own][2] < step.places:
                before = c.new_empty(directions, step.places, n, m)
                put(before, c, step.taps[plan.own], first[1][:, None, None])
            else:
                begin, _, length = step.taps[plan.own]
                before = c[:, begin : begin + length]
            gates = torch.bmm(read.flatten(1, 2), weight).to(exact).add_(bias).sigmoid_()
            gates = gates.view(directions, step.places, n, 4 * m)
            o, f, i, g = gates.chunk(4, -1)
            g = g.mul(2).sub_(1)
            c = torch.mul(f, before).addcmul_(i, g)
            t = c.mul(2).sigmoid_().mul_(2).sub_(1)
            h = o * t
            for direction in range(directions):
                step.of(found[direction], direction).copy_(h[direction])
            if any(ctx.needs_input_grad):
                kept += [read, before, gates, g, t]
        ctx.save_for_backward(weight, *kept)
        ctx.plan, ctx.inputs = plan, x.dtype
        return found

    @staticmethod
    def backward(ctx: Any, dfound: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        plan: Plan = ctx.plan
        weight, *kept = ctx.saved_tensors
        gates = kept[2]
        exact, n, m = gates.dtype, gates.shape[2], gates.shape[3] // 4
        (directions, places), features = dfound.shape[:2], weight.shape[1] - len(plan.steps[0].taps) * m
        back = weight.transpose(1, 2).contiguous()
        dx = gates.new_zeros(places, n, features)
        dweight, dbias = torch.zeros_like(weight, dtype=exact), gates.new_zeros(directions, 4 * m)
        dfirst = gates.new_zeros(2, directions, m)
        dh_next = dc_next = None
        for index in reversed(range(len(plan.steps))):
            step = plan.steps[index]
            read, before, gates, g, t = kept[5 * index : 5 * index + 5]
            o, f, i, _ = gates.chunk(4, -1)
            dh = torch.stack([step.of(part, direction) for direction, part in enumerate(dfound)]).to(exact)
            dh = dh if dh_next is None else dh_next.add_(dh)
            dc = torch.ops.aten.tanh_backward(dh * o, t)
            dc = dc if dc_next is None else dc_next.add_(dc)
            dgates = torch.empty_like(gates)
            for part, (a, b) in zip(dgates.chunk(4, -1), ((dh, t), (dc, before), (dc, g), (2 * dc, i)), strict=True):
                torch.mul(a, b, out=part)
            dgates = torch.ops.aten.sigmoid_backward(dgates, gates).flatten(1, 2)
            dbias += dgates.sum(1)
            dgates = dgates.to(weight.dtype)
            dread = torch.bmm(dgates, back).view(read.shape)
            dweight += torch.bmm(read.flatten(1, 2).transpose(1, 2), dgates)
            for direction in range(directions):
                step.of(dx, direction).add_(dread[direction, :, :, :features])
            count = plan.steps[index - 1].places if index else plan.before
            dh_next, dc_next = gates.new_zeros(2, directions, count, n, m)
            for tap, run in enumerate(step.taps):
                outside = take(dread[..., features + tap * m : features + (tap + 1) * m], dh_next, run)
                if plan.border:
                    dfirst[0] += outside
            dfirst[1] += take(dc * f, dc_next, step.taps[plan.own])
        if plan.before:
            assert dh_next is not None and dc_next is not None
            dfirst += torch.stack([dh_next.sum((1, 2)), dc_next.sum((1, 2))])
        return dx.to(ctx.inputs), dweight, dbias, dfirst, None


def put(into: Tensor, states: Tensor, run: Run, outside: Tensor) -> None:
    """Writes a run of states to their places and the border's to the others."""
    begin, place, length = run
    into[:, place : place + length] = states[:, begin : begin + length]
    if place:
        into[:, :place] = outside
    if place + length < into.shape[1]:
        into[:, place + length :] = outside


def take(gradient: Tensor, states: Tensor, run: Run) -> Tensor | float:
    """Adds the gradients of a run of places to those of its states; returns the sum of the others', (directions, m)."""
    begin, place, length = run
    states[:, begin : begin + length] += gradient[:, place : place + length]
    ends = [part for part in (gradient[:, :place], gradient[:, place + length :]) if part.shape[1]]
    return sum((part.sum((1, 2), dtype=states.dtype) for part in ends), start=0.0)
