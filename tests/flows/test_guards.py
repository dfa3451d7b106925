"""What the guards of a run prevent, each on a problem with a closed form that goes wrong without it."""

import numpy as np
import pytest
from scipy.linalg import solve_triangular

import subriem as sr
from subriem.flows.field import ClockField
from tests.core.matrices import equal_pivots, orthonormal
from tests.flows.problems import end_of, escape, regime_of, repeated

EPS = float(np.finfo(float).eps)


def test_stages_are_lifted_to_digits_although_the_pivots_hide_the_condition() -> None:
    """At a stage no condition is estimated: x = L Q^T theta with cond 3e8 and all pivots 1, where the Gram fails."""
    rng = np.random.default_rng(0)
    triangle, frame = equal_pivots(26), orthonormal(rng, 31, 26)
    source = sr.numpy_map(lambda t: triangle @ (frame.T @ t), lambda t: triangle @ frame.T, 31, 26)
    y = rng.standard_normal(26)
    flow = sr.flows.adapted(source, sr.flows.squared_error(y))
    point = ClockField(flow, "s", sr.RankPolicy(), None, None, 2**31).at(0.0, np.zeros(31))
    exact = frame @ solve_triangular(triangle, y, lower=True) / 26
    assert np.linalg.norm(point.velocity - exact) <= 2 * EPS * np.linalg.cond(triangle) * np.linalg.norm(exact)


def test_steps_are_not_asked_for_more_than_the_roundoff_of_the_velocity() -> None:
    """x = L sinh(theta), cond 3e8, at rtol 1e-13: the field is known to 8 digits only; sinh theta = t c."""
    triangle, c = equal_pivots(26), np.linspace(-1, 1, 26)
    source = sr.numpy_map(lambda t: triangle @ np.sinh(t), lambda t: triangle * np.cosh(t), 26, 26)
    flow = sr.flows.adapted(source, sr.flows.squared_error(triangle @ c))
    sol = sr.follow(
        flow,
        np.zeros(26),
        clock="s",
        project=False,
        rtol=1e-13,
        until=sr.Until(t=0.9),
        budget=sr.Budget(evaluations=500),
    )
    assert sol.status is sr.Status.SUCCESS
    assert np.linalg.norm(sol.theta - np.arcsinh(0.9 * c)) < 1e-7


@pytest.mark.parametrize("clock", ["t", "s"])
def test_a_sudden_loss_of_rank_is_located(clock) -> None:
    """x = max(theta, 0) from 1 to -1: D drops from 1 to 0 at t = 1/2, s = ln 2, and no step announces it."""
    source = sr.numpy_map(lambda t: np.maximum(t, 0.0), lambda t: np.diag((t > 0) * 1.0), 1, 1)
    flow = sr.flows.adapted(source, sr.flows.squared_error([-1.0]))
    sol = sr.follow(flow, [1.0], rtol=1e-3, clock=clock, until=sr.Until(t=0.95), check=False)
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.grid[-1] == pytest.approx(0.5 if clock == "t" else np.log(2), rel=2e-8)


def test_steps_that_crawl_towards_a_plain_power_law_are_not_all_taken() -> None:
    """tanh theta to 2 at rtol 1e-12: roundoff holds the steps short of s* = ln 2, for more than 20 000 evaluations."""
    case = escape()
    budget = sr.Budget(evaluations=5000)
    sol = sr.follow(case.problem.flow, case.problem.theta0, rtol=1e-12, budget=budget)
    assert sol.status is sr.Status.ESCAPED
    assert end_of(sol) == pytest.approx(case.end, abs=1e-10)


@pytest.mark.parametrize("bend", [1e-3, 1e-5])
def test_a_floor_of_the_cost_is_one_for_every_theta(bend: float) -> None:
    """Two rows that agree at the start and bend apart slowly: a floor would be undercut at theta_1^2 = 1/bend."""
    source = sr.numpy_map(
        lambda t: np.array([t[0] + bend * t[1] ** 2, t[0] - bend * t[1] ** 2]),
        lambda t: np.array([[1.0, 2 * bend * t[1], 0.0], [1.0, -2 * bend * t[1], 0.0]]),
        3,
        2,
    )
    flow = sr.flows.adapted(source, sr.flows.squared_error([1.0, -1.0]))
    sol = sr.follow(flow, np.zeros(3), budget=sr.Budget(evaluations=200))
    assert not regime_of(sol).persistent
    assert sol.cost_floor <= flow.cost.value(source.value(np.array([0.0, bend**-0.5, 0.0])))
    assert sol.conflicts == ()


@pytest.mark.parametrize("gap", [1e-8, 1e-4])
def test_labels_of_twins_that_differ_in_the_eighth_digit_contradict_each_other(gap: float) -> None:
    problem = repeated()
    y = problem.y.reshape(5, 2).copy()
    y[4] = y[1] + [gap, 0.0]
    sol = sr.follow(sr.flows.adapted(problem.map, sr.flows.squared_error(y)), problem.theta0)
    assert sol.conflicts == (("row 2, output 1", "row 5, output 1"),)
    assert sol.cost_floor == pytest.approx(gap**2 / 20, rel=1e-6)


def test_labels_of_twins_that_differ_by_roundoff_agree() -> None:
    problem = repeated()
    y = problem.y.reshape(5, 2).copy()
    y[1], y[4] = 0.3, 0.1 + 0.2
    assert y[1, 0] != y[4, 0]
    sol = sr.follow(sr.flows.adapted(problem.map, sr.flows.squared_error(y)), problem.theta0)
    assert sol.conflicts == ()
    assert sol.cost_ratio < 1e-28
