"""Taylor arithmetic: the same derivatives as repeated forward differentiation, at polynomial cost."""

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import subriem as sr
from subriem.reduction.instructions import instructions
from subriem.reduction.jets import Jets
from subriem.reduction.series import RULES

#: Every function with a rule, and an argument in (-1, 1) made one it is defined at.
UNARY = {
    "sq": lambda u: u * u,
    "inv": lambda u: 1 / (2 + u),
    "neg": lambda u: -u,
    "twice": lambda u: u + u,
    "sqrt": lambda u: ca.sqrt(2 + u),
    "exp": ca.exp,
    "expm1": ca.expm1,
    "log": lambda u: ca.log(2 + u),
    "log1p": ca.log1p,
    "sin": ca.sin,
    "cos": ca.cos,
    "tan": ca.tan,
    "asin": lambda u: ca.asin(u / 2),
    "acos": lambda u: ca.acos(u / 2),
    "atan": ca.atan,
    "sinh": ca.sinh,
    "cosh": ca.cosh,
    "tanh": ca.tanh,
    "asinh": ca.asinh,
    "acosh": lambda u: ca.acosh(3 + u),
    "atanh": lambda u: ca.atanh(u / 2),
    "erf": ca.erf,
    "erfinv": lambda u: ca.erfinv(u / 2),
    "fabs": ca.fabs,
    "sign": lambda u: u * ca.sign(u),
    "floor": lambda u: u * ca.floor(3 * u),
    "ceil": lambda u: u * ca.ceil(3 * u),
    "constpow": lambda u: (2 + u) ** 2.7,
}
BINARY = {
    "add": lambda u, v: u + v,
    "sub": lambda u, v: u - v,
    "mul": lambda u, v: u * v,
    "div": lambda u, v: u / (2 + v),
    "pow": lambda u, v: (2 + u) ** v,
    "hypot": ca.hypot,
    "atan2": ca.atan2,
    "fmin": ca.fmin,
    "fmax": ca.fmax,
    "fmod": lambda u, v: ca.fmod(5 * u, 2 + v),
    "remainder": lambda u, v: ca.remainder(5 * u, 2 + v),
    "copysign": lambda u, v: ca.copysign(ca.fabs(u), v),
    "if_else": lambda u, v: ca.if_else(u < v, u * v, u),
    "logic": lambda u, v: ca.if_else(ca.logic_and(u <= v, ca.logic_not(u == 0)), u, ca.if_else(u != v, v, 1)),
    "or": lambda u, v: ca.if_else(ca.logic_or(u < 0, v < 0), u * v, v),
}


def forward(jets, expression, times):
    """The total derivative by repeated forward differentiation."""
    for _ in range(times):
        places = jets.places(expression)
        symbols = ca.vertcat(jets.t, jets.stack(places))
        seeds = ca.vertcat(1, jets.stack([(j, k + 1) for j, k in places]))
        expression = ca.cse(ca.densify(ca.jtimes(expression, symbols, seeds)))
    return expression


def values(jets, expressions, seed, t=0.3):
    """Values of expressions at random jets, the same ones for a seed."""
    places = jets.places(ca.vertcat(*expressions))
    function = ca.Function("f", [jets.t, jets.stack(places)], [ca.vertcat(*expressions)])
    table = np.random.default_rng(seed).uniform(-0.9, 0.9, (2, 12))
    return function(t, np.array([table[place] for place in places])).full().ravel()


def agree(jets, expression, order, seed):
    levels = jets.derivatives(expression, [order] * expression.numel())
    ours = values(jets, [entry for row in levels for entry in row], seed).reshape(-1, order + 1)
    theirs = np.array([values(jets, [forward(jets, expression, k)], seed) for k in range(order + 1)]).T
    assert np.isfinite(theirs).all()
    size = np.maximum.accumulate(np.abs(theirs), axis=1) + 1
    assert (np.abs(ours - theirs) / size).max() < 1e-12


@pytest.mark.parametrize("name", UNARY)
def test_every_function_of_one_argument(name):
    jets = Jets(["x"])
    agree(jets, ca.SX(UNARY[name](ca.sin(jets(0) + jets.t))), 5, 1)


@pytest.mark.parametrize("name", BINARY)
def test_every_function_of_two_arguments(name):
    jets = Jets(["x", "y"])
    for seed in range(3):  # on different sides of the branches
        agree(jets, ca.SX(BINARY[name](ca.sin(jets(0) + jets.t), 0.9 * ca.cos(jets(1) - jets(0)))), 4, seed)


def test_the_functions_above_hold_every_rule():
    x, y = ca.SX.sym("x"), ca.SX.sym("y")
    used = {ca.OP_ASSIGN, ca.OP_LIFT, ca.OP_IF_ELSE_ZERO}
    for expressions, symbols in ((UNARY, [x]), (BINARY, [x, y])):
        for make in expressions.values():
            used |= {entry.code for entry in instructions(ca.Function("f", symbols, [make(*symbols)]))[0]}
    assert set(RULES) <= used


@st.composite
def expressions(draw):
    """A random expression in x, y, x', t, as a function of them."""
    leaves = st.sampled_from([lambda s, i=i: s[i] for i in range(4)])
    grown = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(sorted(UNARY)), inner).map(lambda n: lambda s: UNARY[n[0]](ca.sin(n[1](s)))),
            st.tuples(st.sampled_from(sorted(BINARY)), inner, inner).map(
                lambda n: lambda s: BINARY[n[0]](ca.sin(n[1](s)), ca.cos(n[2](s)))
            ),
        ),
        max_leaves=4,
    )
    return draw(grown)


@settings(max_examples=25, deadline=None)
@given(st.lists(expressions(), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 1000))
def test_random_expressions(makers, order, seed):
    jets = Jets(["x", "y"])
    symbols = [jets(0), jets(1), jets(0, 1), jets.t]
    agree(jets, ca.vertcat(*(ca.SX(make(symbols)) for make in makers)), order, seed)


def test_rows_of_different_orders_and_constants_in_a_wide_column():
    jets, p = Jets(["x", "y"]), ca.SX.sym("p")
    column = ca.vertcat(p * jets(0) ** 2, 3.0, p, jets.t * jets(1), jets(0) * jets(1))
    levels = jets.derivatives(column, [2, 1, 3, 0, 1])
    assert [len(row) for row in levels] == [3, 2, 4, 1, 2]
    assert [str(row[1]) for row in levels[:3]] == ["(p*(2.*(x*x')))", "0", "0"]
    assert {jets.place(symbol) for symbol in ca.symvar(ca.vertcat(*levels[3], *levels[4]))} == {
        None,
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    }  # y'' of the fourth row is not asked for


def test_a_power_has_derivatives_at_zero_and_a_parameter_as_exponent():
    jets, p = Jets(["x"]), ca.SX.sym("p")
    first, second = jets.derivative(jets(0) ** 2.5, 1), jets.derivative(ca.SX(jets(0) ** p), 2)
    assert float(ca.Function("f", [jets(0), jets(0, 1)], [first])(0.0, 1.0)) == 0.0
    value = ca.Function("f", [jets(0), jets(0, 1), jets(0, 2), p], [second])(0.0, 1.0, 1.0, 3.0)
    assert float(value) == 0.0  # 6 x x'^2 + 3 x^2 x''


def test_a_matrix_keeps_its_shape():
    jets = Jets(["x", "y"])
    matrix = ca.horzcat(ca.vertcat(jets(0), 1), ca.vertcat(jets(1) ** 2, jets.t))
    assert str(jets.derivative(matrix)) == "\n[[x', (2.*(y*y'))], \n [0, 1]]"


def test_a_call_is_refused_by_name():
    jets, x = Jets(["x"]), ca.SX.sym("x")
    called = ca.Function("g", [x], [ca.sin(x)], {"never_inline": True})
    with pytest.raises(sr.ProblemError, match="without a derivative") as caught:
        jets.derivative(called(jets(0)))
    assert caught.value.got == "OP_CALL"
    y = ca.MX.sym("y")
    with pytest.raises(sr.ProblemError, match="not scalar"):
        instructions(ca.Function("h", [y], [ca.sin(y)]))


GROWING = {
    "sin(xy)": lambda x, y: ca.sin(x * y),
    "exp(x)/(1+y^2)": lambda x, y: ca.exp(x) / (1 + y**2),
    "sqrt": lambda x, y: ca.sqrt(1 + x**2 + y**2),
    "tanh net": lambda x, y: ca.sum1(ca.tanh(ca.vertcat(x - y, 2 * x + y, y))),
    "atan2": ca.atan2,
}


@pytest.mark.parametrize("name", GROWING)
def test_instructions_grow_with_the_square_of_the_order(name):
    orders = np.arange(4, 13)
    jets = Jets(["x", "y"])
    levels = jets.derivatives(ca.SX(GROWING[name](jets(0), jets(1))), [12])[0]
    counts = []
    for k in orders:
        places = jets.places(ca.vertcat(*levels[: k + 1]))
        function = ca.Function("f", [jets.t, jets.stack(places)], [ca.vertcat(*levels[: k + 1])])
        counts.append(function.n_instructions() - len(places))
    assert 1.5 < np.polyfit(np.log(orders), np.log(counts), 1)[0] < 2.2
