"""Rows that stand twice where there are more outputs than parameters: named, and what their labels leave bounded."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem import io
from subriem.core.dependence import parallel_rows
from subriem.flows.network import network
from tests.flows.problems import Problem, regime_of, symbolic, thin


def doubled(seed=0, contradict=True) -> Problem:
    """2-3-1 on 30 samples, K = 13 < n; the sixth sample repeats the second, and the ninth too."""
    rng = np.random.default_rng(seed)
    inputs, targets = rng.standard_normal((30, 2)), rng.standard_normal((30, 1))
    inputs[5] = inputs[8] = inputs[1]
    if not contradict:
        targets[5] = targets[8] = targets[1]
    net = network([2, 3, 1], inputs)
    return Problem(net, sr.flows.squared_error(targets), net.initial(seed))


def run(problem: Problem, **options):
    return sr.follow(problem.flow, problem.theta0, until=sr.Until(s=1.0), throw=False, **options)


@pytest.mark.parametrize("seed", range(3))
def test_repeated_samples_are_named_and_their_scatter_bounds_the_cost(seed, tmp_path):
    problem = doubled(seed)
    sol = run(problem)
    group = ("row 2, output 1", "row 6, output 1", "row 9, output 1")
    assert regime_of(sol).names == (group,) == sol.conflicts
    assert "row 6" in str(regime_of(sol))
    labels = problem.y[[1, 5, 8]]
    assert sol.cost_bound == pytest.approx(((labels - labels.mean()) ** 2).sum() / 60, rel=1e-12)
    assert sol.cost_floor == 0.0  # not known for K < n
    assert sol["cost"].min() > sol.cost_bound
    assert [check.value for check in sol.checks if check.name == "cost bound"] == [sol.cost_bound]
    assert [check.value for check in sol.checks if check.name == "dependent rows"] == [2.0]
    loaded = io.load(io.save(sol, tmp_path / "run"))
    assert isinstance(loaded, sr.flows.FlowSolution)
    assert str(loaded) == str(sol)
    assert loaded.cost_bound == sol.cost_bound
    assert regime_of(loaded).names == regime_of(sol).names


def test_naming_parallel_rows_changes_no_step(monkeypatch):
    problem = doubled()
    named = run(problem)
    monkeypatch.setattr("subriem.flows.regime._parallel", lambda *_: None)
    blind = run(problem)
    assert blind.conflicts == ()
    assert np.array_equal(named.y, blind.y)
    assert named.nfev == blind.nfev


def test_equal_labels_of_repeated_samples_do_not_contradict():
    sol = run(doubled(contradict=False))
    assert len(regime_of(sol).names) == 1
    assert sol.conflicts == ()
    assert sol.cost_bound <= 1e-28
    assert "cost bound" not in str(sol)


def test_the_bound_of_opposite_rows_of_other_size_is_the_distance_to_their_line():
    """x_3 = 1 - 2 x_1: (x_1, x_3) is on a line at distance |2 y_1 + y_3 - 1|/sqrt 5 from the target."""
    y = np.array([1.0, 0.5, 3.0, -1.0])
    problem = symbolic(lambda q: ca.vertcat(q[0], q[0] * q[1], 1 - 2 * q[0], ca.sin(q[1])), y, [0.2, 0.3])
    sol = run(problem)
    assert sol.conflicts == (("x[0]", "x[2]"),)
    assert sol.cost_bound == pytest.approx((2 * y[0] + y[2] - 1) ** 2 / 5 / 8, rel=1e-12)
    assert sol["cost"].min() > sol.cost_bound


def test_the_bound_is_the_least_cost_where_nothing_else_is_in_the_way():
    """Two parameters, three outputs, one of them twice: the adapted flow ends at the bound."""
    problem = symbolic(lambda q: ca.vertcat(q[0] + q[1] ** 2, q[1], q[1]), [1.0, 2.0, 4.0], [0.1, 0.2])
    sol = sr.follow(problem.flow, problem.theta0)
    assert sol.cost_bound == pytest.approx(2.0 / 6, rel=1e-12)
    assert sol["cost"][-1] == pytest.approx(sol.cost_bound, rel=1e-9)


def test_rows_that_are_parallel_here_alone_are_no_relation():
    """With one parameter all rows are parallel at each point, with another factor at each."""
    problem = symbolic(lambda q: ca.vertcat(q, q**2, ca.sin(q)), [1.0, 2.0, 0.5], [0.4])
    assert regime_of(run(problem)).parallel is None
    assert regime_of(run(thin(0))).names == ()


def test_rows_without_effect_are_named():
    problem = symbolic(lambda q: ca.vertcat(q, 0 * q + 2, q**2), [1.0, 1.0, 0.5], [0.4])
    sol = run(problem)
    assert sol.conflicts == (("x[1]",),)
    assert "without effect: x[1]" in str(regime_of(sol))
    assert sol.cost_bound == pytest.approx(1 / 6, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_parallel_rows_are_found_among_many(seed):
    """Signs and sizes of twelve decades; a row off by 1e-6 belongs to no group, nor do three in a plane."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((40, 7))
    rows[20:25] = np.outer(rng.choice([-1, 1], 5) * 10.0 ** rng.uniform(-6, 6, 5), rows[3])
    rows[30] = -rows[11]
    rows[31] = rows[12] + 1e-6 * rows[13]
    rows[32] = rows[14] + rows[15]
    rows[33] = 0.0
    found = parallel_rows(rows)
    assert set(found.groups) == {(3, 20, 21, 22, 23, 24), (11, 30), (33,)}
    assert found.nullity == 5 + 1 + 1
    scale = np.abs(found.null).T @ np.abs(rows)
    assert (np.abs(found.null.T @ rows) <= 1e-13 * scale.max(axis=1, keepdims=True)).all()
    np.testing.assert_allclose(found.null.T @ found.null, np.eye(7), atol=1e-14)
    assert np.abs(found.basis.T @ found.null).max() < 1e-14


def test_more_parallel_rows_than_columns():
    rows = np.outer(np.arange(1.0, 9.0), [1.0, -2.0])
    found = parallel_rows(rows)
    assert found.groups == (tuple(range(8)),)
    assert found.nullity == 7


def test_rows_without_relations_give_none():
    found = parallel_rows(np.random.default_rng(0).standard_normal((9, 4)))
    assert found.groups == ()
    assert found.nullity == 0
    with pytest.raises(sr.ProblemError, match="rows"):
        parallel_rows([[1.0, np.nan]])
