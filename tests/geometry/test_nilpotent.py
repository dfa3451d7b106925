"""Nilpotent approximations: orders, homogeneity, nilpotency, and convergence of geodesics under dilation."""

import pickle

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.casadi_map import BufferedFunction
from subriem.geometry.brackets import Brackets
from tests.geometry.structures import engel, grushin, heisenberg, martinet, se2, su2, trailers

HALF = np.pi / 2


def sphere_chart():
    """Return SU(2) by the last three entries of the unit quaternion."""

    def fields(q):
        b, c, d = (q[i] for i in range(3))
        a = ca.sqrt(1 - b**2 - c**2 - d**2)
        return [[a / 2, d / 2, -c / 2], [-d / 2, a / 2, b / 2]]

    return sr.SubRiemannian.from_frame(fields, 3, coordinates="b c d", name="SU(2)")


def rolling_ball():
    """Return a unit ball that rolls on the plane; its turn by (b, c, d) of the unit quaternion."""

    def fields(q):
        b, c, d = (q[i] for i in range(2, 5))
        a = ca.sqrt(1 - b**2 - c**2 - d**2)
        # spin (0, 1, 0) for a way along x, (-1, 0, 0) along y
        return [[1, 0, d / 2, a / 2, -b / 2], [0, 1, -a / 2, d / 2, -c / 2]]

    return sr.SubRiemannian.from_frame(fields, 5, coordinates="x y b c d", name="rolling ball")


CASES = [
    (heisenberg(2), [0.1, 0.2, 0.3, 0.4, 0.5]),
    (grushin(), [0, 0.3]),
    (grushin(), [0.7, 0.3]),
    (martinet(), [0, 0.2, 0.1]),
    (martinet(), [0.5, 0.2, 0.1]),
    (engel(), [0.1, 0.2, 0.3, 0.4]),
    (se2(), [0.1, 0.2, 0.7]),
    (sphere_chart(), [0.2, -0.3, 0.4]),
    (rolling_ball(), [0.5, 0.1, 0.2, -0.3, 0.4]),
    (trailers(1), [0, 0, 0.1, 0.4]),
    (trailers(2), [0, 0, 0, 0.3, 0.5]),
    (trailers(2), [0, 0, 0, 0, HALF]),
]
TANGENTS = [(structure.nilpotent(q), structure, np.array(q, dtype=float)) for structure, q in CASES]
NAMES = [f"{s.name} {t.weights}" for t, s, _ in TANGENTS]

everywhere = pytest.mark.parametrize(("tangent", "structure", "q"), TANGENTS, ids=NAMES)


def falls(errors, order, noise):
    """Whether errors at eps, eps / 2 … fall at least with this order, down to their noise."""
    return all(b <= max(a / 2 ** (order - 0.25), n) for a, b, n in zip(errors[:-1], errors[1:], noise[1:], strict=True))


def unit(size, seed=0):
    vector = np.random.default_rng(seed).standard_normal(size)
    return vector / np.linalg.norm(vector)


@everywhere
def test_the_tangent_grows_like_the_structure(tangent, structure, q):
    assert tangent.model.growth(np.zeros(structure.n)).vector == structure.growth(q).vector
    assert all(check.passed for check in tangent.checks)
    assert "FAILS" not in str(tangent)


@everywhere
def test_the_tangent_is_nilpotent_of_the_step_of_the_structure(tangent, structure, q):
    brackets, z = Brackets(tangent.model.frame), 2 * unit(structure.n)

    def sizes(step):
        words, function = brackets.layer(step)
        values = np.abs(function(z).reshape((2 * structure.n, -1))) if words else np.zeros((2 * structure.n, 1))
        return values[: structure.n].max(), values[structure.n :].max()

    assert sizes(tangent.step)[0] > 0.1
    bracket, terms = sizes(tangent.step + 1)
    assert bracket <= 1e-12 * terms


@everywhere
def test_the_tangent_is_homogeneous(tangent, structure, q):
    """(d_eps)_* X^ = X^ / eps: the components have degree w_j - 1."""
    frame, z, eps = BufferedFunction(tangent.model.frame), unit(structure.n), 0.37
    here = frame(z).reshape((structure.n, -1))
    there = frame(tangent.dilation(eps, z)).reshape((structure.n, -1))
    np.testing.assert_allclose(there, eps ** (np.array(tangent.weights) - 1.0)[:, None] * here, rtol=1e-12, atol=1e-15)


@everywhere
def test_the_coordinates_invert_each_other(tangent, structure, q):
    z = 0.5 * unit(structure.n)
    np.testing.assert_allclose(tangent.coordinates(tangent.point(z)), z, atol=1e-14)
    np.testing.assert_allclose(tangent.coordinates(q), 0, atol=1e-15)
    x = ca.SX.sym("q", structure.n)
    slope = ca.Function("slope", [x], [ca.jacobian(tangent.to_privileged(x), x)])
    np.testing.assert_allclose(np.array(slope(q)) @ tangent.growth.basis, np.eye(structure.n), atol=1e-13)


@everywhere
def test_coordinates_have_the_order_of_their_weight(tangent, structure, q):
    """Along horizontal curves of length eps, z_j = O(eps^w_j): nonholonomic order, not that of the coordinates."""
    p = np.linalg.solve(tangent.growth.basis.T, unit(structure.n, 3) * 2)
    scales = 0.4 / 2.0 ** np.arange(5)
    ends = np.array([tangent.coordinates(structure.shoot(q, p, eps, rtol=1e-14).end) for eps in scales])
    for z, weight in zip(np.abs(ends).T, tangent.weights, strict=True):
        assert falls(z[2:], weight, np.full(3, 1e-14))


@everywhere
def test_the_fields_differ_from_the_tangent_by_higher_weight(tangent, structure, q):
    z, scales = unit(structure.n, 1) / 2, 1 / 2.0 ** np.arange(3, 8)
    errors = [np.abs(tangent.remainder(z, eps)).max() for eps in scales]
    assert falls(errors, 1, 1e-15 * scales ** (1.0 - max(tangent.weights)))
    assert errors[0] < 0.5


@everywhere
def test_geodesics_converge_to_those_of_the_tangent(tangent, structure, q):
    """d_1/eps exp_q(d_eps p) -> exp^_0(p) at first order, with p dilated so that the geodesic has length eps."""
    n, weights = structure.n, np.array(tangent.weights)
    p, scales = unit(n, 2), 1 / 2.0 ** np.arange(2, 7)
    model = tangent.model.exponential(np.zeros(n), p)
    errors = []
    for eps in scales:
        covector = np.linalg.solve(tangent.growth.basis.T, p * eps ** (2.0 - weights))  # (dz)^T at q is A^-T
        end = tangent.coordinates(structure.exponential(q, covector, rtol=1e-14))
        errors.append(np.abs(end * eps ** -weights.astype(float) - model).max())
    assert falls(errors, 1, 1e-14 * scales ** -float(max(weights)))
    assert errors[0] < 0.5


@pytest.mark.parametrize(
    ("structure", "q", "equations"),
    [
        (heisenberg(), [0.1, 0.2, 0.3], ("X1 = d_z1 - 0.5*z2*d_z3", "X2 = d_z2 + 0.5*z1*d_z3")),
        (grushin(), [0, 0.3], ("X1 = d_z1", "X2 = z1*d_z2")),
        (martinet(), [0, 0.2, 0.1], ("X1 = d_z1", "X2 = d_z2 + 0.5*z1^2*d_z3")),
        (martinet(), [0.5, 0.2, 0.1], ("X1 = d_z1", "X2 = d_z2 + z1*d_z3")),
        (se2(), [0.4, 0.5, 0.6], ("X1 = d_z2 - z1*d_z3", "X2 = d_z1")),
        (  # a right angle is one although cos(pi / 2) is not 0 in floating point
            trailers(2),
            [0, 0, 0, 0, HALF],
            (
                "X1 = d_z2 - z1*d_z3 + z2*d_z3 - z1*z2*d_z4 + z2^2*d_z4 - z1*z4*d_z5 + z2*z4*d_z5",
                "X2 = d_z1",
            ),
        ),
    ],
)
def test_tangents_as_text(structure, q, equations):
    assert structure.nilpotent(q).equations == equations


def test_a_carnot_group_in_bent_coordinates_is_its_own_tangent():
    """Engel in coordinates bent by terms of lower weight, which are undone, and of higher ones, which are not seen."""
    x = ca.SX.sym("x", 4)
    bent = ca.vertcat(x[0], x[1], x[2] + x[0] ** 3, x[3] + x[1] ** 2 - x[0] * x[1])
    phi = ca.Function("phi", [x], [bent])
    slope = ca.Function("slope", [x], [ca.jacobian(bent, x)])
    group = engel()
    moved = sr.SubRiemannian.from_frame(lambda x: ca.solve(slope(x), group.frame(phi(x))), 4)
    tangent = moved.nilpotent([0, 0, 0, 0])
    assert tangent.growth.names[:2] == ("X2", "X1")  # z1 = y, z2 = x
    assert tangent.equations == ("X1 = d_z2 - 0.5*z1*d_z3", "X2 = d_z1 + 0.5*z2*d_z3 + 0.5*z1^2*d_z4 + 0.5*z2^2*d_z4")
    np.testing.assert_allclose(tangent.coordinates([0.1, 0.2, 0.3, 0.4]), [0.2, 0.1, 0.3, 0.4 + 0.04 - 0.02])


def test_fields_that_are_dependent_have_a_tangent():
    """Three fields for a plane, from a form; their cometric is what counts."""
    contact = sr.SubRiemannian.from_constraints(lambda q: [[q[1] / 2, -q[0] / 2, 1]], 3)
    tangent = contact.nilpotent([0.3, -0.2, 0.1])
    assert tangent.model.growth([0, 0, 0]).vector == (2, 3)
    errors = [np.abs(tangent.remainder(unit(3), eps)).max() for eps in (0.1, 0.05, 0.025)]
    assert falls(errors, 1, np.full(3, 1e-13))


def test_a_step_of_eight():
    """Three trailers with right angles between them: weights (1, 1, 2, 3, 5, 8)."""
    structure, q = trailers(3), np.array([0, 0, 0, 0.3, 0.3 + HALF, 0.3 + np.pi])
    tangent = structure.nilpotent(q)
    assert tangent.weights == (1, 1, 2, 3, 5, 8)
    assert all(check.passed for check in tangent.checks)
    errors = [np.abs(tangent.remainder(unit(6) / 2, eps)).max() for eps in (1 / 4, 1 / 8, 1 / 16)]
    assert falls(errors, 1, np.full(3, 1e-6))


@pytest.mark.parametrize("unit_of_length", [1e-5, 1e5])
def test_units_of_coordinates_do_not_matter(unit_of_length):
    """The tangent is that of the structure, not of its coordinates."""
    c, q = unit_of_length, np.array([0.2, 0.1, 0.1, 0.4])
    scale = np.array([c, c, 1, 1])
    car = trailers(1)
    moved = sr.SubRiemannian.from_frame(lambda x: ca.DM(scale) * car.frame(x / ca.DM(scale)), 4)
    one, other = car.nilpotent(q), moved.nilpotent(q * scale)
    np.testing.assert_allclose(
        BufferedFunction(one.model.frame)(unit(4)), BufferedFunction(other.model.frame)(unit(4)), rtol=1e-9, atol=1e-12
    )


def test_it_survives_pickling():
    tangent = martinet().nilpotent([0, 0.2, 0.1])
    copy = pickle.loads(pickle.dumps(tangent))
    np.testing.assert_array_equal(copy.coordinates([0.1, 0.3, 0.2]), tangent.coordinates([0.1, 0.3, 0.2]))


def test_where_it_is_not_defined_it_is_refused():
    with pytest.raises(sr.GeometryError, match="4 coordinates a, b, c, d for dimension 3"):
        su2().nilpotent([1, 0, 0, 0])
    flat = sr.SubRiemannian.from_frame(lambda q: [[1, 0, 0], [0, 1, 0]], 3)
    with pytest.raises(sr.GeometryError, match="closed under brackets"):
        flat.nilpotent([0, 0, 0])
    with pytest.raises(sr.ProblemError):
        heisenberg().nilpotent([0, 0, 0]).dilation(-1.0, [0, 0, 0])
