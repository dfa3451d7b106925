"""What a user declares of a DAE, checked at the door: variables, parameters, inputs, equations."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import positive_integer, real_array

#: Names that stand for something else in a definition.
RESERVED = frozenset({"t"})
_RELATIONS = frozenset({ca.OP_EQ, ca.OP_NE, ca.OP_LT, ca.OP_LE, ca.OP_AND, ca.OP_OR, ca.OP_NOT})
#: What Python raises when CasADi's expressions are used as numbers: in an `if`, in functions that know nothing of them.
MISUSE = (TypeError, RuntimeError, NotImplementedError, AttributeError)


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def scalar_names(name: str, size: int | None) -> tuple[str, ...]:
    """Return the names of the entries of a quantity: x for a scalar, theta[0], theta[1] and so on for a column."""
    return (name,) if size is None else tuple(f"{name}[{i}]" for i in range(size))


def entries(name: str, sizes: Mapping[str, int | None], variables: Sequence[str]) -> list[int]:
    """Return the positions of a variable, or of one of its entries, among the scalar variables.

    Raises
    ------
    ProblemError
        If there is no such variable.
    """
    if name in sizes:
        start = variables.index(scalar_names(name, sizes[name])[0])
        return list(range(start, start + (sizes[name] or 1)))
    if name in variables:
        return [variables.index(name)]
    raise ProblemError(
        "there is no variable of this name", repr(name), f"one of {', '.join(sizes)}", "check the spelling"
    )


class Names:
    """Symbols by name, as attributes or as items; an unknown name is answered with the known ones."""

    def __init__(self, kind: str, symbols: Mapping[str, Any], hint: str = "") -> None:
        self._kind, self._symbols, self._hint = kind, dict(symbols), hint

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python asks for these itself
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        if name in self._symbols:
            return self._symbols[name]
        raise ProblemError(
            f"there is no {self._kind} of this name",
            repr(name),
            f"one of {', '.join(self._symbols) or '(none declared)'}",
            self._hint or f"declare it among the {self._kind}s",
        )

    def __iter__(self) -> Any:
        return iter(self._symbols)

    def __len__(self) -> int:
        return len(self._symbols)


def check_name(name: Any, kind: str, taken: Mapping[str, Any] | Sequence[str] = ()) -> str:
    """Return a name that can be written as v.name, or raise `ProblemError`."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
        hint = "lam" if name == "lambda" else "letters, digits and _, for example x1"
        raise ProblemError(f"this cannot be the name of a {kind}", repr(name), "a Python identifier", hint)
    if name in RESERVED:
        raise ProblemError(f"a {kind} has a reserved name", repr(name), f"none of {sorted(RESERVED)}", "another name")
    if name in taken:
        raise ProblemError(f"the name of a {kind} stands twice", repr(name), "different names", f"rename one {kind}")
    return name


def declare_variables(variables: Any) -> dict[str, int | None]:
    """Return name -> length (None for a scalar) from "x y lam", a list of names, or a mapping name -> length.

    Raises
    ------
    ProblemError
        If there is none, a name is no identifier, reserved or repeated, or a length is no integer >= 1.
    """
    if isinstance(variables, str):
        variables = variables.replace(",", " ").split()
    if not isinstance(variables, Mapping | list | tuple) or not variables:
        raise ProblemError(
            "the DAE has no variables", repr(variables), "'x y lam', a list of names or {'theta': 25}", "variables='x'"
        )
    sizes: dict[str, int | None] = {}
    for name in variables:
        check_name(name, "variable", sizes)
        size = variables[name] if isinstance(variables, Mapping) else None
        sizes[name] = None if size is None else positive_integer(size, f"the length of variable {name}")
    return sizes


def declare_parameters(parameters: Any, taken: Mapping[str, Any]) -> dict[str, Array]:
    """Return name -> value, a float64 array of shape (), (m,) or (m, k).

    Raises
    ------
    ProblemError
        If it is no mapping, a name is taken, or a value is not real, finite and of at most two axes.
    """
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise ProblemError("parameters is no mapping", type(parameters).__name__, "{'g': 9.81}", "name each parameter")
    found: dict[str, Array] = {}
    for name, value in parameters.items():
        check_name(name, "parameter", {**taken, **found})
        found[name] = parameter_value(value, name)
    return found


def parameter_value(value: Any, name: str, like: Array | None = None) -> Array:
    """Return the value of a parameter as an array, of the shape of `like` if that is given."""
    scalar = np.ndim(value) == 0
    array = real_array(np.atleast_1d(value), f"parameter {name}")
    array = array.reshape(()) if scalar else array
    if array.ndim > 2 or (like is not None and array.shape != like.shape):
        expected = "at most two axes" if like is None else f"shape {like.shape}"
        raise ProblemError(f"parameter {name} has the wrong shape", f"shape {array.shape}", expected, "reshape it")
    return array


@dataclass(frozen=True, eq=False)
class Input:
    """A given function of time u(t), smooth on the segments between its breakpoints.

    What differs from segment to segment enters the equations as data: so an integrator never steps over a corner, and
    sees at the end of a segment the value from its own side.

    Attributes
    ----------
    name : str
    breakpoints : (m,) ndarray
        Where the function or a derivative of it jumps.
    table : (m + 1, w) ndarray
        The data of each segment.
    function : casadi.Function
        (t, data) -> u.
    """

    name: str
    breakpoints: Array
    table: Array
    function: ca.Function

    def data(self, t: float) -> Array:
        """Return the data of the segment that begins at or contains t."""
        return self.table[int(np.searchsorted(self.breakpoints, t, side="right"))]


def declare_input(name: str, value: Any, t: ca.SX) -> tuple[Input, ca.SX, ca.SX]:
    """Return an input with the symbols of its data and its expression in t and these symbols.

    Parameters
    ----------
    name : str
    value : callable, (times, values), or mapping
        A function of the symbol t; a table, interpolated linearly and constant outside; or {start: number or
        function}, one for each segment.
    t : casadi.SX

    Raises
    ------
    ProblemError
        If it is none of these, or depends on something else than t.
    """
    if callable(value):
        return _input(name, np.zeros(0), np.zeros((1, 0)), t, ca.SX(0, 1), _of_time(name, value, t))
    if isinstance(value, Mapping):
        starts = real_array(list(value), f"the starts of input {name}", ndim=1)
        _increasing(name, starts)
        branch = ca.SX.sym(f"{name}.branch")
        pieces = [_of_time(name, piece, t) for piece in value.values()]
        expression = pieces[0]
        for k, piece in enumerate(pieces[1:], start=1):
            expression = ca.if_else(branch < k, expression, piece)
        return _input(name, starts[1:], np.arange(float(starts.size))[:, None], t, branch, expression)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ProblemError(
            f"input {name} is not a function of time",
            type(value).__name__,
            "a function of the symbol t, (times, values), or {start: number or function}",
            f"inputs={{'{name}': (times, values)}}",
        )
    times = real_array(value[0], f"the times of input {name}", ndim=1)
    values = real_array(value[1], f"the values of input {name}", ndim=1)
    _increasing(name, times)
    if values.size != times.size or times.size < 2:
        raise ProblemError(
            f"the table of input {name} does not fit",
            f"{times.size} times, {values.size} values",
            "as many values as times, at least two",
            "check the columns",
        )
    slopes = np.diff(values) / np.diff(times)
    inner = np.column_stack([times[:-1], values[:-1], slopes])
    table = np.vstack([[times[0], values[0], 0.0], inner, [times[-1], values[-1], 0.0]])
    data = ca.SX.sym(f"{name}.data", 3)
    return _input(name, times, table, t, data, data[1] + data[2] * (t - data[0]))


def _input(
    name: str, breakpoints: Array, table: Array, t: ca.SX, data: ca.SX, expression: ca.SX
) -> tuple[Input, ca.SX, ca.SX]:
    return Input(name, breakpoints, table, ca.Function("u", [t, data], [expression])), data, expression


def _increasing(name: str, times: Array) -> None:
    if (np.diff(times) <= 0).any():
        raise ProblemError(
            f"the times of input {name} do not increase", f"{times[:6]}", "increasing times", "sort them"
        )


def _of_time(name: str, value: Any, t: ca.SX) -> ca.SX:
    hint = "casadi's functions of the symbol t (ca.sin, not math.sin), or a table (times, values)"
    try:
        answer: Any = value(t) if callable(value) else value
        expression = ca.SX(answer)
    except MISUSE as error:
        raise ProblemError(
            f"input {name} is no expression in t", first_line(error), "a CasADi SX expression", hint
        ) from error
    strange = [str(s) for s in ca.symvar(expression) if s.element_hash() != t.element_hash()]
    if strange or expression.shape != (1, 1):
        got = f"symbols {', '.join(strange)}" if strange else f"shape {expression.shape}"
        raise ProblemError(f"input {name} is no scalar function of t alone", got, "one expression in t", hint)
    if not finite_constants(ca.Function("u", ca.symvar(expression), [expression])):
        raise ProblemError(f"input {name} holds a constant that is not finite", str(expression)[:80], "numbers", hint)
    return expression


def finite_constants(function: ca.Function) -> bool:
    """Return whether no constant in an SX function is NaN or infinite; math.sin(symbol) is NaN without a warning."""
    instructions = range(function.n_instructions())
    constants = [function.instruction_constant(k) for k in instructions if function.instruction_id(k) == ca.OP_CONST]
    return bool(np.isfinite(constants).all())


def declare_equations(equations: Any) -> tuple[tuple[str, ...], ca.SX]:
    """Return the scalar names con[0], con[1], … or rod, and the stacked residuals.

    Raises
    ------
    ProblemError
        If there is none, a name is empty, no text or repeated, or a residual is a relation, no column of SX, or empty.
    """
    if isinstance(equations, Mapping):
        equations = list(equations.items())
    if not isinstance(equations, list | tuple) or not equations:
        raise ProblemError(
            "the DAE has no equations",
            repr(equations)[:80],
            "{'rod': v.x**2 + v.y**2 - 1} or a list of (name, expression)",
            "return a dict from the definition",
        )
    names: list[str] = []
    rows: list[ca.SX] = []
    seen: set[str] = set()
    for pair in equations:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str) or not pair[0].strip():
            raise ProblemError("an equation has no name", repr(pair)[:80], "(name, expression)", "('rod', expression)")
        name, value = pair
        row = equation_column(name, value)
        new = scalar_names(name, None if row.numel() == 1 else row.numel())
        twice = sorted(seen & {name, *new})
        if twice:
            raise ProblemError(
                "the name of an equation stands twice", repr(twice[0]), "different names", f"'{name}_2' for one of them"
            )
        seen |= {name, *new}
        names += new
        rows.append(row)
    return tuple(names), ca.densify(ca.vertcat(*rows))


def equation_column(name: str, value: Any) -> ca.SX:
    """Return the residual of an equation as an SX column, or raise `ProblemError`."""
    if isinstance(value, bool | np.bool_):
        raise _relation(name, str(value))
    parts = list(value.ravel()) if isinstance(value, np.ndarray) and value.dtype == object else value
    try:
        row = ca.SX(ca.vertcat(*parts) if isinstance(parts, list | tuple) else parts)
    except (TypeError, NotImplementedError) as error:
        raise ProblemError(
            f"equation {name!r} is not a CasADi SX expression",
            type(value).__name__,
            "an SX expression in the arguments of the definition",
            "casadi's functions (ca.sin) in place of math's; an MX Function can be .expand()-ed",
        ) from error
    if row.numel() == 0 or row.shape[1] != 1:
        raise ProblemError(
            f"equation {name!r} is not a column", f"shape {row.shape}", "a scalar or shape (m, 1)", "ca.vec(expression)"
        )
    for entry in ca.vertsplit(row):
        if not entry.is_symbolic() and not entry.is_constant() and entry.op() in _RELATIONS:
            raise _relation(name, str(entry))
    return row


def _relation(name: str, got: str) -> ProblemError:
    return ProblemError(
        f"equation {name!r} is a relation, not a residual", got, "an expression that is zero", "write lhs - rhs"
    )
