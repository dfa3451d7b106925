"""The geometry of maps: both tiers against each other, curvature, holonomy, Wong's equations."""

import numpy as np
import pytest

import subriem as sr
from subriem.geometry.brackets import Brackets

X3 = np.array([[0.2, -0.4], [0.7, 0.1], [-0.5, 0.9]])


def tanh(widths=(2, 3, 1), inputs=X3, seed=0):
    net = sr.flows.network(list(widths), inputs)
    return net, net.initial(seed)


def toy():
    return sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3)


def numeric(source):
    """Hide the symbols of a map."""

    class Numeric:
        n_in, n_out = source.n_in, source.n_out
        capabilities = frozenset({"hvp", "second"})
        value, jacobian, jvp, vjp = source.value, source.jacobian, source.jvp, source.vjp
        hvp, second = source.hvp, source.second

    return sr.SubRiemannian.from_map(Numeric())


def test_growth_vectors():
    net, theta = tanh()
    assert sr.SubRiemannian.from_map(net).growth(theta).vector == (3, 6, 13)
    assert sr.SubRiemannian.from_map(toy()).growth([0, 0, 0]).vector == (2, 3)
    linear = sr.flows.network([2, 2, 1], X3[:2], activation="linear", biases=False)
    found = sr.SubRiemannian.from_map(linear).growth(linear.initial(0))
    assert (found.vector[:2], found.vector[-1], found.generating) == ((2, 3), 3, False)  # three quantities are kept
    assert linear.conserved(linear.initial(0)).size == 3


@pytest.mark.parametrize("seed", range(3))
def test_numeric_growth_is_the_symbolic_one_to_step_two(seed):
    net, theta = tanh(seed=seed)
    symbolic, found = sr.SubRiemannian.from_map(net).growth(theta), numeric(net).growth(theta)
    assert found.vector == symbolic.vector[:2]
    assert found.basis.shape == (13, 6)
    assert np.linalg.matrix_rank(found.basis) == 6
    flat = numeric(sr.map(lambda q: [q[0] + q[1] ** 2, q[2]], 4))
    assert flat.growth([0.1, 0.2, 0.3, 0.4]).vector == (2, 2)


@pytest.mark.parametrize("seed", range(3))
def test_curvature_is_the_bracket_of_the_lifts(seed):
    net, theta = tanh(seed=seed)
    M = sr.SubRiemannian.from_map(net)
    found = M.curvature(theta)
    words, layer = Brackets(M.symbolic.frame).layer(2)
    assert words == found.pairs
    brackets = layer(theta).reshape((26, -1))[:13].T
    np.testing.assert_allclose(found.fields, brackets, atol=1e-9 * np.abs(brackets).max())
    assert found.residual <= 1e-14


def test_wong_is_the_hamiltonian_flow_of_the_symbolic_tier():
    net, theta = tanh()
    M, rng = sr.SubRiemannian.from_map(net), np.random.default_rng(0)
    u, q = np.array([0.3, -0.2, 0.5]), rng.standard_normal(13)
    here = M.at(theta)
    geodesic = M.shoot(theta, here.jacobian.vjp(u) + here.vertical(q), 1.0, rtol=1e-11)
    path = M.wong(theta, u, q, 1.0, rtol=1e-12)
    assert path.success
    assert path.drift <= 1e-11
    np.testing.assert_allclose(path.end, geodesic.end, atol=1e-10)
    np.testing.assert_allclose(
        path.controls[-1], M.symbolic.normal.controls(np.r_[geodesic.end, geodesic.p[-1]]), atol=1e-9
    )


def test_wong_residual():
    """u_i' = sum_j u_j <q, [X_j, X_i]> with u' = G^-1 (D' p + D p' - G' u): both sides by their own formulas."""
    net, theta = tanh()
    M = sr.SubRiemannian.from_map(net)
    path = M.wong(theta, [0.3, -0.2, 0.5], np.random.default_rng(1).standard_normal(13), 0.8, rtol=1e-11)
    for theta_t, p in zip(path.theta[::3], path.covector[::3], strict=True):
        here = M.at(theta_t)
        u, q = here.split(p)
        moved, multiplier = here.lift(u)
        change = here.hessian(u, moved) - here.hessian(multiplier, q)
        gram = net.second(theta_t, moved, here.jacobian.vjp(u)) + here.jacobian.jvp(net.hvp(theta_t, u, moved))
        _, rate = here.lift(net.second(theta_t, moved, p) + here.jacobian.jvp(change) - gram)
        curvature, force = M.curvature(theta_t), np.zeros(3)
        for (i, j), field in zip(curvature.pairs, curvature.fields, strict=True):
            force[j] += u[i] * (q @ field)
            force[i] -= u[j] * (q @ field)
        np.testing.assert_allclose(rate, force, atol=1e-10 * (1 + np.abs(force).max()))


def test_charge_bends_the_outputs_linearly_and_no_charge_leaves_them_straight():
    net, theta = tanh()
    M, q = sr.SubRiemannian.from_map(net), np.random.default_rng(2).standard_normal(13)
    u = np.array([0.3, -0.2, 0.5])
    straight = net.value(theta) + u
    bends = [np.linalg.norm(net.value(M.wong(theta, u, c * q, 1.0).end) - straight) for c in (0.0, 1e-3, 1e-2)]
    assert bends[0] <= 1e-9
    assert bends[2] / bends[1] == pytest.approx(10, rel=0.02)


def test_holonomy_obeys_the_area_law_to_first_order():
    net, theta = tanh()
    M, x = sr.SubRiemannian.from_map(net), net.value(theta)
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    excess = []
    for size in (0.02, 0.01, 0.005):
        found = M.holonomy(theta, x + size * square)
        assert found.closure <= 1e-11
        assert found.path.drift <= 1e-11
        excess.append(np.linalg.norm(found.gap - found.area_law) / np.linalg.norm(found.area_law))
    assert excess[-1] <= 0.01
    assert np.divide(excess[:-1], excess[1:]) == pytest.approx([2, 2], abs=0.3)


def test_a_bracket_of_a_toy_by_hand():
    """x = (q1, q2 + q1 q3) at 0: X1 = d1, X2 = d2, and the unit square leaves d3 times its area, exactly here."""
    M = sr.SubRiemannian.from_map(toy())
    np.testing.assert_allclose(M.curvature([0, 0, 0]).fields, [[0, 0, 1]], atol=1e-15)
    gap = M.holonomy([0, 0, 0], 1e-3 * np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])).gap
    np.testing.assert_allclose(gap, [0, 0, 1e-6], atol=1e-8)
    assert gap[2] == pytest.approx(1e-6, rel=1e-2)


def test_a_lift_follows_its_polygon():
    net, theta = tanh()
    M = sr.SubRiemannian.from_map(net)
    corners = net.value(theta) + np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.2, -0.1]])
    path = M.lift_path(theta, corners)
    assert path.drift <= 1e-9
    np.testing.assert_allclose(net.value(path(1.5)), corners[1:].mean(axis=0), atol=1e-9)


def test_a_fold_on_the_way_is_located():
    """x = (q1^2 - q2, q2) loses rank on q1 = 0: the outputs cannot go further left."""
    M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0] ** 2 + q[1], q[1]], 3))
    path = M.lift_path([1.0, 0, 0], [[1, 0], [-1, 0]])
    assert path.status is sr.Status.RANK_CHANGED
    assert path.t[-1] == pytest.approx(0.5, abs=1e-6)
    assert not path.success
    with pytest.raises(sr.SolveError, match="loop"):
        M.holonomy([1.0, 0, 0], [[1, 0], [-1, 0], [-1, 1]])


def test_large_networks():
    """K = 12210: no K x K array; the structured Gram and second derivatives do it."""
    rng = np.random.default_rng(0)
    net = sr.flows.network([10, 100, 100, 10], rng.standard_normal((6, 10)))
    theta, M = net.initial(0), sr.SubRiemannian.from_map(net)
    assert M.n == 12210
    assert M.symbolic is None
    found = M.curvature(theta, [(0, 1), (3, 50)])
    assert found.residual <= 1e-13
    h = 1e-4  # [X, Y] = DY.X - DX.Y by difference quotients of lifts
    lifts = [lambda point, i=i: M.at(point).lift(np.eye(60)[i])[0] for i in (0, 1)]
    X, Y = (field(theta) for field in lifts)
    quotient = (
        lifts[1](theta + h * X) - lifts[1](theta - h * X) - lifts[0](theta + h * Y) + lifts[0](theta - h * Y)
    ) / (2 * h)
    np.testing.assert_allclose(found.fields[0], quotient, atol=1e-5 * np.abs(quotient).max())
    with pytest.raises(sr.GeometryError, match="symbols"):
        M.shoot(theta, theta, 1.0)
    path = M.wong(theta, 0.01 * rng.standard_normal(60), None, 1.0, rtol=1e-6)
    assert path.success


def test_bad_maps_and_arguments():
    with pytest.raises(sr.GeometryError, match="more outputs"):
        sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[0] ** 2], 1))
    with pytest.raises(sr.ProblemError, match="no map"):
        sr.SubRiemannian.from_map(lambda q: q)
    plain = sr.numpy_map(lambda q: q[:1] ** 2, lambda q: np.array([[2 * q[0], 0.0]]), 2, 1)
    with pytest.raises(sr.GeometryError, match="second derivatives"):
        sr.SubRiemannian.from_map(plain).wong([1.0, 0.0], [1.0], [0.0, 0.5])
    assert sr.SubRiemannian.from_map(plain).wong([1.0, 0.0], [1.0]).end == pytest.approx([np.sqrt(2), 0])
    M = sr.SubRiemannian.from_map(toy())
    with pytest.raises(sr.ProblemError, match="start"):
        M.lift_path([0, 0, 0], [[1, 0], [2, 0]])
    with pytest.raises(sr.ProblemError, match="fit"):
        M.lift_path([0, 0, 0], [[0, 0, 0], [1, 0, 0]])
    with pytest.raises(sr.ProblemError):
        M.wong([0, 0, np.nan], [1, 0])
    doubled = sr.map(lambda q: [q[0] + q[1] ** 2, 2 * q[0] + 2 * q[1] ** 2], 3)
    with pytest.raises(sr.RankError, match="dependent"):
        sr.SubRiemannian.from_map(doubled).curvature([0.1, 0.2, 0.3])


def test_popp_and_the_nilpotent_approximation_of_a_map():
    """x = (q1, q2 + q1 q3) at 0 is the Heisenberg group; a network as its symbols have it."""
    M = sr.SubRiemannian.from_map(toy())
    assert M.popp([0, 0, 0]) == pytest.approx(np.sqrt(0.5), rel=1e-12)
    assert M.nilpotent([0, 0, 0]).weights == (1, 1, 2)
    assert M.bracket_generating([0, 0, 0]).holds is True
    assert M.equiregular([0.1, 0, 0]).holds is True
    net, theta = tanh((1, 2, 1), X3[:2, :1])
    assert sr.SubRiemannian.from_map(net).popp(theta) == sr.SubRiemannian.from_map(net).symbolic.popp(theta)
    with pytest.raises(sr.GeometryError, match="symbols"):
        numeric(toy()).popp([0, 0, 0])
    with pytest.raises(sr.GeometryError, match="symbols"):
        numeric(toy()).nilpotent([0, 0, 0])
    folded = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0] ** 2 + q[1], q[1] + q[0] * q[2]], 3))
    with pytest.raises(sr.RankError, match="lifts"):
        folded.popp([0, 0, 0])


@pytest.mark.parametrize("rtol", [1e-5, 1e-8, 1e-10])
@pytest.mark.parametrize("size", [1.0, 10.0])
def test_a_charged_geodesic_knows_its_error(size, rtol):
    """Against the normal geodesic of the symbolic tier; |u| alone does not see an error of the charge."""
    rng = np.random.default_rng(int(size))
    net, theta = tanh(seed=3)
    M = sr.SubRiemannian.from_map(net)
    u, charge = 0.3 * rng.standard_normal(3), size * rng.standard_normal(net.n_in)
    path = M.wong(theta, u, charge, 1.5, rtol=rtol)
    start = M.at(theta)
    exact = M.shoot(theta, start.jacobian.vjp(u) + start.vertical(charge), 1.5)
    off = np.abs(path.end - exact.end).max() / (1 + np.abs(exact.end).max())
    assert path.error <= 10 * rtol
    assert off <= 10 * path.error + 1e-12
    assert "error" in str(path)
    assert np.isnan(M.wong(theta, u, None, 0.5).error)
