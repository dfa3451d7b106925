"""Events and resets of `solve`, against closed forms."""

import casadi as ca
import numpy as np
import pytest
from scipy.special import ellipk

import subriem as sr
from tests.integration.daes import HORIZONTAL, ball, pendulum

FALL = np.sqrt(2 / 9.81)  # from y = 1 to the floor
QUARTER = ellipk(0.5) / np.sqrt(9.81)  # of the pendulum from the horizontal
TIGHT = {"rtol": 1e-11, "atol": 1e-12}


def test_located_to_ten_digits():
    low = sr.Event(lambda t, v: v.x, name="low")
    sol = sr.solve(pendulum, 4.0, HORIZONTAL, events=low, **TIGHT)
    assert sol.t_events["low"] == pytest.approx(QUARTER * np.array([1, 3, 5]), abs=1e-8)
    for event in sol.events:  # on the path itself to roundoff
        assert abs(sol.at(event.clock, "x")) < 1e-13


@pytest.mark.parametrize(("direction", "expected"), [(-1, [1, 5]), (1, [3]), (0, [1, 3, 5])])
def test_direction(direction, expected):
    low = sr.Event(lambda t, v: v.x, direction=direction)
    sol = sr.solve(pendulum, 4.0, HORIZONTAL, events=low)
    assert [event.clock for event in sol.events] == pytest.approx(QUARTER * np.array(expected), abs=1e-5)


def test_terminal_event_ends_at_the_first():
    events = [sr.Event(lambda t, v: v.x, name="low", terminal=True), sr.Event(lambda t, v: v.x - 0.5, name="half")]
    sol = sr.solve(pendulum, 4.0, HORIZONTAL, events=events, t_eval=[0.1, 3.0])
    assert sol.status is sr.Status.EVENT
    assert [event.name for event in sol.events] == ["half", "low"]
    assert sol.t == pytest.approx([0.1, QUARTER], abs=1e-6)


def test_simultaneous_and_at_the_start():
    events = [
        sr.Event(lambda t, v: t - 0.25, name="first"),
        sr.Event(lambda t, v: 0.25 - t, name="second", terminal=True),
        sr.Event(lambda t, v: v.x - 1, name="start"),
        sr.Event(lambda t, v: t, name="clock"),
    ]
    sol = sr.solve(pendulum, 1.0, HORIZONTAL, events=events)
    assert {event.name for event in sol.events} == {"first", "second"}
    assert [event.clock for event in sol.events] == pytest.approx([0.25, 0.25], abs=1e-14)


@pytest.mark.parametrize(("depth", "count"), [(0.0, 0), (1e-10, 2), (-1e-10, 0)])
def test_touching_is_no_event_and_a_dip_is_two(depth, count):
    dip = sr.Event(lambda t, v: (t - 0.3) ** 2 - depth)
    sol = sr.solve(pendulum, 1.0, HORIZONTAL, events=dip)
    assert len(sol.events) == count
    assert [event.clock for event in sol.events] == pytest.approx([0.3 - 1e-5, 0.3 + 1e-5][:count], abs=1e-10)


def test_back_in_time():
    low = sr.Event(lambda t, v: v.x, direction=1)  # along the motion, so backwards it rises where it falls in t
    sol = sr.solve(pendulum, (0.0, -4.0), HORIZONTAL, events=low, **TIGHT)
    assert [event.clock for event in sol.events] == pytest.approx([-3 * QUARTER], abs=1e-8)


def bounces(e, count):
    return FALL * (1 + 2 * np.cumsum(np.append(0, e ** np.arange(1, count))))


def test_bouncing_ball():
    hit = sr.Event(lambda t, v: v.y, name="hit", direction=-1, reset=lambda t, v: {"v": -0.8 * v.v})
    sol = sr.solve(ball, 3.0, {"y": 1.0, "v": 0.0}, events=hit)
    expected = bounces(0.8, 50)
    expected = expected[expected < 3.0]
    assert sol.t_events["hit"] == pytest.approx(expected, abs=1e-10)
    assert sol["y"].min() > -1e-12


def test_bounces_without_end_are_named():
    hit = sr.Event(lambda t, v: v.y, name="hit", reset=lambda t, v: {"v": -0.5 * v.v})  # both directions: no way around
    with pytest.raises(sr.SolveError, match="'hit' happens faster and faster") as caught:
        sr.solve(ball, 2.0, {"y": 1.0, "v": 0.0}, events=hit)
    assert caught.value.solution.t[-1] == pytest.approx(3 * FALL, abs=1e-8)


def test_pendulum_against_a_wall():
    wall = sr.Event(lambda t, v: v.x, name="wall", direction=-1, reset=lambda t, v: {"x'": -v["x'"]})
    sol = sr.solve(pendulum, 4.0, HORIZONTAL, events=wall, **TIGHT)
    assert sol.t_events["wall"] == pytest.approx(QUARTER * np.array([1, 3, 5]), abs=1e-8)
    assert sol["x"].min() > -1e-12
    energy = sol.sample(lambda t, v: (v["x'"] ** 2 + v["y'"] ** 2) / 2 + 9.81 * v.y)
    assert np.ptp(energy) < 1e-8
    t = sol.events[0].clock
    assert sol.at(t, "x'", before=True) == pytest.approx(-sol.at(t, "x'"))
    assert sol.at(t, "y", before=True) == pytest.approx(sol.at(t, "y"), abs=1e-14)


def test_what_a_reset_of_a_speed_leaves_alone():
    # at x = 1/2 the rod turns a change of x' into one of y'; the place stays, x' is what was asked for
    wall = sr.Event(lambda t, v: v.x - 0.5, name="wall", direction=-1, reset=lambda t, v: {"x'": -v["x'"]})
    sol = sr.solve(pendulum, 0.6, HORIZONTAL, events=wall)
    t = sol.events[0].clock
    x, y, dx, dy = (sol.at(t, name) for name in ("x", "y", "x'", "y'"))
    assert (x, y) == (pytest.approx(0.5, abs=1e-13), pytest.approx(-np.sqrt(0.75), abs=1e-13))
    assert dx == pytest.approx(-sol.at(t, "x'", before=True), rel=1e-5)
    assert dy == pytest.approx(-x * dx / y, abs=1e-13)


def test_a_reset_that_contradicts_the_equations():
    cut = sr.Event(lambda t, v: v.x - 0.5, name="cut", reset=lambda t, v: {"x": 3.0, "y": 4.0})
    sol = sr.solve(pendulum, 1.0, HORIZONTAL, events=cut)  # moved back onto the rod by least norm
    x, y = sol.at(sol.events[0].clock, "x"), sol.at(sol.events[0].clock, "y")
    assert (x, y) == (pytest.approx(0.6, abs=1e-5), pytest.approx(0.8, abs=1e-5))


@pytest.mark.parametrize(
    ("answer", "match"),
    [("one", "'bad' is no number"), (ca.DM([1.0, 2.0]), "'bad' is no number"), (float("nan"), "'bad' is NaN")],
)
def test_an_event_that_is_no_number(answer, match):
    with pytest.raises(sr.ProblemError, match=match):
        sr.solve(pendulum, 1.0, HORIZONTAL, events=sr.Event(lambda t, v: answer, name="bad"))


# --- events where something else happens -----------------------------------------------------------------------------


def bounced(t0, impact, direction, inputs=None):
    """Return a body that flies at a wall with speed 1, is thrown back, and is as far away again at the end."""

    @sr.dae(variables="x u", inputs=inputs or {"force": lambda t: 0.0})
    def flight(t, v, d, p):
        return {"way": d(v.x) - v.u, "force": d(v.u) - p.force}

    wall = sr.Event(lambda t, v: v.x, name="wall", direction=direction, reset=lambda t, v: {"u": -v.u})
    return sr.solve(flight, (t0, t0 + 2 * impact), {"x": impact, "u": -1.0}, events=wall)


@pytest.mark.parametrize("direction", [0, -1])
@pytest.mark.parametrize("t0", [0.0, 1e3, 1e6, 1e8])
def test_a_late_reset_happens_once(t0, direction):
    # the clock is known to 1e-8 at t = 1e8: whatever it makes of the sign at the wall, the body does not pass it
    sol = bounced(t0, 0.3, direction)
    assert sol.t_events["wall"] == pytest.approx([t0 + 0.3], abs=1e-14 + 1e-15 * t0)
    assert sol["x"][-1] == pytest.approx(0.3, abs=1e-13 + 4e-16 * t0)


@pytest.mark.parametrize("direction", [0, -1])
@pytest.mark.parametrize("impact", [0.1, 0.3, 1 / 3, 0.7, 1.0])
def test_a_reset_at_a_breakpoint_happens_once(impact, direction):
    sol = bounced(0.0, impact, direction, {"force": {0.0: 0.0, impact: 0.0}})
    assert sol.t_events["wall"] == pytest.approx([impact], abs=1e-13)
    assert sol["x"][-1] == pytest.approx(impact, abs=1e-13)


@sr.dae(variables="x u", inputs={"w": {0.0: -1.0, 1.0: 1.0}})
def switched(t, v, d, p):
    return {"motion": d(v.x) - v.u, "valve": v.u - p.w}


@pytest.mark.parametrize(
    ("span", "direction", "expected"), [(2.0, 0, 1), (2.0, 1, 1), (2.0, -1, 0), ((2.0, 0.0), 1, 0)]
)
def test_a_jump_through_zero_at_a_breakpoint(span, direction, expected):
    sol = sr.solve(switched, span, {"x": 2.0}, events=sr.Event(lambda t, v: v.u, name="sign", direction=direction))
    assert [event.clock for event in sol.events] == [1.0] * expected


def test_a_jump_through_zero_can_end_the_run():
    sol = sr.solve(switched, 2.0, {"x": 2.0}, events=sr.Event(lambda t, v: v.u, name="sign", terminal=True))
    assert sol.status is sr.Status.EVENT
    assert sol.t[-1] == 1.0
    assert sol["x"][-1] == pytest.approx(1.0, abs=1e-13)


@pytest.mark.parametrize("events", [(), sr.Event(lambda t, v: v.x - 0.1)])
def test_breakpoints_a_roundoff_apart(events):
    @sr.dae(variables="x", inputs={"one": {0.0: 1.0, 0.3: 2.0}, "other": {0.0: 0.0, 0.1 + 0.2: 1.0}})
    def twice(t, v, d, p):
        return {"motion": d(v.x) - p.one - p.other}

    sol = sr.solve(twice, 1.0, {"x": 0.0}, events=events)
    assert sol["x"][-1] == pytest.approx(0.3 + 0.7 * 3, abs=1e-13)
