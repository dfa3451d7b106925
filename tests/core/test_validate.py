"""The checks at the door refuse with four labelled lines."""

import numpy as np
import pytest

from subriem.core.errors import ProblemError
from subriem.core.validate import positive, positive_integer, real_array, vector


def labels(error):
    return [line[:10].strip() for line in str(error).splitlines()]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1 + 2j], "complex128"),
        (np.array([1, None]), "dtype object"),
        (["a", "b"], "dtype <U1"),
        (None, "dtype object"),
        ({1.0, 2.0}, "dtype object"),
        ([[1.0], [1.0, 2.0]], "not an array"),
        ([], "empty"),
        (np.zeros((3, 0)), "empty"),
        ([1.0, np.nan, np.inf], "2 of 3; the first is q\\[1\\] = nan"),
        ([[1.0, -np.inf]], "the first is q\\[0, 1\\] = -inf"),
        (np.ma.array([1.0, 2.0], mask=[False, True]), "1 masked"),
        ([10**400], "dtype object"),
    ],
)
def test_real_array_refuses_and_says_why(value, words):
    with pytest.raises(ProblemError, match=words) as caught:
        real_array(value, "q")
    assert labels(caught.value) == ["What", "Got", "Expected", "Try"]
    assert caught.value.what.startswith("q ")
    assert all((caught.value.got, caught.value.expected, caught.value.try_))


def test_real_array_converts():
    for value in ([1, 2], (True, False), np.float32([1, 2]), np.array([[1.0, 2.0]]).T[:, 0]):
        array = real_array(value, "q", ndim=1)
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
    assert np.isnan(real_array([np.nan], "q", finite=False)).all()
    np.testing.assert_array_equal(real_array(np.ma.array([1.0, 2.0]), "q"), [1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: real_array([[1.0]], "q", ndim=1), "wrong number of axes"),
        (lambda: vector([1.0, 2.0], "q", 3), r"shape \(2,\)[\s\S]*shape \(3,\)"),
        (lambda: vector([[1.0, 2.0, 3.0]], "q", 3), "wrong number of axes"),
    ],
)
def test_shapes_are_checked(call, words):
    with pytest.raises(ProblemError, match=words):
        call()


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None, np.float64(2)])
def test_positive_integer_refuses(value):
    with pytest.raises(ProblemError, match="n is not a positive integer"):
        positive_integer(value, "n")


def test_positive_integer_takes_numpy_integers():
    made = positive_integer(np.int32(3), "n")
    assert (made, type(made)) == (3, int)


@pytest.mark.parametrize("value", [-1e-300, 0.0, np.nan, np.inf, True, "1", None, 1j])
def test_positive_refuses(value):
    with pytest.raises(ProblemError, match="q is not positive"):
        positive(value, "q")
    if value == 0.0:
        assert positive(value, "q", or_zero=True) == 0.0
    else:
        with pytest.raises(ProblemError, match="q is not a number >= 0"):
            positive(value, "q", or_zero=True)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2)])
def test_positive_takes_numbers_of_any_kind(value):
    made = positive(value, "q")
    assert (made, type(made)) == (2.0, float)
