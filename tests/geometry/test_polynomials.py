"""Truncated polynomials: every operation to its order, products, derivatives, and the bound of roundoff."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.geometry.polynomials import Algebra, Series, expansion

WEIGHTS, ORDER = (1, 2), 4


def value(series, x):
    return series.value @ np.prod(np.asarray(x, dtype=float) ** series.algebra.exponents, axis=-1)


FUNCTIONS = {
    name: getattr(ca, name)
    for name in ("sqrt", "exp", "log", "log1p", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh")
} | {
    "tanh": ca.tanh,
    "asinh": ca.asinh,
    "atanh": ca.atanh,
    "erf": ca.erf,
    "inv": lambda x: 1 / x,
    "acosh": lambda x: ca.acosh(1 + x),
    "third power": lambda x: x**3,
    "fourth inverse power": lambda x: x**-4,
    "real power": lambda x: x**2.5,
    "hypot": lambda x: ca.hypot(x, 1 - x),
    "atan2": lambda x: ca.atan2(x, x - 2),
    "variable power": lambda x: x ** (1 + x),
    "quotient": lambda x: (1 - 2 * x) / (1 + x * x),
    "constant": lambda x: ca.SX(2.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_expansions_are_right_to_their_order(name):
    """The remainder of the expansion in s x, s^2 y falls like s^5."""
    x = ca.SX.sym("x")
    function = ca.Function("f", [x], [FUNCTIONS[name](x)])
    algebra = Algebra(WEIGHTS, ORDER)
    first, second = algebra.variables()
    found = expansion(function, [0.4 + first - 2.0 * second])[0, 0]
    remainders = [
        abs(float(function(0.4 + 0.3 * s - 0.2 * s**2)) - value(found, [0.3 * s, 0.1 * s**2])) for s in (0.2, 0.1)
    ]
    assert remainders[1] <= max(remainders[0] / 2**4.6, 1e-15)


def test_products_and_derivatives_are_those_of_polynomials():
    algebra, x = Algebra((1, 1, 2), 6), np.array([0.3, -0.7, 0.4])
    rng = np.random.default_rng(0)

    def low():
        coefficients = np.where(algebra.degrees <= 3, rng.standard_normal((2, algebra.size)), 0.0)
        return Series(algebra, coefficients, np.zeros_like(coefficients))

    a, b = low(), low()
    np.testing.assert_allclose((a * b).value @ _monomials(algebra, x), _at(a, x) * _at(b, x), rtol=1e-13)
    h = 1e-6
    moved = [(_at(a, x + h * e) - _at(a, x - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose((a.gradient().value @ _monomials(algebra, x)).T, moved, atol=1e-8)
    inner = [0.5 * y - y * y for y in algebra.variables()]
    np.testing.assert_allclose(_at(a.evaluate(inner), 0.01 * x), _at(a, 0.005 * x - 1e-4 * x**2), atol=1e-12)


def _monomials(algebra, x):
    return np.prod(x**algebra.exponents, axis=1)


def _at(series, x):
    return series.value @ _monomials(series.algebra, x)


def test_roundoff_is_told_from_small_coefficients():
    x, y = Algebra((1, 1), 4).variables()
    algebra = x.algebra

    def angle():
        return x + algebra.constant(np.pi / 2, 2e-16)

    zero = angle().apply(ca.OP_SIN) * angle().apply(ca.OP_SIN) + angle().apply(ca.OP_COS) * angle().apply(ca.OP_COS) - 1
    assert zero.value.any()
    assert not zero.cleaned().value.any()
    assert angle().apply(ca.OP_COS).value[0] != 0.0
    assert angle().apply(ca.OP_COS).cleaned().value[0] == 0.0
    small = (algebra.constant(1 + 1e-13) * x - x) * (1 + y)
    assert small.cleaned().value[small.value != 0] == pytest.approx([1e-13, 1e-13], rel=1e-2, abs=0)


def test_what_has_no_expansion_is_refused():
    x = ca.SX.sym("x")
    inputs = Algebra((1,), 2).variables()
    with pytest.raises(sr.GeometryError, match="no Taylor expansion"):
        expansion(ca.Function("f", [x], [ca.sqrt(x)]), inputs)
    with pytest.raises(sr.ProblemError, match="has no Taylor expansion here"):
        expansion(ca.Function("f", [x], [ca.erfinv(x)]), inputs)
