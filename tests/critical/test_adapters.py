"""Rest points of maps, flows, constrained flows and DAEs: derivatives, linearised motions, symmetries."""

import pickle
from typing import Any

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.gaussnewton import gauss_newton
from subriem.critical.adapters import rest_problem
from subriem.critical.problem import RestProblem
from subriem.critical.stability import stability

POLICY = sr.RankPolicy()
INPUTS, TARGETS = [[-1.0], [0.0], [1.0]], [[0.5], [-0.2], [0.1]]


def network_flow(make=sr.flows.standard, **options):
    net = sr.flows.network([1, 3, 1], INPUTS)
    return make(net, sr.flows.squared_error(TARGETS), **options), net.initial(seed=4)


def heisenberg(q):
    return [[q[1] / 2, -q[0] / 2, 1.0]]


def rotations(y):
    R = ca.reshape(y, 3, 3)
    return ca.vec(R.T @ R - ca.SX.eye(3))  # nine equations of which six are independent


def trace_flow():
    return sr.flows.constrained(lambda y: y[0] + y[4] + y[8], rotations, dim=9)


def random_rotation(seed: int) -> np.ndarray:
    q, upper = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return (q * np.sign(np.diag(upper))).ravel(order="F")


def unicycle(q):
    return [[ca.sin(q[2]), -ca.cos(q[2]), 0]]


@sr.dae(variables="x y lam", parameters={"g": 9.81})
def pendulum(t, v, d, p):
    return {
        "horizontal": d(v.x, 2) + v.lam * v.x + d(v.x) / 5,
        "vertical": d(v.y, 2) + v.lam * v.y + d(v.y) / 5 + p.g,
        "rod": v.x**2 + v.y**2 - 1,
    }


def test_equations_of_a_flow_are_the_gradient_of_its_cost():
    flow, theta = network_flow()
    problem = rest_problem(flow)
    assert problem.cost is not None
    for unit in np.eye(theta.size):
        slope = (problem.cost(theta + 1e-6 * unit) - problem.cost(theta - 1e-6 * unit)) / 2e-6
        assert problem.map.value(theta) @ unit == pytest.approx(slope, abs=1e-9)
    assert (problem.gradient, problem.output, problem.shown) == (True, flow.map, 10)
    assert problem.names[:2] == ("W1[0,0]", "W1[1,0]")


PROBLEMS = {
    "network": lambda: (rest_problem(network_flow()[0]), network_flow()[1]),
    "zero loss": lambda: (rest_problem(network_flow()[0], zero_loss=True), network_flow()[1]),
    "weights": lambda: (
        rest_problem(
            sr.flows.standard(sr.flows.network([1, 3, 1], INPUTS), sr.flows.squared_error(TARGETS, [1.0, 2.0, 3.0])),
            zero_loss=True,
        ),
        network_flow()[1],
    ),
    "custom cost": lambda: (
        rest_problem(
            sr.flows.adapted(
                sr.map(lambda t: [t[0] * t[1], ca.sin(t[0])], 2), sr.flows.custom_cost(lambda x: ca.sumsqr(x**2), 2)
            )
        ),
        np.array([0.3, -0.8]),
    ),
    "NumPy": lambda: (
        rest_problem(
            sr.flows.standard(sr.numpy_map(np.sin, lambda t: np.diag(np.cos(t)), 2, 2), sr.flows.squared_error([1, 2]))
        ),
        np.array([0.3, -0.8]),
    ),
    "rotations": lambda: (rest_problem(trace_flow()), random_rotation(1)),
    "nonholonomic": lambda: (
        rest_problem(sr.flows.constrained(lambda q: ca.sumsqr(q) + q[0] ** 3, forms=heisenberg, dim=3)),
        np.array([0.3, -0.8, 0.5]),
    ),
    "both": lambda: (
        rest_problem(sr.flows.constrained(lambda q: q[0] * q[2], lambda q: ca.sumsqr(q) - 1, heisenberg, dim=3)),
        np.array([0.48, 0.64, 0.6]),
    ),
    "pendulum": lambda: (rest_problem(pendulum), np.array([0.3, -0.8, 2.0])),
    "numeric": lambda: (
        rest_problem(sr.DAE.from_callable(lambda t, y, dy: np.array([dy[0] + y[0] ** 2 - y[1], y[1] - 1]), 2)),
        np.array([0.3, -0.8]),
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_jacobians_are_derivatives(name):
    problem, point = PROBLEMS[name]()
    for seed in range(3):
        sr.check_map(problem.map, point, seed=seed)
    assert len(problem.names) == problem.map.n_in == problem.shown == point.size
    assert problem.map.value(point).shape == (problem.map.n_out,)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in ("NumPy", "numeric")])  # they hold lambdas
def test_problems_go_to_other_processes(name):
    problem, point = PROBLEMS[name]()
    again = pickle.loads(pickle.dumps(problem))
    assert np.array_equal(again.map.value(point), problem.map.value(point))
    assert all(map(np.array_equal, again.linearize(point), problem.linearize(point)))
    assert (again.cost is None) or again.cost(point) == problem.cost(point)
    assert np.array_equal(again.follow(point, 1e-3).state, problem.follow(point, 1e-3).state)


def test_zero_loss_equations_are_the_residual():
    flow, theta = network_flow()
    problem = rest_problem(flow, zero_loss=True)
    assert np.abs(problem.map.value(theta) - (flow.map.value(theta) - np.ravel(TARGETS))).max() < 1e-15
    assert np.abs(problem.map.jacobian(theta) - flow.map.jacobian(theta)).max() < 1e-15


@pytest.mark.parametrize("name", ["standard", "adapted", "damped"])
def test_linearised_flows_are_derivatives_of_the_velocity(name):
    """At a rest point with x != y and rank D = K."""
    curve = sr.map(lambda t: [2 * ca.cos(t[0]) + t[1], ca.sin(t[0]), t[1] + t[0] * t[1]], 2)
    cost = sr.flows.squared_error([0.3, 0.4, 0.1])
    make, options = {
        "standard": (sr.flows.standard, {}),
        "adapted": (sr.flows.adapted, {}),
        "damped": (sr.flows.adapted, {"damping": 0.3}),
    }[name]
    flow = make(curve, cost, **options)
    problem = rest_problem(flow)
    theta = np.array([1.0, 0.0])
    for _ in range(50):
        theta -= np.linalg.solve(problem.map.jacobian(theta), problem.map.value(theta))
    assert np.abs(problem.map.value(theta)).max() < 1e-14
    assert cost.value(curve.value(theta)) > 1e-2
    assert problem.linearize is not None
    E, A = problem.linearize(theta)
    h = 1e-5
    change = np.stack([flow.velocity(theta + h * u) - flow.velocity(theta - h * u) for u in np.eye(2)], axis=1)
    assert np.abs(np.linalg.solve(E, A) - change / (2 * h)).max() < 1e-8


def test_trace_on_rotations():
    """tr R: a point (maximum) with index 3, and RP^2 (minimum), of index 0; rates from the closed form R' = -P 1."""
    problem = rest_problem(trace_flow())
    top = np.eye(3).ravel()
    found = stability(problem, top[None], np.zeros((1, 9, 0)), POLICY)
    assert (found.index[0], found.spectrum.shape) == (3, (1, 3))
    assert found.spectrum[0].real == pytest.approx([1.0] * 3)
    low = np.diag([1.0, -1.0, -1.0])
    turns = [np.outer(np.eye(3)[0], axis) - np.outer(axis, np.eye(3)[0]) for axis in np.eye(3)[1:]]
    tangents = np.stack([(turn @ low - low @ turn).ravel(order="F") for turn in turns], axis=1)
    found = stability(problem, low.ravel()[None], tangents[None] / np.sqrt(8), POLICY)
    assert found.spectrum == pytest.approx(np.array([[-1.0]]))
    assert (found.index[0], found.nullity[0]) == (0, 0)


@pytest.mark.parametrize(("angle", "index"), [(0.0, 0), (np.pi, 1)])
def test_unicycle_lines(angle, index):
    """H = |x|^2/2 + 1 - cos theta and V = span(forward, turn): a line of rest points across the heading."""
    flow = sr.flows.constrained(lambda q: (q[0] ** 2 + q[1] ** 2) / 2 + 1 - ca.cos(q[2]), forms=unicycle, dim=3)
    problem = rest_problem(flow)
    point = np.array([0.0, 0.7, angle])
    assert np.abs(problem.map.value(point)).max() < 1e-15
    found = stability(problem, point[None], np.array([[[0.0], [1.0], [0.0]]]), POLICY)
    assert found.index[0] == index
    turn = -np.cos(angle)
    expected = np.linalg.eigvals([[-1.0, -0.7 * np.cos(angle)], [0.0, turn]])  # (forward, turn)
    assert np.sort(found.spectrum[0].real) == pytest.approx(np.sort(expected.real), abs=1e-12)
    assert not problem.gradient


@pytest.mark.parametrize("height", [-1.0, 1.0])
def test_a_dae_agrees_with_its_reduction(height):
    """A damped pendulum below and above, of index 3: the pencil of the equations as they stand."""
    problem = rest_problem(pendulum)
    point = np.array([0.0, height, -9.81 / height])
    assert np.abs(problem.map.value(point)).max() < 1e-14
    found = stability(problem, point[None], np.zeros((1, 3, 0)), POLICY)
    reduced = sr.reduce(pendulum, at={"x": 0.0, "y": height}).linearize()
    assert np.abs(found.spectrum[0] - reduced.eigenvalues).max() < 1e-10
    expected = -0.1 + np.sqrt(complex(0.01 + 9.81 * height)) * np.array([1, -1])
    assert np.abs(found.spectrum[0] - expected).max() < 1e-12
    assert found.index[0] == (0 if height < 0 else 1)


def test_a_flow_as_a_dae_has_the_same_spectrum():
    """The constrained flow with multipliers (index 2, redundant constraints), and without."""
    flow = trace_flow()
    direct, cast = rest_problem(flow), rest_problem(flow.dae)
    point = np.concatenate([np.eye(3).ravel(), -0.5 * np.eye(3).ravel()])
    assert np.abs(cast.map.value(point)).max() < 1e-14
    pair = [
        stability(problem, z[None], np.zeros((1, z.size, 0)), POLICY)
        for problem, z in ((direct, point[:9]), (cast, point))
    ]
    assert pair[1].spectrum[0].real == pytest.approx(pair[0].spectrum[0].real)


def test_a_numeric_dae_and_its_field():
    field = rest_problem(sr.map(lambda y: [y[0] - y[0] ** 3, -2 * y[1]], 2), field=True)
    dae = rest_problem(sr.DAE.from_callable(lambda t, y, dy: np.array([dy[0] - y[0] + y[0] ** 3, dy[1] / 2 + y[1]]), 2))
    for problem in (field, dae):
        found = stability(problem, np.array([[0.0, 0.0], [1.0, 0.0]]), np.zeros((2, 2, 0)), POLICY)
        assert found.spectrum.real == pytest.approx(np.array([[1.0, -2.0], [-2.0, -2.0]]), abs=1e-8)


def test_time_and_parameters_of_a_dae_are_held_fixed():
    @sr.dae(variables="x", parameters={"a": 2.0})
    def driven(t, v, d, p):
        return {"motion": d(v.x) - p.a * t + v.x}

    problem = rest_problem(driven.with_parameters(a=3.0), t=0.5)
    assert problem.map.value(np.array([1.5])) == pytest.approx([0.0])


def test_representatives_of_a_network():
    flow, theta = network_flow()
    problem = rest_problem(flow)
    assert problem.canonical is not None
    assert problem.cost is not None
    same = problem.canonical(theta)
    assert problem.cost(same) == pytest.approx(problem.cost(theta), rel=1e-12)
    assert np.abs(same - theta).max() > 1e-3


def test_what_has_no_rest_points_is_refused():
    problem = RestProblem(sr.map(lambda z: [z[0]], 1), ("z",))
    assert rest_problem(problem) is problem
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (3.0, {}, "no rest points"),
        (sr.map(lambda z: [z[0]], 2), {"field": True}, "no field"),
        (network_flow()[0], {"field": True}, "field=True does not belong"),
        (pendulum, {"zero_loss": True}, "zero_loss=True does not belong"),
    ]
    for thing, options, match in cases:
        with pytest.raises(sr.ProblemError, match=match):
            rest_problem(thing, **options)


def test_the_index_is_that_of_the_cost_for_both_flows():
    """x = a b, y = 1: at the origin D = 0, and the Hessian has the eigenvalues ±1/N."""
    product = sr.map(lambda t: [t[0] * t[1]], 2)
    for make in (sr.flows.standard, sr.flows.adapted):
        problem = rest_problem(make(product, sr.flows.squared_error([1.0])))
        found = stability(problem, np.zeros((1, 2)), np.zeros((1, 2, 0)), POLICY)
        assert found.spectrum.real == pytest.approx(np.array([[1.0, -1.0]]))
        assert (found.index[0], found.constant_rank) == (1, False)
        assert problem.output is product


def test_proposition_r_is_not_asked_of_other_costs():
    """Of a potential D = 1 has full rank, which says nothing of its rest points."""
    assert rest_problem(sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2, 2)).output is None


def test_an_ill_conditioned_zero_loss_set():
    """Singular values of D over seven decades: the adapted rates are still 1/N, n times, and 0 along the set."""
    net = sr.flows.network([1, 2, 1], np.linspace(-3, 3, 6)[:, None])
    start = 2 * net.initial(seed=3)
    flow = sr.flows.adapted(net, sr.flows.squared_error(net.value(start)[:, None]))
    problem = rest_problem(flow, zero_loss=True)
    nudged = start + 0.01 * np.random.default_rng(0).standard_normal(7)
    theta = gauss_newton(problem.map, nudged, np.zeros(6), tolerance=1e-13, steps=50).theta
    assert np.linalg.cond(net.jacobian(theta)) > 1e7
    found = stability(problem, theta[None], np.zeros((1, 7, 0)), POLICY)
    assert (found.index[0], found.nullity[0], found.constant_rank, found.dimension) == (0, 1, True, 1)
    assert np.sort(found.spectrum[0].real)[:6] == pytest.approx(-np.ones(6) / 6, rel=1e-2)
