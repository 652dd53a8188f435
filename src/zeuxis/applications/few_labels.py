"""A scikit-learn estimator that learns to classify from a few labels and many examples without one.

It is the semi-supervised Improved GAN behind `fit`, `predict`, `predict_proba` and `score`, for
arrays instead of folders.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..checkpoints.weights import build
from ..data.dataset import Dataset, Spec
from ..errors import MissingExtra
from ..evaluation.classification import classify
from ..gan.improved import ImprovedGANConfig
from ..recipes.improved import FAST, QUICK
from ..training.loop import fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise MissingExtra("scikit-learn", "sklearn", "FewLabelClassifier") from error


class FewLabelClassifier(ClassifierMixin, BaseEstimator):
    """A classifier from few labels: y is -1 wherever no label is known, as in scikit-learn's own
    semi-supervised estimators.

    Arguments:
        members: Networks trained from different seeds, whose probabilities are averaged; the
            paper's ensembles have ten.
        steps: Updates of each network; None takes a hundred passes over X, though at least 2,000
            steps and at most 30,000.
        batch: Examples a step.
        shape: (channels, height, width) of the image in each row of X. None takes rows for tables.
        width: Units of the first hidden layer (1,000 in the paper) or channels of the first
            convolutions; the generator's hidden layers have half as many units. 0 takes the
            paper's.
        unlabeled: What stands in y for an unknown label.
        settings: Settings of the model, by default those of the recipe `improved-gan/mnist`.
        random_state: Seed, generator, or None for another result each time.
        verbose: Whether to show progress with time left.

    Attributes:
        classes_: The classes in the order of `predict_proba`'s columns.
        models_: The trained networks; `sample(n)` of each draws new rows, as bytes.
        n_features_in_: Numbers a row.

    Rows are scaled to bytes: images of floats between 0 and 1 are multiplied by 255, other images
    are pixels from 0 to 255, and each column of a table has 256 levels between its least and
    greatest value in `fit`. Later calls must have the form of `fit`: what has another range is
    refused.

    Raises:
        ValueError: X or y cannot be learned from.

    Example:
        >>> import numpy as np
        >>> from zeuxis import FewLabelClassifier
        >>> center = np.repeat([[0.0, 0.0], [3.0, 3.0]], 100, axis=0)
        >>> X = center + np.random.default_rng(0).normal(size=center.shape)
        >>> y = np.full(200, -1)
        >>> y[[0, 1, 2, 100, 101, 102]] = [0, 0, 0, 1, 1, 1]
        >>> classifier = FewLabelClassifier(steps=300, width=32, random_state=0).fit(X, y)
        >>> classifier.score(X, np.repeat([0, 1], 100)) > 0.9
        True
    """

    def __init__(
        self,
        members: int = 1,
        *,
        steps: int | None = None,
        batch: int = 200,
        shape: tuple[int, int, int] | None = None,
        width: int = 0,
        unlabeled: Any = -1,
        config: ImprovedGANConfig | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.members = members
        self.steps = steps
        self.batch = batch
        self.shape = shape
        self.width = width
        self.unlabeled = unlabeled
        self.config = config
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> FewLabelClassifier:
        """Learns from all rows of X and from those labels that are known."""
        if min(self.members, self.batch, 1 if self.steps is None else self.steps) < 1:
            raise ValueError(
                f"members, steps and batch must be at least 1, got {self.members}, "
                f"{self.steps} and {self.batch}."
            )
        X = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        y, known = self.labels_of(y, len(X))
        self.classes_, numbers = np.unique(y[known], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has labels of {len(self.classes_)} class, expected two or more "
                f"besides {self.unlabeled!r}."
            )
        labels = np.full(len(y), -1, np.int64)
        labels[known] = numbers
        self.low_, self.span_ = (
            X.min(0).astype(np.float64),
            X.max(0).astype(np.float64) - X.min(0).astype(np.float64),
        )
        self.high_ = float(X.max())
        self.unit_ = bool(np.issubdtype(X.dtype, np.floating) and X.min() >= 0 and X.max() <= 1)
        self.example_ = self.shape or (1, 1, X.shape[1])
        if np.prod(self.example_) != X.shape[1]:
            raise ValueError(
                f"X has {X.shape[1]} columns, expected {np.prod(self.example_)} for "
                f"images of shape {self.shape}."
            )
        spec = Spec("table", self.example_, len(self.classes_), tuple(map(str, self.classes_)))
        data = Dataset(spec, self.to_bytes(X), torch.from_numpy(labels))
        batch = min(self.batch, len(X))
        steps = self.steps or min(max(100 * len(X) // batch, 2_000), 30_000)
        config = self.config or replace(
            FAST, architecture="auto" if self.shape else "dense", labeled=min(FAST.labeled, batch)
        )
        if self.width:
            config = replace(config, width=self.width, generator_width=max(4, self.width // 2))
        draw = check_random_state(self.random_state)
        self.models_ = []
        for seed in draw.randint(2**31 - 1, size=self.members).tolist():
            training = replace(
                QUICK,
                images=steps * batch,
                batch=batch,
                average=steps * batch // 60,
                film=0,
                seed=seed,
            )
            model = fit(
                build("improved-gan", config, spec, seed),
                data,
                training=training,
                quiet=not self.verbose,
            ).model
            self.models_.append(
                model.double()
            )  # so that a row's probabilities do not depend on its companions' rounding
        return self

    def labels_of(self, y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels as an array and which of them are known: numbers, names, or names with `unlabeled`
        among them, also in a list."""
        if y is None:
            raise ValueError("This estimator requires y to be passed, but the target y is None.")
        values = list(y) if isinstance(y, list | tuple) else y
        mixed = isinstance(values, list) and len({isinstance(v, str) for v in values}) > 1
        y = column_or_1d(np.array(values, dtype=object) if mixed else np.asarray(values), warn=True)
        if len(y) != n:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: [{n}, {len(y)}]"
            )
        if y.dtype.kind in "US" and not isinstance(self.unlabeled, str):
            if str(self.unlabeled) in y:
                raise ValueError(
                    f"y holds the text {str(self.unlabeled)!r}, into which NumPy turns "
                    f"{self.unlabeled!r} among names: give a list or "
                    "an array of dtype object."
                )
            return y, np.ones(n, bool)
        if y.dtype == object:
            known = np.array(
                [
                    (type(v) is not type(self.unlabeled) and isinstance(v, str))
                    or v != self.unlabeled
                    for v in y
                ],
                bool,
            )
            names = y[known]
            if len({isinstance(v, str) for v in names}) > 1:
                raise ValueError(
                    "y mixes names and numbers: give names or numbers, and "
                    f"{self.unlabeled!r} where none is known."
                )
            if len(names) and isinstance(names[0], str):
                filled = np.full(n, "", dtype=np.array(list(names)).dtype)
                filled[known] = list(names)
                return filled, known
            y = np.array(list(y))
        check_classification_targets(y)
        return y, y != self.unlabeled

    def to_bytes(self, X: np.ndarray) -> torch.Tensor:
        """Rows as bytes in the shape of an example."""
        if self.shape:
            high = 1 if self.unit_ else 255
            if (
                X.min() < 0
                or X.max() > high
                or (self.unit_ and not np.issubdtype(X.dtype, np.floating))
            ):
                form = "floats between 0 and 1" if self.unit_ else "numbers between 0 and 255"
                raise ValueError(
                    f"X has pixels of {X.dtype} from {X.min()} to {X.max()}, expected "
                    f"bytes, or {form} as in fit."
                )
            if (
                not self.unit_
                and self.high_ > 1
                and np.issubdtype(X.dtype, np.floating)
                and 0 < X.max() <= 1
            ):
                raise ValueError(
                    f"X has floats up to {X.max()}, expected pixels between 0 and 255 as in fit."
                )
            X = X * 255.0 if self.unit_ else X
        else:
            X = (X.astype(np.float64) - self.low_) / np.where(self.span_ > 0, self.span_, 1) * 255
        X = np.rint(np.clip(X, 0, 255)).astype(np.uint8)
        return torch.from_numpy(np.ascontiguousarray(X).reshape(-1, *self.example_))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class (columns, in the order of `classes_`) for each row."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype="numeric", reset=False)
        return classify(self.models_, self.to_bytes(X)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row."""
        likeliest = self.predict_proba(X).argmax(1)
        return self.classes_[likeliest]
