"""Surprise and compression: the bits of each pixel, and images as a .zx file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ..applications.surprisal import surprisal, surprisal_sheet
from ..capabilities import CanAutoregress
from ..compression.codec import compress, decompress
from ..compression.image_sources import ImageFiles
from ..errors import UsageError
from ..model import require
from ..visual.grid import grid, save, to_image
from .catalog import Catalog
from .parts import PNG, command, opened, python, same_as, sentences, upload
from .restore_tab import example


def coded(catalog: Catalog, name: str, path: str | None, number: float) -> Tensor:
    """The image in the model's size and number of levels, (C, H, W)."""
    model = require(catalog.load(name), CanAutoregress, "compute the bits of each pixel")
    shape = model.spec.shape
    x = opened(path, shape[-1], shape[0]) if path else example(catalog, name, int(number))
    if model.levels == 2:
        x = (x >= 128).to(torch.uint8) * 255
    return x


def zipped(catalog: Catalog, name: str, x: Tensor) -> tuple[str, Tensor, Path]:
    """Bytes of an image as a .zx file next to other formats, the image decoded from that file, and
    the file."""
    model, folder = catalog.load(name), Path(tempfile.mkdtemp(prefix="zeuxis-"))
    picture, file = folder / "image.png", folder / "image.zx"
    save(to_image(x), picture)
    report = compress(
        model, ImageFiles([str(picture)]), file, source=catalog.argument(name), compare=True
    )
    [(_, back)] = list(decompress(file, model))
    rows = [f"| .zx, the file | {file.stat().st_size:,} |"]
    rows.append(f"| .zx, the pixels alone | {report.ideal:,.1f} |")
    rows += [f"| {kind} | {size:,} |" for kind, size in report.baselines.items()]
    equal = "equal to the last pixel" if torch.equal(back, x) else "NOT equal"
    table = "\n".join(["| format | bytes |", "| --- | ---: |", *rows])
    return f"{table}\n\nDecompressed and compared: {equal}.", back, file


def surprise_tab(catalog: Catalog) -> None:
    """Builds the tab."""
    names = catalog.models(CanAutoregress)
    gr.Markdown("What a model finds surprising costs bits, so a good model is a good compressor.")
    if not names:
        gr.Markdown("There is no autoregressive model here.")
        return
    first = "mnist/pixelcnn" if "mnist/pixelcnn" in names else names[0]
    with gr.Row():
        with gr.Column(min_width=260):
            name = gr.Dropdown(names, value=first, label="Model", elem_id="surprise-name")
            mine = upload("Your image", "surprise-upload")
            number = gr.Slider(
                0, 999, 7, step=1, label="Or image of the data set", elem_id="surprise-number"
            )
            look = gr.Button("Show surprise", variant="primary", elem_id="surprise-go")
            press = gr.Button("Compress and decompress", elem_id="surprise-zip")
        heat = gr.Image(
            label="Bits of each pixel", interactive=False, elem_id="surprise-heat", **PNG
        )
    with gr.Row():
        sizes = gr.Markdown(elem_id="surprise-sizes")
        back = gr.Image(label="Decompressed", interactive=False, elem_id="surprise-back", **PNG)
        file = gr.File(label="The .zx file", interactive=False)
    line, lines = same_as("surprise")

    @sentences
    def bits(one: str, path: str, i: float) -> tuple[Any, str, str]:
        x, model = coded(catalog, one, path, i), catalog.load(one)
        if model.conditional:
            raise UsageError("This model needs a class: use zeuxis surprisal with --label.")
        argument = catalog.argument(one)
        code = python(
            "from zeuxis.applications.surprisal import surprisal",
            f"model = zeuxis.load({argument!r})",
            "bits = surprisal(model, x)  # x: uint8 (n, channels, height, width)",
        )
        sheet = surprisal_sheet(x[None], surprisal(model, x[None]))
        return sheet, command("surprisal", argument, "image.png"), code

    @sentences
    def pack(one: str, path: str, i: float) -> tuple[Any, ...]:
        table, x, zx = zipped(catalog, one, coded(catalog, one, path, i))
        argument = catalog.argument(one)
        words = ("compress", argument, "image.png", "-o", "image.zx", "--compare")
        code = python(
            "from zeuxis.compression.codec import compress, decompress",
            "from zeuxis.compression.image_sources import ImageFiles",
            f"model = zeuxis.load({argument!r})",
            "compress(model, ImageFiles(['image.png']), 'image.zx')",
            "images = list(decompress('image.zx', model))",
        )
        return table, grid(x[None], 1, smallest=240).convert("RGB"), str(zx), command(*words), code

    source = [name, mine, number]
    look.click(bits, source, [heat, line, lines], api_visibility="private")
    press.click(pack, source, [sizes, back, file, line, lines], api_visibility="private")
