"""A cache on disk for the features of real images, which are the same in every evaluation.

A file is named by the hash of network and pixels, so that it can never serve other images or other
weights. It is written under another name and renamed when whole; one that cannot be read is made
again. The folder can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from pathlib import Path

from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ... import files
from ...data.cache import cache_folder
from .feature_network import FeatureNetwork

WORTH_KEEPING = 1_000  # images; features of fewer are quickly made again


def cached_features(
    network: FeatureNetwork,
    x: UInt8[Tensor, "n channels height width"],
    what: str = "features",
    cache: Path | None = None,
) -> tuple[Tensor, Tensor]:
    """Features (n, d) and logits (n, classes) as `network.features` gives them, from the cache if
    they were made before.

    Arguments:
        network: The feature network.
        x: Images.
        what: The work, for the progress bar.
        cache: The cache's folder, by default ZEUXIS_CACHE, else the user's cache folder.
    """
    if len(x) < WORTH_KEEPING:
        return network.features(x, what)
    path = (cache or cache_folder()) / "features" / f"{key(network, x)}.safetensors"
    if path.exists():
        with contextlib.suppress(OSError, SafetensorError, KeyError):
            tensors = load_file(path)
            if len(tensors["features"]) == len(tensors["logits"]) == len(x):
                return tensors["features"], tensors["logits"]
        print(f"The cached features '{path}' are damaged and are made again.", file=sys.stderr)
    features, logits = network.features(x, what)
    about = {"network": network.name, "hash": network.hash}
    try:
        files.write(
            path,
            lambda partial: save_file({"features": features, "logits": logits}, partial, about),
        )
    except files.WriteError as error:
        print(
            (
                f"Features could not be kept in '{path.parent}' ({error.reason}) and will be "
                "made again next time."
            ),
            file=sys.stderr,
        )
    return features, logits


def key(network: FeatureNetwork, x: UInt8[Tensor, "n channels height width"]) -> str:
    """The first 24 digits of the SHA-256 of network and pixels.

    Example:
        >>> import torch
        >>> network = FeatureNetwork(
        ...     "mean", "0" * 12, lambda x: (x.float().mean((2, 3)), x.float().mean((2, 3))), 1
        ... )
        >>> a, b = (
        ...     torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
        ...     torch.ones(2, 1, 4, 4, dtype=torch.uint8),
        ... )
        >>> key(network, a) == key(network, a.clone()), key(network, a) == key(network, b)
        (True, False)
    """
    digest = hashlib.sha256(
        f"{network.name.partition('=')[0]} {network.hash} {tuple(x.shape)} ".encode()
    )
    for part in x.split(1_000):
        digest.update(part.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
