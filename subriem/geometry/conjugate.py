"""Conjugate times: where the derivative of the exponential map loses rank."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from subriem.core.equilibrated import decide, equilibrate, singular_triplet
from subriem.core.protocols import Array
from subriem.geometry.geodesic import Geodesic

#: Nodes between which conjugate times are told apart, at least.
NODES = 100
#: A least singular value below this share of its neighbours may be a zero of even order.
DIP = 0.5
#: Newton steps to a conjugate time.
ROUNDS = 8
#: A singular value at a conjugate time over those around it, and the distance of two conjugate times over the whole.
ZERO = 1e-7
#: Entries of dq/dp(0) below this share of the largest are zero.
ROUNDOFF = 1e-12


@dataclass(frozen=True, eq=False)
class ConjugateTimes:
    """Where a geodesic stops to be locally minimal: dq(t)/dp(0) loses rank.

    Attributes
    ----------
    times : (m,) ndarray
    multiplicities : tuple of int
        By how much the rank falls.
    abnormal : bool
        Whether the rank is never full: the geodesic is abnormal too, and no time is singled out.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> grushin = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0]]], 2)
    >>> found = grushin.shoot([0, 0], [1, 1], 6.0).conjugate_times()
    >>> np.round(found.times, 10), found.multiplicities
    (array([4.49340946]), (1,))
    """

    times: Array
    multiplicities: tuple[int, ...]
    abnormal: bool


def conjugate_times(geodesic: Geodesic) -> ConjugateTimes:
    """Return the conjugate times in (0, time], to the accuracy of the geodesic.

    On a manifold of dimension d the d-th singular value of dq/dp(0) vanishes there, linearly up to its sign, whatever
    the multiplicity. Its dips between nodes are followed by Newton's method: with its singular vectors a and b the
    derivative is a^T (dq/dp(0))' b.
    """
    structure, policy = geodesic.structure, geodesic.structure.policy
    if geodesic.time == 0.0:
        return ConjugateTimes(np.empty(0), (), False)
    times = np.linspace(0.0, geodesic.time, max(NODES, geodesic.t.size) + 1)[1:]
    matrices, _ = geodesic.derivatives(times)
    sizes = np.abs(matrices).max(axis=0)
    sizes[sizes <= ROUNDOFF * sizes.max()] = 0.0  # conormals of a redundant chart are not to be scaled up
    _, rows, columns = equilibrate(sizes)
    scaled = rows[:, None] * matrices * columns
    decisions = [decide(matrix, policy) for matrix in scaled]
    if not any(decision.rank >= structure.dim for decision in decisions):
        return ConjugateTimes(np.empty(0), (), True)
    least = np.array([decision.sigma[structure.dim - 1] for decision in decisions])

    def newton(t: float) -> tuple[float, float]:
        (matrix,), (rate,) = geodesic.derivatives(np.array([t]))
        sigma, a, b = singular_triplet(rows[:, None] * matrix * columns, structure.dim)
        slope = float(a @ (rows[:, None] * rate * columns) @ b)
        return sigma, (sigma / slope if slope else 0.0)

    found: list[float] = []
    for i, size in enumerate(least):
        before, after = least[max(i - 1, 0)], least[min(i + 1, least.size - 1)]
        if size > min(before, after) or size > DIP * max(before, after):
            continue
        t, low, high = float(times[i]), times[max(i - 1, 0)], times[min(i + 1, least.size - 1)]
        for _ in range(ROUNDS):
            sigma, change = newton(t)
            t = float(np.clip(t - change, min(low, high), max(low, high)))
        sigma, _ = newton(t)
        if sigma <= ZERO * max(before, after) and not (found and abs(t - found[-1]) <= ZERO * abs(geodesic.time)):
            found.append(t)
    return ConjugateTimes(np.array(found), tuple(_lost(geodesic, t, rows, columns) for t in found), False)


def _lost(geodesic: Geodesic, t: float, rows: Array, columns: Array) -> int:
    """Return the multiplicity of a conjugate time: the number of singular values that vanish there."""
    (matrix,), _ = geodesic.derivatives(np.array([t]))
    policy = replace(geodesic.structure.policy, rtol=ZERO)
    rank = decide(rows[:, None] * matrix * columns, policy).rank
    return max(geodesic.structure.dim - rank, 1)
