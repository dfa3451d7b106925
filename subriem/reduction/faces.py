"""The reduced system as CasADi functions: semi-explicit of index 1 with invariants.

With states z = {y_j^(k), k < d_j} and unknowns a = {y_j^(d_j)} the differentiated equations g(t, z, a) = 0 determine a
where their Jacobian J is regular. Where it is only of full row rank, a is the one of least |W a|:

    W^2 a + J^T mu = 0,    g(t, z, a) = 0,

which is regular iff W is definite on ker J: the horizontal motion, and the multipliers of least norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import casadi as ca

from subriem.core.protocols import Array
from subriem.reduction.elimination import substitute_explicit
from subriem.reduction.prolongation import Prolongation


@dataclass(frozen=True, eq=False)
class Faces:
    """The functions of a reduced system; t scalar, z states, a kept unknowns, q data.

    Attributes
    ----------
    ode : casadi.Function
        (t, z, a, q) -> z'.
    algebraic : casadi.Function
        (t, z, a, q) -> 0 in R^(len a).
    tops : casadi.Function
        (t, z, a, q) -> all unknowns y_j^(d_j), those that were eliminated included.
    reduced : casadi.Function
        (t, z, y_j^(d_j), q) -> all f_i^(c_i), those included that follow from others.
    invariants : casadi.Function
        (t, z, q) -> all constraints between states.
    projection : casadi.Function
        (t, z, q) -> independent ones among them.
    kept : tuple of int
        Which unknowns were not eliminated; after them follow `multipliers` mu.
    multipliers : int
    """

    ode: ca.Function
    algebraic: ca.Function
    tops: ca.Function
    reduced: ca.Function
    invariants: ca.Function
    projection: ca.Function
    kept: tuple[int, ...]
    multipliers: int


def build_faces(
    system: Prolongation, base: Sequence[int], constraints: Sequence[int], weights: Array | None, pole: float = 0.0
) -> Faces:
    """Return the functions of the reduced system.

    Parameters
    ----------
    system : Prolongation
    base : sequence of int
        Positions in `top_rows` of the equations that determine the unknowns.
    constraints : sequence of int
        Positions in `invariant_rows` of independent constraints.
    weights : (n,) ndarray or None
        W, where the base rows do not determine all unknowns.
    pole : float
        Baumgarte's stabilisation: f^(c) is replaced by (d/dt + pole)^c f.
    """
    t, q = system.jets.t, system.q
    z, a = system.jets.stack(system.state_columns), system.jets.stack(system.top_columns)
    g = _stabilised(system, base, pole)
    if weights is None:
        found = substitute_explicit(g, a)
        unknowns, algebraic, tops = found.unknowns, found.equations, found.complete(found.unknowns)
        kept, count = found.kept_index, 0
    else:
        mu = ca.SX.sym("mu", g.numel())
        force = ca.jtimes(g, a, mu, True)
        algebraic = ca.vertcat(ca.DM(weights**2) * a + force, g)
        unknowns, tops = ca.vertcat(a, mu), a
        kept, count = tuple(range(a.numel())), g.numel()
    position = {place: index for index, place in enumerate(system.state_columns)}
    rates = [
        z[position[j, k + 1]] if (j, k + 1) in position else tops[j] for j, k in system.state_columns
    ]  # d/dt y_j^(k) = y_j^(k+1)
    ode = ca.vertcat(*rates) if rates else ca.SX(0, 1)
    lower = system.invariant_rows
    invariants = system.expressions(lower)
    independent = system.expressions([lower[i] for i in constraints])

    def function(name: str, arguments: list[ca.SX], expression: ca.SX) -> ca.Function:
        return ca.Function(name, arguments, [ca.cse(ca.densify(expression))])

    arguments = [t, z, unknowns, q]
    return Faces(
        function("ode", arguments, ode),
        function("algebraic", arguments, algebraic),
        function("tops", arguments, tops),
        function("reduced", [t, z, a, q], system.expressions(system.top_rows)),
        function("invariants", [t, z, q], invariants),
        function("projection", [t, z, q], independent),
        kept,
        count,
    )


def _stabilised(system: Prolongation, base: Sequence[int], pole: float) -> ca.SX:
    """Return the base equations f^(c), or (d/dt + pole)^c f = sum_k binom(c, k) pole^(c-k) f^(k)."""
    rows = [system.top_rows[p] for p in base]
    if not pole:
        return system.expressions(rows)
    return ca.vertcat(
        *(
            sum((comb(top, k) * pole ** (top - k) * system.expressions([(i, k)]) for k in range(top + 1)), ca.SX(0))
            for i, top in rows
        )
    )
