"""The verb: components without duplicates, budgets, workers, seeds, symmetries, and what cannot be found."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.status import Status
from subriem.critical.adapters import rest_problem
from subriem.critical.find import find
from tests.critical.potentials import cube, ring, system

CIRCLE = sr.flows.potential(ring, 2, least=0.0)
PHASE = sr.flows.potential(lambda x: 1.5 * ca.sumsqr(x) ** 2 - ca.sumsqr(x) - 2 * x[0] ** 2 + 1.5, 3)


def kinds(found):
    return [(one.dimension, one.index, one.betti) for one in found.components]


@pytest.mark.parametrize("problem", [CIRCLE, PHASE], ids=["circle", "phase retrieval"])
def test_no_component_is_found_twice(problem):
    found = sr.equilibria(problem, starts=100)
    known = {2: [(1, 0, (1, 1)), (0, 2, (1,))], 3: [(1, 1, (1, 1)), (0, 0, (1,)), (0, 0, (1,)), (0, 3, (1,))]}
    assert kinds(found) == known[problem.map.n_in]
    assert sum(one.starts for one in found.components) == 100
    assert found.status is Status.SUCCESS
    assert all(check.passed is not False for check in found.checks)


def test_every_start_is_accounted_for():
    source = sr.map(lambda x: [(x[0] ** 2 - 1) * (x[0] - 1.6), x[1]], 2)
    starts = np.stack([np.linspace(-1.5, 1.5, 50), np.full(50, 0.1)], axis=1)
    found = sr.equilibria(source, starts=starts, box=((-1.5, -1), (1.5, 1)))
    assert sum(one.starts for one in found.components) + sum(found.runaways.values()) == 50
    assert found.runaways["converged outside the box"] > 0
    assert all(np.abs(one.point[0]) <= 1.5 for one in found.components)


def same(one, other):
    assert str(one) == str(other)
    for a, b in zip(one.components, other.components, strict=True):
        assert np.array_equal(a.points, b.points)


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_do_not_matter(workers):
    with ThreadPoolExecutor(workers) as pool:
        same(sr.equilibria(PHASE, starts=40, executor=pool), sr.equilibria(PHASE, starts=40))


def test_processes_do_not_matter():
    with ProcessPoolExecutor(2) as pool:
        same(sr.equilibria(CIRCLE, starts=20, executor=pool), sr.equilibria(CIRCLE, starts=20))


def test_a_budget_of_evaluations_does_not_depend_on_workers():
    inside = system(CIRCLE.cost and rest_problem(CIRCLE).map)
    starts = cube(2.0, 2).points(64, np.random.default_rng(0))
    budget = sr.Budget(evaluations=150)
    with ThreadPoolExecutor(4) as pool:
        parallel = find(inside, starts, budget=budget, executor=pool)
    alone = find(inside, starts, budget=budget)
    assert alone.status is Status.BUDGET_SPENT
    assert 0 < alone.reasons["not followed"] < 64
    assert np.array_equal(parallel.points, alone.points)
    assert parallel.reasons == alone.reasons


def test_the_seed_decides():
    first, again, other = (sr.equilibria(CIRCLE, starts=10, seed=seed, trace=False) for seed in (3, 3, 4))
    same(first, again)
    assert not np.array_equal(first.components[0].point, other.components[0].point)


def test_symmetries_are_taken_out():
    """cos x on the line with x -> -x: of the rest points ±pi one is left, and 0."""
    source = sr.map(lambda x: [ca.sin(x[0])], 1)
    whole = rest_problem(source)
    half = replace(whole, canonical=np.abs)
    assert len(sr.equilibria(whole, box=4.0)) == 3
    assert sorted(float(one.point[0]) for one in sr.equilibria(half, box=4.0).components) == pytest.approx([0, np.pi])


def test_symmetric_pieces_of_a_manifold_are_one():
    """The circle modulo x -> -x, and two circles that the symmetry exchanges."""
    mirror = np.array([-1.0, 1.0])

    def right(z):
        return z if z[0] >= 0 else mirror * z

    one = replace(rest_problem(sr.map(lambda x: [ca.sumsqr(x) - 1], 2)), canonical=right)
    assert len(sr.equilibria(one, starts=30)) == 1
    two = sr.map(lambda x: [((x[0] - 1.1) ** 2 + x[1] ** 2 - 0.25) * ((x[0] + 1.1) ** 2 + x[1] ** 2 - 0.25)], 2)
    assert len(sr.equilibria(two, starts=30)) == 2
    assert len(sr.equilibria(replace(rest_problem(two), canonical=right), starts=30)) == 1


def test_chens_saddle():
    """X_1 H = X_2 H = 0, H = (x^2 - y^2 + z^2)/2 on the Heisenberg group: the z-axis, lines x = ±y through z = ±2."""
    source = sr.map(lambda q: [q[0] - q[1] * q[2] / 2, -q[1] + q[0] * q[2] / 2], 3)
    found = sr.equilibria(source, starts=[[0.1, 0.1, 0.5]], box=3.0)
    assert kinds(found) == [(1, None, (1, 0))] * 3
    assert [one.starts for one in found.components] == [1, 0, 0]
    places = sorted(found.crossings, key=lambda one: one.point[2])
    for place, z in zip(places, (-2.0, 2.0), strict=True):
        assert np.linalg.norm(place.point - [0, 0, z]) < 1e-8
        assert (place.verdict, place.nullity, len(place.tangents)) == ("crossing", 2, 2)
        line = found.components[place.components[1]].points
        assert np.abs(line[:, 2] - z).max() < 1e-9
        assert np.abs(line[:, 0] - np.sign(z) * line[:, 1]).max() < 1e-9


def test_a_map_is_a_set_without_stability():
    found = sr.equilibria(sr.map(lambda x: [ca.sumsqr(x) - 1], 2), starts=8)
    one = found.components[0]
    assert (one.dimension, one.index, one.spectrum, one.margin, one.rank, one.cost) == (1, None, None, None, None, None)


def test_without_tracing():
    found = sr.equilibria(CIRCLE, starts=30, trace=False)
    assert [(one.dimension, len(one.charts), one.betti) for one in found.components] == [(1, 1, None), (0, 1, (1,))]


def test_a_chosen_step():
    assert sr.equilibria(CIRCLE, starts=8, step=0.05).components[0].h == 0.05


# -- hopeless problems, and budgets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equation", "status"),
    [
        (lambda x: x**2 + 1, Status.NOT_CONVERGED),
        (lambda x: ca.exp(x), Status.ESCAPED),
        (lambda x: ca.log(x - 10), Status.NOT_FINITE),
        (lambda x: x - 5, Status.ESCAPED),
    ],
    ids=["no zero", "runs away", "nan", "outside"],
)
def test_what_has_no_rest_point_has_a_status(equation, status):
    found = sr.equilibria(sr.map(lambda x: [equation(x[0])], 1), starts=12)
    assert (found.status, len(found), sum(found.runaways.values())) == (status, 0, 12)
    assert "12 of 12 starts" in found.message


def test_a_kink_is_told():
    found = sr.equilibria(sr.map(lambda x: [ca.fabs(x[0])], 1), starts=12)
    assert [(one.verdict, one.starts) for one in found.components] == [("singular", 12)]


def test_partly_undefined():
    found = sr.equilibria(sr.map(lambda x: [ca.sqrt(x[0]) - 1], 1), starts=20)
    assert [one.verdict for one in found.components] == ["morse_bott"]
    assert found.runaways["met a value that is not finite"] > 0


def test_a_budget_of_one_chart():
    found = sr.equilibria(CIRCLE, starts=20, budget=sr.Budget(steps=1))
    assert found.status is Status.BUDGET_SPENT
    assert found.components[0].status is Status.BUDGET_SPENT
    assert found.components[0].topology is None
    assert sum(one.starts for one in found.components) + found.runaways["not looked at"] == 20


def test_no_time():
    found = sr.equilibria(CIRCLE, starts=20, budget=sr.Budget(seconds=0))
    assert found.status is Status.BUDGET_SPENT
    assert found.runaways["not followed"] == 12


def test_a_cancellation_keeps_what_was_found():
    token = sr.CancelToken()

    def tell(fraction, text):
        if fraction > 0.4:
            token.cancel("enough")

    found = sr.equilibria(CIRCLE, starts=40, progress=tell, cancel=token)
    assert (found.status, found.message) == (Status.CANCELLED, "enough")
    assert found.runaways["not followed"] == 16


@pytest.mark.parametrize(
    "options",
    [
        {"box": -1.0}, {"box": 0}, {"box": True}, {"box": (1, -1)}, {"box": (1, 2, 3)}, {"box": "wide"},
        {"box": ((0, 0, 0), 1)}, {"box": (0, np.inf)}, {"starts": 0}, {"starts": 1.5}, {"starts": [[1.0]]},
        {"starts": [[np.nan, 0.0]]}, {"step": 0.0}, {"step": -1}, {"step": "small"}, {"progress": 3},
    ],
    ids=str,
)  # fmt: skip
def test_bad_options_have_four_lines(options):
    with pytest.raises(sr.ProblemError) as caught:
        sr.equilibria(CIRCLE, **options)
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["What", "Got", "Expected", "Try"]


def test_it_reads_and_goes_on_as_plain_values():
    found = sr.equilibria(CIRCLE, starts=20)
    text = str(found)
    for words in ("2 components", "morse_bott", "(1, 1)", "covered", "isolated", "residual"):
        assert words in text
    assert "<table" in found._repr_html_()
    plain = found.to_dict()
    assert [one["betti"] for one in plain["components"]] == [(1, 1), (1,)]
    assert plain["components"][0]["charts"]["points"].shape[1] == 2
    assert plain["status"] == "SUCCESS"
