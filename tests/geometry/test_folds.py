"""Losses of rank on horizontal paths of maps: in closed form, and of a network found by root finding."""

import casadi as ca
import numpy as np
import pytest
from scipy.optimize import root

import subriem as sr
from subriem.core.status import Status


def parabola():
    """D loses rank on q1 = 0."""
    return sr.SubRiemannian.from_map(sr.map(lambda q: [q[0] ** 2 + q[1], q[1]], 3))


def committee():
    """Two tanh units with readout 1 on two inputs: D loses rank where the units merge."""
    inputs = np.array([0.5, 1.2])
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [ca.tanh(q[0] * s) + ca.tanh(q[1] * s) for s in inputs], 2))
    return M, inputs


def merging(inputs, x, w):
    """Return the weight a of the merged units and the t with 2 tanh(a s) = x + t w."""
    found = root(lambda z: 2 * np.tanh(z[0] * inputs) - x - z[1] * w, [1.0, 0.5], tol=1e-15)
    assert np.abs(found.fun).max() < 1e-14
    return found.x


def test_a_straight_line_into_a_parabola():
    """q1^2 = 1 - 1.3 t, on lifts, on Wong's flow with a charge that no curvature feels, and back in time."""
    M, fold = parabola(), 1 / 1.3
    for path in (
        M.lift_path([1.0, 0, 0], [[1, 0], [0, 0.3]]),
        M.wong([1.0, 0, 0], [-1, 0.3], None, 3.0),
        M.wong([1.0, 0, 0], [-1, 0.3], [0, 0, 0.7], 3.0),
        M.wong([1.0, 0, 0], [1, -0.3], None, -3.0),
    ):
        assert path.status is Status.RANK_CHANGED
        assert abs(path.t[-1]) == pytest.approx(fold, abs=1e-9)
        assert path.message.startswith("D loses rank at t = ")
        np.testing.assert_allclose(path.end, [0, 0.3 * fold, 0], atol=1e-9)
        np.testing.assert_array_equal(path(path.t[-1]), path.end)
        np.testing.assert_allclose(path(0.999 * path.t[-1])[0], np.sqrt(0.001), rtol=1e-6)


def test_a_geodesic_into_a_parabola_ends_where_it_is_exact_and_names_the_fold():
    M, fold = parabola(), 1 / 1.3
    p = M.at([1.0, 0, 0]).jacobian.vjp(np.array([-1.0, 0.3]))
    geodesic = M.shoot([1.0, 0, 0], p, 3.0)
    assert geodesic.status is Status.RANK_CHANGED
    assert 0.9 * fold < geodesic.time < fold
    np.testing.assert_allclose(geodesic.end[0], np.sqrt(1 - 1.3 * geodesic.time), rtol=1e-9)
    (point,) = geodesic.singular_points()
    assert point.t == pytest.approx(fold, abs=1e-10)
    np.testing.assert_allclose(point.q, [0, 0.3 * fold, 0], atol=1e-10)
    assert (point.growth.vector[0], point.around.vector[0]) == (1, 2)
    (same,) = M.wong([1.0, 0, 0], [-1, 0.3], None, 3.0).singular_points()
    assert same.t == pytest.approx(fold, abs=1e-10)
    assert M.shoot([1.0, 0, 0], p, 0.5 * fold).status is Status.SUCCESS


def test_a_fold_without_change_of_sign():
    """x1 = q1^3/3 passes q1 = 0, where D loses rank, with t^(1/3)."""
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0] ** 3 / 3, q[1] + q[0] * q[2]], 3))
    path = M.lift_path([1.0, 0, 0], [[1 / 3, 0], [-1, 0.5]])
    assert path.status is Status.RANK_CHANGED
    assert path.t[-1] == pytest.approx(0.25, abs=1e-9)
    assert path.end[0] == pytest.approx(0.0, abs=1e-8)


def test_a_near_miss_is_not_called_a_loss():
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0] ** 3 / 3 + 3e-8 * q[0], q[1]], 3))
    path = M.lift_path([1.0, 0, 0], [[1 / 3 + 3e-8, 0], [-1, 0.5]])
    assert path.status is Status.RANK_AMBIGUOUS
    assert "3.0e-08" in path.message
    assert "nearly" in path.message


def test_units_of_a_network_that_merge():
    M, inputs = committee()
    theta, w = np.array([1.6, 0.3]), np.array([0.1, 0.4])
    x = M.map.value(theta)
    weight, time = merging(inputs, x, w)
    lifted, straight = M.lift_path(theta, np.array([x, x + 2 * time * w])), M.wong(theta, w, None, 2 * time)
    geodesic = M.shoot(theta, M.at(theta).jacobian.vjp(w), 2 * time, rtol=1e-10)
    (fold,) = geodesic.singular_points()
    for t, q in ((2 * time * lifted.t[-1], lifted.end), (straight.t[-1], straight.end), (fold.t, fold.q)):
        assert t == pytest.approx(time, abs=1e-8)
        np.testing.assert_allclose(q, [weight, weight], atol=1e-8)
    for found in (lifted, straight, geodesic):
        assert found.status is Status.RANK_CHANGED


def test_a_path_that_runs_away_is_not_called_a_loss():
    """x = exp(q1), to x = 0: sigma_min = x tends to 0 and is never 0."""
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [ca.exp(q[0]), q[1]], 2))
    path = M.lift_path([0.0, 0.0], [[1, 0], [-1, 1]])
    assert path.status is Status.ESCAPED
    assert path.t[-1] == pytest.approx(0.5, abs=1e-6)
    assert "escapes" in path.message
    assert path.drift <= 1e-9


@pytest.mark.parametrize(
    ("formula", "start", "corners", "time", "place"),
    [
        (lambda q: [1e6 * (q[0] ** 2 + q[1]), 1e-3 * q[1]], [1, 0, 0], [[1e6, 0], [-1e6, 0]], 0.5, [0, 0, 0]),
        (lambda q: [(1e-4 * q[0]) ** 2 + q[1], q[1]], [1e4, 0, 0], [[1, 0], [-1, 0]], 0.5, [0, 0, 0]),
        (lambda q: [ca.sumsqr(q)], [1, 0.5, 0.2], [[1.29], [-1]], 1.29 / 2.29, [0, 0, 0]),
        (lambda q: [ca.sin(q[0])], [0, 0], [[0], [2]], 0.5, [np.pi / 2, 0]),
        (lambda q: [q[0] ** 2, q[1] ** 2], [1, 1, 0], [[1, 1], [-1, -1]], 0.5, [0, 0, 0]),
        (lambda q: [q[0] ** 2 + q[1], q[1]], [1, 0, 0], [[1, 0], [0.5, 0.1], [-1, 0.1]], 1 + 0.4 / 1.5, [0, 0.1, 0]),
    ],
    ids=["rows in other units", "parameters in other units", "one output", "a maximum", "two at once", "second edge"],
)
def test_folds_of_all_kinds(formula, start, corners, time, place):
    M = sr.SubRiemannian.from_map(sr.map(formula, len(start)))
    path = M.lift_path(start, corners)
    assert path.status is Status.RANK_CHANGED
    assert path.t[-1] == pytest.approx(time, abs=1e-9)
    np.testing.assert_allclose(path.end, place, atol=1e-8)


def test_a_cusp_map_is_left_on_its_fold():
    """x = (q1^3/3 + q1 q2, q2) folds on q1^2 + q2 = 0."""
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0] ** 3 / 3 + q[1] * q[0], q[1]], 3))
    path = M.lift_path([1.2, 0.3, 0], [M.map.value(np.array([1.2, 0.3, 0])), [-1.0, -0.8]])
    assert path.status is Status.RANK_CHANGED
    assert path.end[0] ** 2 + path.end[1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("squash", [ca.tanh, ca.atan])
def test_saturation_is_an_escape(squash):
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [squash(q[0])], 2))
    path = M.lift_path([0, 0], [[0], [2]])
    assert path.status is Status.ESCAPED
    assert path.t[-1] == pytest.approx(float(squash(1e9)) / 2, abs=1e-3)


def test_a_geodesic_that_runs_away_is_said_to_escape():
    """tanh q reaches 1 at t = 1, where q is infinite: nothing is lost in finite length."""
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [ca.tanh(q[0]) + 0 * q[1]], 2))
    geodesic = M.shoot([0, 0], [1.0, 0], 2.0)
    assert geodesic.status is Status.ESCAPED
    assert geodesic.fold is None
    assert 0.99 < geodesic.time < 1.0
    np.testing.assert_allclose(geodesic.end, [np.arctanh(geodesic.time), 0], rtol=1e-8)


def test_a_leg_ends_when_its_evaluations_are_spent(monkeypatch):
    monkeypatch.setattr("subriem.geometry.legs.EVALUATIONS", 40)
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [ca.sin(q[0]) + 2 * q[0], q[1] + q[0] * q[2]], 3))
    path = M.wong([0.1, 0, 0], [1.0, 0.5], None, 5.0)
    assert path.status is Status.BUDGET_SPENT
    assert 0 < path.t[-1] < 5.0
    assert np.abs(M.map.value(path.end) - M.map.value(path.theta[0]) - path.t[-1] * np.array([1.0, 0.5])).max() < 1e-8
