"""zeuxis: generative models, faithful, fast and measured.

```python
import zeuxis

model = zeuxis.load("mnist/dcgan")  # a shipped model or a run folder
images = model.sample(64)  # uint8 (64, 1, 28, 28)
print(zeuxis.evaluate(model, zeuxis.load_data("mnist", split="test")))
result = zeuxis.train("dcgan", "mnist", images=200_000)  # a run folder with film and model card
```

Names are loaded when they are first used, so that `zeuxis --help` need not wait for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .applications.feature_transformer import ZeuxisFeatures as ZeuxisFeatures
    from .applications.few_labels import FewLabelClassifier as FewLabelClassifier
    from .applications.pretraining import pretraining
    from .applications.restoration.restore import denoise, inpaint, super_resolve
    from .checkpoints.run_folder import Run
    from .checkpoints.weights import load, save, shipped
    from .data import Dataset, Spec, few_labels, hold_out, load_data
    from .data.check import check
    from .errors import ZeuxisError
    from .evaluation.classification import classify
    from .evaluation.sample_quality import Quality, evaluate
    from .experiments.resume import resume
    from .experiments.train import train
    from .experiments.unseen import evaluation_data
    from .model import Batch, Model, Player
    from .registry import models
    from .training.config import TrainingConfig
    from .training.loop import Result, fit

    __version__: str

WHERE = {
    "data": ("Dataset", "Spec", "check", "few_labels", "hold_out", "load_data"),
    "errors": ("ZeuxisError",),
    "applications.feature_transformer": ("ZeuxisFeatures",),
    "applications.few_labels": ("FewLabelClassifier",),
    "applications.pretraining": ("pretraining",),
    "applications.restoration.restore": ("denoise", "inpaint", "super_resolve"),
    "evaluation.classification": ("classify",),
    "evaluation.sample_quality": ("Quality", "evaluate"),
    "model": ("Batch", "Model", "Player"),
    "registry": ("models",),
    "training.loop": ("Result", "fit"),
    "checkpoints.run_folder": ("Run",),
    "training.config": ("TrainingConfig",),
    "experiments.resume": ("resume",),
    "experiments.train": ("train",),
    "experiments.unseen": ("evaluation_data",),
    "checkpoints.weights": ("load", "save", "shipped"),
}
HOME = {name: module for module, names in WHERE.items() for name in names}

# without the classes of `applications` that need scikit-learn, so that importing everything does
# not ask for it
__all__ = [
    "Batch",
    "Dataset",
    "Model",
    "Player",
    "Quality",
    "Result",
    "Run",
    "Spec",
    "TrainingConfig",
    "ZeuxisError",
    "check",
    "classify",
    "denoise",
    "evaluate",
    "evaluation_data",
    "few_labels",
    "fit",
    "hold_out",
    "inpaint",
    "load",
    "load_data",
    "models",
    "pretraining",
    "resume",
    "save",
    "shipped",
    "super_resolve",
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
