"""Folds, crossings and Hopf points along curves of rest points, in closed form to 1e-8."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.critical.adapters import rest_problem
from subriem.critical.continuation import with_parameter
from subriem.zoo.critical import get

A, B, BETA = 1.3, 8.0, 0.3


def curves(field, n, **options):
    """What is found of z' = field(z), whose last coordinate is the parameter."""
    return sr.equilibria(with_parameter(sr.map(field, n), "p"), **options)


def changes(found):
    """All changes as (kind, index, frequency, point)."""
    return [(change.kind, change.index, change.frequency, change.point) for change in found.changes]


def agree(found, expected):
    """The changes are those expected, in any order, and their points lie on the set."""
    seen = changes(found)
    assert len(seen) == len(expected), str(found)
    for kind, index, frequency, point in expected:
        near = [one for one in seen if one[0] == kind and np.linalg.norm(one[3] - point) < 1e-8]
        assert index in [one[1] for one in near], str(found)
        assert min(abs(one[2] - frequency) for one in near) < 1e-7
    residual = next(check for check in found.checks if check.name == "residual")
    assert residual.passed


def hopf(z):
    """The normal form: a pair p ± i w with w = 3 at the origin."""
    x, y, p = z[0], z[1], z[2]
    r = x**2 + y**2
    return [p * x - 3 * y - x * r, 3 * x + p * y - y * r]


def test_a_fold():
    """x' = p - 0.3 - (x - 0.1)^2."""
    found = curves(lambda z: [z[1] - 0.3 - (z[0] - 0.1) ** 2], 2, starts=4)
    agree(found, [("fold", (1, 0), 0.0, [0.1, 0.3])])
    (change,) = found.components[0].changes
    assert np.abs(change.tangent - [1, 0]).max() < 1e-7
    assert found.names[-1] == "p"
    assert "fold at" in str(found)


def test_a_fold_at_a_chart():
    """The first chart is the fold itself, where the eigenvalue is 0 to roundoff."""
    found = curves(lambda z: [z[1] - z[0] ** 2], 2, starts=[[0.0, 0.0]])
    agree(found, [("fold", (1, 0), 0.0, [0.0, 0.0])])


def test_a_fold_where_a_hopf_point_begins():
    """x' = y, y' = p + x^2 + x y: both eigenvalues are 0 at the origin (Bogdanov and Takens)."""
    found = curves(lambda z: [z[1], z[2] + z[0] ** 2 + z[0] * z[1]], 3, starts=4)
    agree(found, [("fold", (0, 1), 0.0, [0, 0, 0])])


def test_a_surface_and_a_curve():
    """r' = p r - r^3 in the plane: the axis r = 0 meets the paraboloid p = r^2, where nothing is told of changes."""
    agree(
        curves(lambda z: [z[2] * x - x * (z[0] ** 2 + z[1] ** 2) for x in (z[0], z[1])], 3, starts=4, step=0.3),
        [("crossing", (0, 2), 0.0, [0, 0, 0])],
    )


def test_the_convection_of_lorenz():
    """Hopf points at rho = s (s + b + 3)/(s - b - 1), x = y = ± sqrt(b (rho - 1)), of frequency sqrt(b (s + rho))."""
    s, b = 10.0, 8 / 3
    rho = s * (s + b + 3) / (s - b - 1)
    x = np.sqrt(b * (rho - 1))

    def field(z):
        return [s * (z[1] - z[0]), z[0] * (z[3] - z[2]) - z[1], z[0] * z[1] - b * z[2]]

    found = curves(field, 4, starts=[[0.0, 0.0, 0.0, 5.0]], box=((-12, -12, -2, -2), (12, 12, 30, 30)))
    expected = [("hopf", (0, 2), np.sqrt(b * (s + rho)), [sign * x, sign * x, rho - 1, rho]) for sign in (1, -1)]
    agree(found, [("crossing", (0, 1), 0.0, [0, 0, 0, 1]), *expected])


def test_a_transcritical_crossing():
    """x' = p x - x^2: stability is exchanged between x = 0 and x = p."""
    agree(
        curves(lambda z: [z[1] * z[0] - z[0] ** 2], 2, starts=4),
        [("crossing", (0, 1), 0.0, [0, 0]), ("crossing", (1, 0), 0.0, [0, 0])],
    )


@pytest.mark.parametrize(("sign", "outer"), [(1, 0), (-1, 1)], ids=["soft", "hard"])
def test_a_pitchfork(sign, outer):
    """x' = p x ∓ x^3: x = 0 loses its stability, the branch p = ± x^2 keeps its own."""
    found = curves(lambda z: [z[1] * z[0] - sign * z[0] ** 3], 2, starts=6)
    agree(found, [("crossing", (0, 1), 0.0, [0, 0])])
    assert sorted(one.indices for one in found.components) == sorted([(0, 1), (outer,)])
    assert len(found.crossings) == 1


def test_a_hopf_point():
    agree(curves(hopf, 3, starts=4), [("hopf", (0, 2), 3.0, [0, 0, 0])])


def test_the_brusselator():
    """A Hopf point at B = 1 + A^2, x = A, y = B/A, of frequency A."""
    found = curves(
        lambda z: [A - (z[2] + 1) * z[0] + z[0] ** 2 * z[1], z[2] * z[0] - z[0] ** 2 * z[1]], 3,
        starts=4, box=((0, 0, 0.5), (4, 4, 4)),
    )  # fmt: skip
    agree(found, [("hopf", (0, 2), A, [A, (1 + A**2) / A, 1 + A**2])])


def test_a_stirred_reactor():
    """Two folds at x (1 - x) = (1 + beta)/B, and beside the second one, before the next chart, a Hopf point."""

    def field(z):
        rate = z[2] * (1 - z[0]) * ca.exp(z[1])
        return [rate - z[0], B * rate - (1 + BETA) * z[1]]

    found = curves(field, 3, starts=[[0.5, 3.0, 0.05]], box=((0, 0, 0), (1, 8, 0.3)))
    folds = 0.5 + np.array([-1, 1]) * np.sqrt(0.25 - (1 + BETA) / B)
    # the trace: B x - x/(1 - x) - 2 - beta = 0
    roots = np.roots([-B, B - 1 + 2 + BETA, -2 - BETA])
    x = max(roots)
    places = [np.array([x, B * x / (1 + BETA), x / (1 - x) * np.exp(-B * x / (1 + BETA))]) for x in (*folds, x)]
    gain = x / (1 - x)
    determinant = (1 + gain) * (1 + BETA - B * x) + B * gain * x
    expected = [
        ("fold", (0, 1), 0.0, places[0]),
        ("fold", (1, 2), 0.0, places[1]),
        ("hopf", (2, 0), np.sqrt(determinant), places[2]),
    ]
    agree(found, expected)
    assert np.linalg.norm(places[2] - places[1]) < found.components[0].h


def test_a_family_of_problems():
    """x' = x + p - x^3: folds at x = ±1/sqrt(3); the derivative in p is a difference quotient."""

    def family(p):
        field = sr.numpy_map(lambda x: x + p - x**3, lambda x: np.diag(1 - 3 * x**2), 1, 1)
        return rest_problem(field, field=True)

    x = 3**-0.5
    found = sr.equilibria(with_parameter(family, "p"), starts=[[1.2, 0.5]])
    agree(found, [("fold", (0, 1), 0.0, [-x, x - x**3]), ("fold", (1, 0), 0.0, [x, x**3 - x])])


def test_a_pendulum_of_second_order():
    """theta'' = -theta' c + (w^2 cos theta - 4) sin theta: the bottom loses its stability at w = 2."""

    @sr.dae(variables="theta", parameters={"w": 1.0})
    def hoop(t, v, d, p):
        return {"motion": d(v.theta, 2) + d(v.theta) / 2 - ca.sin(v.theta) * (p.w**2 * ca.cos(v.theta) - 4)}

    found = sr.equilibria(with_parameter(hoop, "w"), starts=[[0.01, 1.0]], box=((-1, 0.5), (1, 3)))
    agree(found, [("crossing", (0, 1), 0.0, [0, 2])])


def test_eigenvalues_that_stay_on_the_axis():
    """x'' = -p x: real for p < 0, ± i sqrt(p) for p > 0. The rank falls at 0, and nothing else is told."""
    found = curves(lambda z: [z[1], -z[2] * z[0] + 0 * z[1]], 3, starts=[[0.0, 0.0, -1.0]])
    agree(found, [("crossing", (1, 0), 0.0, [0, 0, 0])])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("heisenberg-turning", [((2, 0), 0.0)]),
        ("heisenberg-saddle", [((0, 1), -2.0), ((1, 0), 2.0)]),
        ("heisenberg-spiral", []),
    ],
)
def test_an_axis_of_a_nonholonomic_motion(name, expected):
    found = get(name).find(starts=[[0.1, 0.1, 1.0]])
    agree(found, [("crossing", index, 0.0, [0, 0, z]) for index, z in expected])


def test_a_set_without_a_motion_has_none():
    circle = sr.map(lambda x: [ca.sumsqr(x) - 1], 2)
    assert changes(sr.equilibria(circle, starts=2)) == []
