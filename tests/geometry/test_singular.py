"""Singular points of paths against places known in closed form; touches, ends, near misses, units."""

from dataclasses import dataclass

import numpy as np
import pytest

import subriem as sr
from subriem.geometry.dips import derivative_weights
from subriem.geometry.singular import singular_points
from tests.geometry.structures import grushin, heisenberg, martinet, reference, su2, trailers


@dataclass(frozen=True)
class Curve:
    """A path by a formula t -> q, on few nodes."""

    formula: object
    grid: np.ndarray

    @property
    def y(self):
        return self(self.grid)

    def __call__(self, t):
        return np.stack(np.broadcast_arrays(*self.formula(np.asarray(t, dtype=float))), axis=-1)


def curve(formula, first=0.0, last=1.0):
    return Curve(formula, np.linspace(first, last, 7))


def times(found):
    return [point.t for point in found]


@pytest.mark.parametrize("time", [3.0, 12.0, -9.0])
def test_geodesics_of_grushin_cross_the_line_where_they_are_zero(time):
    """x = A sin(w t + a) with w = 1/2, from x = -1 with x' = 1."""
    found = grushin().shoot([-1, 0], [1, 0.5], time).singular_points()
    crossings = 2 * (np.arctan(0.5) + np.pi * np.arange(-3, 4))
    inside = crossings[(crossings * np.sign(time) > 0) & (np.abs(crossings) < abs(time))]
    np.testing.assert_allclose(times(found), sorted(inside, key=abs), rtol=0, atol=1e-11)
    assert {(p.growth.vector, p.around.vector) for p in found} == {((1, 2), (2,))}
    assert all(abs(p.q[0]) < 1e-11 for p in found)


def test_a_geodesic_of_martinet_starts_singular_and_returns_at_its_cut_time():
    found = martinet().shoot([0, 0, 0], [0.96, 0.28, 1.5], 4.0).singular_points()
    np.testing.assert_allclose(times(found), [0.0, reference("martinet_cut")], rtol=0, atol=1e-11)
    assert [p.growth.vector for p in found] == [(2, 2, 3)] * 2
    assert found[0].around.vector == (2, 3)


def test_a_trailer_that_passes_a_right_angle():
    geodesic = trailers(2).shoot([0, 0, 0, 0.2, 0.4], [0.3, 0.2, 0.1, 0.4, 1.5], 2.0)
    (point,) = geodesic.singular_points()
    assert point.q[4] - point.q[3] == pytest.approx(np.pi / 2, abs=1e-11)
    assert (point.growth.vector, point.around.vector) == ((2, 3, 4, 4, 5), (2, 3, 4, 5))
    assert "growth (2, 3, 4, 4, 5), around (2, 3, 4, 5)" in str(point)
    last = curve(lambda t: (0 * t, 0 * t, 0.1 * t, 2 * t, 0.3 + 2 * t))  # th_1 - th_2 = pi/2 is regular
    assert singular_points(trailers(2).shoot([0] * 5, [1, 0, 0, 0, 0], 0.1).structure, last) == ()


@pytest.mark.parametrize(
    "touch",
    [
        lambda s: s**2,
        lambda s: s**2 * (1 + s + s**2),
        lambda s: -(s**4),
    ],
)
def test_a_path_that_touches(touch):
    """The singular value has a zero of even order: no change of sign tells."""
    t0 = 0.314159
    flat = curve(lambda t: (touch(t - t0), t))
    (point,) = singular_points(grushin(), flat)
    assert point.t == pytest.approx(t0, abs=1e-7)
    assert point.growth.vector == (1, 2)
    (point,) = singular_points(martinet(), curve(lambda t: (touch(t - t0), t, 0 * t)))
    assert point.growth.vector == (2, 2, 3)


def test_near_misses_are_no_singular_points():
    for gap in (1e-2, 1e-5, 1e-8):
        assert singular_points(grushin(), curve(lambda t, gap=gap: ((t - 0.3) ** 2 + gap, t))) == ()


def test_ends_count_and_each_point_counts_once():
    crossing = curve(lambda t: (np.sin(2 * np.pi * t), t))
    np.testing.assert_allclose(times(singular_points(grushin(), crossing)), [0, 0.5, 1], atol=1e-12)
    for shift in (0.0, 0.0025, 0.00251):  # on a node, between two, and neither
        (point,) = singular_points(grushin(), curve(lambda t, shift=shift: (t - 0.5 - shift, t)))
        assert point.t == pytest.approx(0.5 + shift, abs=1e-12)


def test_a_point_between_two_nodes_counts_once():
    """Midway between nodes both have the same singular value."""
    middle = curve(lambda t: (t - 0.5 - 1 / 512, t))
    (point,) = singular_points(grushin(), middle, nodes=256)
    assert point.t == pytest.approx(0.5 + 1 / 512, abs=1e-12)


def test_next_to_an_end_nothing_is_asked_beyond_it():
    for time in (3.0, -3.0):
        x = -0.008 * np.sign(time)
        (point,) = grushin().shoot([x, 0], [1, 0.5], time).singular_points()
        assert point.t == pytest.approx(-x, rel=1e-4)
        assert abs(point.q[0]) < 1e-12


def test_close_points_are_told_apart_on_more_nodes():
    close = curve(lambda t: ((t - 0.5) * (t - 0.503), t))
    assert len(singular_points(grushin(), close, nodes=3000)) == 2


def test_paths_in_the_singular_set_and_spaces_without_one():
    assert martinet().shoot([0, 0, 0], [0, 1, 0], 1.0).singular_points() == ()
    assert heisenberg().shoot([0, 0, 0], [1, 0.3, 2], 4.0).singular_points() == ()
    assert su2().shoot([1, 0, 0, 0], [0, 1.2, 1.6, 2], 4.0).singular_points() == ()


@pytest.mark.parametrize("power", [-6, 6])
def test_units_do_not_matter(power):
    unit = 10.0**power
    scaled = sr.SubRiemannian.from_frame(lambda q: [[1, 0, 0], [0, 1, unit * q[0] ** 2 / 2]], 3)
    (point,) = singular_points(scaled, curve(lambda t: (t - 0.3, t, 0 * t)))
    assert point.t == pytest.approx(0.3, abs=1e-12)


def test_a_structure_from_forms():
    forms = sr.SubRiemannian.from_constraints(lambda q: [[0, q[0] ** 2 / 2, -1]], 3)
    (point,) = singular_points(forms, curve(lambda t: (t - 0.3, t, 0 * t)))
    assert point.t == pytest.approx(0.3, abs=1e-11)
    assert (point.growth.vector, point.around.vector) == ((2, 2, 3), (2, 3))


def test_a_difference_quotient_off_centre():
    offsets = np.arange(-2.0, 3.0)
    for at in (-2.0, 0.0, 1.3):
        assert derivative_weights(offsets, at) @ offsets**4 == pytest.approx(4 * at**3, abs=1e-12)
    np.testing.assert_allclose(derivative_weights(offsets, 0.0), np.array([1, -8, 0, 8, -1]) / 12, atol=1e-14)


def test_bad_arguments_are_refused():
    with pytest.raises(sr.ProblemError, match="nodes"):
        singular_points(grushin(), curve(lambda t: (t, t)), nodes=0)
