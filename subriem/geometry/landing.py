"""Where a horizontal path of a map meets a loss of rank, followed by arc length: smooth up to there and beyond.

With D = sum_i s_i a_i b_i^T the velocity D^+ w = sum_i (a_i . w / s_i) b_i is unbounded as the least singular value s_n
tends to 0. Times s_n, with the sign that its singular vectors carry along, it is smooth, and so is the curve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from subriem.core.equilibrated import compact_svd, decide
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision
from subriem.geometry.dips import Dips

if TYPE_CHECKING:
    from subriem.geometry.maps import MapStructure

#: Arc lengths looked at each way, one after the other, relative to 1 + |theta|.
REACH = np.array([0.02, 0.1, 0.5])
#: Points of each half at which sigma_min is looked at.
NODES = 50
#: Relative tolerance of the arc.
RTOL = 1e-13


@dataclass(frozen=True, eq=False)
class Landing:
    """The least singular value where it is least ahead.

    Attributes
    ----------
    time : float
        Time left until there.
    theta : (K,) ndarray
    decision : RankDecision
        On the rank of D there.
    """

    time: float
    theta: Array
    decision: RankDecision


def landing(structure: MapStructure, theta: Array, w: Array, scale: float) -> Landing | None:
    """Return where the path with x' = w has the least sigma_min near a point where it is small.

    None if it goes on falling all along the arc: theta runs away before the rank is lost. `scale` is a size of D
    before: a D of one row that vanishes has lost its rank.
    """
    for reach in REACH * (1.0 + float(np.linalg.norm(theta))):
        arc = _Arc(structure, theta, w, reach)
        lengths = np.concatenate([np.linspace(arc.first, 0.0, NODES)[:-1], np.linspace(0.0, arc.last, NODES)])
        sizes = np.array([compact_svd(matrix)[1][-1] for matrix in arc.jacobians(arc(lengths))])
        dips = Dips(arc.jacobians, arc, lengths, structure.k, sizes).located()
        if dips:
            *point, time = arc.state(min(dips, key=abs))
            found = np.array(point)
            return Landing(float(time), found, decide(structure.map.jacobian(found), structure.policy, scale))
    return None


class _Arc:
    """The curve by its arc length from a point, both ways, as far as the map is finite."""

    def __init__(self, structure: MapStructure, theta: Array, w: Array, reach: float) -> None:
        from scipy.integrate import solve_ivp

        self.structure, self.w, self.n = structure, w, structure.n
        left, _, right = compact_svd(structure.map.jacobian(theta))
        self.vectors = left[:, -1], right[-1]
        start = np.append(theta, 0.0)
        back, on = (
            solve_ivp(self._rates, (0.0, end), start, "DOP853", dense_output=True, rtol=RTOL, atol=RTOL)
            for end in (-reach, reach)
        )
        self.first, self.last = float(back.t[-1]), float(on.t[-1])
        self.back, self.on = (cast("Callable[[float], Array]", run.sol) for run in (back, on))

    def _rates(self, _: float, state: Array) -> Array:
        """Return d(theta, t)/dl along (s_n D^+ w, s_n); NaN, a rejected step, where the map is not finite."""
        jacobian = self.structure.map.jacobian(state[: self.n])
        if not np.isfinite(jacobian).all():
            return np.full_like(state, np.nan)
        left, sigma, right = compact_svd(jacobian)
        sign = np.sign(left[:, -1] @ self.vectors[0]) * np.sign(right[-1] @ self.vectors[1])
        least = sigma[-1] * sign
        ratios = np.where(sigma[:-1] > 0, least / np.where(sigma[:-1] > 0, sigma[:-1], 1.0), 1.0)  # 0/0: all fall alike
        shares = left.T @ self.w
        velocity = (ratios * shares[:-1]) @ right[:-1] + sign * shares[-1] * right[-1]
        return np.append(velocity, least) / np.linalg.norm(velocity)

    def state(self, length: float) -> Array:
        """Return (theta, t) at a length."""
        return self.on(length) if length > 0 else self.back(length)

    def __call__(self, lengths: Any) -> Array:
        """Return theta at many lengths, (m, K)."""
        return np.array([self.state(float(length))[: self.n] for length in lengths])

    def jacobians(self, points: Array) -> Array:
        """Return D at points, (m, n, K)."""
        return np.array([self.structure.map.jacobian(point) for point in points])
