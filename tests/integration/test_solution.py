"""A solution: dense output between its points, what it is asked, how it reads."""

import numpy as np
import pytest

from subriem.core.errors import ProblemError
from subriem.core.result import Check
from subriem.core.status import Status
from subriem.integration.events import Occurrence
from subriem.integration.solution import DenseOutput, Solution


class Parabola:
    """y = (t^2, label): the label says which segment answered."""

    def __init__(self, t, h, label):
        self.t, self.h, self.label = t, h, label

    def __call__(self, t):
        return np.array([t**2, self.label])


T = np.array([0.0, 1.0, 3.0])
Y = np.array([[0.0, -1.0], [1.0, -1.0], [9.0, -1.0]])


def dense():
    return DenseOutput([Parabola(0.0, 1.0, 0), Parabola(1.0, 2.0, 1)], T, Y)


class Run(Solution):
    checks = (Check("drift", 1.0, 2.0, "m"),)


def solution(**changes):
    given = {
        "t": T,
        "y": Y,
        "channels": {"cost": np.array([3.0, 2.0, 1.0])},
        "dense": dense(),
        "events": tuple(Occurrence(n, t, Y[0], False) for n, t in (("a", 0.5), ("b", 0.7), ("a", 2.0))),
        "rank": np.array([2, -1, 2]),
        "status": Status.EVENT,
        "message": "a came",
        "stats": {"evaluations": 42},
    }
    return Run(**given | changes)


def test_dense_output_takes_the_right_segment_and_the_stored_points():
    path = dense()
    np.testing.assert_array_equal(path(0.5), [0.25, 0])
    np.testing.assert_array_equal(path(np.nextafter(1.0, 2)), [np.nextafter(1.0, 2) ** 2, 1])
    for t, y in zip(T, Y, strict=True):
        np.testing.assert_array_equal(path(t), y)
    np.testing.assert_array_equal(path([0.5, 1.0, 2.0]), [[0.25, 0], [1.0, -1], [4.0, 1]])
    assert path(np.array([[0.5, 1.0], [2.0, 3.0]])).shape == (2, 2, 2)
    assert path([]).shape == (0, 2)


def test_dense_output_returns_copies():
    path = dense()
    path(1.0)[:] = 99
    np.testing.assert_array_equal(path(1.0), Y[1])


def test_roundoff_beyond_the_ends_is_forgiven_and_nothing_else():
    path = dense()
    assert path(3.0 + 1e-13)[0] == pytest.approx(9.0)
    assert path(-1e-13)[0] == pytest.approx(0.0, abs=1e-12)
    for t in (3.0 + 1e-9, -1e-9, np.nan, np.inf, [0.5, 7.0, 8.0]):
        with pytest.raises(ProblemError, match=r"not known at this time[\s\S]*\[0, 3\]") as caught:
            path(t)
        assert len(str(caught.value).splitlines()) == 4
    with pytest.raises(ProblemError, match=r"t = 7\.0"):  # the first that is wrong
        path([0.5, 7.0, 8.0])
    with pytest.raises(ProblemError):
        path(np.linspace(0, 5, 1000))


def test_a_path_of_one_point():
    path = DenseOutput([], np.array([2.0]), np.array([[7.0]]))
    np.testing.assert_array_equal(path(2.0), [7.0])
    np.testing.assert_array_equal(path(2.0 + 1e-15), [7.0])


def test_solution_answers():
    sol = solution()
    assert sol.success
    assert not solution(status=Status.BUDGET_SPENT).success
    assert sol.nfev == 42
    np.testing.assert_array_equal(sol.grid, T)
    np.testing.assert_array_equal(sol["cost"], [3.0, 2.0, 1.0])
    assert {name: list(times) for name, times in sol.t_events.items()} == {"a": [0.5, 2.0], "b": [0.7]}
    np.testing.assert_array_equal(sol(0.5), [0.25, 0])
    assert str(sol) == "EVENT: a came\ndrift  1  <= 2.0e+00 ok  m"


def test_sample_stacks_a_function_of_the_points():
    sol = solution()
    np.testing.assert_array_equal(sol.sample(lambda y: y[0]), [0.0, 1.0, 9.0])
    np.testing.assert_array_equal(sol.sample(lambda y: y, 0.5), [[0.25, 0.0]])
    np.testing.assert_array_equal(sol.sample(lambda y: y[0], [0.5, 2.0]), [0.25, 4.0])


def test_unknown_quantity_lists_the_known_ones():
    with pytest.raises(ProblemError, match=r"'speed'[\s\S]*one of cost"):
        solution()["speed"]


def test_to_dict_has_arrays_and_plain_values():
    data = solution().to_dict()
    assert data["status"] == "EVENT"
    assert data["stats"] == {"evaluations": 42}
    np.testing.assert_array_equal(data["cost"], [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(data["rank"], [2, -1, 2])
