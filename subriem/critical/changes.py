"""Where the index changes along a curve of rest points: folds, crossings and Hopf points, located between charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.core.rank import EPS, RankPolicy
from subriem.critical.charts import Charts
from subriem.critical.component import Change
from subriem.critical.crossing import CLOSER, Arc, Stretch, arc, hermite
from subriem.critical.dimension import rank_at
from subriem.critical.measure import links
from subriem.critical.problem import RestProblem
from subriem.critical.stability import Stability, spectrum_across
from subriem.critical.system import System

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
    changes between two charts has a zero there, which Brent's method finds on the curve as it is interpolated between
    them: there the corrector may be singular. Changes that undo each other between two charts are not seen. As many
    eigenvalues as vanish on all of the curve are left out, those nearest to 0.
    """
    determined = motion.nullity[motion.nullity >= 0]
    across = _Across(system, problem, charts, meetings, policy, int(determined.min(initial=problem.map.n_in)))
    found = [
        change
        for i, j in links(charts.points, charts.tangents, charts.edges()).tolist()
        for change in across.changes(i, j, motion.spectrum)
    ]
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Across:
    """The motion across a curve; `idle` eigenvalues vanish on all of it."""

    system: System
    problem: RestProblem
    charts: Charts
    meetings: Array
    policy: RankPolicy
    idle: int

    def changes(self, i: int, j: int, spectra: NDArray[np.complex128]) -> Iterator[Change]:
        """Yield the changes between two neighbouring charts."""
        here, there = self._moving(spectra[i]).real, self._moving(spectra[j]).real
        if here.size != there.size:
            return  # of a DAE whose number of states changes
        levels = np.flatnonzero((here > 0) != (there > 0)).tolist()
        if not levels:
            return
        tangent = self.charts.tangents[i]
        v = tangent @ (tangent.T @ (self.charts.points[j] - self.charts.points[i]))
        cubic = partial(hermite, self.charts, Stretch(i, v, 0.0, 1.0, ((j, 1.0),), False))
        places = [(*self._place(i, cubic, level, (here[level], there[level])), level) for level in levels]
        places.sort(key=lambda place: place[0])
        for _, group in groupby(places, key=lambda place: round(place[0] / TOGETHER)):
            yield self._change(list(group), rising=bool(there[levels[0]] > 0))

    def _moving(self, spectrum: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the eigenvalues by decreasing real part, without those that are idle."""
        known = spectrum[~np.isnan(spectrum)]
        known = known[np.argsort(np.abs(known), kind="stable")[self.idle :]]
        return known[np.argsort(-known.real, kind="stable")]

    def _spectrum(self, path: Path, s: float) -> NDArray[np.complex128]:
        tangent = _tangent(path, s)[:, None]
        return self._moving(spectrum_across(self.problem, path(s), tangent, self.policy))

    def _place(self, i: int, path: Path, level: int, ends: tuple[float, float]) -> tuple[float, Path]:
        """Return where the real part of this place in the spectrum is zero, with the curve: the cubic at worst."""
        first, last, place = 0.0, 1.0, 0.5
        for _ in range(2):
            found = arc(self.system, self.charts, i, path, first, last)
            path = found if found is not None else path
            rate = partial(self._rate, path, level)
            low, high = ends if last - first == 1.0 else (rate(first), rate(last))
            if low * high > 0:  # the first answer was as good
                break
            place = _zero(rate, first, last, low, high)
            if found is None:
                break
            first, last = place - CLOSER, place + CLOSER
        return place, path

    def _rate(self, path: Path, level: int, s: float) -> float:
        """Return the real part at a place of the spectrum."""
        return float(self._spectrum(path, s)[level].real)

    def _change(self, group: list[tuple[float, Path, int]], *, rising: bool) -> Change:
        """Return the change at a place where eigenvalues pass together."""
        s, path, level = group[0]
        z, tangent = path(s), _tangent(path, s)
        levels = [level for *_, level in group]
        index = (min(levels), max(levels) + 1) if rising else (max(levels) + 1, min(levels))
        if tangent[np.argmax(np.abs(tangent))] < 0:
            tangent, index = -tangent, (index[1], index[0])
        frequency = abs(float(self._spectrum(path, s)[level].imag))
        apart = np.linalg.norm(self.meetings - z, axis=1) if len(self.meetings) else np.array([np.inf])
        nearest = int(np.argmin(apart))
        if apart[nearest] <= MEETS * self.charts.h:
            z, kind, frequency = self.meetings[nearest], "crossing", 0.0
        elif frequency:
            kind = "hopf"
        else:
            kind = "fold" if rank_at(self.system, z, self.policy).rank == z.size - 1 else "crossing"
        return Change(z, kind, index, tangent, frequency, self.system.norm(z))


def _zero(rate: Callable[[float], float], first: float, last: float, low: float, high: float) -> float:
    """Return a zero of a function with these values at the ends."""
    from scipy.optimize import brentq

    known = {first: low, last: high}
    return float(brentq(lambda s: known[s] if s in known else rate(s), first, last, xtol=EPS, rtol=4 * EPS))


def _tangent(path: Path, s: float) -> Array:
    """Return the unit vector along the curve."""
    if isinstance(path, Arc):
        return path.tangent(s)
    chord = path(s + CLOSER) - path(s - CLOSER)
    return chord / np.linalg.norm(chord)
