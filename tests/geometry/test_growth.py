"""Growth vectors against the literature, and what must not change them."""

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import subriem as sr
from subriem.core.casadi_map import BufferedFunction
from subriem.geometry.brackets import Brackets, bracket_name, factors, lie_bracket, lyndon_words
from subriem.geometry.growth import Flags
from tests.geometry.structures import engel, grushin, heisenberg, martinet, reference, se2, su2, trailers

HALF = np.pi / 2


@pytest.mark.parametrize(
    ("structure", "q", "entry"),
    [
        (heisenberg(), [0, 0, 0], "growth_heisenberg"),
        (heisenberg(2), [0] * 5, "growth_heis_H2"),
        (grushin(), [0, 0.3], "growth_grushin_x=0"),
        (grushin(), [0.7, 0.3], "growth_grushin_x!=0"),
        (martinet(), [0, 0.2, 0.1], "growth_martinet_x=0"),
        (martinet(), [0.5, 0.2, 0.1], "growth_martinet_x!=0"),
        (engel(), [0.1, 0.2, 0.3, 0.4], "growth_engel"),
        (se2(), [0.3, 0.2, 0.7], "growth_SE(2)"),
        (trailers(0), [0, 0, 0.3], "growth_trailers_0_62"),
        (trailers(1), [0, 0, 0.1, 0.4], "growth_trailers_1_63"),
        (trailers(1), [0, 0, 0, HALF], "growth_trailers_1_64"),
        (trailers(2), [0] * 5, "growth_trailers_2_65"),
        (trailers(2), [0, 0, 0, HALF, 0.3], "growth_trailers_2_66"),
        (trailers(2), [0, 0, 0, 0, HALF], "growth_trailers_2_exact"),
        (trailers(3), [0] * 6, "growth_trailers_3_68"),
        (trailers(3), [0, 0, 0, 0.3, 0.3 + HALF, 0.3 + np.pi], "growth_trailers_3_69"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_growth_vectors_of_the_literature(structure, q, entry):
    found = structure.growth(q)
    assert found.generating
    assert found.vector == tuple(reference(entry).astype(int))
    assert np.linalg.matrix_rank(found.basis) == structure.dim
    assert min(decision.gap for decision in found.decisions) > 1e6


def test_an_angle_that_is_nearly_right_is_not_taken_for_right():
    assert trailers(2).growth([0, 0, 0, 0, 1.570796]).vector == (2, 3, 4, 5)


def test_quaternions_fill_the_sphere_and_not_the_chart():
    found = su2().growth([1, 0, 0, 0])
    assert (found.vector, found.generating, found.homogeneous_dimension) == ((2, 3), True, 4)


def test_free_nilpotent_growth_is_that_of_witt():
    """Truncated free Lie algebras grow by Witt's formula: a polarised frame of rank 3 to step 4."""
    rank, step = 3, 4
    counts = [sum(len(word) == s for word in lyndon_words(rank, step)) for s in range(1, step + 1)]
    assert list(np.cumsum(counts)) == list(reference("growth_free_3_4"))


def test_an_involutive_distribution_is_called_closed():
    sphere = sr.SubRiemannian.from_frame(lambda q: [[0, -q[2], q[1]], [q[2], 0, -q[0]]], 3)
    found = sphere.growth([0.3, 0.4, 0.5])
    assert (found.vector, found.generating) == ((2, 2), False)
    assert "closed" in found.reason


def test_a_search_that_stops_early_does_not_say_no():
    found = engel().growth([0, 0, 0, 0], steps=2)
    assert (found.vector, found.generating) == ((2, 3), None)


def test_brackets_that_vanish_only_after_simplification_add_nothing():
    """(x + y)^3 less its expansion is zero to roundoff: scaled up it would be a third direction."""

    def zero(x, y):
        return (x + y) ** 3 - x**3 - 3 * x**2 * y - 3 * x * y**2 - y**3

    flat = sr.SubRiemannian.from_frame(lambda q: [[1, 0, zero(q[0], ca.exp(q[1]))], [0, 1, zero(q[1], q[0] + 1)]], 3)
    q = [0.02364325, 0.90092739, 0.5]
    assert np.abs(Brackets(flat.frame).layer(2)[1](np.array(q)).reshape((6, -1))[:3]).max() > 0
    assert flat.growth(q).vector == (2, 2)


def test_a_coordinate_that_moves_by_roundoff_does_not_move():
    q = ca.SX.sym("q", 3)
    frame = ca.SX([[1, 0, 1], [0, 1, 1], [1e-17, -1e-17, 1e-17]])
    assert Flags(ca.Function("X", [q], [frame]), 3, sr.RankPolicy()).growth(np.zeros(3)).vector == (2, 2)


@pytest.mark.parametrize("power", [-6, 6])
def test_units_of_coordinates_do_not_matter(power):
    unit = 10.0**power
    scaled = sr.SubRiemannian.from_frame(lambda q: [[1, 0, 0], [0, 1, unit * q[0] ** 2 / 2]], 3)
    assert scaled.growth([0, 0, 0]).vector == (2, 2, 3)
    assert scaled.growth([0.5, 0, 0]).vector == (2, 3)


def test_forms_and_frame_grow_alike_and_redundant_forms_are_named():
    contact = sr.SubRiemannian.from_constraints(lambda q: [[q[1] / 2, -q[0] / 2, 1], [q[1], -q[0], 2]], 3)
    assert contact.growth([0.3, -0.2, 0.5]).vector == (2, 3)
    assert contact.notes == ("form 2 follows from the others",)


def test_the_kernel_of_a_form_without_a_global_frame():
    """x dx + y dy + z dz on R^3 has the spheres as leaves, whose tangent planes have no frame."""
    spheres = sr.SubRiemannian.from_constraints(lambda q: [[q[0], q[1], q[2]]], 3)
    for q in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, -2.0]):
        assert spheres.growth(q).vector == (2, 2)


polynomials = st.lists(st.integers(-3, 3), min_size=18, max_size=18)


def field(coefficients, q):
    rows = np.reshape(coefficients, (3, 6))
    monomials = ca.vertcat(1, q[0], q[1], q[2], q[0] * q[1], ca.sin(q[2]))
    return ca.DM(rows) @ monomials


@given(polynomials, polynomials, polynomials)
@settings(max_examples=25)
def test_brackets_are_antisymmetric_and_obey_jacobi(a, b, c):
    q = ca.SX.sym("q", 3)
    A, B, C = (field(coefficients, q) for coefficients in (a, b, c))
    cyclic = sum(lie_bracket(x, lie_bracket(y, z, q), q) for x, y, z in ((A, B, C), (B, C, A), (C, A, B)))
    sizes = ca.norm_1(lie_bracket(A, lie_bracket(B, C, q), q)) + ca.norm_1(lie_bracket(B, lie_bracket(C, A, q), q))
    f = BufferedFunction(
        ca.Function("f", [q], [ca.vertcat(lie_bracket(A, B, q) + lie_bracket(B, A, q), cyclic, sizes)])
    )
    values = f(np.array([0.3, -0.7, 1.1]))
    assert np.abs(values[:6]).max() <= 1e-13 * (1 + values[6])


def test_the_sign_of_a_bracket():
    """[d_x, x d_z] = d_z with [A, B] = DB.A - DA.B; and the Heisenberg group has [X1, X2] = d_z."""
    brackets = Brackets(heisenberg().frame)
    words, function = brackets.layer(2)
    assert words == ((0, 1),)
    assert bracket_name((0, 0, 1)) == "[X1, [X1, X2]]"
    assert factors((0, 1, 1)) == ((0, 1), (1,))
    np.testing.assert_allclose(function(np.zeros(3)).reshape((6, -1))[:3, 0], [0, 0, 1])


BAD = [
    (lambda q: [[1, 0, ca.fabs(q[0])], [0, 1, 0]], "smooth"),
    (lambda q: [[1, 0, ca.if_else(q[0] > 0, 1, q[0])], [0, 1, 0]], "smooth"),
    (lambda q: [[1, 0, 0], [2, 0, 0]], "dependent"),
    (lambda q: [[1, 0], [0, 1]], "shape"),
    (lambda q: [[1, 0, ca.SX.sym("w")], [0, 1, 0]], "foreign"),
    (lambda q: "field", "expressions"),
    (3, "function"),
]


@pytest.mark.parametrize(("fields", "what"), BAD)
def test_bad_fields_are_refused_by_name(fields, what):
    with pytest.raises(sr.ProblemError, match=what):
        sr.SubRiemannian.from_frame(fields, 3)


@pytest.mark.parametrize("q", [[0, 0], [0, 0, np.nan], [0, 0, 1j], [], ["a", "b", "c"]])
def test_bad_points_are_refused(q):
    with pytest.raises(sr.ProblemError):
        heisenberg().growth(q)


@pytest.mark.parametrize("dim", [0, -1, 2.5, True, "3"])
def test_bad_dimensions_are_refused(dim):
    with pytest.raises(sr.ProblemError):
        sr.SubRiemannian.from_frame(lambda q: [[1, 0, 0]], dim)


def test_a_field_that_is_not_defined_at_the_point():
    structure = sr.SubRiemannian.from_frame(lambda q: [[1, 0, ca.log(q[0])], [0, 1, 0]], 3)
    with pytest.raises(sr.GeometryError, match="not finite"):
        structure.growth([-50.0, 0, 0])


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        (ca.SX([[1, 0], [0, -1]]), "positive"),
        (ca.SX([[1, 0.5], [0, 1]]), "symmetric"),
        (ca.SX([[1, 0], [0, 0]]), "positive"),
    ],
)
def test_bad_metrics_are_refused(metric, what):
    with pytest.raises(sr.ProblemError, match=what):
        sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3, metric=lambda q: metric)


def test_numbers_that_are_not_finite_and_forms_without_a_kernel_are_refused():
    with pytest.raises(sr.ProblemError, match="not finite"):
        sr.SubRiemannian.from_frame(lambda q: [[np.nan, 0, 0], [0, 1, 0]], 3)
    with pytest.raises(sr.ProblemError, match="no direction"):
        sr.SubRiemannian.from_constraints(lambda q: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], 3)


@pytest.mark.parametrize("away", [1e-8, 1e-6, 1e-5, 1e-4])
def test_a_vector_that_no_point_has_is_called_unsure(away):
    """y' = x^3 u: (1, 1, 1, 2) on x = 0 and (2,) elsewhere; x^3 is taken for 0 long before x is."""
    structure = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0] ** 3]], 2)
    found = structure.growth([away, 0.0])
    assert found.vector not in ((2,), (1, 1, 1, 2))
    assert "singular value" in found.nearly_singular
    assert "not sure" in str(found)
    assert structure.equiregular([away, 0.0]).holds is None
    with pytest.raises(sr.GeometryError, match="not sure"):
        structure.nilpotent([away, 0.0])


@pytest.mark.parametrize(
    ("structure", "q"),
    [
        (sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0] ** 3]], 2), [0.0, 0.0]),
        (sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0] ** 3]], 2), [0.01, 0.0]),
        (grushin(), [1e-6, 0.0]),  # (2,), as it is
        (martinet(), [1e-7, 0.2, 0.1]),
        (trailers(3), [0, 0, 0, 0.3, 0.3 + HALF, 0.3 + np.pi]),
    ],
    ids=str,
)
def test_a_vector_that_is_sure(structure, q):
    assert structure.growth(q).nearly_singular == ""


def test_a_trailer_nearly_at_a_right_angle():
    found = trailers(3).growth([0, 0, 0, 0.3, 0.3 + HALF + 1e-6, 0.3 + np.pi])
    assert found.generating
    assert found.nearly_singular
