"""`solve` over F(t, y, y') = 0 given by NumPy functions."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import subriem as sr
from subriem.core.errors import InconsistentError, ProblemError, ReductionError, SolveError

METHODS = ("rosenbrock", "idas")
G = 9.81


def robertson(t, y, dy):
    slow, fast = -0.04 * y[0] + 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return [dy[0] - slow, dy[1] + slow + fast, y.sum() - 1]


def pendulum(t, y, dy):
    x, z, u, w, lam = y
    return [
        dy[0] - u,
        dy[1] - w,
        dy[2] + lam * x,
        dy[3] + lam * z + G,
        lam * (x**2 + z**2) + G * z - u**2 - w**2,
    ]


def pendulum_jacobian(t, y, dy):
    x, z, u, w, lam = y
    by_y = np.zeros((5, 5))
    by_y[0, 2] = by_y[1, 3] = -1
    by_y[2, [0, 4]], by_y[3, [1, 4]] = (lam, x), (lam, z)
    by_y[4] = 2 * lam * x, 2 * lam * z + G, -2 * u, -2 * w, x**2 + z**2
    return by_y, np.diag([1.0, 1, 1, 1, 0])


@sr.dae(variables="x z u w lam")
def symbolic(t, v, d, p):
    return {
        "a": d(v.x) - v.u,
        "b": d(v.z) - v.w,
        "c": d(v.u) + v.lam * v.x,
        "d": d(v.w) + v.lam * v.z + G,
        "e": v.lam * (v.x**2 + v.z**2) + G * v.z - v.u**2 - v.w**2,
    }


START = {"x": 0.6, "z": -0.8, "u": 0.0, "w": 0.0}
SWING = sr.DAE.from_callable(pendulum, 5, variables="x z u w lam", name="swing")


def decay(t, y, dy):
    return dy + y


# --- solutions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_robertson(method):
    sol = sr.solve(sr.DAE.from_callable(robertson, 3), 40.0, {"y": [1.0, 0, 0]}, method=method, atol=1e-12)
    exact = [0.7158270687194, 9.185534764558e-6, 0.2841637457458]  # Hairer and Wanner's test set at t = 40
    np.testing.assert_allclose(sol.y[-1], exact, rtol=2e-7)
    assert sol.stats["steps"] < 700  # an engine that controls the error of y' takes ten to a hundred times as many
    assert sol.residual < 1e-12
    assert all(check.passed is not False for check in (*sol.checks, *sol.reduction.checks))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jac", [None, pendulum_jacobian])
def test_it_agrees_with_the_symbolic_dae(method, jac):
    system = sr.DAE.from_callable(pendulum, 5, jac, variables="x z u w lam")
    sol = sr.solve(system, 1.0, START, method=method, rtol=1e-9, atol=1e-11)
    known = sr.solve(symbolic, 1.0, START, rtol=1e-11, atol=1e-13)
    tolerance = 1e-8 if method == "rosenbrock" else 2e-6
    np.testing.assert_allclose(sol.y, known(sol.t), atol=tolerance)
    times = np.linspace(0, 1, 7)
    np.testing.assert_allclose(sol(times), known(times), atol=tolerance)
    np.testing.assert_allclose(sol.at(times, "u'"), known.at(times, "u'"), atol=10 * tolerance)
    # y' of an algebraic variable does not stand in F, and is known none the less: lam = (u^2 + w^2 - G z) / L^2
    np.testing.assert_allclose(sol["lam'"], -3 * G * sol["w"], atol=100 * tolerance)


def test_a_jacobian_saves_evaluations():
    given = sr.DAE.from_callable(pendulum, 5, pendulum_jacobian, variables="x z u w lam")
    assert 1.5 * sr.solve(given, 0.3, START).nfev < sr.solve(SWING, 0.3, START).nfev


@pytest.mark.parametrize("method", METHODS)
def test_a_derivative_that_enters_nonlinearly(method):
    cubic = sr.DAE.from_callable(lambda t, y, dy: dy**3 + dy - np.sin(t) + y, 1, variables="x")
    sol = sr.solve(cubic, 5.0, {"x": 1.0}, method=method)

    def slope(t, y):  # Cardano: p^3 + p = c
        half = (np.sin(t) - y) / 2
        root = np.sqrt(half**2 + 1 / 27)
        return np.cbrt(half + root) + np.cbrt(half - root)

    known = solve_ivp(slope, (0, 5), [1.0], rtol=1e-12, atol=1e-12, t_eval=[5.0]).y[0, -1]
    assert sol["x"][-1] == pytest.approx(known, abs=1e-7)
    np.testing.assert_allclose(sol["x'"], slope(sol.t, sol["x"]), atol=1e-12)
    assert sol.reduction.index == 0


@pytest.mark.parametrize("method", METHODS)
def test_no_column_of_the_derivatives_is_zero(method):
    def skew(t, y, dy):
        motion = dy[0] + dy[1] + y[0]
        return [motion, 2 * motion + y[0] - y[1] - np.sin(t)]

    sol = sr.solve(sr.DAE.from_callable(skew, 2, variables="x z"), (0.0, 2.0), {"x": 1.0}, method=method)
    # s = x + z obeys s' = -(s + sin t)/2
    total = 1.6 * np.exp(-sol.t / 2) - 0.2 * np.sin(sol.t) + 0.4 * np.cos(sol.t)
    np.testing.assert_allclose(sol["x"] + sol["z"], total, atol=3e-7)
    np.testing.assert_allclose(sol["x"] - sol["z"], np.sin(sol.t), atol=1e-11)
    np.testing.assert_allclose(sol["x'"] - sol["z'"], np.cos(sol.t), atol=1e-8)  # in the kernel of dF/dy'
    assert (sol.reduction.index, sol.reduction.degrees_of_freedom) == (1, 1)


def test_no_derivative_at_all():
    sol = sr.solve(sr.DAE.from_callable(lambda t, y, dy: y**3 + y - t, 1), 2.0)
    np.testing.assert_allclose(sol["y"][:, 0] ** 3 + sol["y"][:, 0], sol.t, atol=1e-14)


def test_back_in_time_and_at_given_times():
    sol = sr.solve(sr.DAE.from_callable(decay, 1), (1.0, 0.0), {"y": 1.0}, t_eval=[0.5, 0.0])
    np.testing.assert_allclose(sol["y"][:, 0], np.exp([0.5, 1.0]), rtol=1e-7)


def test_a_function_may_fill_the_same_array_at_each_call():
    out = np.zeros(1)

    def filling(t, y, dy):
        out[:] = dy + y
        y[:] = 0.0
        return out

    sol = sr.solve(sr.DAE.from_callable(filling, 1), 1.0, {"y": 1.0})
    assert sol["y"][-1, 0] == pytest.approx(np.exp(-1), rel=1e-7)


# --- starts -----------------------------------------------------------------------------------------------------------


def test_the_start_is_made_consistent_and_fixed_values_stay():
    sol = sr.solve(SWING, 0.1, {"x": 0.6, "z": -0.8, "lam": 0.0}, fix=["x", "z"])
    assert (sol["x"][0], sol["z"][0]) == (0.6, -0.8)
    assert np.abs(pendulum(0.0, sol.y[0], sol.jets[0, 1::2])).max() < 1e-9
    assert sol.reduction.point["lam'"] == pytest.approx(-3 * G * sol["w"][0], abs=1e-6)


def test_the_derivative_of_an_algebraic_variable_cannot_be_fixed():
    with pytest.raises(InconsistentError, match="lam' cannot be fixed"):
        sr.solve(SWING, 0.1, {**START, "lam'": 5.0}, fix=["lam'"])


def test_an_index_above_one_is_refused_by_name():
    sine = sr.DAE.from_callable(lambda t, y, dy: [dy[0] - y[1], y[0] - np.sin(t)], 2, variables="x force")
    with pytest.raises(ReductionError, match=r"force, x' open") as caught:
        sr.solve(sine, 1.0)
    assert "rank 1 of 2" in caught.value.got
    assert "symbolic DAE" in caught.value.try_


def test_a_kernel_that_turns_is_not_passed_over():
    turning = sr.DAE.from_callable(
        lambda t, y, dy: [dy[0] + t * dy[1] + y[0], y[1] - np.sin(3 * t)], 2, variables="x z"
    )
    with pytest.raises(SolveError, match=r"ker dF/dy' .* \(in z\)"):
        sr.solve(turning, 1.0, {"x": 1.0})


# --- events and ends --------------------------------------------------------------------------------------------------


def falling(t, y, dy):
    return [dy[0] - y[1], dy[1] + G]


def test_events_with_reset_direction_and_end():
    bounce = sr.Event(lambda t, v: v.h, name="floor", direction=-1, reset=lambda t, v: {"v": -0.5 * v.v})
    top = sr.Event(lambda t, v: v["h'"], name="top", direction=-1, terminal=True)
    ball = sr.DAE.from_callable(falling, 2, variables="h v")
    sol = sr.solve(ball, 5.0, {"h": 1.0, "v": 0.0}, events=[bounce, top])
    fall = np.sqrt(2 / G)
    assert sol.t_events["floor"] == pytest.approx([fall], abs=1e-9)
    assert sol.t_events["top"] == pytest.approx([1.5 * fall], abs=1e-9)
    assert sol.status is sr.Status.EVENT
    assert sol["h"][-1] == pytest.approx(0.25, abs=1e-8)


@pytest.mark.slow
def test_a_loss_of_rank_is_located():
    # y' = -1/(2 y): y = sqrt(1 - t), and dF/dy' = 2 y is singular at t = 1
    fold = sr.DAE.from_callable(lambda t, y, dy: 2 * y * dy + 1, 1, variables="x")
    sol = sr.solve(fold, 2.0, {"x": 1.0}, method="idas", throw=False)
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.t_events["rank"] == pytest.approx([1.0], abs=1e-6)
    assert "x'" in sol.message


def test_budget_and_cancel_end_a_run():
    system, token = sr.DAE.from_callable(decay, 1), sr.CancelToken()
    assert sr.solve(system, 1.0, {"y": 1.0}, budget=sr.Budget(steps=1)).status is sr.Status.BUDGET_SPENT
    assert sr.solve(system, 1.0, {"y": 1.0}, budget=sr.Budget(evaluations=100)).status is sr.Status.BUDGET_SPENT

    def stop(fraction, text):
        token.cancel("enough")

    assert sr.solve(system, 1.0, {"y": 1.0}, progress=stop, cancel=token).status is sr.Status.CANCELLED


# --- functions that fail ----------------------------------------------------------------------------------------------


class OracleError(Exception):
    pass


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("raised", [OracleError("no oracle here"), ZeroDivisionError("by zero")])
def test_what_the_function_raises_reaches_the_user(method, raised, capfd):
    def silent(t, y, dy):
        if t > 0.3:
            raise raised
        return dy + y

    with pytest.raises(ProblemError, match=rf"F of dae raised {type(raised).__name__}: {raised}") as caught:
        sr.solve(sr.DAE.from_callable(silent, 1), 1.0, {"y": 1.0}, method=method)
    assert caught.value.__cause__ is raised
    assert "t = 0.3" in caught.value.got
    assert "casadi" not in str(caught.value).lower()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("method", METHODS)
def test_another_shape_on_the_way_is_told(method):
    def growing(t, y, dy):
        return dy + y if t <= 0.3 else np.zeros(3)

    with pytest.raises(ProblemError, match="F of dae does not fit") as caught:
        sr.solve(sr.DAE.from_callable(growing, 1), 1.0, {"y": 1.0}, method=method)
    assert "shape (3,)" in caught.value.got


@pytest.mark.slow
def test_where_the_function_is_not_finite_is_located(capfd):
    edge = sr.DAE.from_callable(lambda t, y, dy: (dy + y) * (1.0 if t <= 0.3 else np.nan), 1)
    with pytest.raises(SolveError, match=r"NOT_FINITE: a value of F was not finite at t = 0\.3") as caught:
        sr.solve(edge, 1.0, {"y": 1.0}, method="idas")
    assert caught.value.solution.t[-1] == pytest.approx(0.3, abs=1e-9)
    assert caught.value.solution.y[-1] == pytest.approx(np.exp(-0.3), rel=1e-6)
    assert capfd.readouterr() == ("", "")


def test_a_domain_may_end_at_the_start():
    # y = (1 + t^1.5)^2: neither sqrt is defined before the start
    root = sr.DAE.from_callable(lambda t, y, dy: dy - 3 * np.sqrt(t) * np.sqrt(y), 1)
    sol = sr.solve(root, 1.0, {"y": 1.0})
    assert sol["y"][-1, 0] == pytest.approx(4.0, rel=1e-6)


@pytest.mark.parametrize("which", [0, 1])
def test_a_wrong_jacobian_is_refused_at_the_start(which):
    def jac(t, y, dy):
        pair = pendulum_jacobian(t, y, dy)
        pair[which][2, 0] += 0.1
        return pair

    with pytest.raises(ProblemError, match="not the derivative of F"):
        sr.solve(sr.DAE.from_callable(pendulum, 5, jac, variables="x z u w lam"), 1.0, START)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"method": "taylor"}, "need the symbols of F"),
        ({"parameters": {"g": 1.0}}, "parameters needs symbols"),
        ({"weights": {"y": 1.0}}, "weights needs symbols"),
        ({"quadratures": lambda t, v, d, p: {"a": v.y}}, "quadratures needs symbols"),
    ],
)
def test_what_needs_symbols_is_refused(option, message):
    with pytest.raises(ProblemError, match=message):
        sr.solve(sr.DAE.from_callable(decay, 1), 1.0, {"y": 1.0}, **option)


def test_compilation_is_answered():
    sol = sr.solve(sr.DAE.from_callable(decay, 1), 1.0, {"y": 1.0}, jit=True)
    assert sol.stats["jit"] == "not compiled: the equations are a NumPy function"


# --- other processes --------------------------------------------------------------------------------------------------


def swing():
    return sr.solve(SWING, 0.3, START)


def test_a_solution_travels_between_processes():
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        far = pool.submit(swing).result()
    near = swing()
    np.testing.assert_array_equal(far.y, near.y)
    again = pickle.loads(pickle.dumps(near))
    np.testing.assert_allclose(again(0.123), near(0.123), rtol=1e-12)
