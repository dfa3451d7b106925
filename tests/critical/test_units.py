"""Boxes whose sides differ by orders of magnitude: nothing but lengths depends on the units of the coordinates."""

from dataclasses import replace

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.critical.adapters import rest_problem


@pytest.mark.parametrize("sides", [(1.0, 1.0), (1e2, 1e-2), (1e-3, 10.0)])
def test_a_circle_in_any_units(sides):
    sides = np.array(sides)
    flow = sr.flows.potential(lambda z: (ca.sumsqr(z / sides) - 1) ** 2, 2, least=0.0)
    found = sr.equilibria(flow, starts=20, box=(-1.5 * sides, 1.5 * sides))
    assert [(one.dimension, one.index, one.betti) for one in found.components] == [(1, 0, (1, 1)), (0, 2, (1,))]
    circle = found.components[0]
    unit = circle.points / sides
    assert np.abs(np.linalg.norm(unit, axis=1) - 1).max() < 1e-9
    along = circle.tangents[:, :, 0]
    assert np.linalg.norm(along, axis=1) == pytest.approx(1.0)
    assert np.abs((along / sides * unit).sum(axis=1)).max() < 1e-9 * np.linalg.norm(along / sides, axis=1).max()


def test_lines_that_cross_in_any_units():
    sides = np.array([1e3, 1e-3])
    found = sr.equilibria(sr.map(lambda z: [z[0] * z[1]], 2), starts=20, box=(-sides, sides))
    assert [(one.dimension, one.betti) for one in found.components] == [(1, (1, 0)), (1, (1, 0))]
    assert np.abs(found.crossings[0].point / sides).max() < 1e-8
    assert sorted(np.abs(tangent[0, 0]) for tangent in found.crossings[0].tangents) == pytest.approx([0, 1], abs=1e-6)


def test_symmetries_and_motions_go_along():
    sides = np.array([1e4, 1e-2])
    motion = sr.map(lambda z: [z[0] * (1 - (z[0] / sides[0]) ** 2), -3 * z[1]], 2)
    half = replace(rest_problem(motion, field=True), canonical=np.abs)
    found = sr.equilibria(half, starts=20, box=(-2 * sides, 2 * sides))
    assert [(one.dimension, one.index) for one in found.components] == [(0, 0), (0, 1)]
    assert found.components[0].point == pytest.approx([sides[0], 0], abs=1e-6)
    assert found.components[0].spectrum[0].real == pytest.approx([-2, -3])
