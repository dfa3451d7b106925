"""What is true of a numeric DAE F(t, y, y') = 0 at a consistent point: if its index is at most 1, its unknowns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from subriem.core.dependence import dependent_rows
from subriem.core.differences import STEP, differences, quotient
from subriem.core.equilibrated import RankFactor, rank_factor
from subriem.core.errors import InconsistentError, ReductionError
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, EPS, RankDecision, RankPolicy
from subriem.core.result import Check, Result
from subriem.reduction.certificate import Certificate
from subriem.reduction.consistent import TOLERANCE, ConsistentPoint, consistent_point, fixed_places, given_values
from subriem.reduction.jets import jet_name
from subriem.reduction.numeric import NumericDAE
from subriem.reduction.protocols import Place

#: Relative cut-off of ranks where derivatives are difference quotients, which are exact to about 1e-10.
DIFFERENCE_RTOL = 1e-7
#: Share of the largest entry of a null vector above which a variable is named.
NAMED = 0.1
#: Difference, relative to the size of the point, at which a fixed y' differs from the derivative of the solution.
HELD = 1e-6


class NumericJets:
    """F(t, y, y') = 0 as equations in the jets y_j, y_j', in the form a consistent point is sought in.

    Parameters
    ----------
    dae : NumericDAE
    differential : (n,) ndarray of bool
        Variables whose derivative F contains; all unless given.
    clock : float
        Step of difference quotients in t.
    """

    def __init__(self, dae: NumericDAE, differential: np.ndarray | None = None, clock: float = STEP) -> None:
        self.dae, self.clock = dae, clock
        self.differential = np.ones(dae.n, dtype=bool) if differential is None else differential
        self.c, self.d = (0,) * dae.n, (1,) * dae.n
        self.rows: tuple[Place, ...] = tuple((i, 0) for i in range(dae.n))
        self.columns: tuple[Place, ...] = tuple((j, k) for j in range(dae.n) for k in (0, 1))

    @property
    def state_columns(self) -> tuple[Place, ...]:
        """The y_j whose derivative F contains."""
        return tuple((j, 0) for j in range(self.dae.n) if self.differential[j])

    @property
    def top_columns(self) -> tuple[Place, ...]:
        """All other jets."""
        states = set(self.state_columns)
        return tuple(place for place in self.columns if place not in states)

    def row_name(self, row: Place) -> str:
        """Return F[i]."""
        return self.dae.equations[row[0]]

    def column_name(self, column: Place) -> str:
        """Return x or x'."""
        return jet_name(self.dae.variables[column[0]], column[1])

    def residual(self, t: float, jets: Array, q: Array) -> Array:
        """Return F, for the values of the jets at `columns`."""
        return self.dae.residual(t, jets[::2], jets[1::2])

    def sparse_jacobian(self, t: float, jets: Array, q: Array) -> csc_array:
        """Return the derivatives with respect to the jets, and to t in the last column."""
        y, dy = jets[::2], jets[1::2]
        matrix = np.empty((self.dae.n, 2 * self.dae.n + 1))
        matrix[:, :-1:2], matrix[:, 1::2] = self.dae.jacobian(t, y, dy)
        matrix[:, -1] = self.slope(t, y, dy, np.zeros(self.dae.n))
        shape, size = matrix.shape, matrix.size  # zeros too, since the places must not depend on the point
        places = np.tile(np.arange(shape[0]), shape[1]), np.arange(0, size + 1, shape[0])
        return csc_array((matrix.ravel(order="F"), *places), shape=shape)

    def slope(self, t: float, y: Array, dy: Array, along: Array) -> Array:
        """Return dF(t + s, y + s v, y')/ds at s = 0 for a velocity v, by a difference quotient."""
        h = max(self.clock, float(np.sqrt(EPS)) * abs(t))
        h = min(h, STEP * (1 + float(np.abs(y).max())) / max(float(np.abs(along).max(initial=0.0)), 1e-300))
        h = max(h, 64 * float(np.spacing(abs(t))))
        return quotient(lambda s: self.dae.residual(t + s, y + s * along, dy), -h, 0.0, h, h, h)


@dataclass(frozen=True, eq=False)
class Splitting:
    """y = P x + Q a with range Q = ker dF/dy': F contains y' by x' alone, and x' and a are the unknowns of index 1.

    Attributes
    ----------
    P : (n, r) ndarray
    Q : (n, n - r) ndarray
        Together orthogonal; columns are unit vectors for every variable that shares the kernel with no other.
    """

    P: Array
    Q: Array

    @property
    def rank(self) -> int:
        """Number r of states."""
        return self.P.shape[1]

    def values(self, x: Array, z: Array) -> tuple[Array, Array]:
        """Return y and P P^T y' for the state x and the unknowns z = (x', a)."""
        return self.P @ x + self.Q @ z[self.rank :], self.P @ z[: self.rank]

    def split(self, y: Array, dy: Array) -> tuple[Array, Array]:
        """Return the state x and the unknowns z."""
        return self.P.T @ y, np.concatenate([self.P.T @ dy, self.Q.T @ y])

    def residual(self, dae: NumericDAE, t: float, x: Array, z: Array) -> Array:
        """Return F for the state x and the unknowns z."""
        return dae.residual(t, *self.values(x, z))

    def jacobian(self, dae: NumericDAE, t: float, x: Array, z: Array) -> Array:
        """Return dF/dz, (n, n): by jac, or by 2 n evaluations of F."""
        if dae.jacobian_function is None:
            return differences(lambda u: self.residual(dae, t, x, u), z)
        by_y, by_dy = dae.jacobian(t, *self.values(x, z))
        return np.hstack([by_dy @ self.P, by_y @ self.Q])

    def jacobians(self, dae: NumericDAE, t: float, x: Array, z: Array) -> tuple[Array, Array]:
        """Return dF/dx, (n, r), and dF/dz, (n, n)."""
        if dae.jacobian_function is None:
            return differences(lambda u: self.residual(dae, t, u, z), x), self.jacobian(dae, t, x, z)
        by_y, by_dy = dae.jacobian(t, *self.values(x, z))
        return by_y @ self.P, np.hstack([by_dy @ self.P, by_y @ self.Q])

    def names(self, direction: Array, variables: Iterable[str]) -> list[str]:
        """Return the names of the largest entries of a direction of z, as y_j and y_j'."""
        parts = (self.Q @ direction[self.rank :], self.P @ direction[: self.rank])
        size = max(float(np.abs(part).max()) for part in parts)
        return [
            jet_name(name, k)
            for k, part in enumerate(parts)
            for name, value in zip(variables, part, strict=True)
            if abs(value) > NAMED * size
        ]


@dataclass(frozen=True, eq=False, repr=False)
class NumericReduction(Result):
    """A numeric DAE of index at most 1 with its certificate; made by `reduce_numeric`.

    Attributes
    ----------
    dae : NumericDAE
    consistent : ConsistentPoint
    splitting : Splitting
    leading : RankDecision
        Of dF/dy'.
    certificate : Certificate
        Of dF/dz, with respect to the unknowns z = (x', a).
    policy : RankPolicy
    clock : float
        Step of difference quotients in t.
    """

    dae: NumericDAE
    consistent: ConsistentPoint
    splitting: Splitting
    leading: RankDecision
    certificate: Certificate
    policy: RankPolicy
    clock: float

    @property
    def selection(self) -> None:
        """How open directions are chosen: there are none."""
        return None

    @property
    def degrees_of_freedom(self) -> int:
        """Number of values a start may choose."""
        return self.splitting.rank

    @property
    def index(self) -> int:
        """0 where dF/dy' is regular, else 1."""
        return int(self.splitting.Q.shape[1] > 0)

    @cached_property
    def system(self) -> NumericJets:
        """The equations in the jets."""
        return NumericJets(self.dae, np.abs(self.splitting.P).max(axis=1, initial=0.0) > 0, self.clock)

    @property
    def point(self) -> dict[str, float]:
        """The consistent point: x, x', … by name."""
        names = (self.system.column_name(place) for place in self.consistent.columns)
        return dict(zip(names, map(float, self.consistent.jets), strict=True))

    @property
    def decisions(self) -> tuple[RankDecision, ...]:
        """The rank decisions on dF/dy' and on dF/dz."""
        return self.leading, self.certificate.decision

    @property
    def checks(self) -> tuple[Check, ...]:
        """Residual of the consistent point, and condition of dF/dz."""
        decision = self.certificate.decision
        return (
            Check("residual", self.consistent.residual, TOLERANCE, "largest residual, relative to the terms"),
            Check("cond J", decision.cond, None, str(decision)),
            Check("moved", self.consistent.moved, None, "largest change of a value that was given"),
        )

    def headline(self) -> str:
        """Return one line: index and freedom."""
        return f"{self.dae.name}: index {self.index} (numeric), freedom {self.degrees_of_freedom}"


def reduce_numeric(
    dae: NumericDAE,
    at: Mapping[str, Any] | None = None,
    *,
    t: float = 0.0,
    fix: Iterable[str] = (),
    rank: RankPolicy = DEFAULT_RANK,
    unit: float = 1.0,
) -> NumericReduction:
    """Find a consistent point of a numeric DAE and its unknowns there, if its index is at most 1.

    Parameters
    ----------
    dae : NumericDAE
    at, t, fix, rank
        As in `reduce`.
    unit : float
        A time in which F changes, for difference quotients in t; at most 1 of it is taken.

    Raises
    ------
    ProblemError
        If an argument does not fit, F or jac returns something else than it should, or jac is not the derivative of F.
    InconsistentError
        If no consistent point was found, or a fixed y' is not the derivative of the solution.
    ReductionError
        If the index is above 1.
    """
    system = NumericJets(dae, clock=STEP * min(1.0, abs(unit)))
    fixed = fixed_places(dae, fix, system.columns)
    given = dict.fromkeys(fixed, 0.0) | given_values(dae, at, system.columns)
    _check(dae, t, np.array([given.get(place, 0.0) for place in system.columns]), must_be_finite=False)
    rank = rank if dae.jacobian_function is not None else replace(rank, rtol=max(rank.rtol, DIFFERENCE_RTOL))
    point = consistent_point(system, t, np.zeros(0), given, fix=fixed, rank=rank)
    _check(dae, t, point.jets, must_be_finite=True)
    leading = dependent_rows(dae.jacobian(t, point.jets[::2], point.jets[1::2])[1].T, rank)
    splitting = Splitting(leading.basis.toarray(), leading.null)
    jacobian = splitting.jacobian(dae, t, *splitting.split(point.jets[::2], point.jets[1::2]))
    factor = rank_factor(jacobian, rank)
    if not factor.decision.full:
        raise _singular(dae, t, splitting, leading.decision, factor)
    rank.report(leading.decision, "of dF/dy' at the start")
    rank.report(factor.decision, "of dF/dz at the start")
    certificate = Certificate(factor.decision, tuple(range(dae.n)), {}, {}, {}, np.zeros((dae.n, 0)), ())
    found = NumericReduction(dae, point, splitting, leading.decision, certificate, rank, system.clock)
    return replace(found, consistent=_differentiated(found, jacobian, fixed))


def derivative(system: NumericJets, splitting: Splitting, t: float, y: Array, dy: Array, jacobian: Array) -> Array:
    """Return all of y' for y and P P^T y', from dF/dt = 0 along the solution: dF/dz z' = -(F_t + F_y y') without a'.

    Parameters
    ----------
    y, dy : (n,) ndarray
        y and P P^T y'.
    jacobian : (n, n) ndarray
        dF/dz there.
    """
    if not splitting.Q.shape[1]:
        return dy
    try:
        rates = np.linalg.solve(jacobian, -system.slope(t, y, dy, dy))[splitting.rank :]
    except np.linalg.LinAlgError:
        rates = np.full(splitting.Q.shape[1], np.nan)
    return dy + splitting.Q @ rates


def _differentiated(found: NumericReduction, jacobian: Array, fixed: Iterable[Place]) -> ConsistentPoint:
    """Return the consistent point with the derivatives of algebraic variables, which F does not contain."""
    point, splitting = found.consistent, found.splitting
    y, dy = splitting.values(*splitting.split(point.jets[::2], point.jets[1::2]))
    whole = derivative(found.system, splitting, point.t, y, dy, jacobian)
    jets = point.jets.copy()
    jets[1::2] = whole
    changed = np.abs(jets - point.jets)
    for j, k in fixed:
        if changed[2 * j + k] > HELD * (1 + np.abs(jets).max()):
            name = found.system.column_name((j, k))
            raise InconsistentError(
                f"{name} cannot be fixed: F does not contain it, and it follows from the derivative of F",
                f"{name} = {point.jets[2 * j + k]:.6g} in fix, {jets[2 * j + k]:.6g} along the solution",
                "y' of a variable that is free at the start",
                f"leave {name} out of fix",
            )
    return replace(point, jets=jets)


def _check(dae: NumericDAE, t: float, jets: Array, *, must_be_finite: bool) -> None:
    """Check F and jac at a point; a first guess may lie where F is not defined."""
    if must_be_finite or np.isfinite(dae.residual(t, jets[::2], jets[1::2])).all():
        dae.check(t, jets[::2], jets[1::2])


def _singular(
    dae: NumericDAE, t: float, splitting: Splitting, leading: RankDecision, factor: RankFactor
) -> ReductionError:
    names = splitting.names(factor.kernel()[:, 0], dae.variables)
    more = factor.decision.size - factor.rank
    return ReductionError(
        f"the index of {dae.name} is above 1: F leaves {', '.join(names[:6])} open",
        f"rank {leading.rank} of dF/dy', and rank {factor.rank} of {dae.n} of dF/d(y', algebraic y) "
        f"({more} too low) at t = {t:.6g}",
        "equations that determine the derivatives and the algebraic variables at each time",
        "a symbolic DAE by @sr.dae, which is reduced; or F differentiated by hand",
    )
