"""Translation to heyoka: every operation gives CasADi's own values, and what has no series is refused by name."""

import sys

import casadi as ca
import numpy as np
import pytest

from subriem.core.errors import MissingExtraError, ProblemError
from subriem.integration.translation import heyoka, multivalued, translate

X, Y = ca.SX.sym("x"), ca.SX.sym("y")
#: On x, y in (0.1, 0.9), which lies in every domain but acosh's.
SMOOTH = {
    "add": X + Y,
    "sub": X - Y,
    "mul": X * Y,
    "div": X / Y,
    "neg": -X,
    "inv": 1 / X,
    "twice": X + X,
    "sq": X**2,
    "cube": X**3,
    "pow": X**Y,
    "constpow": X**2.7,
    "negative power": X**-1.5,
    "constant": ca.SX(1.25) + 0 * X,
    "hypot": ca.hypot(X, Y),
    "atan2": ca.atan2(X - 0.5, Y - 0.5),
    "acosh": ca.acosh(1 + X),
} | {
    name: getattr(ca, name)(X)
    for name in (
        *("sqrt", "exp", "expm1", "log", "log1p", "erf", "sin", "cos", "tan", "asin", "acos", "atan"),
        *("sinh", "cosh", "tanh", "asinh", "atanh"),
    )
}
BRANCHED = {
    "fabs": ca.fabs(X - 0.5),
    "sign": ca.sign(X - Y),
    "fmin": ca.fmin(X, Y),
    "fmax": ca.fmax(X, Y),
    "lt": ca.if_else(X < Y, ca.sin(X), Y),
    "le": ca.if_else(X <= Y, 3, Y),
    "not": ca.if_else(ca.logic_not(X < Y), X, 3 * Y),
    "and": ca.if_else(ca.logic_and(X < Y, X > 0.4), X, 3 * Y),
    "or": ca.if_else(ca.logic_or(X < Y, X > 0.4), X, 3 * Y),
    "nan in the branch not taken": ca.if_else(X < Y, ca.sqrt(Y - X), 1),
}


def compiled(function, branch=None):
    hy = heyoka()
    symbols = hy.make_vars("x", "y")
    return hy.cfunc(translate(function, [symbols[:1], symbols[1:]], branch), symbols)


@pytest.mark.parametrize("name", [*SMOOTH, *BRANCHED])
def test_values_are_those_of_casadi(name):
    function = ca.Function("f", [X, Y], [(SMOOTH | BRANCHED)[name]])
    points = np.random.default_rng(3).uniform(0.1, 0.9, size=(2, 40))
    found = compiled(function)(points)[0]
    wanted = np.array([float(function(x, y)) for x, y in points.T])
    np.testing.assert_allclose(found, wanted, rtol=4e-16, atol=1e-16)


@pytest.mark.parametrize(
    ("expression", "operation"),
    [
        (ca.floor(X), "OP_FLOOR"),
        (ca.ceil(X), "OP_CEIL"),
        (ca.fmod(X, Y), "OP_FMOD"),
        (ca.copysign(X, Y), "OP_COPYSIGN"),
        (ca.erfinv(X), "OP_ERFINV"),
        (X == Y, "OP_EQ"),
        (X != Y, "OP_NE"),
    ],
)
def test_what_has_no_series_is_refused_by_name(expression, operation):
    with pytest.raises(ProblemError, match=operation):
        compiled(ca.Function("f", [X, Y], [expression]))


def test_calls_are_refused_with_the_way_out():
    x, y = ca.MX.sym("x"), ca.MX.sym("y")
    with pytest.raises(ProblemError, match=r"MXFunction[\s\S]*expand\(\)"):
        translate(ca.Function("f", [x, y], [ca.sin(x)]), [])


def test_sparse_outputs_are_filled_with_zeros():
    rates = ca.SX(3, 1)
    rates[1] = X * Y
    function = ca.Function("f", [X, Y], [rates])
    np.testing.assert_array_equal(compiled(function)(np.array([2.0, 3.0])), [0, 6, 0])


def test_functions_with_two_sides_are_known():
    assert multivalued(ca.Function("f", [X], [ca.sin(X) + ca.sqrt(1 + X)]))
    assert multivalued(ca.Function("f", [X], [X**0.5]))
    assert not multivalued(ca.Function("f", [X], [ca.exp(X) / (1 + X**2) + ca.atan(X)]))


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "heyoka", None)
    with pytest.raises(MissingExtraError, match=r"subriem\[taylor\]"):
        heyoka()
