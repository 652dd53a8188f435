"""Policies: films of policies in their tasks, and maps of the states that they visited."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import UsageError, ZeuxisError
from .catalog import Catalog
from .parts import PNG, command, python, same_as, sentences

LONGEST = 180.0  # seconds that a film may take


def policies_tab(catalog: Catalog) -> None:
    """Builds the tab."""
    names = catalog.policies()
    gr.Markdown("Films of policies, and the states that an explorer visited.")
    with gr.Row():
        with gr.Column(min_width=260):
            name = gr.Dropdown(
                names, value=names[0] if names else None, label="Policy", elem_id="policies-name"
            )
            seed = gr.Slider(0, 100, 0, step=1, label="Seed of the episode")
            play = gr.Button("Film it", variant="primary", elem_id="policies-play")
            card = gr.Markdown(
                catalog.card(names[0]) if names else
                "No run here is a policy: `zeuxis train trpo --env CartPole-v1` trains one."
            )  # fmt: skip
        film = gr.Image(label="Film", interactive=False, elem_id="policies-film")
        visited = gr.Image(
            label="Visited states", interactive=False, elem_id="policies-visited", **PNG
        )
    line, lines = same_as("policies")

    @sentences
    def describe(one: str) -> tuple[Any, Any, Any]:
        film, places = catalog.film(one), catalog.picture(one, "visited.png")
        return catalog.card(one), film and str(film), places and str(places)

    @sentences
    def act(one: str, number: float) -> tuple[Any, str, str]:
        if not one:
            raise UsageError("There is no policy here yet: train one with zeuxis train trpo.")
        argument = catalog.argument(one)
        words = ["play", argument, "--seed", str(int(number))]
        code = python("from zeuxis.rl import load_policy", f"policy = load_policy({argument!r})")
        return str(filmed(words)), command(*words), code

    name.change(describe, name, [card, film, visited], api_visibility="private")
    play.click(act, [name, seed], [film, line, lines], api_visibility="private")


def filmed(words: list[str]) -> Path:
    """The film that `zeuxis play` makes, in a process of its own since it needs OpenGL."""
    path = Path(tempfile.mkdtemp(prefix="zeuxis-")) / "policy.webp"
    done = subprocess.run(
        [sys.executable, "-m", "zeuxis", *words, "--out", str(path)],
        capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    if done.returncode or not path.exists():
        last = done.stderr.strip().splitlines()[-1:] or ["the film could not be made"]
        raise ZeuxisError(last[0].removeprefix("zeuxis: "))
    return path
