"""Events: direction, order, ends, and how precisely they are located."""

import itertools

import numpy as np
import pytest

from subriem.core.errors import ProblemError
from subriem.integration.events import Event, EventWatch, as_events


def circle(t):
    return np.array([np.cos(t), np.sin(t)])


def run(events, times, dense=circle):
    """Watch the events over the steps between the times; return the occurrences and the terminal one."""
    times = [float(t) for t in times]
    watch, seen = EventWatch(events, times[0], dense(times[0])), []
    for before, after in itertools.pairwise(times):
        found, terminal = watch.step(before, after, dense(after), dense)
        seen += found
        if terminal is not None:
            return seen, terminal
    return seen, None


STEPS = np.arange(0.1, 7.0, 0.7)


@pytest.mark.parametrize(
    ("direction", "expected"), [(0, [np.pi / 2, 3 * np.pi / 2]), (-1, [np.pi / 2]), (1, [3 * np.pi / 2])]
)
def test_direction_and_location(direction, expected):
    found, terminal = run([Event(lambda t, y: y[0], name="x", direction=direction)], STEPS)
    assert terminal is None
    np.testing.assert_allclose([e.clock for e in found], expected, atol=1e-12)
    for event in found:
        assert event.name == "x"
        np.testing.assert_array_equal(event.y, circle(event.clock))


@pytest.mark.parametrize("offset", [-0.3, 1e-9, 0.5, 0.99])
def test_location_is_precise_for_steep_and_flat_functions(offset):
    for function in (lambda t, y: 1e6 * (y[0] - offset), lambda t, y: np.tanh(50 * (y[0] - offset))):
        found, _ = run([Event(function)], [0.0, 1.1, 2.2, 3.1])
        assert [e.clock for e in found] == pytest.approx([np.arccos(offset)], abs=1e-12)


def test_terminal_event_cuts_off_what_comes_later_in_the_step():
    events = [
        Event(lambda t, y: t - 0.8, name="late"),
        Event(lambda t, y: t - 0.5, name="end", terminal=True),
        Event(lambda t, y: t - 0.2, name="early"),
        Event(lambda t, y: t - 0.6, name="second end", terminal=True),
    ]
    found, terminal = run(events, [0.0, 1.0, 2.0])
    assert [e.name for e in found] == ["early"]
    assert (terminal.name, terminal.terminal) == ("end", True)
    assert terminal.clock == pytest.approx(0.5, abs=1e-13)


@pytest.mark.parametrize("order", [1, -1])
def test_an_event_at_the_same_moment_as_the_terminal_one_is_kept(order):
    events = [Event(lambda t, y: t - 0.5, name="end", terminal=True), Event(lambda t, y: t - 0.5, name="other")]
    found, terminal = run(events[::order], [0.0, 1.0])
    assert [e.name for e in found] == ["other"]
    assert terminal.name == "end"


def test_events_of_one_step_come_in_order():
    events = [Event(lambda t, y, c=c: t - c, name=str(c)) for c in (0.9, 0.1, 0.5)]
    assert [e.name for e in run(events, [0.0, 1.0])[0]] == ["0.1", "0.5", "0.9"]


def test_a_zero_at_the_start_does_not_count():
    found, terminal = run([Event(lambda t, y: t, terminal=True)], [0.0, 0.5, 1.0])
    assert (found, terminal) == ([], None)
    found, _ = run([Event(lambda t, y: np.sin(t))], [0.0, 1.0, 2.0, 3.0, 4.0])  # the next one does
    assert [e.clock for e in found] == pytest.approx([np.pi], abs=1e-12)


def test_an_event_exactly_at_the_end_of_a_step_counts_once():
    found, _ = run([Event(lambda t, y: t - 0.5)], [0.0, 0.5, 1.0])
    assert [e.clock for e in found] == [0.5]
    found, terminal = run([Event(lambda t, y: t - 1.0, terminal=True)], [0.0, 0.5, 1.0])
    assert terminal.clock == 1.0
    np.testing.assert_array_equal(terminal.y, circle(1.0))


def test_a_touched_zero_within_a_step_is_not_seen_and_one_at_its_end_is():
    assert run([Event(lambda t, y: (t - 0.5) ** 2)], [0.0, 1.0])[0] == []
    assert [e.clock for e in run([Event(lambda t, y: (t - 0.5) ** 2)], [0.0, 0.5, 1.0])[0]] == [0.5]


def test_an_even_number_of_zeros_in_one_step_is_not_seen_an_odd_one_once():
    two, three = Event(lambda t, y: (t - 0.3) * (t - 0.6)), Event(lambda t, y: (t - 0.3) * (t - 0.6) * (t - 0.9))
    assert run([two], [0.0, 1.0])[0] == []
    assert len(run([two], [0.0, 0.5, 1.0])[0]) == 2
    assert len(run([three], [0.0, 1.0])[0]) == 1


def test_nan_is_no_crossing():
    def function(t, y):
        return np.nan if 0.4 < t < 0.6 else np.cos(np.pi * t)

    found, _ = run([Event(function)], [0.0, 0.5, 1.0, 2.0])
    assert [e.clock for e in found] == pytest.approx([1.5], abs=1e-12)


def test_a_zero_within_the_roundoff_of_the_interpolant():
    """The end of the step is projected: it has crossed, the interpolant has not."""
    watch = EventWatch([Event(lambda t, y: y[0])], 0.0, np.array([1.0]))
    found, _ = watch.step(0.0, 1.0, np.array([-1e-16]), lambda t: np.array([1 - t + 1e-16]))
    assert [e.clock for e in found] == [1.0]
    np.testing.assert_array_equal(found[0].y, [-1e-16])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Event("x"), "not callable"),
        (lambda: Event(lambda t, y: t, direction=2), "unknown direction"),
        (lambda: Event(lambda t, y: t, direction="up"), "unknown direction"),
        (lambda: as_events([Event(lambda t, y: t), lambda t, y: t]), "something else"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ProblemError, match=words):
        call()


def test_as_events():
    event = Event(lambda t, y: t)
    assert as_events(event) == as_events([event]) == (event,)
    assert as_events(()) == ()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"function": lambda v: v}, "two arguments"),
        ({"function": lambda t, y: 1.0, "reset": lambda t: {}}, "two arguments"),
        ({"function": lambda t, y: 1.0, "terminal": "yes"}, "bool"),
    ],
)
def test_events_that_cannot_be_called_are_refused(arguments, what):
    with pytest.raises(ProblemError, match=what):
        Event(**arguments)


def test_what_python_knows_no_signature_of_is_taken():
    assert Event(lambda *values: 1.0).crossed(1.0, -1.0)
    assert Event(max).direction == 0
