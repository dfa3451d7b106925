"""Conjugate times are counted; an abnormal geodesic is told from one that is too short to see."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.geometry.ample import is_abnormal
from subriem.zoo.spaces import get


def random_structure(dim, k, seed):
    rng = np.random.default_rng(seed)
    waves, products = 0.4 * rng.standard_normal((k, dim, dim)), 0.06 * rng.standard_normal((k, dim, dim))

    def fields(q):
        sines, pairs = ca.sin(q), q * ca.vertcat(q[1:], q[0])
        return ca.DM(np.eye(dim)[:, :k]) + ca.horzcat(
            *(ca.DM(wave) @ sines + ca.DM(product) @ pairs for wave, product in zip(waves, products, strict=True))
        )

    return sr.SubRiemannian.from_frame(fields, dim), 1.5 * rng.standard_normal(dim)


@pytest.mark.parametrize(("seed", "time"), [(0, 2.0), (3, 2.5), (5, 2.5), (8, 2.0)])
def test_every_change_of_sign_of_the_determinant_is_a_conjugate_time(seed, time):
    """Other singular values come near to the one that vanishes: its dips may be narrower than the distance of nodes."""
    structure, p = random_structure(4, 3, seed)
    geodesic = structure.shoot(np.zeros(4), p, time, rtol=1e-10)
    found = geodesic.conjugate_times()
    times = np.linspace(max(found.resolved, 0.1), time, 1500)
    signs = np.linalg.slogdet(geodesic.derivatives(times)[0])[0]
    (changes,) = np.nonzero(signs[1:] != signs[:-1])
    assert set(found.multiplicities) <= {1}
    np.testing.assert_allclose(found.times, (times[changes] + times[changes + 1]) / 2, atol=times[1] - times[0])


def test_double_times_far_from_the_centre_of_a_chart():
    """On the round three-sphere all geodesics meet after pi and 2 pi, here far out in a stereographic chart."""
    sphere = sr.SubRiemannian.from_frame(lambda q: ca.SX.eye(3) * (1 + ca.sumsqr(q)) / 2, 3)
    geodesic = sphere.shoot([0.3, 0, 0.1], [0, 1.5, 0.2], 8.0)
    found = geodesic.conjugate_times()
    np.testing.assert_allclose(found.times, np.pi / geodesic.speed * np.array([1, 2]), rtol=1e-9)
    assert found.multiplicities == (2, 2)


@pytest.mark.parametrize("time", [2 * np.pi, -2 * np.pi, 2 * np.pi + 1e-6])
def test_a_conjugate_time_at_the_end_counts(time):
    plane = get("heisenberg").structure
    found = plane.shoot([0, 0, 0], [1, 0, 1], time).conjugate_times()
    np.testing.assert_allclose(found.times, [np.copysign(2 * np.pi, time)], rtol=1e-9)
    assert found.multiplicities == (1,)


@pytest.mark.parametrize("rtol", [1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("name", ["rolling-ball", "free-2-4", "free-3-3"])
def test_a_short_geodesic_is_not_abnormal(name, rtol):
    """Directions of step s come in like t^(2 s - 1): dq/dp(0) is singular to roundoff, and no Jacobi field stays 0."""
    structure = get(name).structure
    p = np.random.default_rng(0).standard_normal(structure.n)
    found = structure.shoot(get(name).origin, p, 0.1, rtol=rtol).conjugate_times()
    assert not found.abnormal
    assert found.resolved > 0.05


def bent_martinet():
    """The flat Martinet structure in coordinates (x, y + sin(x) / 2, z + x y): the abnormal line y = 0 is a curve."""

    def fields(q):
        y = q[1] - ca.sin(q[0]) / 2
        return [[1, ca.cos(q[0]) / 2, y**2 / 2 + y], [0, 1, q[0]]]

    return sr.SubRiemannian.from_frame(fields, 3)


@pytest.mark.parametrize("rtol", [1e-6, 1e-12])
def test_an_abnormal_geodesic_in_other_coordinates(rtol):
    straight, other = (bent_martinet().shoot([0, 0, 0], [1.0, p_y, 0.0], 2.0, rtol=rtol) for p_y in (0.0, 0.5))
    assert straight.conjugate_times().abnormal
    assert straight.conjugate_times().resolved == np.inf
    assert not other.conjugate_times().abnormal


def test_abnormality_is_decided_at_a_point():
    structure = bent_martinet()
    q = np.array([0.4, np.sin(0.4) / 2, 0.1])
    for p_z, expected in ((0.0, True), (1.3, True)):
        p = np.array([1.0 + 0.4 * p_z * np.cos(0.4) / 2, -0.4 * p_z, p_z])
        assert is_abnormal(structure.normal, np.concatenate([q, p]), 3, structure.policy) is expected
    p = np.array([1.0, 1e-3, 1.3])
    assert not is_abnormal(structure.normal, np.concatenate([q, p]), 3, structure.policy)
