"""The models that the studio shows: those that ship, and the runs of one folder.

A name that comes from the page is looked up here, so it cannot name a place outside that folder.
"""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..applications.directions import DIRECTIONS_FILE
from ..capabilities import has
from ..checkpoints.run_folder import Run
from ..checkpoints.weights import load, shipped
from ..errors import UsageError, ZeuxisError
from ..registry import model_class

FILMS = ("film.webp", "policy.webp", "visited.webp")
SHOWN = 12  # settings of a run on its card


@dataclass(frozen=True)
class Catalog:
    """Shipped models and the runs below a folder.

    Arguments:
        folder: The folder of run folders.
    """

    folder: Path

    def places(self) -> dict[str, Path]:
        """Every model and policy by its name on the page."""
        runs = {
            path.parent.name: path.parent
            for path in sorted(self.folder.glob("*/config.json"))
            if not path.parent.is_symlink()
        }
        return shipped() | runs

    def place(self, name: Any) -> Path:
        """The folder of a name from the page."""
        known = self.places()
        if not isinstance(name, str) or name not in known:
            raise UsageError(f"There is no model '{str(name)[:80]}' here: choose one of the list.")
        return known[name]

    def argument(self, name: str) -> str:
        """What the command line calls a model."""
        return name if name in shipped() else str(self.place(name))

    def about(self, name: str) -> dict[str, Any]:
        """What a model's config.json says, empty where it is damaged."""
        try:
            return Run(self.place(name)).read_json("config.json")
        except ZeuxisError:
            return {}

    def models(self, *capabilities: type) -> list[str]:
        """Names of the models of images that have all of these capabilities."""
        return [name for name in self.places() if able(self.about(name), capabilities)]

    def policies(self) -> list[str]:
        """Names of the policies."""
        return [name for name in self.places() if "algorithm" in self.about(name)]

    def with_directions(self) -> list[str]:
        """Names of the models whose attributes were measured."""
        return [n for n in self.models() if (self.place(n) / DIRECTIONS_FILE).is_file()]

    def unfinished(self) -> list[str]:
        """Names of the runs that can go on."""
        found = []
        for name, place in self.places().items():
            training = self.about(name).get("training")
            if name in shipped() or not isinstance(training, dict):
                continue
            if Run(place).saved_images() < int(training.get("images") or 0):
                found.append(name)
        return found

    def load(self, name: Any) -> Any:
        """A model, from memory if it was used lately."""
        place = self.place(name)
        weights = max((p.stat().st_mtime for p in place.glob("*.safetensors")), default=0.0)
        return kept(str(place), weights)

    def film(self, name: str) -> Path | None:
        """The film of a run."""
        place = self.place(name)
        return next((place / f for f in FILMS if (place / f).is_file()), None)

    def picture(self, name: str, *files: str) -> Path | None:
        """The first of these pictures that a run has."""
        place = self.place(name)
        return next((place / f for f in files if (place / f).is_file()), None)

    def card(self, name: str) -> str:
        """What is known of a model, as Markdown."""
        about = self.about(name)
        if "algorithm" in about:
            lines = [f"**{about['algorithm']}**, a policy for {about.get('env', 'its task')}."]
        else:
            spec = about.get("spec", {})
            shape = " x ".join(map(str, spec.get("shape", [])))
            lines = [f"**{about.get('model', 'unknown')}**, {spec.get('name', '')} ({shape})."]
            with contextlib.suppress(ZeuxisError):
                lines.append(model_class(str(about.get("model"))).paper)
        rows = []
        reports = Run(self.place(name)).metrics()
        for key, value in [*about.get("config", {}).items()][:SHOWN]:
            rows.append(f"| {key} | {json.dumps(value)[:60]} |")
        for key, value in (reports[-1] if reports else {}).items():
            rows.append(f"| last {key} | {value:.4g} |" if isinstance(value, float) else
                        f"| last {key} | {value} |")  # fmt: skip
        table = ["", "| setting | value |", "| --- | --- |", *rows] if rows else []
        return "\n\n".join(filter(None, lines)) + "\n".join(table)


@functools.lru_cache(maxsize=4)
def kept(place: str, changed: float) -> Any:
    """A loaded model; four stay in memory."""
    return load(place)


def able(about: dict[str, Any], capabilities: tuple[type, ...]) -> bool:
    """Whether a config.json is that of a model of images with these capabilities."""
    shape = about.get("spec", {}).get("shape", [])
    if "model" not in about or len(shape) != 3:
        return False
    try:
        kind = model_class(str(about["model"]), "")
    except ZeuxisError:
        return False
    return all(has(kind, capability) for capability in capabilities)
