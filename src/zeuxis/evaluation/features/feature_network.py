"""Feature networks: what turns images into the vectors that scores are computed on, each with a
name and a hash of its weights."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...checkpoints.weights import load, shipped
from ...errors import UsageError, ZeuxisError
from ...progress import track
from . import efficientnet, inception

Forward = Callable[[Tensor], tuple[Tensor, Tensor]]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FeatureNetwork:
    """A frozen network that describes images.

    Arguments:
        name: Its name, printed beside every score.
        hash: The first 12 digits of the SHA-256 of its weights.
        forward: uint8 images (n, C, H, W) to features (n, d) and logits (n, classes).
        channels: Channels it wants; gray images are repeated to three.
        batch: Images at a time.
    """

    name: str
    hash: str
    forward: Forward
    channels: int
    batch: int = 250

    @torch.no_grad()
    def features(
        self, x: UInt8[Tensor, "n channels height width"], what: str = "features"
    ) -> tuple[Tensor, Tensor]:
        """Features (n, d) and logits (n, classes) of images, in float32 on the CPU."""
        if x.shape[1] != self.channels:
            if x.shape[1] != 1:
                raise UsageError(
                    f"The network '{self.name}' takes {self.channels}-channel images, "
                    f"got {x.shape[1]} channels."
                )
            x = x.expand(-1, self.channels, -1, -1)
        parts = x.split(self.batch)
        outputs = [self.forward(part) for part in track(parts, len(parts), what)]
        features, logits = (torch.cat([pair[i].float().cpu() for pair in outputs]) for i in (0, 1))
        if not (features.isfinite().all() and logits.isfinite().all()):
            raise ZeuxisError(
                f"The network '{self.name}' gives numbers that are not finite for these "
                "images: take other weights."
            )
        return features, logits


def weights_hash(module: nn.Module) -> str:
    """The first 12 digits of the SHA-256 of a module's names and weights.

    Example:
        >>> import torch
        >>> len(weights_hash(torch.nn.Linear(2, 2)))
        12
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:12]


def feature_network(network: str | None, data: str = "") -> FeatureNetwork:
    """The network of this name, or the one that belongs to a data set.

    Arguments:
        network: `inception-2015=FILE`, `efficientnet-lite0=FILE` (or the name alone with the file
            in ZEUXIS_EFFICIENTNET), or a classifier that zeuxis trained: a shipped name as
            `mnist/classifier`, or a run folder. None for the data set's own.
        data: The data set's name, to choose by.

    Raises:
        UsageError: There is no such network, or none for these data; the sentence says how to get
            one.
    """
    if network is None:
        own = f"{data}/classifier"
        if own not in shipped():
            raise UsageError(
                f"There is no feature network for '{data}': train one (zeuxis train "
                f"classifier --data {data}) and give its run folder "
                "with --network, or give --network efficientnet-lite0=FILE."
            )
        network = own
    name, _, place = network.partition("=")
    if name == "inception-2015":
        return frozen(name, inception.load_inception(file_of(name, place)), inception.NORMALIZED)
    if name == "efficientnet-lite0":
        return frozen(
            name,
            efficientnet.load_efficientnet(
                file_of(name, place or os.environ.get("ZEUXIS_EFFICIENTNET", ""))
            ),
            efficientnet.NORMALIZED,
        )
    model = load(network, device=fastest())
    if not hasattr(model, "features_and_logits"):
        raise UsageError(
            f"'{network}' is a {model.name} and no classifier: give a run of zeuxis "
            "train classifier."
        )
    digest = weights_hash(model)
    if model.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward: Forward = model.features_and_logits  # type: ignore[assignment]
    return FeatureNetwork(network, digest, forward, model.spec.shape[0])


def frozen(name: str, module: nn.Module, normalized: Pairs) -> FeatureNetwork:
    """A loaded network for RGB images as a feature network, made faster without changing what it
    computes."""
    digest = weights_hash(module)  # of the weights as they are in the file
    device = fastest()
    folded(module.eval().requires_grad_(False), normalized).to(
        device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    return FeatureNetwork(name, digest, lambda x: module(x.to(device)), 3, 50)


def folded(module: nn.Module, normalized: Pairs) -> nn.Module:
    """Writes each normalization into the convolution before it, in place: a third faster on a CPU,
    equal to rounding.

    Arguments:
        module: A network in eval mode.
        normalized: Names of attributes (convolution, its normalization), looked for in every part
            of the network.
    """
    for part in list(module.modules()):
        for conv, norm in normalized:
            if isinstance(getattr(part, norm, None), nn.BatchNorm2d) and hasattr(part, conv):
                setattr(part, conv, fuse_conv_bn_eval(getattr(part, conv), getattr(part, norm)))
                setattr(part, norm, nn.Identity())
    return module


def fastest() -> str:
    """Where networks run: a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def file_of(name: str, place: str) -> Path:
    """The weight file that the user gave."""
    if not place:
        raise UsageError(
            f"The network '{name}' needs its weight file: give it as --network {name}=FILE."
        )
    return Path(place)
