r"""The walk of an LSTM over an image, whole rows or diagonals at a time, with its gradient by hand.

A step of the walk treats all places of a row or a diagonal at once. Each reads its own features x
and some states of the step before (its *taps*), and goes on from the cell of one of them:

$$ [o, f, i, g] = [x, h_{\text{tap 1}}, h_{\text{tap 2}}, \dots]\, K + b, \qquad
   c = f \odot c_{before} + i \odot g,
\qquad h = o \odot \tanh(c) . $$

There are tens of steps in a layer and a dozen small operations in each, which is where training
spends its time; what such operations cost is the memory they go through. Five things save most of
it against the formula written out (`benchmarks/pixel.py` has both):

- The input's share of the gates, which could be had for the whole image at once, comes from the
  same product as the states', step by step. So the gates, four times as wide as a state, are
  written once and are still in the processor's cache when they are read.
- Maps come first and images last, so that each gate of a step is whole stretches of memory and not
  sixteen numbers here and there.
- The states of all steps are in one tensor, a step's places in neighboring *slots* with those of
  the border at its ends. So a tap is a slice of it, nothing is padded, and backward the gradients
  of taps are added to slices.
- $\tanh(a) = 2\sigma(2a) - 1$ takes a fifth of the time of tanh itself. The factor 2 within is the
  caller's for g: K's rows and b of g come doubled. The cells are kept doubled here.
- Factors of gradients that these doublings bring are given to the small weights, not to the gates.

Products are computed in the type of x, or of autocast where it is on; sums of cells in at least
float32.

Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016,
equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One step.

    Arguments:
        places: How many places it has.
        begin: How many places the steps before it have.
        slot: Where the states of its first place are; the others follow.
        taps: Where the states are that its first place reads; the others read those that follow.
    """

    places: int
    begin: int
    slot: int
    taps: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A walk.

    Arguments:
        steps: Its steps.
        order: For each direction all places, in raster numbering, as the steps take them;
            (directions, places).
        slots: How many slots there are for states, the border's included.
        learned: The slots that hold the states there are before the first step, all alike.
        own: The tap whose cell a place goes on from.
    """

    steps: tuple[Step, ...]
    order: Tensor
    slots: int
    learned: Tensor
    own: int

    @cached_property
    def border(self) -> Tensor:
        """The slots of no place."""
        free = torch.ones(self.slots, dtype=torch.bool)
        free[self.where[0]] = False
        return free.nonzero()[:, 0]

    @cached_property
    def where(self) -> Tensor:
        """The slot of each place in raster order, (directions, places)."""
        slot = torch.cat([torch.arange(step.slot, step.slot + step.places) for step in self.steps])
        return slot[self.order.argsort(1)]


@lru_cache
def along_rows(height: int, width: int) -> Plan:
    """Row by row; a place reads the three above it and goes on from the middle one. Beside a row
    are slots with h = 0.

    Example:
        >>> along_rows(2, 5).steps[1]
        Step(places=5, begin=5, slot=15, taps=(7, 8, 9))
    """
    row = width + 2
    steps = (
        Step(width, r * width, (r + 1) * row + 1, (r * row, r * row + 1, r * row + 2))
        for r in range(height)
    )
    return Plan(
        tuple(steps),
        torch.arange(height * width)[None],
        (height + 1) * row,
        torch.arange(1, width + 1),
        own=1,
    )


@lru_cache
def along_diagonals(height: int, width: int) -> Plan:
    """Diagonal by diagonal, places by row, from the left and from the right; a place reads the one
    above it and the one beside it that comes before, and goes on from the latter. At both ends of a
    diagonal are slots of the border.

    Example:
        >>> [step.places for step in along_diagonals(2, 3).steps]
        [1, 2, 2, 1]
    """
    steps, order, border, before, begin = (
        [],
        [],
        [0, 1],
        0,
        0,
    )  # before is the first slot of the diagonal before, its border's
    for d in range(height + width - 1):
        rows = torch.arange(max(0, d - width + 1), min(d, height - 1) + 1)
        first, places = (
            int(d < width),
            len(rows),
        )  # whether its first place is in the first row, so that nothing is above it
        steps.append(Step(places, begin, border[-1] + 2, (before + 1 - first, before + 2 - first)))
        order.append(torch.stack([rows * width + d - rows, rows * width + width - 1 - (d - rows)]))
        before, begin = border[-1] + 1, begin + places
        border += [before, before + places + 1]
    return Plan(tuple(steps), torch.cat(order, 1), border[-1] + 1, torch.tensor(border), own=1)


class Walk(torch.autograd.Function):
    """States h of all places, (directions, m, places, n).

    Arguments, of `apply`:
        x: Features of all places in raster order, (features, places, n), the same for all
        directions. weight: K, (directions, 4m, features + taps * m). bias: b, (directions, 4m).
        first: h and c before the first step, (2, directions, m); no parameter itself, which would
        ask for a gradient where none is wanted. plan: The walk.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, first: Tensor, plan: Plan
    ) -> Tensor:
        n, directions, m, device = x.shape[2], len(weight), weight.shape[1] // 4, x.device
        product = (
            torch.get_autocast_dtype(device.type)
            if torch.is_autocast_enabled(device.type)
            else x.dtype
        )
        exact = torch.promote_types(product, torch.float32)
        weight, bias, first = weight.to(product), bias[:, :, None].to(exact), first.to(exact)
        learned, order = plan.learned.to(device), plan.order.to(device)
        h = x.new_empty(directions, m, plan.slots, n, dtype=product)
        h[:, :, plan.border] = 0
        h[:, :, learned] = first[0][:, :, None, None].to(product)
        twice = x.new_empty(
            directions, m, plan.slots, n, dtype=exact
        )  # 2c, of which the logistic function is taken
        twice[:, :, learned] = 2 * first[1][:, :, None, None]
        x_walked = walked(x[None].to(product).expand(directions, *x.shape), order)
        less, kept = x.new_tensor(-1, dtype=exact), []
        for step in plan.steps:
            taps = [h[:, :, tap : tap + step.places] for tap in step.taps]
            read = torch.cat([x_walked[:, :, step.begin : step.begin + step.places], *taps], 1)
            flat = read.flatten(2)
            gates = (
                torch.baddbmm(bias, weight, flat)
                if product == exact
                else torch.bmm(weight, flat) + bias
            )
            o, f, i, g = gates.sigmoid_().view(directions, 4, m, step.places, n).unbind(1)
            g = torch.add(less, g, alpha=2)
            new, own = twice[:, :, step.slot : step.slot + step.places], step.taps[plan.own]
            torch.mul(f, twice[:, :, own : own + step.places], out=new).addcmul_(i, g, value=2)
            t = torch.add(less, new.sigmoid(), alpha=2)
            torch.mul(o, t, out=h[:, :, step.slot : step.slot + step.places])
            if any(ctx.needs_input_grad):
                kept += [read, gates, g, t]
        ctx.save_for_backward(weight, twice, learned, order, *kept)
        ctx.plan, ctx.inputs = plan, x.dtype
        return walked(h, plan.where.to(device))

    @staticmethod
    def backward(ctx: Any, dfound: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        plan: Plan = ctx.plan
        weight, twice, learned, order, *kept = ctx.saved_tensors
        exact, (directions, m, places, n) = twice.dtype, dfound.shape
        features = weight.shape[2] - len(plan.steps[0].taps) * m
        # Gradients of gates lack these factors on their way: a cell is kept doubled, and g = 2 s -
        # 1 of its logistic s.
        factor = twice.new_tensor([1, 0.5, 1, 2]).repeat_interleave(m)
        back = (weight * factor.to(weight.dtype)[:, None]).mT.contiguous()
        dh, dc = torch.empty_like(twice), torch.zeros_like(twice)
        dh[:, :, plan.border] = 0
        put(dh, plan.where.to(dh.device), dfound)
        dx = dfound.new_empty(directions, features, places, n, dtype=weight.dtype)
        dweight, dbias = torch.zeros_like(weight, dtype=exact), twice.new_zeros(directions, 4 * m)
        for index in reversed(range(len(plan.steps))):
            step = plan.steps[index]
            read, gates, g, t = kept[4 * index : 4 * index + 4]
            here, own = (
                slice(step.slot, step.slot + step.places),
                slice(step.taps[plan.own], step.taps[plan.own] + step.places),
            )
            o, f, i, _ = gates.view(directions, 4, m, step.places, n).unbind(1)
            dcell = torch.ops.aten.tanh_backward(dh[:, :, here] * o, t).add_(dc[:, :, here])
            dgates = torch.empty_like(gates)
            of_gate = dgates.view(directions, 4, m, step.places, n).unbind(1)
            for part, a, b in zip(
                of_gate,
                (dh[:, :, here], dcell, dcell, dcell),
                (t, twice[:, :, own], g, i),
                strict=True,
            ):
                torch.mul(a, b, out=part)
            dc[:, :, own].addcmul_(dcell, f)
            torch.ops.aten.sigmoid_backward.grad_input(dgates, gates, grad_input=dgates)
            dbias += dgates.sum(2)
            dgates = dgates.to(weight.dtype)
            dread = torch.bmm(back, dgates).view(read.shape)
            dweight += torch.bmm(dgates, read.flatten(2).mT)
            dx[:, :, step.begin : step.begin + step.places] = dread[:, :features]
            for tap, part in zip(step.taps, dread[:, features:].split(m, 1), strict=True):
                dh[:, :, tap : tap + step.places] += part
        dfirst = torch.stack([d[:, :, learned].sum((2, 3)) for d in (dh, dc)])
        return (
            walked(dx, order.argsort(1)).sum(0).to(ctx.inputs),
            dweight * factor[:, None],
            dbias * factor,
            dfirst,
            None,
        )


def walked(x: Tensor, order: Tensor) -> Tensor:
    """For each direction its places, the last axis but one, in an order of its own."""
    return torch.stack(
        [part.index_select(1, places) for part, places in zip(x, order, strict=True)]
    )


def put(into: Tensor, where: Tensor, x: Tensor) -> None:
    """Writes for each direction what belongs to its places."""
    for part, places, own in zip(into, where, x, strict=True):
        part.index_copy_(1, places, own.to(part.dtype))
