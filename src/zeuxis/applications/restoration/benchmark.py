"""Measures models' restorations of a data set next to those that need no model.

Images are degraded with a fixed seed, and every method gets the same. Denoising keeps the noise
unclipped. The rows: the models, classical methods, the Gaussian prior with the training images'
mean and covariance, the nearest training image, the mean of the ten nearest, and the mean of all.
Where the mean of p(x | y) is known without samples, that is the estimate.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from ...data.dataset import Dataset
from ...errors import MissingExtra
from ...evaluation.features.feature_network import FeatureNetwork
from ...evaluation.restoration import accuracy, feature_distance, pooled, psnr, spread, ssim
from ...progress import console
from .autoregressive import CompletesAnyMask
from .gaussian import GaussianPrior, conditional_gaussian, nearest_images, posterior_mean
from .masks import mask_by_name
from .operators import Average, Identity, Mask, Operator
from .restore import METHODS, Method, Task, choose, mean_of, sampled

NEAREST = 10
CLASSICAL = {
    "denoise": "non-local means",
    "inpaint": "biharmonic",
    "super-resolve": "back-projection",
}
FITTED = 50_000  # training images of the baselines, at most


@dataclass(frozen=True)
class Degradation:
    """What is done to the images: one of the fields, by the task.

    Arguments:
        task: Chooses it.
        sigma: Standard deviation of the noise.
        mask: A name (`masks.NAMES`).
        factor: Of the block average.
    """

    task: Task
    sigma: float = 25.0
    mask: str = "center"
    factor: int = 2

    def apply(self, x: Tensor, seed: int) -> tuple[Tensor, Operator, float]:
        """Degraded images, the operator, and the noise's standard deviation."""
        if self.task == "denoise":
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
            return x + self.sigma * noise, Identity(), self.sigma
        if self.task == "inpaint":
            mask = Mask(mask_by_name(self.mask, len(x), x.shape[2], x.shape[3], seed))
            return mask.forward(x), mask, 0.0
        average = Average(self.factor)
        return average.forward(x).round(), average, 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        field = {"denoise": "sigma", "inpaint": "mask", "super-resolve": "factor"}[self.task]
        return {"task": self.task, field: getattr(self, field)}


def benchmark(
    models: Sequence[Any],
    data: Dataset,
    training: Dataset,
    degradation: Degradation,
    *,
    n: int = 8,
    method: str = "auto",
    seed: int = 0,
    network: FeatureNetwork | None = None,
) -> dict[str, dict[str, Any]]:
    """Figures of each model and each method without one, by name.

    Arguments:
        models: The models.
        data: Test images.
        training: Training images, for the baselines.
        degradation: What is done to the images.
        n: Samples of each image.
        method: The models' method.
        seed: Fixes noise, masks and samples.
        network: A classifier, for accuracy and spread.
    """
    x, labels = data.batch(torch.arange(len(data)))
    x = x.cpu().float()
    y, operator, sigma = degradation.apply(x, seed)
    images = training.batch(torch.arange(min(len(training), FITTED)))[0].cpu()
    rows = chosen_rows(models, degradation.task, method, n)
    rows |= baselines(images, degradation.task, n)
    figures = {}
    for row, (prior, way, one, k) in rows.items():
        began = time.monotonic()
        try:
            samples = sampled(prior, y, operator, sigma, k, one, seed)
        except MissingExtra as error:
            console.print(f"Left out: {row}. {error}", markup=False, soft_wrap=True)
            continue
        mean = samples.mean(0)
        if one.mean is not None and one.needs:
            mean = mean_of(prior, y, operator, sigma, one, seed)
        elif one.mean is not None:
            mean = one.mean(prior, y, operator, sigma)
        seconds = time.monotonic() - began
        if sigma == 0:
            samples = operator.pixels(samples, y).float()
            mean = operator.pixels(mean, y).float()
        figures[row] = scores(x, mean, samples, operator, network, labels)
        figures[row] |= {"method": way} if way else {}
        figures[row]["seconds an image"] = seconds / len(x)
        if isinstance(prior, CompletesAnyMask) and isinstance(operator, Mask):
            found = prior.log_prob(x.byte(), operator.visible)
            figures[row]["nats of the hidden pixels"] = -found.nats.mean().item()
    if degradation.task == "denoise":
        figures["input"] = scores(x, y, y[None], operator, network, labels)
    return figures


Row = tuple[Any, str, Method, int]
"""A prior, a method by name and as it is, and how many samples."""


def chosen_rows(models: Sequence[Any], task: Task, method: str, n: int) -> dict[str, Row]:
    """The models by their names, numbered where two have the same."""
    rows: dict[str, Row] = {}
    for model in models:
        name, way = model.name, choose(model, task, method)
        same = sum(other.name == name for other in models)
        number = sum(row.split(" ")[0] == name for row in rows) + 1
        rows[name if same == 1 else f"{name} {number}"] = (model, *way, n)
    return rows


def baselines(images: Tensor, task: Task, n: int) -> dict[str, Row]:
    """What needs no model but perhaps training images, by name."""
    gaussian = Method(conditional_gaussian, (), mean=posterior_mean)
    rows: dict[str, Row] = {"classical": (None, CLASSICAL[task], METHODS["classical"], 1)}
    if task == "denoise":
        rows["total variation"] = (None, "", METHODS["total-variation"], 1)
    rows["Gaussian prior"] = (GaussianPrior.fit(images), "", gaussian, n)
    nearest = Method(nearest_images, ())
    rows["nearest image"] = (images, "", nearest, 1)
    rows["ten nearest images"] = (images, "", nearest, NEAREST)
    if task == "inpaint":
        rows["mean image"] = (images, "", Method(mean_image, ()), 1)
    return rows


def mean_image(
    model: Tensor,
    y: Tensor,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
) -> Tensor:
    """The mean of the training images, whatever is seen, (n, batch, C, H, W)."""
    return model.float().mean(0).expand(n, len(y), *model.shape[1:])


def fingerprint(degraded: Tensor) -> str:
    """A hash of degraded images, by which others can tell that theirs are the same."""
    return hashlib.sha256(degraded.numpy().tobytes()).hexdigest()[:16]


def scores(
    x: Tensor,
    mean: Tensor,
    samples: Tensor,
    operator: Operator,
    network: FeatureNetwork | None,
    labels: Tensor | None,
) -> dict[str, Any]:
    """The measures of restored images."""
    hidden = ~operator.visible if isinstance(operator, Mask) else None
    each_mean = psnr(x, mean, hidden)
    each = torch.stack([psnr(x, sample, hidden) for sample in samples])
    found: dict[str, Any] = {
        "PSNR": each_mean.mean().item(),
        "PSNR of the mean squared error": pooled(each_mean).item(),
        "PSNR of a sample": each[0].mean().item(),
        "best PSNR of the samples": each.amax(0).mean().item(),
        "SSIM": ssim(x, mean).mean().item(),
    }
    if hidden is not None:
        found["PSNR of all pixels"] = psnr(x, mean).mean().item()
    if network is not None and labels is not None:
        found["accuracy"] = accuracy(network, mean, labels.cpu())
        found["accuracy of a sample"] = accuracy(network, samples[0], labels.cpu())
        found["feature distance"] = feature_distance(network, x, mean)
        found["feature distance of a sample"] = feature_distance(network, x, samples[0])
        found["spread"] = spread(network, samples)
    return found


SHOWN = {
    "method": "method",
    "PSNR": "PSNR",
    "PSNR of a sample": "sample",
    "SSIM": "SSIM",
    "accuracy": "correct",
    "seconds an image": "s/image",
}
"""The columns of the table; a record has all measures."""


def table(figures: dict[str, dict[str, Any]]) -> Table:
    """The main figures, a method a row."""
    shown = Table()
    measures = [key for key in SHOWN if any(key in row for row in figures.values())]
    shown.add_column("", no_wrap=True)
    for key in measures:
        shown.add_column(SHOWN[key], justify="left" if key == "method" else "right")
    for name, row in figures.items():
        shown.add_row(name, *[cell(row.get(key)) for key in measures])
    return shown


def cell(value: float | str | None) -> str:
    """A figure in three or four digits, a word as it is."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}" if value >= 1 else f"{value:.3f}"
