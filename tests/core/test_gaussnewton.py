"""Fixed-rank Gauss-Newton: speed, horizontality, safety, and honesty about the end."""

import itertools

import casadi as ca
import numpy as np
import pytest

from subriem.core.casadi_map import casadi_map
from subriem.core.dependence import dependent_rows
from subriem.core.errors import ProblemError
from subriem.core.gaussnewton import gauss_newton
from subriem.core.jacobian import MapJacobian
from subriem.core.map import numpy_map
from tests.core.matrices import equal_pivots, orthonormal, with_cond


def wavy():
    """A smooth map from R^5 to R^3 with D of rank 3 near 0."""
    a = np.random.default_rng(0).standard_normal((3, 5))
    return casadi_map(lambda t: ca.sin(ca.mtimes(ca.DM(a), t)) + 0.1 * t[:3] ** 2, 5)


class Counting:
    """Another map, with the points recorded at which it was evaluated."""

    def __init__(self, inner):
        self.inner, self.points = inner, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def value(self, theta):
        self.points.append(theta.copy())
        return self.inner.value(theta)


def test_converges_quadratically():
    source, start = wavy(), np.full(5, 0.1)
    target = source.value(start) + np.array([0.1, -0.1, 0.1])
    found = gauss_newton(source, start, target)
    assert found.converged
    assert found.rank == 3
    np.testing.assert_allclose(found.x, target, atol=1e-14)
    np.testing.assert_array_equal(found.x, source.value(found.theta))
    large = [r for r in found.residuals if r > 1e-13]
    assert len(large) >= 3
    assert all(after <= 5 * before**2 for before, after in itertools.pairwise(large))


def test_steps_are_of_least_norm():
    source, start = wavy(), np.full(5, 0.1)
    source = Counting(source)
    target = source.inner.value(start) + np.array([0.1, -0.1, 0.1])
    found = gauss_newton(source, start, target)
    points = [*source.points]
    assert len(points) - 1 == found.evaluations == len(found.residuals) - 1
    for before, after in itertools.pairwise(points):
        kernel = np.linalg.svd(source.inner.jacobian(before))[2][3:].T
        assert np.linalg.norm(kernel.T @ (after - before)) <= 1e-12 * np.linalg.norm(after - before) + 1e-15
    assert np.linalg.norm(found.theta - start) > 0.01


def test_one_step_solves_a_linear_map():
    d = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    linear = numpy_map(lambda t: d @ t, lambda t: d, 3, 2)
    found = gauss_newton(linear, np.zeros(3), np.ones(2), steps=1)
    assert found.converged  # the end is judged too
    np.testing.assert_allclose(found.theta, [0.0, 0.5, 0.5], atol=1e-15)
    assert gauss_newton(linear, found.theta, np.ones(2), steps=0).converged


def test_one_step_is_exact_although_the_pivots_hide_the_condition():
    """With the rank fixed no condition is estimated: the Gram, of cond D = 3e8 with equal pivots, is tried first."""
    rng = np.random.default_rng(0)
    d = equal_pivots(26) @ orthonormal(rng, 31, 26).T
    linear = numpy_map(lambda t: d @ t, lambda t: d, 31, 26)
    found = gauss_newton(linear, np.zeros(31), rng.standard_normal(26), fixed_rank=26, steps=1)
    assert found.residuals[1] <= 1e-9 * found.residuals[0]


@pytest.mark.parametrize("start", [1e-9, 1e-5, 1e-2])
def test_a_nearly_singular_start_does_not_throw_theta_away(start):
    fold = casadi_map(lambda t: t**2, 1)
    found = gauss_newton(fold, np.array([start]), np.array([1.0]), steps=60)
    assert all(b <= a for a, b in zip(found.residuals, found.residuals[1:], strict=False))
    assert abs(found.theta[0]) <= 2.0
    assert found.converged == (abs(found.x[0] - 1) < 1e-12)


def test_the_residual_never_rises_towards_an_unreachable_target():
    fold = casadi_map(lambda t: t**2, 1)
    found = gauss_newton(fold, np.array([1.0]), np.array([-1.0]))
    assert all(b <= a for a, b in zip(found.residuals, found.residuals[1:], strict=False))
    assert not found.converged  # it ends in the fold, where D lost the rank that was frozen
    assert found.residuals[-1] >= 1.0


def duplicated(conflict):
    a = with_cond(np.random.default_rng(5), 3, 6, 3.0)
    source = casadi_map(lambda t: ca.sin(ca.mtimes(ca.DM(a[[0, 1, 2, 1]]), t)), 6)
    start = np.full(6, 0.1)
    target = source.value(start) + np.array([0.1, 0.2, -0.1, 0.2 + conflict])
    return source, start, target


@pytest.mark.parametrize("conflict", [0.0, 0.3])
@pytest.mark.parametrize("compressed", [True, False])
def test_duplicated_rows_with_conflicting_targets_end_in_their_mean(conflict, compressed):
    source, start, target = duplicated(conflict)
    dependence = dependent_rows(MapJacobian(source, start)) if compressed else None
    found = gauss_newton(source, start, target, dependence=dependence)
    assert found.converged
    assert found.rank == 3
    mean = target.copy()
    mean[[1, 3]] = (target[1] + target[3]) / 2
    np.testing.assert_allclose(found.x, mean, atol=1e-12)
    assert found.reachable < 1e-12


@pytest.mark.parametrize("target", [[0.0, 0.0], [0.3, 2.0]])
def test_an_underparametrized_map_converges_to_its_least_squares_point(target):
    ellipse = casadi_map(lambda t: [2 * ca.cos(t[0]), ca.sin(t[0])], 1)
    found = gauss_newton(ellipse, np.array([1.2]), np.array(target), steps=60)
    assert found.converged
    rest = np.array(target) - ellipse.value(found.theta)
    assert abs(ellipse.jacobian(found.theta)[:, 0] @ rest) < 1e-11
    ends = np.array(found.residuals)
    assert (np.diff(ends) <= 1e-14 * ends[:-1]).all()


def test_fixed_rank_is_kept():
    d = np.diag([1.0, 1e-3])
    linear = numpy_map(lambda t: d @ t, lambda t: d, 2, 2)
    found = gauss_newton(linear, np.zeros(2), np.ones(2), fixed_rank=1)
    assert found.rank == 1
    assert found.converged
    np.testing.assert_allclose(found.theta, [1.0, 0.0], atol=1e-15)


def test_a_fixed_full_rank_outlives_the_floor_of_the_policy():
    d = np.diag([1.0, 1e-12])
    linear = numpy_map(lambda t: d @ t, lambda t: d, 2, 2)
    found = gauss_newton(linear, np.zeros(2), np.ones(2), fixed_rank=2)
    assert (found.rank, found.converged) == (2, True)
    np.testing.assert_allclose(found.theta, [1.0, 1e12], rtol=1e-12)
    assert gauss_newton(linear, np.zeros(2), np.ones(2)).rank == 1


@pytest.mark.parametrize("bad", [-1, 3])
def test_refuses_a_rank_that_cannot_be(bad):
    linear = numpy_map(lambda t: t, lambda t: np.eye(2), 2, 2)
    with pytest.raises(ProblemError, match="no such rank"):
        gauss_newton(linear, np.zeros(2), np.ones(2), fixed_rank=bad)


def test_not_converged_is_said():
    source, start = wavy(), np.full(5, 0.1)
    target = source.value(start) + np.array([0.1, -0.1, 0.1])
    found = gauss_newton(source, start, target, steps=1)
    assert not found.converged
    assert found.reachable == pytest.approx(found.residuals[-1], rel=1e-6)
    assert gauss_newton(source, start, target, tolerance=1e-2).converged


def test_nan_ends_it_at_the_best_point():
    source = numpy_map(lambda t: np.where(t > 0.5, np.nan, t), lambda t: np.eye(2), 2, 2)
    found = gauss_newton(source, np.zeros(2), np.array([0.4, 2.0]))
    assert not found.converged
    assert np.isfinite(found.theta).all()
    assert found.theta[1] <= 0.5
    broken = numpy_map(lambda t: t * np.nan, lambda t: np.eye(2), 2, 2)
    assert not gauss_newton(broken, np.zeros(2), np.ones(2)).converged
