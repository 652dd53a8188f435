"""Human test: makes a study, opens its page, and reports."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..applications.human_test.protocol import MODES
from ..applications.human_test.report import (
    gallery,
    people_of,
    report,
    text_of,
)
from ..applications.human_test.report import (
    sentences as lines_of,
)
from ..applications.human_test.store import Store
from ..capabilities import CanSample
from ..errors import UsageError
from .catalog import Catalog
from .parts import PNG, command, python, same_as, sentences
from .processes import TestProcess

FOLDER = "studies"


def human_tab(catalog: Catalog, server: TestProcess) -> None:
    """Builds the tab."""
    names, folder = catalog.models(CanSample), catalog.folder / FOLDER

    def studies() -> list[str]:
        return sorted(path.name for path in folder.glob("*.sqlite"))

    gr.Markdown(
        "Can people tell a model's images from real ones? The test opens as a page of its own, "
        "which learns the truth after the answer."
    )
    with gr.Row():
        with gr.Column(min_width=260):
            name = gr.Dropdown(names, value=names[0], label="Model", elem_id="human-name")
            mode = gr.Radio(list(MODES), value="untimed", label="Mode", elem_id="human-mode")
            n = gr.Slider(10, 200, 100, step=10, label="Images a person", elem_id="human-n")
            pool = gr.Slider(
                100, 5000, 5000, step=100, label="Generated images in all", elem_id="human-pool"
            )
            make = gr.Button("Make a study and open it", variant="primary", elem_id="human-make")
            study = gr.Dropdown(studies(), value=None, label="Study", elem_id="human-study")
            again = gr.Button("Open this study", elem_id="human-open")
            show = gr.Button("Report", elem_id="human-report")
        with gr.Column(min_width=300):
            link = gr.Markdown(elem_id="human-link")
            text = gr.Markdown(elem_id="human-figures")
            pictures = gr.Image(label="Most and least convincing", interactive=False, **PNG)
    line, lines = same_as("human")
    outputs = [link, study, line, lines]

    def serve(words: list[str], chosen: str) -> tuple[Any, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        address = server.start(words, folder / "server.log")
        code = python(
            "from zeuxis.applications.human_test.report import report",
            "from zeuxis.applications.human_test.store import Store",
            f"figures = report(Store({str(folder / chosen)!r}))",
        )
        open_it = f"### [Open the test]({address})\nIt runs until the studio ends."
        return (
            open_it,
            gr.update(choices=studies(), value=chosen),
            command("human", "serve", *words),
            code,
        )

    @sentences
    def new(one: str, how: str, images: float, size: float) -> tuple[Any, ...]:
        if how not in MODES:
            raise UsageError("Choose one of the modes.")
        number = len(studies())
        while (folder / f"{number:03}-{how}.sqlite").exists():
            number += 1
        chosen = f"{number:03}-{how}.sqlite"
        words = [catalog.argument(one), "--mode", how, "--n", str(int(images))]
        words += ["--pool", str(max(int(size), int(images))), "--out", str(folder / chosen)]
        return serve(words, chosen)

    def file_of(chosen: str) -> str:
        if chosen not in studies():
            raise UsageError("Choose a study first, or make one.")
        return str(folder / chosen)

    @sentences
    def reopen(chosen: str) -> tuple[Any, ...]:
        return serve([file_of(chosen)], chosen)

    @sentences
    def figures(chosen: str) -> tuple[Any, ...]:
        store = Store(file_of(chosen))
        found = report(store)
        words = ("human", "report", file_of(chosen))
        return markdown(found), gallery(store, people_of(store)), command(*words)

    make.click(new, [name, mode, n, pool], outputs, api_visibility="private")
    again.click(reopen, study, outputs, api_visibility="private")
    show.click(figures, study, [text, pictures, line], api_visibility="private")


def markdown(found: dict[str, Any]) -> str:
    """The figures of a report as a table."""
    groups = {name: group for name, group in found["groups"].items() if group["people"]}
    names = list(dict.fromkeys(name for group in groups.values() for name in group))[1:]
    head = [f"{name} ({group['people']})" for name, group in groups.items()]
    rows = [f"| {found['score']} | {' | '.join(head)} |", "| --- |" + " ---: |" * len(head)]
    for name in names:
        cells = [text_of(name, group.get(name)) for group in groups.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n\n" + "\n\n".join(lines_of(found))
