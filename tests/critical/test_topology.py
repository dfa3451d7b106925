"""Topology and measure from charts: curves and surfaces with known Betti numbers, lengths and areas."""

import casadi as ca
import numpy as np
import pytest
from scipy.spatial import cKDTree

from subriem.core.errors import ProblemError
from subriem.critical.topology import SCALES, sheet_pairs, topology


def thinned(points: np.ndarray, distance: float) -> np.ndarray:
    """Numbers of points at least so far from each other, and so many that no more find place."""
    tree, kept, gone = cKDTree(points), [], np.zeros(len(points), bool)
    for i in range(len(points)):
        if not gone[i]:
            kept.append(i)
            gone[np.asarray(tree.query_ball_point(points[i], distance))] = True
    return np.array(kept)


def charts(embedding, parameters: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """Points 0.7 h and more from each other among those of the parameters, with orthonormal tangents."""
    q = ca.SX.sym("q", parameters.shape[1])
    x = ca.vertcat(*embedding(q))
    function = ca.Function("x", [q], [x, ca.vec(ca.jacobian(x, q))])
    points, jacobians = (np.array(out).T for out in function.map(len(parameters))(parameters.T))
    kept = thinned(points, 0.7 * h)
    shape = (len(kept), parameters.shape[1], points.shape[1])
    return points[kept], np.linalg.qr(jacobians[kept].reshape(shape).transpose(0, 2, 1))[0]


def turns(rng: np.random.Generator, k: int) -> np.ndarray:
    return rng.uniform(0, 2 * np.pi, (30_000 if k == 2 else 3000, k))


def directions(rng: np.random.Generator) -> np.ndarray:
    return np.stack([rng.uniform(0, 2 * np.pi, 30_000), np.arccos(rng.uniform(-0.9999, 0.9999, 30_000))], axis=1)


def sphere(q):
    return [ca.sin(q[1]) * ca.cos(q[0]), ca.sin(q[1]) * ca.sin(q[0]), ca.cos(q[1])]


def veronese(q):
    x, y, z = sphere(q)
    return [x * y, x * z, y * z, (x**2 - y**2) / 2, (3 * z**2 - 1) / np.sqrt(12)]


def circle(q):
    return [ca.cos(q[0]), ca.sin(q[0])]


def torus(q):
    return [(2 + ca.cos(q[1])) * ca.cos(q[0]), (2 + ca.cos(q[1])) * ca.sin(q[0]), ca.sin(q[1])]


def klein(q):
    ring = 2 + ca.cos(q[1])
    twist = [ca.sin(q[1]) * ca.cos(q[0] / 2), ca.sin(q[1]) * ca.sin(q[0] / 2)]
    return [ring * ca.cos(q[0]), ring * ca.sin(q[0]), *twist]


SURFACES = {  # embedding, parameters, Betti numbers, measure, h
    "circle": (circle, lambda rng: turns(rng, 1), (1, 1), 2 * np.pi, 0.4),
    "ellipse": (lambda q: [2 * ca.cos(q), ca.sin(q)], lambda rng: turns(rng, 1), (1, 1), 9.688448220547676, 0.2),
    "arc": (circle, lambda rng: turns(rng, 1) / 2, (1, 0), np.pi, 0.3),
    "sphere": (sphere, directions, (1, 0, 1), 4 * np.pi, 0.4),
    "torus in space": (torus, lambda rng: turns(rng, 2), (1, 2, 1), 8 * np.pi**2, 0.4),
    "flat torus": (lambda q: [*circle(q[0]), *circle(q[1])], lambda rng: turns(rng, 2), (1, 2, 1), 4 * np.pi**2, 0.4),
    "projective plane": (veronese, directions, (1, 1, 1), 2 * np.pi, 0.2),
    "Klein's bottle": (klein, lambda rng: turns(rng, 2), (1, 2, 1), None, 0.4),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SURFACES)
def test_manifolds_from_charts(name, seed):
    embedding, parameters, betti, measure, h = SURFACES[name]
    points, tangents = charts(embedding, parameters(np.random.default_rng(seed)), h)
    found = topology(points, tangents, h)
    assert found.agreed
    assert found.betti == betti
    assert found.euler == sum((-1) ** i * b for i, b in enumerate(betti))
    assert found.measure is not None
    if measure is not None and name != "arc":  # the arc lacks up to half h at each end
        assert abs(found.measure / measure - 1) < 5e-4


def test_annulus_has_a_loop_and_no_void():
    h = 0.25
    q = turns(np.random.default_rng(3), 2)
    radius = np.sqrt(1 + 3 * q[:, 1] / (2 * np.pi))
    points = np.stack([radius * np.cos(q[:, 0]), radius * np.sin(q[:, 0])], axis=1)
    points = points[thinned(points, 0.7 * h)]
    found = topology(points, np.broadcast_to(np.eye(2), (len(points), 2, 2)), h)
    assert (found.betti, found.euler) == ((1, 1, 0), 0)
    assert found.measure is not None
    assert 3 * np.pi - 6 * np.pi * h / 2 < found.measure < 3 * np.pi  # charts end up to h/2 before the boundary


@pytest.mark.parametrize("distance", [0.5, 1.0])
def test_sheets_near_each_other_are_two(distance):
    """Two squares, and two concentric circles, nearer to each other than their charts are."""
    h, rng = 0.2, np.random.default_rng(4)
    square = rng.uniform(0, 2, (20_000, 2))
    squares = [np.column_stack([sheet[thinned(sheet, 0.7 * h)]]) for sheet in (square, square[::-1])]
    points = np.vstack([np.column_stack([xy, np.full(len(xy), i * distance * h)]) for i, xy in enumerate(squares)])
    found = topology(points, np.broadcast_to(np.eye(3)[:, :2], (len(points), 3, 2)), h)
    assert found.betti == (2, 0, 0)
    rings = [charts(lambda q, r=r: [r * x for x in circle(q)], turns(rng, 1), h) for r in (1.0, 1.0 + distance * h)]
    points, tangents = (np.concatenate(parts) for parts in zip(*rings, strict=True))
    found = topology(points, tangents, h)
    assert found.measure is not None
    assert found.betti == (2, 2)
    assert abs(found.measure / (2 * np.pi * (2 + distance * h)) - 1) < 1e-6


def test_planes_that_cross_are_two():
    h, rng = 0.2, np.random.default_rng(4)
    square = rng.uniform(-1, 1, (20_000, 2))
    flat, wall = (sheet[thinned(sheet, 0.7 * h)] for sheet in (square, square[::-1]))
    points = np.vstack([np.insert(flat, 2, 0.0, axis=1), np.insert(wall, 1, 0.0, axis=1)])
    tangents = np.concatenate(
        [np.tile(np.eye(3)[:, axes], (len(xy), 1, 1)) for axes, xy in (([0, 1], flat), ([0, 2], wall))]
    )
    assert topology(points, tangents, h).betti == (2, 0, 0)


@pytest.mark.parametrize(("name", "sizes"), [("ellipse", (0.3, 0.15, 0.075)), ("flat torus", (0.6, 0.3))])
def test_measure_is_of_fourth_order(name, sizes):
    embedding, parameters, _, measure, _ = SURFACES[name]
    errors = []
    for h in sizes:
        samples = [charts(embedding, parameters(np.random.default_rng(seed)), h) for seed in range(2)]
        found = [topology(points, tangents, h).measure or 0.0 for points, tangents in samples]
        errors.append(np.mean(np.abs(np.array(found) / measure - 1)))
    order = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert order > 3.3


def test_what_is_not_covered_is_not_told():
    """Holes at one reach and none at the next: no answer, and the answers are told."""
    h = 0.2
    points, tangents = charts(sphere, directions(np.random.default_rng(5)), h)
    thin = np.random.default_rng(6).permutation(len(points))[: len(points) // 2]
    found = topology(points[thin], tangents[thin], h)
    assert (found.agreed, found.betti, found.euler) == (False, None, None)
    assert [reach / h for reach, _ in found.scales] == pytest.approx(SCALES)
    assert len({betti for _, betti in found.scales}) == 3


def test_opposite_points_of_a_small_circle_are_not_joined():
    """On twelve charts the opposite one has a parallel tangent, and the chord is normal to both."""
    angle = np.arange(12) * np.pi / 6
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    pairs = sheet_pairs(points, np.stack([-np.sin(angle), np.cos(angle)], axis=1)[:, :, None], 1.0)
    assert set(np.minimum((pairs[:, 1] - pairs[:, 0]) % 12, (pairs[:, 0] - pairs[:, 1]) % 12)) == {1, 2}


def test_points_and_solids():
    points = np.random.default_rng(0).standard_normal((3, 4))
    isolated = topology(points, np.zeros((3, 4, 0)), 1.0)
    assert (isolated.betti, isolated.euler, isolated.measure) == ((3,), 3, 3.0)
    solid = topology(points, np.broadcast_to(np.eye(4)[:, :3], (3, 4, 3)), 1.0)
    assert (solid.betti, solid.measure, solid.agreed) == (None, None, False)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ProblemError, match="tangents do not fit"):
        topology(np.zeros((3, 2)), np.zeros((3, 3, 1)), 1.0)
    with pytest.raises(ProblemError, match="h is not"):
        topology(np.zeros((3, 2)), np.zeros((3, 2, 1)), -1.0)
