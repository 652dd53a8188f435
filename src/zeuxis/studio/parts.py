"""Parts that all tabs share: uploads with limits, sentences in the page, and "the same as a
command"."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.images import decode, pixels_of
from ..data.reading import contents
from ..errors import DataError, UsageError, ZeuxisError
from ..visual.grid import enlarged

MOST_BYTES = 20_000_000  # of an upload
MOST_PIXELS = 16_000_000
SIDE = 320  # pixels, of an image on the page
PNG: dict[str, Any] = {"format": "png", "buttons": ["download", "fullscreen"]}


def upload(label: str, elem_id: str) -> gr.Image:
    """An image that is uploaded or pasted, as the path of its file, which `opened` decodes.

    Gradio would decode it before any limit is checked; a class of our own would make Gradio write a
    file beside this one.
    """
    part = gr.Image(
        label=label,
        elem_id=elem_id,
        type="filepath",
        sources=["upload", "clipboard"],
        height=220,
    )
    # The path as uploaded: `opened` decodes it, within its limits.
    part.preprocess = uploaded_path  # type: ignore[method-assign]
    return part


def uploaded_path(payload: Any) -> str | None:
    """Where an upload lies, None without one."""
    return None if payload is None else payload.path


def sentences(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose errors for users appear as one sentence in the page."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        try:
            return function(*args)
        except ZeuxisError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from error

    return wrapper


def opened(path: str | None, size: int | None = None, channels: int | None = None) -> Tensor:
    """An uploaded image, uint8 (C, H, W).

    Raises:
        UsageError: There is none.
        DataError: It is too large, damaged, or no image.
    """
    if not path:
        raise UsageError("There is no image yet: upload or paste one, or take one of the data set.")
    name = f"'{Path(path).name[:60]}'"
    try:
        if Path(path).stat().st_size > MOST_BYTES:
            raise DataError(f"The image {name} is larger than 20 MB: make it smaller.")
        data = contents(path)
    except OSError as error:
        raise DataError(f"The image {name} cannot be read: upload it again.") from error
    if pixels_of(data) > MOST_PIXELS:
        raise DataError(f"The image {name} has more than 16 million pixels: make it smaller.")
    return torch.from_numpy(decode(data, name, size, channels).copy())


def shown(x: Tensor, side: int = SIDE) -> Image.Image:
    """One image for the page, enlarged by a whole factor."""
    return enlarged(x, side)


def mask_of(painted: Any, shape: tuple[int, ...]) -> Tensor:
    """Which pixels stay visible, (height, width): those that no brush touched.

    Arguments:
        painted: What the image editor sends, at a multiple of the image's size.
        shape: Height and width of the image.
    """
    hidden = torch.zeros(shape, dtype=torch.bool)
    for layer in (painted or {}).get("layers", []):
        x = np.asarray(layer)
        alpha = Image.fromarray((x[..., -1] > 64).astype(np.uint8) * 255)
        small = alpha.resize((shape[1], shape[0]), Image.Resampling.BOX)
        hidden |= torch.from_numpy(np.asarray(small).copy()) > 127
    if not hidden.any():
        raise UsageError("Nothing is hidden yet: paint over a part of the image first.")
    return ~hidden


def command(*words: str) -> str:
    """A command line, quoted for a shell."""
    return shlex.join(["zeuxis", *words])


def same_as(tab: str) -> tuple[gr.Code, gr.Code]:
    """The link "the same as a command" of a tab."""
    with gr.Accordion("The same as a command", open=False, elem_id=f"{tab}-same"):
        line = gr.Code(language="shell", label="Command line", elem_id=f"{tab}-command")
        lines = gr.Code(language="python", label="Python", elem_id=f"{tab}-python")
    return line, lines


def python(*lines: str) -> str:
    """Lines of Python after the import."""
    return "\n".join(["import zeuxis", "", *lines])
