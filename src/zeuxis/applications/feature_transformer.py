"""A scikit-learn transformer that describes images by a model's features.

```python
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

classifier = make_pipeline(ZeuxisFeatures("mnist/vae"), LogisticRegression())
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..capabilities import CanFeature
from ..checkpoints.weights import load
from ..errors import MissingExtra
from ..model import Model, require

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise MissingExtra("scikit-learn", "sklearn", "ZeuxisFeatures") from error

LOADED = "_loaded"  # the network, which is neither copied nor saved where the model has a name


class ZeuxisFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows of pixels to the features of a trained model, which `fit` does not train.

    Arguments:
        model: A run folder, a shipped model's name as in "mnist/vae", or a model. One given by
            name is saved by name: a pickle holds no weights, and the folder must be there when it
            is opened.

    Attributes:
        n_features_in_: Pixels of an image: the columns of X are its channels, each row by row.

    X has pixels from 0 to 255, or floats between 0 and 1; `fit` sees which, and later calls must
    have the same form. `y` is ignored.

    Raises:
        ValueError: X has other columns than the model's images, or numbers that are no pixels.
        UsageError: There is no such model.
        MissingCapability: The model has no features.

    Example:
        >>> import zeuxis
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> x, y = zeuxis.load_data("mnist", split="test").batch(torch.arange(200))
        >>> X = x.flatten(1).numpy()
        >>> classifier = make_pipeline(
        ...     ZeuxisFeatures("mnist/vae"), LogisticRegression(max_iter=500)
        ... )
        >>> classifier.fit(X[:100], y[:100]).score(X[100:], y[100:]) > 0.7
        True
    """

    def __init__(self, model: Any = "mnist/vae") -> None:
        self.model = model

    def fit(self, X: Any, y: Any = None) -> ZeuxisFeatures:
        """Checks the rows and remembers their form; nothing is trained."""
        X = validate_data(self, X, dtype="numeric")
        size = self.network().spec.size
        if X.shape[1] != size:
            raise ValueError(
                f"X has {X.shape[1]} columns, expected the {size} pixels of the images of "
                f"{self.model!r}."
            )
        floats = np.issubdtype(X.dtype, np.floating)
        self.unit_ = bool(floats and X.min() >= 0 and X.max() <= 1)
        self._n_features_out = self.transform(X[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Features of each row, (n, features), float32."""
        check_is_fitted(self, "unit_")
        X = validate_data(self, X, dtype="numeric", reset=False)
        high = 1 if self.unit_ else 255
        if X.min() < 0 or X.max() > high:
            raise ValueError(
                f"X has numbers from {X.min()} to {X.max()}, expected pixels from 0 to {high} as "
                "in fit."
            )
        model = self.network()
        pixels = np.rint(X.astype(np.float64) * (255 / high)).astype(np.uint8)
        x = torch.from_numpy(pixels.reshape(-1, *model.spec.shape))
        return require(model, CanFeature, "describe examples by features").features(x).cpu().numpy()

    def network(self) -> Model:
        """The model, opened once."""
        if isinstance(self.model, Model):
            return self.model
        name, model = self.__dict__.get(LOADED, (None, None))
        if model is None or name != self.model:
            model = load(self.model if isinstance(self.model, Path) else str(self.model))
            self.__dict__[LOADED] = (self.model, model)
        return model

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != LOADED}
