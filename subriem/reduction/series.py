"""Derivatives of a composition from those of its parts: the recurrences of Taylor arithmetic.

A series is the list [u, u', u'', …] of the derivatives of a column along a curve. For a product, Leibniz's rule gives
the derivative k from at most k of each factor; a quotient, a root and every function with w' = phi(u, w) u' is the
unknown in such a product. So all derivatives up to the order K cost O(K^2) operations, where forward differentiation,
repeated, doubles what it differentiates. The same recurrences for Taylor coefficients, which differ by k!, are in
Griewank and Walther, Evaluating Derivatives (2008), ch. 13.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb, pi, sqrt

import casadi as ca

Series = list[ca.SX]
#: From the series of the operands to that of the result.
Rule = Callable[..., Series]


def leibniz(u: Series, v: Series, k: int, start: int = 0, stop: int | None = None) -> ca.SX:
    """Return the terms start <= i < stop of (u v)^(k) = sum of (k over i) u^(i) v^(k - i), all unless told.

    Examples
    --------
    >>> u, v = ([ca.SX.sym(name + "'" * k) for k in range(3)] for name in "uv")
    >>> leibniz(u, v, 2)
    SX((((u*v'')+(2.*(u'*v')))+(u''*v)))
    """
    total = ca.SX(0)
    for i in range(start, k + 1 if stop is None else stop):
        if not (u[i].is_zero() or v[k - i].is_zero()):
            total += comb(k, i) * (u[i] * v[k - i])
    return total


def product(u: Series, v: Series) -> Series:
    """Return the series of u v."""
    return [leibniz(u, v, k) for k in range(len(u))]


def square(u: Series) -> Series:
    """Return the series of u^2: the terms i and k - i are one."""
    return [_square(u, k) for k in range(len(u))]


def _square(u: Series, k: int) -> ca.SX:
    half = (k + 1) // 2
    middle = comb(k, half) * u[half] ** 2 if k % 2 == 0 else 0
    return 2 * leibniz(u, u, k, stop=half) + middle


def quotient(u: Series, v: Series) -> Series:
    """Return the series of w = u/v, from w v = u."""
    w: Series = []
    for k in range(len(u)):
        w.append((u[k] - leibniz(w, v, k, stop=k)) / v[0])
    return w


def root(u: Series, value: ca.SX) -> Series:
    """Return the series of w with w^2 = u and the given value, from 2 w w^(k) + … = u^(k)."""
    w = [value]
    for k in range(1, len(u)):
        w.append(ca.SX(0))
        w[k] = (u[k] - _square(w, k)) / (2 * value)
    return w


def solution(value: ca.SX, slope: Callable[[Series, int], ca.SX], u: Series) -> Series:
    """Return the series of w with w' = phi(w) u' and the given value; slope(w, k) = phi^(k) from w^(i), i <= k."""
    w, phi = [value], []
    for k in range(len(u) - 1):
        phi.append(slope(w, k))
        w.append(leibniz(phi, u[1:], k))
    return w


def exponential(u: Series, value: ca.SX | None = None) -> Series:
    """Return the series of w = exp(u), from w' = w u'."""
    return solution(ca.exp(u[0]) if value is None else value, lambda w, k: w[k], u)


def logarithm(u: Series) -> Series:
    """Return the series of log(u), from w' = u'/u."""
    return [ca.log(u[0]), *quotient(u[1:], u[:-1])]


def pair(u: Series, sine: ca.SX, cosine: ca.SX, sign: int) -> tuple[Series, Series]:
    """Return the series of s, c with s' = c u', c' = sign s u'."""
    s, c = [sine], [cosine]
    for k in range(len(u) - 1):
        following = leibniz(c, u[1:], k), sign * leibniz(s, u[1:], k)
        s.append(following[0])
        c.append(following[1])
    return s, c


def power(u: Series, v: Series) -> Series:
    """Return the series of u^v.

    Where the exponent is constant in time, w' = v u^(v - 1) u': no division by u, which may vanish; this costs O(K^3).
    """
    value = u[0] ** v[0]
    if any(not derivative.is_zero() for derivative in v[1:]):
        return exponential(product(v, logarithm(u)), value)
    if len(u) == 1:
        return [value]
    inner = power(u[:-1], [v[0] - 1, *v[1:-1]])
    return [value, *(v[0] * rate for rate in product(inner, u[1:]))]


def _plus(u: Series, constant: float, factor: int = 1) -> Series:
    """Return the series of constant + factor u."""
    return [constant + factor * u[0], *(factor * rate for rate in u[1:])]


def _integral(value: ca.SX, numerator: Series, denominator: Series) -> Series:
    """Return the series of w with w' = numerator/denominator and the given value; the denominator may be longer."""
    return [value, *quotient(numerator, denominator)]


def _arc(of: Callable[[ca.SX], ca.SX], radicand: Callable[[Series], Series], sign: int = 1) -> Rule:
    """Return the rule of a function with w' = sign u'/sqrt(radicand(u))."""

    def rule(u: Series) -> Series:
        inside = radicand(u)
        return _integral(of(u[0]), [sign * rate for rate in u[1:]], root(inside, ca.sqrt(inside[0])))

    return rule


def _erf(u: Series) -> Series:
    bell = exponential([-v for v in square(u)])
    return [ca.erf(u[0]), *(2 / sqrt(pi) * rate for rate in product(u[1:], bell))]


def _angle(y: Series, x: Series) -> Series:
    """Return the series of atan2(y, x), from w' = (x y' - y x')/(x^2 + y^2)."""
    turning = [a - b for a, b in zip(product(x[:-1], y[1:]), product(y[:-1], x[1:]), strict=True)]
    return _integral(ca.atan2(y[0], x[0]), turning, _sum_of_squares(x, y))


def _sum_of_squares(u: Series, v: Series) -> Series:
    return [a + b for a, b in zip(square(u), square(v), strict=True)]


def _step(of: Callable[..., ca.SX]) -> Rule:
    """Return the rule of a function that is constant between its jumps."""

    def rule(*operands: Series) -> Series:
        value = of(*(u[0] for u in operands))
        return [value, *(ca.SX.zeros(value.shape) for _ in operands[0][1:])]

    return rule


def _linear(of: Callable[..., ca.SX]) -> Rule:
    """Return the rule of a linear function: the same for every derivative."""

    def rule(*operands: Series) -> Series:
        return [of(*terms) for terms in zip(*operands, strict=True)]

    return rule


def _multiple(of: Callable[[ca.SX], ca.SX], factor: Callable[[ca.SX], ca.SX]) -> Rule:
    """Return the rule of w = factor(u) u, the factor constant between its jumps."""

    def rule(u: Series) -> Series:
        share = factor(u[0])
        return [of(u[0]), *(share * rate for rate in u[1:])]

    return rule


def _choice(of: Callable[[ca.SX, ca.SX], ca.SX], first: Callable[[ca.SX, ca.SX], ca.SX]) -> Rule:
    """Return the rule of min or max; at a tie its derivative is the mean, as CasADi has it."""

    def rule(u: Series, v: Series) -> Series:
        one, other = first(u[0], v[0]), first(v[0], u[0])
        share = one / (one + other)
        return [of(u[0], v[0]), *(share * a + (1 - share) * b for a, b in zip(u[1:], v[1:], strict=True))]

    return rule


def _remainder(of: Callable[[ca.SX, ca.SX], ca.SX]) -> Rule:
    """Return the rule of w = u - n v, n an integer constant between its jumps."""

    def rule(u: Series, v: Series) -> Series:
        value = of(u[0], v[0])
        n = (u[0] - value) / v[0]
        return [value, *(a - n * b for a, b in zip(u[1:], v[1:], strict=True))]

    return rule


def _tangent(of: Callable[[ca.SX], ca.SX], sign: int) -> Rule:
    """Return the rule of a function with w' = (1 + sign w^2) u'."""
    return lambda u: solution(of(u[0]), lambda w, k: (k == 0) + sign * _square(w, k), u)


#: Rules by operation. Left out are what is no function of numbers: OP_CALL, OP_PRINTME.
RULES: dict[int, Rule] = {
    ca.OP_ASSIGN: lambda u: u,
    ca.OP_LIFT: lambda u, _: u,
    ca.OP_ADD: _linear(lambda u, v: u + v),
    ca.OP_SUB: _linear(lambda u, v: u - v),
    ca.OP_NEG: _linear(lambda u: -u),
    ca.OP_TWICE: _linear(lambda u: 2 * u),
    ca.OP_MUL: product,
    ca.OP_SQ: square,
    ca.OP_DIV: quotient,
    ca.OP_INV: lambda u: quotient([ca.SX.ones(u[0].shape), *(ca.SX.zeros(v.shape) for v in u[1:])], u),
    ca.OP_SQRT: lambda u: root(u, ca.sqrt(u[0])),
    ca.OP_HYPOT: lambda u, v: root(_sum_of_squares(u, v), ca.hypot(u[0], v[0])),
    ca.OP_POW: power,
    ca.OP_CONSTPOW: power,
    ca.OP_EXP: exponential,
    ca.OP_EXPM1: lambda u: solution(ca.expm1(u[0]), lambda w, k: (k == 0) + w[k], u),
    ca.OP_LOG: logarithm,
    ca.OP_LOG1P: lambda u: _integral(ca.log1p(u[0]), u[1:], _plus(u, 1)),
    ca.OP_SIN: lambda u: pair(u, ca.sin(u[0]), ca.cos(u[0]), -1)[0],
    ca.OP_COS: lambda u: pair(u, ca.sin(u[0]), ca.cos(u[0]), -1)[1],
    ca.OP_SINH: lambda u: pair(u, ca.sinh(u[0]), ca.cosh(u[0]), 1)[0],
    ca.OP_COSH: lambda u: pair(u, ca.sinh(u[0]), ca.cosh(u[0]), 1)[1],
    ca.OP_TAN: _tangent(ca.tan, 1),
    ca.OP_TANH: _tangent(ca.tanh, -1),
    ca.OP_ASIN: _arc(ca.asin, lambda u: _plus(square(u), 1, -1)),
    ca.OP_ACOS: _arc(ca.acos, lambda u: _plus(square(u), 1, -1), -1),
    ca.OP_ASINH: _arc(ca.asinh, lambda u: _plus(square(u), 1)),
    ca.OP_ACOSH: _arc(ca.acosh, lambda u: product(_plus(u, 1), _plus(u, -1))),
    ca.OP_ATAN: lambda u: _integral(ca.atan(u[0]), u[1:], _plus(square(u), 1)),
    ca.OP_ATANH: lambda u: _integral(ca.atanh(u[0]), u[1:], _plus(square(u), 1, -1)),
    ca.OP_ATAN2: _angle,
    ca.OP_ERF: _erf,
    ca.OP_ERFINV: lambda u: solution(ca.erfinv(u[0]), lambda w, k: sqrt(pi) / 2 * exponential(square(w))[k], u),
    ca.OP_FABS: _multiple(ca.fabs, ca.sign),
    ca.OP_COPYSIGN: lambda u, v: [ca.copysign(u[0], v[0]), *(ca.sign(u[0]) * ca.copysign(1, v[0]) * x for x in u[1:])],
    ca.OP_FMIN: _choice(ca.fmin, lambda u, v: u <= v),
    ca.OP_FMAX: _choice(ca.fmax, lambda u, v: u >= v),
    ca.OP_FMOD: _remainder(ca.fmod),
    ca.OP_REMAINDER: _remainder(ca.remainder),
    ca.OP_IF_ELSE_ZERO: lambda condition, u: [ca.if_else(condition[0], v, 0) for v in u],
    ca.OP_SIGN: _step(ca.sign),
    ca.OP_FLOOR: _step(ca.floor),
    ca.OP_CEIL: _step(ca.ceil),
    ca.OP_LT: _step(ca.lt),
    ca.OP_LE: _step(ca.le),
    ca.OP_EQ: _step(ca.eq),
    ca.OP_NE: _step(ca.ne),
    ca.OP_NOT: _step(ca.logic_not),
    ca.OP_AND: _step(ca.logic_and),
    ca.OP_OR: _step(ca.logic_or),
}
