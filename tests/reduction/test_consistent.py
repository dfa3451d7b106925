"""Consistent points: near what was given, whatever the order, the units and the start."""

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import subriem as sr
from subriem.zoo.dae import get


def distance(red, names, at):
    """The least change of given values with which the constraints between states hold, found by SciPy."""
    columns = red.system.state_columns
    place = {red.system.column_name(column): n for n, column in enumerate(columns)}
    given_at = [place[name] for name in names]
    wanted = np.array([at[name] for name in names])
    rows = [n for n, row in enumerate(red.system.rows) if row in set(red.system.invariant_rows)]
    where = [red.system.columns.index(column) for column in columns]
    start, q = red.consistent.jets, red.dae.data(red.consistent.t)

    def jets(z):
        full = start.copy()
        full[where] = z
        return full

    found = minimize(
        lambda z: ((z[given_at] - wanted) ** 2).sum(),
        start[where],
        constraints={
            "type": "eq",
            "fun": lambda z: red.system.residual(red.consistent.t, jets(z), q)[rows],
            "jac": lambda z: red.system.jacobian(red.consistent.t, jets(z), q)[np.ix_(rows, where)],
        },
        method="SLSQP",
        options={"maxiter": 200, "ftol": 1e-14},
    )
    return float(np.linalg.norm(found.x[given_at] - wanted))


@pytest.mark.parametrize("name", ["pendulum-1", "slider-crank", "car-axis", "rods-2"])
@pytest.mark.parametrize("size", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("speeds", [False, True], ids=["positions", "and speeds"])
def test_given_values_move_about_their_distance_to_the_set(name, size, speeds):
    problem = get(name)
    base = sr.reduce(problem.dae, at=problem.at)
    states = [base.system.column_name(column) for column in base.system.state_columns]
    names = [n for n in states if speeds or not n.endswith("'")]
    rng = np.random.default_rng(1)
    at = {n: base.point[n] + size * (1 + abs(base.point[n])) * rng.standard_normal() for n in names}
    red = sr.reduce(problem.dae, at=at)
    moved = np.linalg.norm([red.point[n] - at[n] for n in names])
    least = distance(red, names, at)
    assert least - 1e-8 <= moved <= 2 * least + 1e-12
    assert red.consistent.moved == pytest.approx(max(abs(red.point[n] - at[n]) for n in names), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3, -1))
def test_a_point_near_a_sphere_goes_to_the_nearest_one(seed, exponent):
    @sr.dae(variables={"x": 3, "lam": None})
    def ball(t, v, d, p):
        return {"motion": d(v.x, 2) + v.lam * v.x + ca.DM([0, 0, 9.81]), "sphere": ca.sumsqr(v.x) - 4}

    rng = np.random.default_rng(seed)
    u = rng.standard_normal(3)
    x = 2 * u / np.linalg.norm(u) * (1 + 10**exponent * rng.choice([-1, 1]))
    red = sr.reduce(ball, at={"x": x})
    found = np.array([red.point[f"x[{i}]"] for i in range(3)])
    np.testing.assert_allclose(found, 2 * u / np.linalg.norm(u), atol=1e-10)


def test_given_values_stay_if_the_open_ones_can_move():
    problem = get("pendulum-1")
    red = sr.reduce(problem.dae, at={"x": 0.6})  # from y = 0 the rod has no slope in y
    assert red.consistent.moved == 0.0
    assert abs(red.point["y"]) == pytest.approx(0.8, abs=1e-12)
    assert (red.point["x'"], red.point["y'"]) == (0.0, 0.0)


def path(m):
    """u moves x[0] along sin t through m integrations, their rates multiplied by what x[0] says."""

    @sr.dae(variables={"x": m, "u": None})
    def path(t, v, d, p):
        drive = ca.vertcat(v.x[1:], v.u)
        return {"path": v.x[0] - ca.sin(t), "chain": d(v.x) - drive / (2 + ca.cos(v.x[0]))}

    return path


def test_an_index_of_twenty():
    m = 19
    red = sr.reduce(path(m), at={"x[0]": 0.0})
    assert (red.index, red.index_kind, red.degrees_of_freedom) == (m + 1, "differentiation", 0)
    # by hand: x[i + 1] = (2 + cos x[0]) x[i]', with power series in t about 0
    factorial = np.cumprod(np.r_[1.0, np.arange(1, 2 * m + 3)])
    sine = np.polynomial.Polynomial([0 if k % 2 == 0 else (-1) ** (k // 2) / factorial[k] for k in range(m + 2)])
    weight = 2 + sum((-1) ** k / factorial[2 * k] * (sine ** (2 * k)).truncate(m + 2) for k in range(m))
    x = sine
    for i in range(1, m):
        x = (weight * x.deriv()).truncate(m + 2 - i)
        assert red.point[f"x[{i}]"] == pytest.approx(
            x(0.0), rel=1e-8, abs=1e-8 * np.abs(np.asarray(x.coef, float)).max()
        )


@pytest.mark.parametrize("power", [-6, 6])
def test_no_warning_and_the_same_point_in_other_units(power):
    problem = get("transistor")
    base = sr.reduce(problem.dae, at=problem.at)

    @sr.dae(variables={"z": 8})
    def scaled(t, v, d, p):
        places = [10.0**power * d(v.z[j], k) for j, k in problem.dae.places]
        return {"node": 10.0**-power * problem.dae.function(t, ca.vertcat(*places), problem.dae.data(0.0))}

    start = np.array([problem.start[name] for name in problem.dae.variables])
    red = sr.reduce(scaled, at={"z": start / 10.0**power})
    assert (red.index, red.degrees_of_freedom, red.consistent.moved) == (1, 5, base.consistent.moved)
    there = np.array([red.point[f"z[{j}]'"] for j in range(8)]) * 10.0**power
    here = np.array([base.point[f"{name}'"] for name in problem.dae.variables])
    np.testing.assert_allclose(there, here, rtol=1e-8)
