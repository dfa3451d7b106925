"""The zoo of DAEs: starts, closed forms, references, and the numbers of structure, by definition."""

import json
import math
import subprocess
import sys
from importlib.resources import files

import mpmath
import numpy as np
import pytest

from subriem.core.errors import ProblemError
from subriem.reduction.jets import jet_name
from subriem.zoo.dae import all_problems, digits, get, problems
from tests.zoo.analysis import DerivativeArray, jets_along, sigma_method

NAMES = list(problems)
CLOSED = [name for name in NAMES if problems[name].exact is not None]
REFERENCED = [name for name in NAMES if problems[name].end is not None]
#: Derivative arrays of these have thousands of unknowns; their families are tested in a smaller size.
LARGE = {"chain-201", "fekete"}
REGULAR = [name for name in NAMES if problems[name].index is not None and name not in LARGE]


def scalars(problem, variables):
    """The scalar names of variables given as theta or as theta[2]."""
    return {problem.dae.variables[i] for name in variables for i in problem.dae.entries(name)}


# -- what is written down fits the equations -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_the_equations(name):
    problem = problems[name]
    assert problem.name == name
    assert {*problem.redundant, *problem.inconsistent, *problem.hidden} <= set(problem.dae.equations)
    known = {jet_name(v, k) for v in problem.dae.variables for k in range(3)}
    for values in (problem.start, problem.end or {}, problem.exact(0.5) if problem.exact else {}):
        assert set(values) <= known
    assert scalars(problem, problem.free) <= set(problem.dae.variables)
    assert problem.source.strip()
    assert problem.title in repr(problem)


@pytest.mark.parametrize("name", [name for name in REGULAR if get(name).index <= 4])
def test_start_is_consistent(name):
    problem = get(name)
    array = DerivativeArray(problem.dae, problem.index)
    assert array.complete(problem.span[0], problem.start)[1] < 1e-9


@pytest.mark.parametrize("name", CLOSED)
def test_closed_form_begins_at_the_start(name):
    problem = problems[name]
    exact = problem.exact(problem.span[0])
    for key, value in problem.start.items():
        assert exact.get(key, value) == pytest.approx(value, abs=1e-14)


@pytest.mark.parametrize("name", CLOSED)
def test_closed_form_satisfies_the_equations(name):
    problem = problems[name]
    dae = problem.dae
    assert set(dae.variables) <= set(problem.exact(problem.span[0]))
    end = min(problem.span[1], problem.consistent_until)
    h = 0.1
    slope = dae.function.jacobian()
    for t in np.random.default_rng(0).uniform(problem.span[0] + h, end - h, 5):
        if np.abs(dae.breakpoints - t).min(initial=1.0) <= h:
            continue
        jets = jets_along(problem.exact, t, list(dae.variables), max(dae.orders), h)
        values = np.array([jets[jet_name(dae.variables[j], k)] for j, k in dae.places])
        J = np.abs(np.asarray(slope(t, values, dae.data(t), 0)[1]))
        assert (np.abs(dae.residual(t, values)) <= 1e-9 * J @ (1 + np.abs(values))).all()
        given = problem.exact(t)
        for key in set(given) & set(jets):
            assert given[key] == pytest.approx(jets[key], rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", [name for name in REFERENCED if get(name).exact is not None])
def test_closed_form_ends_at_the_reference(name):
    problem = get(name)
    assert digits(problem, problem.exact(problem.span[1])) > 14 - math.log10(problem.span[1])


@pytest.mark.parametrize("name", REFERENCED)
def test_reference_satisfies_the_constraints(name):
    problem = problems[name]
    dae = problem.dae
    t, order_zero = problem.span[1], {i for i, _, k in zip(*dae.incidence, strict=True) if k > 0}
    values = np.array([problem.end.get(jet_name(dae.variables[j], k), 0.0) for j, k in dae.places])
    algebraic = [i for i in range(len(dae.equations)) if i not in order_zero]
    assert np.abs(dae.residual(t, values)[algebraic]).max(initial=0) < 1e-12


@pytest.mark.parametrize("name", [name for name in REGULAR if get(name).invariants])
def test_invariants_are_constant_to_first_order(name):
    # d/dt of the invariant along the derivatives that the equations give, at a point where things move
    problem = get(name)
    if problem.exact is not None:
        t = problem.span[0] + 0.3
        known = {k: v for k, v in problem.exact(t).items() if k not in scalars(problem, problem.free)}
    elif problem.end is not None:
        t, known = problem.span[1], dict(problem.end)
    else:
        t, known = problem.span[0], dict(problem.start)
    array = DerivativeArray(problem.dae, problem.index)
    Y, left = array.complete(t, {k: v for k, v in known.items() if k in array.names})
    assert left < 1e-8
    jets = dict(zip(array.names, Y, strict=True))
    first = {name: jets[jet_name(problem.dae.variables[j], k + 1)] for name, (j, k) in _lower(array)}
    for law in problem.invariants.values():
        h = 1e-5
        plus, minus = ({n: jets[n] + s * h * first[n] for n in first} for s in (1, -1))
        assert abs(law(plus) - law(minus)) / (2 * h) < 1e-6 * (1 + abs(law(jets)))


def _lower(array):
    return [
        (name, (j, k)) for name, (j, k) in zip(array.names, array.places, strict=True) if (j, k + 1) in array.places
    ]


# -- index, freedom, redundancy, conflict ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_structural_index(name):
    assert sigma_method(problems[name].dae) == problems[name].structural_index


@pytest.mark.parametrize("name", REGULAR)
def test_index_and_freedom(name):
    problem = problems[name]
    t, free = problem.span[0], scalars(problem, problem.free)
    combinations = []
    for k in range(problem.index + 1):
        array = DerivativeArray(problem.dae, k)
        Y, left = array.complete(t, problem.start)
        assert left < 1e-8
        undetermined = array.undetermined(t, Y)
        combinations.append(round(sum(x**2 for x in undetermined.values())))
    assert set(undetermined) == free
    assert problem.index == 0 or combinations[-2] > combinations[-1]
    assert array.freedom(t, Y, free) == problem.freedom
    if free:  # what is free stays so after one more differentiation
        array = DerivativeArray(problem.dae, problem.index + 1)
        more = array.undetermined(t, array.complete(t, problem.start)[0])
        assert more == pytest.approx(undetermined, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in REGULAR if get(name).redundant])
def test_redundant_equations_are_not_needed(name):
    problem = problems[name]
    undetermined = []
    for without in ((), problem.redundant):
        array = DerivativeArray(problem.dae, problem.index, without=without)
        Y, left = array.complete(problem.span[0], problem.start)
        assert left < 1e-9
        undetermined.append(array.undetermined(problem.span[0], Y))
    assert undetermined[1] == pytest.approx(undetermined[0], abs=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if get(name).inconsistent])
def test_contradictions(name):
    problem = problems[name]
    before, after = problem.consistent_until - 0.5, problem.consistent_until + 0.5
    for t in (before, after) if problem.consistent_until > 0 else (after,):
        known = problem.exact(t) if problem.exact else {}
        agrees = DerivativeArray(problem.dae, 0).complete(t, known)[1] < 1e-9
        assert agrees == (t < problem.consistent_until)
    for one in problem.inconsistent:
        array = DerivativeArray(problem.dae, 0, without=(one,))
        nearby = np.array([{"x": 0.9, "y": 0.1}.get(name, 0.0) for name in array.names])
        for _ in range(40):
            F, J = array(after, nearby)
            nearby += np.linalg.lstsq(J, -F, rcond=1e-11)[0]
        assert np.abs(F).max() < 1e-9


def test_rank_of_the_martinet_extremal_drops_in_the_plane():
    # J = d(f_i^(c_i)) / d(y_j^(d_j)) with c = 1 for the last two equations: their derivatives hold the controls
    ranks = {}
    for name in ("martinet", "martinet-abnormal"):
        problem = get(name)
        y, pz = problem.start["y"], problem.start["pz"]
        u1, u2 = 6, 7
        J = np.eye(8)
        J[:6, u1] = [-1, 0, -(y**2) / 2, 0, y * pz, 0]
        J[:6, u2] = [0, -1, 0, 0, 0, 0]
        J[6, [3, 5, 1]], J[7, 4] = (1, y**2 / 2, y * pz), 1
        J[6, u1] = J[7, u2] = J[6, 6] = J[7, 7] = 0
        ranks[name] = np.linalg.matrix_rank(J)
    assert ranks == {"martinet": 8, "martinet-abnormal": 6}


# -- references and digits -------------------------------------------------------------------------------------


def test_references_are_those_of_the_file():
    table = json.loads((files("subriem.zoo.data") / "dae.json").read_text(encoding="utf-8"))
    order = {
        "car-axis": ("caraxis", "xl yl xr yr xl' yl' xr' yr' lam1 lam2"),
        "pendulum-10": ("pendulum_T10", "x y x' y' lam"),
        "transistor": ("transistor_amplifier", "y1 y2 y3 y4 y5 y6 y7 y8"),
        "akzo": ("chemical_akzo_nobel", "y1 y2 y3 y4 y5 y6"),
    }
    for name, (key, names) in order.items():
        assert [get(name).end[n] for n in names.split()] == table[key]["y"]
        assert get(name).span[1] == table[key]["t_end"]
    fekete = get("fekete").end
    assert [fekete["p[59]"], fekete["p[0]'"], fekete["lam[19]"]] == [table["fekete"]["y"][i] for i in (59, 60, 139)]
    assert all(math.isfinite(x) for entry in table.values() for x in entry.get("y", ()))


def test_fekete_starts_on_the_sphere_and_ends_at_rest():
    problem = get("fekete")
    start = np.reshape(problem.at["p"], (20, 3))
    np.testing.assert_allclose(np.linalg.norm(start, axis=1), 1, rtol=1e-15)
    first, seventeenth = (2 * np.pi / 3 + np.pi / 13, 3 * np.pi / 8), (np.pi / 17, -3 * np.pi / 10)
    for point, (a, b) in ((start[0], first), (start[16], seventeenth)):
        np.testing.assert_allclose(point, [np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)], rtol=1e-14)
    dae = problem.dae
    end = np.array([problem.end.get(jet_name(dae.variables[j], k), 0.0) for j, k in dae.places])  # p'' = 0
    assert np.abs(dae.residual(1000.0, end)).max() < 1e-13


@pytest.mark.parametrize("end", [1, 10, 100])
def test_pendulum_references_are_elliptic(end):
    with mpmath.workdps(40):
        u, m = mpmath.sqrt(mpmath.mpf(9.81)) * end, mpmath.mpf(1) / 2
        s = mpmath.sqrt(m) * mpmath.ellipfun("cd", u, m=m)  # sin(phi/2)
        x, y = 2 * s * mpmath.sqrt(1 - s**2), -(1 - 2 * s**2)
    reference = get(f"pendulum-{end}").end
    assert reference["x"] == pytest.approx(float(x), rel=5e-15)
    assert reference["y"] == pytest.approx(float(y), rel=5e-15)


def test_minimal_coordinates_confirm_the_double_pendulum():
    from scipy.integrate import solve_ivp

    g = 9.81

    def rate(_, s):
        a, b, p, q = s
        M = np.array([[2, np.cos(a - b)], [np.cos(a - b), 1]])
        f = [-np.sin(a - b) * q**2 - 2 * g * np.sin(a), np.sin(a - b) * p**2 - g * np.sin(b)]
        return [p, q, *np.linalg.solve(M, f)]

    a, b, p, q = solve_ivp(rate, (0, 2), [np.pi / 2, np.pi / 2, 0, 0], "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    found = {"x[0]": np.sin(a), "x[1]": np.sin(a) + np.sin(b), "x[1]'": np.cos(a) * p + np.cos(b) * q}
    assert digits(get("rods-2"), found, names=found) > 9


def test_digits():
    pair = get("pair")
    end = pair.exact(2.0)
    assert digits(pair, end) == pytest.approx(15.65, abs=0.01)
    assert digits(pair, {**end, "a": end["a"] * (1 + 1e-6)}) == pytest.approx(6)
    assert digits(pair, {**end, "a": end["a"] * 1.1}, names=["b"]) > 15
    fekete = get("fekete")
    off = {**fekete.end, "p[0]": fekete.end["p[0]"] + 1e-7}
    assert digits(fekete, off) == pytest.approx(7)
    level = get("differentiator")  # the reference of e_minus1 is zero
    assert digits(level, {**level.reference, "e_minus1": 1e-5}) == pytest.approx(5)
    assert math.isnan(digits(pair, {**end, "a": math.nan}))


@pytest.mark.parametrize(("name", "values"), [("pair", {"a": 1.0}), ("rods-5", {}), ("contradictory", {"x": 1.0})])
def test_digits_refuses_what_it_cannot_compare(name, values):
    with pytest.raises(ProblemError, match=r"reference|compared"):
        digits(get(name), values)


# -- the registry ----------------------------------------------------------------------------------------------


def test_unknown_name_is_answered_with_near_ones():
    with pytest.raises(ProblemError, match="pendulum-10"):
        get("pendulum10")
    assert "nothing" not in problems


def test_every_problem_is_made_once():
    assert [problem.name for problem in all_problems()] == NAMES
    assert get("akzo") is problems["akzo"]
    assert len(NAMES) == len(set(NAMES))


def test_imports_are_lazy():
    code = (
        "import sys, subriem; print('subriem.zoo.dae' in sys.modules);"
        "import subriem.zoo.dae;"
        "print(any(name in sys.modules for name in ('subriem.zoo.dae.mechanics', 'scipy.special')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]
