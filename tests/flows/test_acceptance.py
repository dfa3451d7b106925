"""Acceptance: whole flows on networks, with the numbers they have to reach.

The efficiency counts every parameter at which the network is evaluated, those of the derivative check included.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import subriem as sr
from subriem.flows.theory import horizontality, log_identity
from subriem.flows.units import UnitClass, null_units
from tests.flows.problems import TWINS, Counted, Problem, deep, end_of, iris, regime_of, thin

# --- efficiency: 4-28-28-2, n = 100 ----------------------------------------------------------------------------------

#: start, rtol -> evaluations, theta error relative to the path length, drift.
TARGETS = {
    ("fan_in", 1e-3): (150, 5e-4, 1e-8),
    ("fan_in", 1e-6): (260, 5e-7, 1e-9),
    ("xavier", 1e-3): (180, 1e-3, 1e-8),
    ("xavier", 1e-6): (340, 5e-7, 1e-9),
}


@cache
def tight_end(seed: int, scheme: str) -> tuple[np.ndarray, float]:
    """End and length of the orbit, unprojected at rtol 1e-12; its agreement with SciPy's was 2e-12 on two seeds."""
    problem = deep(seed, scheme)
    sol = sr.follow(problem.flow, problem.theta0, project=False, rtol=1e-12, until=sr.Until(t=1.0))
    return sol.theta, sol.path_length


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("scheme", "rtol"), TARGETS)
def test_whole_flow_within_its_budget_of_evaluations_and_errors(scheme, rtol, seed):
    problem = deep(seed, scheme)
    counted = Counted(problem.map)
    sol = sr.follow(sr.flows.adapted(counted, problem.cost), problem.theta0, rtol=rtol)
    most, error, drift = TARGETS[scheme, rtol]
    end, length = tight_end(seed, scheme)
    assert len(counted.seen) <= most
    assert np.linalg.norm(sol.theta - end) <= error * length
    assert sol["cost"][-1] <= 1e-30 * sol["cost"][0]
    # drift by the definition, not by the run's own account
    line = sol["x"][0] + sol.t[:, None] * (problem.y - sol["x"][0])
    x = np.array([problem.map.value(theta) for theta in sol.y])
    own = np.linalg.norm(x - line, axis=1).max() / problem.chord
    assert own <= drift
    assert sol.drift == pytest.approx(own, rel=0.1, abs=1e-14)
    # its account of evaluations is honest: 6 more are the difference quotients of the check
    assert len(counted.seen) - 6 <= sol.nfev <= len(counted.seen)


def test_newton_would_miss_the_end_that_the_flow_is_asked_for():
    """Least-norm Newton reaches y in a few evaluations, elsewhere: without the theta error the targets would be met."""
    problem = deep(0, "fan_in")
    theta = problem.theta0
    for _ in range(12):
        theta = theta + sr.lift(problem.map, problem.y - problem.map.value(theta), theta).v
    assert np.linalg.norm(problem.map.value(theta) - problem.y) < 1e-10
    end, length = tight_end(0, "fan_in")
    assert np.linalg.norm(theta - end) > 1e-2 * length


# --- under-parametrized: 2-3-1, 30 samples ---------------------------------------------------------------------------


def bare(problem: Problem, rtol: float, evaluations: int) -> sr.flows.FlowSolution:
    budget = sr.Budget(evaluations=evaluations)
    return sr.follow(problem.flow, problem.theta0, rtol=rtol, until=sr.Until(s=1e4), budget=budget, throw=False)


NAMED = (sr.Status.ESCAPED, sr.Status.RANK_CHANGED)


@pytest.mark.slow
def test_bare_flow_of_small_nets_ends_at_a_named_and_reproducible_singularity():
    spent, wrong = [], []
    for seed in range(20):
        problem = thin(seed)
        sol = bare(problem, 1e-6, 3000)
        if sol.status is sr.Status.BUDGET_SPENT:
            spent.append(seed)
            continue
        tight = bare(problem, 1e-9, 10_000)
        agree = sol.status in NAMED and tight.status in NAMED
        if not agree or abs(end_of(sol) / end_of(tight) - 1) > 1e-3:
            wrong.append((seed, sol.headline(), tight.headline()))
        assert np.diff(sol["cost"]).max() <= 1e-12 * sol.cost0
        assert (sol["cost"] >= sol.cost0 * np.exp(-2 * sol.s / 30) * (1 - 1e-12)).all()
        assert np.abs(log_identity(sol)).max() < 1e-5
    assert wrong == []
    assert len(spent) <= 1


@pytest.mark.slow
def test_units_that_end_the_bare_flow_are_named_with_their_class():
    for seed in range(20):
        problem = thin(seed)
        sol = bare(problem, 1e-6, 3000)
        null = np.linalg.svd(problem.map.jacobian(sol.theta))[2][-1]
        findings = null_units(problem.map, sol.theta, null)
        assert findings, seed
        assert findings[0].kind is not UnitClass.UNCLASSIFIED, (seed, findings[0].sentence())
        assert findings[0].share >= 0.9


@pytest.mark.slow
def test_damped_flow_of_small_nets_reaches_its_end():
    """The log identity is a quadrature of something the steps do not control: its error is theirs, times dln C/dtheta.

    At rtol 1e-6 of a path of length 100 and more this was 2e-4 at most in 20 runs. Damped or not, the wrong filter
    would miss ln C by the order of 1.
    """
    for seed in range(20):
        problem = thin(seed)
        mu = 1e-6 * float(np.linalg.norm(problem.map.jacobian(problem.theta0), 2)) ** 2
        flow = sr.flows.adapted(problem.map, problem.cost, damping=mu)
        budget = sr.Budget(evaluations=20_000)
        sol = sr.follow(flow, problem.theta0, rtol=1e-6, until=sr.Until(s=3000.0), budget=budget)
        assert sol.status is sr.Status.SUCCESS, seed
        assert sol.s[-1] == 3000.0
        assert np.diff(sol["cost"]).max() <= 1e-12 * sol.cost0
        assert np.abs(log_identity(sol)).max() < 1e-3


# --- iris ------------------------------------------------------------------------------------------------------------


def certified(problem: Problem, rtol: float) -> sr.flows.FlowSolution:
    sol = sr.follow(problem.flow, problem.theta0, rtol=rtol)
    assert sol.status is sr.Status.SUCCESS
    assert (problem.map.n_in, problem.map.n_out, regime_of(sol).rank) == (1027, 450, 447)
    assert regime_of(sol).names == tuple(tuple(f"row {row}, output {q}" for row in TWINS) for q in (1, 2, 3))
    assert sol.conflicts == ()
    assert sol["cost"][-1] <= 1e-26 * sol["cost"][0]
    return sol


IRIS = [*((seed, "fan_in", 1e-4, 1e-6) for seed in range(5)), (0, "xavier", 1e-6, 1e-8)]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "scheme", "loose", "tight"), IRIS)
def test_iris_is_interpolated_with_the_twin_rows_named(seed, scheme, loose, tight):
    """Xavier's seeds 1 to 4 were measured too: ends agree to 1.4e-6 … 2.0e-5, at 20 to 30 s a run."""
    problem = iris(128, seed, scheme)
    first, second = certified(problem, loose), certified(problem, tight)
    assert np.linalg.norm(first.theta - second.theta) <= 2e-4 * second.path_length
    chosen = np.linspace(0, len(first.t) - 2, 4).astype(int)
    cond = (first["sigma_max"] / first["sigma_min"])[chosen].max()
    bound = 10 * np.finfo(float).eps * cond
    assert horizontality(problem.map, first.y[chosen], first["velocity"][chosen]).max() <= bound


def narrow(problem: Problem, rtol: float) -> sr.flows.FlowSolution:
    sol = sr.follow(problem.flow, problem.theta0, rtol=rtol, budget=sr.Budget(evaluations=3000), throw=False)
    assert sol.nfev <= 3000
    assert sol.status in (sr.Status.SUCCESS, sr.Status.RANK_AMBIGUOUS, *NAMED), sol.headline()
    return sol


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_narrow_iris_ends_where_its_jacobian_does(seed):
    """K = 515 for rank 447: the end is that of the rank, by an SVD of the test's own, and at the same t for two rtol.

    Theta itself is not compared, for it is not resolved: at cond D = 1e10 the paths of seed 3 at rtol 1e-6 and 1e-8
    are 0.4 % of their length apart at t = 0.5 and 5 % at t = 0.999, and their clocks still agree to 4e-6. Seeds 1, 2
    and 4 hold too; a run takes a minute.
    """
    problem = iris(64, seed)
    sol, tight = narrow(problem, 1e-6), narrow(problem, 1e-8)
    if sol.status is sr.Status.SUCCESS:
        assert sol["cost"][-1] <= 1e-12 * sol.cost0
        return
    # C = C0 (1 - t)^2 at the point itself
    cost = problem.cost.value(problem.map.value(sol.theta))
    assert cost == pytest.approx(sol.cost0 * (1 - sol.t[-1]) ** 2, rel=1e-3)
    rows = np.delete(problem.map.jacobian(sol.theta), np.arange(3 * TWINS[1] - 3, 3 * TWINS[1]), axis=0)
    sigma = np.linalg.svd(rows, compute_uv=False)
    assert sigma[-1] < 1e-7 * sigma[0]
    ends = [s.singularity.clock if s.singularity is not None else s.t[-1] for s in (sol, tight)]
    assert ends[0] == pytest.approx(ends[1], abs=1e-4)
