"""Restore and edit: noise removed, a painted hole filled, an image enlarged or edited."""

from __future__ import annotations

from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ..applications.directions import DIRECTIONS_FILE, load_directions
from ..applications.edit import edit
from ..applications.reconstruct import image_autoencoder
from ..applications.restoration.restore import denoise, inpaint, super_resolve
from ..errors import UsageError
from ..evaluation.features.feature_network import weights_hash
from ..experiments.unseen import evaluation_data
from .catalog import Catalog
from .parts import PNG, command, mask_of, opened, python, same_as, sentences, shown, upload

TASKS = ["denoise", "inpaint", "super-resolve"]
PREFERRED = "mnist/flow-matching"
SAMPLES = 4
LARGEST = 128  # side of an image that is restored here (pixels)


def example(catalog: Catalog, name: str, number: int) -> Tensor:
    """An image of the data set that a model was not trained on, (C, H, W)."""
    data, _ = evaluation_data(str(catalog.place(name)))
    return data.batch(torch.tensor([number % len(data)]))[0][0]


def given(catalog: Catalog, name: str, path: str | None, number: float, noise: float) -> Tensor:
    """The image to restore: an upload in its own size up to 128 pixels, or one of the data set."""
    if path:
        channels = catalog.load(name).spec.shape[0]
        x = opened(path, channels=channels)
        if max(x.shape[1:]) > LARGEST:
            x = opened(path, LARGEST, channels)
    else:
        x = example(catalog, name, int(number))
    generator = torch.Generator().manual_seed(0)
    noisy = x.float() + noise * torch.randn(x.shape, generator=generator)
    return noisy.round().clamp(0, 255).byte()


def restored(
    catalog: Catalog, name: str, task: str, x: Tensor, painted: Any, sigma: float, method: str
) -> Tensor:
    """One image restored by a method."""
    model = catalog.load(name)
    settings: dict[str, Any] = {"n": SAMPLES, "method": method, "seed": 0}
    if task == "denoise":
        return denoise(model, x[None], sigma, **settings).mean[0]
    if task == "super-resolve":
        return super_resolve(model, x[None], 2, **settings).mean[0]
    visible = mask_of(painted, tuple(x.shape[1:]))
    return inpaint(model, x[None], visible, **settings).mean[0]


def restore_tab(catalog: Catalog) -> None:
    """Builds the tab."""
    names = catalog.models()
    first = PREFERRED if PREFERRED in names else names[0]
    gr.Markdown(
        "Upload or paste an image, or take one of the data set; paint over what is to be filled. "
        "What a model fills in is plausible, and no evidence."
    )
    with gr.Row():
        with gr.Column(min_width=260):
            name = gr.Dropdown(names, value=first, label="Model", elem_id="restore-name")
            task = gr.Radio(TASKS, value="inpaint", label="Task", elem_id="restore-task")
            mine = upload("Your image", "restore-upload")
            number = gr.Slider(
                0, 999, 7, step=1, label="Or image of the data set", elem_id="restore-number"
            )
            noise = gr.Slider(
                0, 100, 0, step=5, label="Noise added first (gray levels)", elem_id="restore-noise"
            )
            sigma = gr.Slider(
                1, 100, 50, step=1, label="Noise to remove (gray levels)", elem_id="restore-sigma"
            )
        with gr.Column(min_width=300):
            painted = gr.ImageEditor(
                label="Paint what is hidden", elem_id="restore-paint", sources=[],
                brush=gr.Brush(28, colors=["#ff00ff"], color_mode="fixed"), layers=False,
                transforms=[], height=420,
            )  # fmt: skip
            with gr.Row():
                show = gr.Button("Show the image", elem_id="restore-show")
                box = gr.Button("Hide the middle", elem_id="restore-middle")
            go = gr.Button("Restore", variant="primary", elem_id="restore-go")
    with gr.Row():
        before = gr.Image(label="Given", interactive=False, **PNG)
        after = gr.Image(label="By the model", interactive=False, elem_id="restore-after", **PNG)
        classical = gr.Image(
            label="Without a model", interactive=False, elem_id="restore-classical", **PNG
        )
    line, lines = same_as("restore")
    source = [name, mine, number, noise]

    @sentences
    def canvas(*chosen: Any) -> Any:
        picture = shown(given(catalog, *chosen), 336)
        return {"background": picture, "layers": [], "composite": picture}

    @sentences
    def middle(*chosen: Any) -> Any:
        picture = shown(given(catalog, *chosen), 336).convert("RGBA")
        w, h = picture.size
        layer = picture.copy()
        layer.paste((0, 0, 0, 0), (0, 0, w, h))
        layer.paste((255, 0, 255, 255), (w // 3, h // 3, w - w // 3, h - h // 3))
        both = picture.copy()
        both.alpha_composite(layer)
        return {"background": picture, "layers": [layer], "composite": both}

    @sentences
    def run(one: str, path: str, i: float, added: float, what: str, paint: Any, s: float) -> Any:
        x = given(catalog, one, path, i, added)
        if what not in TASKS:
            raise UsageError("Choose one of the tasks.")
        results = [restored(catalog, one, what, x, paint, s, m) for m in ("auto", "classical")]
        argument = catalog.argument(one)
        words = ["restore", argument, "image.png", "--task", what]
        call = f"zeuxis.denoise(model, x, {s:g})"
        if what == "denoise":
            words += ["--sigma", f"{s:g}"]
        elif what == "inpaint":
            words += ["--mask", "mask.png"]
            call = "zeuxis.inpaint(model, x, visible)"
        else:
            words += ["--factor", "2"]
            call = "zeuxis.super_resolve(model, x, 2)"
        code = python(
            f"model = zeuxis.load({argument!r})",
            f"restored = {call}  # x: uint8 (n, channels, height, width)",
        )
        return shown(x), *(shown(y) for y in results), command(*words), code

    for control in (mine, number, noise, name):
        control.change(canvas, source, painted, api_visibility="private")
    show.click(canvas, source, painted, api_visibility="private")
    box.click(middle, source, painted, api_visibility="private")
    go.click(
        run, [*source, task, painted, sigma], [before, after, classical, line, lines],
        api_visibility="private",
    )  # fmt: skip
    edit_part(catalog)


def edit_part(catalog: Catalog) -> None:
    """Sliders along attributes, for models whose attributes were measured."""
    names = catalog.with_directions()
    gr.Markdown("### Edit\nMove an image along an attribute, such as a smile.")
    if not names:
        gr.Markdown(
            "No run here has measured attributes: `zeuxis attributes RUN --data faces` measures "
            "those of a VAE."
        )
        return
    with gr.Row():
        with gr.Column(min_width=260):
            name = gr.Dropdown(names, value=names[0], label="Model", elem_id="edit-name")
            attribute = gr.Dropdown(
                directions_of(catalog, names[0]).names, label="Attribute", elem_id="edit-attribute"
            )
            steps = gr.Slider(-3, 3, 0, step=0.1, label="Steps", elem_id="edit-steps")
            number = gr.Slider(0, 999, 0, step=1, label="Image of the data set")
            mine = upload("Or your image", "edit-upload")
        after = gr.Image(label="Edited", interactive=False, elem_id="edit-after", **PNG)
    line, lines = same_as("edit")

    @sentences
    def change(one: str, which: str, amount: float, i: float, path: str) -> tuple[Any, str, str]:
        model = image_autoencoder(catalog.load(one), "edit images")
        shape = model.spec.shape
        x = opened(path, shape[-1], shape[0]) if path else example(catalog, one, int(i))
        found = directions_of(catalog, one)
        result = edit(model, x[None], found, {which: float(amount)})
        argument, step = catalog.argument(one), f"{which}={amount:+g}"
        code = python(
            "from zeuxis.applications.edit import edit",
            f"model = zeuxis.load({argument!r})",
            f"edited = edit(model, x, directions, {{{which!r}: {amount:g}}}).edited",
        )
        return (
            shown(result.edited[0]),
            command("edit", argument, "me.png", "--attribute", step),
            code,
        )

    for control in (attribute, steps, number, mine):
        control.change(
            change, [name, attribute, steps, number, mine], [after, line, lines],
            show_progress="hidden", trigger_mode="always_last", api_visibility="private",
        )  # fmt: skip
    name.change(
        sentences(lambda one: gr.update(choices=list(directions_of(catalog, one).names))),
        name, attribute, api_visibility="private",
    )  # fmt: skip


def directions_of(catalog: Catalog, name: str) -> Any:
    """The measured attributes of a model."""
    path = catalog.place(name) / DIRECTIONS_FILE
    return load_directions(path, weights_hash(catalog.load(name)))
