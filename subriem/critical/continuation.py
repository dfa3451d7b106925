"""Rest points together with a parameter: curves of (z, p), which pass folds and meet at bifurcations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import CasadiMap
from subriem.core.errors import ProblemError
from subriem.core.map import NumpyMap
from subriem.core.protocols import Array, Map
from subriem.core.rank import DEFAULT_RANK, EPS, RankPolicy
from subriem.critical.adapters import rest_problem
from subriem.critical.daemap import Companion
from subriem.critical.problem import RestProblem
from subriem.reduction.dae import DAE

#: Problems made for values of the parameter that are kept.
KEPT = 16


def with_parameter(
    family: Any, parameter: str = "parameter", *, at: float = 0.0, t: float = 0.0, rank: RankPolicy = DEFAULT_RANK
) -> RestProblem:
    """Return the equation F(z, p) = 0, whose solutions are curves: p is the last coordinate.

    Parameters
    ----------
    family : DAE, Map, or callable
        A DAE with a scalar parameter of this name; a map (z, p) -> z' with one component less than variables; or a
        function of p that returns something for `rest_problem`, of which the derivative by p is a difference quotient.
    parameter : str
        Name of p.
    at : float
        A value of p for which a callable is defined.
    t : float
        Time at which a DAE is held fixed.
    rank : RankPolicy
        As in `rest_problem`.

    Returns
    -------
    RestProblem
        With z and p' = 0 as its motion: across a curve the spectrum is that of the rest points, p held fixed, and an
        eigenvalue passes 0 at a fold.

    Raises
    ------
    ProblemError
        If there is no such parameter, or the map has another shape.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> fold = with_parameter(sr.map(lambda z: [z[1] - z[0] ** 2], 2), "p")
    >>> fold.names, fold.map.value(np.array([2.0, 4.0]))
    (('theta[0]', 'p'), array([0.]))
    """
    if isinstance(family, DAE):
        return _dae(family, parameter, t)
    if isinstance(family, Map):
        return _map(family, parameter)
    if not callable(family):
        raise ProblemError(
            "this has no parameter",
            type(family).__name__,
            "a DAE with the parameter, a map (z, p) -> z', or a function of p",
            "lambda p: sr.flows.potential(…)",
        )
    return _Family(lru_cache(KEPT)(lambda p: rest_problem(family(p), t=t, rank=rank))).problem(parameter, at)


def _resting(E: Array, A: Array, jacobian: Array) -> tuple[Array, Array]:
    """Return the pencil of (z, p) with p' = 0: a column for p after those of z, and an equation.

    A problem linearises its own equations, up to the sign that its motion has beside them, and perhaps y' = dy/dt.
    """
    m, n = jacobian.shape[0], jacobian.shape[1] - 1
    sign = 1.0 if np.vdot(A[:m, :n], jacobian[:, :n]) >= 0 else -1.0
    slope = np.concatenate([sign * jacobian[:, n], np.zeros(A.shape[0] - m)])
    wider = np.vstack([np.insert(E, n, 0.0, axis=1), np.eye(1, E.shape[1] + 1, n)])
    return wider, np.vstack([np.insert(A, n, slope, axis=1), np.zeros((1, A.shape[1] + 1))])


def _map(source: Map, parameter: str) -> RestProblem:
    n = source.n_out
    if source.n_in != n + 1:
        raise ProblemError(
            "this map has not one parameter",
            f"{source.n_in} variables, {n} components",
            "one variable more than components: (z, p) -> z'",
            "fix the other parameters",
        )
    names = rest_problem(source).names[:n]
    return RestProblem(source, (*names, parameter), _MapFamily(source).linearize, shown=n)


@dataclass(frozen=True, eq=False)
class _MapFamily:
    """z' = F(z, p), p' = 0."""

    source: Map

    def linearize(self, z: Array) -> tuple[Array, Array]:
        """Return the pencil of (z, p)."""
        return np.eye(z.size), np.vstack([self.source.jacobian(z), np.zeros(z.size)])


def _dae(dae: DAE, parameter: str, t: float) -> RestProblem:
    if parameter not in dae.parameters or dae.parameters[parameter].size != 1:
        known = ", ".join(name for name, value in dae.parameters.items() if value.size == 1) or "(none)"
        raise ProblemError(
            "there is no scalar parameter of this name", repr(parameter), f"one of {known}", "declare it"
        )
    n, place = len(dae.variables), 0
    for name, value in dae.parameters.items():
        if name == parameter:
            break
        place += value.size
    z, data = ca.SX.sym("z", n + 1), ca.SX(ca.DM(dae.data(t)))
    data[place] = z[n]
    jets = ca.vertcat(*(z[j] if k == 0 else ca.SX(0) for j, k in dae.places))
    source = CasadiMap(z, dae.function(ca.DM(t), jets, data))
    family = _DaeFamily(source, Companion(dae, t), place)
    return RestProblem(source, (*dae.variables, parameter), family.linearize, shown=n)


@dataclass(frozen=True, eq=False)
class _DaeFamily:
    """A DAE with one of its data as a variable at rest."""

    source: CasadiMap
    companion: Companion
    place: int

    def linearize(self, z: Array) -> tuple[Array, Array]:
        """Return the pencil of (z, p)."""
        q = self.companion.dae.data(self.companion.t)
        q[self.place] = z[-1]
        return _resting(*self.companion.pencil(z[:-1], q), self.source.jacobian(z))


@dataclass(frozen=True, eq=False)
class _Family:
    """Problems by the value of their parameter."""

    made: Callable[[float], RestProblem]

    def value(self, z: Array) -> Array:
        """Return F(z, p)."""
        return self.made(float(z[-1])).map.value(z[:-1])

    def jacobian(self, z: Array) -> Array:
        """Return dF/d(z, p), by a central difference in p."""
        point, p = z[:-1], float(z[-1])
        h = EPS ** (1 / 3) * max(1.0, abs(p))
        above, below = (self.made(q).map.value(point) for q in (p + h, p - h))
        return np.column_stack([self.made(p).map.jacobian(point), (above - below) / (2 * h)])

    def problem(self, parameter: str, at: float) -> RestProblem:
        """Return the problem in (z, p)."""
        first = self.made(at)
        n = first.map.n_in

        def pencil(z: Array) -> tuple[Array, Array]:
            E, A = _required(self.made(float(z[-1])).linearize)(z[:-1])
            return _resting(E, A, self.jacobian(z))

        def energy(z: Array) -> float:
            return float(_required(self.made(float(z[-1])).cost)(z[:-1]))

        return RestProblem(
            NumpyMap(self.value, self.jacobian, n + 1, first.map.n_out),
            (*first.names, parameter),
            pencil if first.linearize is not None else None,
            gradient=first.gradient,
            cost=energy if first.cost is not None else None,
            shown=n,
        )


def _required(part: Any) -> Any:
    """Return what one problem of a family has as the others do."""
    if part is None:
        raise ProblemError(
            "the problems of a family are of different kinds",
            "a cost or a motion for some values of the parameter only",
            "the same kind for each",
            "return the same kind of flow for every p",
        )
    return part
