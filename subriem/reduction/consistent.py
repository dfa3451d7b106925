"""Consistent points: values of all jets that satisfy the equations and their derivatives, near what the user gave."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_array, diags_array

from subriem.core.errors import InconsistentError, ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.sparse import damped_gauss_newton, equilibrate_sparse, row_lengths
from subriem.core.validate import real_array
from subriem.reduction.jets import jet_name
from subriem.reduction.protocols import JetSystem, NamedDAE, Place

#: Largest residual of a consistent point, each equation divided by the length of its gradient, relative to the size of
#: the point.
TOLERANCE = 1e-9
#: Residual at which an iteration ends: far below the tolerance, since ranks are decided at the point.
FINE = 3e-14
#: Starts tried for the values the user left open: zero, then random ones.
STARTS = 8
#: Rounds of scaling the equations by their gradients and iterating.
ROUNDS = 3
#: Length of the way on which a gradient must not collapse, relative to the size of each value.
ASIDE = 1e-8
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
        Largest residual, each equation divided by the length of its gradient.
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
        Values by place; the others are open. First only the open ones move; if that cannot satisfy the equations, the
        given ones move too, by least norm.
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
    held = np.array([place in given for place in columns])
    fixed = np.isin(np.arange(len(columns)), [columns.index(place) for place in fix])
    cost = np.array([(weights or {}).get(place, 1.0) for place in columns])
    first = {**(guess or {}), **given}
    start = np.array([first.get(place, 0.0) for place in columns])
    generator = np.random.default_rng(seed)
    best: tuple[float, Array] | None = None
    open_, movable = np.flatnonzero(~held & ~fixed), np.flatnonzero(~fixed)
    ways: list[tuple[np.ndarray, Array | None]] = [(movable, 1.0 / cost), (movable, None)]
    ways = [(open_, None), *ways] if held.any() else ways[::-1]
    for attempt in range(STARTS):
        base = start if attempt == 0 else np.where(held, start, generator.standard_normal(start.size))
        for moving, scales in ways:
            if not moving.size:
                continue
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # as in `is_consistent`
                jets = iterate(system, t, q, base, moving, scales)
                residual = _residual(system, t, q, jets)
            if residual <= _tolerance(jets):
                moved = float(np.abs(jets - start)[held].max()) if held.any() else 0.0
                return ConsistentPoint(t, jets, columns, residual, moved)
            if np.isfinite(residual) and (best is None or residual < best[0]):
                best = residual, jets
    raise _inconsistent(system, t, q, start if best is None else best[1])


def iterate(system: JetSystem, t: float, q: Array, base: Array, free: np.ndarray, scales: Array | None = None) -> Array:
    """Return the jets after damped Gauss-Newton rounds, the equations scaled anew by their gradients at each round.

    Parameters
    ----------
    base : ndarray
        Start.
    free : ndarray of int
        Positions of the jets that may move.
    scales : ndarray, optional
        Units of the jets: the change of least norm is taken in them. Unless given, those that equilibrate the
        Jacobian: so nothing depends on the units of the problem.
    """
    left = np.inf
    for _ in range(ROUNDS):
        start, size = base, 1 + float(np.abs(base).max())
        matrix = csc_array(system.sparse_jacobian(t, start, q)[:, free])
        if not np.isfinite(matrix.data).all():
            return base
        units = equilibrate_sparse(matrix)[2] if scales is None else scales[free]
        rows = _inverse(row_lengths(csc_array(matrix @ diags_array(units))))

        def point(u: Array, start: Array = start, units: Array = units) -> Array:
            jets = start.copy()
            jets[free] += units * u
            return jets

        def value(u: Array, rows: Array = rows, point: Callable[[Array], Array] = point) -> Array:
            return rows * system.residual(t, point(u), q)

        def jacobian(
            u: Array, rows: Array = rows, units: Array = units, point: Callable[[Array], Array] = point
        ) -> csc_array:
            return csc_array(diags_array(rows) @ system.sparse_jacobian(t, point(u), q)[:, free] @ diags_array(units))

        zero = np.zeros(free.size)
        previous, left = left, float(np.linalg.norm(value(zero)))
        if not np.isfinite(left) or left <= FINE * size or left > previous / 2:
            return base
        base = point(damped_gauss_newton(value, jacobian, zero, FINE * size))
    return base


def scaled_residuals(system: JetSystem, t: float, q: Array, jets: Array) -> Array:
    """Return each residual over the length of its gradient, which is about the distance to its zero set."""
    lengths = row_lengths(csc_array(system.sparse_jacobian(t, jets, q)[:, :-1]))
    return system.residual(t, jets, q) * _inverse(lengths)


def _inverse(lengths: Array) -> Array:
    return 1.0 / np.where(lengths > 0, lengths, 1.0)


def is_consistent(system: JetSystem, t: float, q: Array, jets: Array) -> bool:
    """Return whether the jets satisfy all equations within the tolerance."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite is not a point
        return _residual(system, t, q, jets) <= _tolerance(jets)


def _tolerance(jets: Array) -> float:
    return TOLERANCE * (1 + float(np.abs(jets).max(initial=0.0)))


def _residual(system: JetSystem, t: float, q: Array, jets: Array) -> float:
    """Return the largest residual over the length of its gradient, the least one on a small way from the point.

    Beside a point where it is infinite a gradient makes any residual look small: sqrt(y) = 1 at y = 1e-30.
    """
    values = np.abs(system.residual(t, jets, q))
    lengths = row_lengths(csc_array(system.sparse_jacobian(t, jets, q)[:, :-1]))
    way = ASIDE * (1 + np.abs(jets)) * np.random.default_rng(0).standard_normal(jets.size)
    for aside in (jets + way, jets - way):
        lengths = np.fmin(lengths, row_lengths(csc_array(system.sparse_jacobian(t, aside, q)[:, :-1])))
    values = values * _inverse(lengths)
    return float(values.max(initial=0.0)) if np.isfinite(values).all() else np.inf


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
