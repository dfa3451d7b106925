"""The adapted flow as a DAE: orbits, indices and ranks of the eight forms (docs: mathematics, §4).

The reference is `follow`, which knows no DAE.
"""

from __future__ import annotations

import pickle

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.equilibrated import rank_factor
from subriem.core.rank import DEFAULT_RANK
from subriem.flows.casting import FORMS, LargeDAEWarning
from subriem.flows.network import network
from subriem.reduction.stage import prolonged
from tests.flows.problems import Problem, net_problem

RATES = {"rtol": 1e-11, "atol": 1e-13}


def wide() -> Problem:
    """K = 9, n = 3."""
    return net_problem([2, 2, 1], 3, seed=1)


def curved(k: int, n: int, conflict: float | None = None) -> Problem:
    """A well-conditioned map; with `conflict` the last output repeats the first, its target off by that much."""
    rng = np.random.default_rng(4)
    slopes, waves = rng.standard_normal((2, n, k)) / np.sqrt(k)
    start, targets = rng.standard_normal(k), rng.standard_normal((n, 1))
    if conflict is not None:
        slopes[-1], waves[-1], targets[-1] = slopes[0], waves[0], targets[0] + conflict
    source = sr.map(lambda q: ca.DM(slopes) @ q + ca.sin(ca.DM(waves) @ q) / 2, k)
    return Problem(source, sr.flows.squared_error(targets), start)


def narrow() -> Problem:
    """K = 3, n = 8."""
    return curved(3, 8)


def even() -> Problem:
    """K = n = 3."""
    cubic = sr.map(lambda q: [q[0] + q[1] ** 3 / 3, q[1] - ca.sin(q[2]) / 2, q[2] + q[0] ** 2 / 4], 3)
    return Problem(cubic, sr.flows.squared_error([[1.0], [-0.5], [0.7]]), np.array([0.2, 0.3, -0.4]))


def twice(conflict: float, samples: int = 4) -> Problem:
    """K = 9; the first sample stands again as the last one, its label off by `conflict`."""
    rng = np.random.default_rng(1)
    inputs, targets = rng.standard_normal((samples, 2)), rng.standard_normal((samples, 1))
    inputs[-1], targets[-1] = inputs[0], targets[0] + conflict
    net = network([2, 2, 1], inputs)
    return Problem(net, sr.flows.squared_error(targets), net.initial(0))


def orbit(problem: Problem, s: np.ndarray) -> np.ndarray:
    """theta at the times s, by the unprojected s-form."""
    return sr.follow(
        problem.flow, problem.theta0, clock="s", project=False, until=sr.Until(s=s[-1]), rtol=1e-12, t_eval=s
    ).y


def solve(problem: Problem, form: str, s: np.ndarray, **options):
    return sr.solve(problem.flow.dae(form, **options), s[-1], {"theta": problem.theta0}, t_eval=s, **RATES)


def gap(problem: Problem, form: str, s: np.ndarray, **options) -> float:
    return float(np.abs(solve(problem, form, s, **options)["theta"] - orbit(problem, s)).max())


# --- orbits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "form"),
    [
        *((wide, form) for form in ("kkt", "tracking", "lsq", "implicit")),
        *((even, form) for form in ("kkt", "tracking", "lsq", "implicit", "image")),
    ],
)
def test_forms_follow_the_flow_where_it_reaches_every_output(make, form):
    problem = make()
    s = np.linspace(1.0, 6.0, 6)
    t = -np.expm1(-problem.cost.rate * s)
    reference = sr.follow(problem.flow, problem.theta0, clock="t", until=sr.Until(t=t[-1]), rtol=1e-12, t_eval=t)
    sol = solve(problem, form, s)
    assert np.abs(sol["theta"] - reference.y).max() < 1e-8
    assert sol.success


@pytest.mark.parametrize("form", ["lsq", "image", "implicit"])
def test_forms_follow_the_flow_on_an_image(form):
    assert gap(narrow(), form, np.linspace(1.0, 6.0, 6)) < 1e-8


def ellipse() -> tuple[Problem, list]:
    curve = sr.map(lambda q: [2 * ca.cos(q[0]), ca.sin(q[0])], 1)
    problem = Problem(curve, sr.flows.squared_error([[0.3, -0.2]]), np.array([0.4]))
    return problem, [lambda x: x[0] ** 2 / 4 + x[1] ** 2 - 1]


def sphere() -> tuple[Problem, list]:
    def point(q):
        return [ca.sin(q[0]) * ca.cos(q[1]), ca.sin(q[0]) * ca.sin(q[1]), ca.cos(q[0])]

    problem = Problem(sr.map(point, 2), sr.flows.squared_error([[1.0, 2.0, -1.0]]), np.array([0.7, -0.5]))
    return problem, [lambda x: ca.sumsqr(x) - 1, lambda x: [ca.sumsqr(x) - 1, 3 * ca.sumsqr(x) - 3]]


@pytest.mark.parametrize("make", [ellipse, sphere])
def test_output_form_follows_the_flow_on_a_given_image(make):
    problem, images = make()
    s = np.linspace(0.5, 3.0, 6)
    x = np.array([problem.map.value(theta) for theta in orbit(problem, s)])
    for image in images:
        dae = problem.flow.dae("output", Phi=image)
        sol = sr.solve(dae, s[-1], {"x": problem.x0}, t_eval=s, **RATES)
        assert np.abs(sol["x"] - x).max() < 1e-8
        assert sol.reduction.index == 2
        assert sol.reduction.redundant == (("image[1]",) if len(dae.equations) > problem.map.n_out + 1 else ())


@pytest.mark.parametrize("make", [wide, narrow, lambda: twice(1.0)], ids=["over", "under", "conflict"])
def test_the_error_of_the_damped_form_is_of_first_order(make):
    problem, s = make(), np.linspace(1.0, 3.0, 3)
    sigma = np.linalg.svd(problem.map.jacobian(problem.theta0), compute_uv=False)
    smallest = sigma[sigma > 1e-10 * sigma[0]][-1]  # that of rows given twice is zero
    reference = orbit(problem, s)
    errors = []
    for share in (4e-3, 2e-3, 1e-3, 5e-4):
        dae = problem.flow.dae("lm", damping=share * smallest**2)
        sol = sr.solve(dae, s[-1], {"theta": problem.theta0}, t_eval=s, rtol=1e-9, atol=1e-11)
        errors.append(np.abs(sol["theta"] - reference).max())
    assert np.array(errors[:-1]) / errors[1:] == pytest.approx(2.0, abs=0.2)


def test_the_damped_form_is_the_damped_flow():
    problem = narrow()
    damped = sr.flows.adapted(problem.map, problem.cost, damping=0.1)
    sol = sr.solve(damped.dae("lm"), 3.0, {"theta": problem.theta0}, **RATES)
    reference = sr.follow(damped, problem.theta0, until=sr.Until(s=3.0), rtol=1e-11)
    assert np.abs(sol["theta"][-1] - reference.theta).max() < 1e-8


def test_inertial_form_is_another_motion_with_the_same_outputs():
    problem, s = wide(), np.linspace(1.0, 6.0, 6)
    start = {"theta": problem.theta0, "v": problem.flow.velocity(problem.theta0)}
    sol = sr.solve(problem.flow.dae("inertial"), s[-1], start, t_eval=s, **RATES)
    line = problem.y + np.exp(-s[:, None] / 3) * (problem.x0 - problem.y)
    assert sol.reduction.index == 3
    assert np.abs([problem.map.value(theta) for theta in sol["theta"]] - line).max() < 1e-8
    assert np.abs(sol["theta"] - orbit(problem, s)).max() > 1e-2
    moving, horizontal = (
        sol["v"][-1],
        sr.lift(problem.map, problem.map.jvp(sol["theta"][-1], sol["v"][-1]), sol["theta"][-1]),
    )
    assert np.linalg.norm(moving - horizontal.v) > 1e-2 * np.linalg.norm(moving)


# --- index and rank ---------------------------------------------------------------------------------------------------

INDEX = {"kkt": 1, "lsq": 1, "lm": 1, "tracking": 2, "inertial": 3, "implicit": 0}
OVER = [(3, 1), (9, 3), (8, 5), (12, 10)]
LARGE = [(50, 2)]
UNDER = [(1, 2), (3, 6), (5, 8), (20, 30)]


def sizes(quick: list, slow: list) -> list:
    return [*quick, *(pytest.param(*size, marks=pytest.mark.slow) for size in slow)]


def reduced(problem: Problem, form: str) -> sr.Reduction:
    dae = problem.flow.dae(form, damping=1e-3 if form == "lm" else None)
    start = {"theta": problem.theta0}
    return sr.reduce(dae, start | ({"v": problem.flow.velocity(problem.theta0)} if form == "inertial" else {}))


@pytest.mark.parametrize(("k", "n"), sizes(OVER, LARGE))
@pytest.mark.parametrize("form", INDEX)
def test_index_for_more_parameters_than_outputs(form, k, n):
    found = reduced(curved(k, n), form)
    assert (found.index, found.hidden) == (INDEX[form], ())
    assert found.certificate.kernel.shape[1] == (k - n if form in ("lsq", "implicit") else 0)


@pytest.mark.parametrize(("k", "n"), UNDER)
@pytest.mark.parametrize(("form", "index"), [("lsq", 1), ("lm", 1), ("image", 2), ("implicit", 0)])
def test_index_for_fewer_parameters_than_outputs(form, index, k, n):
    found = reduced(curved(k, n), form)
    assert found.index == index
    assert found.certificate.decision.full


@pytest.mark.parametrize(("form", "index"), [*INDEX.items(), ("image", 1)])
def test_index_for_as_many_parameters_as_outputs(form, index):
    found = reduced(even(), form)
    assert found.index == index
    assert found.certificate.decision.full


@pytest.mark.parametrize("form", ["kkt", "tracking", "inertial"])
def test_forms_that_need_rank_n_are_refused_for_fewer_parameters(form):
    """Structure alone sees it: n equations for K < n unknowns."""
    problem = narrow()
    with pytest.raises((sr.InconsistentError, sr.ReductionError), match=r"slope\[|output\["):
        sr.solve(problem.flow.dae(form), 1.0, {"theta": problem.theta0})


def jacobian_ranks(problem: Problem, form: str) -> tuple[int, int, int]:
    """Rank of the system Jacobian at a random point and at a consistent one, and its size."""
    found = sr.reduce(problem.flow.dae(form), {"theta": problem.theta0})
    _, system = prolonged(found.dae)  # before redundant equations were left out
    jets = np.random.default_rng(0).standard_normal(len(system.columns))
    rows = [system.rows.index(place) for place in system.top_rows]
    columns = [system.columns.index(place) for place in system.top_columns]
    matrix = system.jacobian(0.0, jets, found.dae.data())[np.ix_(rows, columns)]
    consistent = len(columns) - found.certificate.kernel.shape[1]
    return rank_factor(matrix, DEFAULT_RANK).rank, consistent, len(columns)


@pytest.mark.parametrize(("form", "ranks"), [("lsq", (21, 15, 21)), ("image", (15, 9, 15))])
def test_a_random_point_certifies_what_a_consistent_point_does_not(form, ranks):
    assert jacobian_ranks(wide(), form) == ranks


@pytest.mark.parametrize(
    ("form", "rank", "size"),
    [("kkt", 20, 21), ("tracking", 14, 15), ("inertial", 23, 24), ("lsq", 18, 21), ("image", 12, 15)],
)
def test_a_sample_given_twice_costs_rank_at_a_random_point_already(form, rank, size):
    found = jacobian_ranks(twice(0.0, samples=3), form)
    assert (found[0], found[2]) == (rank, size)
    if form in ("kkt", "tracking", "inertial"):
        assert found[1] == rank


# --- a sample given twice ---------------------------------------------------------------------------------------------

FIRST, LAST = "row 1, output 1", "row 4, output 1"


@pytest.mark.parametrize(("form", "named"), [("kkt", "slope"), ("tracking", "output"), ("implicit", None)])
def test_a_sample_given_twice_is_named_and_followed(form, named):
    problem = twice(0.0)
    s = np.linspace(1.0, 6.0, 4)
    sol = solve(problem, form, s)
    assert np.abs(sol["theta"] - orbit(problem, s)).max() < 1e-8
    if named:
        found = sol.reduction
        # the outputs X start apart unless x[theta] = X says so of both: that restricts the start
        expected = ((f"{named}[{LAST}]",), ()) if form == "kkt" else ((), (f"{named}[{LAST}]",))
        assert (found.redundant, found.invariant) == expected
        assert set(found.free) == {"lam[0]", "lam[3]"}
        assert f"{named}[{FIRST}]" in str(found)


@pytest.mark.parametrize(("form", "named"), [("kkt", "slope"), ("tracking", "output")])
def test_conflicting_labels_are_refused_by_name(form, named):
    problem = twice(1.0)
    with pytest.raises(sr.InconsistentError) as caught:
        sr.solve(problem.flow.dae(form), 1.0, {"theta": problem.theta0})
    assert f"{named}[{FIRST}]" in caught.value.what
    assert f"{named}[{LAST}]" in caught.value.what
    assert "row 2" not in caught.value.what


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (lambda: twice(1.0), "implicit"),
        (lambda: curved(3, 8, 1.0), "implicit"),
        (lambda: curved(3, 8, 1.0), "lsq"),
        (lambda: curved(5, 3, 1.0), "lsq"),
    ],
    ids=["over-implicit", "under-implicit", "under-lsq", "over-lsq"],
)
def test_conflicting_labels_are_met_in_the_mean(make, form):
    assert gap(make(), form, np.linspace(1.0, 6.0, 4)) < 1e-8


@pytest.mark.parametrize("make", [lambda: twice(1.0), lambda: curved(5, 3, 1.0)], ids=["net", "curved"])
@pytest.mark.parametrize("damping", [1e-4, 1e-6, 1e-8])
def test_a_small_damping_takes_conflicting_labels(make, damping):
    """The multipliers of the conflict are of size 1/mu: D^T lam is known to roundoff in these, the path to `atol`."""
    problem, s = make(), np.array([3.0])
    sol = solve(problem, "lm", s, damping=damping)
    damped = sr.flows.adapted(problem.map, problem.cost, damping=damping)
    reference = sr.follow(damped, problem.theta0, clock="s", until=sr.Until(s=3.0), rtol=1e-11)
    assert "roundoff" in sol.stats["atol"]
    known = float(sol.stats["atol"].partition(",")[0])
    assert known < 1e-4
    assert np.abs(sol["theta"][-1] - reference.theta).max() < max(1e-8, 0.1 * known)


# --- D theta' = w -----------------------------------------------------------------------------------------------------


def motion(d: np.ndarray, w: np.ndarray, weights=None) -> np.ndarray:
    @sr.dae(variables={"theta": d.shape[1]}, weights=weights)
    def linear(t, v, d_, p):
        return {"slope": ca.DM(d) @ d_(v.theta) - ca.DM(w)}

    point = sr.reduce(linear, {"theta": np.zeros(d.shape[1])}).point
    return np.array([point[f"theta[{k}]'"] for k in range(d.shape[1])])


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_motion_of_a_reduction_is_the_horizontal_lift(seed, dependent):
    rng = np.random.default_rng(seed)
    d, w = rng.standard_normal((4, 7)), rng.standard_normal(4)
    if dependent:
        d[3], w[3] = d[0] - 2 * d[1], w[0] - 2 * w[1]
    lifted = sr.lift(d, w)
    assert lifted.rank == 4 - dependent
    assert np.abs(motion(d, w) - lifted.v).max() < 1e-14 * lifted.cond * np.linalg.norm(lifted.v)


def test_declared_weights_are_the_metric_of_the_lift():
    rng = np.random.default_rng(5)
    d, w, weights = rng.standard_normal((2, 4)), rng.standard_normal(2), np.array([1.0, 3.0, 0.5, 2.0])
    declared = {f"theta[{k}]": float(weight) for k, weight in enumerate(weights)}
    found = motion(d, w, declared)
    assert np.abs(found - sr.lift(d, w, metric=weights**2).v).max() < 1e-13
    assert np.abs(found - motion(d, w)).max() > 1e-2


def test_weights_given_to_reduce_replace_the_declared_ones():
    @sr.dae(variables="a b", weights={"a": 1.0, "b": 2.0})
    def line(t, v, d, p):
        return {"sum": d(v.a) + d(v.b) - 1}

    def velocities(weights):
        point = sr.reduce(line, weights=weights).point
        return point["a'"], point["b'"]

    assert velocities(None) == pytest.approx((0.8, 0.2), abs=1e-14)
    assert velocities({"a": 1.0, "b": 1.0}) == pytest.approx((0.5, 0.5), abs=1e-14)
    assert pickle.loads(pickle.dumps(line)).weights == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("weights", [{"c": 1.0}, {"a": 0.0}, {"a": "1"}, [1.0]])
def test_weights_are_checked_where_they_are_declared(weights):
    with pytest.raises(sr.ProblemError, match=r"weight|no variable of this name"):
        sr.dae(variables="a", weights=weights)(lambda t, v, d, p: {"a": d(v.a)})


# --- names and refusals -----------------------------------------------------------------------------------------------


def test_equations_of_the_outputs_are_named_by_row():
    plain = even().flow.dae("kkt")
    assert plain.equations[-3:] == ("slope[0]", "slope[1]", "slope[2]")
    named = net_problem([2, 2, 2], 2, seed=0).flow.dae("tracking").equations
    assert named[-2:] == ("output[row 2, output 1]", "output[row 2, output 2]")


@pytest.mark.parametrize("form", FORMS)
def test_each_form_bears_its_name(form):
    problem = even()
    options = {"lm": {"damping": 1.0}, "output": {"Phi": lambda x: x[0]}}
    assert problem.flow.dae(form, **options.get(form, {})).name == form


def test_relu_is_cast_too():
    net = network([1, 3, 1], np.array([[-1.0], [0.4], [2.0]]), activation="relu")
    problem = Problem(net, sr.flows.squared_error([[0.0], [1.0], [0.5]]), net.initial(2))
    found = sr.reduce(problem.flow.dae("implicit"), {"theta": problem.theta0})
    velocity = np.array([found.point[f"theta[{k}]'"] for k in range(net.n_in)])
    assert np.abs(velocity - problem.flow.velocity(problem.theta0)).max() < 1e-12


def test_a_large_flow_is_cast_with_a_warning():
    problem = net_problem([2, 40, 1], 41, seed=0)
    with pytest.warns(LargeDAEWarning, match=r"K \+ n = 161 \+ 41 > 200"):
        problem.flow.dae("tracking")


REFUSED = [
    (lambda p: p.flow, "hamiltonian", {}, "no such form"),
    (lambda p: p.standard, "kkt", {}, "those of the adapted flow"),
    (lambda p: p.flow, "lm", {}, "needs a damping"),
    (lambda p: p.flow, "lm", {"damping": -1.0}, "needs a damping"),
    (lambda p: p.flow, "kkt", {"damping": 0.1}, "has no damping"),
    (lambda p: sr.flows.adapted(p.map, p.cost, damping=0.1), "lsq", {}, "has no damping"),
    (lambda p: p.flow, "output", {}, "needs the equations of the image"),
    (lambda p: p.flow, "kkt", {"Phi": ca.sumsqr}, "takes no Phi"),
]


@pytest.mark.parametrize(("make", "form", "options", "words"), REFUSED)
def test_what_does_not_fit_is_refused(make, form, options, words):
    with pytest.raises(sr.ProblemError, match=words):
        make(even()).dae(form, **options)


def test_a_map_without_symbols_is_refused():
    square = sr.numpy_map(lambda q: q**2, lambda q: np.diag(2 * q), 1, 1)
    flow = sr.flows.adapted(square, sr.flows.squared_error([[1.0]]))
    with pytest.raises(sr.ProblemError, match="no symbolic function"):
        flow.dae("kkt")
    with pytest.raises(sr.ProblemError, match="no symbolic function"):
        net_problem([2, 60, 1], 3, seed=0).flow.dae("kkt")
