"""Models: cards, samples and films, two side by side."""

from __future__ import annotations

from typing import Any

import gradio as gr
import torch

from ..capabilities import CanSample
from ..model import require
from ..visual.grid import grid
from .catalog import Catalog
from .parts import PNG, command, python, same_as, sentences

SAMPLES = 36


def models_tab(catalog: Catalog) -> None:
    """Builds the tab."""
    names = catalog.models(CanSample) + catalog.policies()
    gr.Markdown("Look at one model, or at two side by side.")
    with gr.Row():
        sides = [side(catalog, names, i) for i in range(2)]
    line, lines = same_as("models")
    with gr.Row():
        seed = gr.Slider(0, 100, 0, step=1, label="Seed of the samples", elem_id="models-seed")
        draw = gr.Button("Draw samples", variant="primary", elem_id="models-draw")
    inputs = [name for name, *_ in sides] + [seed]

    @sentences
    def samples(first: str, second: str, number: float) -> tuple[Any, ...]:
        pictures = [sampled(catalog, name, int(number)) for name in (first, second)]
        argument = catalog.argument(first)
        return (
            *pictures,
            command("sample", argument, "--n", str(SAMPLES), "--seed", str(int(number))),
            python(
                f"model = zeuxis.load({argument!r})",
                f"images = model.sample({SAMPLES}, seed={int(number)})",
            ),
        )

    outputs = [picture for _, _, _, picture in sides] + [line, lines]
    draw.click(samples, inputs, outputs, api_visibility="private")
    for name, card, film, _ in sides:
        name.change(
            sentences(lambda chosen: describe(catalog, chosen)),
            name,
            [card, film],
            api_visibility="private",
        )


def side(catalog: Catalog, names: list[str], i: int) -> tuple[Any, ...]:
    """One of the two columns."""
    first = ("mnist/dcgan", "mnist/vae")[i]
    chosen = first if first in names else names[min(i, len(names) - 1)]
    made = catalog.picture(chosen, "samples/final.png", "samples.png")
    with gr.Column(min_width=280):
        name = gr.Dropdown(names, value=chosen, label=f"Model {i + 1}", elem_id=f"models-name-{i}")
        picture = gr.Image(
            str(made) if made else None, label="Samples", interactive=False,
            elem_id=f"models-samples-{i}",
            **PNG,
        )  # fmt: skip
        card = gr.Markdown(catalog.card(chosen))
        film = gr.Image(
            describe(catalog, chosen)[1], label="Film of the training", interactive=False
        )
    return name, card, film, picture


def sampled(catalog: Catalog, name: str, seed: int) -> Any:
    """A sheet of samples; for a policy what its run pictured."""
    if name in catalog.policies():
        return catalog.picture(name, "policy.webp", "visited.png")
    model = require(catalog.load(name), CanSample, "draw samples")
    x = model.sample(SAMPLES, generator=torch.Generator().manual_seed(seed)).cpu()
    return grid(x, smallest=320).convert("RGB")


def describe(catalog: Catalog, name: str) -> tuple[str, Any]:
    """Card and film of a model."""
    film = catalog.film(name)
    return catalog.card(name), str(film) if film else None
