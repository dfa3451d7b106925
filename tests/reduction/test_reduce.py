"""`reduce`: the known numbers and names of every problem of the zoo; what cannot be meant is refused."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import casadi as ca
import numpy as np
import pytest
from scipy.integrate import quad

import subriem as sr
from subriem.reduction.declare import scalar_names
from subriem.reduction.newton import relative_residuals
from subriem.zoo.dae import get, problems

REFUSED = {"contradictory", "martinet-abnormal"}
SOLVABLE = sorted(set(problems) - REFUSED)
#: Their structure overestimates the index, but is regular: nothing has to be combined.
OVERESTIMATED = {"reissig-1", "reissig-2", "reissig-3", "reissig-5"}


def scalars(problem, names):
    return {s for name in names for s in scalar_names(name, problem.dae.sizes.get(name))}


@pytest.fixture(scope="module", params=SOLVABLE)
def case(request):
    problem = get(request.param)
    return problem, sr.reduce(problem.dae, at=problem.at)


# --- the law table ------------------------------------------------------------------------------------------------


def test_index_and_freedom(case):
    problem, red = case
    assert (red.index, red.index_kind) == (problem.index, "differentiation")
    assert red.degrees_of_freedom == problem.freedom
    if problem.structural_index is not None:
        assert red.structural_index == problem.structural_index


def test_names(case):
    problem, red = case
    assert {*red.redundant, *red.invariant} == set(problem.redundant)
    assert set(red.free) == scalars(problem, problem.free)
    assert red.inconsistent == ()
    assert set(red.hidden) <= set(problem.hidden)
    assert bool(red.hidden) == bool(problem.hidden and problem.name not in OVERESTIMATED)
    assert not red.certificate.hidden


def test_the_point_is_consistent_and_keeps_the_start(case):
    problem, red = case
    t, q = red.consistent.t, problem.dae.data(red.consistent.t)
    assert relative_residuals(red.system, t, q, red.consistent.jets).max() <= 1e-11
    assert red.consistent.moved <= 1e-11
    open_, point = set(red.free), red.point
    for name, value in problem.start.items():
        if name.rstrip("'") not in open_ or "'" not in name:
            assert point.get(name, value) == pytest.approx(value, abs=1e-9) or name in open_
    assert all(check.passed is not False for check in red.checks)


def test_it_reads_like_a_report(case):
    problem, red = case
    text = str(red)
    assert all(name in text for name in (*red.redundant, *red.invariant, *red.free[:1]))
    assert f"index {problem.index}" in text.splitlines()[0]
    assert max(len(line) for line in text.splitlines() if line.startswith(("decision", "point", red.dae.name))) <= 120
    assert "<table" in red._repr_html_()


# --- what is refused ----------------------------------------------------------------------------------------------


def pendulum_rows(t, v, d):
    return {"across": d(v.x, 2) + v.lam * v.x, "down": d(v.y, 2) + v.lam * v.y + 9.81, "rod": v.x**2 + v.y**2 - 1}


def made(variables, rows):
    @sr.dae(variables=variables)
    def system(t, v, d, p):
        return rows(t, v, d)

    return system


PENDULUM = made("x y lam", pendulum_rows)


def test_martinet_loses_two_ranks_on_the_abnormal_line_and_none_beside_it():
    problem = get("martinet-abnormal")
    with pytest.raises(sr.RankError, match="singular at this point") as caught:
        sr.reduce(problem.dae, at=problem.at)
    assert "rank 6 of 8" in caught.value.got
    assert "y = 0" in caught.value.got
    assert "rank 8 of 8 at a consistent point nearby" in caught.value.got
    red = sr.reduce(get("martinet").dae, at=get("martinet").at)
    assert red.point["y"] == 0.2
    assert red.certificate.decision.full
    assert len(red.certificate.base) == 8


@pytest.mark.parametrize(
    ("variables", "rows", "t", "names"),
    [
        ("x", lambda t, v, d: {"sine": v.x - ca.sin(t), "line": v.x - t}, 1.0, ("sine", "line")),
        ("x", lambda t, v, d: {"sine": v.x - ca.sin(t), "line": v.x - t}, 0.0, ("sine", "line")),
        ("x y", lambda t, v, d: {"motion": d(v.y) - v.x, "one": v.x - 1, "two": v.x - 2}, 0.0, ("one", "two")),
        (
            "x y lam",
            lambda t, v, d: {**pendulum_rows(t, v, d), "long": v.x**2 + v.y**2 - 2},
            0.0,
            ("rod", "long"),
        ),
    ],
    ids=["two laws", "two laws that agree at t = 0", "two drivers", "two rods"],
)
def test_contradictions_are_named(variables, rows, t, names):
    with pytest.raises(sr.InconsistentError) as caught:
        sr.reduce(made(variables, rows), t=t)
    assert all(name in caught.value.what for name in names)
    assert "motion" not in caught.value.what


def test_a_tangency_is_no_redundancy():
    with pytest.raises(sr.RankError, match="and not nearby"):
        sr.reduce(made("x", lambda t, v, d: {"double": v.x**2}))
    with pytest.raises(sr.RankError, match=r"rank 0 of 1 at t = 0.*rank 1 of 1"):
        sr.reduce(made("x", lambda t, v, d: {"fuchs": t * d(v.x) - v.x}), at={"x": 0.0})


@pytest.mark.parametrize(
    "contact",
    [lambda x: x**2, lambda x: x**3, lambda x: x**4, lambda x: ca.fmax(x, 0) ** 2, lambda x: ca.fmax(-x, 0) ** 2],
    ids=["second", "third", "fourth", "right", "left"],
)
def test_a_contact_of_two_equations_is_no_redundancy(contact):
    """y = 0 and y + contact(x) = 0 have the same gradient at x = 0."""
    rows = {"move": lambda v, d: d(v.x) - 1, "flat": lambda v, d: v.y, "touching": lambda v, d: v.y + contact(v.x)}
    dae = made("x y", lambda t, v, d: {name: row(v, d) for name, row in rows.items()})
    with pytest.raises(sr.RankError, match="touching depends on flat at this point, and not nearby"):
        sr.reduce(dae, at={"x": 0.0})


def test_a_contact_is_seen_where_few_points_nearby_can_be_reached():
    """From most of them no step leads back to sqrt(w) = 0.01, and those of x alone do not move a and b."""

    def rows(t, v, d):
        return {"root": ca.sqrt(v.w) - 1e-2, "move": d(v.x) + v.x, "line": v.a - v.b, "curve": v.a - v.b + v.a**2}

    with pytest.raises(sr.RankError, match=r"at this point.* and not nearby"):
        sr.reduce(made("x a b w", rows), at={"x": 0.5, "a": 0.0, "b": 0.0, "w": 1e-4})


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"at": {"w": 1.0}}, sr.ProblemError, "no variable of this name"),
        ({"at": {"x": [1.0, 2.0]}}, sr.ProblemError, "wrong length"),
        ({"at": {"x": np.nan}}, sr.ProblemError, "not finite"),
        ({"at": {"x'''": 1.0}}, sr.ProblemError, "does not occur"),
        ({"at": [1.0]}, sr.ProblemError, "no mapping"),
        ({"fix": ["w"]}, sr.ProblemError, "no variable of this name"),
        ({"fix": ["lam'"]}, sr.ProblemError, "does not occur"),
        ({"at": {"x": 2.0, "y": 0.0}, "fix": ["x", "y"]}, sr.InconsistentError, "equation rod cannot be satisfied"),
        ({"weights": {"x": 0.0}}, sr.ProblemError, "no number > 0"),
    ],
)
def test_arguments_that_cannot_be_meant(keywords, error, words):
    with pytest.raises(error, match=words):
        sr.reduce(PENDULUM, **keywords)


@pytest.mark.parametrize(
    "at", [{"x": 1e4, "y": 2e3}, {"x": 0.0, "y": 0.0}, {"x": 0.0, "y": 0.0, "x'": 0.0, "y'": 0.0}, {}]
)
def test_far_and_singular_starts_reach_the_rod(at):
    red = sr.reduce(PENDULUM, at=at)
    assert red.point["x"] ** 2 + red.point["y"] ** 2 == pytest.approx(1, abs=1e-12)
    assert (red.index, red.degrees_of_freedom) == (3, 2)


def test_what_is_fixed_stays():
    red = sr.reduce(PENDULUM, at={"x": 0.6, "y": 3.0, "x'": 0.4}, fix=["x", "x'"])
    assert (red.point["x"], red.point["x'"]) == (0.6, 0.4)
    assert red.point["y"] == pytest.approx(0.8, abs=1e-12)
    assert red.point["y'"] == pytest.approx(-0.3, abs=1e-12)
    assert red.consistent.moved == pytest.approx(2.2)


@pytest.mark.parametrize(
    ("law", "x", "y"),
    [(ca.log, 1.0, np.e), (ca.sqrt, 3.0, 9.0), (lambda y: 1 / y, 2.0, 0.5)],
    ids=["log", "sqrt", "division"],
)
def test_equations_that_are_not_finite_at_zero(law, x, y):
    system = made("x y", lambda t, v, d: {"motion": d(v.x) + v.y, "law": law(v.y) - v.x})
    assert sr.reduce(system, at={"x": x}).point["y"] == pytest.approx(y, rel=1e-12)
    if law is not ca.log:
        return
    with pytest.raises(sr.InconsistentError, match="not finite at the start") as caught:
        sr.reduce(system, at={"y": -1.0})
    assert "law" in caught.value.got


def test_an_open_algebraic_variable_needs_a_weight():
    system = made("x y u", lambda t, v, d: {"first": d(v.x) + v.y + v.u, "second": d(v.y) - v.u})
    with pytest.raises(sr.ProblemError, match="do not determine u"):
        sr.reduce(system)
    red = sr.reduce(system, at={"x": 0.0, "y": 1.0}, weights={"x": 1.0, "y": 1.0, "u": 2.0})
    # least x'^2 + y'^2 + 4 u^2 for x' = -1 - u, y' = u
    assert red.point["u"] == pytest.approx(-1 / 6, abs=1e-12)


# --- elsewhere ----------------------------------------------------------------------------------------------------


def numbers(job):
    red = sr.reduce(*job) if isinstance(job, tuple) else job
    z = red.consistent.values(red.system.state_columns)
    return red.point, red.index, red.degrees_of_freedom, red.redundant, red.drift(0.0, 1.1 * z), str(red)


def test_a_process_finds_the_same_numbers():
    problem = get("pendulum-twice")
    red = sr.reduce(problem.dae, problem.at)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = list(pool.map(numbers, [(problem.dae, problem.at), red]))
    assert there == [numbers(red)] * 2


@pytest.mark.parametrize(
    ("weights", "what"), [(["x"], "no mapping"), ({"y": 1.0}, "no variable of this name"), ({"u": -1.0}, "weight of u")]
)
def test_weights_are_checked_at_the_door(weights, what):
    @sr.dae(variables="x u")
    def driven(t, v, d, p):
        return {"law": d(v.x) - v.u}

    with pytest.raises(sr.ProblemError, match=what):
        sr.reduce(driven, weights=weights)


def test_a_combination_that_exists_at_one_time_only():
    # at t = 0 the row of "first" in J vanishes, and first alone seemed to hold no derivative; first - t second does so
    # at all times: x = t (y - f), y' = -t f' / (1 - t)
    @sr.dae(variables="x y")
    def fading(t, v, d, p):
        rate = d(v.y) - d(v.x)
        return {"first": t * rate + v.x, "second": rate + v.y - ca.sin(t)}

    with pytest.raises(sr.RankError, match="first at this point"):
        sr.reduce(fading, {"y": 1.0})
    at = {"x": 0.1 * (1 - np.sin(0.1)), "y": 1.0}
    sol = sr.solve(fading, (0.1, 0.5), at)
    y = 1 - quad(lambda t: t * np.cos(t) / (1 - t), 0.1, 0.5)[0]
    assert (sol["x"][-1], sol["y"][-1]) == pytest.approx((0.5 * (y - np.sin(0.5)), y), abs=1e-8)


@pytest.mark.parametrize("angle", [0.0, np.pi, 2 * np.pi])
def test_a_dead_point_is_singular_though_sin_pi_is_not_quite_zero(angle):
    rows = {"crank": lambda v, d: ca.cos(v.phi) - v.x, "drive": lambda v, d: d(v.x) - 0.1}
    dae = made("phi x", lambda t, v, d: {name: row(v, d) for name, row in rows.items()})
    with pytest.raises(sr.RankError, match="singular at this point"):
        sr.reduce(dae, at={"phi": angle, "x": np.cos(angle)})
