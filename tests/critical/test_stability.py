"""Stability of rest points: spectra in closed form, pencils in any units, constant rank and what it implies."""

from itertools import combinations

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.pencil import transversal_motion
from subriem.critical.adapters import rest_problem
from subriem.critical.constantrank import constant_rank
from subriem.critical.dimension import local_structure
from subriem.critical.problem import RestProblem
from subriem.critical.stability import stability
from subriem.critical.system import Box, scaled_system
from subriem.zoo.data import iris

POLICY = sr.RankPolicy()
ISOLATED = np.zeros((1, 0))


def one(problem: RestProblem, point, tangents=None):
    """Stability of a family at one of its points."""
    point = np.asarray(point, dtype=float)
    tangents = np.zeros((point.size, 0)) if tangents is None else np.asarray(tangents, dtype=float)
    return stability(problem, point[None], tangents[None], POLICY)


def torus_potential(x):
    return (ca.sumsqr(x) + 4 - 1) ** 2 - 16 * (x[0] ** 2 + x[1] ** 2)


def test_the_three_families_of_the_torus_potential():
    """V = g^2, g = (|x|^2 + R^2 - r^2)^2 - 4 R^2 (x^2 + y^2), R = 2, r = 1."""
    problem = rest_problem(sr.flows.potential(lambda x: torus_potential(x) ** 2, 3))
    gradient = 2 * (9 + 3) * 2 * 3 - 8 * 4 * 3  # dg/dx at (3, 0, 0)
    on = one(problem, [3, 0, 0], [[0, 0], [1, 0], [0, 1]])
    assert on.spectrum[0].real == pytest.approx([-2 * gradient**2])
    circle = one(problem, [np.sqrt(5), 0, 0], [[0], [1], [0]])
    assert (on.index[0], circle.index[0], one(problem, np.zeros(3)).index[0]) == (0, 2, 2)
    assert [found.nullity[0] for found in (on, circle)] == [0, 0]
    assert on.margin[0] == pytest.approx(2 * gradient**2)


@pytest.mark.parametrize("z", [-1.0, 0.5, 1.5, 3.0])
def test_heisenberg_in_closed_form(z):
    """On the z-axis V = span(d_x - y/2 d_z, d_y + x/2 d_z) gives 2 x 2 matrices."""

    def along_axis(H):
        flow = sr.flows.constrained(H, forms=lambda q: [[q[1] / 2, -q[0] / 2, 1.0]], dim=3)
        return one(rest_problem(flow), [0, 0, z], [[0], [0], [1]])

    spiral = along_axis(lambda q: ca.sumsqr(q) / 2)
    assert np.abs(spiral.spectrum[0] - np.array([-1 + 0.5j * abs(z), -1 - 0.5j * abs(z)])).max() < 1e-14
    saddle = along_axis(lambda q: (q[0] ** 2 - q[1] ** 2 + q[2] ** 2) / 2)
    root = np.sqrt(complex(1 - z**2 / 4))
    assert np.abs(saddle.spectrum[0] - np.array([root, -root])).max() < 1e-14
    assert saddle.index[0] == (1 if abs(z) < 2 else 0)
    assert saddle.margin[0] == pytest.approx(root.real, abs=1e-14)
    assert along_axis(lambda q: q[2] * (q[0] ** 2 + q[1] ** 2) / 2).index[0] == (2 if z < 0 else 0)


def test_nullity_where_the_rank_of_the_axis_falls():
    flow = sr.flows.constrained(
        lambda q: (q[0] ** 2 - q[1] ** 2 + q[2] ** 2) / 2, forms=lambda q: [[q[1] / 2, -q[0] / 2, 1.0]], dim=3
    )
    points = np.array([[0.0, 0.0, z] for z in (1.0, 2.0, 3.0)])
    tangents = np.tile([[0.0], [0.0], [1.0]], (3, 1, 1))
    found = stability(rest_problem(flow), points, tangents, POLICY)
    assert found.nullity.tolist() == [0, 1, 0]
    assert found.index.tolist() == [1, 0, 0]


def test_local_rates_of_the_adapted_flow():
    """x = (2 cos, sin), y = 0: rates 1 + kappa are -3 and 3/4 (docs: mathematics, §2)."""
    ellipse = sr.map(lambda t: [2 * ca.cos(t[0]), ca.sin(t[0])], 1)
    problem = rest_problem(sr.flows.adapted(ellipse, sr.flows.squared_error([0.0, 0.0], factor=0.5)))
    found = stability(problem, np.array([[0.0], [np.pi / 2]]), np.zeros((2, 1, 0)), POLICY)
    assert found.spectrum[:, 0].real == pytest.approx([3.0, -0.75], abs=1e-12)
    assert found.index.tolist() == [1, 0]


@pytest.mark.parametrize("height", [-1.0, 1.0])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_pencil_of_index_three_in_any_units(height, seed):
    """The pendulum x'' + lam x = 0, y'' + lam y + g = 0, x^2 + y^2 = 1: ±i sqrt(g) below, ±sqrt(g) above."""
    lam, g = -9.81 / height, 9.81
    E, A = np.zeros((2, 6, 5))  # w = (x, y, lam, x', y'); the last equation stands twice
    E[0, 0] = E[1, 1] = E[2, 3] = E[3, 4] = 1
    A[0, 3] = A[1, 4] = 1
    A[2, 0], A[3, 1], A[3, 2] = -lam, -lam, -height
    A[4, 1], A[5, 1] = 2 * height, -5 * height
    rng = np.random.default_rng(seed)
    rows, columns = (10 ** rng.uniform(-6, 6, size) if seed is not None else np.ones(size) for size in (6, 5))
    motion = transversal_motion(rows[:, None] * E * columns, rows[:, None] * A * columns, np.zeros((5, 0)), POLICY)
    assert motion is not None
    values = np.linalg.eigvals(motion.matrix)
    assert (
        np.abs(A[4] @ (columns[:, None] * motion.basis)).max() < 1e-10 * np.abs(columns[:, None] * motion.basis).max()
    )
    expected = np.sqrt(complex(g / height)) * np.array([1, -1])
    assert np.abs(np.sort_complex(values) - np.sort_complex(expected)).max() < 1e-12


def test_redundant_multipliers_are_no_motion():
    """x' = -x + lam, x' = -x + lam + ... with lam1, lam2 only as their sum: x = 0 is kept, and nothing else moves."""
    E = np.array([[1.0, 0, 0], [0, 0, 0]])
    A = np.array([[-1.0, 1, 1], [1, 0, 0]])
    motion = transversal_motion(E, A, np.zeros((3, 0)), POLICY)
    assert motion is not None
    assert motion.matrix.shape == (0, 0)


def test_a_motion_that_is_left_open_is_not_told():
    """x' = u without an equation for u."""
    problem = RestProblem(
        sr.map(lambda z: [z[0]], 2), ("x", "u"), lambda z: (np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    )
    found = one(problem, [0.0, 0.0])
    assert found.index[0] == -1
    assert np.isnan(found.margin[0])


def test_the_scale_of_all_points_decides_what_is_zero():
    """V = x^2 y^4 along y = 0: Hessian 2 y^4 dx^2 + …, all zero there."""
    problem = rest_problem(sr.flows.potential(lambda q: q[0] ** 2 * q[1] ** 4 + 1e-13 * q[1] ** 2, 2))
    point, along = np.array([[0.7, 0.0]]), np.array([[[1.0], [0.0]]])
    assert stability(problem, point, along, POLICY).nullity[0] == 0
    assert stability(problem, point, along, POLICY, scale=1.0).nullity[0] == 1


@pytest.mark.parametrize(
    ("name", "expression", "point", "rank", "holds"),
    [
        ("immersion", lambda t: [t[0], ca.sin(t[0]), t[1]], [0.3, 0.1], 2, True),
        ("sum", lambda t: [t[0] + t[1], (t[0] + t[1]) ** 2, 1.0 + 0 * t[0]], [0.3, 0.1], 1, True),
        ("cube", lambda t: [t[0] ** 3], [1e-8], 0, False),  # passes the infinitesimal test
        ("fold", lambda t: [t[0] ** 2], [0.0, 0.4], 0, False),  # dim Crit = 1, K - r = 2
        ("almost", lambda t: [t[0], t[1] ** 3], [0.2, 1e-6], 1, False),  # rank 2 by its own largest singular value
    ],
)
def test_constant_rank(name, expression, point, rank, holds):
    seen = constant_rank(sr.map(expression, len(point)), np.array(point), sr.RankPolicy(rtol=1e-9))
    assert (seen.decision.rank, seen.holds) == (rank, holds)
    if name == "fold":
        assert seen.leaving > 0.1


def test_second_derivatives_by_differences():
    expression = sr.map(lambda t: [t[0] + t[1], (t[0] + t[1]) ** 2, t[0] ** 2 * t[1]], 2)
    plain = sr.numpy_map(expression.value, expression.jacobian, 2, 3)
    theta = np.array([0.5, -0.2])
    pair = [constant_rank(source, theta, POLICY, seed=3) for source in (expression, plain)]
    assert pair[0].leaving == pytest.approx(pair[1].leaving, abs=1e-7)


def test_conflicting_labels_leave_a_manifold_of_known_dimension():
    """Two samples stand twice with other labels: rank D = 3 of K = 25, so dim = 22 (Proposition R)."""
    inputs, targets = [[-1.0], [0.0], [1.0], [1.0]], [[0.5], [-0.3], [0.2], [0.6]]
    net = sr.flows.network([1, 8, 1], inputs)
    flow = sr.flows.standard(net, sr.flows.squared_error(targets))
    theta = net.initial(seed=0)
    goal = np.array([0.5, -0.3, 0.4, 0.4])
    for _ in range(60):
        theta = theta + sr.lift(net, goal - net.value(theta), theta).v
    problem = rest_problem(flow)
    kernel = constant_rank(net, theta, POLICY).kernel
    found = one(problem, theta, kernel)
    assert np.abs(problem.map.value(theta)).max() < 1e-14
    assert (found.constant_rank, found.dimension, found.rank) == (True, 22, [3])
    assert (found.index[0], found.nullity[0], found.spectrum.shape[1]) == (0, 0, 3)


def test_a_map_alone_has_no_stability():
    with pytest.raises(sr.ProblemError, match="no motion"):
        one(rest_problem(sr.map(lambda z: [z[0]], 1)), [0.0])


@pytest.mark.parametrize(("p", "q", "h"), [(3, 3, 2), (4, 2, 2), (5, 3, 2)])
def test_linear_networks_in_closed_form(p, q, h):
    """x = W2 W1, Y p x q with distinct singular values: each set S of at most h of them is a family of rest points.

    With |S| = r and m = min(p, q) the dimension is r (2h - r) + |p - q| (h - r), the index the number of pairs of a
    larger value outside S and one in S, plus (h - r)(m - r). D has constant rank where r = h.
    """
    m = min(p, q)
    values = np.array([3.0, 2.0, 1.0])[:m]
    target = np.zeros((p, q))
    target[range(m), range(m)] = values

    def product(t):
        return ca.vec(ca.reshape(t[: p * h], p, h) @ ca.reshape(t[p * h :], h, q))

    flow = sr.flows.standard(sr.map(product, (p + q) * h), sr.flows.squared_error(target.ravel(order="F"), factor=0.5))
    problem = rest_problem(flow)
    for chosen in (S for r in range(h + 1) for S in combinations(range(m), r)):
        r = len(chosen)
        outer, inner = np.zeros((p, h)), np.zeros((h, q))
        outer[list(chosen), range(r)] = inner[range(r), list(chosen)] = np.sqrt(values[list(chosen)])
        found = one(problem, np.concatenate([outer.ravel(order="F"), inner.ravel(order="F")]))
        larger = sum(values[j] > values[i] for i in chosen for j in set(range(m)) - set(chosen))
        dimension = r * (2 * h - r) + abs(p - q) * (h - r)
        assert (found.nullity[0], found.index[0]) == (dimension, larger + (h - r) * (m - r))
        assert (found.constant_rank, found.dimension) == ((True, dimension) if r == h else (False, None))


@pytest.mark.parametrize(
    ("potential", "n", "index"),
    [
        (lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2, 2, 0),  # all of the Hessian vanishes
        (lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2 - x[2] ** 2, 3, 1),
        (lambda x: x[0] ** 4 - x[1] ** 2, 2, 1),
    ],
)
def test_directions_that_vanish_are_not_counted(potential, n, index):
    """Degenerate rest points, known to 1e-5 only, where the eigenvalues that vanish have a sign."""
    found = sr.equilibria(sr.flows.potential(potential, n), starts=10)
    assert [(one.dimension, one.index, one.verdict) for one in found.components] == [(0, index, "degenerate")]
    assert found.components[0].margin == 0


# -- Proposition R (docs: mathematics, §3) at zero loss: dim = K - r ---------------------------------------------------


def duplicated(seed):
    """A network with a sample that stands twice: flowers for seed 0, else random numbers; and random weights."""
    rng = np.random.default_rng(seed)
    inputs = iris().standardised().features[[0, 60, 120, 20]] if seed == 0 else rng.standard_normal((5, 3))
    net = sr.flows.network([inputs.shape[1], 3, 2], np.vstack([inputs, inputs[:1]]))
    return net, rng.standard_normal(net.n_in)


@pytest.mark.parametrize("seed", range(6))
def test_the_dimension_of_a_set_without_loss(seed):
    net, theta = duplicated(seed)
    flow = sr.flows.standard(net, sr.flows.squared_error(net.value(theta).reshape(-1, 2)))
    seen = constant_rank(net, theta, POLICY)
    r = net.n_out - 2  # the two outputs of the sample that stands twice
    assert (seen.decision.rank, seen.holds) == (r, True)
    assert seen.decision.gap >= 1e8
    problem = rest_problem(flow)
    hessian = problem.map.jacobian(theta)
    assert np.abs(hessian @ seen.kernel).max() <= 1e-10 * np.abs(hessian).max()
    found = stability(problem, theta[None], seen.kernel[None], POLICY)
    assert (found.constant_rank, found.dimension) == (True, net.n_in - r)
    assert (found.index.tolist(), found.nullity.tolist()) == ([0], [0])
    box = Box(theta - 2, theta + 2)
    for zero_loss in (False, True):
        local = local_structure(scaled_system(rest_problem(flow, zero_loss=zero_loss).map, box), theta, POLICY)
        assert (local.verdict, local.dimension) == ("morse_bott", net.n_in - r)


@pytest.mark.parametrize(
    ("expression", "theta", "dimension"),
    [(lambda t: [t[0] ** 2], [0.0, 0.4], 1), (lambda t: [t[0] ** 3], [0.0], 0)],
    ids=["fold", "cube"],
)
def test_a_rank_that_is_not_constant_tells_no_dimension(expression, theta, dimension):
    """y = -1: K - r would be 2 and 1."""
    theta = np.array(theta)
    flow = sr.flows.standard(sr.map(expression, theta.size), sr.flows.squared_error([-1.0]))
    problem = rest_problem(flow)
    box = Box(theta - 2, theta + 2)
    local = local_structure(scaled_system(problem.map, box), theta, POLICY)
    assert local.dimension == dimension
    found = stability(problem, theta[None], local.tangent[None], POLICY)
    assert (found.constant_rank, found.dimension) == (False, None)


def test_the_rank_is_zero_where_d_is_roundoff():
    """x = (a b, b c, c a) at the origin as a search leaves it: D is of the size of roundoff, and has rank 0."""
    output = sr.map(lambda t: [t[0] * t[1], t[1] * t[2], t[2] * t[0]], 3)
    flow = sr.flows.standard(output, sr.flows.squared_error([[1.0, 1.0, 1.0]]))
    point = np.array([1e-17, -2e-17, 3e-18])
    seen = constant_rank(output, point, sr.RankPolicy())
    assert (seen.decision.rank, seen.kernel.shape) == (0, (3, 3))
    found = stability(rest_problem(flow), point[None], np.zeros((1, 3, 0)), sr.RankPolicy())
    assert found.rank is not None
    assert found.rank.tolist() == [0]
