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

#: Arc length looked at each way, relative to 1 + |theta|, and the parts of it at whose ends sigma_min is looked at.
REACH, NODES = 0.02, 50
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


def landing(structure: MapStructure, theta: Array, w: Array) -> Landing | None:
    """Return where the path with x' = w has the least sigma_min near a point where it is small.

    None if it goes on falling all along the arc: theta runs away before the rank is lost.
    """
    arc = _Arc(structure, theta, w)
    lengths = np.linspace(-1.0, 1.0, 2 * NODES + 1) * arc.reach
    sizes = np.array([compact_svd(matrix)[1][-1] for matrix in arc.jacobians(arc(lengths))])
    dips = Dips(arc.jacobians, arc, lengths, structure.k, sizes).located()
    if not dips:
        return None
    place = min(dips, key=abs)
    *point, time = arc.state(place)
    theta = np.array(point)
    return Landing(time, theta, decide(structure.map.jacobian(theta), structure.policy))


class _Arc:
    """The curve by its arc length from a point, both ways."""

    def __init__(self, structure: MapStructure, theta: Array, w: Array) -> None:
        from scipy.integrate import solve_ivp

        self.structure, self.w, self.n = structure, w, structure.n
        self.reach = REACH * (1.0 + float(np.linalg.norm(theta)))
        left, _, right = compact_svd(structure.map.jacobian(theta))
        self.last = left[:, -1], right[-1]
        start = np.append(theta, 0.0)
        runs = (
            solve_ivp(self._rates, (0.0, end), start, "DOP853", dense_output=True, rtol=RTOL, atol=RTOL)
            for end in (-self.reach, self.reach)
        )
        self.back, self.on = (cast("Callable[[float], Array]", run.sol) for run in runs)

    def _rates(self, _: float, state: Array) -> Array:
        """Return d(theta, t)/dl along (s_n D^+ w, s_n)."""
        left, sigma, right = compact_svd(self.structure.map.jacobian(state[: self.n]))
        signs = np.sign(left[:, -1] @ self.last[0]), np.sign(right[-1] @ self.last[1])
        least = sigma[-1] * signs[0] * signs[1]
        shares = left.T @ self.w
        velocity = least * (shares[:-1] / sigma[:-1]) @ right[:-1] + signs[0] * signs[1] * shares[-1] * right[-1]
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
