"""Total derivatives: against finite differences along curves, and what they cost."""

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subriem.reduction.jets import Jets, jet_name

#: Smooth functions of (t, x, y, x', y') that stay finite along the curves below.
EXPRESSIONS = {
    "product": lambda t, x, y, dx, dy: t * x * y,
    "quotient": lambda t, x, y, dx, dy: x / (2 + ca.sin(y)),
    "nested": lambda t, x, y, dx, dy: ca.exp(ca.sin(x * y) - t),
    "with derivatives": lambda t, x, y, dx, dy: dx**2 + x * dy + ca.cos(t * dx),
    "column": lambda t, x, y, dx, dy: ca.vertcat(x**3, t**2 * dy, ca.log(3 + ca.sin(x))),
}


def polynomial(coefficients, order, t):
    """The derivatives 0 .. order of a polynomial at t."""
    p = np.polynomial.Polynomial(coefficients)
    return [p.deriv(k)(t) if k else p(t) for k in range(order + 1)]


def along(expression, jets, curves, order, t):
    """Value of an expression in the jets where (x, y) follow two polynomials."""
    places = jets.places(expression)
    Y = [polynomial(curves[j], order, t)[k] for j, k in places]
    function = ca.Function("f", [jets.t, jets.stack(places)], [ca.densify(expression)])
    return np.asarray(function(t, np.array(Y))).ravel()


@pytest.mark.parametrize("name", EXPRESSIONS)
@settings(max_examples=8)
@given(
    st.integers(1, 6),
    st.floats(-0.5, 0.5),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
)
def test_total_derivative_is_that_along_a_curve(name, order, t, cx, cy):
    jets = Jets(["x", "y"])
    expression = ca.SX(EXPRESSIONS[name](jets.t, jets(0), jets(1), jets(0, 1), jets(1, 1)))
    # the derivative of order k is the central difference of that of order k - 1: an error of order h^4
    before, after = jets.derivative(expression, order - 1), jets.derivative(expression, order)
    h = 1e-3
    f = [along(before, jets, (cx, cy), order + 2, t + s * h) for s in (-2, -1, 1, 2)]
    quotient = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
    exact = along(after, jets, (cx, cy), order + 2, t)
    np.testing.assert_allclose(quotient, exact, rtol=1e-6, atol=1e-6 * (1 + np.abs(exact).max() + np.abs(f).max()))


def test_derivative_zero_times_is_the_expression():
    jets = Jets(["x"])
    assert ca.is_equal(jets.derivative(jets(0), 0), jets(0))


def test_constants_and_parameters_have_derivative_zero():
    jets = Jets(["x"])
    p = ca.SX.sym("p", 2)
    assert jets.derivative(p).is_zero()
    assert jets.derivative(p).shape == (2, 1)
    assert jets.derivative(ca.SX(3.0)).is_zero()
    np.testing.assert_equal(str(jets.derivative(p[0] * jets(0))), "(p_0*x')")


def test_leibniz_rule_of_order_five():
    jets = Jets(["x", "y"])
    binomial = [1, 5, 10, 10, 5, 1]
    expected = sum(c * jets(0, k) * jets(1, 5 - k) for k, c in enumerate(binomial))
    difference = jets.derivative(jets(0) * jets(1), 5) - expected
    places = jets.places(difference)
    value = ca.Function("f", [jets.stack(places)], [difference])(np.arange(1.0, len(places) + 1))
    assert abs(float(value)) < 1e-10


def test_symbols_are_made_once_and_found_again():
    jets = Jets(["x", "theta[1]"])
    assert ca.is_equal(jets(0, 2), jets(0, 2))
    assert jets.place(jets(1, 3)) == (1, 3)
    assert jets.place(ca.SX.sym("x")) is None
    assert jets.places(jets(1, 1) + jets(0) * jets.t) == [(0, 0), (1, 1)]
    assert str(jets(1, 4)) == jet_name("theta[1]", 4) == "theta[1]^(4)"


# -- cost: numbers of instructions, which do not depend on the machine ------------------------------------------


def chain_instructions(n, times):
    """Instructions of the derivatives of n pendulum-like rows, each in its neighbours."""
    jets = Jets([f"x{i}" for i in range(n)])
    rows = [
        ca.sin(jets(i) - jets((i + 1) % n)) * jets(i) + ca.sqrt(1 + jets(i) ** 2 + jets((i + 1) % n) ** 2)
        for i in range(n)
    ]
    expression = jets.derivative(ca.vertcat(*rows), times)
    return ca.Function("f", [jets.t, jets.stack(jets.places(expression))], [expression]).n_instructions()


def test_cost_is_linear_in_the_number_of_variables():
    assert chain_instructions(80, 2) < 2.1 * chain_instructions(40, 2)
