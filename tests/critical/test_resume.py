"""Law: a search that is ended anywhere and goes on is a search that was not ended; also from a file."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.errors import EquilibriumError, ProblemError
from subriem.core.status import Status
from subriem.critical import atlas, exploration, search
from subriem.critical.searchstate import SearchState
from tests.critical.potentials import ring

CIRCLE = sr.flows.potential(ring, 2, least=0.0)
#: The z-axis, and lines that leave it at z = ±2.
CHEN = sr.map(lambda q: [q[0] - q[1] * q[2] / 2, -q[1] + q[0] * q[2] / 2], 3)
PROBLEMS = {
    "circle and point": (CIRCLE, {"starts": 20}),
    "branches": (CHEN, {"starts": [[0.1, 0.1, 0.5], [1.0, 1.0, 1.0], [0.0, 0.0, -1.0]], "box": 3.0}),
    "halved": (sr.map(lambda x: [x[0] ** 2 + 8 * x[1] ** 2 - 1], 2), {"starts": 4}),
}


@pytest.fixture(scope="module")
def whole():
    """Each problem searched in one go."""
    return {name: sr.equilibria(problem, **options) for name, (problem, options) in PROBLEMS.items()}


def same(one, other):
    assert str(one) == str(other)
    assert one.runaways == other.runaways
    for mine, theirs in zip(one.components, other.components, strict=True):
        for name in ("points", "tangents", "cokernels", "determinants", "residuals", "h"):
            assert np.array_equal(getattr(mine.charts, name), getattr(theirs.charts, name))
        assert mine.starts == theirs.starts
    for mine, theirs in zip(one.crossings, other.crossings, strict=True):
        assert np.array_equal(mine.point, theirs.point)


def charts(found):
    return sum(len(one.charts) for one in found.components)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("circle and point", 1), ("circle and point", 7), ("circle and point", -1), ("halved", 1), ("halved", 10),
        ("branches", 35), ("branches", -1), pytest.param("branches", 1, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_ended_by_charts(name, steps, whole):
    problem, options = PROBLEMS[name]
    budget = sr.Budget(steps=steps if steps > 0 else charts(whole[name]) + steps)
    found, parts = sr.equilibria(problem, **options, budget=budget), 1
    assert found.status is Status.BUDGET_SPENT
    assert charts(found) <= budget.steps
    while found.status is Status.BUDGET_SPENT:
        before = charts(found)
        found, parts = found.resume(budget=budget), parts + 1
        assert charts(found) <= before + budget.steps
    assert parts >= charts(whole[name]) / budget.steps
    same(found, whole[name])


def test_the_spacing_is_not_halved_more_often_in_parts(monkeypatch):
    monkeypatch.setattr(atlas, "HALVINGS", 1)
    thin = sr.map(lambda x: [x[0] ** 2 + 100 * x[1] ** 2 - 1], 2)
    at_once = sr.equilibria(thin, starts=[[0.01, 0.1]])
    assert at_once.components[0].h == 0.05 * at_once.size
    found = sr.equilibria(thin, starts=[[0.01, 0.1]], budget=sr.Budget(steps=1))
    while found.status is Status.BUDGET_SPENT:
        found = found.resume(budget=sr.Budget(steps=1))
    same(found, at_once)


@pytest.mark.parametrize("evaluations", [1, 100])
def test_ended_by_evaluations(evaluations, whole):
    problem, options = PROBLEMS["circle and point"]
    found = sr.equilibria(problem, **options, budget=sr.Budget(evaluations=evaluations))
    assert found.status is Status.BUDGET_SPENT
    assert found.runaways["not followed"] > 0
    while found.status is Status.BUDGET_SPENT:
        found = found.resume(budget=sr.Budget(evaluations=evaluations))
    same(found, whole["circle and point"])
    assert found.evaluations == whole["circle and point"].evaluations


def test_cancelled(whole):
    token = sr.CancelToken()
    problem, options = PROBLEMS["circle and point"]
    found = sr.equilibria(problem, **options, cancel=token, progress=lambda done, _: done > 0.3 and token.cancel())
    assert found.status is Status.CANCELLED
    told = []
    same(found.resume(progress=lambda done, text: told.append((done, text))), whole["circle and point"])
    assert told == [(0.8, "start 16 of 20"), (1.0, "start 20 of 20")]


def test_what_ended_well_stays_as_it_is(whole):
    same(whole["branches"].resume(), whole["branches"])


def test_a_branch_point_on_what_is_not_covered_yet_is_told():
    problem, options = PROBLEMS["branches"]
    part = sr.equilibria(problem, **options, budget=sr.Budget(steps=19))
    assert part.components[0].status is Status.BUDGET_SPENT
    assert len(part.crossings) > 0
    assert len(part) == 1


def test_from_a_file(tmp_path, whole):
    problem, options = PROBLEMS["branches"]
    found = sr.equilibria(problem, **options, budget=sr.Budget(steps=25))
    while found.status is Status.BUDGET_SPENT:
        found = sr.io.load(sr.io.save(found, tmp_path / "part")).resume(problem, budget=sr.Budget(steps=25))
    same(found, whole["branches"])


class Failing:
    """A map that fails for good after some Jacobians."""

    capabilities = frozenset[str]()
    n_in, n_out = 3, 2

    def __init__(self, after: int) -> None:
        self.left = after

    def value(self, z):
        return CHEN.value(z)

    def jacobian(self, z):
        self.left -= 1
        if not self.left:
            raise RuntimeError("power failure")
        return CHEN.jacobian(z)

    def jvp(self, z, v):
        return CHEN.jvp(z, v)

    def vjp(self, z, w):
        return CHEN.vjp(z, w)


@pytest.mark.parametrize("after", [70, 400])
def test_a_killed_run_goes_on_from_its_checkpoint(after, tmp_path, whole, monkeypatch):
    monkeypatch.setattr(search, "PIECE", 2e-3)
    monkeypatch.setattr(exploration, "PIECE", 0.0)
    path = tmp_path / "search.npz"
    with pytest.raises(RuntimeError, match="power failure"):
        sr.equilibria(Failing(after), **PROBLEMS["branches"][1], checkpoint=path)
    state = sr.io.load(path)
    assert isinstance(state, SearchState)
    assert (state.followed > 0) == (after > 100)
    same(state.resume(CHEN, checkpoint=path), whole["branches"])
    assert sr.io.load(path).waiting.shape == (0, 3)


def test_a_checkpoint_that_cannot_be_written_is_told_before_the_run():
    with pytest.raises(ProblemError, match="cannot be written"):
        sr.equilibria(Failing(66), starts=4, checkpoint="/nowhere/at/all")
    with pytest.raises(ProblemError, match="no path"):
        sr.equilibria(CIRCLE, starts=4, checkpoint=3)


def test_the_problem_is_not_remembered_by_a_file_and_must_be_the_same(tmp_path, whole):
    found = sr.io.load(sr.io.save(whole["circle and point"], tmp_path / "circle"))
    for verb in (found.resume, found.connect, found.morse_bott):
        with pytest.raises(EquilibriumError, match="not known") as caught:
            verb()
        assert [line.split()[0] for line in str(caught.value).splitlines()] == ["What", "Got", "Expected", "Try"]
        with pytest.raises(ProblemError, match="2 unknowns, 2 equations"):
            verb(problem=CHEN)
        with pytest.raises(ProblemError, match="at one of them"):
            verb(problem=sr.flows.potential(lambda x: (ca.sumsqr(x) - 1.1) ** 2, 2))
    assert sorted(found.connect(problem=CIRCLE).edges) == [(1, 0)]
    assert str(found.morse_bott(problem=CIRCLE)) == "1 + t + t^2 = 1 + (1 + t)(t): holds"
