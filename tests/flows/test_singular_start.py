"""Starts where D has a lower rank than nearby: the velocity jumps there, and the run says so at once."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem import io
from tests.flows.problems import end_of, regime_of, symbolic


def arm(target, start):
    """A planar arm of two links of length 1; stretched at b = 0, folded at b = pi."""

    def hand(q):
        return ca.vertcat(ca.cos(q[0]) + ca.cos(q[0] + q[1]), ca.sin(q[0]) + ca.sin(q[0] + q[1]))

    return symbolic(hand, [target], start)


def square(target, start=0.0):
    return symbolic(lambda q: q**2, [target], [start])


def cusp():
    """K = 2, n = 3: an immersion but where the first parameter is 0."""
    return symbolic(lambda q: ca.vertcat(q[0] ** 2, q[0] ** 3, q[1] + q[0] ** 2), [1.0, 1.0, 1.0], [0.0, 0.5])


SINGULAR = {
    "stretched, target outside": (arm([3.0, 1.0], [0.3, 0.0]), 1, 2),
    "stretched, target inside": (arm([0.5, 1.0], [0.3, 0.0]), 1, 2),
    "folded": (arm([1.0, 0.0], [0.2, np.pi]), 1, 2),
    "square, reachable": (square(1.0), 0, 1),
    "square, out of reach": (square(-1.0), 0, 1),
    "cusp": (cusp(), 1, 2),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_a_singular_start_ends_the_run_at_once_with_both_ranks(name, tmp_path):
    problem, here, nearby = SINGULAR[name]
    sol = sr.follow(problem.flow, problem.theta0, budget=sr.Budget(evaluations=500))
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.grid[-1] == 0.0 == end_of(sol)
    assert f"rank D = {here} there, {nearby} nearby" in sol.message
    assert regime_of(sol).singular
    assert f"rank D = {here} ({nearby} nearby)" in str(regime_of(sol))
    assert sol.nfev <= 2
    loaded = io.load(io.save(sol, tmp_path / "end"))
    assert isinstance(loaded, sr.flows.FlowSolution)
    assert str(loaded.regime) == str(sol.regime)


def test_a_start_close_by_goes_its_way():
    """At 1e-3 from the stretched arm the rank is full, and the target inside is reached."""
    problem = arm([0.5, 1.0], [0.3, 1e-3])
    sol = sr.follow(problem.flow, problem.theta0)
    assert sol.status is sr.Status.SUCCESS
    assert not regime_of(sol).singular
    assert regime_of(sol).nearby is None


def test_an_equilibrium_at_a_singular_point_is_called_one():
    for problem in (arm([1.0, 0.0], [0.0, 0.0]), square(1.0)):
        sol = sr.follow(problem.flow, problem.theta0)
        assert sol.status is sr.Status.RANK_CHANGED
        assert "an equilibrium" in sol.message
        on = sr.follow(problem.flow, problem.theta0, on_rank_change="continue")
        assert on.status is sr.Status.EVENT
        assert "equilibrium" in on.message
        assert np.array_equal(on.theta, problem.theta0)
    moving = SINGULAR["cusp"][0]
    assert "equilibrium" not in sr.follow(moving.flow, moving.theta0).message


def test_a_target_that_is_met_at_a_singular_start_is_a_success():
    sol = sr.follow(square(0.0).flow, [0.0])
    assert sol.status is sr.Status.SUCCESS


def test_going_on_from_a_singular_start_ends_there_with_the_same_reason():
    """The truncated lift keeps b near 0, where D leaves it and comes back: no steps lead away."""
    problem = SINGULAR["stretched, target outside"][0]
    sol = sr.follow(problem.flow, problem.theta0, on_rank_change="continue")
    assert sol.status is sr.Status.RANK_CHANGED
    assert 0 < sol.s[-1] < 1e-6
    assert "rank D = 1 there, 2 nearby; h = " in sol.message


def test_going_on_along_a_singular_line_is_possible():
    """The cusp line is invariant under the truncated flow: q_1 runs to the target at rate 1/N."""
    problem = cusp()
    sol = sr.follow(problem.flow, problem.theta0, on_rank_change="continue", until=sr.Until(s=2.0))
    assert sol.status is sr.Status.SUCCESS
    assert sol.theta == pytest.approx([0.0, 1 - 0.5 * np.exp(-2.0 / 3)], abs=1e-6)


def test_damping_and_the_standard_flow_start_anywhere():
    problem = SINGULAR["stretched, target inside"][0]
    for flow in (sr.flows.adapted(problem.map, problem.cost, damping=1e-2), problem.standard):
        sol = sr.follow(flow, problem.theta0, until=sr.Until(s=1.0))
        assert sol.status is sr.Status.SUCCESS


LASTING = {
    "a row that stands twice": symbolic(
        lambda q: ca.vertcat(q[0] + q[1] ** 3, q[0] + q[1] ** 3, q[1]), [[1.0], [1.0], [2.0]], [0.1, 0.2, 0.3]
    ),
    "constant rank, K = n": symbolic(
        lambda q: ca.vertcat(q[0] + q[1], (q[0] + q[1]) ** 2, ca.sin(q[0])), [1.0, 1.0, 2.0], [0.1, 0.2, 0.3]
    ),
    "constant rank, K < n": symbolic(
        lambda q: ca.vertcat(q[0] + q[1], (q[0] + q[1]) ** 2, ca.sin(q[0] + q[1])), [1.0, 1.0, 2.0], [0.1, 0.2]
    ),
    "dead rectifier": symbolic(
        lambda q: ca.vertcat(q[0], q[0] ** 2, ca.fmax(q[1], 0.0)), [1.0, 1.0, 0.0], [0.4, -0.02]
    ),
}


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_loss_of_rank_is_no_singular_start(name):
    problem = LASTING[name]
    sol = sr.follow(problem.flow, problem.theta0, until=sr.Until(s=1.0))
    assert sol.status is sr.Status.SUCCESS
    assert not regime_of(sol).singular
    assert regime_of(sol).rank < min(problem.map.n_in, problem.map.n_out)
