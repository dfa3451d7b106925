"""The arguments of `solve`, checked at the door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import real_array
from subriem.integration.casadi_engines import Idas, Rosenbrock
from subriem.integration.integrator import Integrator
from subriem.integration.system import Reduced
from subriem.integration.taylor_engine import TaylorMethod
from subriem.reduction.dae import Derivative
from subriem.reduction.declare import Names, scalar_names
from subriem.reduction.numeric import NumericDAE
from subriem.reduction.numeric_reduction import NumericReduction
from subriem.reduction.reduction import Reduction

INTEGRATORS: dict[str, Callable[[], Integrator]] = {"rosenbrock": Rosenbrock, "idas": Idas, "taylor": TaylorMethod}


def read_span(span: Any) -> tuple[float, float]:
    """Return start and end."""
    values = real_array(np.atleast_1d(span), "span", ndim=1)
    if values.size == 1:
        values = np.array([0.0, values[0]])
    if values.size != 2 or values[0] == values[1]:
        raise ProblemError(
            "solve: span is no stretch of time", f"{values}", "an end, or (start, end)", "span=(0.0, 1.0)"
        )
    return float(values[0]), float(values[1])


def read_times(t_eval: Any, start: float, end: float) -> Array:
    """Return the wanted times, in the order from start to end."""
    times = real_array(t_eval, "t_eval", ndim=1)
    if (np.diff(times) * np.sign(end - start) <= 0).any():
        raise ProblemError("solve: t_eval does not go from start to end", f"{times[:6]}", "monotone times", "np.unique")
    if not min(start, end) <= min(times[0], times[-1]) <= max(times[0], times[-1]) <= max(start, end):
        got = f"{times.min():.6g} … {times.max():.6g}"
        raise ProblemError("solve: t_eval leaves the span", got, f"[{start:.6g}, {end:.6g}]", "a longer span")
    return times


def check_tolerances(rtol: Any, atol: Any) -> None:
    """Refuse what is no tolerance."""
    for name, value, low, high in (("rtol", rtol, 1e-15, 1.0), ("atol", atol, 0.0, np.inf)):
        if not _is_number(value) or not low <= float(value) < high:
            expected = f"{low:g} <= {name} < {high:g}"
            raise ProblemError(f"solve: {name} is out of range", repr(value), expected, f"{name}=1e-8")


def check_pole(baumgarte: Any) -> None:
    """Refuse what is no pole."""
    if baumgarte != "auto" and (not _is_number(baumgarte) or not 0 <= float(baumgarte) < np.inf):
        raise ProblemError("solve: baumgarte is no pole", repr(baumgarte), "'auto' or a number >= 0", "baumgarte=0")


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Refuse what is not one of the known words."""
    if value not in known:
        raise ProblemError(f"solve: unknown {name}", repr(value), " or ".join(map(repr, known)), f"{name}={known[0]!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def choose_integrator(method: Any, reduction: Reduced) -> tuple[Integrator, str]:
    """Return the integrator, and why this one."""
    if isinstance(method, Integrator):
        return method, "given"
    if method == "auto":
        kind = "stiff or not" if reduction.system.state_columns else "no states: the unknowns are followed in time"
        return Rosenbrock(), f"rosenbrock: L-stable, order 5, {kind}"
    if isinstance(method, str) and method in INTEGRATORS:
        return INTEGRATORS[method](), "asked for"
    known = ", ".join(["auto", *INTEGRATORS])
    raise ProblemError("solve: unknown method", repr(method), f"one of {known}, or an Integrator", "method='auto'")


def refuse_symbolic(dae: NumericDAE, **arguments: Any) -> None:
    """Refuse arguments that only a DAE with symbols can take."""
    for name, value in arguments.items():
        if value:
            raise ProblemError(
                f"solve: {name} needs symbols, and {dae.name} is a NumPy function",
                f"{name} given",
                "at, fix, events, tolerances",
                f"solve without {name}, or a DAE of @sr.dae",
            )


def declared_quadratures(
    reduction: Reduction | NumericReduction, quadratures: Callable[..., Mapping[str, Any]] | None
) -> tuple[ca.Function | None, tuple[str, ...]]:
    """Return the integrands as a function (t, z, tops, q), with their names.

    Raises
    ------
    ProblemError
        If they are no scalar expressions by name, or hold something the reduced system does not have.
    """
    if isinstance(reduction, NumericReduction):
        refuse_symbolic(reduction.dae, quadratures=quadratures)
    if quadratures is None or isinstance(reduction, NumericReduction):
        return None, ()
    if not callable(quadratures):
        got = type(quadratures).__name__
        raise ProblemError("solve: quadratures is no function", got, "(t, v, d, p) -> {name: expression}", "lambda")
    system = reduction.system
    answer = quadratures(system.jets.t, _variables(reduction), Derivative(system.jets), _parameters(reduction))
    if not isinstance(answer, Mapping) or not answer:
        got = type(answer).__name__
        raise ProblemError("solve: quadratures returns no mapping", got, "{name: expression}", "{'work': p.F * d(v.x)}")
    known = {*reduction.dae.sizes, *reduction.dae.variables}
    rows = [_scalar(name, value, known) for name, value in answer.items()]
    arguments = [
        system.jets.t,
        system.jets.stack(system.state_columns),
        system.jets.stack(system.top_columns),
        system.q,
    ]
    inside = {symbol.element_hash() for symbol in ca.symvar(ca.vertcat(*arguments))}
    strange = [str(symbol) for symbol in ca.symvar(ca.vertcat(*rows)) if symbol.element_hash() not in inside]
    if strange:
        raise ProblemError(
            "solve: a quadrature holds symbols the reduced system does not have",
            ", ".join(strange[:6]),
            f"jets among {', '.join((*reduction.state_names, *reduction.top_names)[:8])}",
            "lower derivatives",
        )
    return ca.Function("quadratures", arguments, [ca.vertcat(*rows)]), tuple(answer)


def _scalar(name: Any, value: Any, known: set[str]) -> ca.SX:
    if not isinstance(name, str) or name in known:
        raise ProblemError("solve: the name of a quadrature is taken", repr(name), "another name", f"'int_{name}'")
    try:
        row = ca.SX(value)
    except (TypeError, NotImplementedError) as error:
        got = type(value).__name__
        raise ProblemError(f"solve: quadrature {name!r} is no SX expression", got, "an expression", "d(v.x)") from error
    if row.shape != (1, 1):
        raise ProblemError(f"solve: quadrature {name!r} is no scalar", f"shape {row.shape}", "(1, 1)", "ca.sumsqr")
    return row


def _variables(reduction: Reduction) -> Names:
    jets, position, columns = reduction.system.jets, 0, {}
    for name, size in reduction.dae.sizes.items():
        width = len(scalar_names(name, size))
        columns[name] = jets.stack([(j, 0) for j in range(position, position + width)])
        position += width
    return Names("variable", columns)


def _parameters(reduction: Reduction) -> Names:
    symbols, offset, q = {}, 0, reduction.system.q
    for name, value in reduction.dae.parameters.items():
        shape = value.shape if value.ndim == 2 else (value.size, 1)
        symbols[name] = ca.reshape(q[offset : offset + value.size], *shape)
        offset += value.size
    for entry in reduction.dae.inputs:
        width = entry.table.shape[1]
        symbols[entry.name] = entry.function(reduction.system.jets.t, q[offset : offset + width])
        offset += width
    return Names("parameter", symbols)
