"""zeuxis: generative models, faithful, fast and measured.

```python
import zeuxis

model = zeuxis.load("mnist/dcgan")                      # a shipped model, a run folder, or a folder somebody sent
images = model.sample(64)                               # uint8 (64, 1, 28, 28)
print(zeuxis.evaluate(model, zeuxis.load_data("mnist", split="test")))
result = zeuxis.train("dcgan", "mnist", images=200_000)  # a run folder with film and model card
```

Names are loaded when they are first used, so that `zeuxis --help` need not wait for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import Dataset, Spec, check, few_labels, hold_out, load_data
    from .errors import ZeuxisError
    from .estimator import FewLabelClassifier as FewLabelClassifier
    from .evaluation.classification import classify
    from .evaluation.judge import Quality, evaluate
    from .model import Batch, Model, Player, models
    from .training.loop import Result, fit
    from .training.run import Run
    from .training.settings import Training
    from .training.start import resume, train
    from .training.unseen import evaluation_data
    from .training.weights import load, save, shipped

    __version__: str

WHERE = {
    "data": ("Dataset", "Spec", "check", "few_labels", "hold_out", "load_data"),
    "errors": ("ZeuxisError",),
    "estimator": ("FewLabelClassifier",),
    "evaluation.classification": ("classify",),
    "evaluation.judge": ("Quality", "evaluate"),
    "model": ("Batch", "Model", "Player", "models"),
    "training.loop": ("Result", "fit"),
    "training.run": ("Run",),
    "training.settings": ("Training",),
    "training.start": ("resume", "train"),
    "training.unseen": ("evaluation_data",),
    "training.weights": ("load", "save", "shipped"),
}
HOME = {name: module for module, names in WHERE.items() for name in names}

__all__ = [  # without FewLabelClassifier, so that importing everything does not ask for scikit-learn
    "Batch",
    "Dataset",
    "Model",
    "Player",
    "Quality",
    "Result",
    "Run",
    "Spec",
    "Training",
    "ZeuxisError",
    "check",
    "classify",
    "evaluate",
    "evaluation_data",
    "few_labels",
    "fit",
    "hold_out",
    "load",
    "load_data",
    "models",
    "resume",
    "save",
    "shipped",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name not in HOME:
        raise AttributeError(f"module 'zeuxis' has no attribute '{name}'")
    return getattr(import_module(f".{HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
