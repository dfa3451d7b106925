"""The rest points of a DAE: its equations with every derivative zero, and the pencil of the motion around one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction, CasadiMap
from subriem.core.protocols import Array
from subriem.reduction.dae import DAE
from subriem.reduction.numeric import NumericDAE


class Companion:
    """A DAE with time held fixed, of first order in w = (y, and y_j', …, y_j^(o-1) where y_j stands with order o > 1).

    Parameters
    ----------
    dae : DAE
    t : float
    """

    def __init__(self, dae: DAE, t: float) -> None:
        self.dae, self.t = dae, t
        count = len(dae.variables)
        beyond = [(j, k) for j, order in enumerate(dae.orders) for k in range(1, order)]
        #: Columns of w by variable and order.
        self.column = {(j, 0): j for j in range(count)} | {place: count + i for i, place in enumerate(beyond)}

    def rest(self) -> CasadiMap:
        """Return the map y -> F(t, y, 0, …, 0)."""
        y = ca.SX.sym("y", len(self.dae.variables))
        jets = ca.vertcat(*(y[j] if k == 0 else ca.SX(0) for j, k in self.dae.places))
        return CasadiMap(y, self.dae.function(ca.DM(self.t), jets, ca.DM(self.dae.data(self.t))))

    @cached_property
    def _jacobian(self) -> BufferedFunction:
        function = self.dae.function
        arguments = [ca.SX.sym(name, function.numel_in(i)) for i, name in enumerate("tYq")]
        return BufferedFunction(
            ca.Function("J", arguments, [ca.cse(ca.densify(ca.jacobian(function(*arguments), arguments[1])))])
        )

    def pencil(self, y: Array, q: Array | None = None) -> tuple[Array, Array]:
        """Return (E, A) with E dw' = A dw at a rest point y; `q` are data in place of the DAE's own."""
        places, orders = self.dae.places, self.dae.orders
        jets = np.array([y[j] if k == 0 else 0.0 for j, k in places])
        data = self.dae.data(self.t) if q is None else q
        by_jets = self._jacobian(np.array([self.t]), jets, data).reshape(-1, len(places))
        m, size = by_jets.shape[0], len(self.column)
        E, A = np.zeros((2, m + size - len(orders), size))
        for (j, k), column in zip(places, by_jets.T, strict=True):
            if k == orders[j] > 0:
                E[:m, self.column[j, k - 1]] = column
            else:
                A[:m, self.column[j, k]] = -column
        beyond = [place for place in self.column if place[1]]
        for row, (j, k) in enumerate(beyond, start=m):
            E[row, self.column[j, k - 1]] = A[row, self.column[j, k]] = 1.0
        return E, A


@dataclass(frozen=True, eq=False)
class NumericRest:
    """y -> F(t, y, 0) of a numeric DAE; a `Map`."""

    dae: NumericDAE
    t: float

    capabilities = frozenset[str]()

    @property
    def n_in(self) -> int:
        """The number of variables."""
        return self.dae.n

    @property
    def n_out(self) -> int:
        """The number of equations."""
        return self.dae.n

    def value(self, y: Array) -> Array:
        """Return the residuals."""
        return self.dae.residual(self.t, y, np.zeros(self.dae.n))

    def jacobian(self, y: Array) -> Array:
        """Return their Jacobian."""
        return self.dae.jacobian(self.t, y, np.zeros(self.dae.n))[0]

    def jvp(self, y: Array, v: Array) -> Array:
        """Return the Jacobian times v."""
        return self.jacobian(y) @ v

    def vjp(self, y: Array, w: Array) -> Array:
        """Return the transposed Jacobian times w."""
        return self.jacobian(y).T @ w

    def pencil(self, y: Array) -> tuple[Array, Array]:
        """Return (E, A) with E dy' = A dy at a rest point y."""
        by_y, by_dy = self.dae.jacobian(self.t, y, np.zeros(self.dae.n))
        return by_dy, -by_y
