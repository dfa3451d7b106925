"""Functions of SX as arrays: their list of operations, which a file may hold and which only computes.

CasADi's own text form may name shared libraries and compilers, which it loads when it is read: a file of unknown
origin could run anything. It is also read by the version that wrote it and later ones only.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError

#: Operations on numbers, by their names in CasADi; the numbers it gives them may change with its version.
_SPECIAL = ("INPUT", "OUTPUT", "CONST")
_UNARY = (
    "NEG", "EXP", "LOG", "SQRT", "SQ", "TWICE", "SIN", "COS", "TAN", "ASIN", "ACOS", "ATAN", "NOT", "FLOOR", "CEIL",
    "FABS", "SIGN", "ERF", "INV", "SINH", "COSH", "TANH", "ASINH", "ACOSH", "ATANH", "ERFINV", "LOG1P", "EXPM1",
)  # fmt: skip
_BINARY = (
    "ADD", "SUB", "MUL", "DIV", "POW", "CONSTPOW", "LT", "LE", "EQ", "NE", "AND", "OR", "FMOD", "COPYSIGN",
    "IF_ELSE_ZERO", "FMIN", "FMAX", "ATAN2", "HYPOT", "REMAINDER",
)  # fmt: skip
OPERATIONS = (*_SPECIAL, *_UNARY, *_BINARY)
_FIRST_BINARY = len(_SPECIAL) + len(_UNARY)
_INPUT, _OUTPUT, _CONST = 0, 1, 2
_CODES = [getattr(ca, f"OP_{name}") for name in OPERATIONS]
_PLACE = {code: place for place, code in enumerate(_CODES)}


def take_apart(function: ca.Function) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a function of SX, with columns as arguments and results, as a header and arrays.

    Returns
    -------
    header : dict
        Names and sizes, and the names of the operations.
    arrays : dict of ndarray
        "steps": (k, 3) int, operation and up to two operands: earlier steps; of an input its number and place; of an
        output the step, and its place among all results, one after the other. "constants": (k,), 0 where the step is
        none.

    Raises
    ------
    ProblemError
        If the function is not made of operations on numbers, as one that calls another is not.

    Examples
    --------
    >>> x = ca.SX.sym("x")
    >>> take_apart(ca.Function("f", [x], [2 + x * x]))[1]["steps"].tolist()
    [[2, 0, 0], [0, 0, 0], [7, 1, 0], [31, 0, 2], [1, 3, 0]]
    """
    function = _dense(function)
    starts = np.cumsum([0, *(function.numel_out(i) for i in range(function.n_out()))])
    steps = np.zeros((function.n_instructions(), 3), dtype=np.int64)
    constants = np.zeros(len(steps))
    made: dict[int, int] = {}  # place of work -> the step whose value it holds
    for k in range(len(steps)):
        operation = _PLACE.get(function.instruction_id(k))
        inputs, outputs = function.instruction_input(k), function.instruction_output(k)
        if operation is None:
            raise _refused(function)
        steps[k, 0] = operation
        if operation == _OUTPUT:
            steps[k, 1:] = made[inputs[0]], starts[outputs[0]] + outputs[1]
            continue
        if operation == _CONST:
            constants[k] = function.instruction_constant(k)
        elif operation == _INPUT:
            steps[k, 1:] = inputs
        else:
            steps[k, 1 : 1 + len(inputs)] = [made[place] for place in inputs]
        made[outputs[0]] = k
    header = {
        "name": function.name(),
        "arguments": [[function.name_in(i), function.numel_in(i)] for i in range(function.n_in())],
        "results": [[function.name_out(i), function.numel_out(i)] for i in range(function.n_out())],
        "operations": list(OPERATIONS),
    }
    return header, {"steps": steps, "constants": constants}


def put_together(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> ca.Function:
    """Return the function that `take_apart` took apart.

    Raises
    ------
    ValueError, KeyError, IndexError
        If these are not the parts of one.

    Examples
    --------
    >>> x = ca.SX.sym("x")
    >>> float(put_together(*take_apart(ca.Function("f", [x], [ca.sin(x) + 1])))(0.0))
    1.0
    """
    operations = [OPERATIONS.index(name) for name in header["operations"]]
    arguments = [ca.SX.sym(name, int(size)) for name, size in header["arguments"]]
    symbols = [ca.vertsplit(argument) for argument in arguments]
    sizes = [int(size) for _, size in header["results"]]
    results: list[Any] = [None] * sum(sizes)
    values: list[Any] = []
    for (number, left, right), constant in zip(arrays["steps"].tolist(), arrays["constants"].tolist(), strict=True):
        operation = operations[number]
        if min(left, right) < 0:
            raise ValueError("a step has a negative operand")
        values.append(None)
        if operation == _INPUT:
            values[-1] = symbols[left][right]
        elif operation == _OUTPUT:
            results[right] = values[left]
        elif operation == _CONST:
            values[-1] = ca.SX(constant)
        elif operation < _FIRST_BINARY:
            values[-1] = ca.SX.unary(_CODES[operation], values[left])
        else:
            values[-1] = ca.SX.binary(_CODES[operation], values[left], values[right])
    if any(result is None for result in results):
        raise ValueError("a result of the function is missing")
    bounds = np.cumsum([0, *sizes])
    columns = [ca.densify(ca.vertcat(*results[a:b])) for a, b in pairwise(bounds)]
    names = {kind: [name for name, _ in header[kind]] for kind in ("arguments", "results")}
    return ca.Function(header["name"], arguments, columns, names["arguments"], names["results"])


def _dense(function: ca.Function) -> ca.Function:
    """Return the same function with dense columns as results."""
    if not function.is_a("SXFunction"):
        raise _refused(function)
    shapes = [function.sparsity_in(i) for i in range(function.n_in())]
    results = [function.sparsity_out(i) for i in range(function.n_out())]
    if not all(shape.is_dense() and shape.size2() == 1 for shape in shapes) or any(r.size2() != 1 for r in results):
        raise _refused(function)
    if all(result.is_dense() for result in results):
        return function
    arguments = [ca.SX.sym(function.name_in(i), shape) for i, shape in enumerate(shapes)]
    return ca.Function(
        function.name(), arguments, [ca.densify(r) for r in function.call(arguments)], function.name_in(),
        function.name_out(),
    )  # fmt: skip


def _refused(function: ca.Function) -> ProblemError:
    return ProblemError(
        f"the function {function.name()} cannot be stored",
        str(function),
        "operations on numbers, from columns to columns",
        "functions in it that are inlined: without never_inline, without external code",
    )
