"""Implicit steps of a stiff flow: the field's Jacobian, agreement with explicit steps, and what they save."""

import numpy as np
import pytest

import subriem as sr
from subriem.flows.field import ClockField
from subriem.flows.stepper import ImplicitStepper, velocity_jacobian


def problem(seed: int, activation: str = "tanh") -> tuple[sr.flows.Network, np.ndarray, np.ndarray]:
    """A 2-3-1 network on 30 samples: K = 13 < n."""
    rng = np.random.default_rng(seed)
    net = sr.flows.network([2, 3, 1], rng.standard_normal((30, 2)), activation=activation)
    return net, rng.standard_normal((30, 1)), net.initial(seed=seed)


def field_of(flow: sr.flows.Flow) -> ClockField:
    return ClockField(flow, "s", sr.RankPolicy(), None, None, 2**31)


FLOWS = {
    "adapted": lambda net, cost: sr.flows.adapted(net, cost),
    "damped": lambda net, cost: sr.flows.adapted(net, cost, damping=1e-3),
    "standard": lambda net, cost: sr.flows.standard(net, cost),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_jacobian_of_the_field_is_its_derivative(name: str, activation: str, weighted: bool) -> None:
    net, y, theta = problem(3, activation)
    weights = np.linspace(0.5, 2.0, 30) if weighted else None
    flow = FLOWS[name](net, sr.flows.squared_error(y, weights=weights))
    field = field_of(flow)
    jacobian = velocity_jacobian(field, field.at(0.0, theta))
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = rng.standard_normal(13)
        h = 1e-5
        quotient = (field.at(0.0, theta + h * direction).velocity - field.at(0.0, theta - h * direction).velocity) / (
            2 * h
        )
        assert np.linalg.norm(jacobian @ direction - quotient) < 1e-5 * np.linalg.norm(quotient)


def test_what_suits_implicit_steps() -> None:
    net, y, _ = problem(0)
    cost = sr.flows.squared_error(y)
    assert ImplicitStepper.suits(field_of(sr.flows.adapted(net, cost)))
    assert ImplicitStepper.suits(field_of(sr.flows.standard(net, cost)))
    wide = sr.flows.network([2, 20, 1], np.ones((5, 2)) + np.arange(10).reshape(5, 2))
    assert not ImplicitStepper.suits(field_of(sr.flows.adapted(wide, sr.flows.squared_error(np.ones((5, 1))))))
    plain = sr.numpy_map(net.value, net.jacobian, 13, 30)  # no second derivatives
    assert not ImplicitStepper.suits(field_of(sr.flows.adapted(plain, cost)))


@pytest.mark.parametrize("seed", [0, 11])
def test_a_stiff_run_ends_where_explicit_steps_end_with_fewer_evaluations(seed: int) -> None:
    net, y, theta = problem(seed)
    damping = 1e-6 * np.linalg.svd(net.jacobian(theta))[1][0] ** 2
    flow = sr.flows.adapted(net, sr.flows.squared_error(y), damping=damping)
    goal = sr.Until(s=3000.0)
    auto = sr.follow(flow, theta, until=goal)
    explicit = sr.follow(flow, theta, until=goal, method="DOP853")
    assert auto.stats["jacobians"] > 0
    assert explicit.stats["jacobians"] == 0
    assert auto["cost"][-1] == pytest.approx(explicit["cost"][-1], rel=1e-8)
    assert auto.nfev < 0.5 * explicit.nfev
    assert np.diff(auto["cost"]).max() <= 1e-12 * auto.cost0
    identity = np.log(auto["cost"] / auto.cost0) + 2 / 30 * auto["alignment"]
    assert np.abs(identity).max() < 1e-4


def test_a_resumed_stiff_run_is_the_run_itself() -> None:
    net, y, theta = problem(14)
    flow = sr.flows.adapted(net, sr.flows.squared_error(y), damping=1e-4)
    goal = sr.Until(s=300.0)
    whole = sr.follow(flow, theta, until=goal)
    assert whole.stats["jacobians"] > 0
    part = sr.follow(flow, theta, until=goal, budget=sr.Budget(steps=whole.stats["accepted"] - 7))
    rest = sr.follow(flow, part, until=goal)
    assert np.array_equal(rest.theta, whole.theta)
    assert rest["alignment"][-1] == whole["alignment"][-1]


def test_a_stiff_linear_standard_flow_follows_its_closed_form() -> None:
    """x = A theta: theta' = -A^T (A theta - y)/N decays with rates sigma^2/N over six decades."""
    rng = np.random.default_rng(5)
    left, _ = np.linalg.qr(rng.standard_normal((6, 3)))
    right, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    sigma = np.array([1e2, 1.0, 1e-1])
    import casadi as ca

    matrix = left * sigma @ right.T
    flow = sr.flows.standard(sr.map(lambda t: ca.DM(matrix) @ t, 3), sr.flows.squared_error(matrix @ np.ones(3)))
    sol = sr.follow(flow, np.zeros(3), until=sr.Until(s=100.0), rtol=1e-8)
    exact = right @ ((1 - np.exp(-(sigma**2) * 100.0 / 6)) * (right.T @ np.ones(3)))
    assert sol.stats["jacobians"] > 0
    assert sol.nfev < 1500
    assert np.linalg.norm(sol.theta - exact) < 1e-6


def test_quadratures_over_implicit_steps_are_of_order_six() -> None:
    """Two nodes inside a step and its ends integrate s^5, and no step is explicit for long."""
    import casadi as ca

    flow = sr.flows.standard(sr.map(lambda t: ca.DM([[100.0, 0.0], [0.0, 1.0]]) @ t, 2), sr.flows.squared_error([0, 0]))
    powers = {f"s^{p}": lambda point, p=p: point.clock**p for p in range(6)}
    sol = sr.follow(flow, np.ones(2), until=sr.Until(s=5.0), quadratures=powers)
    assert sol.stats["jacobians"] > 0
    for p in range(6):
        assert sol[f"s^{p}"][-1] == pytest.approx(5.0 ** (p + 1) / (p + 1), rel=1e-12)
