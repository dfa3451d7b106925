"""What the functions of the theory measure, on data whose answer is known, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import subriem as sr
from subriem.core.errors import ProblemError
from subriem.flows.linearized import equilibrium_residual
from subriem.flows.theory import (
    crossing_time,
    fitted_rate,
    horizontality,
    log_identity,
    polyline_length,
    predicted_rate,
    straightness,
    summary,
)
from tests.flows.problems import ellipse, repeated, wide


@given(st.floats(-5, 5), st.floats(-20, 20), st.floats(0.1, 100))
def test_exact_exponentials_are_fitted_exactly(rate, log_size, span):
    s = np.linspace(0, span / 10, 7)
    fit = fitted_rate(s, np.exp(log_size - rate * s))
    assert fit.rate == pytest.approx(rate, abs=1e-11 * (1 + 1 / span) * 20)
    assert fit.error < 1e-10 * (1 + 1 / span)


def test_standard_error_is_that_of_the_scatter():
    """Over many draws the scatter of the slopes is the error that each fit states."""
    rng = np.random.default_rng(0)
    s = np.linspace(0, 3, 40)
    fits = [fitted_rate(s, np.exp(-0.7 * s + 0.01 * rng.standard_normal(40))) for _ in range(400)]
    assert np.std([fit.slope for fit in fits]) == pytest.approx(np.mean([fit.error for fit in fits]), rel=0.1)
    assert np.mean([fit.slope for fit in fits]) == pytest.approx(-0.7, abs=5e-4)


@pytest.mark.parametrize(
    ("s", "values", "words"),
    [
        ([0.0, 1.0], [1.0, 0.5], "2 points"),
        ([0.0, 1.0, 2.0], [1.0, 0.5, 0.0], "not positive"),
        ([0.0, 1.0, 2.0], [1.0, -0.5, 0.2], "not positive"),
        ([1.0, 1.0, 1.0], [1.0, 0.5, 0.2], "all s equal"),
        ([0.0, 1.0, np.inf], [1.0, 0.5, 0.2], "not finite"),
        ([0.0, 1.0, 2.0], [1.0, np.nan, 0.2], "not finite"),
        ([0.0, 1.0, 2.0], [1.0, 0.5], "wrong length"),
    ],
)
def test_fit_refuses(s, values, words):
    with pytest.raises(ProblemError, match=words):
        fitted_rate(s, values)


def test_predicted_rate_follows_the_factor():
    targets = np.zeros((5, 2))
    assert predicted_rate(sr.flows.squared_error(targets)) == pytest.approx(1 / 5)
    assert predicted_rate(sr.flows.squared_error(targets, factor=0.5)) == pytest.approx(1.0)
    assert predicted_rate(sr.flows.squared_error(targets, weights=np.full(5, 3.0))) == pytest.approx(3 / 5)
    with pytest.raises(ProblemError, match="rate"):
        predicted_rate(sr.flows.squared_error(targets, weights=np.arange(1.0, 6.0)))


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_straightness_and_length_do_not_depend_on_position_turn_or_scale(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((6, 3))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    moved = scale * x @ turn + rng.standard_normal(3)
    assert straightness(moved, moved[0], moved[-1]) == pytest.approx(straightness(x, x[0], x[-1]), rel=1e-9)
    assert polyline_length(moved) == pytest.approx(scale * polyline_length(x), rel=1e-9)


def test_straightness_is_the_distance_from_the_line_and_not_from_the_point_of_the_same_time():
    line = np.linspace(0, 1, 5)[:, None] ** 3 * [3.0, 4.0]  # straight, at another pace
    assert straightness(line, line[0], line[-1]) < 1e-15
    assert straightness([[0, 0], [0.5, 0.3], [1, 0]], [0, 0], [1, 0]) == pytest.approx(0.3)
    with pytest.raises(ProblemError, match="no line"):
        straightness(line, line[0], line[0])
    with pytest.raises(ProblemError, match="wrong length"):
        straightness(line, [0.0], [1.0])


def test_horizontality_is_the_sine_of_the_angle_to_the_row_space():
    problem = wide()
    _, _, right = np.linalg.svd(problem.map.jacobian(problem.theta0))
    for angle in (0.0, 1e-6, 0.3, np.pi / 2):
        v = 7 * (np.cos(angle) * right[2] + np.sin(angle) * right[-1])
        assert horizontality(problem.map, problem.theta0, v)[0] == pytest.approx(np.sin(angle), abs=1e-13)
    assert horizontality(problem.map, problem.theta0, np.zeros(42))[0] == 0.0
    with pytest.raises(ProblemError, match="fit together"):
        horizontality(problem.map, problem.theta0, np.zeros((2, 42)))


def test_horizontality_knows_the_kernel_of_rows_that_stand_twice():
    problem = repeated()
    d = problem.map.jacobian(problem.theta0)
    right = np.linalg.svd(d)[2]
    assert horizontality(problem.map, problem.theta0, d[0])[0] < 1e-13
    assert horizontality(problem.map, problem.theta0, right[8])[0] == pytest.approx(1.0)  # rank 8 of 10 rows


def test_log_identity_needs_its_channel():
    problem = wide()
    with pytest.raises(ProblemError, match="no such quantity"):
        log_identity(sr.follow(problem.flow, problem.theta0))
    standard = sr.follow(problem.standard, problem.theta0, until=sr.Until(s=1.0))
    with pytest.raises(ProblemError, match="no such quantity"):
        log_identity(standard)


def test_crossing_time_refuses_what_the_path_does_not_show():
    problem = wide()
    sol = sr.follow(problem.flow, problem.theta0, clock="s", until=sr.Until(s=2.0))
    for eps in (1e-9, 1e9):
        with pytest.raises(ProblemError, match="does not fall"):
            crossing_time(sol, problem.flow, eps)
    for eps in (0.0, -1.0, np.nan):
        with pytest.raises(ProblemError, match="not positive"):
            crossing_time(sol, problem.flow, eps)


def test_equilibrium_residual_is_a_cosine_free_of_units():
    problem = ellipse()
    for size in (1e-6, 1.0, 1e6):
        cost = sr.flows.squared_error([[0.0, 0.0]], factor=size)
        assert equilibrium_residual(problem.map, cost, [0.3]) == pytest.approx(
            equilibrium_residual(problem.map, problem.cost, [0.3]), rel=1e-12
        )
    there = sr.flows.squared_error([[2.0, 0.0]])
    assert equilibrium_residual(problem.map, there, [0.0]) == 0.0  # x = y


def test_summary_gives_verdicts_where_the_theory_applies():
    problem = wide()
    projected = summary(sr.follow(problem.flow, problem.theta0), problem.flow)
    assert [check.name for check in projected] == ["rate", "straightness", "stopping time", "horizontality"]
    assert all(check.passed for check in projected)
    assert sum("by construction" in check.meaning for check in projected) == 3
    free = sr.follow(problem.flow, problem.theta0, clock="s", project=False, rtol=1e-10, until=sr.Until(s=40.0))
    checks = {check.name: check for check in summary(free, problem.flow)}
    assert set(checks) == {"rate", "straightness", "stopping time", "log identity", "horizontality"}
    assert all(check.passed is not False for check in checks.values())
    assert checks["log identity"].value < 1e-6
    # a loose run is told as it is, without a verdict on what it was not asked for
    loose = sr.follow(problem.flow, problem.theta0, clock="s", project=False, rtol=1e-3, until=sr.Until(s=40.0))
    assert {check.name: check.passed for check in summary(loose)}["rate"] is None


def test_summary_of_a_standard_flow_says_only_that_it_is_horizontal():
    problem = wide()
    sol = sr.follow(problem.standard, problem.theta0, until=sr.Until(s=1.0))
    assert [check.name for check in summary(sol, problem.standard)] == ["horizontality"]


def test_summary_leaves_out_the_stopping_time_of_conflicting_labels():
    problem = repeated()
    names = [check.name for check in summary(sr.follow(problem.flow, problem.theta0), problem.flow)]
    assert names == ["rate", "straightness", "horizontality"]
