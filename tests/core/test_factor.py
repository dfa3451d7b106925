"""Extreme singular values of each factorization against an SVD of the test's own."""

import numpy as np
import pytest

from subriem.core.factor import GramCholesky, QRFactor, SVDFactor, largest_eigenpair
from subriem.core.jacobian import ArrayJacobian, CompressedJacobian, MetricJacobian
from subriem.core.rank import EPS, RankPolicy
from tests.core.matrices import orthonormal, with_singular_values

KINDS = {"gram": GramCholesky, "qr": QRFactor, "svd": lambda j, mu: SVDFactor(j, RankPolicy(rtol=1e-14), mu)}


def spectrum(size, smallest):
    return np.concatenate([np.linspace(2.0, 0.5, size - 1), [smallest]])


def shapes(size):
    return [(size, size + 15), (size, size), (size + 15, size)]


@pytest.mark.parametrize("damping", [0.0, 1e-6, 1e-2])
@pytest.mark.parametrize("size", [5, 60, 200])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_extremes(kind, size, damping):
    rng = np.random.default_rng(size)
    for n, k in shapes(size):
        if kind == "gram" and k < n:
            continue
        for smallest in [0.25, 1e-3] + [1e-9] * (kind != "gram" and not damping):
            entries = with_singular_values(rng, n, k, spectrum(size, smallest))
            u, s, vt = np.linalg.svd(entries, full_matrices=False)
            found = KINDS[kind](ArrayJacobian(entries), damping).extremes()
            assert found.sigma_min == pytest.approx(s[-1], rel=1e-4)
            assert found.sigma_max == pytest.approx(s[0], rel=0.03)
            assert found.sigma_max <= s[0] * (1 + 1e-12)  # from below
            for mine, own in ((found.left, u[:, -1]), (found.right, vt[-1])):
                assert np.linalg.norm(mine) == pytest.approx(1.0, abs=1e-6)
                assert abs(mine @ own) > 1 - 1e-3
            assert np.sign(found.left @ u[:, -1]) == np.sign(found.right @ vt[-1])  # a pair


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_extremes_of_a_row(kind):
    found = KINDS[kind](ArrayJacobian(np.array([[3.0, -4.0]])), 0.0).extremes()
    assert found.sigma_max == pytest.approx(5.0)
    assert found.sigma_min == pytest.approx(5.0)


def test_null_vectors_of_a_truncated_svd():
    rng = np.random.default_rng(3)
    entries = with_singular_values(rng, 6, 9, [1, 1, 1, 1, 1e-13, 0])
    factor = SVDFactor(ArrayJacobian(entries), RankPolicy())
    assert factor.null_left().shape == (6, 2)
    assert np.abs(entries.T @ factor.null_left()).max() < 1e-12
    assert np.abs(entries @ factor.null_right()).max() < 1e-12
    assert factor.extremes().sigma_min == pytest.approx(1.0)


def test_fixed_rank_overrides_the_decision():
    rng = np.random.default_rng(3)
    entries = with_singular_values(rng, 3, 5, [1.0, 0.5, 0.25])
    w = rng.standard_normal(3)
    u, s, vt = np.linalg.svd(entries)
    v = SVDFactor(ArrayJacobian(entries), RankPolicy(), fixed_rank=2).solve(w)[0]
    np.testing.assert_allclose(v, vt[:2].T @ ((u[:, :2].T @ w) / s[:2]), atol=1e-14)


def test_svd_of_nan_lifts_to_nan():
    v, _, image = SVDFactor(ArrayJacobian(np.full((2, 3), np.nan)), RankPolicy()).solve(np.ones(2))
    assert np.isnan(v).all()
    assert v.shape == (3,)
    assert image.shape == (2,)


class Counted(ArrayJacobian):
    products = 0

    def jvp(self, v):
        self.products += 1
        return super().jvp(v)


def test_refinement_reaches_roundoff_times_cond_and_stops_at_the_accuracy_asked_for():
    rng = np.random.default_rng(5)
    entries = with_singular_values(rng, 20, 30, np.geomspace(1, 1e-6, 20))
    w = rng.standard_normal(20)
    fine, coarse = Counted(entries), Counted(entries)
    for jacobian, accuracy in ((fine, 8 * EPS), (coarse, 1e-3)):
        image = GramCholesky(jacobian, accuracy=accuracy).solve(w)[2]
        assert np.linalg.norm(w - image) <= max(accuracy, 1e6 * EPS) * np.linalg.norm(w)  # not 1e12 EPS
    assert coarse.products < fine.products


@pytest.mark.parametrize("damping", [0.0, 1e-4])
def test_a_residual_bounded_by_roundoff_is_not_measured(damping):
    rng = np.random.default_rng(8)
    products = []
    for cond in (1e1, 1e2, 1e3, 1e4, 1e6):
        for accuracy in (1e-12, 1e-9, 1e-6):
            entries = Counted(with_singular_values(rng, 40, 50, np.geomspace(1, 1 / cond, 40)))
            w = rng.standard_normal(40)
            factor = GramCholesky(entries, damping, accuracy)
            v, multiplier, image = factor.solve(w)
            products.append(entries.products)
            for lifted in (entries.entries @ v, image):
                rest = w - lifted - damping * multiplier
                assert np.linalg.norm(rest) <= max(accuracy, cond * EPS) * np.linalg.norm(w)
    assert 0 in products
    assert max(products) > 0
    exact = Counted(np.eye(3, 4))
    GramCholesky(exact).solve(np.ones(3))
    assert exact.products > 0


@pytest.mark.parametrize("metric", ["diagonal", "full"])
def test_metric_and_compression_agree_with_their_entries(metric):
    rng = np.random.default_rng(4)
    entries = rng.standard_normal((4, 7))
    root = rng.standard_normal((7, 7))
    given = np.exp(rng.standard_normal(7)) if metric == "diagonal" else root @ root.T + np.eye(7)
    from scipy.sparse import csr_array

    basis = csr_array(orthonormal(rng, 4, 3))
    for jacobian in (MetricJacobian(ArrayJacobian(entries), given), CompressedJacobian(ArrayJacobian(entries), basis)):
        dense = jacobian.dense()
        v, w = rng.standard_normal(jacobian.shape[1]), rng.standard_normal(jacobian.shape[0])
        np.testing.assert_allclose(jacobian.jvp(v), dense @ v, atol=1e-13)
        np.testing.assert_allclose(jacobian.vjp(w), dense.T @ w, atol=1e-13)
        np.testing.assert_allclose(jacobian.gram(), dense @ dense.T, atol=1e-12)
    m = np.diag(given) if metric == "diagonal" else given
    measured = MetricJacobian(ArrayJacobian(entries), given).dense()
    np.testing.assert_allclose(measured @ measured.T, entries @ np.linalg.inv(m) @ entries.T, atol=1e-12)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_extremes_of_equal_singular_values(kind):
    # the Krylov space is exhausted at once: what is left of a product is noise, and no direction
    rng = np.random.default_rng(6)
    found = KINDS[kind](ArrayJacobian(3.0 * orthonormal(rng, 90, 60).T), 0.0).extremes()
    assert found.sigma_max == pytest.approx(3.0, rel=1e-12)
    assert found.sigma_min == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 59, 60, 61, 300])
def test_largest_eigenpair(size):
    rng = np.random.default_rng(size)
    frame = orthonormal(rng, size, size)
    values = np.concatenate([np.linspace(0.0, 1.0, size)[:-1], [1.2]])
    value, vector = largest_eigenpair(lambda v: frame @ (values * (frame.T @ v)), size, 1e-3)
    assert 1.2 * (1 - 1e-5) <= value <= 1.2 * (1 + 1e-14)
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    assert abs(vector @ frame[:, -1]) >= 1 - 1e-4


def test_largest_eigenpair_of_zero_and_of_nan():
    assert largest_eigenpair(np.zeros_like, 5, 1e-3)[0] == 0.0
    assert np.isnan(largest_eigenpair(lambda v: np.full_like(v, np.nan), 5, 1e-3)[0])
