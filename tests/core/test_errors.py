"""Errors: four lines, pickling, what they carry."""

import copy
import pickle

import pytest

from subriem.core import errors
from subriem.core.errors import MissingExtraError, ProblemError, SolveError, SubriemError, optional_import

CLASSES = sorted(
    (c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SubriemError)), key=lambda c: c.__name__
)
LINES = ("the step is negative", "h = -1", "h > 0", "swap the ends")


@pytest.mark.parametrize("kind", CLASSES)
def test_message_has_four_lines(kind):
    assert str(kind(*LINES)) == (
        "What      the step is negative\nGot       h = -1\nExpected  h > 0\nTry       swap the ends"
    )


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_survive_the_way_from_a_worker(kind):
    for other in (pickle.loads(pickle.dumps(kind(*LINES))), copy.copy(kind(*LINES))):
        assert type(other) is kind
        assert str(other) == str(kind(*LINES))
        assert (other.what, other.got, other.expected, other.try_) == LINES


@pytest.mark.parametrize(
    ("kind", "builtin"), [(ProblemError, ValueError), (SolveError, RuntimeError), (MissingExtraError, ImportError)]
)
def test_errors_are_caught_as_the_builtin_ones(kind, builtin):
    assert issubclass(kind, builtin)


def test_solve_error_carries_the_partial_result():
    error = SolveError(*LINES, solution={"t": [0.0, 1.0]})
    assert error.solution == {"t": [0.0, 1.0]}
    assert pickle.loads(pickle.dumps(error)).solution == {"t": [0.0, 1.0]}
    assert SolveError(*LINES).solution is None


def test_missing_extra_names_the_extra_and_keeps_the_cause():
    with pytest.raises(MissingExtraError, match=r'pip install "subriem\[plot\]"') as caught:
        optional_import("no_such_package_anywhere", "plot")
    assert "no_such_package_anywhere" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_installed_package_is_returned():
    assert optional_import("json", "io").dumps([1]) == "[1]"
