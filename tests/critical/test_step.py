"""Steps stay on their sheet: near sheets, branches that cross, a surface with one side, charts that meet exactly."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.bordered import Bordered
from subriem.critical.atlas import trace
from subriem.critical.charts import Chart
from subriem.critical.dimension import local_structure
from subriem.critical.levenberg import descend
from subriem.critical.step import stepped
from tests.critical.potentials import system


def atlas(inside, point, **options):
    z = descend(inside, np.asarray(point, dtype=float)).z
    spaces = local_structure(inside, z, sr.RankPolicy()).spaces
    return trace(inside, z, spaces.right, spaces.left, **options)


@pytest.mark.parametrize("gap", [0.1, 0.01])
def test_circles_beside_each_other(gap):
    outer = (1 + gap) ** 2
    inside = system(sr.map(lambda x: [(ca.sumsqr(x) - 1) * (ca.sumsqr(x) - outer)], 2))
    for radius in (1.0, 1 + gap):
        charts = atlas(inside, [radius, 0]).charts
        assert np.abs(np.linalg.norm(charts.points, axis=1) - radius).max() < 1e-9


def test_branches_that_nearly_meet():
    """x y = 1e-4: a step over the gap would change the sign of the determinant without a rest point between."""
    inside = system(sr.map(lambda x: [x[0] * x[1] - 1e-4], 2))
    for sign in (1, -1):
        charts = atlas(inside, [sign, sign * 1e-4]).charts
        assert (sign * charts.points > 0).all()


@pytest.mark.parametrize("start", [-1.03, -0.77, 0.61])
def test_branches_that_touch(start):
    """y (y - x^2) = 0 from the parabola, which the line y = 0 touches at 0."""
    inside = system(sr.map(lambda x: [x[1] * (x[1] - x[0] ** 2)], 2))
    charts = atlas(inside, [start, start**2], step=0.1).charts
    assert np.abs(charts.points[:, 1] - charts.points[:, 0] ** 2).max() < 1e-9
    assert np.ptp(charts.points[:, 0]) > 2.5


@pytest.mark.parametrize("part", np.linspace(0.02, 0.5, 9))
def test_a_step_over_the_point_where_branches_touch(part):
    """From x = -part h on the parabola y = x^2, where the line y = 0 is nearer than the tangent is to the parabola."""
    h = 0.1
    inside = system(sr.map(lambda x: [x[1] * (x[1] - x[0] ** 2)], 2))
    z = np.array([-part * h, (part * h) ** 2])
    tangent, cokernel = local_structure(inside, z, sr.RankPolicy()).spaces.of_rank(1)
    sign, logarithm = Bordered(inside.jacobian(z), tangent, cokernel).determinant()
    found = stepped(inside, Chart(z, tangent, cokernel, (sign, logarithm), 0.0), h * tangent[:, 0] / tangent[0, 0])
    assert found is not None
    assert found.chart.z[0] > 0.04
    assert abs(found.chart.z[1] - found.chart.z[0] ** 2) < 1e-9


def klein(q):
    """The Klein bottle: a circle in the plane of e_3 and the line at half the angle of (q0, q1)."""
    a, b, z, w, c = (q[i] for i in range(5))
    return [a * a + b * b - 1, (1 - a) * z - b * w, -b * z + (1 + a) * w, z * z + w * w + c * c - 0.49]


def test_a_surface_with_one_side():
    found = sr.equilibria(sr.map(klein, 5), starts=1, box=1.7, step=0.3)
    assert [(one.dimension, one.betti) for one in found.components] == [(2, (1, 2, 1))]
    assert not found.crossings


def test_charts_at_the_same_point_are_one():
    """On a flat torus the charts form a lattice, which closes exactly."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((10, 10)))[0]

    def equations(x):
        y = ca.DM(turn.T) @ x
        return [y[0] ** 2 + y[1] ** 2 - 1, y[2] ** 2 + y[3] ** 2 - 0.25, *(y[i] for i in range(4, 10))]

    charts = atlas(system(sr.map(equations, 10)), turn @ [1, 0, 0.5, *[0] * 7], budget=sr.Budget(steps=1500)).charts
    apart = np.linalg.norm(charts.points[:, None] - charts.points, axis=2) + np.eye(len(charts))
    assert apart.min() > 0.69 * charts.h


def test_circles_that_touch():
    """From both sides of the point where they meet; each is followed around, and found once."""
    pair = sr.map(lambda x: [((x[0] - 1) ** 2 + x[1] ** 2 - 1) * ((x[0] + 1) ** 2 + x[1] ** 2 - 1)], 2)
    for seed in range(3):
        found = sr.equilibria(pair, starts=20, seed=seed)
        assert [(one.dimension, one.betti) for one in found.components] == [(1, (1, 1)), (1, (1, 1))]
