"""The reduced system evaluated at many points at once: projection, unknowns, rates, residuals, Jacobians."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import RankError
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.integration.batch import Batch
from subriem.integration.diagonal import DiagonalBlocks
from subriem.reduction.consistent import ConsistentPoint
from subriem.reduction.reduction import Reduction

#: Newton steps of a projection or of the unknowns at most; they converge in one or two.
STEPS = 8
#: Points at which the roundoff of the unknowns is measured.
SAMPLES = 16
#: Operations that are defined everywhere.
ENTIRE = {
    ca.OP_INPUT, ca.OP_OUTPUT, ca.OP_CONST, ca.OP_ASSIGN, ca.OP_ADD, ca.OP_SUB, ca.OP_MUL, ca.OP_NEG, ca.OP_SQ,
    ca.OP_TWICE, ca.OP_SIN, ca.OP_COS, ca.OP_TANH, ca.OP_ATAN, ca.OP_FABS,
}  # fmt: skip
#: Roundoffs of the state at which a constraint counts as met.
ROUNDOFFS = 8.0


@dataclass(frozen=True, eq=False)
class Nodes:
    """Points of a solution.

    Attributes
    ----------
    t : (N,) ndarray
    x : (N, m) ndarray
        States, quadratures after them.
    a : (N, l) ndarray
        Unknowns as the engine carries them.
    drift : (N,) ndarray
        Largest constraint over the length of its gradient, before projection.
    """

    t: Array
    x: Array
    a: Array
    drift: Array

    def until(self, i: int, end: Nodes) -> Nodes:
        """Return the nodes up to number i, and one more after them."""
        return Nodes(*(np.concatenate([getattr(self, n)[: i + 1], getattr(end, n)]) for n in ("t", "x", "a", "drift")))

    def __getitem__(self, chosen: Any) -> Nodes:
        return Nodes(self.t[chosen], self.x[chosen], self.a[chosen], self.drift[chosen])


class ReducedSystem:
    """x' = f(t, x, a), 0 = g(t, x, a): states x = (z, w) with quadratures w after the states z of a reduction.

    Parameters
    ----------
    reduction : Reduction
    pole : float
        Baumgarte's pole.
    integrands : casadi.Function, optional
        (t, z, tops, q) -> w'.

    Attributes
    ----------
    states : int
        Number of states z.
    constrained : bool
        Whether there are constraints between them.
    rates, algebraic : casadi.Function
        f and g: (t, x, a, q) -> column.
    """

    def __init__(self, reduction: Reduction, pole: float = 0.0, integrands: ca.Function | None = None) -> None:
        self.reduction, self.pole, self.integrands = reduction, pole, integrands
        self.faces = faces = reduction.stabilised(pole)
        self.states = faces.ode.numel_in(1)
        self.quadratures = 0 if integrands is None else integrands.numel_out(0)
        self.constrained = bool(faces.projection.numel_out(0))
        t, z, a, q = (ca.SX.sym(name, faces.ode.numel_in(i)) for i, name in enumerate("tzaq"))
        x = ca.vertcat(z, ca.SX.sym("w", self.quadratures))
        found = [faces.ode(t, z, a, q)]
        if integrands is not None:
            found.append(integrands(t, z, faces.tops(t, z, a, q), q))
        self.rates = ca.Function("rates", [t, x, a, q], [ca.cse(ca.vertcat(*found))])
        self.algebraic = ca.Function("algebraic", [t, x, a, q], [faces.algebraic(t, z, a, q)])

    def __getstate__(self) -> tuple[Any, ...]:
        return self.reduction, self.pole, self.integrands

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*state)

    def on(self, base: tuple[int, ...], constraints: tuple[int, ...], point: ConsistentPoint) -> ReducedSystem:
        """Return the system on other equations and constraints, set up at a point where these are independent."""
        certificate = replace(self.reduction.certificate, base=base, constraints=constraints)
        reduction = replace(self.reduction, certificate=certificate, consistent=point)
        return ReducedSystem(reduction, self.pole, self.integrands)

    def carried(self, point: ConsistentPoint) -> tuple[Array, Array]:
        """Return the states z and the unknowns at a consistent point."""
        where, faces = self.reduction.system, self.faces
        tops = point.values(where.top_columns)
        a = np.concatenate([tops[list(faces.kept)], np.zeros(faces.multipliers)])
        return point.values(where.state_columns), a

    @property
    def may_fail(self) -> bool:
        """Whether unknowns may be undefined where states and rates are not: 1 / x, or the root of a state."""
        return self._may_fail

    # --- back onto the equations ------------------------------------------------------------------------------------

    def polish(self, t: Array, x: Array, a: Array, q: Array, project: bool = True) -> Nodes:
        """Return the points with states moved onto the constraints by least norm, and the unknowns solved for."""
        data = repeated(q, t.size)
        z, drift = self._project(t, x[:, : self.states], data, project)
        x = np.hstack([z, x[:, self.states :]]) if self.quadratures else z
        return Nodes(t, x, self._unknowns(t, x, a, data), drift)

    def _project(self, t: Array, z: Array, data: Array, move: bool) -> tuple[Array, Array]:
        """Return the states after least-norm Newton steps onto the independent constraints, and the drift before."""
        drift = np.zeros(t.size)
        if not self.constrained:
            return z, drift
        for step in range(STEPS):
            value, gradient = self._constraints(t, z, data)
            squares = np.einsum("nij,nij->ni", gradient, gradient)
            lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
            distance = value / lengths
            size = np.abs(distance)
            if step == 0:
                drift = size.max(axis=1)
            if not move or not ROUNDOFFS * EPS * (1 + np.abs(z).max()) < size.max() < np.inf:  # nor where it is NaN
                break
            z = z - self._least_norm(gradient / lengths[:, :, None], distance)
        return z, drift

    @staticmethod
    def _least_norm(rows: Array, distance: Array) -> Array:
        across = rows.transpose(0, 2, 1)
        try:
            multipliers = np.linalg.solve(rows @ across, distance[:, :, None])
        except np.linalg.LinAlgError as error:
            raise RankError(
                "the constraints between the states became dependent",
                str(error),
                "independent constraints along the path",
                "project=False, or a path that ends before",
            ) from error
        return (across @ multipliers)[:, :, 0]

    def distances(self, nodes: Nodes, q: Array) -> Array:
        """Return the independent constraints over the lengths of their gradients, shape (N, …)."""
        return self._distances(nodes.t, nodes.x[:, : self.states], repeated(q, nodes.t.size))[0]

    def _unknowns(self, t: Array, x: Array, a: Array, data: Array) -> Array:
        """Return the unknowns at given states, by Newton's iteration from `a`; points where J is singular keep theirs.

        The residual and the rank along the path tell of these.
        """
        for _ in range(STEPS if a.shape[1] else 0):
            value, jacobian = self._equations(t, x, a, data)
            step = solved(jacobian, value)
            a = a - np.where(np.isfinite(step), step, 0.0)
            if (np.abs(step).max(axis=1) <= 4 * EPS * (1 + np.abs(a).max(axis=1))).all():
                break
        return a

    @cached_property
    def roundoff(self) -> tuple[Array, Array]:
        """The unknowns at the consistent point, and how exactly they are known there.

        It is half their spread over states that are equal up to roundoff.
        """
        point = self.reduction.consistent
        z, a = self.carried(point)
        x = np.append(z, np.zeros(self.quadratures)) * np.ones((SAMPLES, 1))
        x *= 1 + EPS * np.random.default_rng(0).uniform(-1, 1, x.shape)
        a = self._unknowns(
            np.full(SAMPLES, point.t), x, a * np.ones((SAMPLES, 1)), repeated(self.reduction.dae.data(point.t), SAMPLES)
        )
        return a.mean(axis=0), np.ptp(a, axis=0) / 2

    # --- along the motion -------------------------------------------------------------------------------------------

    def tops(self, nodes: Nodes, q: Array) -> Array:
        """Return the y_j^(d_j), shape (N, n)."""
        return self._tops(nodes.t, nodes.x[:, : self.states], nodes.a, repeated(q, nodes.t.size))[0]

    def jacobians(self, nodes: Nodes, q: Array) -> Array:
        """Return the system Jacobian, all f_i^(c_i) by all y_j^(d_j), shape (N, m, n)."""
        z, data = nodes.x[:, : self.states], repeated(q, nodes.t.size)
        return self._reduced(nodes.t, z, self.tops(nodes, q), data)[1]

    def gradients(self, nodes: Nodes, q: Array) -> Array:
        """Return all constraints by all states, shape (N, …, states)."""
        return self._invariants(nodes.t, nodes.x[:, : self.states], repeated(q, nodes.t.size))[1]

    def blocks(self, nodes: Nodes, q: Array) -> list[Array]:
        """Return the diagonal blocks of that Jacobian which change along a path, see `DiagonalBlocks`."""
        return self._diagonal(nodes.t, nodes.x[:, : self.states], nodes.a, repeated(q, nodes.t.size))

    @property
    def block_sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of these blocks; without any the rank cannot change while the data stay what they are."""
        return self._diagonal.sizes

    def jets(self, nodes: Nodes, q: Array) -> Array:
        """Return the jets at `reduction.system.columns`, shape (N, …)."""
        columns, tops = self._columns
        out = np.empty((nodes.t.size, columns.size + tops.size))
        out[:, columns] = nodes.x[:, : self.states]
        out[:, tops] = self.tops(nodes, q)
        return out

    def residuals(self, t: Array, jets: Array, q: Array) -> Array:
        """Return all differentiated equations, each over the length of its gradient, shape (N, rows)."""
        return self._residuals(t, jets, repeated(q, t.size))[0]

    # --- compiled when first needed ---------------------------------------------------------------------------------

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        where = self.reduction.system
        position = {place: index for index, place in enumerate(where.columns)}
        states, tops = ([position[p] for p in places] for places in (where.state_columns, where.top_columns))
        return np.array(states, dtype=np.intp), np.array(tops, dtype=np.intp)

    @cached_property
    def _equations(self) -> Batch:
        return Batch(self.algebraic, (2,))

    @cached_property
    def _tops(self) -> Batch:
        return Batch(self.faces.tops)

    @cached_property
    def _reduced(self) -> Batch:
        return Batch(self.faces.reduced, (2,))

    @cached_property
    def _may_fail(self) -> bool:
        tops = self.faces.tops
        alone = [i for i, (_, order) in enumerate(self.reduction.system.top_columns) if order == 0]
        arguments = [ca.SX.sym(f"x{i}", tops.numel_in(i)) for i in range(tops.n_in())]
        function = ca.Function("alone", arguments, [tops(*arguments)[alone]])
        return any(function.instruction_id(k) not in ENTIRE for k in range(function.n_instructions()))

    @cached_property
    def _diagonal(self) -> DiagonalBlocks:
        return DiagonalBlocks(self.faces, len(self.reduction.certificate.base))

    @cached_property
    def _constraints(self) -> Batch:
        return Batch(self.faces.projection, (1,))

    @cached_property
    def _invariants(self) -> Batch:
        return Batch(self.faces.invariants, (1,))

    @cached_property
    def _distances(self) -> Batch:
        function = self.faces.projection
        t, z, q = (ca.SX.sym(name, function.numel_in(i)) for i, name in enumerate("tzq"))
        return Batch(ca.Function("distances", [t, z, q], [_over_gradient(function(t, z, q), z)]))

    @cached_property
    def _residuals(self) -> Batch:
        where = self.reduction.system
        t, y, q = where.jets.t, where.jets.stack(where.columns), where.q
        return Batch(ca.Function("residuals", [t, y, q], [_over_gradient(where.expressions(where.rows), y)]))


def _over_gradient(value: ca.SX, by: ca.SX) -> ca.SX:
    lengths = ca.sqrt(ca.sum2(ca.jacobian(value, by) ** 2))
    return value / ca.if_else(lengths > 0, lengths, 1.0)


def repeated(q: Array, count: int) -> Array:
    """Return the data for each of `count` points."""
    return q[None] if count == 1 else np.broadcast_to(q, (count, q.size))


def solved(matrices: Array, right: Array) -> Array:
    """Return the solutions of square systems (N, n, n), NaN where a matrix is singular."""
    try:
        return np.asarray(np.linalg.solve(matrices, right[:, :, None])[:, :, 0], dtype=float)
    except np.linalg.LinAlgError:
        out = np.full(right.shape, np.nan)
        for i, (matrix, column) in enumerate(zip(matrices, right, strict=True)):
            try:
                out[i] = np.linalg.solve(matrix, column)
            except np.linalg.LinAlgError:
                continue
        return out
