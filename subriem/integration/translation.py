"""From the instructions of a CasADi function to expressions of heyoka, which differentiates and compiles them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import casadi as ca

from subriem.core.errors import ProblemError, optional_import
from subriem.reduction.instructions import instructions

#: A heyoka expression; the package is optional and untyped.
Expression = Any
#: Given s, an expression worth 1 where s > 0 and 0 elsewhere.
Branch = Callable[[Expression], Expression]

#: Operations with a singular point on the real line that a function may have on either side of a series: sqrt(z)
#: continued through z = 0 is -sqrt(z).
_MULTIVALUED = frozenset(
    {
        ca.OP_SQRT,
        ca.OP_POW,
        ca.OP_CONSTPOW,
        ca.OP_HYPOT,
        ca.OP_LOG,
        ca.OP_LOG1P,
        ca.OP_ASIN,
        ca.OP_ACOS,
        ca.OP_ACOSH,
        ca.OP_ATANH,
        ca.OP_ATAN2,
    }
)


def heyoka() -> Any:
    """Return the package heyoka, or raise `MissingExtraError`."""
    return optional_import("heyoka", "taylor")


def translate(
    function: ca.Function, inputs: Sequence[Sequence[Expression]], branch: Branch | None = None
) -> list[Expression]:
    """Return the dense first output of an SX function as heyoka expressions.

    Parameters
    ----------
    function : casadi.Function
        Made from SX, with dense column vectors as inputs.
    inputs : sequence of sequences of heyoka expressions
        What stands for each entry of each input.
    branch : callable, optional
        What decides |x|, sign, min, max, comparisons and if_else. By default the comparison s > 0, right for values;
        inside a Taylor series the branch must not change within a step, so an integrator gives a parameter.

    Returns
    -------
    list of heyoka expressions

    Raises
    ------
    ProblemError
        If the function is not made from SX, or an operation has no counterpart with a Taylor series.
    MissingExtraError
        If heyoka is not installed.

    Examples
    --------
    >>> import heyoka as hy
    >>> x = ca.SX.sym("x")
    >>> translate(ca.Function("f", [x], [ca.sin(x) + 2]), [hy.make_vars("x", "y")[:1]])
    [(2.0000000000000000 + sin(x))]
    """
    hy = heyoka()
    program, outputs = instructions(function)
    operations = _operations(hy, branch or (lambda s: hy.gt(s, hy.expression(0.0))))
    values: list[Expression] = []
    for instruction in program:
        if instruction.entry is not None:
            values.append(inputs[instruction.entry[0]][instruction.entry[1]])
        elif instruction.constant is not None:
            values.append(hy.expression(instruction.constant))
        elif instruction.code in operations:
            values.append(operations[instruction.code](*(values[i] for i in instruction.sources)))
        else:
            raise ProblemError(
                f"{function.name()} uses an operation that has no Taylor series here",
                instruction.name,
                "arithmetic, powers, exp, log, trigonometric and hyperbolic functions, |x|, min, max, if_else",
                "write the function without it, or take another integrator",
            )
    dense = [hy.expression(0.0)] * function.numel_out(0)
    for place, position in zip(function.sparsity_out(0).find(), outputs, strict=True):
        dense[place] = values[position]
    return dense


def multivalued(function: ca.Function) -> bool:
    """Return whether an analytic solution may be continued along the real line to where it no longer is one."""
    return any(function.instruction_id(k) in _MULTIVALUED for k in range(function.n_instructions()))


def _operations(hy: Any, branch: Branch) -> dict[int, Callable[..., Expression]]:
    zero = hy.expression(0.0)
    return {
        ca.OP_ASSIGN: lambda x: x,
        ca.OP_LIFT: lambda x, _: x,
        ca.OP_ADD: operator.add,
        ca.OP_SUB: operator.sub,
        ca.OP_MUL: operator.mul,
        ca.OP_DIV: operator.truediv,
        ca.OP_NEG: operator.neg,
        ca.OP_INV: lambda x: 1.0 / x,
        ca.OP_TWICE: lambda x: 2.0 * x,
        ca.OP_SQ: lambda x: x**2.0,
        ca.OP_POW: operator.pow,
        ca.OP_CONSTPOW: operator.pow,
        ca.OP_SQRT: hy.sqrt,
        ca.OP_HYPOT: lambda x, y: hy.sqrt(x**2.0 + y**2.0),
        ca.OP_EXP: hy.exp,
        ca.OP_EXPM1: hy.expm1,
        ca.OP_LOG: hy.log,
        ca.OP_LOG1P: hy.log1p,
        ca.OP_ERF: hy.erf,
        ca.OP_SIN: hy.sin,
        ca.OP_COS: hy.cos,
        ca.OP_TAN: hy.tan,
        ca.OP_ASIN: hy.asin,
        ca.OP_ACOS: hy.acos,
        ca.OP_ATAN: hy.atan,
        ca.OP_ATAN2: hy.atan2,
        ca.OP_SINH: hy.sinh,
        ca.OP_COSH: hy.cosh,
        ca.OP_TANH: hy.tanh,
        ca.OP_ASINH: hy.asinh,
        ca.OP_ACOSH: hy.acosh,
        ca.OP_ATANH: hy.atanh,
        # == and != are left out: along a path they hold at isolated points, which no integrator sees
        ca.OP_FABS: lambda x: (2.0 * branch(x) - 1.0) * x,
        ca.OP_SIGN: lambda x: 2.0 * branch(x) - 1.0,
        ca.OP_FMIN: lambda x, y: hy.select(branch(y - x), x, y),
        ca.OP_FMAX: lambda x, y: hy.select(branch(x - y), x, y),
        ca.OP_LT: lambda x, y: branch(y - x),
        ca.OP_LE: lambda x, y: branch(y - x),
        ca.OP_NOT: lambda x: hy.eq(x, zero),
        ca.OP_AND: lambda x, y: hy.logical_and([x, y]),
        ca.OP_OR: lambda x, y: hy.logical_or([x, y]),
        ca.OP_IF_ELSE_ZERO: lambda condition, x: hy.select(condition, x, zero),
    }
