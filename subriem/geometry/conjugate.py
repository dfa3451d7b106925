"""Conjugate times: where the derivative of the exponential map loses rank, counted before they are located."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from subriem.core.equilibrated import singular_triplet
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.geometry.ample import common_units, is_abnormal
from subriem.geometry.geodesic import Geodesic

if TYPE_CHECKING:
    from subriem.geometry.subriemannian import SubRiemannian

#: Nodes between which crossings are counted, at least.
NODES = 100
#: Largest turn of a plane in an interval; of half a turn the sense is not known.
TURN = 2.0
#: Size of dq/dp(0) over that of dp/dp(0) around an interval, and how far around, in lengths of it.
SHARE, AROUND = 0.25, 4
#: An angle below this is not told from zero.
RESOLVED = 1e-10
#: Where an interval is parted, so that no conjugate time sits on both.
SHARES = (0.5, 0.4375)
#: Length of an interval with one conjugate time from which Newton's method starts, relative to those of the nodes;
#: distance of times that count as one, relative to the path.
NEAR, SAME = 1e-3, 1e-7
#: Newton steps to a conjugate time, and the singular value there over those at the ends of its interval.
ROUNDS, ZERO = 8, 1e-7


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
    resolved : float
        Time from which on all conjugate times are found; before, dq(t)/dp(0) is as good as singular, since directions
        of step s come in like a power of t. Infinite where the whole geodesic is so short, or abnormal.

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
    resolved: float = np.inf


def conjugate_times(geodesic: Geodesic) -> ConjugateTimes:
    """Return the conjugate times in (0, time], to the accuracy of the geodesic.

    They are counted first, then located by parting intervals, at last by Newton's method: on a manifold of dimension d
    the d-th singular value of dq/dp(0) vanishes there, linearly up to its sign, whatever the multiplicity.
    """
    structure = geodesic.structure
    if geodesic.time == 0.0:
        return ConjugateTimes(np.empty(0), (), False)
    times = np.linspace(0.0, geodesic.time, max(NODES, geodesic.t.size) + 1)[1:]
    matrices = geodesic.variations(times)
    planes = _windows(structure, times.size, matrices)
    unclear = np.zeros(times.size, dtype=bool)
    unclear[:-1] |= planes.touching[:, 0] > 0
    unclear[1:] |= planes.touching[:, 1] > 0
    clear = np.flatnonzero(~unclear)
    if not clear.size:
        middle = geodesic.state(geodesic.time / 2)
        return ConjugateTimes(np.empty(0), (), is_abnormal(geodesic.flow, middle, structure.dim, structure.policy))
    found, width = list[tuple[float, float, int]](), float(times[1] - times[0])
    for first, last in itertools.pairwise(clear):
        if last > first + 1 or planes.eventful[first]:
            found += _between(geodesic, float(times[first]), float(times[last]), NEAR * abs(width))
    if unclear[-1]:
        found.append((float(times[-1]), float(times[-1]), int(planes.touching[-1, 1])))
    merged, same = list[tuple[float, int]](), SAME * abs(geodesic.time)
    for first, last, count in found:
        t = _newton(geodesic, first, last)
        if t is None:  # a dip narrower than this: part on
            first, last, _ = next(iter(_between(geodesic, first, last, 0.0)), (first, last, count))
            t = _newton(geodesic, first, last)
        if merged and abs(first - merged[-1][0]) <= same:
            merged[-1] = (merged[-1][0], merged[-1][1] + count)
        else:
            merged.append(((first + last) / 2 if t is None else t, count))
    resolved = float(abs(times[clear[0]]))
    return ConjugateTimes(np.array([t for t, _ in merged]), tuple(count for _, count in merged), False, resolved)


class _Units(NamedTuple):
    """Units of q, of p, the inverse ones, and of p(0), each (I, 1, N), for many matrices at once."""

    rows: Array
    weights: Array
    columns: Array

    @classmethod
    def of(cls, moved: Array, bent: Array) -> _Units:
        """Return those in which I stacks of matrices, (I, m, N, N), are even, dq/dp(0) less than dp/dp(0)."""
        rows, columns = (part[:, None] for part in common_units(moved))
        weights = 1.0 / np.where(rows > 0, rows, np.inf)
        across = np.abs(rows[..., None] * moved * columns[..., None, :]).max(axis=(1, 2, 3))
        along = np.abs(weights[..., None] * bent * columns[..., None, :]).max(axis=(1, 2, 3))
        return cls(rows, weights * (across / (SHARE * along))[:, None, None], columns)


class _Planes:
    """Lagrangian planes of (dq, dp)(t)/dp(0) against the vertical one, at the ends of many intervals.

    With W = dq/dp(0) + i dp/dp(0) the matrix -conj(W) W^-1 is unitary, depends on the plane alone, and has the
    eigenvalue 1 as often as dq/dp(0) loses rank. H is convex in p, so that eigenvalues pass 1 one way only: their
    passages, known from the angles between two planes, count conjugate times with their multiplicities, however near
    they are to each other or to a kernel that comes by (Arnold's form of the Maslov index).

    Parameters
    ----------
    structure : SubRiemannian
    moved, bent : (I, 2, N, N) ndarray
        dq/dp(0), dp/dp(0) at the ends of I intervals.
    units : _Units
        Those of each interval, or of all: no plane crosses more or less for them, but it turns less in good ones.

    Attributes
    ----------
    crossings : (I,) ndarray of int
        Conjugate times in each interval, negative if a turn was mistaken.
    eventful : (I,) ndarray of bool
        Whether there are any, or the plane turns too much to know.
    touching : (I, 2) ndarray of int
        How many angles at its ends are as good as zero.
    """

    def __init__(self, structure: SubRiemannian, moved: Array, bent: Array, units: _Units) -> None:
        rows, weights, columns = units
        W = (rows[..., None] * moved + 1j * weights[..., None] * bent) * columns[..., None, :]
        unitary = -_transposed(np.linalg.solve(_transposed(W), _transposed(W.conj())))
        angles = np.angle(np.linalg.eigvals(unitary))
        conormals = structure.n - structure.dim  # on a redundant chart as many are zero all along
        by = np.argsort(np.abs(angles), axis=2)[..., conormals:]
        angles = np.take_along_axis(angles, by, axis=2)
        self.touching = (np.abs(angles) <= RESOLVED).sum(axis=2)
        turns = np.angle(np.linalg.eigvals(_transposed(unitary[:, 0].conj()) @ unitary[:, 1]))
        self.turns = np.abs(turns).max(axis=1)
        sums = np.mod(angles, 2 * np.pi).sum(axis=2)
        self.crossings = np.rint((turns.sum(axis=1) - sums[:, 1] + sums[:, 0]) / (2 * np.pi)).astype(int)
        self.eventful = (self.crossings != 0) | (self.turns > TURN)


def _transposed(matrices: NDArray[Any]) -> NDArray[Any]:
    return matrices.swapaxes(-1, -2)


def _windows(structure: SubRiemannian, count: int, matrices: tuple[Array, Array]) -> _Planes:
    """Return the planes at the ends of the intervals between nodes."""
    first = np.arange(count - 1)[:, None]
    window = np.clip(np.hstack([first, first + 1, first - AROUND, first + 1 + AROUND]), 0, count - 1)
    moved, bent = (part[window] for part in matrices)
    return _Planes(structure, moved[:, :2], bent[:, :2], _Units.of(moved, bent))


def _around(geodesic: Geodesic, first: float, last: float) -> _Units:
    """Return the units of an interval."""
    beside = AROUND * (last - first)
    times = np.array([first - beside, first, last, last + beside])
    times = np.clip(times, min(0.0, geodesic.time), max(0.0, geodesic.time))
    return _Units.of(*(part[None] for part in geodesic.variations(times)))


def _parted(geodesic: Geodesic, first: float, last: float, share: float, units: _Units) -> tuple[float, _Planes]:
    """Return a time in an interval, and the planes at the ends of both parts and of the whole."""
    middle = first + share * (last - first)
    matrices = geodesic.variations(np.array([first, middle, last]))
    moved, bent = (part[[[0, 1], [1, 2], [0, 2]]] for part in matrices)
    return middle, _Planes(geodesic.structure, moved, bent, units)


def _between(
    geodesic: Geodesic, first: float, last: float, near: float, units: _Units | None = None
) -> list[tuple[float, float, int]]:
    """Return intervals with conjugate times and how many, in the order of the path.

    Those with one are at most as long as `near`, those with several so short that they count as one.
    """
    scale = _around(geodesic, first, last) if units is None else units
    middle, planes = _parted(geodesic, first, last, SHARES[0], scale)
    if planes.touching[0, 1]:
        middle, planes = _parted(geodesic, first, last, SHARES[1], scale)
    if planes.touching[0, 1]:  # the angle is as good as zero at both
        return [(middle, middle, max(int(planes.crossings[2]), 1))]
    found, short = list[tuple[float, float, int]](), SAME * abs(geodesic.time) / 4
    for i, (a, b) in enumerate([(first, middle), (middle, last)]):
        count, length = int(planes.crossings[i]), abs(b - a)
        if length <= short or (count == 1 and length <= near and planes.turns[i] <= TURN):
            found += [(a, b, count)] * (count > 0)
        elif planes.eventful[i]:
            found += _between(geodesic, a, b, near, scale if planes.turns[i] <= TURN else None)
    return found


def _newton(geodesic: Geodesic, first: float, last: float) -> float | None:
    """Return the zero of the singular value number dim near an interval, None if Newton's method does not settle.

    With its singular vectors a and b its derivative is a^T (dq/dp(0))' b.
    """
    slack = max(abs(last - first), SAME * abs(geodesic.time))
    low = max(min(first, last) - slack, min(0.0, geodesic.time))
    high = min(max(first, last) + slack, max(0.0, geodesic.time))
    ends = np.array([low, high])
    rows, columns = common_units(geodesic.derivatives(ends)[0])

    def step(t: float) -> tuple[float, float]:
        (matrix,), (rate,) = (rows[:, None] * part * columns for part in geodesic.derivatives(np.array([t])))
        sigma, a, b = singular_triplet(matrix, geodesic.structure.dim)
        slope = float(a @ rate @ b)
        return sigma, (sigma / slope if slope else 0.0)

    around, t = max(step(low)[0], step(high)[0]), (first + last) / 2
    for _ in range(ROUNDS):
        sigma, change = step(t)
        if sigma <= EPS * around:
            break
        t = float(np.clip(t - change, low, high))
    return t if step(t)[0] <= ZERO * around else None
