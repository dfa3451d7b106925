"""Difference quotients of functions that may be undefined on one side of a point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import EPS

#: Relative step of a central difference: truncation h^2 and roundoff eps/h balance.
STEP = EPS ** (1 / 3)


def quotient(function: Callable[[Any], Array], below: Any, here: Any, above: Any, left: float, right: float) -> Array:
    """Return the central difference quotient of a function, the one-sided one where only that is finite.

    Parameters
    ----------
    function : callable
        Argument -> ndarray.
    below, here, above
        Arguments, a distance `left` before the point, the point, and a distance `right` behind it.

    Examples
    --------
    >>> with np.errstate(invalid="ignore"):
    ...     slope = quotient(np.sqrt, np.array([-1e-8]), np.array([0.0]), np.array([1e-8]), 1e-8, 1e-8)
    >>> slope.round(6)
    array([10000.])
    """
    after, before = function(above), function(below)
    with np.errstate(invalid="ignore", over="ignore"):
        central = (after - before) / (left + right)
        if np.isfinite(central).all():
            return central
        middle = function(here)
        one_sided = np.where(np.isfinite(after), (after - middle) / right, (middle - before) / left)
    return np.where(np.isfinite(central), central, one_sided)


def differences(function: Callable[[Array], Array], at: Array) -> Array:
    """Return the Jacobian of a function by difference quotients with steps eps^(1/3) max(1, |x_j|).

    Parameters
    ----------
    function : callable
        x (n,) -> (m,).
    at : (n,) ndarray

    Examples
    --------
    >>> differences(lambda x: np.array([x[0] * x[1]]), np.array([2.0, 3.0])).round(9)
    array([[3., 2.]])
    """
    columns = []
    for j, step in enumerate(STEP * np.maximum(1.0, np.abs(at))):
        above, below = at.copy(), at.copy()
        above[j] += step
        below[j] -= step
        columns.append(quotient(function, below, at, above, at[j] - below[j], above[j] - at[j]))
    return np.column_stack(columns) if columns else np.zeros((function(at).size, 0))
