"""`follow` as a tool: goals, clocks, events, quadratures, budgets, resuming, named ends, and errors at the door."""

import os
import signal
import threading

import numpy as np
import pytest

import subriem as sr
from subriem.core.errors import SolveError
from subriem.flows.field import ClockField
from tests.flows.problems import repeated

FOUR_LINES = ("What", "Got", "Expected", "Try")


def small(seed: int = 0, samples: int = 4) -> tuple[sr.flows.Flow, np.ndarray]:
    """A tanh network with K = 77, n = 8 and random data."""
    rng = np.random.default_rng(seed)
    net = sr.flows.network([3, 12, 2], rng.standard_normal((samples, 3)))
    return sr.flows.adapted(net, sr.flows.squared_error(rng.standard_normal((samples, 2)))), net.initial(seed=seed)


def fold(target: float = -1.0) -> sr.flows.Flow:
    source = sr.numpy_map(lambda t: t**2, lambda t: np.diag(2 * t), 1, 1)
    return sr.flows.adapted(source, sr.flows.squared_error([target]))


# -- goals and clocks ------------------------------------------------------------------------------------------


def test_both_clocks_reach_the_same_point_and_say_where_they_are() -> None:
    flow, theta0 = small()
    by_t = sr.follow(flow, theta0, until=sr.Until(t=0.9), rtol=1e-10)
    by_s = sr.follow(flow, theta0, until=sr.Until(t=0.9), clock="s", rtol=1e-10)
    assert by_t.clock == "t"
    assert by_s.clock == "s"
    assert by_t.s[-1] == pytest.approx(-4 * np.log(0.1), rel=1e-14)
    assert by_s.t[-1] == pytest.approx(0.9, rel=1e-14)
    assert np.linalg.norm(by_t.theta - by_s.theta) < 1e-8 * by_t.path_length
    middle = 4 * np.log(2.0)
    assert np.linalg.norm(by_t.at(s=middle) - by_s.at(t=0.5)) < 1e-8
    assert np.linalg.norm(by_t.at(t=0.5) - by_t(0.5)) == 0.0


def test_cost_goal_in_the_s_clock_is_located() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, clock="s", until=sr.Until(cost=1e-3), project=False, rtol=1e-10)
    assert sol.status is sr.Status.SUCCESS
    assert sol.cost_ratio == pytest.approx(1e-3, rel=1e-8)
    assert sol.s[-1] == pytest.approx(2 * np.log(1e3), rel=1e-8)  # (N/2) ln(C0/eps), N = 4


def test_cost_goal_in_the_t_clock_closes_the_orbit() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0)
    assert sol.t[-1] == 1.0
    assert np.isinf(sol.s[-1])
    assert sol.cost_ratio < 1e-28
    assert np.array_equal(sol["x"][-1], flow.map.value(sol.theta))
    assert sol["cost"][-1] == flow.cost.value(flow.map.value(sol.theta))


def test_a_start_that_meets_the_goal_ends_at_once() -> None:
    flow, theta0 = small()
    end = sr.follow(flow, theta0).theta
    again = sr.follow(sr.flows.adapted(flow.map, sr.flows.squared_error(flow.map.value(end).reshape(4, 2))), end)
    assert again.status is sr.Status.SUCCESS
    assert np.linalg.norm(again.theta - end) < 1e-12


def test_until_zero_returns_the_start() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, until=sr.Until(s=0.0))
    assert sol.status is sr.Status.SUCCESS
    assert np.array_equal(sol.theta, theta0)
    assert len(sol.t) == 1
    assert np.array_equal(sol(0.0), theta0)


def test_standard_flow_decreases_and_keeps_its_own_clock() -> None:
    flow, theta0 = small()
    sol = sr.follow(sr.flows.standard(flow.map, flow.cost), theta0, until=sr.Until(s=5.0), rtol=1e-9)
    assert sol.clock == "s"
    assert sol.regime is None
    assert sol.line is None
    assert (np.diff(sol["cost"]) < 0).all()
    reference = np.asarray(theta0, dtype=float)
    from scipy.integrate import solve_ivp

    other = solve_ivp(lambda _, y: sr.flows.standard(flow.map, flow.cost).velocity(y), (0, 5.0), reference,
                      method="Radau", rtol=1e-10, atol=1e-12)  # fmt: skip
    assert np.linalg.norm(sol.theta - other.y[:, -1]) < 1e-7


def test_equilibrium_of_an_underparametrized_flow_is_named() -> None:
    rng = np.random.default_rng(3)
    design = rng.standard_normal((10, 3))
    source = sr.numpy_map(lambda t: design @ t, lambda t: design, 3, 10)
    y = rng.standard_normal(10)
    flow = sr.flows.adapted(source, sr.flows.squared_error(y))
    sol = sr.follow(flow, np.zeros(3))
    best = np.linalg.solve(design.T @ design, design.T @ y)
    assert sol.status is sr.Status.EVENT
    assert "equilibrium" in sol.message
    assert np.linalg.norm(sol.theta - best) < 1e-7
    assert not sol.checks[0].passed  # the cost goal itself was not met, and the table says so


# -- dense output, t_eval, events, quadratures -----------------------------------------------------------------


def test_dense_output_meets_the_accepted_points_and_a_fine_run() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, rtol=1e-9)
    fine = sr.follow(flow, theta0, rtol=1e-13, project=False)
    assert np.array_equal(sol(sol.grid), sol.y)
    grid = np.linspace(0, 1, 101)
    distance = np.linalg.norm(sol(grid) - fine(grid), axis=1).max()
    assert distance < 1e-6 * sol.path_length
    assert sol(grid).shape == (101, flow.map.n_in)
    assert sol(0.3).shape == (flow.map.n_in,)
    with pytest.raises(sr.ProblemError, match="not known at this time"):
        sol(1.1)


def test_t_eval_gives_rows_where_they_were_asked_for() -> None:
    flow, theta0 = small()
    grid = np.linspace(0, 1, 7)
    sol = sr.follow(flow, theta0, t_eval=grid)
    assert np.array_equal(sol.t, grid)
    assert sol.y.shape == (7, flow.map.n_in)
    line = sol.line.start + np.outer(grid, sol.line.end - sol.line.start)
    assert np.abs(sol["x"] - line).max() < 1e-5
    assert np.allclose(sol["cost"], sol.cost0 * (1 - grid) ** 2, atol=1e-6)
    with pytest.raises(sr.ProblemError, match="increasing"):
        sr.follow(flow, theta0, t_eval=[0.5, 0.2])


def test_events_are_located_and_may_end_the_run() -> None:
    flow, theta0 = small()
    level = 0.25 * flow.cost.value(flow.map.value(theta0))
    halfway = sr.Event(
        lambda t, th: flow.cost.value(flow.map.value(th)) - level, "halfway", direction=-1, terminal=True
    )
    sol = sr.follow(flow, theta0, events=halfway, project=False, rtol=1e-10)
    assert sol.status is sr.Status.EVENT
    assert sol.success
    assert sol.t[-1] == pytest.approx(0.5, abs=1e-8)  # C = C0 (1-t)^2
    assert sol["output_length"][-1] == pytest.approx(0.5 * sol.line.chord, rel=1e-8)  # quadratures stop there too
    rising = sr.Event(lambda t, th: flow.cost.value(flow.map.value(th)) - level, "never", direction=1)
    passing = sr.Event(lambda t, th: t - 0.3, "clock")
    sol = sr.follow(flow, theta0, events=[rising, passing])
    assert list(sol.t_events) == ["clock"]
    assert sol.t_events["clock"] == pytest.approx([0.3], abs=1e-12)


def test_user_quadratures_are_integrals_over_the_clock() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, quadratures={"one": lambda p: 1.0, "cost_integral": lambda p: p.cost}, rtol=1e-10)
    assert sol["one"][-1] == pytest.approx(1.0, rel=1e-12)
    assert sol["cost_integral"][-1] == pytest.approx(sol.cost0 / 3, rel=1e-8)  # ∫ (1-t)^2 dt
    assert sol["output_length"][-1] == pytest.approx(sol.line.chord, rel=1e-9)
    with pytest.raises(sr.ProblemError, match="name is taken"):
        sr.follow(flow, theta0, quadratures={"length": lambda p: 1.0})


def test_verify_reports_the_distance_to_a_tighter_run() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, rtol=1e-4, verify=True)
    truth = sr.follow(flow, theta0, rtol=1e-13, project=False)
    actual = np.linalg.norm(sol.theta - truth.theta)
    assert sol.reference_error == pytest.approx(actual, rel=0.2)


# -- budgets, cancelling, resuming -----------------------------------------------------------------------------


def test_a_resumed_run_is_the_run_itself(tmp_path) -> None:
    flow, theta0 = small()
    for clock in ("t", "s"):
        goal = sr.Until(t=0.999)
        whole = sr.follow(flow, theta0, clock=clock, until=goal)
        part = sr.follow(flow, theta0, clock=clock, until=goal, budget=sr.Budget(steps=3))
        assert part.status is sr.Status.BUDGET_SPENT
        assert "steps" in part.message
        assert part.stats["accepted"] == 3
        rest = sr.follow(flow, part, clock=clock, until=goal)
        assert np.array_equal(rest.theta, whole.theta)
        assert rest["length"][-1] == whole["length"][-1]
        assert rest.stats["accepted"] == whole.stats["accepted"]


def test_a_checkpoint_file_resumes_to_the_same_end(tmp_path) -> None:
    from subriem import io

    flow, theta0 = small()
    whole = sr.follow(flow, theta0)
    file = tmp_path / "state.npz"
    sr.follow(flow, theta0, budget=sr.Budget(steps=4), checkpoint=file)
    state = io.load(file)
    assert np.array_equal(sr.follow(flow, state).theta, whole.theta)


@pytest.mark.parametrize("budget", [sr.Budget(evaluations=40), sr.Budget(seconds=0.0), sr.Budget(steps=1)])
def test_budgets_end_a_run_with_what_it_found(budget: sr.Budget) -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, budget=budget)
    assert sol.status is sr.Status.BUDGET_SPENT
    assert not sol.success
    assert len(sol.t) == sol.stats["accepted"] + 1
    assert sol["cost"][-1] == flow.cost.value(flow.map.value(sol.theta))


def test_sigint_keeps_the_partial_result() -> None:
    flow, theta0 = small()
    calls = []

    def interrupt(fraction: float, text: str) -> None:
        calls.append(fraction)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    sol = sr.follow(flow, theta0, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert sol.status is sr.Status.CANCELLED
    assert "SIGINT" in sol.message
    assert len(sol.t) == 3
    assert 0 < sol.t[-1] < 1
    assert np.array_equal(sr.follow(flow, sol).theta, sr.follow(flow, theta0).theta)


def test_a_run_that_has_arrived_is_not_cancelled() -> None:
    sine = sr.numpy_map(np.sinh, lambda q: np.diag(np.cosh(q)), 1, 1)
    flow = sr.flows.adapted(sine, sr.flows.squared_error([[1.0]]))
    token = sr.CancelToken()

    def cancel_at_the_end(fraction: float, _: str) -> None:
        if fraction >= 1.0:
            token.cancel("too late")

    sol = sr.follow(flow, [0.0], cancel=token, progress=cancel_at_the_end)
    assert token.reason == "too late"
    assert sol.status is sr.Status.SUCCESS


def test_a_token_cancels_from_another_thread() -> None:
    flow, theta0 = small()
    token = sr.CancelToken()
    results = []

    def work() -> None:
        results.append(sr.follow(flow, theta0, cancel=token, progress=lambda f, s: token.cancel("enough")))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results[0].status is sr.Status.CANCELLED
    assert "enough" in results[0].message


def test_progress_rises_to_one() -> None:
    flow, theta0 = small()
    seen: list[float] = []
    sr.follow(flow, theta0, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 3


# -- ends with names -------------------------------------------------------------------------------------------


def test_a_fold_is_never_crossed_silently() -> None:
    sol = sr.follow(fold(), [1.0])
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.singularity is not None
    assert sol.singularity.remaining_length < 1e-6
    assert sol.theta[0] > 0


def test_fold_is_found_with_other_scales_and_targets() -> None:
    """x = (a theta)^2 - b, y: t* = (x0 + b)/(x0 - y)."""
    for a, b, y, start in ((1e3, 2.0, -7.0, 2e-3), (1e-3, 0.5, -4.0, 3e3), (2.0, -1.0, -1.0, -1.5)):
        source = sr.numpy_map(lambda t, a=a, b=b: (a * t) ** 2 - b, lambda t, a=a: np.diag(2 * a**2 * t), 1, 1)
        sol = sr.follow(sr.flows.adapted(source, sr.flows.squared_error([y])), [start])
        x0 = (a * start) ** 2 - b
        assert sol.status is sr.Status.RANK_CHANGED
        assert sol.singularity.clock == pytest.approx((x0 + b) / (x0 - y), abs=1e-8)


def test_a_nan_in_a_stage_is_a_rejected_step() -> None:
    """x = log theta is not defined for theta <= 0; long first steps fall there, the orbit does not."""
    with np.errstate(invalid="ignore", divide="ignore"):
        source = sr.numpy_map(np.log, lambda t: np.diag(1 / t), 1, 1)
        flow = sr.flows.adapted(source, sr.flows.squared_error([-9.0]))
        sol = sr.follow(flow, [1.0], rtol=1e-3)
    assert sol.status is sr.Status.SUCCESS
    assert sol.theta[0] == pytest.approx(np.exp(-9.0), rel=1e-12)


def test_not_finite_at_the_start_is_refused_with_the_output_named() -> None:
    source = sr.numpy_map(lambda t: np.array([1.0, np.nan]), lambda t: np.ones((2, 1)), 1, 2, output_names=["a", "b"])
    flow = sr.flows.adapted(source, sr.flows.squared_error([0.0, 0.0]))
    with pytest.raises(sr.ProblemError, match="b = nan"):
        sr.follow(flow, [0.0])
    with pytest.raises(SolveError) as caught:
        sr.follow(flow, [0.0], check=False)
    assert caught.value.solution is not None
    assert caught.value.solution.status is sr.Status.NOT_FINITE


def test_contradicting_labels_are_a_success_at_the_floor() -> None:
    rng = np.random.default_rng(2)
    inputs, y = rng.standard_normal((5, 2)), rng.standard_normal((5, 1))
    inputs[3] = inputs[0]
    net = sr.flows.network([2, 14, 1], inputs)
    sol = sr.follow(sr.flows.adapted(net, sr.flows.squared_error(y)), net.initial(seed=0))
    assert sol.status is sr.Status.SUCCESS
    assert sol.cost_floor == pytest.approx((y[0, 0] - y[3, 0]) ** 2 / 20, rel=1e-13)
    assert sol["cost"][-1] == pytest.approx(sol.cost_floor, rel=1e-13)
    assert sol.conflicts == (("row 1, output 1", "row 4, output 1"),)
    agreeing = y.copy()
    agreeing[3] = agreeing[0]
    sol = sr.follow(sr.flows.adapted(net, sr.flows.squared_error(agreeing)), net.initial(seed=0))
    assert sol.conflicts == ()
    assert sol.cost_floor < 1e-30
    assert sol.regime.rank == 4


def test_a_relation_that_does_not_persist_is_not_compressed() -> None:
    """Two outputs that coincide at the start only: rank 1 there, rank 2 nearby."""
    source = sr.numpy_map(
        lambda t: np.array([t[0] + t[1] ** 2, t[0] - t[1] ** 2]),
        lambda t: np.array([[1, 2 * t[1], 0.0], [1, -2 * t[1], 0.0]]),
        3,
        2,
    )
    flow = sr.flows.adapted(source, sr.flows.squared_error([1.0, 0.5]))
    regime = flow.regime([0.0, 0.0, 0.0])
    assert regime.name == "rank-deficient"
    assert regime.rank == 1
    assert not regime.persistent
    assert not regime.straight
    sol = sr.follow(flow, [0.0, 0.0, 0.0])
    assert sol.clock == "s"
    assert not (sol.status is sr.Status.SUCCESS and sol.cost_ratio > 1e-12)


def test_weights_change_the_flow_and_have_no_t_clock() -> None:
    flow, theta0 = small()
    weighted = sr.flows.squared_error(flow.cost.target.reshape(4, 2), weights=[1.0, 2.0, 3.0, 4.0])
    heavy = sr.flows.adapted(flow.map, weighted)
    sol = sr.follow(heavy, theta0, until=sr.Until(s=2.0), rtol=1e-9)
    assert sol.clock == "s"
    assert np.isnan(sol.t).all()
    rest0, rest = flow.map.value(theta0) - flow.cost.target, sol["x"][-1] - flow.cost.target
    rates = np.repeat([1.0, 2.0, 3.0, 4.0], 2) / 4
    assert np.allclose(rest, np.exp(-2.0 * rates) * rest0, atol=1e-8)
    with pytest.raises(sr.ProblemError, match="no t-clock"):
        sr.follow(heavy, theta0, clock="t")


def test_damping_tends_to_the_adapted_flow() -> None:
    flow, theta0 = small()
    exact = flow.velocity(theta0)
    distances = [
        np.linalg.norm(sr.flows.adapted(flow.map, flow.cost, damping=mu).velocity(theta0) - exact)
        for mu in (1e-3, 1e-4, 1e-5)
    ]
    ratios = np.array(distances[:-1]) / np.array(distances[1:])
    assert (ratios > 8).all()
    assert (ratios < 12).all()


# -- stopping time -----------------------------------------------------------------------------------------------


def test_stopping_time_is_a_formula_and_is_refused_where_there_is_none() -> None:
    flow, theta0 = small()
    distance = np.linalg.norm(flow.map.value(theta0) - flow.cost.target)
    assert flow.stopping_time(theta0, 1e-3) == pytest.approx(4 * np.log(distance / 1e-3), rel=1e-13)
    assert flow.stopping_time(theta0, 1e9) == 0.0
    for bad in (sr.flows.standard(flow.map, flow.cost), sr.flows.adapted(flow.map, flow.cost, damping=1.0)):
        with pytest.raises(sr.ProblemError, match="no a priori stopping time"):
            bad.stopping_time(theta0, 1e-3)
    with pytest.raises(sr.ProblemError, match="eps"):
        flow.stopping_time(theta0, 0.0)


def test_stopping_time_counts_only_what_decays() -> None:
    """Twins with different labels keep |U^T (x - y)| = |gap|/sqrt(2): eps^2 = fixed + moving/100 is met at N ln 10."""
    problem = repeated()
    rest = (problem.x0 - problem.y).reshape(5, 2)
    fixed = float(np.sum((rest[1] - rest[4]) ** 2)) / 2
    moving = float(np.sum(rest**2)) - fixed
    assert problem.flow.stopping_time(problem.theta0, (fixed + moving / 100) ** 0.5) == pytest.approx(5 * np.log(10))
    assert problem.flow.stopping_time(problem.theta0, 0.99 * fixed**0.5) == np.inf


# -- bad input ---------------------------------------------------------------------------------------------------


def _wrong_jacobian() -> sr.flows.Flow:
    source = sr.numpy_map(np.sin, lambda t: np.diag(-np.cos(t)), 2, 2)
    return sr.flows.adapted(source, sr.flows.squared_error([0.1, 0.2]))


BAD = {
    "nan theta": lambda f, th: sr.follow(f, np.where(np.arange(th.size) == 3, np.nan, th)),
    "short theta": lambda f, th: sr.follow(f, th[:-1]),
    "complex theta": lambda f, th: sr.follow(f, th + 0j),
    "object theta": lambda f, th: sr.follow(f, th.astype(object)),
    "text theta": lambda f, th: sr.follow(f, "theta"),
    "empty theta": lambda f, th: sr.follow(f, []),
    "matrix theta": lambda f, th: sr.follow(f, th[None]),
    "rtol": lambda f, th: sr.follow(f, th, rtol=0.0),
    "negative atol": lambda f, th: sr.follow(f, th, atol=-1.0),
    "clock": lambda f, th: sr.follow(f, th, clock="x"),
    "method": lambda f, th: sr.follow(f, th, method="Euler"),
    "rank change": lambda f, th: sr.follow(f, th, on_rank_change="hide"),
    "until": lambda f, th: sr.follow(f, th, until=1e-6),
    "two goals": lambda f, th: sr.Until(s=1.0, t=0.5),
    "no goal": lambda f, th: sr.Until(),
    "t beyond 1": lambda f, th: sr.Until(t=1.5),
    "cost 0": lambda f, th: sr.Until(cost=0.0),
    "nan s": lambda f, th: sr.Until(s=np.nan),
    "events": lambda f, th: sr.follow(f, th, events=[lambda t, y: 0.0]),
    "progress": lambda f, th: sr.follow(f, th, progress="yes"),
    "wrong jacobian": lambda f, th: sr.follow(_wrong_jacobian(), [0.3, 0.4]),
    "cost of other size": lambda f, th: sr.flows.adapted(f.map, sr.flows.squared_error([1.0, 2.0])),
    "no map": lambda f, th: sr.flows.adapted(np.eye(3), f.cost),
    "negative damping": lambda f, th: sr.flows.adapted(f.map, f.cost, damping=-1.0),
    "nan damping": lambda f, th: sr.flows.adapted(f.map, f.cost, damping=np.nan),
    "nan target": lambda f, th: sr.flows.squared_error([[1.0], [np.nan]]),
    "complex target": lambda f, th: sr.flows.squared_error([1j]),
    "zero weight": lambda f, th: sr.flows.squared_error([1.0, 2.0], weights=[1.0, 0.0]),
    "weights of other size": lambda f, th: sr.flows.squared_error([1.0, 2.0], weights=[1.0]),
    "factor": lambda f, th: sr.flows.squared_error([1.0], factor=0.0),
    "K = 0": lambda f, th: sr.map(lambda t: t, 0),
    "widths": lambda f, th: sr.flows.network([4, 8, 1], np.zeros((5, 3)) + np.arange(3)),
    "t clock of the standard flow": lambda f, th: sr.follow(sr.flows.standard(f.map, f.cost), th, clock="t"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_four_lines(name: str) -> None:
    flow, theta0 = small()
    with pytest.raises(sr.ProblemError) as caught:
        BAD[name](flow, theta0)
    lines = str(caught.value).split("\n")
    assert [line.split()[0] for line in lines] == list(FOUR_LINES)
    assert all(len(line.split()) > 1 for line in lines)


def test_a_failed_run_raises_with_its_partial_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that becomes NaN for good after some time: the step size falls to nothing, and the path is kept."""
    flow, theta0 = small()
    original = ClockField.at

    def broken(self, clock, theta, *, certify=False):
        point = original(self, clock, theta, certify=certify)
        if clock > 0.4:
            object.__setattr__(point, "velocity", np.full_like(theta, np.nan))
        return point

    monkeypatch.setattr(ClockField, "at", broken)
    with pytest.raises(SolveError) as caught:
        sr.follow(flow, theta0)
    partial = caught.value.solution
    assert partial.status is sr.Status.STEP_TOO_SMALL
    assert 0.35 < partial.t[-1] <= 0.4
    quiet = sr.follow(flow, theta0, throw=False)
    assert quiet.status is sr.Status.STEP_TOO_SMALL


def test_thinning_keeps_the_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import subriem.flows.run as run
    from subriem.flows.record import Record

    flow, theta0 = small()
    whole = sr.follow(flow, theta0, rtol=1e-11)
    monkeypatch.setattr(run, "Record", lambda: Record(memory=12_000))
    thin = sr.follow(flow, theta0, rtol=1e-11)
    assert len(thin.t) < len(whole.t)
    assert "thinned" in thin.stats
    assert np.array_equal(thin.theta, whole.theta)
    assert np.array_equal(thin.y[0], whole.y[0])
    assert np.linalg.norm(thin(0.37) - whole(0.37)) < 1e-3


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_map_without_effect_rests_where_it_is(outputs: int) -> None:
    source = sr.numpy_map(lambda t: np.full(outputs, 3.0), lambda t: np.zeros((outputs, 2)), 2, outputs)
    sol = sr.follow(sr.flows.adapted(source, sr.flows.squared_error(np.ones((1, outputs)))), [0.1, 0.2])
    assert sol.status is sr.Status.EVENT
    assert "equilibrium" in sol.message
    assert sol.regime.rank == 0
    assert sol.nfev == 1


def test_an_arm_that_cannot_reach_its_target_ends_stretched() -> None:
    """Three unit joints towards (4, 1): the line leaves the disc of radius 3 where all angles but one vanish."""
    import casadi as ca

    def hand(t):
        angles = [t[0], t[0] + t[1], t[0] + t[1] + t[2]]
        return [sum(ca.cos(a) for a in angles), sum(ca.sin(a) for a in angles)]

    flow = sr.flows.adapted(sr.map(hand, 3), sr.flows.squared_error([[4.0, 1.0]]))
    sol = sr.follow(flow, [0.1, 0.5, 0.3])
    start, change = sol.line.start, sol.line.end - sol.line.start
    a, b, c = change @ change, 2 * start @ change, start @ start - 9.0
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.singularity.clock == pytest.approx((-b + np.sqrt(b * b - 4 * a * c)) / (2 * a), abs=1e-8)
    assert np.abs(sol.theta[1:]).max() < 1e-5
