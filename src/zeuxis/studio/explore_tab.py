"""Explore: codes as sliders, the way between two samples, and arithmetic on latents."""

from __future__ import annotations

from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ..applications.directions import DIRECTIONS_FILE, load_directions
from ..applications.interpolate import combine, great_circle, has_normal_prior, neighbors
from ..applications.traverse import code_range
from ..capabilities import CanDecode, HasCodes
from ..errors import UsageError
from ..evaluation.features.feature_network import weights_hash
from ..model import require
from ..visual.grid import grid, numbered
from .catalog import Catalog
from .parts import PNG, command, python, same_as, sentences

SLIDERS = 8  # at most
SAMPLES, ON_SHEET = 12, 32


def knobs(catalog: Catalog, name: str) -> list[tuple[str, float, float, float, float]]:
    """Name, least, most, step and first value of each slider: the model's codes, or the directions
    that `zeuxis attributes` found."""
    model = catalog.load(name)
    found: list[tuple[str, float, float, float, float]] = []
    if model.can(HasCodes):
        for code in model.codes()[:SLIDERS]:
            if code.kind == "categorical":
                found.append((code.name, 0, code.size - 1, 1, 0))
            else:
                low, high = code_range(code)
                found.append((code.name, low, high, 0.05, (low + high) / 2))
    elif name in catalog.with_directions():
        directions = load_directions(catalog.place(name) / DIRECTIONS_FILE, weights_hash(model))
        found = [(one, -3.0, 3.0, 0.1, 0.0) for one in directions.names[:SLIDERS]]
    return found


def moved(catalog: Catalog, name: str, seed: int, values: list[float]) -> Tensor:
    """Samples whose codes have the sliders' values, uint8 (n, C, H, W)."""
    model = require(catalog.load(name), CanDecode, "turn codes into images")
    z = model.prior(SAMPLES, generator=torch.Generator().manual_seed(seed))
    if isinstance(model, HasCodes) and model.can(HasCodes):  # type: ignore[attr-defined]
        for code, value in zip(model.codes(), values, strict=False):
            part = z[:, code.start : code.start + code.size]
            if code.kind == "categorical":
                part.zero_()[:, int(value)] = 1
            else:
                part.fill_(value)
    elif knobs(catalog, name):
        directions = load_directions(catalog.place(name) / DIRECTIONS_FILE)
        z = directions.move(z, dict(zip(directions.names, values, strict=False)))
    return model.decode(z).cpu()


def sheet_latents(catalog: Catalog, name: str, seed: int) -> tuple[Any, Tensor]:
    """A model and the latents of its numbered sheet."""
    model = require(catalog.load(name), CanDecode, "turn codes into images")
    return model, model.prior(ON_SHEET, generator=torch.Generator().manual_seed(seed))


def between(catalog: Catalog, name: str, seed: int, ends: tuple[int, int], t: float) -> Tensor:
    """The image a part t of the way from one sample of the sheet to another, (C, H, W)."""
    model, z = sheet_latents(catalog, name, seed)
    way = great_circle if has_normal_prior(model) else torch.lerp
    return model.decode(way(z[ends[0]], z[ends[1]], t)[None]).cpu()[0]


def picked(text: str) -> list[int]:
    """Numbers of samples, as "3, 17".

    Raises:
        UsageError: One is no number on the sheet.
    """
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() and int(word) < ON_SHEET for word in words[:99]):
        raise UsageError(
            f"'{text[:40]}' names no samples: write numbers from 0 to {ON_SHEET - 1}, as in 3, 17."
        )
    return [int(word) for word in words]


def explore_tab(catalog: Catalog) -> None:
    """Builds the tab."""
    names = catalog.models(CanDecode)
    first = "mnist/infogan" if "mnist/infogan" in names else names[0]
    with gr.Row():
        name = gr.Dropdown(names, value=first, label="Model", elem_id="explore-name")
        seed = gr.Slider(0, 100, 0, step=1, label="Seed", elem_id="explore-seed")
    gr.Markdown("### Codes\nEach slider is one code; everything else stays fixed.")
    with gr.Row():
        with gr.Column(min_width=260):
            sliders = [slider(i, knobs(catalog, first)) for i in range(SLIDERS)]
        picture = gr.Image(
            lambda: sheet(catalog, first, 0, [k[4] for k in knobs(catalog, first)])[0],
            label="Samples", elem_id="explore-picture", interactive=False, **PNG,
        )  # fmt: skip
    line, lines = same_as("explore")
    outputs = [picture, line, lines]
    change = sentences(lambda one, number, *v: sheet(catalog, one, int(number), list(v)))
    for control in [*sliders, seed]:
        control.change(
            change, [name, seed, *sliders], outputs, queue=False, show_progress="hidden",
            trigger_mode="always_last", api_visibility="private",
        )  # fmt: skip

    @sentences
    def choose(chosen: str, number: float) -> list[Any]:
        found = knobs(catalog, chosen)
        updates = [gr.update(**settings(i, found)) for i in range(SLIDERS)]
        return [*updates, *sheet(catalog, chosen, int(number), [k[4] for k in found])]

    name.change(choose, [name, seed], [*sliders, *outputs], api_visibility="private")
    sheet_part(catalog, name, seed)


def settings(i: int, found: list[tuple[str, float, float, float, float]]) -> dict[str, Any]:
    """Of a slider, hidden where the model has fewer codes."""
    if i >= len(found):
        return {"visible": False, "label": "", "minimum": 0, "maximum": 1, "value": 0}
    label, low, high, step, value = found[i]
    return {"visible": True, "label": label, "minimum": low, "maximum": high, "value": value,
            "step": step}  # fmt: skip


def slider(i: int, found: list[tuple[str, float, float, float, float]]) -> gr.Slider:
    return gr.Slider(elem_id=f"explore-code-{i}", **settings(i, found))


def sheet(catalog: Catalog, name: str, seed: int, values: list[float]) -> tuple[Any, str, str]:
    """The picture of moved samples, and how to make it by a command."""
    picture = grid(moved(catalog, name, seed, values), 4, smallest=420).convert("RGB")
    argument, found = catalog.argument(name), knobs(catalog, name)
    model = catalog.load(name)
    if found and model.can(HasCodes):
        words = ("traverse", argument, "--code", found[0][0], "--seed", str(seed))
    else:
        words = ("sample", argument, "--n", str(SAMPLES), "--seed", str(seed))
    code = python(
        "import torch",
        f"model = zeuxis.load({argument!r})",
        f"z = model.prior({SAMPLES}, generator=torch.Generator().manual_seed({seed}))",
        *(
            [
                "for code in model.codes():",
                "    print(code.name, code.start, code.size)",
            ]
            if model.can(HasCodes)
            else []
        ),
        "images = model.decode(z)",
    )
    return picture, command(*words), code


def sheet_part(catalog: Catalog, name: gr.Dropdown, seed: gr.Slider) -> None:
    """The walk between two samples, and arithmetic."""
    gr.Markdown("### Between two samples, and arithmetic\nChoose samples by their numbers.")
    draw = gr.Button("Show numbered samples", elem_id="explore-sheet-draw")
    numbers = gr.Image(label="Samples", interactive=False, elem_id="explore-sheet", **PNG)
    with gr.Row():
        with gr.Column(min_width=260):
            a = gr.Slider(0, ON_SHEET - 1, 0, step=1, label="From sample", elem_id="explore-a")
            b = gr.Slider(0, ON_SHEET - 1, 1, step=1, label="To sample", elem_id="explore-b")
            t = gr.Slider(0, 1, 0.5, step=0.02, label="Part of the way", elem_id="explore-t")
        walk = gr.Image(label="On the way", interactive=False, elem_id="explore-walk", **PNG)
    with gr.Row():
        plus = gr.Textbox("0, 1, 2", label="Mean of samples")
        minus = gr.Textbox("3, 4, 5", label="minus the mean of")
        then = gr.Textbox("6, 7, 8", label="plus the mean of")
    add = gr.Button("Compute", elem_id="explore-add")
    answer = gr.Image(label="Result and neighbors", interactive=False, elem_id="explore-sum", **PNG)
    line, lines = same_as("arithmetic")

    @sentences
    def numbered_sheet(one: str, number: float) -> Any:
        model, z = sheet_latents(catalog, one, int(number))
        return numbered(model.decode(z).cpu())

    @sentences
    def on_the_way(one: str, number: float, start: float, end: float, part: float) -> Any:
        x = between(catalog, one, int(number), (int(start), int(end)), float(part))
        return grid(x[None], 1, smallest=240).convert("RGB")

    @sentences
    def arithmetic(one: str, number: float, p: str, m: str, q: str) -> tuple[Any, str, str]:
        model, z = sheet_latents(catalog, one, int(number))
        chosen = [picked(p), picked(m), picked(q)]
        mean = combine(*(z[i] for i in chosen))
        x = model.decode(neighbors(mean, 9, 0.25, torch.Generator().manual_seed(0))).cpu()
        argument = catalog.argument(one)
        words = ["arithmetic", argument, "--n", str(ON_SHEET), "--seed", str(int(number))]
        for option, part in zip(("--plus", "--minus", "--then"), chosen, strict=True):
            words += [option, *map(str, part)]
        code = python(
            "import torch",
            "from zeuxis.applications.interpolate import combine",
            f"model = zeuxis.load({argument!r})",
            f"z = model.prior({ON_SHEET}, generator=torch.Generator().manual_seed({int(number)}))",
            f"mean = combine(z[{chosen[0]}], z[{chosen[1]}], z[{chosen[2]}])",
            "image = model.decode(mean[None])",
        )
        return grid(x, 3, smallest=240).convert("RGB"), command(*words), code

    draw.click(numbered_sheet, [name, seed], numbers, api_visibility="private")
    for control in (a, b, t):
        control.change(
            on_the_way, [name, seed, a, b, t], walk, queue=False, show_progress="hidden",
            trigger_mode="always_last", api_visibility="private",
        )  # fmt: skip
    add.click(
        arithmetic, [name, seed, plus, minus, then], [answer, line, lines], api_visibility="private"
    )
