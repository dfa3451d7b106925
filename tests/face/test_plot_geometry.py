"""Figures of the geometry: what is drawn is what was computed."""

import numpy as np
import pytest

import subriem as sr
from subriem import plot
from subriem.plot.geometry import unit_covectors
from tests.geometry.structures import grushin, heisenberg, martinet, se2


def test_geodesics_are_drawn_with_their_conjugate_points():
    M = heisenberg()
    geodesics = [M.shoot([0, 0, 0], [1, 0, w], 7.0) for w in (0.0, 1.0)]
    plane, space = plot.geodesic_figure(geodesics).axes
    lines = [line for line in plane.lines if len(line.get_xdata()) > 2]
    assert len(lines) == 2
    np.testing.assert_allclose(lines[1].get_xydata()[-1], geodesics[1].end[:2], atol=1e-10)
    marks = [line for line in plane.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert len(marks) == 1  # the straight one has none
    np.testing.assert_allclose(marks[0].get_xydata()[0], [0, 0], atol=1e-8)
    assert (space.get_xlabel(), space.get_zlabel()) == ("q0", "q2")


@pytest.mark.parametrize("structure", [heisenberg(), se2()], ids=lambda s: s.name)
def test_covectors_of_a_front_have_unit_speed_and_the_twist(structure):
    q = np.array([0.3, -0.2, 0.5])
    twists = np.array([-1.0, 0.0, 2.0])
    covectors = unit_covectors(structure, q, np.array([0.0, 1.0]), twists)
    for row in covectors:
        for p, twist in zip(row, twists, strict=True):
            assert np.linalg.norm(structure.fields(q).T @ p) == pytest.approx(1, abs=1e-14)
            assert structure.growth(q).basis[:, 2] @ p == pytest.approx(twist, abs=1e-13)


def test_the_sphere_leaves_out_what_is_not_minimal():
    M = heisenberg()
    front = plot.front_figure(M, [0, 0, 0], 1.0, twist=12.0)
    sphere = plot.front_figure(M, [0, 0, 0], 1.0, twist=12.0, cut=lambda p: 2 * np.pi / abs(p[2]) if p[2] else np.inf)

    def lowest_pole(figure):
        across, height = np.concatenate([line.get_xydata() for line in figure.axes[0].lines]).T
        return np.nanmin(np.abs(height[across < 0.05]), initial=np.inf)

    assert lowest_pole(front) < 0.075 < lowest_pole(sphere)  # the pole of the sphere is at 1/(4 pi) = 0.0796
    heights = np.concatenate([line.get_ydata() for line in sphere.axes[0].lines])
    assert np.nanmax(heights) == pytest.approx(1 / (2 * np.pi), rel=1e-3)  # at twist pi: 2 pi / (4 pi^2)


def test_the_sphere_ends_at_the_cut_between_covectors():
    """Whatever the largest twist is, each profile ends on the axis, at the poles z = ±1/(4 pi)."""
    M = heisenberg()
    sphere = plot.front_figure(M, [0, 0, 0], 1.0, twist=17.3, cut=lambda p: 2 * np.pi / abs(p[2]) if p[2] else np.inf)
    for line in sphere.axes[0].lines:
        np.testing.assert_allclose(line.get_xydata()[[0, -1]], [[0, -1 / (4 * np.pi)], [0, 1 / (4 * np.pi)]], atol=1e-7)


def test_a_loop_and_its_lift():
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
    holonomy = M.holonomy([0, 0, 0], 0.3 * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    loop, lift = plot.holonomy_figure(holonomy).axes
    np.testing.assert_allclose(loop.lines[0].get_xydata()[-1], loop.lines[0].get_xydata()[0], atol=1e-9)
    end = lift.lines[0].get_xydata()[-1]
    assert end[1] == pytest.approx(np.linalg.norm(holonomy.gap))
    assert {tuple(np.round(point, 9)) for point in loop.lines[0].get_xydata()} >= {(0.3, 0.0), (0.3, 0.3), (0.0, 0.3)}


def test_bad_arguments():
    with pytest.raises(sr.ProblemError, match="no geodesic"):
        plot.geodesic_figure([])
    with pytest.raises(sr.ProblemError, match="coordinates"):
        plot.geodesic_figure([heisenberg().shoot([0, 0, 0], [1, 0, 1], 1.0)], coordinates=(0, 1, 7))
    with pytest.raises(sr.GeometryError, match="front"):
        plot.front_figure(grushin(), [1.0, 0.0], 1.0)
    with pytest.raises(sr.GeometryError, match="front"):
        plot.front_figure(martinet(), [0, 0, 0], 1.0)
    with pytest.raises(sr.ProblemError, match="radius"):
        plot.front_figure(heisenberg(), [0, 0, 0], -1.0)
