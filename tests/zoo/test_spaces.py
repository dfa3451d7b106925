"""The zoo of spaces: the reference values, closed forms against the numeric flow, cut times against distances."""

import json
from math import inf, pi
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import fsolve
from scipy.special import ellipk

import subriem as sr
from subriem.zoo.spaces import all_spaces, contact, free_nilpotent, get, heisenberg, spaces, trailers
from subriem.zoo.spaces.dido import chord, least_length, less_sine
from subriem.zoo.spaces.elliptic import jacobi, quadrature
from subriem.zoo.spaces.free import FreeAlgebra

NAMES = list(spaces)
LARGE = {"free-3-4"}
CLOSED = [space.name for space in all_spaces() if space.exp is not None]
REFERENCE = {
    entry["id"]: entry
    for entry in json.loads((Path(__file__).parents[1] / "reference" / "geometry.json").read_text())["entries"]
}


def reference(entry):
    return np.array(REFERENCE[entry]["value"], dtype=float)


def covectors(space, count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, space.structure.n))


def speed(space, p):
    return float(np.linalg.norm(space.structure.normal.controls(np.concatenate([space.origin, p]))))


# -- values of the literature ----------------------------------------------------------------------------------

SLANTED = np.array([np.cos(0.3), np.sin(0.3), 1.7])
VALUES = {
    "heis_d_1": lambda: get("heisenberg").distance([0, 0, 0], [1, 0, 0.5]),
    "heis_d_2": lambda: get("heisenberg").distance([0, 0, 0], [0.5, 0.3, 1]),
    "heis_d_3": lambda: get("heisenberg").distance([0, 0, 0], [1, 0, 0.01]),
    "heis_d_vertical": lambda: get("heisenberg").distance([0, 0, 0], [0, 0, 1]),
    "heis_exp": lambda: get("heisenberg").exponential([0, 0, 0], SLANTED, 2.0),
    "heis_conj_1": lambda: get("heisenberg").conjugate_time([0, 0, 0], [1, 0, 1]),
    "heis_ball_vol": lambda: get("heisenberg").ball_volume(),
    "heis5_aniso_conj": lambda: get("heisenberg-2-weighted").conjugate_time(np.zeros(5), [0.3, 0.4, 0.5, 0.6, 1]),
    "grushin_d0_1": lambda: get("grushin").distance([0, 0], [0, 1]),
    "grushin_d0_2": lambda: get("grushin").distance([0, 0], [1, 1]),
    "grushin_conj0": lambda: get("grushin").conjugate_time([0, 0], [1, 1]),
    "martinet_exp": lambda: get("martinet").exponential([0, 0, 0], [0.96, 0.28, 1.5], 2.0),
    "martinet_cut": lambda: get("martinet").cut_time([0, 0, 0], [0.96, 0.28, 1.5]).value,
    "martinet_abnormal": lambda: get("martinet").distance([0, 0, 0], [0, 1, 0]),
    "se2_exp_C1": lambda: get("se2").exponential([0, 0, 0], [0.5, 0.4, np.sqrt(0.75)], 2.0),
    "se2_d_rot": lambda: get("se2").distance([0, 0, 0], [0, 0, pi]),
    "se2_cut_C1": lambda: get("se2").cut_time([0, 0, 0], [0.5, np.sqrt(0.39), np.sqrt(0.75)]).value,
    "engel_cut_C1": lambda: get("engel").cut_time(np.zeros(4), [-np.sin(0.4), np.cos(0.4), 0.9, 1.0]).value,
    "su2_d_vert_1": lambda: get("su2").distance([1, 0, 0, 0], [np.cos(0.5), 0, 0, np.sin(0.5)]),
    "su2_d_vert_2": lambda: get("su2").distance([1, 0, 0, 0], [0, 0, 0, 1]),
    "so3_d_pi": lambda: get("so3").distance(np.eye(3).ravel(), np.diag([-1.0, -1, 1]).ravel()),
}


@pytest.mark.parametrize("entry", VALUES)
def test_values_of_the_literature(entry):
    np.testing.assert_allclose(VALUES[entry](), reference(entry), rtol=1e-12, atol=1e-12)


GROWTH = {
    "growth_heisenberg": ("heisenberg", "elsewhere"),
    "growth_heis_H2": ("heisenberg-2", "origin"),
    "growth_grushin_x=0": ("grushin", "singular"),
    "growth_grushin_x!=0": ("grushin", "regular"),
    "growth_martinet_x=0": ("martinet", "singular"),
    "growth_martinet_x!=0": ("martinet", "regular"),
    "growth_engel": ("engel", "elsewhere"),
    "growth_cartan": ("cartan", "elsewhere"),
    "growth_SE(2)": ("se2", "elsewhere"),
    "growth_rolling_ball": ("rolling-ball", "elsewhere"),
    "growth_free_3_4": ("free-3-4", "elsewhere"),
    "growth_trailers_0_62": ("trailers-0", "regular"),
    "growth_trailers_1_63": ("trailers-1", "regular"),
    "growth_trailers_2_65": ("trailers-2", "origin"),
    "growth_trailers_2_exact": ("trailers-2", "singular"),
    "growth_trailers_3_68": ("trailers-3", "origin"),
    "growth_trailers_3_69": ("trailers-3", "singular"),
}


@pytest.mark.parametrize("entry", GROWTH)
def test_what_the_spaces_say_of_their_growth_is_the_literature(entry):
    name, point = GROWTH[entry]
    assert get(name).growth[point] == tuple(reference(entry).astype(int))


@pytest.mark.parametrize("name", NAMES)
def test_growth_vectors_at_the_named_points(name):
    space = get(name)
    assert set(space.points) == set(space.growth)
    for point, q in space.points.items():
        found = space.structure.growth(q)
        assert found.generating
        assert found.vector == space.growth[point], point


@pytest.mark.parametrize(
    ("n", "angles", "entry"),
    [(1, [0, pi / 2], "growth_trailers_1_64"), (2, [0, pi / 2, 0.3], "growth_trailers_2_66")],
)
def test_a_last_trailer_at_a_right_angle_is_regular(n, angles, entry):
    assert trailers(n).structure.growth([0, 0, *angles]).vector == tuple(reference(entry).astype(int))


def test_later_conjugate_times_of_the_heisenberg_group():
    found = get("heisenberg").structure.shoot([0, 0, 0], [np.cos(0.3), np.sin(0.3), 1], 13.0).conjugate_times()
    np.testing.assert_allclose(found.times, [reference(f"heis_conj_{i}") for i in (1, 2, 3)], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("entry", "q"), [("se2_d_1", [0, 1, 0]), ("se2_d_3", [0.5, 0.5, 0])])
def test_distances_on_se2_by_the_closed_form_and_the_cut_theorem(entry, q):
    """Of the geodesics that arrive, those within their cut time are minimal."""
    space, rng, lengths = get("se2"), np.random.default_rng(0), []
    while len(lengths) < 2:
        p, _, status, _ = fsolve(lambda p: space.exp(p, 1.0) - q, 4 * rng.standard_normal(3), xtol=1e-14, full_output=1)
        if status == 1 and space.cut_time([0, 0, 0], p).value >= 1 - 1e-7:
            lengths.append(speed(space, p))
    np.testing.assert_allclose(lengths, reference(entry), rtol=1e-10)


def test_the_strictly_abnormal_line():
    """It is horizontal and has the length of the literature; every normal geodesic along it leaves at once."""
    structure = get("martinet-abnormal").structure
    tangent = np.array([0.0, 1.0, 0.0])
    lengths = [sr.lift(np.array(structure.frame([0.0, y, 0.0])), tangent).v for y in np.linspace(0, 0.2, 5)]
    assert 0.2 * np.mean(np.linalg.norm(lengths, axis=1)) == pytest.approx(reference("martinet_strictly_abnormal"))
    for pz in (-50.0, 0.0, 3.0, 50.0):
        assert abs(structure.shoot([0, 0, 0], [0, 1, pz], 0.2)(0.02)[0]) > 1e-4


# -- closed forms against the flow -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLOSED)
def test_exponential_maps_are_those_of_the_flow(name):
    space, rng = get(name), np.random.default_rng(3)
    for p in covectors(space, 8):
        q = space.origin if space.translate is None else space.points["elsewhere"]
        t = rng.uniform(-4, 4)
        found = space.exponential(q, p, t)
        np.testing.assert_allclose(found, space.structure.exponential(q, p, t, rtol=1e-13), rtol=1e-11, atol=1e-11)


SPECIAL = {
    "heisenberg": [[1, 0, 0], [1, 0, 1e-9], [0, 0, 1], [1, 0, 1e-3]],
    "grushin": [[1, 0], [0, 1], [1, 1e-5]],
    "martinet": [
        [1, 0, 0],
        [0, 1, 1],
        [0, -1, 1],
        [0, 0, 1],
        [1, 0.3, 1e-6],
        [0.6, 0.8, -2],
        [1e-6, 1, 1],
        [1e-6, -1, 1],
    ],
    "se2": [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, -1],
        [0.6, 0.8, 0.8],  # the separatrix r = 1
        [-0.6, 0.8, 0.8],
        [0.6, 0.8, -0.8],
        [-0.6, -0.8, -0.8],
        [0.6, 0.8 + 1e-9, 0.8],
        [1e-7, 1e-7, 1],
        [0.1, 80, 1],
        [1, 0, 1e-4],
    ],
    "su2": [[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1e-8]],
}


@pytest.mark.parametrize(("name", "p"), [(name, p) for name, listed in SPECIAL.items() for p in listed])
def test_exponential_maps_at_special_covectors(name, p):
    """Straight lines, points, separatrices and their neighbours: no formula loses its digits there."""
    space = get(name)
    for t in (0.4, 3.0):
        found = space.exponential(space.origin, p, t)
        exact = space.structure.exponential(space.origin, p, t, rtol=1e-13)
        np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [space.name for space in all_spaces() if space.conjugate is not None])
def test_first_conjugate_times_are_those_of_the_flow(name):
    space, tried = get(name), 0
    for p in covectors(space, 4, seed=2):
        expected = space.conjugate_time(space.origin, p)
        if expected < 12:
            found = space.structure.shoot(space.origin, p, 1.1 * expected).conjugate_times()
            assert found.times[0] == pytest.approx(expected, abs=1e-9)
            tried += 1
    assert tried >= 1 or name == "contact-hyperbolic"


def test_circles_close_on_the_hyperbolic_plane_if_they_bend_enough():
    space = contact(-1.0)
    assert space.conjugate_time([0, 0, 0], [0.6, 0.8, 0.9]) == inf
    expected = space.conjugate_time([0, 0, 0], [0.6, 0.8, 1.5])
    found = space.structure.shoot([0, 0, 0], [0.6, 0.8, 1.5], 7.0).conjugate_times()
    assert found.times[0] == pytest.approx(expected, abs=1e-10)


# -- cut times -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["heisenberg", "heisenberg-2", "heisenberg-2-weighted", "grushin"])
def test_geodesics_are_as_long_as_the_distance_up_to_the_cut_time_and_no_further(name):
    space = get(name)
    for p in covectors(space, 5, seed=1):
        cut = space.cut_time(space.origin, p)
        assert cut.status == "theorem"
        assert cut.source
        for share in (0.01, 0.5, 0.999, 1.0):
            end = space.exponential(space.origin, p, share * cut.value)
            length = share * cut.value * speed(space, p)
            assert space.distance(space.origin, end) == pytest.approx(length, rel=1e-11)
        beyond = space.exponential(space.origin, p, 1.05 * cut.value)
        assert space.distance(space.origin, beyond) < 1.05 * cut.value * speed(space, p) * (1 - 1e-6)


def test_geodesics_of_su2_reach_the_fibre_at_their_cut_time():
    space = get("su2")
    for p in covectors(space, 5, seed=1):
        cut = space.cut_time(space.origin, p).value
        end = space.exponential(space.origin, p, cut)
        assert space.distance(space.origin, end) == pytest.approx(cut * speed(space, p), rel=1e-10)
        again = space.exponential(space.origin, p * [1, -1, -1, 1], cut)  # the circle of geodesics meets there
        np.testing.assert_allclose(again, end, atol=1e-13)


def test_mirrored_geodesics_of_martinet_meet_at_the_cut_time():
    space = get("martinet")
    for p in covectors(space, 5):
        cut = space.cut_time(space.origin, p).value
        end, mirrored = (space.exponential(space.origin, s, cut) for s in (p, p * [-1, 1, 1]))
        np.testing.assert_allclose(end, mirrored, atol=1e-12)
        earlier, other = (space.exponential(space.origin, s, 0.9 * cut) for s in (p, p * [-1, 1, 1]))
        assert np.abs(earlier - other).max() > 1e-3
    assert space.cut_time(space.origin, [0, 1, 5]).value == inf  # the abnormal line


def test_geodesics_of_se2_that_go_round_meet_modulo_full_turns():
    space = get("se2")
    p = np.array([0.3, 0.5, 0.9])
    cut = space.cut_time(space.origin, p).value
    end, other = (space.exponential(space.origin, s, cut) for s in (p, p * [1, 1, -1]))
    np.testing.assert_allclose(end - other, [0, 0, 2 * pi], atol=1e-12)


@pytest.mark.parametrize("name", ["engel", "se2", "martinet"])
def test_no_cut_time_comes_after_a_conjugate_time(name):
    space, finite = get(name), 0
    for p in covectors(space, 10, seed=4):
        cut = space.cut_time(space.origin, p).value
        if cut < 15:
            found = space.structure.shoot(space.origin, p, 1.3 * cut).conjugate_times().times
            assert not found.size or found[0] >= cut * (1 - 1e-9)
            finite += 1
    assert finite >= 4


def test_classes_of_the_engel_group():
    """Finite for pendulums that swing or go round, continuous between a rotor and a fast pendulum; symmetric."""
    cut = lambda p: get("engel").cut_time(np.zeros(4), p).value  # noqa: E731
    assert cut([0, 1, 0, 1]) == inf  # at rest
    assert cut([-1, 0, 0, 0]) == inf  # a straight line
    assert cut([0.6, 0.8, 2, 0]) == pytest.approx(pi)
    assert cut([0.6, 0.8, 2, 1e-8]) == pytest.approx(pi, rel=1e-7)
    assert cut([0.6, 0.8, 2, 1]) == pytest.approx(cut([-0.6, -0.8, 2, -1]), rel=1e-12)
    assert cut([1.2, 1.6, 4, 2]) == pytest.approx(cut([0.6, 0.8, 2, 1]) / 2, rel=1e-12)
    small = cut([-np.sin(1e-4), np.cos(1e-4), 0, 1])
    assert small == pytest.approx(4 * ellipk(np.sin(5e-5) ** 2), rel=1e-12)


def test_where_no_theorem_is_known_nothing_is_said():
    assert get("cartan").cut_time(np.zeros(5), np.ones(5)) is None
    assert get("grushin").cut_time([0.5, 0], [1, 1]) is None
    assert get("grushin").exponential([0.5, 0], [1, 1], 1.0) is None
    assert get("grushin").distance([0.5, 0], [1, 1]) is None
    assert get("engel").exponential(np.zeros(4), np.ones(4), 1.0) is None
    assert get("engel").distance(np.zeros(4), np.ones(4)) is None
    assert get("se2").distance([0, 0, 0], [1, 1, 0]) is None
    assert get("trailers-2").conjugate_time(np.zeros(5), np.ones(5)) is None
    assert get("so3").cut_time(np.eye(3).ravel(), np.ones(9)) is None


# -- groups, dilations, volumes --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LARGE])
def test_spaces_obey_the_laws(name):
    found = get(name).check()
    assert found.passed, str(found)
    assert ("left invariance" in str(found)) == (get(name).translate is not None)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGE))
def test_large_spaces_obey_the_laws(name):
    assert get(name).check().passed


@pytest.mark.parametrize("name", [space.name for space in all_spaces() if space.inverse is not None])
def test_inverses(name):
    space = get(name)
    q = space.points["elsewhere"]
    np.testing.assert_allclose(space.product(space.inverse(q), q), space.origin, atol=1e-13)
    np.testing.assert_allclose(space.product(q, space.origin), q, atol=1e-13)


def test_distances_are_left_invariant_and_symmetric():
    space = get("heisenberg")
    a, b, g = np.array([0.3, -0.4, 0.5]), np.array([-1.0, 0.2, 0.7]), np.array([2.0, 1.0, -3.0])
    d = space.distance(a, b)
    assert space.distance(b, a) == pytest.approx(d, rel=1e-14)
    assert space.distance(space.product(g, a), space.product(g, b)) == pytest.approx(d, rel=1e-13)
    assert d <= space.distance(a, g) + space.distance(g, b)
    drive = [get("se2").product([0.3, -0.2, 0.7], end) for end in ([0, 0, 0], [2, 0, 0], [0, 0, -0.4], [1, 1, 0])]
    assert get("se2").distance(drive[0], drive[1]) == pytest.approx(2.0, rel=1e-14)
    assert get("se2").distance(drive[0], drive[2]) == pytest.approx(0.4, rel=1e-14)
    assert get("se2").distance(drive[0], drive[3]) is None


def test_the_distance_is_continuous_at_the_vertical_axis():
    """4 pi |z| - … : d = 2 sqrt(pi |z|) - r + O(r^2), where r / sin(theta) alone would lose all digits."""
    vertical = get("heisenberg").distance([0, 0, 0], [0, 0, 1])
    for r in (1e-4, 1e-7, 1e-10):
        drop = vertical - get("heisenberg").distance([0, 0, 0], [r, 0, 1])
        assert drop == pytest.approx(r, rel=1e-3, abs=4e-15)


def test_the_volume_of_a_ball_from_its_profile():
    """V = 4 pi int r z |dr| over the unit sphere r = sin th / th, z = (2 th - sin 2 th) / (8 th^2)."""
    th = np.linspace(1e-3, pi, 20001)
    r, z = np.sin(th) / th, (2 * th - np.sin(2 * th)) / (8 * th**2)
    volume = 4 * pi * np.trapezoid(r * z, -r)
    assert get("heisenberg").ball_volume() == pytest.approx(volume, rel=1e-6)
    assert get("heisenberg-2").ball_volume() > 0
    assert get("heisenberg-2-weighted").ball_volume is None


def test_free_groups_of_step_two_and_three_are_known_ones():
    first = free_nilpotent(2, 2).structure
    p = np.array([0.3, 0.8, 1.1])
    np.testing.assert_allclose(first.exponential([0, 0, 0], p, 1.5), get("heisenberg").exp(p, 1.5), atol=1e-12)
    # the same algebra as Cartan's, [w] for (0, 1, 1) being -[X2, [X1, X2]]: the planes see the same curves
    p = np.array([0.3, 0.8, 1.1, 0.7, -0.4])
    one = free_nilpotent(2, 3).structure.exponential(np.zeros(5), p * [1, 1, 1, 1, -1], 1.5)
    other = get("cartan").structure.exponential(np.zeros(5), p, 1.5)
    np.testing.assert_allclose(one[:3], other[:3], atol=1e-12)


def test_the_logarithm_undoes_the_exponential():
    algebra = FreeAlgebra(2, 4)
    q = np.random.default_rng(0).standard_normal(len(algebra.words))
    np.testing.assert_allclose(algebra.coordinates(algebra.log(algebra.exp(algebra.element(q)))), q, atol=1e-13)
    np.testing.assert_allclose(algebra.law(q, -q), 0, atol=1e-13)


# -- the functions behind --------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [1e-9, 0.1, 0.2999, 0.3001, 3.0, -0.2])
def test_series_and_formula_agree(angle):
    from mpmath import mp, mpf

    with mp.workdps(40):
        exact = float((mpf(angle) - mp.sin(mpf(angle))) / mpf(angle) ** 2)
    assert less_sine(angle) == pytest.approx(exact, rel=4e-15)
    assert chord(angle) == pytest.approx((np.exp(1j * angle) - 1) / (1j * angle), rel=1e-7)


def test_least_length_with_planes_of_different_speed():
    """Area enough fills the fastest plane with a circle: the slower ones are carried along."""
    assert least_length(0.0, [3.0, 4.0], [1.0, 2.0]) == pytest.approx(5.0, rel=1e-14)
    assert least_length(1.0, [0.0, 0.0], [1.0, 2.0]) == pytest.approx(np.sqrt(2 * pi), rel=1e-14)
    assert least_length(5.0, [1.0, 0.0], [1.0, 2.0]) == pytest.approx(np.sqrt(10 * pi), rel=1e-14)
    carried = 20 * pi / 3 + pi / 3 / np.sqrt(3)
    assert least_length(5.0, [1.0, 0.0], [1.0, 3.0]) == pytest.approx(np.sqrt(carried), rel=1e-14)


def test_quadrature_is_exact_to_roundoff():
    from scipy.special import ellipeinc

    for u in (-3.0, 0.2, 1.0, 9.0):
        sn_squared = quadrature(lambda s: jacobi(s, 0.3)[0] ** 2, u, 1.0)
        assert sn_squared == pytest.approx((u - ellipeinc(jacobi(u, 0.3)[3], 0.3)) / 0.3, rel=1e-13)


# -- the register ----------------------------------------------------------------------------------------------


def test_names_and_sources():
    assert set(all_spaces()) == set(spaces.values())
    for name in NAMES:
        assert get(name).name == name
        assert get(name).source.strip()
        assert get(name).title in repr(get(name))


def test_an_unknown_name_suggests_a_near_one():
    with pytest.raises(sr.ProblemError, match="grushin"):
        get("grushim")
    with pytest.raises(sr.ProblemError, match="no space"):
        get(3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: heisenberg(0),
        lambda: heisenberg(2, [1.0, -1.0]),
        lambda: heisenberg(2, [1.0]),
        lambda: trailers(-1),
        lambda: trailers(True),
        lambda: free_nilpotent(1, 3),
        lambda: free_nilpotent(2, 0),
        lambda: contact(np.nan),
        lambda: get("heisenberg").exponential([0, 0], [1, 0, 0], 1.0),
        lambda: get("grushin").product([0, 0], [0, 0]),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(sr.ProblemError):
        make()


def test_an_extremal_of_the_rolling_ball_that_is_not_minimal():
    """To (1, .5) with R = Rz(.4) Ry(.3) Rx(.2); the covector is polished from three digits of it."""
    ball = get("rolling-ball")
    turn = np.array([np.cos(0.2), 0, 0, np.sin(0.2)])
    for factor in ([np.cos(0.15), 0, np.sin(0.15), 0], [np.cos(0.1), np.sin(0.1), 0, 0]):
        a, v, b, w = turn[0], turn[1:], factor[0], np.array(factor[1:])
        turn = np.append(a * b - v @ w, a * w + b * v + np.cross(v, w))
    target = np.array([1, 0.5, *turn])

    def miss(v):
        return (ball.structure.exponential(ball.origin, np.insert(v, 2, 0.0), 1.0) - target)[[0, 1, 3, 4, 5]]

    found = fsolve(miss, [9.87, 7.0, 4.11, -21.8, -19.1], xtol=1e-13)
    end = ball.structure.exponential(ball.origin, np.insert(found, 2, 0.0), 1.0)
    np.testing.assert_allclose(end, target, atol=1e-11)
    assert speed(ball, np.insert(found, 2, 0.0)) == pytest.approx(
        float(reference("rolling_extremal_length")), abs=1e-10
    )
