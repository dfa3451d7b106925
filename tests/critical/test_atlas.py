"""Atlases of manifolds with known topology: residuals, spacing, budgets, boxes, and going on."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.records import Records
from subriem.core.status import Status
from subriem.critical.atlas import APART, Atlas, extend, trace
from subriem.critical.charts import Charts, Neighbours
from subriem.critical.dimension import local_structure
from subriem.critical.topology import topology
from tests.critical.potentials import gradient, ring, system, torus

POLICY = sr.RankPolicy()


def traced(source: sr.Map, point, half: float = 2.0, **options) -> Atlas:
    inside, point = system(source, half), np.array(point, dtype=float)
    found = local_structure(inside, point, POLICY)
    return trace(inside, point, found.tangent, found.spaces.left, **options)


def of(potential, n):
    return gradient(potential, n)


MANIFOLDS = {
    "circle": (of(ring, 2), [1.0, 0.0], 2.0, (1, 1), 2 * np.pi, 1e-5),
    "sphere": (of(ring, 3), [1.0, 0.0, 0.0], 2.0, (1, 0, 1), 4 * np.pi, 1e-4),
    "torus in R^4": (
        of(lambda x: ring(x[:2]) + ring(x[2:]), 4), [1.0, 0.0, 1.0, 0.0], 2.0, (1, 2, 1), 4 * np.pi**2, 1e-4,
    ),
    "line": (sr.map(lambda x: [x[1] - x[0], x[2]], 3), [0.0, 0.0, 0.0], 2.0, (1, 0), None, None),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFOLDS)
def test_topology_and_measure(name):
    source, point, half, betti, measure, accuracy = MANIFOLDS[name]
    atlas = traced(source, point, half)
    assert atlas.status is Status.SUCCESS
    assert not len(atlas.waiting)
    assert max(np.linalg.norm(source.value(z)) for z in atlas.charts.points) <= 1e-11
    found = topology(atlas.charts.points, atlas.charts.tangents, atlas.charts.h)
    assert found.betti == betti
    if measure is not None:
        assert found.measure == pytest.approx(measure, rel=accuracy)


@pytest.mark.slow
def test_the_torus():
    source = of(torus, 3)
    atlas = traced(source, [3.0, 0.0, 0.0], 4.0)
    found = topology(atlas.charts.points, atlas.charts.tangents, atlas.charts.h)
    assert found.betti == (1, 2, 1)
    assert found.measure == pytest.approx(8 * np.pi**2, rel=1e-3)
    assert atlas.charts.residuals.max() <= 1e-11


def test_charts_are_orthonormal_tangent_and_apart():
    source = of(ring, 3)
    charts = traced(source, [1.0, 0.0, 0.0]).charts
    gram = np.einsum("pna,pnb->pab", charts.tangents, charts.tangents)
    assert np.abs(gram - np.eye(2)).max() < 1e-12
    assert np.abs(np.einsum("pna,pn->pa", charts.tangents, charts.points)).max() < 1e-10  # normal to the radius
    apart = np.linalg.norm(charts.points[:, None] - charts.points, axis=2) + 9 * np.eye(len(charts))
    assert apart.min() >= APART * charts.h * (1 - 1e-12)
    assert apart.min(axis=1).max() <= 1.1 * charts.h


def test_every_point_of_the_sphere_is_near_a_chart():
    charts = traced(of(ring, 3), [1.0, 0.0, 0.0]).charts
    points = np.random.default_rng(0).standard_normal((2000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert np.linalg.norm(points[:, None] - charts.points, axis=2).min(axis=1).max() <= charts.h


@pytest.mark.slow
def test_dimension_three():
    """The charts of S^3 in R^4 cover it: each point is within h of one."""
    atlas = traced(of(ring, 4), [1.0, 0.0, 0.0, 0.0], step=0.5)
    assert (atlas.status, atlas.charts.dimension) == (Status.SUCCESS, 3)
    points = np.random.default_rng(0).standard_normal((500, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert np.linalg.norm(points[:, None] - atlas.charts.points, axis=2).min(axis=1).max() <= atlas.charts.h


def test_dimension_four_is_refused():
    with pytest.raises(sr.ProblemError, match="dimension"):
        traced(of(ring, 5), [1.0, 0.0, 0.0, 0.0, 0.0])


def test_the_spacing_follows_the_curvature():
    """An ellipse of half axes 1 and 1/5: its least radius of curvature is 1/25."""
    atlas = traced(sr.map(lambda x: [x[0] ** 2 + 25 * x[1] ** 2 - 1], 2), [0.0, 0.2])
    assert atlas.charts.h <= 0.7 / 25
    first, second = atlas.charts.edges().T
    turn = np.abs(np.einsum("pna,pna->p", atlas.charts.tangents[first], atlas.charts.tangents[second]))
    assert turn.min() >= np.cos(0.7)
    assert topology(atlas.charts.points, atlas.charts.tangents, atlas.charts.h).betti == (1, 1)


def test_a_chosen_step_is_kept():
    assert traced(of(ring, 2), [1.0, 0.0], step=0.05).charts.h == 0.05


def test_the_box_cuts():
    atlas = traced(of(ring, 3), [0.0, 0.6, 0.8], half=0.9)  # the poles of the axes are outside
    assert atlas.leaves_box
    assert np.abs(atlas.charts.points).max() <= 0.9
    assert not traced(of(ring, 2), [0.6, 0.8]).leaves_box


@pytest.mark.parametrize("charts", [1, 7, 100])
def test_a_budget_ends_it_and_it_goes_on(charts):
    source, point = of(ring, 3), [1.0, 0.0, 0.0]
    part = traced(source, point, budget=sr.Budget(steps=charts))
    assert part.status is Status.BUDGET_SPENT
    assert len(part.charts) == charts + 1
    records = Records([Atlas, Charts, Status])
    read = records.put_together(*records.take_apart(part))  # saved and read in between
    whole, at_once = extend(system(source), read), traced(source, point)
    assert whole.status is Status.SUCCESS
    assert np.array_equal(whole.charts.points, at_once.charts.points)


def test_a_cancellation_keeps_what_there_is():
    token = sr.CancelToken()
    token.cancel("enough")
    atlas = traced(of(ring, 2), [1.0, 0.0], cancel=token)
    assert (atlas.status, atlas.message, len(atlas.charts)) == (Status.CANCELLED, "enough", 1)


def test_the_end_of_a_cusp_is_told():
    """x^2 = y^3 cannot be followed through 0; the other end is the box."""
    atlas = traced(sr.map(lambda x: [x[0] ** 2 - x[1] ** 3], 2), [1.0, 1.0])
    assert len(atlas.ends) == 1
    assert np.linalg.norm(atlas.ends[0]) < 2 * atlas.charts.h


def test_sheets_near_each_other_are_kept_apart():
    """Two circles 0.06 from each other, the charts 0.1: a point of one is not covered by the other."""
    two = sr.map(lambda x: [(ca.norm_2(x) - 1) * (ca.norm_2(x) - 1.06)], 2)
    atlas = traced(two, [1.0, 0.0], step=0.1)
    assert np.linalg.norm(atlas.charts.points, axis=1) == pytest.approx(np.ones(len(atlas.charts)))
    assert topology(atlas.charts.points, atlas.charts.tangents, 0.1).measure == pytest.approx(2 * np.pi, rel=1e-5)


def test_neighbours_are_those_of_a_search_over_all():
    rng, near = np.random.default_rng(0), Neighbours()
    points = rng.uniform(size=(500, 3))
    for count in (1, 30, 100, 101, 400, 500):
        z = rng.uniform(size=3)
        apart = np.linalg.norm(points[:count] - z, axis=1)
        assert sorted(near.near(points[:count], z, 0.3)) == np.flatnonzero(apart <= 0.3).tolist()


@pytest.mark.parametrize("half", [1.0, 1.02])
def test_a_manifold_that_turns_at_the_box_stays_inside(half):
    """Steps along the tangent leave the box where the circle does not."""
    atlas = traced(sr.map(lambda x: [ca.sumsqr(x) - 1], 2), [0.6, 0.8], half, step=0.3)
    assert (atlas.status, atlas.leaves_box) == (Status.SUCCESS, False)
    assert topology(atlas.charts.points, atlas.charts.tangents, atlas.charts.h).betti == (1, 1)


def test_a_sphere_without_six_caps():
    found = sr.equilibria(sr.map(lambda x: [ca.sumsqr(x) - 1], 3), starts=1, box=0.9, step=0.2)
    assert [(one.betti, one.leaves_box) for one in found.components] == [((1, 5, 0), True)]


@pytest.mark.parametrize("step", [0.17, 0.19, 0.24])
def test_betti_numbers_that_cannot_be_are_not_told(step):
    """An ellipse with a radius of curvature of 1/9 by steps that are too large: it is covered, and it is closed."""
    flat = sr.map(lambda x: [x[0] ** 2 + 9 * x[1] ** 2 - 1], 2)
    for seed in range(6):
        found = sr.equilibria(flat, starts=1, step=step, seed=seed)
        for one in found.components:
            assert one.betti in (None, (1, 1)) or one.leaves_box
