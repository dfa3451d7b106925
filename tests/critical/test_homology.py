"""Betti numbers of flag complexes: closed surfaces from points on them, and random graphs by dense elimination."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from subriem.critical.homology import flag_betti


def joined(points: np.ndarray, radius: float) -> list[set[int]]:
    graph: list[set[int]] = [set() for _ in points]
    for i, j in cKDTree(points).query_pairs(radius):
        graph[i].add(j)
        graph[j].add(i)
    return graph


def thinned(points: np.ndarray, distance: float) -> np.ndarray:
    """Points at least so far from each other, and so many that no more find place."""
    tree, kept, gone = cKDTree(points), [], np.zeros(len(points), bool)
    for i in range(len(points)):
        if not gone[i]:
            kept.append(i)
            gone[tree.query_ball_point(points[i], distance)] = True
    return points[kept]


def surfaces(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, tuple[int, ...]]]:
    u, v = rng.uniform(0, 2 * np.pi, (2, 20_000))
    x, y, z = sphere = (g := rng.standard_normal((3, 20_000))) / np.linalg.norm(g, axis=0)
    ring = 2 + np.cos(v)
    projective = [x * y, x * z, y * z, (x**2 - y**2) / 2, (3 * z**2 - 1) / np.sqrt(12)]
    klein = [ring * np.cos(u), ring * np.sin(u), np.sin(v) * np.cos(u / 2), np.sin(v) * np.sin(u / 2)]
    return {
        "circle": (np.array([np.cos(u), np.sin(u)]), (1, 1, 0)),
        "two circles": (np.array([np.cos(u), np.sin(u), np.sign(v - np.pi)]), (2, 2, 0)),
        "sphere": (sphere, (1, 0, 1)),
        "torus in space": (np.array([ring * np.cos(u), ring * np.sin(u), np.sin(v)]), (1, 2, 1)),
        "flat torus": (np.array([np.cos(u), np.sin(u), np.cos(v), np.sin(v)]), (1, 2, 1)),
        "projective plane": (np.array(projective), (1, 1, 1)),
        "Klein's bottle": (np.array(klein), (1, 2, 1)),
    }


@pytest.mark.parametrize("scale", [1.75, 2.0, 2.25])
@pytest.mark.parametrize("name", surfaces(np.random.default_rng(0)))
def test_surfaces_from_points(name, scale):
    points, expected = surfaces(np.random.default_rng(1))[name]
    size = 0.2 if name == "projective plane" else 0.4
    assert flag_betti(joined(thinned(points.T, 0.7 * size), scale * size), 2) == expected


def elimination(matrix: np.ndarray) -> int:
    """Rank over Z/2."""
    matrix, rank = matrix.copy(), 0
    for column in range(matrix.shape[1]):
        rows = rank + np.flatnonzero(matrix[rank:, column])
        if rows.size:
            matrix[[rank, rows[0]]] = matrix[[rows[0], rank]]
            others = np.flatnonzero(matrix[:, column])
            matrix[others[others != rank]] ^= matrix[rank]
            rank += 1
    return rank


@given(st.integers(1, 9), st.data())
def test_random_graphs_by_dense_elimination(size, data):
    pairs = list(combinations(range(size), 2))
    edges = {pair for pair in pairs if data.draw(st.booleans())}
    cliques = [
        [c for c in combinations(range(size), k) if all(pair in edges for pair in combinations(c, 2))]
        for k in range(1, 5)
    ]
    ranks = [0]
    for k in range(1, 4):
        faces = {simplex: i for i, simplex in enumerate(cliques[k - 1])}
        boundary = np.zeros((len(cliques[k - 1]), len(cliques[k])), bool)
        for j, simplex in enumerate(cliques[k]):
            for face in combinations(simplex, k):
                boundary[faces[face], j] = True
        ranks.append(elimination(boundary))
    expected = tuple(len(cliques[k]) - ranks[k] - ranks[k + 1] for k in range(3))
    graph = [{w for w in range(size) if (min(v, w), max(v, w)) in edges} for v in range(size)]
    assert flag_betti(graph, 2) == expected
