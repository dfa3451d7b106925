"""Elimination: what is solved for satisfies the equations, also far from where the pivots were chosen."""

import casadi as ca
import numpy as np
import pytest

from subriem.core.errors import ProblemError, ReductionError
from subriem.reduction.elimination import solve_affine, substitute_explicit
from subriem.reduction.pivots import solve_block
from tests.reduction.mechanics import car_axis, chain


def reduce(system, g=None):
    """Return all unknowns by substitution of the accelerations and elimination of the multipliers."""
    form = substitute_explicit(system.g if g is None else g, system.a)
    return form.complete(solve_affine(form.equations, form.unknowns, system.jacobian_at_start)), form


def residual(system, a, q, v, t=0.0):
    inputs = [system.t, system.q, system.v]
    values = ca.Function("a", inputs, [a])(t, q, v)
    return float(ca.norm_inf(ca.Function("g", [*inputs, system.a], [system.g])(t, q, v, values)))


# --- substitution --------------------------------------------------------------------------------------------


def test_accelerations_are_substituted_and_multipliers_remain():
    system = chain(3)
    form = substitute_explicit(system.g, system.a)
    assert sorted(form.solved_index) == list(range(6))
    assert form.kept_index == (6, 7, 8)
    assert sorted(form.used_index) == list(range(6))
    assert form.left_index == (6, 7, 8)
    assert not ca.depends_on(ca.vertcat(form.solved, form.equations), system.a[:6])


def test_the_chosen_unknowns_solve_their_equations_for_any_kept_ones():
    rng = np.random.default_rng(0)
    system = chain(3)
    form = substitute_explicit(system.g, system.a)
    whole = form.complete(form.unknowns)
    g = ca.Function("g", [system.q, system.v, system.a], [system.g])
    a = ca.Function("a", [system.q, system.v, form.unknowns], [whole])
    q, v, lam = rng.normal(size=6), rng.normal(size=6), rng.normal(size=3)
    left = g(q, v, a(q, v, lam)).full().ravel()
    np.testing.assert_allclose(left[list(form.used_index)], 0, atol=1e-14)
    rest = ca.Function("r", [system.q, system.v, form.unknowns], [form.equations])(q, v, lam).full().ravel()
    np.testing.assert_allclose(left[list(form.left_index)], rest, atol=1e-13)


def test_rounds_are_repeated_and_earlier_solutions_follow():
    a, x = ca.SX.sym("a", 4), ca.SX.sym("x")
    # a0 = a1 + x, 2 a1 = a2, a2 = a3 sin x: no two neighbours are diagonal in one round
    form = substitute_explicit(ca.vertcat(a[0] - a[1] - x, 2 * a[1] - a[2], a[2] - a[3] * ca.sin(x)), a, keep=[3])
    assert form.equations.numel() == 0
    assert form.kept_index == (3,)
    values = ca.Function("a", [x, a[3]], [form.complete(form.unknowns)])(0.5, 3.0).full().ravel()
    last = 3 * np.sin(0.5)
    np.testing.assert_allclose(values, [last / 2 + 0.5, last / 2, last, 3], rtol=1e-15)


def test_kept_unknowns_and_varying_or_small_coefficients_are_not_solved_for():
    a, x = ca.SX.sym("a", 3), ca.SX.sym("x")
    assert substitute_explicit(a[0] + x * a[1], a[:2], keep=[0]).solved_index == ()
    assert substitute_explicit(a[0] ** 3 + x * a[1], a[:2]).solved_index == ()
    assert substitute_explicit(1e-3 * a[0] + 5 * a[1] + 4 * a[2], a, keep=[1]).solved_index == (2,)
    assert substitute_explicit(1e-3 * a[0] + 5 * a[1], a[:2], keep=[1]).solved_index == ()


def test_a_hub_is_not_substituted_where_it_would_couple_everything():
    n = 40
    a, x = ca.SX.sym("a", n + 1), ca.SX.sym("x", n)
    spokes = x * a[0] + x**2 * a[1:]
    hub = a[0] + ca.dot(x, a[1:])
    assert substitute_explicit(ca.vertcat(hub, spokes), a).solved_index == ()


# --- affine systems ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_multipliers_of_a_chain_solve_the_equations_everywhere(n):
    rng = np.random.default_rng(n)
    system = chain(n, rng.uniform(-1, 1, n))
    a, _ = reduce(system)
    for _ in range(3):  # far from the point at which the pivots were chosen
        angles = rng.uniform(-np.pi, np.pi, n)
        q = np.concatenate([np.cumsum(np.sin(angles)), -np.cumsum(np.cos(angles))])
        assert residual(system, a, q, rng.normal(size=2 * n)) < 1e-11


def test_the_expression_of_a_chain_grows_linearly():
    def instructions(n):
        system = chain(n, np.linspace(0.1, 0.9, n))
        return ca.Function("a", [system.t, system.q, system.v], [reduce(system)[0]]).n_instructions()

    ten, twenty, forty = (instructions(n) for n in (10, 20, 40))
    assert forty - twenty == pytest.approx(2 * (twenty - ten), rel=0.05)
    assert forty < 50 * 40


def test_car_axis():
    system = car_axis()
    a, form = reduce(system)
    assert form.kept_index == (4, 5)
    assert residual(system, a, system.start[:4], system.start[4:]) < 1e-14
    # the far point is not consistent, the equations are solved all the same
    assert residual(system, a, [0.1, 0.4, 1.1, 0.6], [1, 2, 3, 4], t=0.3) < 1e-11


def ways(system):
    matrix = ca.jacobian(system.g, system.a)
    right = -ca.substitute(system.g, system.a, ca.SX.zeros(system.a.shape))
    return matrix, right, system.jacobian_at_start(matrix)


def test_multipliers_and_varying_masses_get_pivots_that_keep_their_sign():
    masses = chain(3, [0.3, 0.5, 0.1], mass=lambda q: 1 + q**2)
    matrix, right, values = ways(masses)
    x, way = solve_block(matrix, right, values)
    assert way == "diagonal"
    assert residual(masses, x, np.linspace(1, 2, 6), np.ones(6)) < 1e-12
    # the multipliers' own matrix, in any order and any units
    system = chain(4, [0.3, 0.5, 0.1, 0.7])
    form = substitute_explicit(system.g, system.a)
    rows, columns, units = [2, 0, 3, 1], [1, 0, 3, 2], ca.DM([1, -1e5, 1e-4, 3])
    matrix = (units * ca.jacobian(form.equations, form.unknowns))[rows, columns]
    _, way = solve_block(matrix, ca.SX.ones(4), system.jacobian_at_start(matrix))
    assert way == "diagonal"


def test_a_saddle_with_more_than_zeros_is_not_taken_for_one():
    m, c, b = ca.SX.sym("m", 2), ca.SX.sym("c"), ca.SX.sym("b", 4)
    border = m[0] * ca.DM([[1, 0.2], [0.1, 1]])
    corner = c * ca.DM([[0, 1], [1, 0]])
    saddle = ca.blockcat([[ca.diag(m), border], [border.T, 0 * corner]])
    full = ca.blockcat([[ca.diag(m), border], [border.T, corner]])
    values = ca.Function("A", [m, c], [ca.sparsify(full)])
    assert solve_block(ca.sparsify(saddle), b, values([20, 30], 0).full())[1] == "diagonal"
    assert solve_block(ca.sparsify(full), b, values([20, 30], 0.1).full())[1] == "orthogonal"


def test_no_pivot_vanishes_where_the_matrix_is_regular():
    t, b = ca.SX.sym("t"), ca.SX.sym("b", 2)
    turn = ca.vertcat(ca.horzcat(ca.cos(t), -ca.sin(t)), ca.horzcat(ca.sin(t), ca.cos(t)))
    x, way = solve_block(turn, b, np.eye(2))
    assert way == "orthogonal"
    solution = ca.Function("x", [t, b], [x])
    for angle in (0.0, np.pi / 2, 1.2):
        value = solution(angle, [1, 2]).full().ravel()
        np.testing.assert_allclose(
            value, np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) @ [1, 2], atol=1e-15
        )
    # at pi/2 the pivots of elimination in the order chosen at 0 are exactly zero
    s, c = ca.SX.sym("s"), ca.SX.sym("c")
    x, _ = solve_block(ca.vertcat(ca.horzcat(c, -s), ca.horzcat(s, c)), b, np.array([[1.0, -0.1], [0.1, 1.0]]))
    np.testing.assert_array_equal(ca.Function("x", [c, s, b], [x])(0, 1, [1, 2]).full().ravel(), [2, -1])


@pytest.mark.parametrize(("n", "expected"), [(6, "orthogonal"), (16, "threshold")])
def test_unsymmetric_blocks(n, expected):
    rng = np.random.default_rng(n)
    entries, b = ca.SX.sym("A", n, n), ca.SX.sym("b", n)
    values, right = rng.normal(size=(n, n)), rng.normal(size=n)
    x, way = solve_block(entries, b, values)
    assert way == expected
    found = ca.Function("x", [entries, b], [x])(values, right).full().ravel()
    np.testing.assert_allclose(found, np.linalg.solve(values, right), rtol=1e-10)


def test_orthogonalisation_loses_no_more_than_elimination():
    hilbert = 1 / (np.arange(7)[:, None] + np.arange(7) + 1.0)
    hilbert[0] = np.arange(1, 8)  # not symmetric
    entries, b = ca.SX.sym("A", 7, 7), ca.SX.sym("b", 7)
    x, way = solve_block(entries, b, hilbert)
    assert way == "orthogonal"
    right = hilbert @ np.ones(7)
    found = ca.Function("x", [entries, b], [x])(hilbert, right).full().ravel()
    assert np.abs(hilbert @ found - right).max() < 1e-13  # backward stable: normal equations would leave 1e-8
    assert np.abs(found - 1).max() < 100 * np.linalg.cond(hilbert) * np.finfo(float).eps


def test_sparse_unsymmetric_blocks_stay_sparse():
    n = 200
    main, off, b = ca.SX.sym("d", n), ca.SX.sym("e", n), ca.SX.sym("b", n)
    ring = ca.diag(main) + ca.SX(n, n)
    for i in range(n):
        ring[i, (i + 1) % n] = off[i]
        ring[i, (i + 7) % n] = 0.3 * off[i] ** 2
    rng = np.random.default_rng(0)
    inputs = rng.uniform(1, 2, n), rng.uniform(0.5, 1, n), rng.normal(size=n)
    values = ca.Function("A", [main, off], [ring])(*inputs[:2]).full()
    x, way = solve_block(ring, b, values)
    assert way == "threshold"
    solution = ca.Function("x", [main, off, b], [x])
    assert solution.n_instructions() < 60 * n  # dense elimination would take n^3/3 = 2.7e6
    np.testing.assert_allclose(solution(*inputs).full().ravel(), np.linalg.solve(values, inputs[2]), rtol=1e-9)


def test_blocks_are_solved_in_order_and_may_be_nonlinear_in_earlier_ones():
    a, x = ca.SX.sym("a", 3), ca.SX.sym("x")
    g = ca.vertcat(a[0] * ca.exp(a[2]) - 1, a[2] - x, a[1] + a[0] ** 2)
    found = ca.Function("a", [x], [solve_affine(g, a, np.array([[1, 0, 1.0], [0, 0, 1], [2, 1, 0]]))])(0.3)
    np.testing.assert_allclose(found.full().ravel(), [np.exp(-0.3), -np.exp(-0.6), 0.3], rtol=1e-15)


# --- refusals ------------------------------------------------------------------------------------------------


def test_refusals_name_the_unknowns():
    a, x = ca.SX.sym("force", 2), ca.SX.sym("x")
    ones = np.ones((2, 2)) + np.eye(2)
    with pytest.raises(ReductionError, match="not linear in force_0, force_1"):
        solve_affine(ca.vertcat(a[0] * a[1] - x, a[0] + a[1]), a, ones)
    with pytest.raises(ReductionError, match=r"do not determine force_[01], force_[01] at the point"):
        solve_affine(ca.vertcat(a[0] + x * a[1], x * a[0] + a[1]), a, np.ones((2, 2)))
    with pytest.raises(ReductionError, match="no equation is left for force_1"):
        solve_affine(ca.vertcat(a[0] - x, a[0] + x), a, ones)
    with pytest.raises(ReductionError, match="1 equations for 2 unknowns"):
        solve_affine(a[0] + a[1], a, ones)
    with pytest.raises(ProblemError, match="entries not finite"):
        solve_affine(ca.vertcat(a[0] + x * a[1], a[1]), a, ones * np.nan)
    with pytest.raises(ProblemError, match="not a column of symbols"):
        substitute_explicit(a, 2 * a)
