"""Canvases with several digits of MNIST, whose number and boxes are known (`scenes`).

Training canvases show training digits, and test canvases test digits. In `multi-mnist-sum` the
class of a canvas is the sum of its two digits, from 0 to 18.

Sources: Eslami et al., "Attend, Infer, Repeat", 2016, section 3.1, and Pyro's example of it for the
sizes of digits; Gregor et al., "DRAW", 2015, section 4.2, for the canvas of 60 pixels with two
digits of full size that may overlap.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import UsageError
from .dataset import Dataset
from .scenes import Canvases, Scene, built_in

SUM = "multi-mnist-sum"
SCENES = {
    "multi-mnist": Scene(),
    "multi-mnist-3": Scene(counts=(3,)),
    SUM: Scene(counts=(2,)),
    "multi-mnist-60": Scene(counts=(2,), side=60, shrink=1.0, spread=0.0, overlap=1.0),
}
"""The built-in sets by their names."""
NOTES = {
    "multi-mnist": "60,000 canvases of 50x50 with no, one or two digits, and their boxes",
    "multi-mnist-3": "the same with three digits, for a model that has seen at most two",
    SUM: "the same with two digits, whose sum is the class",
    "multi-mnist-60": "two digits of full size on 60x60, which may overlap",
}


def multi_mnist(
    name: str, digits: Dataset, size: int | None, channels: int | None, limit: int | None
) -> Dataset:
    """A built-in set of canvases.

    Arguments:
        name: A key of `SCENES`.
        digits: The training or test digits of MNIST.
        size: Side in which the scenes are drawn (pixels), None for their own.
        channels: Must not be 3.
        limit: Only the first canvases.

    Raises:
        UsageError: Colors were asked for, or digits do not fit.

    Example:
        >>> from zeuxis.data import load_data
        >>> digits = load_data("mnist", split="test")
        >>> data = multi_mnist("multi-mnist-sum", digits, None, None, 20)
        >>> data.all().shape, int(data.y.max()) < data.spec.classes
        (torch.Size([20, 1, 50, 50]), True)
    """
    if channels == 3:
        raise UsageError(f"--data {name} is gray: leave out --channels 3.")
    data = built_in(name, digits, SCENES[name], size, limit)
    return summed(data, digits) if name == SUM else data


def summed(data: Dataset, digits: Dataset) -> Dataset:
    """Canvases with the sums of their digits as classes."""
    assert isinstance(data.x, Canvases) and digits.y is not None
    values, layout = digits.y[data.x.layout.pictures], data.x.layout
    count = layout.pictures.shape[1]
    classes = count * (digits.spec.classes - 1) + 1
    spec = replace(data.spec, classes=classes, class_names=tuple(map(str, range(classes))))
    return replace(data, spec=spec, y=values.sum(1))
