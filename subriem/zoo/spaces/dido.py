"""Least lengths of curves that sweep a given area: what Heisenberg groups and the Grushin plane have in common."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin, sqrt, tan

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import EPS

#: Angles below which differences of trigonometric functions are summed as series.
SMALL = 0.3
#: Terms of these series: the next one is below roundoff.
TERMS = 8


def less_sine(angle: float) -> float:
    """Return (a - sin a) / a^2 to roundoff."""
    if abs(angle) > SMALL:
        return (angle - sin(angle)) / angle**2
    total = term = angle / 6
    for k in range(2, TERMS):
        term *= -(angle**2) / (2 * k * (2 * k + 1))
        total += term
    return total


def chord(angle: float) -> complex:
    """Return (exp(i a) - 1) / (i a): where a unit speed that turns by a has gone in unit time."""
    return complex(np.sinc(angle / pi), 0.5 * angle * np.sinc(angle / (2 * pi)) ** 2)


def least_length(area: float, radii: Sequence[float] | Array, weights: Sequence[float] | Array) -> float:
    """Return the least length of a curve in the planes C^n from 0 to points at these radii, given its weighted area.

    Its square is the largest value of 4 |area| s + sum_i r_i^2 a_i s cot(a_i s) for 0 <= s <= pi / max a: a concave
    function, so that an error of s is felt in second order only.

    Parameters
    ----------
    area : float
        Of sum_i a_i/2 (x_i dy_i - y_i dx_i).
    radii, weights : sequence of float
        r_i >= 0 and a_i > 0.

    References
    ----------
    Gaveau, Acta Math. 139 (1977); Beals, Gaveau, Greiner, J. Math. Pures Appl. 79 (2000).

    Examples
    --------
    >>> round(least_length(1.0, [0.0], [1.0]), 12)  # a circle of area 1
    3.544907701811
    """
    from scipy.optimize import brentq

    last = pi / max(weights)
    pairs = [(float(r), float(a)) for r, a in zip(radii, weights, strict=True) if r]

    def slope(s: float) -> float:
        return 4 * abs(area) - sum(r**2 * a * _excess(a * s) for r, a in pairs)

    end = last * (1 - 4 * EPS)
    s = end if slope(end) >= 0 else float(brentq(slope, 0.0, end, xtol=EPS, rtol=4 * EPS))
    bending = sum(r**2 * (a * s / tan(a * s) if s else 1.0) for r, a in pairs)
    # at the last angle the radii of the fastest planes are zero to roundoff: they cancel in the sum
    return sqrt(4 * abs(area) * s + bending) if s < end else sqrt(4 * abs(area) * last + _slower(pairs, last))


def _excess(angle: float) -> float:
    """Return (a - sin a cos a) / sin^2 a."""
    return (2 * angle) ** 2 * less_sine(2 * angle) / (2 * sin(angle) ** 2) if angle else 0.0


def _slower(pairs: list[tuple[float, float]], s: float) -> float:
    """Return the sum of r^2 a s cot(a s) over the planes that have not come round at s."""
    return sum(r**2 * a * s * cos(a * s) / sin(a * s) for r, a in pairs if a * s < pi * (1 - 4 * EPS))
