"""DAEs from CasADi's dictionaries and from mass matrices."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import real_array
from subriem.reduction.dae import DAE, build
from subriem.reduction.declare import (
    MISUSE,
    Names,
    declare_parameters,
    declare_variables,
    equation_column,
    first_line,
)
from subriem.reduction.jets import Jets

_KEYS = frozenset({"t", "x", "z", "p", "ode", "alg", "quad"})


def from_casadi(system: Mapping[str, Any], name: str) -> DAE:
    """Return the DAE x' = ode, 0 = alg of CasADi's dictionary; see `DAE.from_casadi`."""
    if not isinstance(system, Mapping) or not {"x", "ode"} <= set(system) or set(system) - _KEYS:
        raise ProblemError(
            "this is not CasADi's dictionary of a DAE",
            ", ".join(map(str, system)) if isinstance(system, Mapping) else type(system).__name__,
            "the keys x and ode, and of t, z, p, alg what there is",
            "{'x': x, 'z': z, 'p': p, 'ode': ode, 'alg': alg}",
        )
    empty = ca.SX(0, 1)
    parts = {key: system.get(key, empty) for key in ("x", "z", "p", "ode", "alg")}
    for key, value in parts.items():
        if not isinstance(value, ca.SX):
            raise ProblemError(
                f"{key} is not a CasADi SX", type(value).__name__, "SX", "build the dictionary with ca.SX.sym"
            )
    x, z, p, ode, alg = (ca.vec(parts[key]) for key in ("x", "z", "p", "ode", "alg"))
    t = system.get("t", ca.SX.sym("t"))
    symbols = [t, x, z, p]
    if not all(isinstance(s, ca.SX) and s.is_valid_input() for s in symbols) or _repeated(ca.vertcat(*symbols)):
        raise ProblemError(
            "t, x, z, p are not distinct symbols",
            ", ".join(map(str, symbols)),
            "ca.SX.sym each",
            "substitute symbols for expressions",
        )
    for left, right, names in ((x, ode, "x and ode"), (z, alg, "z and alg")):
        if left.numel() != right.numel():
            raise ProblemError(
                f"{names} do not fit", f"{left.numel()} and {right.numel()} entries", "as many of each", "check them"
            )
    unknowns = _distinct([str(s) for s in ca.vertsplit(ca.vertcat(x, z))])
    data = _distinct([str(s) for s in ca.vertsplit(p)])
    sizes: dict[str, int | None] = declare_variables(unknowns)
    values = declare_parameters(dict.fromkeys(data, 0.0), sizes)

    def define(jets: Jets, v: Names, q: Names) -> list[tuple[str, ca.SX]]:
        new = ca.vertcat(*(v[key] for key in unknowns))
        rates = ca.vertcat(*(jets(j, 1) for j in range(x.numel())))
        parameters = ca.vertcat(*(q[key] for key in data)) if data else empty
        old = [t, ca.vertcat(x, z), p]
        ode_, alg_ = ca.substitute([ode, alg], old, [jets.t, new, parameters])
        rows = [(f"{unknowns[i]}'", row) for i, row in enumerate(ca.vertsplit(rates - ode_))]
        return rows + [(f"alg[{i}]", row) for i, row in enumerate(ca.vertsplit(alg_)) if alg_.numel()]

    return build(name, sizes, values, None, define)


def _repeated(symbols: ca.SX) -> bool:
    return len({s.element_hash() for s in ca.vertsplit(symbols)}) < symbols.numel()


def _distinct(names: list[str]) -> list[str]:
    """Return names that are identifiers and differ: x_0 stays, a repeated or odd one is numbered."""
    found: list[str] = []
    for name in names:
        clean = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
        clean = clean if clean.isidentifier() and clean != "t" else f"v_{clean}"
        candidate, count = clean, 1
        while candidate in found:
            count += 1
            candidate = f"{clean}_{count}"
        found.append(candidate)
    return found


def from_mass_matrix(M: Any, f: Callable[..., Any], variables: Any, parameters: Any, name: str) -> DAE:
    """Return the DAE M y' = f(t, y, p); see `DAE.from_mass_matrix`."""
    if not callable(f):
        raise ProblemError("from_mass_matrix: f is not callable", type(f).__name__, "(t, y, p) -> SX", "a function")
    matrix = None if callable(M) else real_array(M, "M", ndim=2)
    if variables is None:
        if matrix is None:
            raise ProblemError(
                "from_mass_matrix: the number of variables is unknown", "M is a function", "variables", "{'y': n}"
            )
        variables = {"y": matrix.shape[1]}
    sizes = declare_variables(variables)
    values = declare_parameters(parameters, sizes)

    def define(jets: Jets, v: Names, p: Names) -> list[tuple[str, ca.SX]]:
        y = ca.vertcat(*(v[key] for key in sizes))
        rates = ca.vertcat(*(jets(j, 1) for j in range(y.numel())))
        right = equation_column("f", _call(f, jets.t, y, p))
        mass = _mass(M, matrix, jets.t, y, p)
        if mass.shape != (right.numel(), y.numel()):
            raise ProblemError(
                "from_mass_matrix: shapes do not fit",
                f"M {mass.shape}, f {right.numel()}, y {y.numel()}",
                "M of shape (len f, len y)",
                "check M and f",
            )
        return [("row", mass @ rates - right)]

    return build(name, sizes, values, None, define)


def _mass(M: Any, matrix: Array | None, t: ca.SX, y: ca.SX, p: Names) -> ca.SX:
    if matrix is not None:
        return ca.SX(ca.sparsify(ca.DM(np.asarray(matrix))))
    rows: Any = _call(M, t, y, p)
    try:
        return ca.vertcat(*(ca.horzcat(*row) for row in rows)) if isinstance(rows, list | tuple) else ca.SX(rows)
    except MISUSE as error:
        raise ProblemError(
            "from_mass_matrix: M is no matrix", type(rows).__name__, "an SX matrix or a list of rows", "ca.blockcat"
        ) from error


def _call(function: Callable[..., Any], t: ca.SX, y: ca.SX, p: Names) -> Any:
    """Call a function of (t, y) or (t, y, p)."""
    arguments = (t, y, p) if len(inspect.signature(function).parameters) >= 3 else (t, y)
    try:
        return function(*arguments)
    except MISUSE as error:
        raise ProblemError(
            "from_mass_matrix: f or M failed",
            first_line(error),
            "functions (t, y) or (t, y, p) of SX expressions",
            "ca.if_else in place of if; casadi's functions (ca.sin) in place of math's and NumPy's",
        ) from error
