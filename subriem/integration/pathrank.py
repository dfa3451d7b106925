"""The rank of the system Jacobian along a path: decided at nodes, its losses located between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subriem.core.equilibrated import decide_leading, equilibrate, least_singular_values
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision
from subriem.integration.reduced import Nodes
from subriem.integration.stretch import Stretch
from subriem.integration.system import System

#: Multiplications that may be spent on the singular values along a stretch.
WORK = 5e7
#: A regularity this much below that of a neighbouring node may be on its way through zero.
FALLING = 0.6
#: Regularity, relative to the nodes around, at which a located minimum counts as zero: the path itself is only known to
#: the tolerance of the run.
ZERO = 1e-6
#: Nodes of a stretch at which entries are measured for its scaling.
SCALED = 5
#: Powers of t* - t with which a least singular value vanishes: a fold, a crossing, a singular constraint.
POWERS = np.array([0.5, 1.0, 2.0])
#: Stretches at the end of a path from which a loss of rank beyond it is extrapolated, at most.
TRIED = 12


def decisions(stretch: Stretch, nodes: Sequence[int]) -> list[tuple[float, RankDecision]]:
    """Return whether the rank is still that of the start, at some nodes with their times.

    It is asked of all equations, not of the ones that carry the motion; one decision costs as much as some steps.
    """
    chosen = stretch.nodes[list(nodes)]
    matrices = stretch.motion.system.jacobians(chosen, stretch.q)
    reduction = stretch.motion.system.reduction
    rank = len(reduction.certificate.base)
    return [
        (float(t), decide_leading(matrix, rank, reduction.policy))
        for t, matrix in zip(chosen.t, matrices, strict=True)
        if matrix.size and np.isfinite(matrix).all()
    ]


def looked_at(stretch: Stretch, shape: tuple[int, int]) -> np.ndarray:
    """Return the nodes, all if they are few, at which matrices of this shape may be decomposed."""
    size, (m, n) = stretch.nodes.t.size, shape
    stride = int(np.ceil(size * m**2 * n / WORK))
    return np.unique(np.append(np.arange(0, size, stride), size - 1))


class Regularity:
    """How far the system Jacobian, that of all equations, is from losing rank, in one scaling for a stretch.

    Equilibrating anew at each node would hide a row that shrinks to zero, and the scaling of one node would magnify a
    row that vanishes there by chance.
    """

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        nodes = np.unique(np.linspace(0, stretch.nodes.t.size - 1, SCALED).astype(int))
        matrix = np.linalg.norm(stretch.motion.system.jacobians(stretch.nodes[nodes], stretch.q), axis=0)
        self.usable = bool(matrix.size) and bool(np.isfinite(matrix).all())
        self._rows, self._columns = equilibrate(matrix)[1:] if self.usable else (matrix, matrix)
        self._rank = len(stretch.motion.system.reduction.certificate.base)
        self._regular = matrix.shape == (self._rank, self._rank)

    def __call__(self, nodes: Nodes, system: System | None = None) -> tuple[Array, Array]:
        """Return the last singular value of the rank at each node, and the sign of the determinant (1 if it is zero).

        The nodes are those of the stretch, or of another `system`, on other equations.
        """
        matrices = (system or self.stretch.motion.system).jacobians(nodes, self.stretch.q)
        scaled = self._rows[:, None] * np.nan_to_num(matrices) * self._columns
        least = least_singular_values(scaled, self._rank)
        return least, np.linalg.slogdet(scaled)[0] if self._regular else np.ones(least.size)

    def singular_time(self) -> float | None:
        """Return the first time at which the Jacobian loses rank between the nodes, or None."""
        if not self.usable:
            return None
        nodes = self.stretch.nodes[looked_at(self.stretch, (self._rows.size, self._columns.size))]
        least, sign = self(nodes)
        for k in range(least.size - 1):
            high = max(least[max(k - 1, 0)], least[k + 1])
            if sign[k] * sign[k + 1] < 0:
                found = self._crossing(nodes, k, sign[k])
            elif least[k] < FALLING * high and least[k] <= min(least[max(k - 1, 0)], least[k + 1]):
                found = self._minimum(nodes, k)
            else:
                continue
            if self._least(found) <= ZERO * max(high, least[k]):
                return found
        return None

    def _least(self, t: float) -> float:
        return float(self(self.stretch.at(np.array([t])))[0][0])

    def _crossing(self, nodes: Nodes, k: int, sign: float) -> float:
        """Locate the zero of det J between two nodes by bisection."""
        low, high = float(nodes.t[k]), float(nodes.t[k + 1])
        for _ in range(60):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            here = self(self.stretch.at(np.array([middle])))[1][0]
            low, high = (middle, high) if here == sign else (low, middle)
        return low

    def _minimum(self, nodes: Nodes, k: int) -> float:
        """Locate the least regular point around a node: a cusp, since J can vanish like |t - t*|."""
        from scipy.optimize import minimize_scalar

        first, last = float(nodes.t[max(k - 1, 0)]), float(nodes.t[k + 1])
        ends = (min(first, last), max(first, last))
        found = minimize_scalar(
            self._least, bounds=ends, method="bounded", options={"xatol": 1e-12 * (ends[1] - ends[0])}
        )
        return float(found.x)


def singular_beyond(stretches: Sequence[Stretch]) -> float:
    """Return where the Jacobian loses rank beyond the end of a path that no step could pass; else that end.

    Near the loss at t* the least singular value is sigma = C (t* - t)^p. So 1 / (log sigma)' = (t - t*) / p is linear,
    which gives a first t* and p, and sigma^(1/p) is smooth with a simple zero, which gives the last one.
    """
    tries = [_extrapolated(stretches[-count:]) for count in range(1, min(len(stretches), TRIED) + 1)]
    return min(tries)[1]


def _extrapolated(stretches: Sequence[Stretch]) -> tuple[float, float]:
    """Return how much the last t* differs from the first, relative to how far it is, and the last; inf and the end."""
    t, start = float(stretches[-1].nodes.t[-1]), float(stretches[0].nodes.t[0])
    regularity = Regularity(stretches[-1])
    if not regularity.usable or t == start:
        return np.inf, t
    points = t + (start - t) * np.array([0.0, 0.1, 0.5, 0.6])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(_least(regularity, stretches, points))
        slopes = np.diff(points)[::2] / np.diff(logs)[::2]  # (t - t*) / p
        middles = (points[::2] + points[1::2]) / 2
        power = np.diff(middles)[0] / np.diff(slopes)[0]
        beyond = middles[0] - power * slopes[0] - t
    if not np.isfinite(beyond) or beyond * (t - start) < 0 or 2 * abs(beyond) > abs(t - start):
        return np.inf, t
    power = POWERS[int(np.argmin(np.abs(np.log(np.maximum(power, 1e-3) / POWERS))))]
    points = t - 2 * beyond * np.linspace(0, 1, 5)
    values = _least(regularity, stretches, points) ** (1 / power)
    apart = values[:, None] - values + np.eye(values.size)
    with np.errstate(divide="ignore", invalid="ignore"):  # Lagrange: t as a function of sigma^(1/p), at 0
        weights = [np.prod(np.delete(-values, i)) / np.prod(apart[i]) for i in range(values.size)]
        found = float(points @ weights)
    changed = abs(found - t - beyond) / abs(beyond)
    return (changed, found) if changed <= 0.25 else (np.inf, t)


def _least(regularity: Regularity, stretches: Sequence[Stretch], points: Array) -> Array:
    """Return the least singular values at times on the last stretches."""
    values = []
    for point in points:
        owner = next(
            (s for s in reversed(stretches) if (point - s.nodes.t[0]) * (s.nodes.t[-1] - s.nodes.t[0]) >= 0),
            stretches[0],
        )
        values.append(float(regularity(owner.at(np.array([point])), owner.motion.system)[0][0]))
    return np.array(values)


def shrinkage(stretch: Stretch, end: Nodes, system: System) -> float:
    """Return by which factor the Jacobian is nearer to a loss of rank at a point than at the start of a stretch."""
    regularity = Regularity(stretch)
    if not regularity.usable:
        return 1.0
    before, after = float(regularity(stretch.nodes[:1])[0][0]), float(regularity(end, system)[0][0])
    return before / max(after, 1e-300)
