"""Normal geodesics against closed forms; H, reversal, homogeneity, the symplectic form; conjugate times."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from tests.geometry.structures import engel, grushin, heisenberg, martinet, reference, se2, su2, trailers

SPACES = [heisenberg(), heisenberg(2), grushin(), martinet(), se2(), engel(), trailers(1)]


def covector(structure, seed=0):
    return np.random.default_rng(seed).standard_normal(structure.n)


def start(structure):
    return 0.1 * np.arange(1, structure.n + 1)


@pytest.mark.parametrize(
    ("structure", "p", "entry"),
    [
        (heisenberg(), [np.cos(0.3), np.sin(0.3), 1.7], "heis_exp"),
        (martinet(), [0.96, 0.28, 1.5], "martinet_exp"),
        (se2(), [0.5, 0.4, np.sqrt(1 - 0.25)], "se2_exp_C1"),
    ],
)
def test_exponential_maps_of_the_literature(structure, p, entry):
    origin = np.zeros(structure.n)
    np.testing.assert_allclose(structure.exponential(origin, p, 2.0), reference(entry), atol=2e-12)
    geodesic = structure.shoot(origin, p, 2.0)
    np.testing.assert_allclose(geodesic.end, reference(entry), atol=2e-12)
    assert geodesic.length == pytest.approx(2.0, abs=1e-12)
    symplectic = structure.shoot(origin, p, 2.0, method="gauss", rtol=1e-11)
    np.testing.assert_allclose(symplectic.end, reference(entry), atol=1e-10)


@pytest.mark.parametrize(
    ("structure", "q", "p", "time", "entries"),
    [
        (heisenberg(), [0, 0, 0], [np.cos(0.3), np.sin(0.3), 1], 13.0, ["heis_conj_1", "heis_conj_2", "heis_conj_3"]),
        (grushin(), [0, 0], [1, 1], 6.0, ["grushin_conj0"]),
    ],
)
def test_conjugate_times_of_the_literature(structure, q, p, time, entries):
    found = structure.shoot(q, p, time).conjugate_times()
    np.testing.assert_allclose(found.times, [reference(entry) for entry in entries], rtol=0, atol=1e-10)
    assert found.multiplicities == (1,) * len(entries)
    assert not found.abnormal


def test_conjugate_times_of_even_order_and_high_multiplicity():
    """On isotropic H^n all circles close at 2 pi/|p_z|: 2 n - 1 fields vanish there."""
    found = heisenberg(2).shoot(np.zeros(5), [0.3, 0.4, 0.5, 0.6, 1], 7.0).conjugate_times()
    np.testing.assert_allclose(found.times, [2 * np.pi], atol=1e-9)
    assert found.multiplicities == (3,)

    def weighted(q):
        return [[1, 0, 0, 0, -q[1] / 2], [0, 1, 0, 0, q[0] / 2], [0, 0, 1, 0, -q[3]], [0, 0, 0, 1, q[2]]]

    faster = sr.SubRiemannian.from_frame(weighted, 5)
    first = faster.shoot(np.zeros(5), [0.3, 0.4, 0.5, 0.6, 1], 3.5).conjugate_times()
    np.testing.assert_allclose(first.times, [reference("heis5_aniso_conj")], atol=1e-10)


@pytest.mark.parametrize("c", [0.0, 0.4, 1.3])
def test_conjugate_times_on_a_redundant_chart(c):
    """On SU(2) with covector (a, c), |a| = 1, the first conjugate time is 2 pi / sqrt(1 + c^2)."""
    found = su2().shoot([1, 0, 0, 0], [0, 1.2, 1.6, 2 * c], 7.0).conjugate_times()
    assert found.times[0] == pytest.approx(2 * np.pi / np.hypot(1, c), abs=1e-10)


def test_an_abnormal_geodesic_has_a_singular_exponential_map_at_all_times():
    found = martinet().shoot([0, 0, 0], [0, 1, 0], 1.0).conjugate_times()
    assert found.abnormal
    assert found.times.size == 0


@pytest.mark.parametrize("structure", SPACES, ids=lambda s: s.name)
def test_laws_of_the_flow(structure):
    q, p = start(structure), covector(structure)
    there = structure.shoot(q, p, 1.5)
    assert there.hamiltonian_drift <= 1e-12
    back = structure.shoot(there.end, there.p[-1], -1.5)
    np.testing.assert_allclose(back.end, q, atol=1e-10)
    np.testing.assert_allclose(structure.shoot(q, 1.5 * p, 1.0).end, there.end, atol=1e-11)  # exp(q, c p, t/c)
    np.testing.assert_allclose(structure.exponential(q, [p, 2 * p], 0.75)[1], there.end, atol=1e-11)
    middle = there(0.7)
    np.testing.assert_allclose(structure.shoot(q, p, 0.7).end, middle, atol=1e-11)


@pytest.mark.parametrize("structure", SPACES, ids=lambda s: s.name)
def test_velocity_lies_in_the_distribution(structure):
    """A law of the integrator and not of the formula: difference quotients of points on the path."""
    geodesic = structure.shoot(start(structure), covector(structure), 1.0)
    h = 1e-3
    points = geodesic(0.5 + h * np.array([-2, -1, 1, 2]))
    velocity = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * h)
    lifted = sr.lift(np.array(structure.frame(geodesic(0.5))), velocity)
    assert lifted.residual <= 1e-9
    assert np.linalg.norm(lifted.v) == pytest.approx(geodesic.speed, rel=1e-9)


@pytest.mark.parametrize("structure", SPACES, ids=lambda s: s.name)
def test_the_derivative_is_that_of_difference_quotients(structure):
    q, p = start(structure), covector(structure)
    jacobian = structure.shoot(q, p, 1.3).jacobian()
    h = 1e-4
    moved = h * np.eye(structure.n)
    ends = structure.exponential(q, np.vstack([p + moved, p - moved]), 1.3)
    quotient = (ends[: structure.n] - ends[structure.n :]).T / (2 * h)
    np.testing.assert_allclose(jacobian, quotient, atol=2e-6 * (1 + np.abs(jacobian).max()))


@pytest.mark.parametrize("structure", [heisenberg(), engel()], ids=lambda s: s.name)
def test_geodesics_of_a_group_are_carried_by_left_translations(structure):
    """(X1, …) is left invariant, so exp from g with the translated covector is g * exp from e."""
    if structure.n == 3:

        def times(g, h):
            return np.array([g[0] + h[0], g[1] + h[1], g[2] + h[2] + (g[0] * h[1] - g[1] * h[0]) / 2])

        g = np.array([0.4, -0.3, 0.7])
        p = np.array([0.6, 0.8, 1.1])
        h = 1e-6
        translation = np.column_stack([(times(g, h * e) - times(g, -h * e)) / (2 * h) for e in np.eye(3)])
        there = structure.exponential(g, np.linalg.solve(translation.T, p), 1.7)
        np.testing.assert_allclose(there, times(g, structure.exponential(np.zeros(3), p, 1.7)), atol=1e-9)
    # the dilation (c, c, c^2[, c^3]) carries geodesics to geodesics, c times as long
    c, weights = 1.7, np.array([1, 1, 2, 3])[: structure.n]
    p = covector(structure)
    scaled = structure.exponential(np.zeros(structure.n), p * c ** (1.0 - weights) * c, 1.0)
    np.testing.assert_allclose(scaled, c**weights * structure.exponential(np.zeros(structure.n), p, 1.0), rtol=1e-10)


@pytest.mark.parametrize(("method", "order"), [("dop853", 8), ("gauss", 6)])
def test_order_of_the_methods(method, order):
    structure = se2()
    z = structure.normal.start(np.zeros(3), np.array([0.5, 0.4, 0.9]))
    stepper = structure.normal.stepper(method)
    exact = stepper.path(z, 4.0, 400)[-1]
    errors = [np.abs(stepper.path(z, 4.0, count)[-1] - exact).max() for count in (8, 16, 32)]
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert slopes[-1] == pytest.approx(order, abs=0.7)


def test_gauss_is_symplectic_and_dop853_drifts_over_long_times():
    structure = se2()
    z = structure.normal.start(np.zeros(3), np.array([0.5, 0.4, 0.9]))

    def drift(method):
        path = structure.normal.stepper(method).path(z, 3000.0, 6000)[::50]
        energies = [np.sum(structure.normal.controls(point) ** 2) / 2 for point in path]
        half = len(energies) // 2
        return np.ptp(energies[:half]), np.ptp(energies)

    first, all_of_it = drift("gauss")
    assert all_of_it <= 1.2 * first  # bounded: no more in twice the time
    first, all_of_it = drift("dop853")
    assert all_of_it >= 1.8 * first


def test_the_error_estimate_is_honest():
    for structure in SPACES:
        q, p = start(structure), 3 * covector(structure, 3)
        loose, tight = structure.shoot(q, p, 2.0, rtol=1e-7), structure.shoot(q, p, 2.0, rtol=1e-13)
        error = np.abs(loose.end - tight.end).max() / (1 + np.abs(tight.end).max())
        assert error <= 1e-7
        assert error <= 5 * loose.error


def test_a_geodesic_that_escapes_keeps_its_part():
    escaping = sr.SubRiemannian.from_frame(lambda q: [[1 + q[0] ** 2]], 1)  # q = tan t
    with pytest.raises(sr.SolveError, match="exact up to") as caught:
        escaping.shoot([0.0], [1.0], 3.0)
    part = caught.value.solution
    assert part.status is sr.Status.NOT_FINITE
    assert np.isfinite(part.q).all()
    assert part.time == pytest.approx(np.pi / 2, rel=0.1)
    np.testing.assert_allclose(part(1.0), np.tan(1.0), rtol=1e-9)


def test_metric_of_a_frame():
    """Fields with the inner products G have speed sqrt(u^T G u): half as fast fields, a rotated pair."""
    plain = heisenberg()
    skew = sr.SubRiemannian.from_frame(
        lambda q: [[2, 0, -q[1]], [1, 1, (q[0] - q[1]) / 2]], 3, metric=lambda q: ca.SX([[4, 2], [2, 2]])
    )
    p = np.array([0.6, -0.7, 1.2])
    np.testing.assert_allclose(skew.exponential([0, 0, 0], p, 2.0), plain.exponential([0, 0, 0], p, 2.0), atol=1e-11)


def test_forms_give_the_geodesics_of_the_frame():
    def metric(q):
        form = ca.vertcat(q[1] / 2, -q[0] / 2, 1)
        return ca.diag(ca.SX([1, 1, 0])) + form @ form.T

    contact = sr.SubRiemannian.from_constraints(lambda q: [[q[1] / 2, -q[0] / 2, 1]], 3, metric)
    p = np.array([np.cos(0.3), np.sin(0.3), 1.7])
    np.testing.assert_allclose(contact.exponential([0, 0, 0], p, 2.0), reference("heis_exp"), atol=2e-12)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (([0, 0], [1, 0, 0], 1.0), {}),
        (([0, 0, 0], [1, 0, np.nan], 1.0), {}),
        (([0, 0, 0], [1, 0, 0], np.inf), {}),
        (([0, 0, 0], [1, 0, 0], "long"), {}),
        (([0, 0, 0], [1, 0, 0], 1.0), {"rtol": 0.0}),
        (([0, 0, 0], [1, 0, 0], 1.0), {"method": "euler"}),
    ],
)
def test_bad_arguments_are_refused(arguments, options):
    with pytest.raises(sr.ProblemError):
        heisenberg().shoot(*arguments, **options)


def test_times_outside_are_refused():
    with pytest.raises(sr.ProblemError, match="outside"):
        heisenberg().shoot([0, 0, 0], [1, 0, 1], 1.0)(1.5)


def test_two_step_counts_in_one_call():
    stepper = heisenberg().normal.stepper("dop853")
    z, times = np.random.default_rng(0).standard_normal((3, 6)), np.array([0.5, 1.0, -2.0])
    both = stepper.ends(z, times, 4, 8)
    np.testing.assert_array_equal(both, [stepper.ends(z, times, 4), stepper.ends(z, times, 8)])
    np.testing.assert_allclose(both[1, 2], stepper.path(z[2], -2.0, 8)[-1], rtol=1e-14)
    np.testing.assert_array_equal(stepper.ends(z[:1], 0.5, 4, 8)[:, 0], both[:, 0])


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
def test_many_geodesics_keep_to_their_tolerance(rtol):
    """The law of the errors is asked for only where the coarse run is near: fast geodesics need many steps."""
    structure = trailers(2)
    covectors = 2 * np.random.default_rng(1).standard_normal((200, structure.n))
    ends, exact = (structure.exponential(start(structure), covectors, 2.0, rtol=r) for r in (rtol, 1e-13))
    assert (np.abs(ends - exact).max(axis=1) <= 5 * rtol * (1 + np.abs(exact).max(axis=1))).all()
    alone = structure.exponential(start(structure), covectors[0], 2.0, rtol=rtol)
    np.testing.assert_allclose(alone, exact[0], atol=5 * rtol * (1 + np.abs(exact[0]).max()))


def test_fields_that_are_not_defined_are_said_to_be():
    """The forms x dz vanish on x = 0: there is no frame, and no geodesic starts there."""
    structure = sr.SubRiemannian.from_constraints(lambda q: [[0, 0, q[0]]], 3)
    for ask in (lambda: structure.fields([0, 0, 0]), lambda: structure.shoot([0, 0, 0], [1, 0, 0], 1.0)):
        with pytest.raises(sr.GeometryError, match="not defined at the point"):
            ask()


def test_a_metric_whose_root_is_an_absolute_value():
    """CasADi writes sqrt(cos^2) as fabs: the sphere in latitude and longitude, on both sides of a pole."""
    sphere = sr.SubRiemannian.from_frame(
        lambda q: ca.SX.eye(2), 2, metric=lambda q: ca.diag(ca.vertcat(1, ca.cos(q[0]) ** 2))
    )
    for latitude in (0.3, 2.3):
        assert sphere.popp([latitude, 0.0]) == pytest.approx(abs(np.cos(latitude)), abs=1e-14)
        assert sphere.equiregular([latitude, 0.0]).holds
    found = sphere.shoot([0, 0], [0.6, 0.8], 7.0).conjugate_times()
    np.testing.assert_allclose(found.times, [np.pi, 2 * np.pi], atol=1e-9)


def test_absolute_values_have_no_expansion_at_zero():
    from subriem.geometry.polynomials import Algebra, expansion

    x = ca.SX.sym("x")
    size = ca.Function("size", [x], [ca.fabs(x)])
    (variable,) = Algebra((1,), 2).variables()
    np.testing.assert_array_equal(expansion(size, [variable + (-2.0)]).value.ravel(), [2, -1, 0])
    with pytest.raises(sr.GeometryError, match="no Taylor expansion"):
        expansion(size, [variable])
