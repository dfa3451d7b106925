"""Costs C(x) of the output: squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import positive, real_array, vector


@dataclass(frozen=True, eq=False)
class SquaredError:
    """C(x) = sum_i h_i (x_i - y_i)^2; made by `squared_error`.

    Attributes
    ----------
    target : (n,) ndarray
        y, sample-major.
    factors : (n,) ndarray
        h_i = factor * weight of the sample of i.
    samples : int
        N.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> cost = sr.flows.squared_error([[0.0], [2.0]])
    >>> cost.gradient(np.array([1.0, 2.0])), cost.rate
    (array([0.5, 0. ]), 0.5)
    """

    target: Array
    factors: Array
    samples: int

    is_quadratic = True

    @property
    def n(self) -> int:
        """Number of outputs."""
        return self.target.size

    @property
    def rate(self) -> float | None:
        """2 kappa where C = kappa |x - y|^2 (1/N for the default factor); None with unequal weights."""
        kappa = float(self.factors[0])
        return 2 * kappa if (self.factors == kappa).all() else None

    def value(self, x: Array) -> float:
        """Return C(x)."""
        rest = x - self.target
        return float((self.factors * rest) @ rest)

    def gradient(self, x: Array) -> Array:
        """Return grad_x C, shape (n,)."""
        return 2 * self.factors * (x - self.target)

    def hvp(self, x: Array, v: Array) -> Array:
        """Return (Hess C) v, shape (n,)."""
        return 2 * self.factors * v

    def floor(self, x: Array, null: Array) -> float:
        """Return the minimum of C on x + (range U)^perp, U = `null` (n, m) with orthonormal columns.

        For equal weights it is kappa |U^T (x - y)|^2 (docs: mathematics, §3); in general the minimiser solves
        min sum h_i r_i^2 subject to U^T r = U^T (x - y), so r = H^{-1} U (U^T H^{-1} U)^{-1} U^T (x - y).
        """
        if null.shape[1] == 0:
            return 0.0
        offset = null.T @ (x - self.target)
        schur = null.T @ (null / self.factors[:, None])
        return float(offset @ np.linalg.solve(schur, offset))


def squared_error(targets: Any, weights: Any = None, factor: float | None = None) -> SquaredError:
    """Return the cost C(x) = factor * sum_j w_j |x_j - y_j|^2.

    Parameters
    ----------
    targets : (N, Q) or (N,) array_like
        y_j, one row a sample.
    weights : (N,) array_like, optional
        w_j > 0; all 1 by default. With unequal weights the output Hessian is no scalar, so there is no t-clock.
    factor : float, optional
        kappa > 0, 1/(2N) by default; C then has the units of a squared output.

    Returns
    -------
    SquaredError

    Raises
    ------
    ProblemError
        If an array is not finite and real or has the wrong shape, a weight is not positive, or the factor is not.

    Examples
    --------
    >>> import numpy as np
    >>> cost = squared_error([[1.0], [3.0]])
    >>> cost.value(np.array([1.0, 1.0])), cost.rate
    (1.0, 0.5)
    """
    y = real_array(targets, "targets")
    if y.ndim > 2:
        raise ProblemError(
            "targets has the wrong number of axes", f"shape {y.shape}", "(N, Q) or (N,)", "reshape targets"
        )
    samples = y.shape[0] if y.ndim else 1
    kappa = 1.0 / (2 * samples) if factor is None else positive(factor, "factor")
    share = np.ones(samples) if weights is None else vector(weights, "weights", samples)
    if not (share > 0).all():
        bad = int(np.argmin(share))
        raise ProblemError(
            "squared_error: a weight is not positive",
            f"weights[{bad}] = {share[bad]}",
            "w_j > 0",
            "drop samples of weight 0",
        )
    return SquaredError(y.ravel(), np.repeat(kappa * share, y.size // samples), samples)
