"""The model card: README.md of a run folder, for someone who gets the folder alone."""

from __future__ import annotations

import json

from ..checkpoints.run_folder import Run
from ..progress import clock
from ..registry import model_class
from ..training.loop import Result

PICTURES = ("samples/final.png", "film.webp")
HIDDEN = ("images/s", "seconds", "step", "memory", "film seconds")
"""Figures of the machine and not of the model."""


def card(run: Run, result: Result) -> str:
    """The text of README.md."""
    about = run.read_config()
    weights = sum(p.numel() for p in result.model.parameters())
    settings = {key: about[key] for key in ("config", "training", "data") if key in about}
    shown = {name: value for name, value in result.figures.items() if name not in HIDDEN}
    figures = "\n".join(f"| {name} | {value:.5g} |" for name, value in shown.items())
    pictures = "\n".join(f"![]({name})" for name in PICTURES if run.path(name).exists())
    time = clock(result.seconds)
    version = about.get("zeuxis", "of an unknown version")
    return f"""# {about["model"]} on {about["spec"]["name"]}

{model_class(about["model"]).paper}

{pictures}

{weights:,} weights, trained on {result.images:,} images in {time} with zeuxis
{version}.

```python
import zeuxis

model = zeuxis.load("{run.folder.name}")
```

| last figures | |
| --- | --- |
{figures}

Settings:

```json
{json.dumps(settings, indent=2)}
```

The data's own license and limits hold for what was learned from them. No file of this folder is a
pickle.
"""
