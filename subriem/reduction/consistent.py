"""Consistent points: values of all jets that satisfy the equations and their derivatives, near what the user gave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_array, diags_array

from subriem.core.errors import InconsistentError, ProblemError
from subriem.core.gaussnewton import gauss_newton
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.sparse import damped_gauss_newton, row_lengths
from subriem.core.validate import real_array
from subriem.reduction.dae import DAE
from subriem.reduction.jets import jet_name
from subriem.reduction.prolongation import Place, Prolongation

#: Largest residual of a consistent point, each equation divided by the length of its gradient, relative to the size of
#: the point.
TOLERANCE = 1e-9
#: Residual at which an iteration ends: far below the tolerance, since ranks are decided at the point.
FINE = 3e-14
#: Entries of a Jacobian above which steps are solved by sparse LU instead of dense factors.
LARGE = 300_000
#: Starts tried for the values the user left open: zero, then random ones.
STARTS = 8
#: Rounds of scaling the equations by their gradients and iterating.
ROUNDS = 3
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


def jet_places(dae: DAE, name: str) -> list[Place]:
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


def given_values(dae: DAE, at: Mapping[str, Any] | None, known: Iterable[Place]) -> dict[Place, float]:
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
        missing = [place for place in places if place not in available]
        if missing:
            raise ProblemError(
                f"at[{name!r}] is a derivative that does not occur in the differentiated equations",
                jet_name(dae.variables[missing[0][0]], missing[0][1]),
                "a lower derivative",
                f"leave out {name!r}",
            )
        found.update(zip(places, map(float, values), strict=True))
    return found


class _Scaled:
    """The map u -> R F(jets + W u) of the jets that may move, as `gauss_newton` takes it."""

    capabilities: frozenset[str] = frozenset()

    def __init__(self, system: Prolongation, t: float, q: Array, base: Array, free: np.ndarray, weights: Array) -> None:
        self.system, self.t, self.q, self.base, self.free, self.weights = system, t, q, base, free, weights
        self.n_in, self.n_out = int(free.size), len(system.rows)
        self.scale = _inverse(row_lengths(system.sparse_jacobian(t, base, q)[:, free]))

    def point(self, u: Array) -> Array:
        jets = self.base.copy()
        jets[self.free] += self.weights * u
        return jets

    def value(self, u: Array) -> Array:
        return self.scale * self.system.residual(self.t, self.point(u), self.q)

    def sparse_jacobian(self, u: Array) -> csc_array:
        matrix = self.system.sparse_jacobian(self.t, self.point(u), self.q)[:, self.free]
        return csc_array(diags_array(self.scale) @ matrix @ diags_array(self.weights))

    def jacobian(self, u: Array) -> Array:
        return self.sparse_jacobian(u).toarray()

    def jvp(self, u: Array, v: Array) -> Array:
        return self.sparse_jacobian(u) @ v

    def vjp(self, u: Array, w: Array) -> Array:
        return self.sparse_jacobian(u).T @ w


def consistent_point(
    system: Prolongation,
    t: float,
    q: Array,
    given: Mapping[Place, float],
    *,
    fix: Iterable[Place] = (),
    weights: Mapping[Place, float] | None = None,
    rank: RankPolicy,
    seed: int = 0,
) -> ConsistentPoint:
    """Find values of all jets that satisfy the differentiated equations, near the given ones.

    Parameters
    ----------
    system : Prolongation
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
    seed : int
        Of the starts tried for open values, after zero.

    Raises
    ------
    InconsistentError
        If no start led to a point; names the equations that contradict each other, with their residuals.
    """
    columns = system.columns
    held = np.array([place in given for place in columns])
    fixed = np.isin(np.arange(len(columns)), [columns.index(place) for place in fix])
    cost = np.array([(weights or {}).get(place, 1.0) for place in columns])
    start = np.array([given.get(place, 0.0) for place in columns])
    generator = np.random.default_rng(seed)
    best: tuple[float, Array] | None = None
    for attempt in range(STARTS):
        base = start if attempt == 0 else np.where(held, start, generator.standard_normal(start.size))
        for moving in (~held & ~fixed, ~fixed) if held.any() else (~fixed,):
            if not moving.any():
                continue
            jets = iterate(system, t, q, base, np.flatnonzero(moving), 1.0 / cost, rank)
            residual = _residual(system, t, q, jets)
            if residual <= _tolerance(jets):
                moved = float(np.abs(jets - start)[held].max()) if held.any() else 0.0
                return ConsistentPoint(t, jets, columns, residual, moved)
            if np.isfinite(residual) and (best is None or residual < best[0]):
                best = residual, jets
    raise _inconsistent(system, t, q, start if best is None else best[1])


def iterate(
    system: Prolongation, t: float, q: Array, base: Array, free: np.ndarray, weights: Array, rank: RankPolicy
) -> Array:
    """Return the jets after Gauss-Newton rounds, the equations scaled anew by their gradients at each round."""
    large = len(system.rows) * free.size > LARGE
    for _ in range(ROUNDS):
        scaled = _Scaled(system, t, q, base, free, weights[free])
        zero, size = np.zeros(scaled.n_in), 1 + float(np.abs(base).max())
        if not np.isfinite(scaled.value(zero)).all() or not np.isfinite(scaled.sparse_jacobian(zero).data).all():
            return base
        if large:
            u = damped_gauss_newton(scaled.value, scaled.sparse_jacobian, zero, FINE * size)
        else:
            target = np.zeros(scaled.n_out)
            u = gauss_newton(scaled, zero, target, rank=rank, freeze=False, steps=40).theta
        base = scaled.point(u)
        if float(np.linalg.norm(scaled.value(u))) <= FINE * size:
            break
    return base


def scaled_residuals(system: Prolongation, t: float, q: Array, jets: Array) -> Array:
    """Return each residual over the length of its gradient, which is about the distance to its zero set."""
    lengths = row_lengths(csc_array(system.sparse_jacobian(t, jets, q)[:, :-1]))
    return system.residual(t, jets, q) * _inverse(lengths)


def _inverse(lengths: Array) -> Array:
    return 1.0 / np.where(lengths > 0, lengths, 1.0)


def is_consistent(system: Prolongation, t: float, q: Array, jets: Array) -> bool:
    """Return whether the jets satisfy all equations within the tolerance."""
    return _residual(system, t, q, jets) <= _tolerance(jets)


def _tolerance(jets: Array) -> float:
    return TOLERANCE * (1 + float(np.abs(jets).max(initial=0.0)))


def _residual(system: Prolongation, t: float, q: Array, jets: Array) -> float:
    values = np.abs(scaled_residuals(system, t, q, jets))
    return float(values.max(initial=0.0)) if np.isfinite(values).all() else np.inf


def _inconsistent(system: Prolongation, t: float, q: Array, jets: Array) -> InconsistentError:
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
        f"no consistent point was found: equations {', '.join(names)} cannot be satisfied together",
        f"residuals {got} at t = {t:.6g}, the best of {STARTS} starts",
        "all equations and their derivatives zero at one point",
        "a start nearer to a solution by at={…}, fewer values in fix=, or check these equations",
    )
