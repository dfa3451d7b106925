"""Curves of rest points in a parameter: folds and pitchforks in closed form."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.critical.continuation import with_parameter
from subriem.critical.problem import RestProblem
from subriem.critical.stability import stability

POLICY = sr.RankPolicy()


def scalar_dae(right_hand_side):
    @sr.dae(variables="x", parameters={"other": [7.0, 8.0], "p": 0.0})
    def family(t, v, d, p):
        return {"motion": d(v.x) - right_hand_side(v.x, p.p) + 0 * p.other[0]}

    return family


MAKERS = {
    "map": lambda f: with_parameter(sr.map(lambda z: [f(z[0], z[1])], 2), "p"),
    "DAE": lambda f: with_parameter(scalar_dae(f), "p"),
    "family": lambda f: with_parameter(lambda p: scalar_dae(f).with_parameters(p=p), "p"),
}


def across(problem: RestProblem, points, tangents):
    points, tangents = np.asarray(points, dtype=float), np.asarray(tangents, dtype=float)
    tangents = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
    assert max(np.abs(problem.map.value(z)).max() for z in points) < 1e-9
    assert max(np.abs(problem.map.jacobian(z) @ t).max() for z, t in zip(points, tangents, strict=True)) < 1e-7
    return stability(problem, points, tangents[:, :, None], sr.RankPolicy(rtol=1e-8))


@pytest.mark.parametrize("name", MAKERS)
def test_a_fold(name):
    """x' = p - x^2 along (x, x^2): the rate is -2 x, and 0 at the fold."""
    x = np.array([-1.0, -0.3, 0.0, 0.3, 1.0])
    problem = MAKERS[name](lambda x, p: p - x**2)
    assert problem.names[-1] == "p"
    found = across(problem, np.column_stack([x, x**2]), np.column_stack([np.ones(5), 2 * x]))
    assert found.spectrum[:, 0].real == pytest.approx(-2 * x, abs=1e-8)
    assert found.index.tolist() == [1, 1, 0, 0, 0]
    assert found.nullity.tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("name", MAKERS)
def test_a_pitchfork(name):
    """x' = p x - x^3: stable for p < 0 at 0, unstable for p > 0, and stable on p = x^2 with the rate -2 x^2."""
    problem = MAKERS[name](lambda x, p: p * x - x**3)
    trivial = across(problem, [[0, -1], [0, 0.5]], [[0, 1], [0, 1]])
    assert trivial.spectrum[:, 0].real == pytest.approx([-1, 0.5], abs=1e-8)
    branch = across(problem, [[0.5, 0.25]], [[1, 1.0]])
    assert branch.spectrum[0, 0].real == pytest.approx(-0.5, abs=1e-8)


def test_a_potential_with_a_parameter():
    """V = (|x|^2 - p)^2/4 - x_0: rest points (r, 0) with p = r^2 - 1/r, rates -(3 r^2 - p) and -(r^2 - p)."""
    made: list[float] = []

    def family(p):
        made.append(p)
        return sr.flows.potential(lambda x: (ca.sumsqr(x) - p) ** 2 / 4 - x[0], 2)

    problem = with_parameter(family, "p", at=1.0)
    r = np.array([0.5, 1.0, 1.5, -0.4])
    p = r**2 - 1 / r
    points, slopes = np.column_stack([r, 0 * r, p]), np.column_stack([np.ones(4), 0 * r, 2 * r + r**-2])
    found = across(problem, points, slopes)
    expected = np.sort(np.column_stack([p - 3 * r**2, p - r**2]), axis=1)[:, ::-1]
    assert found.spectrum.real == pytest.approx(expected, abs=1e-7)
    assert problem.gradient
    assert problem.cost is not None
    assert problem.cost(points[0]) == pytest.approx((0.25 - p[0]) ** 2 / 4 - 0.5)
    assert len(set(made)) == len(made)  # each made once


def test_a_bead_on_a_turning_hoop():
    """theta'' = sin theta (w^2 cos theta - g) - theta'/2, of second order: a pitchfork at w^2 = g."""

    @sr.dae(variables="theta", parameters={"g": 4.0, "w": 1.0})
    def hoop(t, v, d, p):
        return {"motion": d(v.theta, 2) + d(v.theta) / 2 - ca.sin(v.theta) * (p.w**2 * ca.cos(v.theta) - p.g)}

    problem = with_parameter(hoop, "w")
    w = 3.0
    angle = np.arccos(4 / w**2)
    along = np.array([8 / (w**3 * np.sin(angle)), 1.0])  # d arccos(g/w^2)/dw
    found = across(problem, [[0, 1.0], [0, w], [angle, w]], [[0, 1], [0, 1], along])
    stiffness = np.array([1.0 - 4, w**2 - 4, -((w * np.sin(angle)) ** 2)])
    expected = -0.25 + np.sqrt((1 / 16 + stiffness).astype(complex))
    assert np.abs(found.spectrum[:, 0] - expected).max() < 1e-10
    assert found.index.tolist() == [0, 1, 0]


def test_constraints_that_move():
    """The height on a circle of radius p: rates -1/p at the bottom, 1/p at the top."""
    problem = with_parameter(
        lambda p: sr.flows.constrained(lambda y: y[1], lambda y: ca.sumsqr(y) - p**2, dim=2), "p", at=1.0
    )
    found = across(problem, [[0, -2.0, 2.0], [0, 0.5, 0.5]], [[0, -1, 1], [0, 1, 1]])
    assert found.spectrum[:, 0].real == pytest.approx([-0.5, 2.0], abs=1e-8)
    assert problem.gradient


def test_what_has_no_parameter_is_refused():
    for family, match in (
        (sr.map(lambda z: [z[0]], 3), "not one parameter"),
        (scalar_dae(lambda x, p: p - x), "no scalar parameter"),
        (3.0, "has no parameter"),
    ):
        with pytest.raises(sr.ProblemError, match=match):
            with_parameter(family, "other")


def test_problems_of_different_kinds_are_refused():
    kinds = {0.0: sr.flows.potential(ca.sumsqr, 1), 1.0: sr.map(lambda z: [z[0]], 1)}
    problem = with_parameter(lambda p: kinds[p], at=0.0)
    assert problem.cost is not None
    with pytest.raises(sr.ProblemError, match="different kinds"):
        problem.cost(np.array([0.0, 1.0]))
