"""Resumed runs: what they belong to, and the whole path they return."""

from dataclasses import replace

import numpy as np
import pytest

import subriem as sr
from subriem import io
from subriem.flows.units import UnitClass, UnitFinding
from tests.flows.problems import ellipse, net_problem, thin, wide
from tests.flows.test_follow import FOUR_LINES

DAMPED = sr.flows.adapted(thin(0).map, thin(0).cost, damping=1e-4)
#: Clock, flow, start and goal.
WHOLE = {
    "t": ("t", wide().flow, wide().theta0, sr.Until(cost=1e-12)),
    "s": ("s", wide().flow, wide().theta0, sr.Until(s=20.0)),
    "under": ("s", DAMPED, thin(0).theta0, sr.Until(s=1.0)),
}


def solution_of(path) -> sr.flows.FlowSolution:
    loaded = io.load(path)
    assert isinstance(loaded, sr.flows.FlowSolution)
    return loaded


def events():
    return sr.Event(lambda c, theta: c - 0.2, "early"), sr.Event(lambda c, theta: c - 0.9, "late")


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("stored", [False, True])
def test_a_run_in_two_pieces_is_the_whole_run(name, stored, tmp_path):
    """The same steps: the table, all rows, and the dense output of both pieces are those of one run."""
    clock, flow, theta0, until = WHOLE[name]
    sums = {"sum": lambda point: point.theta.sum()}
    options = {"clock": clock, "until": until, "rtol": 1e-8, "events": events(), "quadratures": sums}
    whole = sr.follow(flow, theta0, **options)
    part = sr.follow(flow, theta0, **options, budget=sr.Budget(steps=4))
    assert part.grid.size == 5 < whole.grid.size
    if stored:
        part = solution_of(io.save(part, tmp_path / "part"))
    both = sr.follow(flow, part, **options)
    assert str(both) == str(whole)
    for field in ("t", "s", "y", "rank"):
        np.testing.assert_array_equal(getattr(both, field), getattr(whole, field))
    assert list(both.channels) == list(whole.channels)
    for channel, values in whole.channels.items():
        np.testing.assert_array_equal(both[channel], values)
    assert [(e.name, e.clock) for e in both.events] == [(e.name, e.clock) for e in whole.events]
    assert len(whole.events) == 2
    assert both.nfev == whole.nfev + 1  # the junction is evaluated once more
    assert both.stats["backends"].keys() == whole.stats["backends"].keys()
    inner = np.linspace(0, whole.grid[-1], 60)
    np.testing.assert_allclose(both(inner), whole(inner), rtol=0, atol=1e-14)
    loaded = solution_of(io.save(both, tmp_path / "both"))
    assert str(loaded) == str(both)
    np.testing.assert_array_equal(loaded.y, both.y)
    np.testing.assert_array_equal(loaded(inner), both(inner))


def test_a_bare_state_returns_the_new_piece():
    problem = wide()
    part = sr.follow(problem.flow, problem.theta0, budget=sr.Budget(steps=4))
    rest = sr.follow(problem.flow, part.state)
    assert rest.t[0] == part.t[-1] > 0
    both = sr.follow(problem.flow, part)
    assert both.t[0] == 0
    np.testing.assert_array_equal(both.y[-rest.y.shape[0] :], rest.y)


def test_three_pieces_and_one_of_no_length():
    problem = wide()
    whole = sr.follow(problem.flow, problem.theta0)
    sol = sr.follow(problem.flow, problem.theta0, budget=sr.Budget(steps=3))
    sol = sr.follow(problem.flow, sol, budget=sr.Budget(steps=0))
    sol = sr.follow(problem.flow, sol, budget=sr.Budget(steps=2))
    sol = sr.follow(problem.flow, sr.follow(problem.flow, sol))
    np.testing.assert_array_equal(sol.y, whole.y)
    np.testing.assert_array_equal(sol(0.5), whole(0.5))


def test_rows_may_be_wanted_on_both_pieces():
    problem = wide()
    grid = np.linspace(0.0, 1.0, 9)
    whole = sr.follow(problem.flow, problem.theta0, t_eval=grid)
    part = sr.follow(problem.flow, problem.theta0, budget=sr.Budget(steps=4), t_eval=[0.0, 1e-3])
    both = sr.follow(problem.flow, part, t_eval=grid)
    np.testing.assert_array_equal(both.t, grid)
    np.testing.assert_allclose(both.y, whole.y, rtol=0, atol=1e-13)
    loose = sr.follow(problem.flow, part)
    assert loose.t[0] == 0
    assert (np.diff(loose.t) > 0).all()
    assert loose.y.shape[0] == loose.t.size == loose["cost"].size


def test_a_quadrature_of_one_piece_is_not_known_on_the_other():
    problem = wide()
    part = sr.follow(problem.flow, problem.theta0, budget=sr.Budget(steps=4), quadratures={"one": lambda p: 1.0})
    both = sr.follow(problem.flow, part)
    assert both["one"][4] == pytest.approx(both.t[4], rel=1e-13)
    assert np.isnan(both["one"][5:]).all()


def test_the_other_clock_returns_the_new_piece_and_says_so():
    problem = wide()
    part = sr.follow(problem.flow, problem.theta0, clock="s", until=sr.Until(s=1.0))
    rest = sr.follow(problem.flow, part, clock="t")
    assert rest.clock == "t"
    assert rest.t[0] > 0
    assert rest.stats["joined"].startswith("no")


def _flow(source=None, target=None, **options):
    problem = wide()
    cost = sr.flows.squared_error((problem.y if target is None else target).reshape(4, 2), **options)
    return sr.flows.adapted(problem.map if source is None else source, cost)


OTHERS = {
    "another target": (lambda: _flow(target=wide().y + 1e-3), "another cost"),
    "another factor": (lambda: _flow(factor=0.3), "another cost"),
    "other weights": (lambda: _flow(weights=[1.0, 1.0, 1.0, 2.0]), "another cost"),
    "other inputs": (lambda: _flow(net_problem([2, 8, 2], 4, 1).map), "another map"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("steps", [0, 3])
def test_another_cost_or_map_is_refused_with_four_lines(name, steps, tmp_path):
    make, what = OTHERS[name]
    problem = wide()
    part = sr.follow(problem.flow, problem.theta0, budget=sr.Budget(steps=steps))
    for start in (part, part.state, io.load(io.save(part.state, tmp_path / "state"))):
        with pytest.raises(sr.ProblemError, match=what) as caught:
            sr.follow(make(), start)
        assert [line.split()[0] for line in str(caught.value).splitlines()] == list(FOUR_LINES)
    sr.follow(_flow(), part)  # the same data in another object is the same flow
    sr.follow(make(), part.theta, until=sr.Until(s=0.1), clock="s")  # a start, not a state


def test_a_run_at_its_goal_belongs_to_its_cost_too():
    problem = wide()
    sol = sr.follow(problem.flow, problem.theta0)
    assert sr.follow(problem.flow, sol).success
    with pytest.raises(sr.ProblemError, match="another cost"):
        sr.follow(_flow(target=wide().y + 1e-6), sol)


def test_another_number_of_outputs_is_another_map():
    small, large = ellipse(), wide()
    part = sr.follow(small.flow, small.theta0, budget=sr.Budget(steps=1))
    state = part.state
    state.theta = large.theta0
    with pytest.raises(sr.ProblemError, match="another map"):
        sr.follow(large.flow, state)


def test_units_are_stored(tmp_path):
    problem = wide()
    sol = sr.follow(problem.flow, problem.theta0)
    found = (
        UnitFinding(UnitClass.DEAD, ("layer 1 unit 2",), 0.97, "largest activation", 1e-9, 1e-6),
        UnitFinding(UnitClass.UNCLASSIFIED, ("layer 1 unit 1", "layer 1 unit 3"), 0.9, "", np.nan, np.nan, 2),
    )
    loaded = solution_of(io.save(replace(sol, units=found), tmp_path / "run"))
    assert [unit.sentence() for unit in loaded.units] == [unit.sentence() for unit in found]
    assert loaded.units[0] == found[0]
    assert isinstance(loaded.units[0].kind, UnitClass)
