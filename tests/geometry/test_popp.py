"""Popp's volume against the literature, and what must not change it."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from tests.geometry.structures import engel, grushin, heisenberg, martinet, reference, se2, su2, trailers


def cartan():
    return sr.SubRiemannian.from_frame(
        lambda q: [[1, 0, 0, 0, 0], [0, 1, q[0], q[0] ** 2 / 2, q[0] * q[1]]], 5, name="Cartan"
    )


@pytest.mark.parametrize(
    ("structure", "q", "entry"),
    [
        (heisenberg(), [0.3, 0.2, 0.1], "popp_heis_63"),
        (se2(), [0.3, 0.2, 0.7], "popp_se2_64"),
        (engel(), [0.3, 0.2, 0.1, 0.4], "popp_engel_65"),
        (cartan(), [0.3, 0.2, 0.1, 0.4, 0.5], "popp_cartan_66"),
        (martinet(), [0.5, 0.1, 0.2], "popp_martinet_67"),
    ],
)
def test_densities_of_the_literature(structure, q, entry):
    assert structure.popp(q) == pytest.approx(float(reference(entry)), rel=1e-13)


def test_density_near_the_singular_surface():
    """1 / (sqrt 2 |x|): it is not integrable there."""
    for x in (-1e-3, 0.2, 3.0):
        assert martinet().popp([x, 0.4, -0.3]) == pytest.approx(1 / (np.sqrt(2) * abs(x)), rel=1e-11)


def test_volume_of_the_heisenberg_ball():
    """The density is 1 / sqrt 2 everywhere: the ball has its Lebesgue volume over sqrt 2."""
    points = np.random.default_rng(0).uniform(-1, 1, (4, 3))
    densities = [heisenberg().popp(q) for q in points]
    volume = reference("heis_ball_vol")
    np.testing.assert_allclose(densities * volume, volume / np.sqrt(2), rtol=1e-13)


def test_contact_structures_of_many_fields():
    """On H^n the form has d omega with 2 n unit entries: 1 / sqrt(2 n); with weights a_i, 1 / sqrt(2 sum a_i^2)."""
    assert heisenberg(2).popp([0.1] * 5) == pytest.approx(0.5, rel=1e-13)

    def weighted(q):
        return [[1, 0, 0, 0, -q[1] / 2], [0, 1, 0, 0, q[0] / 2], [0, 0, 1, 0, -q[3]], [0, 0, 0, 1, q[2]]]

    assert sr.SubRiemannian.from_frame(weighted, 5).popp([0.1] * 5) == pytest.approx(1 / np.sqrt(10), rel=1e-13)


SPACES = [heisenberg(), heisenberg(2), se2(), engel(), cartan(), martinet(), trailers(1)]


def somewhere(structure):
    return 0.3 + 0.1 * np.arange(structure.n)


@pytest.mark.parametrize("structure", SPACES, ids=lambda s: s.name)
def test_a_change_of_coordinates_multiplies_by_its_determinant(structure):
    """In x with q = phi(x) the fields are (D phi)^-1 X(phi(x)), and the density is that in q times |det D phi|."""
    n, rng = structure.n, np.random.default_rng(1)
    linear, bent = np.eye(n) + 0.3 * rng.standard_normal((n, n)), 0.2 * rng.standard_normal((n, n))
    x = ca.SX.sym("x", n)
    phi = ca.Function("phi", [x], [ca.DM(linear) @ (x + ca.sin(ca.DM(bent) @ x) ** 2)])
    slope = ca.Function("slope", [x], [ca.jacobian(phi(x), x)])
    moved = sr.SubRiemannian.from_frame(lambda x: ca.solve(slope(x), structure.frame(phi(x))), n)
    at = 0.2 + 0.1 * np.arange(n)
    expected = structure.popp(np.array(phi(at)).ravel()) * abs(np.linalg.det(np.array(slope(at))))
    assert moved.popp(at) == pytest.approx(expected, rel=1e-11)


def turned(structure):
    """Return the same structure with another orthonormal frame, turned by angles that depend on the point."""

    def fields(q):
        frame = structure.frame(q)
        for i in range(structure.k - 1):
            angle = 1 + q[0] * q[1] + ca.sin((i + 1) * q[structure.n - 1])
            c, s = ca.cos(angle), ca.sin(angle)
            rotation = ca.SX.eye(structure.k)
            rotation[i : i + 2, i : i + 2] = ca.blockcat([[c, -s], [s, c]])
            frame = frame @ rotation
        return frame

    return sr.SubRiemannian.from_frame(fields, structure.n, name=structure.name)


@pytest.mark.parametrize("structure", SPACES, ids=lambda s: s.name)
def test_another_orthonormal_frame_gives_the_same_volume(structure):
    q = somewhere(structure)
    assert turned(structure).popp(q) == pytest.approx(structure.popp(q), rel=1e-11)


def test_fields_that_are_dependent_give_the_same_volume():
    """From a form there are three fields for a plane; only the cometric counts."""

    def metric(q):
        form = ca.vertcat(q[1] / 2, -q[0] / 2, 1)
        return ca.diag(ca.SX([1, 1, 0])) + form @ form.T

    contact = sr.SubRiemannian.from_constraints(lambda q: [[q[1] / 2, -q[0] / 2, 1]], 3, metric)
    assert contact.k == 3
    assert contact.popp([0.3, -0.2, 0.5]) == pytest.approx(1 / np.sqrt(2), rel=1e-12)


@pytest.mark.parametrize("structure", SPACES, ids=lambda s: s.name)
def test_a_longer_unit_divides_by_the_homogeneous_dimension(structure):
    """Fields c X make all lengths 1 / c, and volumes c^-Q."""
    c, q = 1.7, somewhere(structure)
    scaled = sr.SubRiemannian.from_frame(lambda q: c * structure.frame(q), structure.n)
    power = structure.growth(q).homogeneous_dimension
    assert scaled.popp(q) == pytest.approx(structure.popp(q) * c**-power, rel=1e-11)


def test_riemannian_volume():
    """sqrt(det g): the hyperbolic half-plane has 1 / y^2, the Grushin plane off its axis 1 / |x|."""
    half = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, 1]], 2, metric=lambda q: ca.SX.eye(2) / q[1] ** 2)
    assert half.popp([0.3, 2.0]) == pytest.approx(0.25, rel=1e-13)
    assert grushin().popp([-0.5, 1.0]) == pytest.approx(2.0, rel=1e-13)


def test_quaternions_are_measured_on_the_sphere():
    """In the sphere of radius 1 the fields have length 1/2: 1 / (sqrt 2 (1/2)^3), and 2 pi^2 times that in all."""
    for q in ([1, 0, 0, 0], [0.5, -0.5, 0.5, 0.5], [0, 0.6, 0, 0.8]):
        assert su2().popp(q) == pytest.approx(8 / np.sqrt(2), rel=1e-13)


@pytest.mark.parametrize("structure", SPACES, ids=lambda s: s.name)
def test_the_tangent_has_the_volume_of_the_structure(structure):
    """Popp's volume depends on the nilpotent approximation alone."""
    q = somewhere(structure)
    tangent = structure.nilpotent(q)
    spanned = abs(np.linalg.det(tangent.growth.basis))
    assert tangent.model.popp(np.zeros(structure.n)) == pytest.approx(structure.popp(q) * spanned, rel=1e-11)


def test_where_the_growth_vector_changes_it_is_refused_by_name():
    with pytest.raises(sr.GeometryError, match=r"\(2, 2, 3\) at the point, \(2, 3\) around it"):
        martinet().popp([0, 0.1, 0.2])
    with pytest.raises(sr.GeometryError, match=r"\(1, 2\) at the point"):
        grushin().popp([0, 1])


def test_where_brackets_do_not_fill_the_space_it_is_refused():
    flat = sr.SubRiemannian.from_frame(lambda q: [[1, 0, 0], [0, 1, 0]], 3)
    with pytest.raises(sr.GeometryError, match="closed under brackets"):
        flat.popp([0, 0, 0])
    with pytest.raises(sr.GeometryError, match="up to 2 fields"):
        engel().popp([0, 0, 0, 0], steps=2)
