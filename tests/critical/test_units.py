"""Boxes whose sides differ by orders of magnitude: nothing but lengths depends on the units of the coordinates."""

from dataclasses import replace

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.critical.adapters import rest_problem
from subriem.critical.continuation import with_parameter


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
    spectrum = found.components[0].spectrum
    assert spectrum is not None
    assert spectrum[0].real == pytest.approx([-2, -3])


def test_a_search_in_units_of_its_own_goes_on_from_a_file(tmp_path):
    sides = np.array([1e2, 1e-2])
    flow = sr.flows.potential(lambda z: (ca.sumsqr(z / sides) - 1) ** 2, 2, least=0.0)
    options = {"starts": 10, "box": (-1.5 * sides, 1.5 * sides)}
    whole, found = sr.equilibria(flow, **options), sr.equilibria(flow, **options, budget=sr.Budget(steps=12))
    while found.status is sr.Status.BUDGET_SPENT:
        found = sr.io.load(sr.io.save(found, tmp_path / "part")).resume(flow, budget=sr.Budget(steps=12))
    assert str(found) == str(whole)
    assert np.array_equal(found.components[0].points, whole.components[0].points)
    assert str(found.morse_bott()) == "1 + t + t^2 = 1 + (1 + t)(t): holds"
    with pytest.raises(sr.EquilibriumError, match="units of their own"):
        found.connect()


def test_changes_of_stability_in_any_units():
    """x' = p - (x/100)^2 - 1e-4, p from -1e-3 to 1e-3: a fold."""
    fold = with_parameter(sr.map(lambda z: [z[1] - 1e-4 - 1e-3 * (z[0] / 100) ** 2], 2), "p")
    found = sr.equilibria(fold, starts=4, box=((-150, -1e-3), (150, 1e-3)))
    (change,) = found.changes
    assert (change.kind, change.index) == ("fold", (1, 0))
    assert np.abs(change.point / [150, 1e-3] - [0, 0.1]).max() < 1e-8
