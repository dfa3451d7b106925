"""Sparse least-norm steps and regularity against dense linear algebra."""

import numpy as np
import pytest
from scipy.sparse import csc_array, random_array

import subriem as sr
from subriem.core.sparse import damped_gauss_newton, damped_step, equilibrate_sparse, regularity


def sparse(m, n, seed=0):
    return csc_array(random_array((m, n), density=0.3, rng=np.random.default_rng(seed)))


@pytest.mark.parametrize("copies", [0, 3])
def test_a_step_is_of_least_norm_whatever_the_rank(copies):
    dense = sparse(20, 40).toarray()
    dense = np.vstack([dense, dense[:copies]])
    wanted = np.random.default_rng(1).standard_normal(40)
    v = damped_step(csc_array(dense), dense @ wanted, 1e-13)
    basis = np.linalg.svd(dense)[2][:20]
    np.testing.assert_allclose(v, basis.T @ (basis @ wanted), atol=1e-9)


def test_an_iteration_reaches_dependent_equations_far_away():
    def value(u):
        circle = u @ u - 1
        return np.array([circle, 2 * circle])

    def jacobian(u):
        return csc_array(np.array([2 * u, 4 * u]))

    u = damped_gauss_newton(value, jacobian, np.array([300.0, 400.0]), 1e-13)
    np.testing.assert_allclose(u, [0.6, 0.8], atol=1e-12)


def test_an_iteration_that_cannot_succeed_ends_finite():
    u = damped_gauss_newton(
        lambda u: np.array([u[0] - 1, u[0] - 2]), lambda _: csc_array(np.array([[1.0], [1.0]])), np.zeros(1), 1e-13
    )
    np.testing.assert_allclose(u, [1.5], atol=1e-6)


def test_equilibration_undoes_units():
    rng = np.random.default_rng(2)
    rows, columns = (np.diag(10 ** rng.uniform(-6, 6, 20)) for _ in range(2))
    matrix = csc_array(sparse(20, 20).toarray() + np.eye(20))
    one, two = (equilibrate_sparse(csc_array(a), rounds=2000)[0].toarray() for a in (matrix, rows @ matrix @ columns))
    np.testing.assert_allclose(one, two, atol=1e-6)
    scaled, left, right = equilibrate_sparse(matrix)
    np.testing.assert_allclose(scaled.toarray(), left[:, None] * matrix.toarray() * right, atol=1e-15)


@pytest.mark.parametrize("smallest", [1e-3, 1e-14, 0.0])
def test_regularity(smallest):
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.standard_normal((30, 30)))[0] for _ in range(2))
    matrix = left @ np.diag(np.r_[np.ones(29), smallest]) @ right
    decision = regularity(csc_array(matrix), sr.RankPolicy())
    assert decision.full == (smallest == 1e-3)
    if decision.full:
        sigma = np.linalg.svd(equilibrate_sparse(csc_array(matrix))[0].toarray(), compute_uv=False)
        assert decision.sigma_rank == pytest.approx(sigma[-1], rel=1e-3)
        assert decision.sigma_max == pytest.approx(sigma[0], rel=0.3)


@pytest.mark.parametrize("small", [1e-3, 1e-7])
def test_an_iteration_goes_far_where_only_a_small_singular_value_leads(small):
    matrix = csc_array(np.array([[1.0, 0.0], [1.0, small]]))
    w = np.array([1.0, 2.0])
    u = damped_gauss_newton(lambda u: matrix @ u - w, lambda _: matrix, np.zeros(2), 1e-12)
    np.testing.assert_allclose(u, [1.0, 1 / small], rtol=1e-6)
