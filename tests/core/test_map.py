"""Maps: CasADi against NumPy against differences, pickling, refusals, and the check of a user's derivative."""

import copy
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import casadi as ca
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subriem.core.casadi_map import casadi_map
from subriem.core.errors import ProblemError
from subriem.core.map import NumpyMap, check_map, numpy_map, output_name, parameter_name
from subriem.core.protocols import Map

THETA = np.array([0.3, -0.7, 1.1])


def symbolic():
    return casadi_map(lambda t: [ca.sin(t[0]) * t[1], ca.exp(t[2] - t[0]), t[1] ** 3 + t[0] * t[2]], 3)


def value(t):
    return np.array([np.sin(t[0]) * t[1], np.exp(t[2] - t[0]), t[1] ** 3 + t[0] * t[2]])


def jacobian(t):
    e = np.exp(t[2] - t[0])
    return np.array([[np.cos(t[0]) * t[1], np.sin(t[0]), 0], [-e, 0, e], [t[2], 3 * t[1] ** 2, t[0]]])


def numeric(**options):
    return numpy_map(value, jacobian, 3, 3, **options)


def test_casadi_numpy_and_differences_agree():
    a, b = symbolic(), numeric()
    assert isinstance(a, Map)
    assert isinstance(b, Map)
    v, w = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.2, -1.0])
    np.testing.assert_allclose(a.value(THETA), b.value(THETA), rtol=1e-15)
    np.testing.assert_allclose(a.jacobian(THETA), b.jacobian(THETA), rtol=1e-15, atol=1e-16)
    for m in (a, b):
        np.testing.assert_allclose(m.jvp(THETA, v), m.jacobian(THETA) @ v, rtol=1e-14)
        np.testing.assert_allclose(m.vjp(THETA, w), m.jacobian(THETA).T @ w, rtol=1e-14)
        h = 1e-6
        difference = np.array([(m.value(THETA + h * e) - m.value(THETA - h * e)) / (2 * h) for e in np.eye(3)]).T
        np.testing.assert_allclose(m.jacobian(THETA), difference, atol=1e-9)


def test_second_derivatives_against_differences_of_the_first():
    m, h = symbolic(), 1e-6
    u, v, lam = np.array([1.0, 0.5, -0.2]), np.array([0.1, -1.0, 0.7]), np.array([2.0, -1.0, 0.3])
    second = (m.jvp(THETA + h * v, u) - m.jvp(THETA - h * v, u)) / (2 * h)
    np.testing.assert_allclose(m.second(THETA, u, v), second, atol=1e-8)
    np.testing.assert_allclose(m.second(THETA, u, v), m.second(THETA, v, u), rtol=1e-14)
    hvp = (m.vjp(THETA + h * v, lam) - m.vjp(THETA - h * v, lam)) / (2 * h)
    np.testing.assert_allclose(m.hvp(THETA, lam, v), hvp, atol=1e-8)
    assert lam @ m.second(THETA, u, v) == pytest.approx(u @ m.hvp(THETA, lam, v), rel=1e-13)
    assert m.capabilities == {"function", "second", "hvp"}


@pytest.mark.parametrize(
    ("fn", "n_in", "shape"),
    [
        (lambda t: ca.DM([1.0, 2.0]), 3, (2, 3)),  # constant: every derivative is structurally zero
        (lambda t: t[0] * 0, 1, (1, 1)),
        (lambda t: ca.sumsqr(t), 4, (1, 4)),
        (lambda t: [2 * ca.cos(t[0]), ca.sin(t[0])], 1, (2, 1)),
        (lambda t: (t[0], 3.0, t[2]), 3, (3, 3)),
    ],
)
def test_shapes_of_special_maps(fn, n_in, shape):
    m, theta = casadi_map(fn, n_in), np.linspace(0.1, 0.5, n_in)
    n, k = shape
    assert (m.n_out, m.n_in) == shape
    assert m.value(theta).shape == (n,)
    assert m.jacobian(theta).shape == shape
    assert m.jvp(theta, theta).shape == m.second(theta, theta, theta).shape == (n,)
    assert m.vjp(theta, np.ones(n)).shape == m.hvp(theta, np.ones(n), theta).shape == (k,)
    check_map(m, theta)


def test_map_from_symbol_and_expression():
    t = ca.SX.sym("q", 2)
    m = casadi_map(t, ca.vertcat(t[0] * t[1], t[1]))
    np.testing.assert_array_equal(m.value(np.array([2.0, 3.0])), [6.0, 3.0])
    np.testing.assert_array_equal(m.jacobian(np.array([2.0, 3.0])), [[3.0, 2.0], [0.0, 1.0]])


def test_results_are_the_callers_own():
    m = symbolic()
    first = m.value(THETA)
    kept = first.copy()
    m.value(2 * THETA)
    np.testing.assert_array_equal(first, kept)


def evaluate(m):
    return m.value(THETA), m.jacobian(THETA), m.hvp(THETA, np.ones(3), np.ones(3))


@pytest.mark.parametrize("through", ["pickle", "deepcopy", "used before"])
def test_casadi_map_can_be_copied(through):
    m = symbolic()
    expected = evaluate(symbolic())
    if through == "used before":
        evaluate(m)
    other = copy.deepcopy(m) if through == "deepcopy" else pickle.loads(pickle.dumps(m))
    for got, wanted in zip(evaluate(other), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_casadi_map_works_in_a_process_pool():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for got, wanted in zip(pool.submit(evaluate, symbolic()).result(), evaluate(symbolic()), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_threads_do_not_get_each_others_numbers():
    m = casadi_map(lambda t: t * t, 100)
    m.value(np.zeros(100))

    def wrong(k):
        theta = np.full(100, float(k))
        return sum(bool((m.value(theta) != k * k).any()) for _ in range(2000))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(wrong, range(1, 5))) == 0
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("theta", [[1.0], 1.0, [1.0, 2.0], np.ones(4)])
def test_a_theta_of_another_length_is_refused(theta):
    with pytest.raises(ProblemError, match="wrong length"):
        symbolic().value(theta)


T = ca.SX.sym("t", 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((lambda t: t, 0), "n_in is not a positive integer"),
        ((lambda t: t, 2.0), "n_in is not a positive integer"),
        ((lambda t: t, True), "n_in is not a positive integer"),
        ((3, 2), "neither a function nor an SX"),
        ((T * 2, T), "not a column of symbols"),
        ((ca.SX.sym("a", 2, 2), T), "not a column of symbols"),
        ((ca.SX.sym("a", 0), ca.SX(1)), "not a column of symbols"),
        ((T, T.T), "x is not a column"),
        ((T, ca.SX(0, 1)), "x is not a column"),
        ((T, ca.SX.sym("u") * T), "symbols that are not in theta"),
        ((lambda t: None, 2), "not a CasADi SX expression"),
        ((lambda t: "x", 2), "not a CasADi SX expression"),
        ((lambda t: ca.MX.sym("x", 2), 2), "not a CasADi SX expression"),
    ],
)
def test_casadi_map_refuses(arguments, words):
    with pytest.raises(ProblemError, match=words):
        casadi_map(*arguments)


# --- NumPy maps ---------------------------------------------------------------------------------------------


def test_names():
    m = numeric(output_names=["a", "b", "c"], parameter_names=["p", "q", "r"])
    assert (output_name(m, 1), parameter_name(m, 2)) == ("b", "r")
    assert (output_name(numeric(), 1), parameter_name(symbolic(), 2)) == ("x[1]", "theta[2]")


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((value, jacobian, 0, 3), {}, "n_in is not"),
        ((value, jacobian, 3, -1), {}, "n_out is not"),
        ((value, np.eye(3), 3, 3), {}, "jacobian is not a function"),
        ((None, jacobian, 3, 3), {}, "value is not a function"),
        ((value, jacobian, 3, 3), {"output_names": ["a"]}, "output_names has the wrong length"),
        ((value, jacobian, 3, 3), {"parameter_names": []}, "parameter_names has the wrong length"),
    ],
)
def test_numpy_map_refuses(arguments, options, words):
    with pytest.raises(ProblemError, match=words):
        numpy_map(*arguments, **options)


@pytest.mark.parametrize(
    "returned", [np.ones(2), np.ones((3, 1)), 1.0, None, np.ones(3) * 1j, ["a", "b", "c"], [[1], [1, 2], [3]]]
)
def test_a_wrong_return_value_is_said_when_met(returned):
    m = NumpyMap(lambda t: returned, lambda t: returned, 3, 3)
    with pytest.raises(ProblemError, match=r"numpy_map: value\(theta\)"):
        m.value(THETA)
    with pytest.raises(ProblemError, match=r"numpy_map: jacobian\(theta\)"):
        m.jvp(THETA, THETA)


def test_lists_and_integers_are_taken():
    m = numpy_map(lambda t: [1, 2], lambda t: [[0, 0], [0, 0]], 2, 2)
    assert m.value(np.zeros(2)).dtype == m.jacobian(np.zeros(2)).dtype == np.float64


# --- check_map ----------------------------------------------------------------------------------------------


def one_percent_off(i, j):
    def wrong(t):
        d = jacobian(t)
        d[i, j] *= 1.01
        return d

    return wrong


@pytest.mark.parametrize(("i", "j"), [(0, 0), (0, 1), (1, 2), (2, 0), (2, 2)])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_one_entry_one_percent_off_is_found_and_named(i, j, offset):
    wrong = numpy_map(lambda t: value(t) + offset, one_percent_off(i, j), 3, 3, output_names=["a", "b", "c"])
    with pytest.raises(ProblemError, match=f"not the derivative[\\s\\S]* at {'abc'[i]},"):
        check_map(wrong, THETA)


@pytest.mark.parametrize("n", [30, 100])
def test_one_entry_of_many_is_found(n):
    a = np.random.default_rng(0).standard_normal((n, n))
    b = a.copy()
    b[7, 11] *= 1.01
    check_map(
        numpy_map(lambda t: np.tanh(a @ t), lambda t: (1 - np.tanh(a @ t) ** 2)[:, None] * a, n, n), np.ones(n) / n
    )
    wrong = numpy_map(lambda t: np.tanh(a @ t), lambda t: (1 - np.tanh(a @ t) ** 2)[:, None] * b, n, n)
    with pytest.raises(ProblemError, match=r"at x\[7\]"):
        check_map(wrong, np.ones(n) / n)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda t: jacobian(t).T, "not the derivative"),
        (lambda t: -jacobian(t), "not the derivative"),
        (lambda t: np.zeros((3, 3)), "not the derivative"),
        (lambda t: np.full((3, 3), np.nan), "not the derivative"),
        (lambda t: np.full((3, 3), np.inf), "not the derivative"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")  # inf - inf in the user's own D v
def test_grossly_wrong_jacobians_are_found(wrong, words):
    with pytest.raises(ProblemError, match=words):
        check_map(numpy_map(value, wrong, 3, 3), THETA)


def test_a_wrong_vjp_is_found():
    class Forgetful(NumpyMap):
        def vjp(self, theta, w):
            return 1.001 * super().vjp(theta, w)

    with pytest.raises(ProblemError, match="not the adjoint"):
        check_map(Forgetful(value, jacobian, 3, 3), THETA)


def test_a_value_of_nan_is_named():
    m = numpy_map(lambda t: np.array([1.0, np.nan]), lambda t: np.eye(2), 2, 2)
    with pytest.raises(ProblemError, match=r"not finite[\s\S]*x\[1\] = nan"):
        check_map(m, np.zeros(2))


SCALE = st.floats(-6, 6).map(lambda e: 10.0**e)


@given(SCALE, SCALE, SCALE, st.integers(0, 2**31))
def test_right_derivatives_pass_at_every_scale(inner, outer, size, seed):
    """x = outer f(theta/inner) at theta of size inner: no false alarm, whatever the units."""
    rng = np.random.default_rng(seed)
    a, theta = rng.standard_normal((3, 4)), inner * rng.standard_normal(4)

    def f(t):
        return outer * (size + np.tanh(a @ t / inner))

    def d(t):
        return outer / inner * (1 - np.tanh(a @ t / inner) ** 2)[:, None] * a

    check_map(numpy_map(f, d, 4, 3), theta, seed=seed)


@given(SCALE, SCALE, st.integers(0, 2**31))
def test_wrong_derivatives_fail_at_every_scale(inner, outer, seed):
    rng = np.random.default_rng(seed)
    a, theta = rng.standard_normal((3, 4)), 0.3 * inner * rng.standard_normal(4)

    def d(t):
        return 1.01 * outer / inner * (1 - np.tanh(a @ t / inner) ** 2)[:, None] * a

    with pytest.raises(ProblemError, match="not the derivative"):
        check_map(numpy_map(lambda t: outer * np.tanh(a @ t / inner), d, 4, 3), theta, seed=seed)


@pytest.mark.parametrize("power", [2, 3, 5])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_a_vanishing_derivative_is_no_alarm(power, offset):
    right = numpy_map(lambda t: offset + t**power, lambda t: np.diag(power * t ** (power - 1)), 2, 2)
    check_map(right, np.zeros(2))
    wrong = numpy_map(lambda t: offset + t**power + 1e-3 * t, lambda t: np.diag(power * t ** (power - 1)), 2, 2)
    with pytest.raises(ProblemError, match="not the derivative"):
        check_map(wrong, np.zeros(2))


def test_a_map_that_overflows_nearby_is_no_alarm():
    check_map(numpy_map(lambda t: np.exp(8e3 * t), lambda t: np.diag(8e3 * np.exp(8e3 * t)), 1, 1), np.array([0.025]))


def test_a_right_map_costs_two_values_beside_the_point_itself():
    calls = []

    def counted(t):
        calls.append(1)
        return value(t)

    check_map(numpy_map(counted, jacobian, 3, 3), THETA)
    assert len(calls) == 3
