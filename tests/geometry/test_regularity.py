"""Verdicts: bracket-generating, equiregular."""

import numpy as np
import pytest

import subriem as sr
from subriem.geometry.frame import nearby
from tests.geometry.structures import engel, grushin, heisenberg, martinet, se2, su2, trailers


@pytest.mark.parametrize(
    ("structure", "q", "regular"),
    [
        (heisenberg(2), [0.1] * 5, True),
        (engel(), [0, 0, 0, 0], True),
        (se2(), [0, 0, 1], True),
        (su2(), [1, 0, 0, 0], True),
        (grushin(), [0, 1], False),
        (grushin(), [1, 1], True),
        (martinet(), [0, 1, 1], False),
        (martinet(), [0.01, 1, 1], True),
        (trailers(2), [0, 0, 0, 0, np.pi / 2], False),
        (trailers(2), [0, 0, 0, 0, 0], True),
    ],
)
def test_regular_and_singular_points(structure, q, regular):
    found = structure.equiregular(q)
    assert found.holds is regular
    assert bool(found) is regular
    assert structure.bracket_generating(q)
    assert found.vector == structure.growth(q).vector
    for point, vector in zip(nearby(np.array(q, dtype=float)), found.around, strict=True):
        assert structure.growth(point).vector == vector


def test_the_growth_vectors_that_differ_are_named():
    assert str(martinet().equiregular([0, 0, 0])) == "no: growth vector (2, 2, 3) at the point, (2, 3) around it"


def test_an_involutive_distribution_is_regular_but_does_not_generate():
    flat = sr.SubRiemannian.from_frame(lambda q: [[1, 0, 0], [0, 1, 0]], 3)
    assert flat.bracket_generating([0, 0, 0]).holds is False
    assert "closed" in flat.bracket_generating([0, 0, 0]).reason
    assert flat.equiregular([0, 0, 0]).holds is True


def test_what_is_not_known_is_not_said():
    early = engel().bracket_generating([0, 0, 0, 0], steps=2)
    assert (early.holds, bool(early)) == (None, False)
    assert str(engel().equiregular([0, 0, 0, 0], steps=2)).startswith("undecided")
