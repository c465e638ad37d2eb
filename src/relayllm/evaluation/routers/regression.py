"""Logistic regression with its strength chosen by cross-validation; scores of what it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.model_selection import GridSearchCV

FOLDS = 5
FEWEST = 4
"""Examples of the rarer kind that a regression wants at least."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation, chosen by cross-validation."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A regression that was fitted, and the scores its examples get from models that have not seen them."""

    model: GridSearchCV
    unseen: np.ndarray
    """(examples,) probabilities."""

    def weights(self) -> tuple[float, ...]:
        """The same regression on states as they are: a weight per feature, then the bias."""
        scaler, regression = self.model.best_estimator_
        weights = regression.coef_[0] / scaler.scale_
        return (*map(float, weights), float(regression.intercept_[0] - weights @ scaler.mean_))


def fit(states: np.ndarray, labels: np.ndarray) -> Fit | None:
    """Fit labels (examples,) on states (examples, width); None where one kind has too few examples to learn from."""
    from sklearn.model_selection import cross_val_predict

    rarer = int(min(labels.sum(), (~labels).sum()))
    if rarer < FEWEST:
        return None
    folds = min(FOLDS, rarer // 2)
    model = _classifier(max(2, min(FOLDS, rarer - -(-rarer // folds))))
    unseen = cross_val_predict(model, states, labels, cv=folds, method="predict_proba")[:, 1]
    return Fit(model.fit(states, labels), unseen)


def _classifier(folds: int) -> GridSearchCV:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return GridSearchCV(pipeline, {"logisticregression__C": STRENGTHS}, scoring="neg_log_loss", cv=folds)
