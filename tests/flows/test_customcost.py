"""Costs from expressions: derivatives, agreement with the squared error, and gradient flows of a potential."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr


def test_derivatives_of_a_cost():
    cost = sr.flows.custom_cost(lambda x: ca.sin(x[0]) * x[1] ** 2 + x[2] ** 4, 3)
    x, v, h = np.array([0.3, -0.7, 1.1]), np.array([0.2, 0.5, -0.4]), 1e-5
    assert cost.value(x) == pytest.approx(np.sin(0.3) * 0.49 + 1.1**4)
    assert cost.gradient(x) @ v == pytest.approx((cost.value(x + h * v) - cost.value(x - h * v)) / (2 * h), rel=1e-8)
    change = (cost.gradient(x + h * v) - cost.gradient(x - h * v)) / (2 * h)
    assert np.abs(cost.hvp(x, v) - change).max() < 1e-8


@pytest.mark.parametrize("make", [sr.flows.adapted, sr.flows.standard])
def test_the_squared_error_as_an_expression(make):
    net = sr.flows.network([1, 6, 1], [[-1.0], [0.0], [1.0]])
    target = np.array([0.5, -0.2, 0.1])
    known = sr.flows.squared_error(target)
    same = sr.flows.custom_cost(lambda x: ca.sumsqr(x - ca.DM(target)) / 6, 3, samples=3, least=0.0)
    theta = net.initial(seed=2)
    ends = [
        sr.follow(make(net, cost), theta, until=sr.Until(s=3.0), clock="s", rtol=1e-9, project=False)["theta"][-1]
        for cost in (known, same)
    ]
    assert np.abs(ends[0] - ends[1]).max() < 1e-9


def test_a_potential_in_closed_form():
    """r' = r - r^3 for V = (|x|^2 - 1)^2/4, so r^2/(1 - r^2) grows like e^{2s}."""
    ring = sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2 / 4, 2, least=0.0)
    end = sr.follow(ring, [0.06, 0.08], until=sr.Until(s=3.0), clock="s", rtol=1e-11)["theta"][-1]
    odds = 0.01 / 0.99 * np.exp(6.0)
    assert np.abs(end - np.array([0.6, 0.8]) * np.sqrt(odds / (1 + odds))).max() < 1e-9


def test_a_bound_ends_a_run():
    ring = sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2 / 4 + 2.0, 2, least=2.0)
    sol = sr.follow(ring, [0.3, 0.4], until=sr.Until(cost=1e-6), clock="s")
    assert sol["cost"][-1] - 2.0 == pytest.approx(1e-6 * sol["cost"][0], rel=1e-3)


@pytest.mark.parametrize("least", [np.inf, np.nan, "0", True])
def test_a_bound_that_is_none_is_refused(least):
    with pytest.raises(sr.ProblemError, match="least is no bound"):
        sr.flows.custom_cost(ca.sumsqr, 2, least=least)


def test_a_cost_that_is_no_scalar_is_refused():
    with pytest.raises(sr.ProblemError, match="no scalar"):
        sr.flows.custom_cost(lambda x: x**2, 2)
