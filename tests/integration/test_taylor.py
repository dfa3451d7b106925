"""The Taylor integrator: closed forms to roundoff, events, ends that have names, batches, and no state between runs."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import casadi as ca
import mpmath
import numpy as np
import pytest

from subriem.core.budget import Budget, CancelToken
from subriem.core.errors import ProblemError
from subriem.core.status import Status
from subriem.integration import taylor
from subriem.integration.compilation import compile_path
from subriem.integration.events import Event
from subriem.integration.taylor import Taylor
from subriem.reduction.elimination import solve_affine, substitute_explicit
from tests.reduction.mechanics import GRAVITY, car_axis, chain


def field(rates, m, q=0):
    """Return Taylor and its symbols (t, z, p) for rates(t, z, p) -> list."""
    symbols = ca.SX.sym("t"), ca.SX.sym("z", m), ca.SX.sym("p", q)
    return Taylor(ca.Function("f", [*symbols], [ca.vertcat(*rates(*symbols))])), symbols


def oscillator():
    return field(lambda t, z, p: [z[1], -z[0]], 2)


def mechanical(system):
    """Return Taylor for a constrained system, and lam(t, z), by elimination."""
    form = substitute_explicit(system.g, system.a)
    a = form.complete(solve_affine(form.equations, form.unknowns, system.jacobian_at_start))
    explicit, multipliers = system.explicit(a)
    return Taylor(explicit), multipliers


# --- closed forms --------------------------------------------------------------------------------------------

CLOSED = {
    "oscillator": (lambda t, z, p: [z[1], -z[0]], [1.0, 0.0], [], lambda t: [np.cos(t), -np.sin(t)]),
    "logistic": (lambda t, z, p: [z[0] * (1 - z[0])], [0.1], [], lambda t: [1 / (1 + 9 * np.exp(-t))]),
    "forced": (
        lambda t, z, p: [-p[0] * z[0] + p[1] * ca.cos(t)],
        [0.5],
        [2.0, 5.0],
        lambda t: [2 * np.cos(t) + np.sin(t) - 1.5 * np.exp(-2 * t)],
    ),
    "hyperbola": (lambda t, z, p: [z[0] ** 2], [1 / 11], [], lambda t: [1 / (11 - t)]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_to_roundoff_also_between_the_steps(name):
    rates, z0, p, exact = CLOSED[name]
    equation, _ = field(rates, len(z0), len(p))
    run = equation.run(0.0, 10.0, z0, p)
    assert (run.status, run.t[-1]) == (Status.SUCCESS, 10.0)
    times = np.random.default_rng(0).uniform(0, 10, 50)
    for t, z in [(run.t, run.z), (times, run(times))]:
        np.testing.assert_allclose(z, np.transpose(exact(t)), rtol=1e-14, atol=1e-14)
    assert run.stats["defect"] < 1e-13
    # the same path without polynomials, and at given times
    end = equation.run(0.0, 10.0, z0, p, dense=False)
    np.testing.assert_allclose(end.z, run.z[[0, -1]], rtol=1e-14)
    grid = np.linspace(0, 10, 7)
    sampled = equation.run(0.0, 10.0, z0, p, dense=False, t_eval=grid)
    np.testing.assert_array_equal(sampled.t, grid)
    np.testing.assert_allclose(sampled.z, run(grid), rtol=1e-15, atol=1e-15)
    assert sampled.segments == ()


def test_the_tolerance_is_met_and_decides_the_order():
    equation, _ = oscillator()
    errors, orders = [], []
    for rtol in (1e-6, 1e-9, 1e-12):
        run = equation.run(0.0, 20.0, [1.0, 0.0], rtol=rtol)
        errors.append(np.abs(run.z[:, 0] - np.cos(run.t)).max() / rtol)
        orders.append(run.stats["order"])
    assert max(errors) < 10
    assert orders == sorted(set(orders))


def test_kepler_keeps_energy_and_closes():
    def gravity(t, z, p):
        cube = (z[0] ** 2 + z[1] ** 2) ** 1.5
        return [z[2], z[3], -z[0] / cube, -z[1] / cube]

    e = 0.6
    equation, _ = field(gravity, 4)
    run = equation.run(0.0, 20 * np.pi, [1 - e, 0, 0, np.sqrt((1 + e) / (1 - e))])
    energy = (run.z[:, 2] ** 2 + run.z[:, 3] ** 2) / 2 - 1 / np.hypot(run.z[:, 0], run.z[:, 1])
    assert np.abs(energy + 0.5).max() < 1e-14
    assert np.abs(run.z[-1] - run.z[0]).max() < 1e-12


def test_pendulum_from_its_equations_of_index_three():
    system = chain(1)
    equation, multiplier = mechanical(system)
    # sin(theta/2) = k cd(sqrt(g) t | m = k^2), k = sin(pi/4), theta measured from the bottom
    with mpmath.workdps(30):
        half = mpmath.ellipfun("cd", mpmath.sqrt(GRAVITY) * 10, m=mpmath.mpf(1) / 2) * mpmath.sqrt(0.5)
        x, y = 2 * half * mpmath.sqrt(1 - half**2), 2 * half**2 - 1
        exact = [float(value) for value in (x, y, -3 * GRAVITY * y)]
    run = equation.run(0.0, 10.0, system.start)
    found = [*run.z[-1, :2], float(multiplier(10.0, run.z[-1]))]
    np.testing.assert_allclose(found, exact, rtol=4e-12)
    assert np.abs(run.z[:, 0] ** 2 + run.z[:, 1] ** 2 - 1).max() < 1e-12
    assert abs(float(system.energy(run.z[-1]))) < 1e-12


@pytest.mark.parametrize("n", [2, 5, 10, 20])
def test_chains_agree_at_two_tolerances_and_keep_energy_and_rods(n):
    system = chain(n)
    equation, _ = mechanical(system)
    run = equation.run(0.0, 1.0, system.start)
    assert np.abs(run.z[-1] - equation.run(0.0, 1.0, system.start, rtol=1e-13).z[-1]).max() < 1e-11
    assert abs(float(system.energy(run.z[-1]) - system.energy(system.start))) < 1e-11
    ends = np.vstack([np.zeros(2), run.z[-1, : 2 * n].reshape(2, n).T])
    assert np.abs(np.hypot(*np.diff(ends, axis=0).T) - 1).max() < 1e-12


def test_car_axis_to_eleven_digits():
    # end values of the test set in quadruple precision (GAMD; R package deTestSet); the last two are multipliers
    positions = [0.04934557842754028, 0.49698946023017115, 1.0417425248854215, 0.37391102726536124]
    velocities = [-0.07705836840409723, 0.007446866587237785, 0.017556815753723223, 0.7703410437792519]
    reference = np.array([*positions, *velocities, -0.004736886590848933, -0.0011046803312573436])
    equation, multipliers = mechanical(car_axis())
    run = equation.run(0.0, 3.0, car_axis().start)
    found = np.concatenate([run.z[-1], multipliers(3.0, run.z[-1]).full().ravel()])
    digits = -np.log10(np.abs(found / reference - 1))
    assert digits.min() > 9  # of the smallest velocity; the reference has no more
    assert np.median(digits) > 11


# --- branches ------------------------------------------------------------------------------------------------


def test_a_kink_is_met_exactly():
    # x'' = -sign x: arcs of parabolas, period 4 sqrt(2)
    equation, _ = field(lambda t, z, p: [z[1], -ca.sign(z[0])], 2)
    period = 4 * np.sqrt(2)
    run = equation.run(0.0, 2 * period, [1.0, 0.0])
    assert run.status is Status.SUCCESS
    np.testing.assert_allclose(run.z[-1], [1, 0], atol=1e-14)
    assert run(period / 4)[0] == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(run(0.5), [1 - 0.125, -0.5], rtol=1e-15)
    assert run.stats["steps"] < 40


def test_branches_that_change_at_the_same_time_all_do():
    # the same motion; at each zero three arguments change sign within roundoff of each other
    equation, _ = field(lambda t, z, p: [z[1], -(ca.sign(z[0]) + ca.sign(3 * z[0]) + ca.sign(z[0] / 7)) / 3], 2)
    run = equation.run(0.0, 40 * np.sqrt(2), [1.0, 0.0])
    assert run.status is Status.SUCCESS
    np.testing.assert_allclose(run.z[-1], [1, 0], atol=1e-13)


def test_branches_of_time_of_parameters_and_inside_each_other():
    equation, _ = field(lambda t, z, p: [ca.if_else(t < 1, p[0], ca.fabs(ca.fabs(z[0] - 3) - p[1]))], 1, 2)
    # z = 2 t up to (1, 2); then |z - 3| = 3 - z and z' = z + 2 up to z = 3; then z' = 5 - (z - 3) = 8 - z
    run = equation.run(0.0, 3.0, [0.0], [2.0, 5.0])
    kink = 1 + np.log(5 / 4)
    assert run(1.0)[0] == pytest.approx(2, abs=1e-14)
    assert run(kink)[0] == pytest.approx(3, abs=1e-14)
    assert run.z[-1, 0] == pytest.approx(8 - 5 * np.exp(-(3 - kink)), abs=1e-14)


# --- events --------------------------------------------------------------------------------------------------


def scalar(symbols, expression):
    return ca.Function("e", [*symbols], [expression])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("direction", "expected"), [(0, [0.5, 1.5, 2.5]), (-1, [0.5, 2.5]), (1, [1.5])])
def test_events_are_located_in_their_direction(compiled, direction, expected):
    equation, symbols = oscillator()
    function = scalar(symbols, symbols[1][0]) if compiled else lambda t, z: z[0]
    run = equation.run(0.0, 9.0, [1.0, 0.0], events=Event(function, name="zero", direction=direction))
    np.testing.assert_allclose([e.clock / np.pi for e in run.events], expected, rtol=1e-14)
    for event in run.events:
        assert event.name == "zero"
        np.testing.assert_allclose(event.y, [0, -np.sin(event.clock)], atol=1e-14)
    np.testing.assert_allclose(run.z[-1], [np.cos(9), -np.sin(9)], atol=1e-14)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_terminal_event_ends_the_run_and_what_comes_later_is_not_seen(compiled):
    equation, symbols = oscillator()

    def event(level, **options):
        z = symbols[1]
        return Event(scalar(symbols, z[1] + level) if compiled else lambda t, z: z[1] + level, **options)

    events = [event(0.5, name="early"), event(0.8, name="end", terminal=True), event(0.81, name="late")]
    run = equation.run(0.0, 9.0, [1.0, 0.0], events=events, t_eval=[0.0, 0.4, 5.0])
    assert run.status is Status.EVENT
    assert [e.name for e in run.events] == ["early", "end"]
    np.testing.assert_allclose([e.clock for e in run.events], np.arcsin([0.5, 0.8]), atol=1e-15 if compiled else 1e-13)
    np.testing.assert_allclose(run.t, [0, 0.4, np.arcsin(0.8)])
    np.testing.assert_allclose(run.z[-1], [0.6, -0.8], rtol=1e-14)
    assert "end at t = 0.927295218002" in run.message


def test_compiled_and_python_events_of_one_step_are_in_order():
    equation, symbols = field(lambda t, z, p: [1 + 0 * z[0]], 1)
    run = equation.run(
        0.0,
        1.0,
        [0.0],
        events=[
            Event(lambda t, z: z[0] - 0.3, name="python"),
            Event(scalar(symbols, symbols[1] - 0.6), name="compiled", terminal=True),
            Event(lambda t, z: z[0] - 0.7, name="too late", terminal=True),
        ],
    )
    assert [(e.name, round(e.clock, 12)) for e in run.events] == [("python", 0.3), ("compiled", 0.6)]
    run = equation.run(
        0.0,
        1.0,
        [0.0],
        events=[
            Event(scalar(symbols, symbols[1] - 0.2), name="before"),
            Event(lambda t, z: z[0] - 0.5, name="python", terminal=True),
            Event(scalar(symbols, symbols[1] - 0.6), name="after"),
        ],
    )
    assert [(e.name, round(e.clock, 12)) for e in run.events] == [("before", 0.2), ("python", 0.5)]


def test_a_zero_at_the_start_does_not_count_and_coinciding_events_are_both_seen():
    equation, symbols = oscillator()
    x, v = symbols[1][0], symbols[1][1]
    named = [("start", x - 1), ("simple start", v), ("a", x), ("b", 2 * x)]
    events = [Event(scalar(symbols, f), name=name, terminal=name == "start") for name, f in named]
    run = equation.run(0.0, 3.0, [1.0, 0.0], events=events)
    assert run.status is Status.SUCCESS
    assert [e.name for e in run.events] == ["a", "b"]
    assert run.events[0].clock == pytest.approx(run.events[1].clock, abs=1e-15)
    assert [e.name for e in equation.run(0.0, 3.0, [1.0, 0.0], events=events[1:]).events] == ["a", "b"]


# --- ends ----------------------------------------------------------------------------------------------------

ENDS = {
    "x' = x^2": (lambda t, z, p: [z[0] ** 2], 1.0, Status.ESCAPED, 1.0),
    "x' = x^3": (lambda t, z, p: [z[0] ** 3], 1.0, Status.ESCAPED, 0.5),
    "x' = exp x": (lambda t, z, p: [ca.exp(z[0])], 0.0, Status.ESCAPED, 1.0),
    "x' = 1/(t - 1/2)": (lambda t, z, p: [1 / (t - 0.5)], 0.0, Status.ESCAPED, 0.5),
    "x' = -1/x": (lambda t, z, p: [-1 / z[0]], 1.0, Status.STEP_TOO_SMALL, 0.5),
    "x' = -1/x^2": (lambda t, z, p: [-1 / z[0] ** 2], 1.0, Status.STEP_TOO_SMALL, 1 / 3),
    # the series of (1 - t/2)^2 ends, so one step goes through the zero to the other root
    "x' = -sqrt x": (lambda t, z, p: [-ca.sqrt(z[0])], 1.0, Status.NOT_CONVERGED, 0.0),
    "x' = sqrt(-1)": (lambda t, z, p: [ca.sqrt(z[0])], -1.0, Status.NOT_FINITE, 0.0),
}


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("name", ENDS)
def test_singular_ends_have_names_and_keep_the_path_before(name, dense):
    rates, start, status, end = ENDS[name]
    equation, _ = field(rates, 1)
    run = equation.run(0.0, 10.0, [start], dense=dense)
    assert run.status is status
    assert run.message.startswith(status.value)
    assert run.t[-1] == pytest.approx(end, abs=1e-11)
    assert np.isfinite(run.z).all()
    assert run.stats["steps"] < 300
    if name == "x' = x^2" and dense:
        np.testing.assert_allclose(run.z[:100, 0] * (1 - run.t[:100]), 1, rtol=1e-8)


def test_budgets_and_cancellation_keep_what_was_found():
    equation, _ = oscillator()
    for dense in (True, False):
        run = equation.run(0.0, 1e6, [1.0, 0.0], dense=dense, budget=Budget(steps=150))
        assert (run.status, run.stats["steps"]) == (Status.BUDGET_SPENT, 150)
        assert run.t.size == (151 if dense else 2)
        assert run.z[-1, 0] == pytest.approx(np.cos(run.t[-1]), abs=1e-12)
    assert equation.run(0.0, 1e9, [1.0, 0.0], dense=False, budget=Budget(seconds=0.05)).status is Status.BUDGET_SPENT
    token = CancelToken()

    def stop(t, z):
        if t > 3:
            token.cancel("enough")
        return z

    run = equation.run(0.0, 1e6, [1.0, 0.0], project=stop, cancel=token)
    assert run.status is Status.CANCELLED
    assert "enough" in run.message
    assert 3 < run.t[-1] < 5


def test_a_path_that_slides_along_a_switch_ends():
    equation, _ = field(lambda t, z, p: [-ca.sign(z[0])], 1)
    run = equation.run(0.0, 10.0, [1.0])
    assert run.status is Status.NOT_CONVERGED
    assert run.t[-1] == pytest.approx(1.0)


def test_projection_acts_after_each_step_and_dense_output_meets_it():
    equation, _ = field(lambda t, z, p: [z[1], -z[0] * (1 + 1e-6 * z[1])], 2)  # leaves the circle slowly
    run = equation.run(0.0, 20.0, [1.0, 0.0], project=lambda t, z: z / np.linalg.norm(z))
    assert np.abs(np.linalg.norm(run.z, axis=1) - 1).max() < 1e-15
    for segment, end in zip(run.segments, run.z[1:], strict=True):
        np.testing.assert_allclose(segment(segment.t + segment.h), end, atol=1e-15)


# --- batches, threads, processes -----------------------------------------------------------------------------


def test_a_batch_gives_what_single_runs_give():
    equation, _ = field(lambda t, z, p: [z[1], -p[0] * ca.sin(z[0])], 2, 1)
    rng = np.random.default_rng(0)
    z0, p = rng.normal(size=(11, 2)), rng.uniform(1, 2, size=(11, 1))
    batch = equation.run_batch(0.0, 5.0, z0, p)
    assert batch.status == (Status.SUCCESS,) * 11
    single = [equation.run(0.0, 5.0, z, q, dense=False).z[-1] for z, q in zip(z0, p, strict=True)]
    np.testing.assert_allclose(batch.z, single, rtol=1e-12, atol=1e-13)
    assert batch.stats["alone"] == 0
    shared = equation.run_batch(0.0, 5.0, z0, p[0])
    np.testing.assert_allclose(shared.z[0], batch.z[0], rtol=1e-14)


def test_a_trajectory_that_escapes_takes_no_other_with_it():
    equation, _ = field(lambda t, z, p: [z[0] ** 2], 1)
    z0 = np.array([[-1.0], [0.5], [0.1], [2.0], [0.2], [-3.0]])
    batch = equation.run_batch(0.0, 1.0, z0)
    assert [s is Status.SUCCESS for s in batch.status] == [True, True, True, False, True, True]
    assert batch.status[3] is Status.ESCAPED
    np.testing.assert_allclose(batch.t, [1, 1, 1, 0.5, 1, 1], rtol=1e-12)
    np.testing.assert_allclose(np.delete(batch.z / (z0 / (1 - z0)), 3), 1, rtol=1e-14)


def test_batches_spend_their_budget():
    equation, _ = oscillator()
    batch = equation.run_batch(0.0, 1e4, np.eye(2), budget=Budget(steps=10))
    assert batch.status == (Status.BUDGET_SPENT,) * 2
    assert (batch.stats["steps"] == 10).all()


def test_threads_share_a_compilation_and_nothing_else():
    equation, symbols = field(lambda t, z, p: [z[1], -p[0] * z[0]], 2, 1)
    event = Event(scalar(symbols, symbols[1][0]))

    def solve(k):
        return equation.run(0.0, 20.0, [1.0, 0.0], [1.0 + k], events=event, project=lambda t, z: z)

    with ThreadPoolExecutor(4) as pool:
        for k, run in enumerate(pool.map(solve, range(12))):
            assert run.z[-1, 0] == pytest.approx(np.cos(np.sqrt(1 + k) * 20), abs=1e-12)
            assert len(run.events) == int(np.sqrt(1 + k) * 20 / np.pi + 0.5)
        starts = np.tile([1.0, 0.0], (400, 1))
        batches = pool.map(lambda k: equation.run_batch(0.0, 20.0, starts, [1.0 + k]), range(6))
        for k, batch in enumerate(batches):
            np.testing.assert_allclose(batch.z[:, 0], np.cos(np.sqrt(1 + k) * 20), atol=1e-12)


def test_it_pickles_and_compiles_once(caplog, monkeypatch):
    equation, _ = field(lambda t, z, p: [-3.25 * z[0]], 1)
    monkeypatch.setattr(taylor, "SLOW_COMPILATION", 1e-3)
    told = []
    with caplog.at_level(logging.INFO, logger="subriem"):
        first = equation.run(0.0, 1.0, [1.0], progress=lambda fraction, text: told.append((fraction, text)))
    assert "compiled f (" in caplog.text
    assert told[0][1].startswith("compiling")
    assert told[-1][0] == 1.0
    misses = compile_path.cache_info().misses
    again = pickle.loads(pickle.dumps(equation)).run(0.0, 1.0, [1.0])
    assert compile_path.cache_info().misses == misses
    assert first.stats["compile_seconds"] > 1e-3 > again.stats["compile_seconds"]
    np.testing.assert_array_equal(again.z, first.z)


# --- refusals ------------------------------------------------------------------------------------------------


def test_refusals():
    t, z, p = ca.SX.sym("t"), ca.SX.sym("z", 2), ca.SX.sym("p", 0)
    for inputs, rates in [([t, z], z), ([t, z, p], z[0]), ([z, t, p], z), ([t, z, p], ca.vertcat(z, z))]:
        with pytest.raises(ProblemError, match="is not a right-hand side"):
            Taylor(ca.Function("f", inputs, [rates]))
    equation, symbols = oscillator()
    for arguments, options, match in [
        ((0.0, -1.0, [1, 0]), {}, "end lies before"),
        ((0.0, 1.0, [1, 0, 0]), {}, "z0 has the wrong length"),
        ((0.0, 1.0, [1, np.nan]), {}, "not finite"),
        ((0.0, 1.0, [1, 0], [3.0]), {}, "p has the wrong length"),
        ((0.0, 1.0, [1, 0]), {"rtol": 0.0}, "rtol is not a tolerance"),
        ((0.0, 1.0, [1, 0]), {"t_eval": [0.5, 0.2]}, "not increasing"),
        ((0.0, 1.0, [1, 0]), {"t_eval": [0.5, 1.2]}, "not increasing in the interval"),
        ((0.0, 1.0, [1, 0]), {"events": Event(ca.Function("e", [z], [z[0]]))}, "has other inputs"),
    ]:
        with pytest.raises(ProblemError, match=match):
            equation.run(*arguments, **options)
    with pytest.raises(ProblemError, match="not smooth"):
        equation.run(0.0, 1.0, [1, 0], events=Event(scalar(symbols, ca.fabs(symbols[1][0]) - 0.5)))
    with pytest.raises(ProblemError, match="not smooth"):
        field(lambda t, z, p: [ca.fabs(z[0])], 1)[0].run_batch(0.0, 1.0, [[1.0]])
    with pytest.raises(ProblemError, match="kept no dense output"):
        equation.run(0.0, 1.0, [1, 0], dense=False)(0.5)
    with pytest.raises(ProblemError, match=r"z0 has the wrong shape"):
        equation.run_batch(0.0, 1.0, [[1.0]])


def test_an_empty_interval_is_done_at_once():
    equation, _ = oscillator()
    run = equation.run(1.0, 1.0, [1.0, 0.0], t_eval=[1.0])
    assert (run.status, run.stats["steps"]) == (Status.SUCCESS, 0)
    np.testing.assert_array_equal(run.z, [[1, 0]])
