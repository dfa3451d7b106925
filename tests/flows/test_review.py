"""Laws of `follow` that a hostile reading found broken once: clocks, rest, near misses, events, types."""

import numpy as np
import pytest

import subriem as sr
from tests.flows.test_follow import FOUR_LINES, small


def test_a_resumed_run_keeps_or_converts_its_clock() -> None:
    flow, theta0 = small()
    whole = sr.follow(flow, theta0, rtol=1e-9)
    in_s = sr.follow(flow, theta0, until=sr.Until(s=1.0), clock="s", rtol=1e-9)
    assert sr.follow(flow, in_s, until=sr.Until(s=2.0)).clock == "s"
    rest = sr.follow(flow, in_s, clock="t", rtol=1e-9)
    assert rest.t[0] == pytest.approx(-np.expm1(-0.25), rel=1e-14)  # s = 1, N = 4
    assert np.linalg.norm(rest.theta - whole.theta) < 1e-6
    back = sr.follow(flow, sr.follow(flow, theta0, until=sr.Until(t=0.3)), clock="s", until=sr.Until(t=0.9), rtol=1e-9)
    assert np.linalg.norm(back.theta - whole(0.9)) < 1e-5
    with pytest.raises(sr.ProblemError, match="another flow"):
        sr.follow(sr.flows.standard(flow.map, flow.cost), in_s)


def test_the_gauge_of_a_linear_network_does_not_disturb_its_steps() -> None:
    """K < n with rank D < K for good: there is no Jacobian of the field for implicit steps."""
    rng = np.random.default_rng(1)
    net = sr.flows.network([2, 2, 3], rng.normal(size=(6, 2)), "linear")
    flow = sr.flows.adapted(net, sr.flows.squared_error(rng.normal(size=(6, 3))))
    for seed in range(4):
        auto = sr.follow(flow, net.initial(seed))
        explicit = sr.follow(flow, net.initial(seed), method="DOP853")
        assert auto.status is sr.Status.EVENT
        assert auto["cost"][-1] == pytest.approx(explicit["cost"][-1], rel=1e-10)


@pytest.mark.parametrize("gap", [1e-4, 3e-4, 1e-3])
def test_a_near_miss_above_the_floor_is_followed_past(gap: float) -> None:
    source = sr.numpy_map(lambda t: t**3 / 3 + gap**2 * t, lambda t: np.diag(t**2 + gap**2), 1, 1)
    sol = sr.follow(sr.flows.adapted(source, sr.flows.squared_error([-1.0])), [1.0])
    assert sol.status is sr.Status.SUCCESS
    assert source.value(sol.theta)[0] == pytest.approx(-1.0, rel=1e-12)


@pytest.mark.parametrize("power", [2, 3, 4])
def test_a_target_at_a_singular_point_is_reached(power: int) -> None:
    source = sr.numpy_map(lambda t: t**power, lambda t: np.diag(power * t ** (power - 1)), 1, 1)
    sol = sr.follow(sr.flows.adapted(source, sr.flows.squared_error([0.0])), [1.0])
    assert sol.status is sr.Status.SUCCESS
    assert sol.cost_ratio < 1e-12


def test_the_end_of_a_run_is_a_good_start() -> None:
    flow, theta0 = small()
    end = sr.follow(flow, theta0).theta
    again = sr.follow(flow, end)
    assert again.status is sr.Status.SUCCESS
    assert np.array_equal(again.theta, end)


def test_rest_is_judged_without_scales() -> None:
    flow, theta0 = small()
    heavy = sr.follow(sr.flows.adapted(flow.map, flow.cost, damping=1e12), theta0)
    assert heavy.cost_ratio <= 1e-12 * (1 + 1e-9)  # slow by a factor 1e12, and yet not at rest
    rng = np.random.default_rng(0)
    tiny = sr.flows.network([3, 12, 2], 1e-6 * rng.standard_normal((4, 3)), biases=False)
    standard = sr.flows.standard(tiny, flow.cost)
    sol = sr.follow(standard, tiny.initial(seed=0), budget=sr.Budget(evaluations=500))
    assert not (sol.status is sr.Status.EVENT and sol.s[-1] == 0.0)


def test_an_event_at_the_start_of_a_step_is_not_late() -> None:
    flow, theta0 = small()
    node = float(np.nextafter(sr.follow(flow, theta0).t[3], 1))
    sol = sr.follow(flow, theta0, events=sr.Event(lambda t, y: t - node, "node", terminal=True))
    assert sol.events[-1].clock == pytest.approx(node, abs=1e-12)
    assert sol.t[-1] == pytest.approx(node, abs=1e-12)


def test_verify_stops_where_an_event_stopped_the_run() -> None:
    flow, theta0 = small()
    third = sr.Event(lambda t, y: t - 0.3, "third", terminal=True)
    sol = sr.follow(flow, theta0, events=third, verify=True, rtol=1e-6)
    assert sol.reference_error < 1e-5


def test_relations_that_break_end_the_run() -> None:
    """relu: three points on the flat side of a kink move together until one of them crosses it."""
    inputs = np.array([[-1.0], [-1.1], [-1.2], [1.0]])
    net = sr.flows.network([1, 2, 1], inputs, "relu")
    theta0 = net.pack({"W1": [[1.0], [0.5]], "b1": [0.0, 0.3], "W2": [[1.0, -1.0]], "b2": [0.1]})
    flow = sr.flows.adapted(net, sr.flows.squared_error([[3.0], [-1.0], [2.0], [-2.0]]))
    sol = sr.follow(flow, theta0, check=False, throw=False, budget=sr.Budget(evaluations=4000))
    assert sol["cost"].min() >= sol.cost_floor * (1 - 1e-9) or not sol.success


def test_t_eval_leaves_what_it_does_not_know_undefined() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, t_eval=[0.0, 0.5], quadratures={"one": lambda p: 1.0})
    assert np.isnan(sol["one"]).all()
    assert np.isnan(sol["sigma_min"]).all()
    assert sol.path_length > 0
    assert "theta error" in str(sol)
    with pytest.raises(sr.ProblemError, match="t_eval"):
        sr.follow(flow, theta0, t_eval=[2.0, 3.0])


def test_a_budget_is_that_of_the_run_at_hand() -> None:
    flow, theta0 = small()
    part = sr.follow(flow, theta0, budget=sr.Budget(steps=3), rtol=1e-11)
    more = sr.follow(flow, part, budget=sr.Budget(steps=3), rtol=1e-11)
    assert more.stats["accepted"] == 6


WRONG_TYPES = {
    "flow": lambda f, th: sr.follow(f.map, th),
    "rank": lambda f, th: sr.follow(f, th, rank=1e-8),
    "budget": lambda f, th: sr.follow(f, th, budget=100),
    "cancel": lambda f, th: sr.follow(f, th, cancel="x"),
    "events": lambda f, th: sr.follow(f, th, events=lambda t, y: 1.0),
    "quadratures": lambda f, th: sr.follow(f, th, quadratures=["a"]),
    "memory": lambda f, th: sr.follow(f, th, memory="x"),
    "checkpoint type": lambda f, th: sr.follow(f, th, checkpoint=123),
    "checkpoint folder": lambda f, th: sr.follow(f, th, checkpoint="/nowhere/at/all.npz"),
    "taken event name": lambda f, th: sr.follow(f, th, events=sr.Event(lambda t, y: 1.0, "cost goal")),
    "t = 1 in s": lambda f, th: sr.follow(f, th, clock="s", until=sr.Until(t=1.0)),
    "text in a map": lambda f, th: sr.map(lambda t: [t[0], "a"], 2),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_wrong_types_get_four_lines(name: str) -> None:
    flow, theta0 = small()
    with pytest.raises(sr.ProblemError) as caught:
        WRONG_TYPES[name](flow, theta0)
    assert [line.split()[0] for line in str(caught.value).split("\n")] == list(FOUR_LINES)


def test_numpy_scalars_are_numbers() -> None:
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, until=sr.Until(s=np.float32(2.0)), atol=0.0)
    assert sol.s[-1] == pytest.approx(2.0)
    assert sr.flows.squared_error([1.0, 2.0], factor=np.int64(1)).rate == 2.0


@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
@pytest.mark.parametrize("goal", [1e-6, 1e-12])
def test_a_cost_goal_is_met_to_digits_at_loose_tolerances(rtol: float, goal: float) -> None:
    """Where C is tiny, the interpolant of a step locates it only to a few percent; the run must not."""
    flow, theta0 = small()
    sol = sr.follow(flow, theta0, clock="s", project=False, until=sr.Until(cost=goal), rtol=rtol)
    assert sol.cost_ratio == pytest.approx(goal, rel=1e-6)
