"""Gradient flows of a function under holonomic and nonholonomic constraints, as DAEs and as fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import casadi as ca

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ProblemError
from subriem.core.lift import lift
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.core.validate import positive_integer, vector
from subriem.reduction.dae import DAE, dae
from subriem.reduction.declare import equation_column


@dataclass(frozen=True, eq=False, repr=False)
class ConstrainedFlow:
    """The flow y' = -P grad H, P the orthoprojector on what the constraints allow; made by `constrained`.

    Attributes
    ----------
    dae : DAE
        In the variables y (n,) and the multipliers lam (of phi) and mu (of the forms); its time is s.
    cost : BufferedFunction
        y -> H.
    gradient : BufferedFunction
        y -> grad H, shape (n,).
    phi : BufferedFunction
        y -> phi, shape (m,).
    rows : BufferedFunction
        y -> dphi/dy above omega, as one column of (m + k) n entries, row by row.

    Examples
    --------
    >>> import casadi as ca, subriem as sr
    >>> circle = sr.flows.constrained(lambda y: y[1], lambda y: ca.sumsqr(y) - 1, dim=2)
    >>> circle
    <constrained flow: dim 2, 1 holonomic and 0 nonholonomic constraints>
    >>> circle.velocity([0.0, 1.0]) + 0.0, circle.energy([0.0, 1.0])
    (array([0., 0.]), 1.0)
    """

    dae: DAE
    cost: BufferedFunction
    gradient: BufferedFunction
    phi: BufferedFunction
    rows: BufferedFunction

    def __repr__(self) -> str:
        m = self.phi.function.numel_out(0)
        k = self.rows.function.numel_out(0) // self.dim - m
        return f"<constrained flow: dim {self.dim}, {m} holonomic and {k} nonholonomic constraints>"

    @property
    def dim(self) -> int:
        """Return n."""
        return self.gradient.function.numel_in(0)

    def energy(self, y: Any) -> float:
        """Return H(y), which does not rise along the flow."""
        return float(self.cost(vector(y, "y", self.dim))[0])

    def residual(self, y: Any) -> Array:
        """Return phi(y), shape (m,)."""
        return self.phi(vector(y, "y", self.dim))

    def constraint_rows(self, y: Any) -> Array:
        """Return the matrix A = (dphi/dy; omega), shape (m + k, n): velocities satisfy A y' = 0."""
        return self.rows(vector(y, "y", self.dim)).reshape((-1, self.dim))

    def velocity(self, y: Any, rank: RankPolicy = DEFAULT_RANK) -> Array:
        """Return y' = -P grad H = -(1 - A^+ A) grad H, shape (n,), by `lift`: no DAE is involved.

        Raises
        ------
        ProblemError
            If y does not fit.
        RankError
            If the rank of A is ambiguous and the policy says "raise".
        """
        rows, push = self.constraint_rows(y), -self.gradient(vector(y, "y", self.dim))
        return push - lift(rows, rows @ push, rank=rank).v


def constrained(
    cost: Callable[[ca.SX], Any] | ca.Function,
    phi: Callable[[ca.SX], Any] | None = None,
    forms: Callable[[ca.SX], Any] | None = None,
    *,
    dim: int,
) -> ConstrainedFlow:
    """Return the gradient flow y' = -P grad H of H under phi(y) = 0 and omega(y) y' = 0.

    Parameters
    ----------
    cost : callable
        H: CasADi SX column y (n,) -> scalar.
    phi : callable, optional
        Holonomic constraints, y -> column (m,), a list, or a mapping of names to columns.
    forms : callable, optional
        Nonholonomic constraints, y -> omega (k, n), one 1-form a row: an SX, or a list of rows.
    dim : int
        n.

    Returns
    -------
    ConstrainedFlow
        With `.dae`, y' = -grad H - J^T lam - omega^T mu, phi = 0, omega y' = 0, of index 2 with phi and 1 without, for
        ``sr.solve(flow.dae, s, {"y": y0})``; and with `.velocity(y)`, which is independent of it.

    Raises
    ------
    ProblemError
        If there is no constraint, or an expression is not SX or has the wrong shape.

    Notes
    -----
    Constraints may depend on each other: the reduction finds and names the redundant ones, and takes the least-norm
    multipliers. The metric is the Euclidean one of y. The nonholonomic flow is -P_V grad H with V = ker omega; its
    equilibria are the zeros of dH restricted to V (T. Chen, J. Geom. Phys. 49 (2004) 418-462).

    Examples
    --------
    >>> import casadi as ca, subriem as sr
    >>> flow = sr.flows.constrained(lambda y: (y[0] ** 2 + 3 * y[1] ** 2) / 2, lambda y: ca.sumsqr(y) - 1, dim=2)
    >>> sol = sr.solve(flow.dae, 10.0, {"y": [0.6, 0.8]})
    >>> sol.reduction.index, sol["y"][-1].round(6)
    (2, array([1., 0.]))
    """
    n = positive_integer(dim, "dim")
    if phi is None and forms is None:
        raise ProblemError(
            "this flow has no constraint",
            "phi=None, forms=None",
            "phi, forms or both",
            "phi=lambda y: ca.sumsqr(y) - 1",
        )
    y = ca.SX.sym("y", n)
    energy, normal, omega = _energy(cost, y), _holonomic(phi, y), _one_forms(forms, y)
    constraints = ca.vertcat(ca.SX(0, 1), *normal.values())
    sizes = {"y": n, "lam": constraints.numel(), "mu": omega.shape[0]}

    @dae(variables={name: size for name, size in sizes.items() if size})
    def constrained_flow(s, v, d, p):
        normal, omega = _holonomic(phi, v.y), _one_forms(forms, v.y)
        motion = d(v.y) + ca.gradient(_energy(cost, v.y), v.y)
        equations = list(normal.items())
        if normal:
            motion += ca.jtimes(ca.vertcat(*normal.values()), v.y, v.lam, True)
        if omega.numel():
            motion += omega.T @ v.mu
            equations.append(("forms", omega @ d(v.y)))
        return [("motion", motion), *equations]

    def function(name: str, expression: ca.SX) -> BufferedFunction:
        return BufferedFunction(ca.Function(name, [y], [ca.cse(ca.densify(expression))]))

    rows = ca.vertcat(ca.jacobian(constraints, y), omega)
    return ConstrainedFlow(
        constrained_flow,
        function("cost", energy),
        function("gradient", ca.gradient(energy, y)),
        function("phi", constraints),
        function("rows", ca.vec(rows.T)),  # CasADi reads column by column
    )


def _energy(cost: Callable[[ca.SX], Any], y: ca.SX) -> ca.SX:
    """Return H(y)."""
    energy = equation_column("cost", cost(y))
    if energy.numel() != 1:
        raise ProblemError("the cost is no scalar", f"shape {energy.shape}", "one number", "ca.sumsqr(y)")
    return energy


def _holonomic(phi: Callable[[ca.SX], Any] | None, y: ca.SX) -> dict[str, ca.SX]:
    """Return the constraints phi(y) by name."""
    if phi is None:
        return {}
    answer = phi(y)
    named = answer if isinstance(answer, Mapping) else {"phi": answer}
    return {name: equation_column(name, column) for name, column in named.items()}


def _one_forms(forms: Callable[[ca.SX], Any] | None, y: ca.SX) -> ca.SX:
    """Return omega(y), shape (k, n)."""
    if forms is None:
        return ca.SX(0, y.numel())
    answer = forms(y)
    rows = ca.vertsplit(answer) if isinstance(answer, ca.SX | ca.DM) else answer
    if not isinstance(rows, list | tuple) or not rows:
        raise ProblemError(
            "forms returns no rows",
            type(answer).__name__,
            "an SX of shape (k, n), or a list of k rows",
            "[[y[1], -y[0]]]",
        )
    columns = [
        equation_column(f"forms[{i}]", row.T if isinstance(row, ca.SX | ca.DM) else row) for i, row in enumerate(rows)
    ]
    if any(column.numel() != y.numel() for column in columns):
        raise ProblemError(
            "a form does not fit the dimension",
            f"rows of {', '.join(str(column.numel()) for column in columns[:6])} entries",
            f"{y.numel()} entries each",
            "[[y[1], -y[0], 1]]: one 1-form a row",
        )
    return ca.horzcat(*columns).T
