"""Whether a normal geodesic is abnormal too: a Jacobi field that stays vertical, decided by Taylor coefficients.

Jacobi fields J_c(t) = dq(t)/dp(0) c vanish for all t exactly for the covectors c of abnormal lifts, so for those that
all coefficients E_j of dq(t)/dp(0) = sum_j E_j t^j annul. Where the ranks of (E_1; …; E_j) stop to grow they stop for
good, at all but isolated times (Agrachev, Barilari, Rizzi, Curvature: a variational approach, ch. 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subriem.core.equilibrated import decide, equilibrate
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.geometry.polynomials import Algebra, Series, expansion

if TYPE_CHECKING:
    from subriem.geometry.normal import NormalFlow

#: Entries below this share of the largest are zero.
ROUNDOFF = 1e-12
#: Orders without a new direction after which none comes.
QUIET = 2


def is_abnormal(flow: NormalFlow, z: Array, dim: int, policy: RankPolicy) -> bool:
    """Return whether the normal geodesic through (q, p) is abnormal, decided at this one, generic, point of it.

    Raises
    ------
    GeometryError, ProblemError
        If the fields have no Taylor expansion there.
    """
    order, most = 4, flow.n + 1 + QUIET  # each order but the last ones brings a direction
    while True:
        ranks = _ranks(_jacobi(flow, z, order), policy)
        if ranks[-1] >= dim:
            return False
        if order >= most or ranks[-1] == ranks[-1 - QUIET]:
            return True
        order = min(2 * order, most)


def _jacobi(flow: NormalFlow, z: Array, order: int) -> Array:
    """Return the coefficients E_1 … E_m of dq(t)/dp(0), (m, N, N), in the unit of time in which they are even."""
    path = _path(flow, z, order)
    linear = expansion(flow.linearized, list(path)).value.transpose(2, 0, 1)
    found = [np.eye(2 * flow.n)[:, flow.n :]]
    for j in range(order):  # Z' = L(t) Z
        found.append(np.sum([linear[i] @ found[j - i] for i in range(j + 1)], axis=0) / (j + 1))
    sizes = np.array([np.abs(coefficient).max() for coefficient in found[1:]])
    powers = np.arange(1, order + 1)
    unit = float(np.max(sizes ** (1.0 / powers), initial=0.0)) or 1.0
    return np.array(found[1:])[:, : flow.n] / unit ** powers[:, None, None]


def _path(flow: NormalFlow, z: Array, order: int) -> Series:
    """Return the expansion of (q(t), p(t)), one order more by each of Picard's rounds."""
    algebra = Algebra((1,), order)
    path = Series.stack([algebra.constant(float(x)) for x in z])
    for _ in range(order):
        rates = expansion(flow.rates, list(path))[:, 0]
        value, noise = path.value.copy(), path.noise.copy()
        value[:, 1:] = rates.value[:, :-1] / np.arange(1, order + 1)
        noise[:, 1:] = rates.noise[:, :-1] / np.arange(1, order + 1)
        path = Series(algebra, value, noise)
    return path


def _ranks(coefficients: Array, policy: RankPolicy) -> list[int]:
    """Return the ranks of (E_1; …; E_j), j = 1 … m."""
    rows, columns = common_units(coefficients)
    scaled = rows[:, None] * coefficients * columns
    return [decide(scaled[: j + 1].reshape((-1, columns.size)), policy).rank for j in range(len(scaled))]


def common_units(matrices: Array) -> tuple[Array, Array]:
    """Return the diagonals that make rows and columns even for many matrices (…, m, N, N) at once, for each such stack.

    Roundoff is not scaled up.
    """
    sizes = np.abs(matrices).max(axis=-3)
    sizes[sizes <= ROUNDOFF * sizes.max(axis=(-2, -1), keepdims=True)] = 0.0  # conormals of a redundant chart
    return equilibrate(sizes)[1:]
