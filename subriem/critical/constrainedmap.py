"""The rest points of y' = -P grad H, P the orthoprojector on what constraints allow, without multipliers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.factor import SVDFactor
from subriem.core.jacobian import ArrayJacobian
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy


class ConstrainedField(Protocol):
    """What is asked of a constrained flow: H, grad H, phi and the rows A of dphi/dy and the forms, A y' = 0."""

    @property
    def cost(self) -> BufferedFunction:
        """The function y -> H."""
        ...

    @property
    def gradient(self) -> BufferedFunction:
        """The function y -> grad H."""
        ...

    @property
    def phi(self) -> BufferedFunction:
        """The function y -> phi, shape (m,)."""
        ...

    @property
    def rows(self) -> BufferedFunction:
        """The function y -> A as one column, row by row."""
        ...

    @property
    def dim(self) -> int:
        """The dimension n."""
        ...

    def constraint_rows(self, y: Any, /) -> Array:
        """Return A (m + k, n)."""
        ...


@dataclass(frozen=True, eq=False)
class ConstrainedMap:
    """y -> (v, phi) with v = -P grad H = -grad H - A^T mu, mu = -(A^+)^T grad H; a `Map`.

    Where the rank of A is constant, dv = -P (d grad H + dA^T mu) - A^+ dA v (Golub and Pereyra, SIAM J. Numer. Anal. 10
    (1973) 413). Multipliers, which redundant constraints leave open, are no unknowns.
    """

    flow: ConstrainedField
    rank: RankPolicy

    capabilities = frozenset[str]()

    @property
    def n_in(self) -> int:
        """K."""
        return self.flow.dim

    @property
    def holonomic(self) -> int:
        """The number of constraints phi."""
        return self.flow.phi.function.numel_out(0)

    @property
    def n_out(self) -> int:
        """The number of equations."""
        return self.n_in + self.holonomic

    @cached_property
    def _derivatives(self) -> tuple[BufferedFunction, BufferedFunction]:
        """Return (y, mu) -> d(grad H + A^T mu)/dy and (y, v) -> d(A v)/dy."""
        n, count = self.n_in, self.flow.rows.function.numel_out(0) // self.n_in
        y, v, mu = ca.SX.sym("y", n), ca.SX.sym("v", n), ca.SX.sym("mu", count)
        rows = ca.reshape(self.flow.rows.function(y), n, count).T
        force = self.flow.gradient.function(y) + rows.T @ mu
        return (
            BufferedFunction(ca.Function("L", [y, mu], [ca.cse(ca.densify(ca.jacobian(force, y)))])),
            BufferedFunction(ca.Function("N", [y, v], [ca.cse(ca.densify(ca.jacobian(rows @ v, y)))])),
        )

    def value(self, y: Array) -> Array:
        """Return the residuals."""
        rows, push = self.flow.constraint_rows(y), -self.flow.gradient(y)
        removed, _, _ = SVDFactor(ArrayJacobian(rows), self.rank).solve(rows @ push)
        return np.concatenate([push - removed, np.atleast_1d(self.flow.phi(y))])

    def jacobian(self, y: Array) -> Array:
        """Return their Jacobian."""
        n = self.n_in
        rows, push = self.flow.constraint_rows(y), -self.flow.gradient(y)
        factor = SVDFactor(ArrayJacobian(rows), self.rank)
        removed, mu, _ = factor.solve(rows @ push)
        bent, turned = (
            function(y, argument).reshape(-1, n)
            for function, argument in zip(self._derivatives, (mu, push - removed), strict=True)
        )
        back = np.stack([factor.solve(column)[0] for column in (rows @ bent - turned).T], axis=1)
        return np.vstack([back - bent, rows[: self.holonomic]])

    def jvp(self, y: Array, v: Array) -> Array:
        """Return the Jacobian times v."""
        return self.jacobian(y) @ v

    def vjp(self, y: Array, w: Array) -> Array:
        """Return the transposed Jacobian times w."""
        return self.jacobian(y).T @ w

    def energy(self, y: Array) -> float:
        """Return H(y)."""
        return float(self.flow.cost(y)[0])

    def velocity(self, y: Array) -> Array:
        """Return v, shape (n,)."""
        return self.value(y)[: self.n_in]

    def pencil(self, y: Array) -> tuple[Array, Array]:
        """Return (E, A) of the motion dy' = dv on dphi dy = 0."""
        A = self.jacobian(y)
        return np.eye(*A.shape), A
