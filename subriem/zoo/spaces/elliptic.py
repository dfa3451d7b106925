"""Jacobi's elliptic functions of the parameter m = k^2, and the integrals of them that geodesics need.

The integrals are taken by Gauss's rule: differences of elliptic integrals lose digits for small k and for k near 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from subriem.core.protocols import Array

#: Nodes of Gauss's rule on each panel, and the length of a panel in the argument of the elliptic functions.
NODES, PANEL = 20, 0.5


def jacobi(u: Any, m: float) -> tuple[Any, Any, Any, Any]:
    """Return sn, cn, dn and the amplitude of u."""
    from scipy.special import ellipj

    return ellipj(u, m)


def quadrature(function: Callable[[Array], Array], t: float, rate: float) -> float:
    """Return the integral of a function of rate * s over 0 <= s <= t, to roundoff, by Gauss's rule on panels."""
    nodes, shares = np.polynomial.legendre.leggauss(NODES)
    panels = max(1, ceil(abs(rate * t) / PANEL))
    step = t / panels
    places = step * (np.arange(panels)[:, None] + (1 + nodes) / 2)
    return float((function(places.ravel()).reshape(places.shape) @ shares).sum() * step / 2)


def first_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of a function between two numbers where it has different signs."""
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-15, rtol=1e-15))
