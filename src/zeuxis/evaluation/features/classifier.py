"""A small classifier for each data set, whose last features score samples of that data set.

The network of the Inception score was trained on photographs and knows little of digits; one
trained on the data set's own labels sees what matters there, needs no download, and is small enough
to ship. Its scores carry its name and hash, and compare only with scores of the same network.

Gray images of up to 32 pixels get a plain convolutional network, color images a residual one of
three stages (He et al. 2016, the CIFAR form). Both are trained with augmentation: digits
are shifted, rotated and scaled, objects shifted and mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ...data.dataset import Spec
from ...errors import UsageError
from ...model import Batch, Model, Player
from ...nn.norm import BatchNorm, estimate_batch_statistics
from ...ranges import BaseConfig, Depth, FractionBelowOne, Range, Rate, Size, Weight


@dataclass(frozen=True)
class ClassifierConfig(BaseConfig):
    """Settings of a classifier."""

    width: Size = 32
    """Maps of the first stage; later stages have twice and four times as many (channels)."""
    features: Size = 128
    """Length of the feature vector."""
    depth: Depth = 2
    """Residual blocks a stage, for color images."""
    shift: Annotated[float, Range(0, 1000)] = 2.0
    """Largest shift in training (pixels)."""
    turn: Annotated[float, Range(0, 180)] = 12.0
    """Largest rotation in training (degrees), for gray images."""
    scale: FractionBelowOne = 0.12
    """Largest change of size in training (fraction), for gray images."""
    smoothing: FractionBelowOne = 0.05
    """Probability that targets spread over all classes."""
    lr: Rate = 3e-3
    """Adam's step size."""
    weight_decay: Weight = 1e-4
    """L2 penalty."""


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = BatchNorm(out, eps=1e-5), BatchNorm(out, eps=1e-5)
        same = inside == out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inside, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.shortcut(x))


def plain(channels: int, width: int) -> nn.Sequential:
    """Six convolutions, the side halved after each pair."""
    layers: list[nn.Module] = []
    before = channels
    for out in (width, 2 * width, 4 * width):
        for i in (0, 1):
            layers += [
                nn.Conv2d(before, out, 3, 1, 1, bias=False),
                BatchNorm(out, eps=1e-5),
                nn.ReLU(),
            ]
            before = out
            if i:
                layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def residual(channels: int, width: int, depth: int) -> nn.Sequential:
    """A first convolution and three stages of blocks."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, 1, 1, bias=False),
        BatchNorm(width, eps=1e-5),
        nn.ReLU(),
    ]
    before = width
    for stage, out in enumerate((width, 2 * width, 4 * width)):
        for i in range(depth):
            layers.append(Block(before, out, 2 if stage and not i else 1))
            before = out
    return nn.Sequential(*layers)


class Classifier(Model):
    """Images to classes; its features score samples.

    Example:
        >>> import torch
        >>> from zeuxis.data.dataset import Spec
        >>> model = Classifier(ClassifierConfig(width=8), Spec("tiny", (1, 28, 28), 10)).eval()
        >>> model.classify(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape
        torch.Size([2, 10])
    """

    name: ClassVar[str] = "classifier"
    Config: ClassVar[type] = ClassifierConfig
    paper: ClassVar[str] = (
        "He et al.: Deep Residual Learning for Image Recognition, 2016 (the network for "
        "color images)"
    )
    channels_last: ClassVar[bool] = True

    def __init__(self, config: ClassifierConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        if len(spec.shape) != 3 or spec.classes < 2:
            raise UsageError(
                "A classifier needs images with labels of 2 or more classes; "
                f"'{spec.name}' has {spec.classes}."
            )
        channels = spec.shape[0]
        self.gray = channels == 1
        if self.gray and min(spec.shape[1:]) < 8:
            shape = " x ".join(map(str, spec.shape[1:]))
            raise UsageError(
                "A classifier of gray images halves their side three times, and "
                f"'{spec.name}' has {shape} pixels: give --size 8 or more."
            )
        self.body = (
            plain(channels, config.width)
            if self.gray
            else residual(channels, config.width, config.depth)
        )
        self.project = nn.Linear(4 * config.width * (9 if self.gray else 1), config.features)
        self.head = nn.Linear(config.features, spec.classes)

    def players(self) -> dict[str, Player]:
        return {"classifier": Player(self, self.config.lr, weight_decay=self.config.weight_decay)}

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        if batch.y is None or bool((batch.y < 0).any()):
            raise UsageError(
                "A classifier needs a label for every image: give a fully labeled data set."
            )
        logits = self.forward(self.moved(batch))[1]
        batch.logs["accuracy"] = 100 * (logits.detach().argmax(1) == batch.y).float().mean()
        yield (
            "classifier",
            F.cross_entropy(logits.float(), batch.y, label_smoothing=self.config.smoothing),
        )

    def moved(self, batch: Batch) -> Tensor:
        """Images in [-1, 1], each moved at random: shifted; gray ones turned and scaled, color ones
        perhaps mirrored."""
        c, x = self.config, batch.x.float() / 127.5 - 1
        u = batch.noise.uniform(4, low=-1, high=1)  # two shifts, angle or mirror, scale
        shift = u[:, :2] * 2 * c.shift / torch.tensor([x.shape[3], x.shape[2]], device=x.device)
        if self.gray:
            angle, size = u[:, 2] * math.radians(c.turn), 1 + u[:, 3] * c.scale
            row = (
                torch.stack([angle.cos() * size, -angle.sin() * size], 1),
                torch.stack([angle.sin() * size, angle.cos() * size], 1),
            )
            matrix = torch.stack(row, 1)
        else:
            mirror = torch.where(u[:, 2] < 0, -1.0, 1.0)
            matrix = torch.diag_embed(torch.stack([mirror, torch.ones_like(mirror)], 1))
        grid = F.affine_grid(
            torch.cat([matrix, shift[:, :, None]], 2), list(x.shape), align_corners=False
        )
        moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        return moved.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled images to features (n, features) and logits (n, classes)."""
        h = self.body(x)
        h = F.adaptive_avg_pool2d(h, 3 if self.gray else 1).flatten(1)
        features = F.relu(self.project(h))
        return features, self.head(features)

    @torch.no_grad()
    def features_and_logits(
        self, x: UInt8[Tensor, "n channels height width"]
    ) -> tuple[Tensor, Tensor]:
        """What a feature network gives: features (n, features) and logits (n, classes) of raw
        images."""
        x = x.to(self.device).float() / 127.5 - 1
        return self.forward(x.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def update_statistics(self, x: Tensor | None = None) -> None:
        """Sets the statistics used after training, over images x."""
        if x is not None and len(x):
            with estimate_batch_statistics(self):
                for part in x.split(250):
                    self.features_and_logits(part)

    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The last hidden layer."""
        return self.features_and_logits(x)[0]

    def classify(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        """Class probabilities."""
        return self.features_and_logits(x)[1].float().softmax(1)
