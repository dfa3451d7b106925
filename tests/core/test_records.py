"""Records: what is taken apart comes back of the same types, and only named classes do."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import casadi as ca
import numpy as np
import pytest

from subriem.core.errors import ProblemError
from subriem.core.records import INLINE, Records
from subriem.core.store import read, write


class Colour(StrEnum):
    RED = "a warm one"


@dataclass(frozen=True, eq=False)
class Leaf:
    values: Any
    note: str = "as before"


@dataclass(frozen=True, eq=False)
class Tree:
    leaves: tuple[Any, ...]
    more: Any = field(default_factory=dict)


RECORDS = Records([Leaf, Tree, Colour])


def through_a_file(value, folder):
    """Return a value as a file brings it back."""
    return RECORDS.put_together(*read(write(folder / "x", "test", *RECORDS.take_apart(value)))[1:])


def test_types_and_values_come_back(tmp_path):
    given = {
        "plain": (None, True, 3, -0.0, float("inf"), "text", [1, (2,)]),
        (1, 2): {7: np.arange(INLINE + 3), "7": np.arange(INLINE + 1), 7.5: np.arange(INLINE + 2)},
        "arrays": (np.zeros((0, 3)), np.array(2.5), np.array([True, False]), np.array([1, 2]), np.eye(5)),
        "complex": (np.array([1 + 2j, complex(np.nan, -0.0)]), np.zeros((0, 3), dtype=complex), np.eye(9)[::2].T + 1j),
        "scalars": (np.float64(1.5), np.int64(2)),
        "choice": Colour.RED,
        "tree": Tree((Leaf(np.array([np.nan, -np.inf, 0.1])), Leaf(1, "new"))),
    }
    found = through_a_file(given, tmp_path)
    assert list(found) == list(given)
    assert found["plain"] == given["plain"]
    assert np.signbit(found["plain"][3])
    assert list(found[1, 2]) == [7, "7", 7.5]
    np.testing.assert_array_equal(found[1, 2][7], given[1, 2][7])
    np.testing.assert_array_equal(found[1, 2]["7"], given[1, 2]["7"])
    np.testing.assert_array_equal(found[1, 2][7.5], given[1, 2][7.5])
    for mine, other in zip(found["arrays"] + found["complex"], given["arrays"] + given["complex"], strict=True):
        np.testing.assert_array_equal(mine, other, strict=True)
    assert found["choice"] is Colour.RED
    first, second = found["tree"].leaves
    np.testing.assert_array_equal(first.values, given["tree"].leaves[0].values)
    assert (second.values, second.note) == (1, "new")


def test_what_is_met_twice_is_one_object_again(tmp_path):
    leaf, array = Leaf(1), np.arange(100)
    found = through_a_file({"a": (leaf, array), "b": Tree((leaf, array))}, tmp_path)
    assert found["b"].leaves[0] is found["a"][0]
    assert found["b"].leaves[1] is found["a"][1]
    assert len(RECORDS.take_apart({"a": array, "b": (array, [array])})[1]) == 1


def test_functions_come_back(tmp_path):
    x = ca.SX.sym("x")
    found = through_a_file({"f": ca.Function("f", [x], [ca.sin(x) / 3])}, tmp_path)
    assert float(found["f"](0.7)) == float(ca.Function("f", [x], [ca.sin(x) / 3])(0.7))


def test_a_field_that_a_file_does_not_have_is_at_its_default():
    header, arrays = RECORDS.take_apart(Leaf(1, "new"))
    del header["value"]["of"]["note"]
    assert RECORDS.put_together(header, arrays).note == "as before"


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), np.array(["a"]), lambda: 1, 1j])
def test_what_is_no_value_is_refused(value):
    with pytest.raises(TypeError, match="a file cannot hold"):
        RECORDS.take_apart({"here": (1, value)})
    with pytest.raises(ProblemError, match="cannot be stored"):
        RECORDS.take_apart(ca.Function("f", [y := ca.MX.sym("y")], [y]))


def test_another_class_of_the_same_name_is_refused():
    other = dataclass(type("Leaf", (), {"__annotations__": {"values": int}}))
    with pytest.raises(TypeError, match="Leaf"):
        RECORDS.take_apart(other(1))


@pytest.mark.parametrize(
    "value",
    [
        {"record": "Popen", "of": {"args": "true"}},
        {"record": "Leaf", "of": {"values": 1, "command": "true"}},
        {"record": "Leaf"},
        {"choice": "Leaf", "of": "values"},
        {"choice": "Colour", "of": "mro"},
        {"same": 3},
        {"array": "missing"},
        {"numbers": [1], "dtype": "O", "shape": [1]},
        {"numbers": [1, 2], "dtype": "<f8", "shape": [3]},
        {"unknown": 1},
    ],
    ids=json.dumps,
)
def test_a_header_made_by_others_is_an_error(value):
    with pytest.raises((ValueError, LookupError, TypeError)):
        RECORDS.put_together({"value": value}, {})
