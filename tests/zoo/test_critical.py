"""Every problem of the zoo of rest points: all components are found, none twice, with their exact answers."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import subriem as sr
from subriem.core.status import Status
from subriem.zoo.critical import all_cases, cases, get
from subriem.zoo.critical.matrices import rayleigh
from subriem.zoo.critical.networks import INPUTS, UNIT, residual, split

SLOW = {
    "torus", "product-torus", "factors-4-2-2", "factors-3-3-2", "rayleigh-2-3", "trace-rotations", "splitting",
    "heisenberg-saddle", "heisenberg-turning", "phase-4", "tanh-1-2-1",
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in cases])
def test_components_are_those_known(name):
    case = get(name)
    found = case.find()
    assert (case.missing(found), case.unexpected(found)) == ([], []), str(found)
    assert found.status is Status.SUCCESS
    assert len(found.crossings) == len(case.crossings)
    for place in case.crossings:
        assert min(np.linalg.norm(one.point - place) for one in found.crossings) < 1e-8
    for one in found.components:
        if one.verdict == "morse_bott":
            assert one.nullity == one.dimension


@pytest.mark.slow
def test_three_branches_meet_where_a_unit_dies():
    """At s = 1 and s = 0 the line and two curves of dead units."""
    found = get("splitting").find()
    for one in found.crossings:
        assert (one.verdict, one.nullity, len(one.tangents)) == ("crossing", 3, 3)
        assert len(one.components) == 3


@pytest.mark.slow
def test_the_study_of_a_network():
    """Classes with their rank of D, the same with one worker and with four; a start that finds none has a reason."""
    case = get("tanh-1-2-1")
    alone = case.find(starts=200)
    known = {(2, 2, (1,)), (1, 1, (4,)), (1, 1, (5,)), (0, 0, (7,))}
    assert {(one.dimension, one.index, one.rank) for one in alone.components} == known
    assert sum(one.starts for one in alone.components) + sum(alone.runaways.values()) == 200
    assert sum(one.starts for one in alone.components) > 50
    with ProcessPoolExecutor(4) as pool:
        assert str(case.find(starts=200, executor=pool)) == str(alone)


def test_chens_spectrum():
    """-1 ± i z/2 along the z-axis for H = |q|^2/2."""
    line = get("heisenberg-spiral").find(starts=2).components[0]
    assert line.spectrum is not None
    expected = -1 + 0.5j * np.abs(line.points[:, 2:]) * np.array([1, -1])
    assert np.abs(line.spectrum - expected).max() < 1e-9


def test_the_split_unit_is_a_rest_point():
    """On the whole line, and the residual is orthogonal to all changes of the unit."""
    w, b, _ = UNIT
    slope = 1 - np.tanh(w * INPUTS + b) ** 2
    assert np.abs(residual() @ np.stack([np.tanh(w * INPUTS + b), slope, slope * INPUTS], axis=1)).max() < 1e-14
    gradient = get("splitting").problem.velocity
    assert max(np.abs(gradient(split(s))).max() for s in (-0.5, 0.0, 0.3, 1.0, 1.7)) < 1e-14


def test_names_titles_and_sources():
    for case in all_cases():
        assert case.name in repr(case)
        assert case.title
        assert case.source
        assert cases[case.name] is case
    with pytest.raises(sr.ProblemError, match="problem of rest points"):
        get("torsu")


def test_a_missing_component_is_told():
    """With one start a component is missing; a second component of the same kind is not expected."""
    case = rayleigh((1, 2, 1))
    found = case.find(starts=1)
    assert len(case.missing(found)) == 2
    assert case.unexpected(found) == []
