"""The kind and dimension of sets of rest points at known points: no false dimension."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.critical.dimension import local_structure
from subriem.critical.levenberg import End, descend
from subriem.critical.system import Box, System, scaled_system
from tests.critical.potentials import gradient, ring, system, torus

POLICY = sr.RankPolicy()


def at(potential, point, half: float = 2.0):
    point = np.array(point, dtype=float)
    return local_structure(system(gradient(potential, point.size), half), point, POLICY)


SMOOTH = {
    "circle": (ring, [0.6, 0.8], 1),
    "sphere": (ring, [0.0, 0.6, 0.8], 2),
    "maximum": (ring, [0.0, 0.0, 0.0], 0),
    "torus": (torus, [3.0, 0.0, 0.0], 2),
    "circle in it": (torus, [5**0.5, 0.0, 0.0], 1),
    "axis": (lambda x: (x[0] * x[1]) ** 2, [1.0, 0.0], 1),
    "cusp's side": (lambda x: (x[0] ** 2 - x[1] ** 3) ** 2, [1.0, 1.0], 1),
    "small circle": (lambda x: (ca.sumsqr(x) - 0.01**2) ** 2, [0.01, 0.0], 1),
    "cone's side": (lambda x: (x[0] ** 2 + x[1] ** 2 - x[2] ** 2) ** 2, [1.0, 0.0, 1.0], 2),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_manifolds(name):
    potential, point, dimension = SMOOTH[name]
    found = at(potential, point, 4.0)
    assert (found.verdict, found.dimension, found.nullity) == ("morse_bott", dimension, dimension)
    assert found.tangent.shape == (len(point), dimension)


@pytest.mark.parametrize("power", [4, 6, 8])
@pytest.mark.parametrize("off", [0.0, 6e-6])
def test_flat_minima_are_isolated(power, off):
    found = at(lambda x: x[0] ** power + x[1] ** 2, [off, 0.0])
    assert (found.verdict, found.dimension, found.nullity) == ("degenerate", 0, 1)


def test_a_degenerate_line():
    """V = x^2 y^4 on y = 0, where the whole Hessian vanishes; also where y is known to 1e-5 only."""
    for y in (0.0, 1e-5):
        found = at(lambda x: x[0] ** 2 * x[1] ** 4, [1.0, y])
        assert (found.verdict, found.dimension, found.nullity) == ("degenerate", 1, 2)
        assert abs(found.tangent[1, 0]) < 0.05


def angles(found, *lines):
    """Largest sine between each line and the branch nearest to it."""
    tangents = [branch.tangent for branch in found.branches]
    units = [np.array(line) / np.linalg.norm(line) for line in lines]
    return max(min(float(np.linalg.norm(u - T @ (T.T @ u))) for T in tangents) for u in units)


@pytest.mark.parametrize("off", [0.0, 1e-9])
def test_axes_cross(off):
    found = at(lambda x: (x[0] * x[1]) ** 2, [off, 0.0])
    assert (found.verdict, found.dimension, found.nullity) == ("crossing", 1, 2)
    assert [branch.dimension for branch in found.branches] == [1, 1]
    assert angles(found, [1, 0], [0, 1]) < 1e-3


def test_three_lines_cross():
    found = at(lambda x: (x[0] * x[1] * (x[0] - x[1])) ** 2, [0.0, 0.0])
    assert found.verdict == "crossing"
    assert len(found.branches) == 3
    assert angles(found, [1, 0], [0, 1], [1, 1]) < 1e-3


def test_a_plane_and_a_line_cross():
    found = at(lambda x: (x[0] * x[2]) ** 2 + (x[1] * x[2]) ** 2, [0.0, 0.0, 0.0])
    assert (found.verdict, [branch.dimension for branch in found.branches]) == ("crossing", [2, 1])


def test_two_planes_cross_in_a_line():
    found = at(lambda x: (x[0] * x[1]) ** 2, [0.0, 0.0, 1.0])
    assert (found.verdict, [branch.dimension for branch in found.branches]) == ("crossing", [2, 2])


@pytest.mark.parametrize(
    ("potential", "n"),
    [(lambda x: (x[0] ** 2 - x[1] ** 3) ** 2, 2), (lambda x: (x[0] ** 2 + x[1] ** 2 - x[2] ** 2) ** 2, 3)],
    ids=["cusp", "cone"],
)
def test_singular_sets(potential, n):
    assert at(potential, np.zeros(n)).verdict == "singular"


def test_a_kink_is_singular():
    assert local_structure(system(sr.map(lambda x: [ca.fabs(x[0])], 1)), np.zeros(1), POLICY).verdict == "singular"


@pytest.mark.parametrize(("of_f", "of_z"), [(1e12, 1.0), (1e-12, 1.0), (1.0, 1e6), (1.0, 1e-6)])
def test_units_do_not_matter(of_f, of_z):
    """F in other units, and z in other units with the box."""
    potentials = {
        "morse_bott": (ring, [1.0, 0.0]),
        "degenerate": (lambda x: x[0] ** 4 + x[1] ** 2, [0.0, 0.0]),
        "crossing": (lambda x: (x[0] * x[1]) ** 2, [0.0, 0.0]),
    }
    for verdict, (potential, point) in potentials.items():
        x = ca.SX.sym("x", 2)
        force = ca.Function("F", [x], [ca.gradient(potential(x), x)])
        scaled = system(sr.map(lambda z, force=force: of_f * force(z / of_z), 2), 2 * of_z)
        assert local_structure(scaled, of_z * np.array(point), POLICY).verdict == verdict


def test_equations_in_different_units():
    """One equation of a circle in R^3 a million times larger than the other."""
    source = sr.map(lambda x: [1e6 * (ca.sumsqr(x) - 1), 1e-6 * x[2]], 3)
    found = local_structure(system(source), np.array([0.6, 0.8, 0.0]), POLICY)
    assert (found.verdict, found.dimension) == ("morse_bott", 1)


def test_weights_are_the_inverse_median_slopes():
    source = sr.map(lambda x: [3 * x[0], 0.5 * x[1], ca.SX(0)], 2)
    assert scaled_system(source, Box(-np.ones(2), np.ones(2))).weights == pytest.approx([1 / 3, 2, 1])


# -- the search from one start ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equation", "end"),
    [
        (lambda x: x**2 - 1, End.ZERO),
        (lambda x: x**3, End.ZERO),
        (lambda x: x**2 + 1, End.MINIMUM),
        (lambda x: ca.exp(-x), End.AWAY),
        (lambda x: ca.log(x - 10), End.UNDEFINED),
        (lambda x: x - 5, End.OUTSIDE),
    ],
)
def test_every_end_has_its_name(equation, end):
    found = descend(system(sr.map(lambda x: [equation(x[0])], 1)), np.array([0.7]))
    assert found.end is end
    if end is End.ZERO:
        assert found.residual < 1e-14


def test_a_plateau_is_no_zero():
    """|F| = 1e-13 far out on a tail that falls to zero: F is small, but no zero is near."""
    flat = System(sr.map(lambda x: [ca.exp(-x[0])], 1), np.ones(1), Box(np.array([29.0]), np.array([31.0])))
    assert descend(flat, np.array([30.0])).end is not End.ZERO
