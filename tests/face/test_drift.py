"""The figure of a DAE's solution shows its numbers."""

import numpy as np
import pytest

import subriem as sr
from subriem.plot import drift_figure, solution_figure
from subriem.zoo.dae import get


@pytest.fixture(scope="module")
def sol():
    problem = get("pendulum-1")
    return sr.solve(problem.dae, problem.span, problem.at, events=sr.Event(lambda t, v: v.x, name="bottom"))


def test_curves_are_the_solution_and_its_drift(sol):
    left, right = drift_figure(sol, "x'", "lam").axes
    for line, name in zip(left.lines, ["x'", "lam"], strict=False):
        assert np.array_equal(line.get_ydata(), sol[name])
    assert left.lines[2].get_xdata()[0] == sol.t_events["bottom"][0]
    drawn = right.lines[0].get_ydata()
    assert np.nanmax(drawn) == sol.drift.max()
    assert np.isnan(drawn[sol.drift == 0]).all()
    assert right.lines[1].get_ydata()[0] == sol.residual
    assert right.lines[2].get_ydata()[0] == sol.tolerance


def test_each_variable_has_a_panel_of_its_own(sol):
    panels = solution_figure(sol, "x", "y", "lam", "x'").axes
    assert [panel.get_title(loc="left") for panel in panels] == ["x", "y", "lam", "x'"]
    for panel in panels:
        curve, event = panel.lines
        assert np.array_equal(curve.get_ydata(), sol[panel.get_title(loc="left")])
        assert event.get_xdata()[0] == sol.t_events["bottom"][0]


def test_unknown_names_are_refused(sol):
    with pytest.raises(sr.ProblemError, match="no variable"):
        drift_figure(sol, "speed")
