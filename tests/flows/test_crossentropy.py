"""The cross-entropy: derivatives, the entropy as a bound, and where the adapted flow ends."""

import numpy as np
import pytest

import subriem as sr

LABELS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])


def test_derivatives():
    cost = sr.flows.cross_entropy(LABELS)
    rng = np.random.default_rng(0)
    x, v, h = rng.standard_normal(6), rng.standard_normal(6), 1e-5
    assert cost.gradient(x) @ v == pytest.approx((cost.value(x + h * v) - cost.value(x - h * v)) / (2 * h), rel=1e-8)
    change = (cost.gradient(x + h * v) - cost.gradient(x - h * v)) / (2 * h)
    assert np.abs(cost.hvp(x, v) - change).max() < 1e-10


def test_the_adapted_flow_ends_at_the_nearest_shares():
    """x_ji = log y_ji + (1/Q) sum_k (x_jk(0) - log y_jk), and C is the entropy of the labels there."""
    net = sr.flows.network([2, 8, 3], [[0.3, -1.0], [1.0, 0.5]])
    cost = sr.flows.cross_entropy(LABELS)
    theta = net.initial(seed=1)
    sol = sr.follow(sr.flows.adapted(net, cost), theta, until=sr.Until(s=400.0), clock="s", rtol=1e-10)
    start, end = (net.value(z).reshape(2, 3) for z in (theta, sol["theta"][-1]))
    logs = np.log(LABELS)
    expected = logs + (start - logs).mean(axis=1, keepdims=True)
    assert np.abs(end - expected).max() < 1e-8
    assert sol["cost"][-1] == pytest.approx(-(LABELS * logs).sum() / 2, abs=1e-14)
    assert cost.floor(end.ravel(), np.zeros((6, 0))) == pytest.approx(sol["cost"][-1], abs=1e-14)


def test_large_logits_do_not_overflow():
    cost = sr.flows.cross_entropy([[1.0, 0.0]])
    assert cost.value(np.array([-1e4, 1e4])) == pytest.approx(2e4)
    assert cost.value(np.array([1e4, -1e4])) == 0.0
    assert cost.floor(np.zeros(2), np.zeros((2, 0))) == 0.0


@pytest.mark.parametrize("labels", [[[0.5, 0.6]], [[1.5, -0.5]], [0.5, 0.5], [[1, 0], [0, 2]]])
def test_what_are_no_shares_is_refused(labels):
    with pytest.raises(sr.ProblemError, match="labels"):
        sr.flows.cross_entropy(labels)
