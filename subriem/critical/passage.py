"""The point between two charts of a manifold at which the rank of the Jacobian is smaller."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial import chebyshev

from subriem.core.protocols import Array
from subriem.critical.arc import CLOSER, arc
from subriem.critical.charts import Chart
from subriem.critical.system import System

#: A determinant that touches zero is below this share of its largest value on the step.
TOUCHES = 1e-7
#: |F| at the point found, relative to the length of the step, if it is a rest point.
MET = 1e-6
#: Halvings of an interval, to its roundoff.
HALVINGS = 60


def located(
    system: System, chart: Chart, v: Array, span: tuple[float, float], predict: Callable[[float], Array], touch: bool
) -> Array | None:
    """Return the rest point over z + s v, s in the span, at which the bordered determinant is zero; None without one.

    Parameters
    ----------
    system : System
    chart : Chart
        At z, where the determinant is bordered as here for all s.
    v : (n,) ndarray
        In its tangent space.
    span : pair of float
    predict : callable
        s -> a point near the manifold, from `cubic`.
    touch : bool
        Whether it touches zero; otherwise it goes through it.

    Notes
    -----
    At the point itself the corrector is singular, and next to it the other branch is near. So determinant and points
    are interpolated from nodes beside it, at Chebyshev's points, first on the whole span and then nearer, where the
    corrector starts from the first interpolation.
    """
    first, last = span
    reach = float(np.linalg.norm(v))
    largest, z = 0.0, chart.z
    for _ in range(2):
        found = arc(system, chart, reach, predict, first, last)
        if found is None:
            return None
        det = found.coefficients[:, 0]
        largest = max(largest, found.largest)
        root = _root(np.asarray(chebyshev.chebder(det), dtype=float) if touch else det)
        if root is None or (touch and abs(chebyshev.chebval(root, det)) > TOUCHES * largest):
            return None
        place = found.middle + found.half * root
        predict, z = found, found(place)
        first, last = place - CLOSER, place + CLOSER
    return z if system.norm(z) <= MET * reach else None


def _root(series: Array) -> float | None:
    """Return the zero of a Chebyshev series between ends of different signs, or None."""
    low, high = -1.0, 1.0
    sign = chebyshev.chebval(low, series)
    if not sign * chebyshev.chebval(high, series) <= 0:
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if chebyshev.chebval(middle, series) * sign > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
