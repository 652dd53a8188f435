"""What the tests of autoregressive models share: who sees whom, tiny spaces, and the plain way to
sample."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zeuxis.autoregressive.pixel_model import PixelModel
from zeuxis.autoregressive.sampling import (
    in_order,
    naive_autoregress,
    run_autoregression,
    to_levels,
    to_pixels,
)
from zeuxis.data.dataset import Spec
from zeuxis.registry import models


def make(
    name: str, shape: tuple[int, int, int], classes: int = 0, seed: int = 0, **changes: object
) -> PixelModel:
    """A model with random weights and biases in float64, in eval mode."""
    torch.manual_seed(seed)
    model = models()[name](models()[name].Config(**changes), Spec("tiny", shape, classes))
    assert isinstance(model, PixelModel)
    for p in model.parameters():
        nn.init.normal_(p, 0.0, 0.3)
    return model.double().eval().requires_grad_(False)


def influence(
    network: nn.Module, shape: tuple[int, int, int], outputs: int, examples: int = 16
) -> Tensor:
    """Whether output number i depends on input number j, both in the order row, column, color:
    (size, size) of bool.

    Gradients of random mixtures of an output's numbers are added up over random images, so that
    none cancels for good.
    """
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(examples, *shape, generator=generator, dtype=torch.float64, requires_grad=True)
    out = network(x).unflatten(1, (outputs, -1))
    mixed = torch.einsum(
        "nkohw,o->nkhw", out, torch.randn(out.shape[2], generator=generator, dtype=torch.float64)
    )
    numbers = in_order(mixed).sum(0)
    one_hot = torch.eye(len(numbers), dtype=torch.float64)
    seen = torch.stack(
        [
            in_order(torch.autograd.grad(numbers, x, row, retain_graph=True)[0]).abs().sum(0)
            for row in one_hot
        ]
    )
    return seen > 0


def earlier(size: int) -> Tensor:
    """Everything strictly before: what a model without blind spots sees."""
    return torch.ones(size, size).tril(-1).bool()


def all_images(shape: tuple[int, int, int], levels: int) -> Tensor:
    """Every image of a tiny space, as pixels."""
    size = shape[0] * shape[1] * shape[2]
    values = torch.tensor(list(itertools.product(range(levels), repeat=size)))
    return to_pixels(values.view(-1, *shape), levels)


def random_images(model: PixelModel, n: int, seed: int = 0) -> Tensor:
    """Images of random levels."""
    levels = torch.randint(
        model.levels, (n, *model.spec.shape), generator=torch.Generator().manual_seed(seed)
    )
    return to_pixels(levels, model.levels)


def classes_for(model: PixelModel, n: int) -> Tensor | None:
    return torch.arange(n) % model.spec.classes if model.config.conditional else None


def check_autoregress(model: PixelModel, n: int = 3) -> None:
    """Conditionals one by one equal those of a parallel pass, and sum to the likelihood."""
    x, y = random_images(model, n), classes_for(model, n)
    v = in_order(to_levels(x, model.levels))
    parallel = model.conditionals(x, y).permute(0, 2, 3, 1, 4).flatten(1, 3)
    torch.testing.assert_close(
        parallel.exp().sum(2), torch.ones(parallel.shape[:2], dtype=torch.float64)
    )
    values, steps = model.autoregress(n, y), []
    log_p = next(values)
    for i in range(v.shape[1]):
        steps.append(log_p)
        try:
            log_p = values.send(v[:, i])
        except StopIteration:
            assert i == v.shape[1] - 1
    torch.testing.assert_close(torch.stack(steps, 1), parallel, atol=1e-9, rtol=1e-9)
    nats = torch.stack(steps, 1).gather(2, v[..., None]).sum((1, 2))
    answer = model.log_prob(x, y)
    assert answer.exact
    torch.testing.assert_close(answer.nats, nats, atol=1e-9, rtol=1e-9)


def check_sampler(model: PixelModel, n: int = 3, seed: int = 0) -> None:
    """The cached sampler gives the images of the naive one, which makes a full pass for every
    number."""
    y, channels = classes_for(model, n), model.spec.shape[0]
    x = model.sample(n, generator=torch.Generator().manual_seed(seed), y=y)
    u = torch.rand(
        n, model.spec.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    v, _ = run_autoregression(naive_autoregress(model, n, model.spec.shape, y), u)
    assert torch.equal(to_levels(in_order(x), model.levels), v)
    assert len(in_order(x).unique()) > 1, "a constant image shows little"
    assert x.shape[1] == channels


def operations(call: object) -> int:
    """Multiplications and additions of products and convolutions."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        call()  # type: ignore[operator]
    return counter.get_total_flops()


def walk(model: PixelModel, n: int) -> None:
    """Runs through blank images, value by value."""
    size = model.spec.size
    blank = torch.zeros(n, size, dtype=torch.int64)
    run_autoregression(model.autoregress(n, classes_for(model, n)), torch.zeros(n, size), blank)
