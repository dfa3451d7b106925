"""Theorem G on random networks, other optimisers, and what a comparison must not call equal."""

import numpy as np
import pytest

import subriem as sr
from subriem.geometry.curve import frechet, hausdorff, lobatto, sampled
from tests.geometry.structures import heisenberg


def problem(seed, widths=(1, 3, 1), samples=3):
    rng = np.random.default_rng(seed)
    net = sr.flows.network(list(widths), rng.standard_normal((samples, widths[0])))
    theta = net.initial(seed)
    return net, theta, net.value(theta) + 0.2 * rng.standard_normal(net.n_out)


@pytest.mark.parametrize("seed", range(20))
def test_theorem_g(seed):
    """The adapted orbit is as long as its chord, the standard one is longer; |chord| is the distance to the fibre."""
    net, theta, y = problem(seed, *[((1, 3, 1), 3), ((2, 4, 2), 2), ((2, 3, 1), 4)][seed % 3])
    M, cost = sr.SubRiemannian.from_map(net), sr.flows.squared_error(y.reshape((net.samples, -1)))
    orbit = sr.follow(sr.flows.adapted(net, cost), theta, until=sr.Until(cost=1e-6), rtol=1e-10, project=False)
    assert orbit.success
    found = sr.compare(orbit, None, M)
    assert found.path.tortuosity == pytest.approx(1, abs=1e-8)
    assert found.path.defect <= 1e-6
    assert found.frechet <= 1e-6 * found.path.euclidean_length
    assert found.path.deviation <= 1e-8 * found.path.chord
    # a polygon of outputs is shorter than a curve, by a quarter as much on twice as many points: not here
    times = np.linspace(orbit.grid[0], orbit.grid[-1], 65)
    outputs = np.array([net.value(point) for point in orbit(times)])
    for stride in (8, 1):
        length = np.linalg.norm(np.diff(outputs[::stride], axis=0), axis=1).sum()
        assert length / found.path.chord == pytest.approx(1, abs=1e-8)
    plain = sr.follow(sr.flows.standard(net, cost), theta, until=sr.Until(cost=0.1), rtol=1e-7)
    outputs = np.array([net.value(point) for point in plain.y])
    assert np.linalg.norm(np.diff(outputs, axis=0), axis=1).sum() > (1 + 1e-6) * np.linalg.norm(
        outputs[-1] - outputs[0]
    )


def test_kernel_kicks_fail_horizontality_and_nothing_else():
    """theta' = D^+ w + a field in ker D has the outputs of the adapted orbit: only the defect tells."""
    net, theta, y = problem(4)
    M, x = sr.SubRiemannian.from_map(net), net.value(theta)
    straight = M.lift_path(theta, np.array([x, y]))

    def kicked(s):
        here = M.at(straight(s))
        return straight(s) + 0.3 * s * (1 - s) * here.vertical(np.ones(net.n_in))

    iterates = np.array([kicked(s) for s in np.linspace(0, 1, 41)])
    found = sr.compare(iterates, straight, M)
    assert found.path.defect > 0.05
    assert found.path.step_defect > 0.05
    assert found.reference.defect <= 1e-7
    assert found.hausdorff > 0.01


def test_one_and_the_same_path_is_at_distance_zero():
    net, theta, y = problem(1)
    M = sr.SubRiemannian.from_map(net)
    path = M.lift_path(theta, np.array([net.value(theta), y]))
    found = sr.compare(path, path, M)
    assert (found.length_ratio, found.frechet, found.hausdorff, found.end_gap, found.angle) == (1, 0, 0, 0, 0)


def test_other_optimisers():
    """Gauss-Newton in short steps nears the geodesic at first order; gradient descent wanders from it."""
    net, theta, y = problem(0)
    M = sr.SubRiemannian.from_map(net)

    def descend(step, rounds):
        iterates = [theta]
        for _ in range(rounds):
            iterates.append(iterates[-1] + step(iterates[-1], y - net.value(iterates[-1])))
        return np.array(iterates)

    def newton(share):
        return lambda point, r: share * sr.lift(net, r, point).v

    short = [sr.compare(descend(newton(h), round(1 / h)), None, M) for h in (0.05, 0.025, 0.0125)]
    bends = [found.path.deviation for found in short]
    assert np.divide(bends[:-1], bends[1:]) == pytest.approx([2, 2], abs=0.5)
    assert short[-1].path.step_defect <= 1e-7
    gradient = sr.compare(descend(lambda point, r: 0.05 * net.vjp(point, r), 100), None, M)
    assert gradient.path.tortuosity > 1 + 1e-4
    excess = [found.path.tortuosity - 1 for found in short]
    assert excess[0] > 1.5 * excess[1] > 2.25 * excess[2]
    damped = sr.compare(descend(lambda point, r: sr.lift(net, r, point, damping=1.0).v, 30), None, M)
    assert damped.path.step_defect <= 1e-7  # D^T lam is horizontal, whatever lam


def test_charge_of_a_geodesic_is_found():
    """The least charge that bends like this: that of the geodesic, up to what exerts no force."""
    net, theta, _ = problem(3, (2, 3, 1), 2)
    M = sr.SubRiemannian.from_map(net)
    u = np.array([0.3, 0.4])
    (force,) = M.curvature(theta).fields  # n = 2: one bracket, and only q along it exerts a force
    q = 0.7 * force / np.linalg.norm(force)
    path = M.wong(theta, u, q, 0.2, rtol=1e-12)
    found = sr.compare(path, None, M)
    bent = found.path.charge * np.linalg.norm(u)
    charges = []
    for point, p in zip(path.theta, path.covector, strict=True):
        (bracket,) = M.curvature(point).fields
        charges.append(abs(M.at(point).split(p)[1] @ bracket) / np.linalg.norm(bracket))
    assert bent == pytest.approx(max(charges[0], charges[-1]), rel=0.02)
    assert found.path.uniformity == pytest.approx(1, abs=1e-10)


def test_frames_are_compared_too():
    M = heisenberg()
    line, arc = M.shoot([0, 0, 0], [1, 0, 0], 1.0), M.shoot([0, 0, 0], [1, 0, 2.0], 1.0)
    found = sr.compare(arc, line, M)
    assert found.path.h_length == pytest.approx(1, abs=1e-12)
    assert found.path.defect <= 1e-12
    assert found.angle == pytest.approx(2.0, abs=1e-6)  # the arc has turned by p_z
    np.testing.assert_allclose(found.end_gap, np.linalg.norm(arc.end - line.end), atol=1e-12)
    lifted = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0.5]], dtype=float)
    assert sr.compare(lifted, None, M).path.defect == pytest.approx(1 / np.sqrt(1 + 0.25), abs=1e-9)


def test_lengths_have_honest_errors():
    M = heisenberg()
    coarse = np.array([M.shoot([0, 0, 0], [1, 0, 6.0], t).end for t in np.linspace(0, 1, 6)[1:]])
    found = sr.compare(np.vstack([[0, 0, 0], coarse]), None, M).path
    assert found.h_length_error <= 1e-6 * found.h_length


def test_distances_of_polylines():
    square = np.array([[0.0, 0], [1, 0], [1, 1]])
    shifted = square + np.array([0, 0.5])
    assert hausdorff(square, shifted) == pytest.approx(0.5)
    line = np.linspace(0, 1, 50)[:, None] * np.array([1.0, 0])
    there = np.interp(np.linspace(0, 3, 150), [0, 1, 2, 3], [0, 1, 0, 1])[:, None] * np.array([1.0, 0])  # and back
    assert hausdorff(there, line) <= 1e-12
    assert frechet(there, line) == pytest.approx(0.5, abs=0.03)


def test_lobatto():
    nodes, weights, derivative = lobatto()
    np.testing.assert_allclose(weights @ nodes**14, 2 / 15, atol=1e-14)
    np.testing.assert_allclose(derivative @ nodes**8, 8 * nodes**7, atol=1e-13)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (np.zeros((3, 2)), "fit"),
        (np.zeros((1, 3)), "fit"),
        (np.zeros((3, 3)), "move"),
        (np.full((3, 3), np.nan), "finite"),
        ("path", "path"),
        (np.zeros(3), "axes"),
    ],
)
def test_bad_paths(path, what):
    with pytest.raises(sr.ProblemError, match=what):
        sr.compare(path, None, heisenberg())


def test_bad_structure():
    with pytest.raises(sr.ProblemError, match="structure"):
        sr.compare(np.eye(3), None, "heisenberg")
    assert sampled(np.eye(3), 3, "path").polygon


def test_steps_of_roundoff_size_have_no_direction():
    """Gradient steps are horizontal where they start; those after convergence are roundoff."""
    net, theta, y = problem(2)
    iterates = [theta]
    for _ in range(300):
        iterates.append(iterates[-1] + 0.3 * sr.lift(net, y - net.value(iterates[-1]), iterates[-1]).v)
    assert np.linalg.norm(net.value(iterates[-1]) - y) < 1e-14
    assert sr.compare(np.array(iterates), None, sr.SubRiemannian.from_map(net)).path.step_defect <= 1e-6


def parabola():
    """D loses rank on q1 = 0."""
    return sr.SubRiemannian.from_map(sr.map(lambda q: [q[0] ** 2 + q[1], q[1]], 3))


def test_a_path_that_ends_at_a_fold_is_compared_up_to_there():
    """The adapted flow runs straight into q1 = 0; iterates that step on it are cut where they meet it."""
    M = parabola()
    flow = M.wong([1.0, 0, 0], [-1.0, 0.3], None, 3.0)
    found = sr.compare(flow, None, M)
    assert found.status is sr.Status.RANK_CHANGED
    assert "on the path at t = 0.76923076" in found.headline()
    assert found.path.h_length == pytest.approx(np.hypot(1.0, 0.3) / 1.3, rel=1e-6)
    assert found.path.tortuosity == pytest.approx(1.0, abs=1e-7)

    assert found.angle < 1e-3

    iterates = sr.compare(np.array([[1.0, 0, 0], [0.5, 0.1, 0], [-0.3, 0.1, 0.2]]), None, M)
    assert iterates.status is sr.Status.SUCCESS  # no point that is looked at lies on the fold
    cut = sr.compare(np.array([[1.0, 0, 0], [0.5, 0.1, 0], [-0.5, 0.1, 0.2]]), None, M)
    assert cut.status is sr.Status.RANK_CHANGED
    assert "on the path at t = 1.5" in cut.message
    # outputs run from (1, 0) by (0.35, 0.1) to (0.1, 0.1)
    np.testing.assert_allclose(cut.path.chord, np.hypot(0.9, 0.1), rtol=1e-6)


def test_a_path_that_starts_on_a_fold_has_no_lift():
    with pytest.raises(sr.RankError):
        sr.compare(np.array([[0.0, 0, 0], [0.5, 0.1, 0]]), None, parabola())
