"""Spaces that are in no file of the library, against closed forms and another integrator."""

import casadi as ca
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import subriem as sr

UNITS = tuple(
    np.array(m)
    for m in (
        [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]],
        [[0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]],
        [[0, 0, 0, -1], [0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0]],
    )
)


def quaternionic_heisenberg():
    def field(q, i):
        return ca.vertcat(ca.DM(np.eye(4)[i]), *(ca.DM(m[i][None]) @ q[:4] / 2 for m in UNITS))

    return sr.SubRiemannian.from_frame(lambda q: [field(q, i) for i in range(4)], 7)


def filiform():
    """Step 5 in dimension 6."""
    return sr.SubRiemannian.from_frame(
        lambda q: [[1, 0, 0, 0, 0, 0], [0, 1, q[0], q[0] ** 2 / 2, q[0] ** 3 / 6, q[0] ** 4 / 24]], 6
    )


def torus(turns):
    return sr.SubRiemannian.from_frame(
        lambda q: [[0, 0, 1], [ca.cos(turns * q[2]), ca.sin(turns * q[2]), 0]], 3, name=f"T^3, {turns} turns"
    )


def three_sphere():
    return sr.SubRiemannian.from_frame(
        lambda q: [[-q[2], q[3], q[0], -q[1]], [-q[3], -q[2], q[1], q[0]]], 3, coordinates=4
    )


def off_axle_trailers(hooks=(0.4, 0.3)):
    """A unicycle with two trailers of length 1, hooked behind the axles (x, y, and the angles)."""

    def field(q, v, w):
        first = v * ca.sin(q[2] - q[3]) - hooks[0] * w * ca.cos(q[2] - q[3])
        pulled = v * ca.cos(q[2] - q[3]) + hooks[0] * w * ca.sin(q[2] - q[3])
        second = pulled * ca.sin(q[3] - q[4]) - hooks[1] * first * ca.cos(q[3] - q[4])
        return [v * ca.cos(q[2]), v * ca.sin(q[2]), w, first, second]

    return sr.SubRiemannian.from_frame(lambda q: [field(q, 1, 0), field(q, 0, 1)], 5)


def goursat():
    return sr.SubRiemannian.from_frame(lambda q: [[1, 0, q[1], q[2], q[3], q[4]], [0, 1, 0, 0, 0, 0]], 6)


def forms_with_a_metric():
    return sr.SubRiemannian.from_constraints(
        lambda q: [[q[1], 0, -1, 0], [q[2], 0, 0, -1], [q[1] + q[2], 0, -1, -1]],
        4,
        lambda q: ca.diag(ca.vertcat(1 + q[0] ** 2, 2, 1, 1)),
    )


CASES = [
    (quaternionic_heisenberg(), np.zeros(7), (4, 7), 1 / 8),  # B = diag(4, 4, 4)
    (filiform(), np.zeros(6), (2, 3, 4, 5, 6), None),
    (torus(1), [0.1, 0.2, 0.3], (2, 3), 1 / np.sqrt(2)),
    (torus(3), [0.1, 0.2, 0.3], (2, 3), 1 / np.sqrt(18)),
    (three_sphere(), [0.5, 0.5, 0.5, 0.5], (2, 3), 1 / np.sqrt(8)),  # [X1, X2] = 2 X3
    (off_axle_trailers(), [0, 0, 0.3, 0.2, -0.1], (2, 3, 5), None),
    (goursat(), np.zeros(6), (2, 3, 4, 5, 6), None),
    (forms_with_a_metric(), [0.1, 0.2, 0.3, 0.4], (2, 3, 4), None),
    (sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0] ** 2]], 2), [0, 0], (1, 1, 2), None),
]
NAMES = ["quaternionic", "filiform", "torus 1", "torus 3", "sphere", "off-axle", "goursat", "forms", "grushin 2"]


@pytest.mark.parametrize(("structure", "q", "growth", "popp"), CASES, ids=NAMES)
def test_a_space(structure, q, growth, popp):
    n = structure.n
    assert structure.growth(q).vector == growth
    assert structure.growth(q).nearly_singular == ""
    if popp is not None:
        assert structure.popp(q) == pytest.approx(popp, rel=1e-12)
    z, k = ca.SX.sym("z", 2 * n), structure.frame
    energy = ca.sumsqr(k(z[:n]).T @ z[n:]) / 2
    rates = ca.Function("rates", [z], [ca.vertcat(ca.gradient(energy, z)[n:], -ca.gradient(energy, z)[:n])])
    p = np.random.default_rng(0).standard_normal(n)
    other = solve_ivp(
        lambda t, y: np.array(rates(y)).ravel(), (0, 1.5), np.append(q, p), "DOP853", rtol=1e-13, atol=1e-13
    )
    end = structure.exponential(q, p, 1.5)
    np.testing.assert_allclose(end, other.y[:n, -1], atol=1e-11 * (1 + np.abs(end).max()))
    assert sr.check_space(structure, q=q).passed


def test_conjugate_times_with_multiplicity():
    """On the quaternionic group the circles of one curvature in all three complex lines meet: rank falls by 3."""
    found = quaternionic_heisenberg().shoot(np.zeros(7), [1, 0, 0, 0, 1, 0, 0], 13.0).conjugate_times()
    np.testing.assert_allclose(found.times, [2 * np.pi, 2 * 4.493409457909064, 4 * np.pi], rtol=1e-9)
    assert found.multiplicities == (3, 1, 3)


@pytest.mark.parametrize("twist", [0.0, 1.5, -0.7])
def test_conjugate_times_of_the_three_sphere(twist):
    found = three_sphere().shoot([1, 0, 0, 0], [2.0, twist, 0.6, 0.8], 3.5).conjugate_times()
    assert found.times[0] == pytest.approx(np.pi / np.sqrt(1 + twist**2), rel=1e-9)


def test_a_long_geodesic_whose_coarse_runs_overflow():
    plane = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    end = plane.shoot([0, 0, 0], [1, 0, 1], 200 * np.pi, method="gauss", rtol=1e-10).end
    np.testing.assert_allclose(end, [0, 0, 100 * np.pi], atol=1e-7)


def test_no_time_has_no_conjugate_times():
    found = three_sphere().shoot([1, 0, 0, 0], [0, 1, 1, 0], 0.0).conjugate_times()
    assert (found.times.size, found.abnormal) == (0, False)


def test_geodesics_of_a_plane_are_drawn_in_a_plane():
    from subriem import plot

    plane = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0]]], 2)
    (panel,) = plot.geodesic_figure([plane.shoot([-1, 0], [1, 1], 5.0)]).axes
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("q0", "q1")
    assert panel.lines[0].get_xdata()[0] == -1
    (shadow,) = plot.geodesic_figure([three_sphere().shoot([1, 0, 0, 0], [0, 1, 1, 0], 1.0)], coordinates=(1, 3)).axes
    assert len(shadow.lines) >= 1
    with pytest.raises(sr.ProblemError, match="coordinates"):
        plot.geodesic_figure([plane.shoot([-1, 0], [1, 1], 5.0)], coordinates=(0, 5))
