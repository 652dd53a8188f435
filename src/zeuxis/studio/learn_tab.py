"""Learn: a training started, watched, stopped and resumed."""

from __future__ import annotations

import math
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd
from PIL import Image

from ..data.built_in import BUILT_IN as SETS
from ..data.built_in import MADE, SHIPPED, local_folder
from ..data.scan import ENDINGS
from ..errors import UsageError
from ..recipes import recipes
from ..registry import models
from .catalog import Catalog
from .parts import MOST_BYTES, PNG, opened, python, same_as, sentences
from .processes import Training

EVERY = 2.0  # seconds
MOST_FILES, MOST_FOLDER = 5_000, 500_000_000  # files and bytes of an uploaded folder
HIDDEN = ("images", "steps", "step", "seconds", "images/s", "memory", "film seconds")


def data_sets() -> list[str]:
    """The data sets that need no download."""
    return [name for name in SETS if local_folder(name) or (SHIPPED / name).is_dir()] + [*MADE]


def learn_tab(catalog: Catalog) -> None:
    """Builds the tab."""
    training, uploads = Training(catalog.folder), catalog.folder / "uploads"
    names = sorted({recipe.model for recipe in recipes().values()} & set(models()))
    gr.Markdown(
        "One training at a time, in a process of its own: you may close this page and come back."
    )
    with gr.Row():
        with gr.Column(min_width=260):
            model = gr.Dropdown(names, value="dcgan", label="Model", elem_id="learn-model")
            data = gr.Dropdown(data_sets(), value="mnist", label="Data set", elem_id="learn-data")
            folder = gr.File(
                label="Or a folder of your images", file_count="directory", elem_id="learn-folder",
                height=140,
            )  # fmt: skip
            minutes = gr.Slider(0.1, 240, 3, step=0.1, label="Minutes", elem_id="learn-minutes")
            with gr.Row():
                start = gr.Button("Start", variant="primary", elem_id="learn-start")
                stop = gr.Button("Stop and save", elem_id="learn-stop")
            run = gr.Dropdown(
                catalog.unfinished(), label="Unfinished run", elem_id="learn-run", value=None
            )
            resume = gr.Button("Resume", elem_id="learn-resume")
        with gr.Column(min_width=300):
            status = gr.Markdown(elem_id="learn-status")
            frame = gr.Image(
                label="The film so far", interactive=False, elem_id="learn-frame", **PNG
            )
            losses = gr.LinePlot(
                x="images", y="value", color="figure", title="Losses", elem_id="learn-losses"
            )
    line, lines = same_as("learn")
    clock = gr.Timer(EVERY)
    shown = [status, frame, losses]

    @sentences
    def begin(one: str, source: str, given: list[str], length: float) -> tuple[Any, ...]:
        if one not in names or source not in data_sets():
            raise UsageError("Choose a model and a data set of the lists.")
        place = source if not given else str(kept(given, uploads))
        words = [one, "--data", place, "--minutes", f"{length:g}"]
        training.start(*words, "--out", str(catalog.folder), "--training.save-minutes", "0.5")
        code = python(
            f"result = zeuxis.train({one!r}, {place!r}, minutes={length:g})",
            "print(result.run)",
        )
        return "zeuxis train " + " ".join(words), code, *watch(training)

    @sentences
    def go_on(name: str) -> tuple[Any, ...]:
        if not name:
            raise UsageError("Choose an unfinished run first.")
        place = str(catalog.place(name))
        training.start("--resume", place)
        code = python(f"zeuxis.resume({place!r})")
        return f"zeuxis train --resume {place}", code, *watch(training)

    @sentences
    def end() -> tuple[Any, ...]:
        training.stop()
        return watch(training)

    start.click(
        begin, [model, data, folder, minutes], [line, lines, *shown], api_visibility="private"
    )
    stop.click(end, None, shown, api_visibility="private")
    resume.click(go_on, run, [line, lines, *shown], api_visibility="private")
    clock.tick(
        lambda: watch(training), None, shown, show_progress="hidden", api_visibility="private"
    )
    run.focus(lambda: gr.update(choices=catalog.unfinished()), None, run, api_visibility="private")


def watch(training: Training) -> tuple[str, Any, Any]:
    """Status, newest frame and losses of the training."""
    run, running = training.run(), training.running()
    if run is None:
        said = training.said().strip().splitlines()[-1:] or [""]
        text = "**Starting.** " if running else "No training runs. "
        return text + plain(said[0].removeprefix("zeuxis: ")), None, None
    reports, frames = run.metrics(), run.frames()
    seen = int(reports[-1].get("images", reports[-1].get("steps", 0))) if reports else 0
    state = "Running" if running else "Ended"
    text = f"**{state}**: {plain(run.folder.name)}, {seen:,} images seen, {len(frames)} frames."
    return text, newest(frames[-1][1]) if frames else None, table(reports)


def plain(text: str) -> str:
    """A line of a log as Markdown that means only itself."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text[:300])


def newest(path: Path) -> Image.Image:
    """A frame, read whole, since the training may replace its file."""
    with Image.open(path, formats=["PNG"]) as picture:
        return picture.convert("RGB")


def table(reports: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Losses in the form that the plot takes: a row for each figure and report."""
    rows = [
        {"images": report.get("images", report.get("steps", 0)), "figure": name, "value": value}
        for report in reports
        for name, value in report.items()
        if name not in HIDDEN and isinstance(value, int | float) and math.isfinite(value)
    ]
    return pd.DataFrame(rows, columns=["images", "figure", "value"])


def kept(paths: Sequence[str], root: Path) -> Path:
    """Copies the images of an uploaded folder to the folder of runs; each is decoded once.

    Raises:
        UsageError: There are none, or too many.
        DataError: One is no image.
    """
    images = [Path(path) for path in paths if path.lower().endswith(ENDINGS)]
    size = sum(path.stat().st_size for path in images)
    if not images or len(images) > MOST_FILES or size > MOST_FOLDER:
        raise UsageError(
            f"The folder holds {len(images):,} images of {size / 1e6:,.0f} MB: give 1 to "
            f"{MOST_FILES:,} images of at most {MOST_BYTES / 1e6:.0f} MB each and 500 MB in all."
        )
    for path in images:
        opened(str(path))
    place = root / secrets.token_hex(4)
    place.mkdir(parents=True)
    for i, path in enumerate(images):
        shutil.copyfile(path, place / f"{i:05}{path.suffix.lower()}")
    return place
