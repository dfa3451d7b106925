"""Where the index changes along a curve of rest points: folds, crossings and Hopf points, located between charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.core.rank import EPS, RankPolicy
from subriem.critical.arc import CLOSER, Arc, arc, cubic
from subriem.critical.charts import Chart, Charts
from subriem.critical.component import Change
from subriem.critical.dimension import rank_at
from subriem.critical.measure import links
from subriem.critical.problem import RestProblem
from subriem.critical.stability import Stability, spectrum_across
from subriem.critical.system import System

#: Places between two charts where the spectrum is looked at, by the share of the step.
NODES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
#: A curve near two charts: its points by the share of the step.
Path = Callable[[float], Array]
#: Eigenvalues that pass nearer to each other than this, in units of the spacing of the charts, pass together.
TOGETHER = 1e-6
#: A known change of the rank is met here if it is nearer than this, in units of the spacing.
MEETS = 1e-4


def stability_changes(
    system: System, problem: RestProblem, charts: Charts, motion: Stability, meetings: Array, policy: RankPolicy
) -> tuple[Change, ...]:
    """Return the places of a curve where eigenvalues across it pass the imaginary axis.

    Parameters
    ----------
    system : System
    problem : RestProblem
        With `linearize`.
    charts : Charts
        Of a curve.
    motion : Stability
        At each chart.
    meetings : (M, n) ndarray
        Points where the rank of F is known to fall.
    policy : RankPolicy

    Returns
    -------
    tuple of Change

    Notes
    -----
    With the real parts r_0 >= r_1 >= … of the spectrum, the index is above c where r_c > 0. So each r_c whose sign
    changes has a zero there, which Brent's method finds on the curve as it is interpolated between two charts: there
    the corrector may be singular. Between charts at which an r_c is less than its change, more points of the curve are
    looked at, so that changes are seen which undo each other. As many eigenvalues as vanish on all of the curve are
    left out, those nearest to 0; where an r_c becomes and stays 0, the place is where it leaves the roundoff.
    """
    determined = motion.nullity[motion.nullity >= 0]
    size = float(np.abs(motion.spectrum[~np.isnan(motion.spectrum)]).max(initial=0.0))
    across = _Across(
        system, problem, charts, meetings, policy, int(determined.min(initial=problem.map.n_in)),
        policy.floor(0.0, size),
    )  # fmt: skip
    steps = links(charts.points, charts.tangents, charts.edges()).tolist()
    return tuple(change for i, j in steps for change in across.changes(i, j, motion.spectrum))


@dataclass(frozen=True, eq=False)
class _Across:
    """The motion across a curve: `idle` eigenvalues vanish on all of it, real parts up to `floor` are roundoff."""

    system: System
    problem: RestProblem
    charts: Charts
    meetings: Array
    policy: RankPolicy
    idle: int
    floor: float

    def changes(self, i: int, j: int, spectra: NDArray[np.complex128]) -> Iterator[Change]:
        """Yield the changes between two neighbouring charts, in their order."""
        here, there = self._moving(spectra[i]).real, self._moving(spectra[j]).real
        if here.size != there.size or not self._may_change(here, there):  # of a DAE the number of states may change
            return
        tangent = self.charts.tangents[i]
        v = tangent @ (tangent.T @ (self.charts.points[j] - self.charts.points[i]))
        chart = self.charts.chart(i)
        near = partial(cubic, chart, v, 1.0, self.charts.points[j], self.charts.tangents[j])
        path = arc(self.system, chart, self.charts.h, near, 0.0, 1.0) or near
        places = [0.0, *NODES, 1.0]
        rates = [here, *(self._spectrum(path, s).real for s in NODES), there]
        for (first, low), (last, high) in pairwise(zip(places, rates, strict=True)):
            levels = np.flatnonzero((low > self.floor) != (high > self.floor)).tolist()
            found = [self._place(chart, path, level, (first, last), (low[level], high[level])) for level in levels]
            ordered = sorted(zip(found, levels, strict=True), key=lambda pair: pair[0][0])
            for _, group in groupby(ordered, key=lambda pair: round(pair[0][0] / TOGETHER)):
                together = list(group)
                passing = [level for _, level in together]
                yield self._change(*together[0][0], passing, rising=bool(high[levels[0]] > self.floor))

    def _may_change(self, here: Array, there: Array) -> bool:
        """Whether real parts pass 0 between two charts, or may do so and come back."""
        near = np.minimum(np.abs(here), np.abs(there)) <= np.abs(there - here)
        still = np.maximum(np.abs(here), np.abs(there)) <= self.floor
        return bool((near & ~still).any())

    def _moving(self, spectrum: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the eigenvalues by decreasing real part, without those that are idle."""
        known = spectrum[~np.isnan(spectrum)]
        known = known[np.argsort(np.abs(known), kind="stable")[self.idle :]]
        return known[np.argsort(-known.real, kind="stable")]

    def _spectrum(self, path: Path, s: float) -> NDArray[np.complex128]:
        tangent = _tangent(path, s)[:, None]
        return self._moving(spectrum_across(self.problem, path(s), tangent, self.policy))

    def _place(
        self, chart: Chart, path: Path, level: int, ends: tuple[float, float], rates: tuple[float, float]
    ) -> tuple[float, Path]:
        """Return where the real part at a place of the spectrum passes 0, with the curve near it."""
        zero = 0.0 if min(rates) < -self.floor else self.floor
        s = _zero(partial(self._above, path, level, zero), ends, (rates[0] - zero, rates[1] - zero))
        around = (s - CLOSER, s + CLOSER)
        nearer = arc(self.system, chart, self.charts.h, path, *around)
        if nearer is None:
            return s, path
        low, high = (self._above(nearer, level, zero, end) for end in around)
        if low * high > 0:  # another change is as near
            return s, path
        return _zero(partial(self._above, nearer, level, zero), around, (low, high)), nearer

    def _above(self, path: Path, level: int, zero: float, s: float) -> float:
        """Return by how much a real part is above one that counts as 0."""
        return float(self._spectrum(path, s)[level].real) - zero

    def _change(self, s: float, path: Path, levels: list[int], *, rising: bool) -> Change:
        """Return the change at a place where eigenvalues pass together."""
        z, tangent = path(s), _tangent(path, s)
        index = (min(levels), max(levels) + 1) if rising else (max(levels) + 1, min(levels))
        if tangent[np.argmax(np.abs(tangent))] < 0:
            tangent, index = -tangent, (index[1], index[0])
        real = len(levels) % 2 == 1  # complex ones pass in pairs
        frequency = 0.0 if real else abs(float(self._spectrum(path, s)[levels[0]].imag))
        apart = np.linalg.norm(self.meetings - z, axis=1) if len(self.meetings) else np.array([np.inf])
        nearest = int(np.argmin(apart))
        if apart[nearest] <= MEETS * self.charts.h:
            z, kind, frequency = self.meetings[nearest], "crossing", 0.0
        elif frequency:
            kind = "hopf"
        else:
            kind = "fold" if rank_at(self.system, z, self.policy).rank == z.size - 1 else "crossing"
        return Change(z, kind, index, tangent, frequency, self.system.norm(z))


def _zero(function: Callable[[float], float], ends: tuple[float, float], values: tuple[float, float]) -> float:
    """Return a zero of a function with these values at the ends."""
    from scipy.optimize import brentq

    known = dict(zip(ends, values, strict=True))
    return float(brentq(lambda s: known[s] if s in known else function(s), *ends, xtol=EPS, rtol=4 * EPS))


def _tangent(path: Path, s: float) -> Array:
    """Return the unit vector along the curve."""
    if isinstance(path, Arc):
        return path.tangent(s)
    chord = path(s + CLOSER) - path(s - CLOSER)
    return chord / np.linalg.norm(chord)
