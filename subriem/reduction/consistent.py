"""Consistent points: values of all jets that satisfy the equations and their derivatives, near what the user gave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from subriem.core.errors import InconsistentError, ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.validate import real_array
from subriem.reduction.jets import jet_name
from subriem.reduction.newton import (
    TOLERANCE,
    contradicted,
    iterate,
    iterate_by_levels,
    levels,
    relative_residuals,
    scaled_residuals,
)
from subriem.reduction.protocols import JetSystem, NamedDAE, Place

#: Starts tried for the values the user left open: zero, then random ones.
STARTS = 8
#: Distance of other starts from given values, relative to their size.
ASTRAY = 0.1
#: How much less the change of an open value costs than that of a given one.
OPEN = 100.0
_JET = re.compile(r"(?P<name>[^'^]+?)(?:(?P<primes>'+)|\^\((?P<order>\d+)\))?$")


@dataclass(frozen=True, eq=False)
class ConsistentPoint:
    """A consistent point.

    Attributes
    ----------
    t : float
    jets : ndarray
        Values at `columns`.
    columns : tuple of (int, int)
        (j, l) of each value.
    residual : float
        Largest residual, relative to the terms of its equation.
    moved : float
        Largest change of a value the user gave.
    """

    t: float
    jets: Array
    columns: tuple[Place, ...]
    residual: float
    moved: float

    def values(self, places: Iterable[Place]) -> Array:
        """Return the values of the jets at the given places."""
        position = {place: index for index, place in enumerate(self.columns)}
        return self.jets[[position[place] for place in places]]


def jet_places(dae: NamedDAE, name: str) -> list[Place]:
    """Return the places (j, k) of a name like x', theta, theta[3]'' or theta^(4).

    Raises
    ------
    ProblemError
        If there is no such variable.
    """
    found = _JET.match(name) if isinstance(name, str) else None
    if found is None:
        raise ProblemError("this is not the name of a jet", repr(name), "x, x', theta[3] or y^(4)", "check it")
    order = int(found["order"]) if found["order"] else len(found["primes"] or "")
    return [(j, order) for j in dae.entries(found["name"].strip())]


def given_values(dae: NamedDAE, at: Mapping[str, Any] | None, known: Iterable[Place]) -> dict[Place, float]:
    """Return the values of a mapping such as {"x": 0.6, "x'": 0, "theta": array} by place.

    Raises
    ------
    ProblemError
        If a name is unknown, a length is wrong, a value is not finite, or a derivative does not occur.
    """
    if at is not None and not isinstance(at, Mapping):
        raise ProblemError("at is no mapping", type(at).__name__, "{'x': 0.6, \"x'\": 0.0}", "name each value")
    available = set(known)
    found: dict[Place, float] = {}
    for name, value in (at or {}).items():
        places = jet_places(dae, name)
        values = real_array(np.atleast_1d(value), f"at[{name!r}]", ndim=1)
        if values.size != len(places):
            raise ProblemError(
                f"at[{name!r}] has the wrong length", f"{values.size} values", f"{len(places)} values", "check it"
            )
        _check_known(dae, f"at[{name!r}]", places, available)
        found.update(zip(places, map(float, values), strict=True))
    return found


def fixed_places(dae: NamedDAE, fix: str | Iterable[str], known: Iterable[Place]) -> list[Place]:
    """Return the places of the names in fix.

    Raises
    ------
    ProblemError
        If a name is unknown, or a derivative does not occur.
    """
    available, found = set(known), []
    for name in [fix] if isinstance(fix, str) else fix:
        places = jet_places(dae, name)
        _check_known(dae, f"{name} in fix", places, available)
        found += places
    return found


def _check_known(dae: NamedDAE, what: str, places: Iterable[Place], available: set[Place]) -> None:
    missing = [jet_name(dae.variables[j], k) for j, k in places if (j, k) not in available]
    if missing:
        raise ProblemError(
            f"{what} is a derivative that does not occur in the differentiated equations",
            ", ".join(missing[:6]),
            "a lower derivative",
            "leave it out",
        )


def consistent_point(
    system: JetSystem,
    t: float,
    q: Array,
    given: Mapping[Place, float],
    *,
    fix: Iterable[Place] = (),
    weights: Mapping[Place, float] | None = None,
    rank: RankPolicy,
    guess: Mapping[Place, float] | None = None,
    seed: int = 0,
) -> ConsistentPoint:
    """Find values of all jets that satisfy the differentiated equations, near the given ones.

    Parameters
    ----------
    system : Prolongation or NumericJets
    t : float
    q : ndarray
        Data of the DAE.
    given : mapping
        Values by place; the others are open. First only the open ones move, from several starts; if that cannot
        satisfy the equations, the given ones move too, by least norm and level by level (see `iterate_by_levels`): so
        about by their distance to the set of solutions.
    fix : iterable of places
        Never moved.
    weights : mapping, optional
        A value with weight w costs w times its change, 1 unless given.
    rank : RankPolicy
    guess : mapping, optional
        First values of what is open, 0 where there is none.
    seed : int
        Of the starts tried for open values after these.

    Raises
    ------
    InconsistentError
        If no start led to a point; names the equations that contradict each other, with their residuals.
    """
    columns = system.columns
    held = np.array([place in given for place in columns], dtype=bool)
    fixed = np.isin(np.arange(len(columns)), [columns.index(place) for place in fix])
    cost = np.array([(weights or {}).get(place, 1.0) for place in columns])
    first = {**(guess or {}), **given}
    start = np.array([first.get(place, 0.0) for place in columns])
    best: tuple[float, Array] | None = None
    for jets in _candidates(system, t, q, start, held, fixed, np.where(held, 1.0, OPEN) / cost, seed):
        residual = float(relative_residuals(system, t, q, jets).max(initial=0.0))
        if residual <= TOLERANCE:
            moved = float(np.abs(jets - start)[held].max(initial=0.0))
            return ConsistentPoint(t, jets, columns, residual, moved)
        if np.isfinite(residual) and (best is None or residual < best[0]):
            best = residual, jets
    raise _inconsistent(system, t, q, start if best is None else best[1])


def _candidates(
    system: JetSystem,
    t: float,
    q: Array,
    start: Array,
    held: np.ndarray,
    fixed: np.ndarray,
    scales: Array,
    seed: int,
) -> Iterator[Array]:
    """Yield jets that may satisfy all equations: given values stay while any start of the others may do, then move."""
    generator = np.random.default_rng(seed)
    open_ = ~held & ~fixed

    def others(jets: Array, moving: np.ndarray) -> Iterator[Array]:
        """Yield other starts of the moving values up to the lowest level that failed, near those that are given."""
        row_levels, column_levels = levels(system)
        failed = row_levels[relative_residuals(system, t, q, jets) > TOLERANCE]
        spread = np.where(held, ASTRAY * (1 + np.abs(start)), 1.0) * (moving & (column_levels <= failed.min(initial=0)))
        for _ in range(STARTS - 1):
            yield start + spread * generator.standard_normal(start.size)

    if held.any() and open_.any():
        jets = iterate_by_levels(system, t, q, start, open_)
        yield jets
        yield iterate(system, t, q, jets, np.flatnonzero(open_))
        if not contradicted(system, t, q, start, open_):
            for base in others(jets, open_):
                yield iterate_by_levels(system, t, q, base, open_)
    if fixed.all():
        yield start
        return
    movable = np.flatnonzero(~fixed)
    for base in chain([start], others(start, ~fixed)):
        jets = iterate_by_levels(system, t, q, base, ~fixed, scales)
        yield jets
        for first in (jets, base):
            for units in (scales, None):
                yield iterate(system, t, q, first, movable, units)


def _inconsistent(system: JetSystem, t: float, q: Array, jets: Array) -> InconsistentError:
    values = scaled_residuals(system, t, q, jets)
    raw = system.residual(t, jets, q)
    if not np.isfinite(values).all():
        bad = [system.row_name(system.rows[i]) for i in np.flatnonzero(~np.isfinite(raw))]
        return InconsistentError(
            "the equations are not finite at the start",
            f"{', '.join(bad[:6]) or 'a derivative'} at t = {t:.6g}",
            "finite values",
            "give a start at which every equation is defined, by at={…}",
        )
    order = np.argsort(-np.abs(values))
    worst = [int(i) for i in order if abs(values[i]) > 0.05 * abs(values[order[0]])][:6]
    got = "; ".join(f"{system.row_name(system.rows[i])} = {raw[i]:.3g}" for i in worst)
    names = list(dict.fromkeys(system.dae.equations[system.rows[i][0]] for i in worst))
    return InconsistentError(
        f"no consistent point was found: {_cannot(names)}",
        f"residuals {got} at t = {t:.6g}, the best of {STARTS} starts",
        "all equations and their derivatives zero at one point",
        "a start nearer to a solution by at={…}, fewer values in fix=, or check these equations",
    )


def _cannot(names: list[str]) -> str:
    if len(names) == 1:
        return f"equation {names[0]} cannot be satisfied"
    return f"equations {', '.join(names)} cannot be satisfied together"
