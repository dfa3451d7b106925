"""The explicit face of a reduced system: x' = f(t, x), the unknowns a eliminated symbolically, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np

from subriem.core.errors import ReductionError
from subriem.core.protocols import Array
from subriem.integration.batch import Batch
from subriem.integration.system import System
from subriem.reduction.elimination import solve_affine


@dataclass(frozen=True, eq=False)
class ExplicitFace:
    """An ordinary differential equation that moves as the reduced system does.

    Attributes
    ----------
    rates : casadi.Function
        (t, X, q) -> X', X = x, or (x, a) where the unknowns could not be solved for.
    unknowns : casadi.Function
        (t, X, q) -> a.
    extended : bool
        Whether X holds the unknowns.
    """

    rates: ca.Function
    unknowns: ca.Function
    extended: bool

    def state(self, x: Array, a: Array) -> Array:
        """Return X."""
        return np.concatenate([x, a]) if self.extended else x


def explicit_face(system: System) -> ExplicitFace:
    """Eliminate the unknowns of g(t, x, a) = 0.

    Where g is affine in a, they are solved for. Else they become states: a' = -(dg/da)^-1 (dg/dt + dg/dx x'), and
    g = 0 is kept by its start.

    Raises
    ------
    ReductionError
        If the system Jacobian is singular at the consistent point.
    """
    t, x, a, q = (ca.SX.sym(name, system.rates.numel_in(i)) for i, name in enumerate("txaq"))
    g, rates = system.algebraic(t, x, a, q), system.rates(t, x, a, q)
    matrix = _numeric_jacobian(system)
    if not a.numel():
        return ExplicitFace(_function([t, x, q], rates), _function([t, x, q], a), False)
    if not ca.depends_on(ca.jacobian(g, a), a):
        solved = solve_affine(g, a, matrix, system.reduction.policy)
        return ExplicitFace(_function([t, x, q], ca.substitute(rates, a, solved)), _function([t, x, q], solved), False)
    change = ca.SX.sym("da", a.numel())
    along = ca.jtimes(g, ca.vertcat(t, x, a), ca.vertcat(1, rates, change))
    moved = solve_affine(along, change, matrix, system.reduction.policy)
    whole = ca.vertcat(x, a)
    return ExplicitFace(_function([t, whole, q], ca.vertcat(rates, moved)), _function([t, whole, q], a), True)


def _function(arguments: list[ca.SX], expression: ca.SX) -> ca.Function:
    return ca.Function("explicit", arguments, [ca.cse(ca.densify(expression))])


def _numeric_jacobian(system: System) -> Array:
    """Return dg/da at the consistent point."""
    point = system.reduction.consistent
    z, a = system.carried(point)
    if not a.size:
        return np.zeros((0, 0))
    x = np.concatenate([z, np.zeros(system.quadratures)])
    data = system.reduction.dae.data(point.t)
    # the multipliers mu enter linearly: their values do not matter
    found = Batch(system.algebraic, (2,))(np.array([point.t]), x[None], a[None], data[None])[1][0]
    if not np.isfinite(found).all():
        raise ReductionError(
            "the system Jacobian is not finite at the consistent point",
            f"t = {point.t:.6g}",
            "finite derivatives",
            "another start",
        )
    return found
