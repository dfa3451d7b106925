"""Polynomials truncated by weighted degree: Taylor expansions of fields, exact but for roundoff that is known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, reduce
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import GeometryError, ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.reduction.instructions import instructions

_UNARY: dict[int, Callable[[ca.SX], ca.SX]] = {
    ca.OP_INV: lambda x: 1 / x,
    ca.OP_SQRT: ca.sqrt,
    ca.OP_EXP: ca.exp,
    ca.OP_EXPM1: ca.expm1,
    ca.OP_LOG: ca.log,
    ca.OP_LOG1P: ca.log1p,
    ca.OP_SIN: ca.sin,
    ca.OP_COS: ca.cos,
    ca.OP_TAN: ca.tan,
    ca.OP_ASIN: ca.asin,
    ca.OP_ACOS: ca.acos,
    ca.OP_ATAN: ca.atan,
    ca.OP_SINH: ca.sinh,
    ca.OP_COSH: ca.cosh,
    ca.OP_TANH: ca.tanh,
    ca.OP_ASINH: ca.asinh,
    ca.OP_ACOSH: ca.acosh,
    ca.OP_ATANH: ca.atanh,
    ca.OP_ERF: ca.erf,
}


class Algebra:
    """The polynomials in x_1 … x_n of weighted degree at most `order`; products are truncated.

    Parameters
    ----------
    weights : sequence of int
        Degree of each variable, at least 1.
    order : int

    Attributes
    ----------
    exponents : (M, n) ndarray of int
        Of the monomials, by increasing degree; the first is 1.
    degrees : (M,) ndarray of int

    Examples
    --------
    >>> algebra = Algebra((1, 2), 3)
    >>> x, y = algebra.variables()
    >>> algebra.text(((1 + x) * (x + y)).value, ("x", "y"))
    'x + x^2 + y + x*y'
    """

    def __init__(self, weights: Sequence[int], order: int) -> None:
        self.weights, self.order = np.array(weights, dtype=int), order
        found = list[tuple[int, ...]]([()])
        for weight in weights:  # a degree within the order leaves the last exponent so much room
            found = [(*e, i) for e in found for i in range((order - int(np.dot(e, weights[: len(e)]))) // weight + 1)]
        found.sort(key=lambda e: (int(np.dot(e, weights)), tuple(-i for i in e)))
        self.exponents = np.array(found, dtype=int)
        self.degrees = self.exponents @ self.weights
        self.number = {exponent: i for i, exponent in enumerate(found)}

    @property
    def size(self) -> int:
        """The number M of monomials."""
        return self.degrees.size

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of monomials whose product is kept, by that product, and where each product starts."""
        left, right = np.nonzero(self.degrees[:, None] + self.degrees <= self.order)
        sums = np.vstack([self.exponents, self.exponents[left] + self.exponents[right]])
        codes = np.unique(sums, axis=0, return_inverse=True)[1].ravel()
        target = np.argsort(codes[: self.size])[codes[self.size :]]
        by = np.argsort(target, kind="stable")
        return left[by], right[by], np.searchsorted(target[by], np.arange(self.size))

    @cached_property
    def raised(self) -> np.ndarray:
        """The number of x_l x^alpha, or M where it is not kept, shape (n, M)."""
        steps = np.eye(self.weights.size, dtype=int)
        return np.array([[self.number.get(tuple(e + s), self.size) for e in self.exponents] for s in steps])

    def constant(self, c: float, noise: float = 0.0) -> Series:
        """Return the constant c with an error of at most `noise`."""
        one = np.eye(1, self.size)[0]
        return Series(self, c * one, noise * one)

    def variables(self) -> list[Series]:
        """Return x_1 … x_n; those of a degree above the order are zero."""
        rows = np.zeros((self.weights.size, self.size + 1))
        rows[range(self.weights.size), self.raised[:, 0]] = 1.0
        return [Series(self, row, np.zeros(self.size)) for row in rows[:, :-1]]

    def expression(self, value: Array, x: Sequence[ca.SX]) -> ca.SX:
        """Return a polynomial in symbols."""
        terms = (
            ca.SX(float(value[i])) * reduce(operator.mul, self._factors(i, x), ca.SX(1)) for i in np.flatnonzero(value)
        )
        return sum(terms, ca.SX(0))

    def text(self, value: Array, names: Sequence[str], unit: str = "") -> str:
        """Return a polynomial as text, each term times `unit`."""
        terms = []
        for i in np.flatnonzero(value):
            powers = [(name, int(e)) for name, e in zip(names, self.exponents[i], strict=True) if e]
            factors = [name if e == 1 else f"{name}^{e}" for name, e in powers] + [unit] * bool(unit)
            size = abs(float(value[i]))
            number = [f"{size:.10g}"] if not factors or f"{size:.10g}" != "1" else []
            terms.append(("- " if value[i] < 0 else "+ ") + "*".join(number + factors))
        text = " ".join(terms) or "+ 0"
        return text.removeprefix("+ ") if text[0] == "+" else "-" + text[2:]

    def _factors(self, i: Any, x: Sequence[Any]) -> list[Any]:
        return [symbol for symbol, e in zip(x, self.exponents[i], strict=True) for _ in range(e)]


class Series:
    """An array of truncated polynomials, with a bound for the roundoff in each coefficient.

    Parameters
    ----------
    algebra : Algebra
    value : (…, M) ndarray
        Coefficients.
    noise : (…, M) ndarray
        Their errors at most, to first order in roundoff, by running error analysis.
    """

    def __init__(self, algebra: Algebra, value: Array, noise: Array) -> None:
        self.algebra, self.value, self.noise = algebra, value, noise

    @classmethod
    def stack(cls, series: Sequence[Series]) -> Series:
        """Return one array of several series of one shape."""
        return cls(series[0].algebra, np.array([s.value for s in series]), np.array([s.noise for s in series]))

    def __getitem__(self, key: Any) -> Series:
        return Series(self.algebra, self.value[key], self.noise[key])

    def __iter__(self) -> Iterator[Series]:
        return (self[i] for i in range(self.value.shape[0]))

    def _series(self, other: Series | float) -> Series:
        return other if isinstance(other, Series) else self.algebra.constant(other)

    def __add__(self, other: Series | float) -> Series:
        other = self._series(other)
        value = self.value + other.value
        return Series(self.algebra, value, self.noise + other.noise + EPS * np.abs(value))

    __radd__ = __add__

    def __neg__(self) -> Series:
        return Series(self.algebra, -self.value, self.noise)

    def __sub__(self, other: Series | float) -> Series:
        return self + (-self._series(other))

    def __mul__(self, other: Series | float) -> Series:
        if not isinstance(other, Series):
            return Series(self.algebra, self.value * other, self.noise * abs(other) + EPS * np.abs(self.value * other))
        left, right, starts = self.algebra.pairs

        def convolved(a: Array, b: Array) -> Array:
            return np.add.reduceat(a[..., left] * b[..., right], starts, axis=-1)

        one, two = np.abs(self.value), np.abs(other.value)
        noise = convolved(one, other.noise + EPS * two) + convolved(self.noise, two + other.noise)
        return Series(self.algebra, convolved(self.value, other.value), noise)

    __rmul__ = __mul__

    def __truediv__(self, other: Series) -> Series:
        return self * other.apply(ca.OP_INV)

    def __pow__(self, exponent: Series | float) -> Series:
        e = self._series(exponent)
        if e.value[1:].any() or e.value[0] % 1:
            return (e * self.apply(ca.OP_LOG)).apply(ca.OP_EXP)
        base = self if e.value[0] >= 0 else self.apply(ca.OP_INV)
        return reduce(operator.mul, [base] * abs(int(e.value[0])), self.algebra.constant(1.0))

    def sum(self) -> Series:
        """Return the sum over the last axis of the array."""
        noise = self.noise + EPS * np.abs(self.value)
        return Series(self.algebra, self.value.sum(axis=-2), noise.sum(axis=-2))

    def transformed(self, matrix: Array, noise: Array) -> Series:
        """Return a matrix, whose entries have errors of at most `noise`, times the first axis of the array."""
        value, size = np.tensordot(matrix, self.value, axes=1), np.abs(self.value)
        error = np.tensordot(np.abs(matrix), self.noise + EPS * size, axes=1)
        return Series(self.algebra, value, error + np.tensordot(noise, size, axes=1))

    def gradient(self) -> Series:
        """Return the partial derivatives, with one more axis of length n at the end of the array."""
        factors = (self.algebra.exponents + 1).T
        pad = [(0, 0)] * (self.value.ndim - 1) + [(0, 1)]
        both = (np.pad(part, pad)[..., self.algebra.raised] * factors for part in (self.value, self.noise))
        return Series(self.algebra, *both)

    def apply(self, code: int) -> Series:
        """Return a smooth function of one polynomial, by the code of CasADi's operation.

        Raises
        ------
        GeometryError
            If the function has no Taylor expansion there.
        """
        c, noise = float(self.value[0]), float(self.noise[0])
        coefficients = _taylor(code, self.algebra.order)(np.array([c]))
        if not np.isfinite(coefficients).all():
            raise GeometryError(
                "the fields have no Taylor expansion at the point",
                f"{_UNARY[code](ca.SX.sym('x'))} at x = {c:.6g}",
                "fields that are smooth at the point",
                "another point, or other coordinates",
            )
        powers = np.arange(1, coefficients.size)
        errors = EPS * np.abs(coefficients[:-1]) + noise * powers * np.abs(coefficients[1:])
        rest = Series(self.algebra, self.value.copy(), self.noise.copy())
        rest.value[0] = rest.noise[0] = 0.0
        result = self.algebra.constant(0.0)
        for coefficient, error in zip(coefficients[-2::-1], errors[::-1], strict=True):  # Horner
            result = result * rest + self.algebra.constant(coefficient, error)
        return result

    def evaluate(self, arguments: Sequence[Series]) -> Series:
        """Return polynomials with other series, without constant terms, put for their variables."""
        monomials = {(0,) * len(arguments): arguments[0].algebra.constant(1.0)}

        def monomial(exponent: tuple[int, ...]) -> Series:
            if exponent not in monomials:
                last = max(i for i, e in enumerate(exponent) if e)
                lower = tuple(e - (i == last) for i, e in enumerate(exponent))
                monomials[exponent] = monomial(lower) * arguments[last]
            return monomials[exponent]

        size = np.abs(self.value)
        used = [0, *np.flatnonzero((size + self.noise).reshape(-1, self.algebra.size)[:, 1:].any(axis=0)) + 1]
        table = Series.stack([monomial(tuple(self.algebra.exponents[i].tolist())) for i in used])
        noise = (self.noise + EPS * size)[..., used] @ np.abs(table.value) + size[..., used] @ table.noise
        return Series(table.algebra, self.value[..., used] @ table.value, noise)

    def cleaned(self) -> Series:
        """Return the same with zeros for the coefficients that may be roundoff alone."""
        return Series(self.algebra, np.where(np.abs(self.value) > self.noise, self.value, 0.0), self.noise)


@cache
def _taylor(code: int, order: int) -> BufferedFunction:
    """Return x -> the Taylor coefficients f^(m)(x) / m! of a function of one variable, m = 0 … order + 1."""
    x = ca.SX.sym("x")
    found = [_UNARY[code](x)]
    for m in range(1, order + 2):
        found.append(ca.cse(ca.gradient(found[-1], x)) / m)
    return BufferedFunction(ca.Function("taylor", [x], [ca.densify(ca.cse(ca.vertcat(*found)))]))


def _atan2(y: Series, x: Series) -> Series:
    """Return the angle at the origin of the expansion plus the small one between, where atan is smooth."""
    a, b = float(x.value[0]), float(y.value[0])
    turned = (a * y - b * x) / (a * x + b * y)
    return turned.apply(ca.OP_ATAN) + float(np.arctan2(b, a))


def _absolute(x: Series) -> Series:
    """Return |x|, smooth where x is not 0; CasADi makes it of the root of a square, as in a metric diag(1, f^2)."""
    c = float(x.value[0])
    if abs(c) <= float(x.noise[0]):
        raise GeometryError(
            "the fields have no Taylor expansion at the point",
            f"fabs(x) at x = {c:.6g}, which may be 0",
            "fields that are smooth at the point",
            "another point, or other coordinates",
        )
    return x if c > 0 else -x


_OPERATIONS: dict[int, Callable[..., Series]] = {
    ca.OP_ADD: operator.add,
    ca.OP_SUB: operator.sub,
    ca.OP_MUL: operator.mul,
    ca.OP_DIV: operator.truediv,
    ca.OP_NEG: lambda x: -x,
    ca.OP_SQ: lambda x: x * x,
    ca.OP_TWICE: lambda x: 2.0 * x,
    ca.OP_POW: operator.pow,
    ca.OP_CONSTPOW: operator.pow,
    ca.OP_ASSIGN: lambda x: x,
    ca.OP_HYPOT: lambda x, y: (x * x + y * y).apply(ca.OP_SQRT),
    ca.OP_ATAN2: _atan2,
    ca.OP_FABS: _absolute,
    **{code: (lambda x, code=code: x.apply(code)) for code in _UNARY},
}


def expansion(function: ca.Function, inputs: Sequence[Series]) -> Series:
    """Return the Taylor expansion of the matrix x -> F(x), an array (rows, columns, M), for series put for x.

    Raises
    ------
    GeometryError
        If it has none there.
    ProblemError
        If it uses an operation without a Taylor expansion.
    """
    algebra = inputs[0].algebra
    program, results = instructions(function)
    values: list[Series] = []
    for instruction in program:
        if instruction.entry is not None:
            values.append(inputs[instruction.entry[1]])
        elif instruction.constant is not None:
            values.append(algebra.constant(instruction.constant, EPS * abs(instruction.constant)))
        elif instruction.code in _OPERATIONS:
            values.append(_OPERATIONS[instruction.code](*(values[i] for i in instruction.sources)))
        else:
            raise ProblemError(
                f"{function.name()} uses an operation that has no Taylor expansion here",
                instruction.name,
                "arithmetic, powers, exp, log, trigonometric and hyperbolic functions",
                "write the fields without it",
            )
    outputs = [algebra.constant(0.0)] * function.numel_out(0)
    for place, result in zip(function.sparsity_out(0).find(), results, strict=True):
        outputs[place] = values[result]
    columns = function.size2_out(0)
    flat = Series.stack(outputs)
    both = (part.reshape((columns, -1, algebra.size)).swapaxes(0, 1) for part in (flat.value, flat.noise))
    return Series(algebra, *both)
