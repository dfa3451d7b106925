"""The cross-entropy of the outputs, as logits, with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import real_array

#: How far the shares of a row may be from the sum 1.
SUM = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class CrossEntropy:
    """C(x) = -(1/N) sum_j <y_j, log softmax x_j>; made by `cross_entropy`.

    Attributes
    ----------
    labels : (N, Q) ndarray
        y, rows of shares.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> cost = sr.flows.cross_entropy([[1.0, 0.0], [0.25, 0.75]])
    >>> round(cost.value(np.zeros(4)), 6)
    0.693147
    """

    labels: Array

    is_quadratic = False
    rate = None

    def __repr__(self) -> str:
        return f"<cross-entropy of {self.samples} samples in {self.labels.shape[1]} classes>"

    @property
    def n(self) -> int:
        """Number of outputs."""
        return self.labels.size

    @property
    def samples(self) -> int:
        """N."""
        return self.labels.shape[0]

    def _log_softmax(self, x: Array) -> Array:
        logits = x.reshape(self.labels.shape)
        logits = logits - logits.max(axis=1, keepdims=True)  # exp of what is not positive: no overflow
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def value(self, x: Array) -> float:
        """Return C(x)."""
        return -float((self.labels * self._log_softmax(x)).sum()) / self.samples

    def gradient(self, x: Array) -> Array:
        """Return grad_x C = (softmax x - y)/N, shape (n,)."""
        return ((np.exp(self._log_softmax(x)) - self.labels) / self.samples).ravel()

    def hvp(self, x: Array, v: Array) -> Array:
        """Return (Hess C) v, shape (n,)."""
        shares, along = np.exp(self._log_softmax(x)), v.reshape(self.labels.shape)
        mean = (shares * along).sum(axis=1, keepdims=True)
        return (shares * (along - mean) / self.samples).ravel()

    def floor(self, x: Array, null: Array) -> float:
        """Return the entropy of the labels: a lower bound on every affine set, attained on R^n where all y > 0."""
        some = self.labels[self.labels > 0]
        return -float((some * np.log(some)).sum()) / self.samples


def cross_entropy(labels: Any) -> CrossEntropy:
    """Return the cross-entropy C(x) = -(1/N) sum_j <y_j, log softmax x_j>.

    Parameters
    ----------
    labels : (N, Q) array_like
        y_j >= 0 with the sum 1, one row a sample.

    Returns
    -------
    CrossEntropy
        In nats. It has no minimiser where a label is 0, as in one-hot rows: give them a share of every class.

    Raises
    ------
    ProblemError
        If the labels are no table of shares.

    Notes
    -----
    Where rank D = n the adapted flow keeps each sum of logits, and ends at x_ji = log y_ji + (1/Q) sum_k (x_jk(0) -
    log y_jk) (docs: mathematics, §6).

    Examples
    --------
    >>> import numpy as np
    >>> cross_entropy([[0.5, 0.5]]).gradient(np.array([3.0, 3.0]))
    array([0., 0.])
    """
    y = real_array(labels, "labels", ndim=2)
    sums = y.sum(axis=1)
    if (y < 0).any() or np.abs(sums - 1).max() > SUM:
        bad = int(np.argmax(np.maximum(np.abs(sums - 1), -y.min(axis=1))))
        raise ProblemError(
            "the labels are no shares of classes",
            f"row {bad} is {np.array2string(y[bad], threshold=6)}",
            "numbers >= 0 with the sum 1 in each row",
            "np.eye(Q)[classes] for numbers of classes",
        )
    return CrossEntropy(y)
