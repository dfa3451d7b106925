"""Costs given by a CasADi expression: of the output of a map, or of the parameters themselves (a potential)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction, casadi_map
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import positive_integer
from subriem.flows.flow import Flow, standard


@dataclass(frozen=True, eq=False, repr=False)
class CustomCost:
    """A cost C(x) by its derivatives; made by `custom_cost`.

    Attributes
    ----------
    functions : tuple of BufferedFunction
        x -> C, x -> grad C and (x, v) -> (Hess C) v.
    n : int
        Number of outputs.
    samples : int
        N.
    least : float
        A lower bound of C, -inf where none is known.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> cost = sr.flows.custom_cost(lambda x: x[0] ** 4 + x[1] ** 2, 2)
    >>> cost.value(np.array([1.0, 2.0])), cost.gradient(np.array([1.0, 2.0]))
    (5.0, array([4., 4.]))
    """

    functions: tuple[BufferedFunction, BufferedFunction, BufferedFunction]
    n: int
    samples: int
    least: float

    is_quadratic = False
    rate = None

    def __repr__(self) -> str:
        return f"<custom cost of {self.n} outputs>"

    def value(self, x: Array) -> float:
        """Return C(x)."""
        return float(self.functions[0](x)[0])

    def gradient(self, x: Any) -> Any:
        """Return grad_x C, shape (n,), of numbers or of CasADi symbols."""
        return self.functions[1].function(x) if isinstance(x, ca.SX) else self.functions[1](x)

    def hvp(self, x: Array, v: Array) -> Array:
        """Return (Hess C) v, shape (n,)."""
        return self.functions[2](x, v)

    def floor(self, x: Array, null: Array) -> float:
        """Return the lower bound that was given: it holds on every affine set."""
        return self.least


def custom_cost(expression: Callable[[ca.SX], Any], n: int, *, samples: int = 1, least: float = -np.inf) -> CustomCost:
    """Return the cost C(x) of a CasADi expression, for `adapted` and `standard`.

    Parameters
    ----------
    expression : callable
        x, an SX column (n,), -> C, a scalar.
    n : int
        Number of outputs.
    samples : int
        N, the rows of the outputs: of a network that many samples.
    least : float
        A lower bound of C. ``sr.Until(cost=…)`` asks for (C - least)/C0; without it end a run by ``Until(s=…)``.

    Returns
    -------
    CustomCost

    Raises
    ------
    ProblemError
        If the expression is no SX scalar in x, or a number has the wrong type.

    Examples
    --------
    >>> import casadi as ca, subriem as sr
    >>> double_well = sr.flows.custom_cost(lambda x: ca.sumsqr(x**2 - 1), 2, least=0.0)
    >>> flow = sr.flows.standard(sr.map(lambda t: [t[0] + t[1], t[0] * t[1]], 2), double_well)
    >>> flow.velocity([1.0, 0.0])
    array([0., 0.])
    """
    n, samples = positive_integer(n, "n"), positive_integer(samples, "samples")
    if isinstance(least, bool) or not isinstance(least, int | float | np.number) or not least < np.inf:
        raise ProblemError("custom_cost: least is no bound", repr(least), "a number below inf", "least=0.0")
    made = casadi_map(expression, n)
    if made.n_out != 1:
        raise ProblemError("the cost is no scalar", f"{made.n_out} entries", "one number", "ca.sumsqr(x)")
    x, v = ca.SX.sym("x", n), ca.SX.sym("v", n)
    cost = made.function(x)
    gradient = ca.gradient(cost, x)

    def function(name: str, arguments: list[ca.SX], answer: ca.SX) -> BufferedFunction:
        return BufferedFunction(ca.Function(name, arguments, [ca.cse(ca.densify(answer))]))

    derivatives = (
        function("cost", [x], cost),
        function("gradient", [x], gradient),
        function("hvp", [x, v], ca.jtimes(gradient, x, v)),
    )
    return CustomCost(derivatives, n, samples, float(least))


def potential(V: Callable[[ca.SX], Any], dim: int, *, least: float = -np.inf) -> Flow:
    """Return the gradient flow theta' = -grad V of a function on R^K: the standard flow of the identity map.

    Parameters
    ----------
    V : callable
        CasADi SX column theta (K,) -> scalar.
    dim : int
        K.
    least : float
        A lower bound of V, for ``sr.Until(cost=…)``.

    Returns
    -------
    Flow

    Raises
    ------
    ProblemError
        If V is no SX scalar in theta.

    Examples
    --------
    >>> import casadi as ca, subriem as sr
    >>> ring = sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2 / 4, 2, least=0.0)
    >>> sol = sr.follow(ring, [0.3, 0.4], until=sr.Until(s=40.0), clock="s")
    >>> sol["theta"][-1].round(6)
    array([0.6, 0.8])
    """
    return standard(casadi_map(lambda theta: theta, dim), custom_cost(V, dim, least=least))
