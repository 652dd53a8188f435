"""Pictures of predictions: the seen part of an image, several completions, and the image itself."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ..capabilities import CanComplete, HasConditionalELBO
from ..data.masks import for_images
from ..model import Model, require
from .reconstruct import panel_sheet

HIDDEN = 96  # gray level of pixels that are not shown


def prediction_sheet(
    model: Model,
    x: UInt8[Tensor, "n channels height width"],
    completions: int = 8,
    generator: torch.Generator | None = None,
) -> Image.Image:
    """A row for each image: its seen part, completions of it, and the image.

    Arguments:
        model: A model that predicts hidden pixels given seen ones.
        x: Whole images; the model sees their visible part only.
        completions: Completions of each image.
        generator: Source of randomness.

    Example:
        >>> from zeuxis.vae.cvae import CVAE
        >>> model = CVAE(*CVAE.tiny()).eval()
        >>> prediction_sheet(model, torch.zeros(2, 1, 28, 28, dtype=torch.uint8), 3).width > 500
        True
    """
    visible = require(model, HasConditionalELBO, "predict hidden pixels").visible
    shown = for_images(visible, x)
    part = torch.where(shown, x, 0)
    completer = require(model, CanComplete, "fill in")
    completed = completer.complete(part, visible, completions, generator=generator).cpu()
    return panel_sheet(
        [
            ("seen", torch.where(shown, x, HIDDEN).byte()[:, None]),
            ("completions", completed.transpose(0, 1)),
            ("image", x[:, None]),
        ]
    )
