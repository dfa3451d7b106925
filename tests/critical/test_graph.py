"""Connecting orbits and the Morse-Bott inequalities on families with known answers."""

import json
import re
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace

import casadi as ca
import networkx
import numpy as np
import pytest
from scipy.spatial import cKDTree

import subriem as sr
from subriem.core.status import Status
from subriem.critical.adapters import rest_problem
from subriem.critical.charts import Charts
from subriem.critical.component import Component
from subriem.critical.continuation import with_parameter
from subriem.critical.daemap import Companion
from subriem.critical.graph import connecting_orbits, graph_json, home, write_graphml
from subriem.critical.legs import DaeLegs, FieldLegs, Leg
from subriem.critical.morsebott import morse_bott_count
from subriem.critical.problem import RestProblem
from subriem.critical.stability import stability, unstable_directions
from subriem.critical.topology import topology

POLICY = sr.RankPolicy()


@dataclass(frozen=True)
class Told:
    """What is counted of a family."""

    index: int | None
    betti: tuple[int, ...] | None


def charts(embedding, parameters, h):
    """Thinned points of an embedding (a function of a row of parameters) with tangents by differences."""
    parameters = np.atleast_2d(parameters)
    step = 1e-5
    points = np.array([embedding(q) for q in parameters])
    tree, kept, gone = cKDTree(points), [], np.zeros(len(points), bool)
    for i in range(len(points)):
        if not gone[i]:
            kept.append(i)
            gone[np.asarray(tree.query_ball_point(points[i], 0.7 * h))] = True
    units = np.eye(parameters.shape[1]) * step
    tangents = [
        np.linalg.qr(np.stack([embedding(q + u) - embedding(q - u) for u in units], axis=1))[0]
        for q in parameters[kept]
    ]
    return points[kept], np.array(tangents)


def bare(points, tangents, h: float, problem: RestProblem | None = None) -> Component:
    """A component of exact charts, with its motion if there is a problem."""
    count, n, k = tangents.shape
    charts = Charts(points, tangents, np.zeros((count, n, 0)), np.zeros((count, 2)), np.zeros(count), h)
    return Component(
        point=points[0],
        verdict="morse_bott",
        dimension=k,
        nullity=k,
        charts=charts,
        status=Status.SUCCESS,
        message="exact",
        leaves_box=False,
        stability=stability(problem, points, tangents, POLICY) if problem is not None else None,
        topology=topology(points, tangents, h),
        cost=problem.cost(points[0]) if problem is not None and problem.cost is not None else None,
        starts=0,
    )


def family(problem: RestProblem, embedding, parameters, h: float) -> Component:
    points, tangents = charts(embedding, parameters, h)
    assert np.abs([problem.map.value(z) for z in points]).max() < 1e-10
    return bare(points, tangents, h, problem)


def isolated(problem: RestProblem, point, h: float = 0.1) -> Component:
    point = np.asarray(point, dtype=float)
    assert np.abs(problem.map.value(point)).max() < 1e-10
    return bare(point[None], np.zeros((1, point.size, 0)), h, problem)


def uniform(k: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, k))


def around(q):
    return np.array([np.cos(q[0]), np.sin(q[0])])


@pytest.fixture(scope="module")
def torus():
    """V = g^2, g = (|x|^2 + 3)^2 - 16 (x^2 + y^2): a torus, the circle that is its core, and the origin."""

    def potential(x):
        return ((ca.sumsqr(x) + 3) ** 2 - 16 * (x[0] ** 2 + x[1] ** 2)) ** 2 / 1000

    def embedding(q):
        return np.array([*(2 + np.cos(q[1])) * around(q), np.sin(q[1])])

    problem = rest_problem(sr.flows.potential(potential, 3))
    surface = family(problem, embedding, uniform(2, 6000), 0.5)
    circle = family(problem, lambda q: np.array([*np.sqrt(5) * around(q), 0.0]), uniform(1, 500), 0.4)
    return problem, [surface, circle, isolated(problem, np.zeros(3))]


def test_families_of_the_torus_potential(torus):
    _, families = torus
    assert [(one.dimension, one.index, one.betti) for one in families] == [
        (2, 0, (1, 2, 1)),
        (1, 2, (1, 1)),
        (0, 2, (1,)),
    ]
    count = morse_bott_count(families, (1,))
    assert (count.total, count.quotient, count.verdict) == ((1, 2, 3, 1), (0, 2, 1), "holds")
    assert str(count) == "1 + 2 t + 3 t^2 + t^3 = 1 + (1 + t)(2 t + t^2): holds"


def test_orbits_of_the_torus_potential(torus):
    problem, families = torus
    graph = connecting_orbits(problem, families, charts=3, directions=3)
    assert sorted(graph.edges) == [(1, 0), (2, 0)]
    assert (graph.graph["shots"], graph.graph["lost"]) == (3 * 7 + 7, 0)
    assert graph.edges[1, 0]["count"] == 21
    for source in (1, 2):
        assert graph.edges[source, 0]["drop"] == pytest.approx(families[source].cost, rel=1e-6)
    assert graph.nodes[0]["betti"] == (1, 2, 1)
    assert abs(np.linalg.norm(graph.edges[2, 0]["direction"]) - 1) < 1e-12


@pytest.mark.parametrize("m", [2, 3])
def test_phase_retrieval(m):
    """±z of index 0, {x.z = 0, |x|^2 = |z|^2/3} of index 1, the origin of index m."""
    z = np.zeros(m)
    z[0] = 1.0

    def potential(x):
        return 1.5 * ca.sumsqr(x) ** 2 - ca.sumsqr(x) - 2 * x[0] ** 2 + 1.5

    problem = rest_problem(sr.flows.potential(potential, m))
    if m == 2:
        middle = [isolated(problem, [0, s / np.sqrt(3)]) for s in (1, -1)]
    else:
        middle = [family(problem, lambda q: np.array([0.0, *around(q)]) / np.sqrt(3), uniform(1, 400), 0.2)]
    families = [isolated(problem, z), isolated(problem, -z), *middle, isolated(problem, np.zeros(m))]
    assert [one.index for one in families] == [0, 0, *[1] * len(middle), m]
    expected = np.zeros(m + 1, dtype=int)
    for power in (0, 0, 1, m - 1, m):
        expected[power] += 1
    count = morse_bott_count(families, (1,))
    assert (count.total, count.verdict) == (tuple(expected), "holds")
    graph = connecting_orbits(problem, families)
    wanted = {(i, j) for i in range(2, len(families)) for j in (0, 1)}
    assert wanted <= set(graph.edges)
    assert all(families[a].index > families[b].index for a, b in graph.edges)
    assert all(data["drop"] > 0 for _, _, data in graph.edges(data=True))
    assert graph.graph["lost"] == 0


def test_rayleigh_quotient_with_a_double_eigenvalue():
    """x^T diag(1, 1, 2) x on S^2: a circle, and two points of index 2."""
    flow = sr.flows.constrained(lambda x: x[0] ** 2 + x[1] ** 2 + 2 * x[2] ** 2, lambda x: ca.sumsqr(x) - 1, dim=3)
    problem = rest_problem(flow)
    families = [
        family(problem, lambda q: np.array([*around(q), 0.0]), uniform(1, 400), 0.3),
        *(isolated(problem, [0, 0, s]) for s in (1.0, -1.0)),
    ]
    count = morse_bott_count(families, (1, 0, 1))
    assert (count.total, count.quotient, count.verdict) == ((1, 1, 2), (0, 1), "holds")
    graph = connecting_orbits(problem, families)
    assert sorted(graph.edges) == [(1, 0), (2, 0)]
    assert graph.edges[1, 0]["drop"] == pytest.approx(1.0, rel=1e-6)
    on_lines = [Told(index=0, betti=(1, 1)), Told(index=2, betti=(1,))]
    assert morse_bott_count(on_lines, (1, 1, 1)).verdict == "perfect"


def test_trace_on_rotations():
    """tr R on SO(3): RP^2 of half turns below, the identity of index 3: perfect."""

    def rotations(y):
        R = ca.reshape(y, 3, 3)
        return ca.vec(R.T @ R - ca.SX.eye(3))

    def half_turn(q):
        n = np.array([np.sin(q[1]) * np.cos(q[0]), np.sin(q[1]) * np.sin(q[0]), np.cos(q[1])])
        return (2 * np.outer(n, n) - np.eye(3)).ravel()

    problem = rest_problem(sr.flows.constrained(lambda y: y[0] + y[4] + y[8], rotations, dim=9))
    rng = np.random.default_rng(0)
    parameters = np.column_stack([rng.uniform(0, 2 * np.pi, 4000), np.arccos(rng.uniform(-0.999, 0.999, 4000))])
    families = [family(problem, half_turn, parameters, 0.6), isolated(problem, np.eye(3).ravel())]
    assert [(one.dimension, one.index, one.betti) for one in families] == [(2, 0, (1, 1, 1)), (0, 3, (1,))]
    count = morse_bott_count(families, (1, 1, 1, 1))
    assert (count.quotient, count.verdict) == ((), "perfect")
    graph = connecting_orbits(problem, families)
    assert dict(graph.edges)[1, 0]["count"] == graph.graph["shots"] == 10


def test_unicycle_is_no_gradient_flow():
    """Lines of rest points: from the heading pi the motion turns to 0 or to 2 pi."""
    flow = sr.flows.constrained(
        lambda q: (q[0] ** 2 + q[1] ** 2) / 2 + 1 - ca.cos(q[2]),
        forms=lambda q: [[ca.sin(q[2]), -ca.cos(q[2]), 0]],
        dim=3,
    )
    problem = rest_problem(flow)
    side = np.linspace(-3, 3, 31)[:, None]
    lines = [family(problem, lambda q, a=a: np.array([0.0, q[0], a]), side, 0.2) for a in (0.0, np.pi, 2 * np.pi)]
    assert [one.index for one in lines] == [0, 1, 0]
    graph = connecting_orbits(problem, lines, charts=3)
    assert sorted(graph.edges) == [(1, 0), (1, 2)]
    assert graph.graph["lost"] == 0
    assert lines[1].betti == (1, 0)


def test_a_family_whose_index_changes():
    """H = z (x^2 + y^2)/2 on Heisenberg's group: index 2 below z = 0 and 0 above, the rates are -z."""
    flow = sr.flows.constrained(
        lambda q: q[2] * (q[0] ** 2 + q[1] ** 2) / 2, forms=lambda q: [[q[1] / 2, -q[0] / 2, 1.0]], dim=3
    )
    heights = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])[:, None]
    axis = family(rest_problem(flow), lambda q: np.array([0.0, 0.0, q[0]]), heights, 0.4)
    assert (axis.index, axis.betti, axis.dimension) == (None, (1, 0), 1)
    assert axis.margin == pytest.approx(0.2)


def test_lost_orbits_are_counted(tmp_path):
    field = rest_problem(sr.map(lambda x: [x[0] - x[0] ** 3, x[1]], 2), field=True)
    families = [isolated(field, [0.0, 0.0]), isolated(field, [1.0, 0.0])]
    graph = connecting_orbits(field, families, charts=1, directions=2, radius=5.0)
    assert graph.graph["lost"] > 0
    assert sum(data["count"] for _, _, data in graph.edges(data=True)) == graph.graph["shots"] - graph.graph["lost"]
    assert graph.edges[0, 1]["drop"] is None
    write_graphml(graph, tmp_path / "graph.graphml")
    assert "drop" not in networkx.read_graphml(tmp_path / "graph.graphml").edges["0", "1"]


def test_unstable_directions_are_those_that_grow():
    matrix = np.array([[0.5, 2.0, 0, 0], [-2.0, 0.5, 0, 0], [1.0, 0, 3.0, 0], [0, 0, 0, -1.0]])
    problem = RestProblem(sr.map(lambda z: [z[0]], 4), tuple("abcd"), lambda z: (np.eye(4), matrix))
    directions, rates = unstable_directions(problem, np.zeros(4), np.zeros((4, 0)), POLICY)
    assert rates == pytest.approx([3.0, 0.5, 0.5])
    assert np.abs(directions[:, 0]) == pytest.approx([0, 0, 1, 0], abs=1e-14)
    q = np.linalg.qr(directions)[0]
    assert np.linalg.matrix_rank(directions) == 3
    assert np.abs(matrix @ q - q @ (q.T @ matrix @ q)).max() < 1e-13


def test_points_belong_to_the_nearest_chart():
    line = bare(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[[1.0], [0.0]]] * 2), 1.0)
    point = bare(np.array([[0.5, 0.2]]), np.zeros((1, 2, 0)), 1.0)
    assert home([line, point], np.array([0.5, 0.02])) == 0
    assert home([line, point], np.array([0.5, 0.18])) == 1
    assert home([line, point], np.array([2.4, 0.1])) == 0
    assert home([line, point], np.array([2.6, 0.1])) is None
    assert home([line, point], np.array([0.5, -0.35])) is None


def test_exports(torus, tmp_path):
    problem, families = torus
    graph = connecting_orbits(problem, families, charts=1, directions=0)
    write_graphml(graph, tmp_path / "graph.graphml")
    again = networkx.read_graphml(tmp_path / "graph.graphml")
    assert json.loads(again.nodes["0"]["betti"]) == [1, 2, 1]
    assert again.edges["1", "0"]["count"] == graph.edges[1, 0]["count"]
    assert ElementTree.parse(tmp_path / "graph.graphml").getroot().tag.endswith("graphml")
    data = json.loads(graph_json(graph))
    assert networkx.node_link_graph(data, edges="edges").edges[1, 0]["drop"] == graph.edges[1, 0]["drop"]
    assert data["graph"]["shots"] == graph.graph["shots"]


@pytest.mark.parametrize(
    ("families", "ambient", "quotient", "verdict"),
    [
        ([(0, (1,))], (1, 0, 1), None, "fails"),  # the maximum of a height on S^2 is missing
        ([(2, (1,)), (4, (1,))], (1, 0, 1), (-1, 1, -1, 1), "fails"),
        ([(0, (1,)), (2, (1,))], (1, 0, 1), (), "perfect"),
        ([(0, (1,)), (0, (1,)), (1, (1,)), (2, (1,))], (1, 0, 1), (1,), "holds"),
        ([], (), (), "perfect"),
    ],
)
def test_counts(families, ambient, quotient, verdict):
    found = morse_bott_count([Told(index=index, betti=betti) for index, betti in families], ambient)
    assert (found.quotient, found.verdict) == (quotient, verdict)


def test_what_cannot_be_counted_is_refused(torus):
    for one, reason in (
        (Told(index=None, betti=(1,)), "the index of component 1"),
        (Told(index=-1, betti=(1,)), "the index of component 1"),
        (Told(index=0, betti=None), "the Betti numbers of component 1"),
    ):
        count = morse_bott_count([Told(index=0, betti=(1,)), one], (1,))
        assert (count.verdict, count.total, count.quotient) == ("not applicable", (), None)
        assert reason in count.reason
        assert count.reason in str(count)
    with pytest.raises(sr.ProblemError, match="no Betti numbers"):
        morse_bott_count([], (1, -1))
    problem, families = torus
    still = RestProblem(problem.map, problem.names, problem.linearize)
    with pytest.raises(sr.ProblemError, match="cannot be followed"):
        connecting_orbits(still, families)


def test_a_damped_pendulum_falls():
    """A DAE of index 3: from the top (index 1) to the bottom, either way."""

    @sr.dae(variables="x y lam", parameters={"g": 9.81})
    def pendulum(t, v, d, p):
        return {
            "horizontal": d(v.x, 2) + v.lam * v.x + 4 * d(v.x),
            "vertical": d(v.y, 2) + v.lam * v.y + 4 * d(v.y) + p.g,
            "rod": v.x**2 + v.y**2 - 1,
        }

    problem = rest_problem(pendulum)
    families = [isolated(problem, [0, height, -9.81 / height]) for height in (-1.0, 1.0)]
    assert [one.index for one in families] == [0, 1]
    graph = connecting_orbits(problem, families)
    assert (list(graph.edges), graph.graph) == ([(1, 0)], {"shots": 2, "lost": 0})


def test_slow_ends_are_waited_for():
    """y' = (x - y)/1000: the last legs are much longer than the first."""
    field = rest_problem(sr.map(lambda z: [z[0] - z[0] ** 3, (z[0] - z[1]) / 1000], 2), field=True)
    families = [isolated(field, [x, x]) for x in (-1.0, 0.0, 1.0)]
    graph = connecting_orbits(field, families, charts=1)
    assert (sorted(graph.edges), graph.graph["lost"]) == ([(1, 0), (1, 2)], 0)


def test_rest_is_relative_to_the_whole_orbit():
    legs = iter(
        [Leg(np.array([0.5]), 1.0, 0.5), Leg(np.array([1.0]), 1e-7, 1e-7), Leg(np.array([1.0]), 1.0, 0.5), None]
    )
    field = rest_problem(sr.map(lambda x: [x[0] - x[0] ** 3], 1), field=True)
    families = [isolated(field, [0.0]), isolated(field, [1.0])]
    graph = connecting_orbits(replace(field, follow=lambda state, time: next(legs)), families)
    assert (graph.edges[0, 1]["count"], graph.graph) == (1, {"shots": 2, "lost": 1})
    assert next(legs, "spent") == "spent"


def test_legs_of_a_field():
    leg = FieldLegs(lambda z: -z)(np.array([1.0]), 2.0)
    assert leg is not None
    assert leg.state[0] == pytest.approx(np.exp(-2), rel=1e-7)
    assert leg.last == pytest.approx(np.exp(-2), rel=1e-7)
    assert leg.fastest == pytest.approx(1.0, rel=1e-2)
    assert FieldLegs(lambda z: np.sqrt(1 - z) if z[0] < 0.9 else z * np.nan)(np.array([0.0]), 2.0) is None


def test_legs_of_a_dae():
    """x' = x^2: x = 1/(1 - t) escapes at t = 1."""

    @sr.dae(variables="x")
    def escaping(t, v, d, p):
        return {"motion": d(v.x) - v.x**2}

    follow = DaeLegs(Companion(escaping, 0.0))
    leg = follow(np.array([1.0]), 0.75)
    assert leg is not None
    assert leg.state[0] == pytest.approx(4.0, rel=1e-6)
    assert leg.last == leg.fastest == pytest.approx(16.0, rel=1e-6)
    assert follow(np.array([1.0]), 2.0) is None


# -- of what a search found -----------------------------------------------------------------------------------------

PHASE = sr.flows.potential(lambda x: 1.5 * ca.sumsqr(x) ** 2 - ca.sumsqr(x) - 2 * x[0] ** 2 + 1.5, 3)
SPHERE = sr.flows.constrained(lambda y: y[0] * y[1], lambda y: ca.sumsqr(y) - 1, dim=3)


@pytest.fixture(scope="module")
def phase():
    return sr.equilibria(PHASE, starts=40)


def test_what_was_found_is_joined(phase):
    """±z (1, 2), the circle (0) and the origin (3)."""
    graph = phase.connect()
    assert {(0, 1), (0, 2), (3, 1), (3, 2)} <= set(graph.edges)
    assert graph.graph["lost"] == 0
    for i, one in enumerate(phase.components):
        assert graph.nodes[i] == {
            "dimension": one.dimension, "index": one.index, "cost": one.cost, "betti": one.betti,
            "margin": one.margin, "verdict": "morse_bott",
        }  # fmt: skip
    assert phase.components[0].measure == pytest.approx(2 * np.pi / np.sqrt(3), rel=1e-6)
    assert phase.components[1].measure == 1


@pytest.mark.parametrize(
    "pool", [ThreadPoolExecutor(1), ThreadPoolExecutor(4), ProcessPoolExecutor(2)], ids=["1", "4", "processes"]
)
def test_workers_do_not_change_the_graph(pool, phase):
    with pool:
        graph = phase.connect(charts=2, directions=1, executor=pool)
    alone = phase.connect(charts=2, directions=1)
    assert list(graph.edges(data=True)) == list(alone.edges(data=True))
    assert graph.graph == alone.graph


@pytest.mark.parametrize("options", [{"charts": 0}, {"directions": -1}, {"directions": 1.5}, {"radius": 0}], ids=str)
def test_bad_options_of_the_graph(options, phase):
    with pytest.raises(sr.ProblemError):
        phase.connect(**options)


def test_what_was_found_is_counted(phase):
    """In the box, where the motion enters it: 2 + t (1 + t) + t^3 = 1 + (1 + t)(1 + t^2)."""
    count = phase.morse_bott()
    assert str(count) == "2 + t + t^2 + t^3 = 1 + (1 + t)(1 + t^2): holds"
    less = sr.equilibria(PHASE, starts=[[1.0, 0.1, 0.0], [-1.0, 0.0, 0.1]])
    assert (len(less), less.morse_bott().verdict) == (2, "fails")


def test_a_quadratic_form_on_the_sphere():
    """x y on S^2: two minima, two saddles, two maxima."""
    found = sr.equilibria(SPHERE, starts=40)
    count = found.morse_bott((1, 0, 1))
    assert (count.total, count.quotient, count.verdict) == ((2, 2, 2), (1, 1), "holds")
    assert "ambient" in found.morse_bott().reason
    with pytest.raises(sr.ProblemError, match="no Betti numbers"):
        found.morse_bott((1, -1))


def field(values, n):
    return rest_problem(sr.map(values, n), field=True)


NOT_COUNTED = {
    "no gradient flow": (field(lambda x: [x[0] - x[0] ** 3], 1), {}),
    "of one gradient flow": (
        with_parameter(lambda p: sr.flows.potential(lambda x: (x[0] - p) ** 2, 1), "p"), {"trace": False}
    ),
    "zero loss|one gradient flow": (
        rest_problem(sr.flows.adapted(sr.map(lambda x: [x[0] ** 2], 1), sr.flows.squared_error([1.0])), zero_loss=True),
        {},
    ),
    "up to the symmetries": (
        replace(rest_problem(sr.flows.potential(lambda x: (x[0] ** 2 - 1) ** 2, 1)), canonical=np.abs), {}
    ),
    "did not end": (sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2, 2), {"budget": sr.Budget(steps=3)}),
    "leaves the box": (sr.flows.potential(lambda x: (x[0] ** 2 - 1) ** 2, 2), {}),
    "no Morse-Bott manifold: degenerate": (sr.flows.potential(lambda x: x[0] ** 4, 1), {}),
    r"where theta\[1\] = -2": (sr.flows.potential(lambda x: x[0] ** 2 - x[1] ** 2, 2), {}),
    "Betti numbers of component 0": (
        sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2, 2), {"trace": False}
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", NOT_COUNTED)
def test_why_nothing_is_counted(reason):
    problem, options = NOT_COUNTED[reason]
    count = sr.equilibria(problem, starts=[[0.7] * rest_problem(problem).map.n_in], **options).morse_bott()
    assert count.verdict == "not applicable"
    assert re.search(reason, count.reason), count.reason
