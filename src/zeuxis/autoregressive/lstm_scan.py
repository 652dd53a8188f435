r"""The scan of an LSTM over an image, whole rows or diagonals at a time, with its gradient by hand.

A step of the scan treats all pixels of a row or a diagonal at once. Each reads its inputs x and the
states h of some pixels of the step before (its *taps*), and continues from the cell c of one of
them:

$$ [o, f, i, g] = K\, [x, h_{\text{tap 1}}, h_{\text{tap 2}}, \dots] + b, \qquad
   c = f \odot c_{before} + i \odot g, \qquad h = o \odot \tanh(c) , $$

where o, f and i have passed a sigmoid and g a tanh.

A layer has tens of steps of a dozen small operations each, in which training spends its time; the
memory that they go through is what they cost. Five things save most of it against the formula
written out (`benchmarks/pixel.py` has both):

- The inputs' share of the gates, which could be computed for the whole image at once, comes from
  the same product as the states', step by step. So the gates, four times as wide as a state, are
  written once and are still in the processor's cache when they are read.
- Channels come first and images last, so that each gate of a step is contiguous memory and not
  sixteen numbers here and there.
- The states of all steps are in one tensor, a step's pixels in neighboring *slots* with those of
  the border at both ends. So a tap is a slice of it, nothing is padded, and backward the gradients
  of taps are added to slices.
- $\tanh(a) = 2\sigma(2a) - 1$ takes a fifth of the time of tanh itself. For g the caller puts the
  inner factor 2 into K's rows and b; for the cells, they are stored doubled here.
- Factors of gradients that these doublings bring are applied to the small weights, not to the
  gates.

Products are computed in the dtype of x, or of autocast where it is on; sums of cells in at least
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
    """One row or diagonal.

    Arguments:
        pixels: Number of its pixels.
        begin: Number of pixels in the steps before it.
        slot: Slot of its first pixel's state; the others follow.
        taps: Slots of the states that its first pixel reads; the other pixels read those that
            follow.
    """

    pixels: int
    begin: int
    slot: int
    taps: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """The order of a scan and where its states are.

    Arguments:
        steps: Its steps.
        order: For each direction the raster indices of all pixels in the order of the steps,
            (directions, pixels).
        slots: Number of slots for states, the border's included.
        learned: The slots that hold the learned initial states.
        own: The tap whose cell a pixel continues from.
    """

    steps: tuple[Step, ...]
    order: Tensor
    slots: int
    learned: Tensor
    own: int

    @cached_property
    def border(self) -> Tensor:
        """The slots of no pixel."""
        free = torch.ones(self.slots, dtype=torch.bool)
        free[self.where[0]] = False
        return free.nonzero()[:, 0]

    @cached_property
    def where(self) -> Tensor:
        """The slot of each pixel in raster order, (directions, pixels)."""
        slot = torch.cat([torch.arange(step.slot, step.slot + step.pixels) for step in self.steps])
        return slot[self.order.argsort(1)]


@lru_cache
def along_rows(height: int, width: int) -> Plan:
    """Row by row: a pixel reads the three above it and continues from the middle one. Beside a row
    are slots with h = 0.

    Example:
        >>> along_rows(2, 5).steps[1]
        Step(pixels=5, begin=5, slot=15, taps=(7, 8, 9))
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
    """Diagonal by diagonal, from the left and from the right: a pixel reads the one above it and
    the one before it in its row, and continues from the latter. At both ends of a diagonal are
    slots of the border.

    Example:
        >>> [step.pixels for step in along_diagonals(2, 3).steps]
        [1, 2, 2, 1]
    """
    steps, order, border = [], [], [0, 1]
    before, begin = 0, 0  # `before` is the first slot of the diagonal before, its border's
    for d in range(height + width - 1):
        rows = torch.arange(max(0, d - width + 1), min(d, height - 1) + 1)
        pixels = len(rows)
        top = int(d < width)  # 1 where the first pixel is in the first row, with no pixel above it
        steps.append(Step(pixels, begin, border[-1] + 2, (before + 1 - top, before + 2 - top)))
        order.append(torch.stack([rows * width + d - rows, rows * width + width - 1 - (d - rows)]))
        before, begin = border[-1] + 1, begin + pixels
        border += [before, before + pixels + 1]
    return Plan(tuple(steps), torch.cat(order, 1), border[-1] + 1, torch.tensor(border), own=1)


class Walk(torch.autograd.Function):
    """The states h of all pixels in raster order, (directions, channels, pixels, n).
    The arguments are those of `apply`.

    Arguments:
        x: Inputs of all pixels in raster order, (inputs, pixels, n), the same for all directions.
        weight: K with the rows of g doubled, (directions, 4 channels, inputs + taps * channels).
        bias: b with that of g doubled, (directions, 4 channels).
        first: h and c before the first step, (2, directions, channels); a copy, since a parameter
            itself counts in `ctx.needs_input_grad` under `torch.no_grad` too.
        plan: The order of the scan.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, first: Tensor, plan: Plan
    ) -> Tensor:
        n, directions, device = x.shape[2], len(weight), x.device
        channels = weight.shape[1] // 4
        product = x.dtype
        if torch.is_autocast_enabled(device.type):
            product = torch.get_autocast_dtype(device.type)
        exact = torch.promote_types(product, torch.float32)
        weight, bias, first = weight.to(product), bias[:, :, None].to(exact), first.to(exact)
        learned, order = plan.learned.to(device), plan.order.to(device)
        h = x.new_empty(directions, channels, plan.slots, n, dtype=product)
        h[:, :, plan.border] = 0
        h[:, :, learned] = first[0][:, :, None, None].to(product)
        twice_c = x.new_empty(directions, channels, plan.slots, n, dtype=exact)
        twice_c[:, :, learned] = 2 * first[1][:, :, None, None]
        x_steps = reordered(x[None].to(product).expand(directions, *x.shape), order)
        minus_one, kept = x.new_tensor(-1, dtype=exact), []
        for step in plan.steps:
            taps = [h[:, :, tap : tap + step.pixels] for tap in step.taps]
            read = torch.cat([x_steps[:, :, step.begin : step.begin + step.pixels], *taps], 1)
            flat = read.flatten(2)
            gates = (
                torch.baddbmm(bias, weight, flat)
                if product == exact
                else torch.bmm(weight, flat) + bias
            )
            o, f, i, g = gates.sigmoid_().view(directions, 4, channels, step.pixels, n).unbind(1)
            g = torch.add(minus_one, g, alpha=2)
            new, own = twice_c[:, :, step.slot : step.slot + step.pixels], step.taps[plan.own]
            torch.mul(f, twice_c[:, :, own : own + step.pixels], out=new).addcmul_(i, g, value=2)
            tanh_c = torch.add(minus_one, new.sigmoid(), alpha=2)
            torch.mul(o, tanh_c, out=h[:, :, step.slot : step.slot + step.pixels])
            if any(ctx.needs_input_grad):
                kept += [read, gates, g, tanh_c]
        ctx.save_for_backward(weight, twice_c, learned, order, *kept)
        ctx.plan, ctx.inputs = plan, x.dtype
        return reordered(h, plan.where.to(device))

    @staticmethod
    def backward(ctx: Any, dh_raster: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        plan: Plan = ctx.plan
        weight, twice_c, learned, order, *kept = ctx.saved_tensors
        exact, (directions, channels, pixels, n) = twice_c.dtype, dh_raster.shape
        inputs = weight.shape[2] - len(plan.steps[0].taps) * channels
        # The gates' gradients lack these factors in the loop, since cells are stored doubled and
        # g = 2 s - 1 with its sigmoid s.
        factor = twice_c.new_tensor([1, 0.5, 1, 2]).repeat_interleave(channels)
        back = (weight * factor.to(weight.dtype)[:, None]).mT.contiguous()
        dh, dc = torch.empty_like(twice_c), torch.zeros_like(twice_c)
        dh[:, :, plan.border] = 0
        scatter(dh, plan.where.to(dh.device), dh_raster)
        dx = dh_raster.new_empty(directions, inputs, pixels, n, dtype=weight.dtype)
        dweight = torch.zeros_like(weight, dtype=exact)
        dbias = twice_c.new_zeros(directions, 4 * channels)
        for index in reversed(range(len(plan.steps))):
            step = plan.steps[index]
            read, gates, g, tanh_c = kept[4 * index : 4 * index + 4]
            here = slice(step.slot, step.slot + step.pixels)
            own = slice(step.taps[plan.own], step.taps[plan.own] + step.pixels)
            o, f, i, _ = gates.view(directions, 4, channels, step.pixels, n).unbind(1)
            dcell = torch.ops.aten.tanh_backward(dh[:, :, here] * o, tanh_c).add_(dc[:, :, here])
            dgates = torch.empty_like(gates)
            by_gate = dgates.view(directions, 4, channels, step.pixels, n).unbind(1)
            for part, a, b in zip(
                by_gate,
                (dh[:, :, here], dcell, dcell, dcell),
                (tanh_c, twice_c[:, :, own], g, i),
                strict=True,
            ):
                torch.mul(a, b, out=part)
            dc[:, :, own].addcmul_(dcell, f)
            torch.ops.aten.sigmoid_backward.grad_input(dgates, gates, grad_input=dgates)
            dbias += dgates.sum(2)
            dgates = dgates.to(weight.dtype)
            dread = torch.bmm(back, dgates).view(read.shape)
            dweight += torch.bmm(dgates, read.flatten(2).mT)
            dx[:, :, step.begin : step.begin + step.pixels] = dread[:, :inputs]
            for tap, part in zip(step.taps, dread[:, inputs:].split(channels, 1), strict=True):
                dh[:, :, tap : tap + step.pixels] += part
        dfirst = torch.stack([d[:, :, learned].sum((2, 3)) for d in (dh, dc)])
        return (
            reordered(dx, order.argsort(1)).sum(0).to(ctx.inputs),
            dweight * factor[:, None],
            dbias * factor,
            dfirst,
            None,
        )


def reordered(x: Tensor, order: Tensor) -> Tensor:
    """For each direction the pixels of x, its last axis but one, in that direction's order."""
    return torch.stack([part.index_select(1, o) for part, o in zip(x, order, strict=True)])


def scatter(into: Tensor, slots: Tensor, x: Tensor) -> None:
    """For each direction writes the pixels of x into their slots."""
    for part, own, values in zip(into, slots, x, strict=True):
        part.index_copy_(1, own, values.to(part.dtype))
