"""The model card: what a run folder tells someone who gets it without the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..checkpoints.run_folder import Run
from ..progress import clock
from ..registry import model_class

if TYPE_CHECKING:
    from ..training.loop import Result


def card(run: Run, result: Result) -> str:
    """README.md of a run folder."""
    about = run.read_config()
    kind = model_class(about["model"])
    weights = sum(p.numel() for p in result.model.parameters())
    shown = {
        k: v
        for k, v in result.figures.items()
        if k not in ("images/s", "seconds", "step", "memory", "film seconds")
    }
    made_by = about.get("zeuxis", "of an unknown version")
    figures = "\n".join(f"| {name} | {value:.5g} |" for name, value in shown.items())
    pictures = [
        f"![]({name})" for name in ("samples/final.png", "film.webp") if run.path(name).exists()
    ]
    return f"""# {about["model"]} on {about["spec"]["name"]}

{kind.paper}

{chr(10).join(pictures)}

{weights:,} weights, trained on {result.images:,} images in {clock(result.seconds)} with zeuxis {made_by}.

```python
import zeuxis

model = zeuxis.load("{run.folder.name}")
```

| last figures | |
| --- | --- |
{figures}

Settings:

```json
{json.dumps({k: about[k] for k in ("config", "training", "data") if k in about}, indent=2)}
```

The data's own license and limits hold for what was learned from them. No file of this folder is a pickle.
"""
