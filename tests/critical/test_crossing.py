"""Rank changes along manifolds, located to 1e-10."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.critical.crossing import rank_changes
from tests.critical.potentials import gradient, system
from tests.critical.test_atlas import traced

CHEN = sr.map(lambda q: [q[0] - q[1] * q[2] / 2, -q[1] + q[0] * q[2] / 2], 3)
CASES = {
    "sign": (CHEN, [0, 0, 0.3], [[0, 0, -2], [0, 0, 2]]),
    "touch": (gradient(lambda x: (x[0] * x[1]) ** 2, 2), [0.33, 0], [[0, 0]]),
    "pitchfork": (sr.map(lambda x: [x[0] * (x[1] - x[0] ** 2)], 2), [0, 0.7], [[0, 0]]),
    "double": (sr.map(lambda q: [q[0] * q[2] - q[1] ** 3, q[1] * q[2] + q[0] ** 3], 3), [0, 0, 0.7], [[0, 0, 0]]),
    "figure eight": (
        sr.map(lambda x: [ca.sumsqr(x) ** 2 - 2 * (x[0] ** 2 - x[1] ** 2)], 2), [2**0.5, 0], [[0, 0]],
    ),
    "curved": (sr.map(lambda x: [(ca.sumsqr(x) - 1) * (x[1] - 0.6 * x[0])], 2), [0, 1], [[1, 0.6], [-1, -0.6]]),
    "none": (gradient(lambda x: (x[0] ** 2 + 4 * x[1] ** 2 - 1) ** 2, 2), [1, 0], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_located(name):
    source, start, places = CASES[name]
    inside, atlas = system(source, 3.0), traced(source, start, 3.0)
    expected = [np.array(place) / (np.hypot(1, 0.6) if name == "curved" else 1) for place in places]
    found = rank_changes(inside, atlas)
    assert len(found) == len(expected)
    for place in expected:
        assert min(np.linalg.norm(z - place) for z in found) < 1e-10


def test_a_dip_is_no_rank_change():
    """The slope along the line y = 0 falls to 0.01, and not to zero."""
    source = sr.map(lambda x: [x[1] * (x[0] ** 2 + 0.01)], 2)
    assert rank_changes(system(source), traced(source, [0.7, 0.0])) == []


def test_curves_of_rank_changes_on_a_surface():
    """x (y - 0) in R^3: on the plane x = 0 the rank falls on the line y = 0; one point of it is told."""
    source = sr.map(lambda x: [x[0] * x[1]], 3)
    found = rank_changes(system(source), traced(source, [0.0, 0.7, 0.1], step=0.4))
    assert len(found) == 1
    assert abs(found[0][1]) < 1e-10
