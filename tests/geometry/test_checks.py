"""`check_space` passes what is right and names what is broken. The zoo runs through it in tests/zoo."""

from dataclasses import replace

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.geometry import checks
from subriem.geometry.normal import NormalFlow
from tests.geometry.structures import grushin, heisenberg, martinet, su2, trailers


def heisenberg_law(g, h):
    return [g[0] + h[0], g[1] + h[1], g[2] + h[2] + (g[0] * h[1] - g[1] * h[0]) / 2]


def quaternions(g, h):
    a, b, c, d = (g[i] for i in range(4))
    e, f, x, y = (h[i] for i in range(4))
    return [
        a * e - b * f - c * x - d * y,
        a * f + b * e + c * y - d * x,
        a * x - b * y + c * e + d * f,
        a * y + b * x - c * f + d * e,
    ]


def test_a_group_passes_and_says_what_was_measured():
    found = sr.check_space(heisenberg(), translate=heisenberg_law, weights=[1, 1, 2])
    assert found.passed
    assert found.failed == ()
    assert len(found.checks) == 11
    assert "obeys all" in str(found)
    assert "left invariance" in found._repr_html_()
    again = sr.check_space(heisenberg(), translate=heisenberg_law, weights=[1, 1, 2])
    assert [check.value for check in found.checks] == [check.value for check in again.checks]
    other = sr.check_space(heisenberg(), seed=1)
    assert other.passed
    assert other.checks[0].value != found.checks[0].value or other.checks[1].value != found.checks[1].value


@pytest.mark.parametrize("structure", [grushin(), martinet(), trailers(1)], ids=lambda s: s.name)
def test_spaces_without_a_group_pass(structure):
    assert sr.check_space(structure).passed


def test_a_field_with_the_wrong_sign_against_its_group_law():
    broken = sr.SubRiemannian.from_frame(lambda q: [[1, 0, q[1] / 2], [0, 1, q[0] / 2]], 3)
    assert "left invariance" in sr.check_space(broken, translate=heisenberg_law).failed
    mirrored = sr.SubRiemannian.from_frame(
        lambda q: [[1, 0, q[1] / 2], [0, 1, -q[0] / 2]], 3
    )  # the right-invariant ones
    assert sr.check_space(mirrored, translate=heisenberg_law).failed == ("left invariance",)


def test_a_frame_turned_from_point_to_point_spans_the_same_metric():
    turned = sr.SubRiemannian.from_frame(
        lambda q: (
            ca.horzcat(ca.vertcat(1, 0, -q[1] / 2), ca.vertcat(0, 1, q[0] / 2))
            @ ca.vertcat(ca.horzcat(ca.cos(q[2]), -ca.sin(q[2])), ca.horzcat(ca.sin(q[2]), ca.cos(q[2])))
        ),
        3,
    )
    assert sr.check_space(turned, translate=heisenberg_law, weights=[1, 1, 2]).passed


def test_a_law_that_is_no_group_law():
    def broken(g, h):
        return [g[0] + h[0], g[1] + h[1], g[2] + h[2] + (g[0] * h[1] - g[1] * h[0]) / 2 + g[0] * h[2] * h[0]]

    assert set(sr.check_space(heisenberg(), translate=broken).failed) == {"left invariance", "associativity"}


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 1, 3], [1, 2, 3], [2, 2, 4]])
def test_wrong_weights(weights):
    assert sr.check_space(heisenberg(), weights=weights).failed == ("dilation",)


def test_weights_and_law_of_another_metric():
    stretched = sr.SubRiemannian.from_frame(lambda q: [[1 + q[2] ** 2, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    found = sr.check_space(stretched, translate=heisenberg_law, weights=[1, 1, 2])
    assert found.failed == ("left invariance", "dilation")


def quaternion_fields(q):
    a, b, c, d = (q[i] for i in range(4))
    return [[-b / 2, a / 2, d / 2, -c / 2], [-c / 2, -d / 2, a / 2, b / 2]]


def test_redundant_charts():
    q = [0.5, 0.1, 0.7, 0.5]
    assert sr.check_space(su2(), q=q, translate=quaternions).passed
    with pytest.raises(sr.ProblemError, match="redundant"):
        sr.check_space(su2())
    for dim in (2, 4):
        wrong = sr.SubRiemannian.from_frame(quaternion_fields, dim, coordinates="a b c d")
        assert sr.check_space(wrong, q=q).failed == ("dimension",)


def test_a_field_that_leaves_the_manifold():
    """A sign in one entry: the field is not tangent to the spheres, and the brackets fill the chart."""

    def fields(q):
        first, second = quaternion_fields(q)
        return [first, [second[0], -second[1], second[2], second[3]]]

    leaving = sr.SubRiemannian.from_frame(fields, 3, coordinates="a b c d")
    assert "dimension" in sr.check_space(leaving, q=[1, 0, 0, 0]).failed


def test_fields_that_do_not_generate():
    spheres = sr.SubRiemannian.from_frame(lambda q: [[0, -q[2], q[1]], [q[2], 0, -q[0]]], 3)
    assert sr.check_space(spheres, q=[0.3, 0.4, 0.5]).failed == ("dimension",)


class Broken(NormalFlow):
    """A flow with one wrong term: p' off by a share, or q' off the distribution."""

    wrong = "p"

    @property
    def _symbols(self):
        z, u, rates = super()._symbols
        place = 3 if self.wrong == "p" else 2
        moved = ca.vertcat(
            *(rates[i] * (1.01 if i == place else 1) + (0.01 * z[0] if i == place else 0) for i in range(6))
        )
        return z, u, moved


@pytest.mark.parametrize(("wrong", "laws"), [("p", {"H constant", "speed"}), ("q", {"horizontality", "homogeneity"})])
def test_a_wrong_flow_is_found(wrong, laws):
    """What nobody can declare, but we could have derived: a term of Hamilton's equations."""
    structure = replace(heisenberg())
    flow = Broken(structure.frame)
    flow.wrong = wrong
    structure.__dict__["normal"] = flow
    assert laws <= set(sr.check_space(structure).failed)


def test_a_wrong_derivative_is_found(monkeypatch):
    monkeypatch.setattr("subriem.geometry.geodesic.Geodesic.jacobian", lambda self, t=None: 1.001 * np.eye(3))
    assert sr.check_space(heisenberg()).failed == ("derivative",)


def test_bad_arguments_are_refused():
    for options in (
        {"weights": [1, 1]},
        {"weights": "112"},
        {"q": [0, 0]},
        {"translate": lambda g, h: [g[0]]},
        {"translate": lambda g, h: ["a", h[0], g[0]]},
    ):
        with pytest.raises(sr.ProblemError):
            sr.check_space(heisenberg(), **options)
    vanishing = sr.SubRiemannian.from_frame(lambda q: [[q[0], 0], [0, q[0]]], 2)
    with pytest.raises(sr.ProblemError, match="no geodesic leaves"):
        sr.check_space(vanishing)


def test_structures_from_forms_and_from_maps():
    forms = sr.SubRiemannian.from_constraints(lambda q: [[q[1] / 2, -q[0] / 2, 1]], 3)
    assert sr.check_space(forms).passed
    assert sr.check_space(forms, translate=heisenberg_law).failed == ("left invariance",)  # the Euclidean metric is not
    of_map = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
    assert sr.check_space(of_map.symbolic).passed
    with pytest.raises(sr.ProblemError, match="symbolic"):
        sr.check_space(of_map)


def test_a_nan_fails():
    check = sr.check_space(heisenberg()).checks[0]
    table = checks.SpaceChecks(heisenberg(), (replace(check, value=np.nan),))
    assert not table.passed
    assert table.failed == ("H constant",)
