"""Functions of SX as lists of operations: the same numbers come back, and nothing else gets in."""

import casadi as ca
import numpy as np
import pytest

from subriem.core.errors import ProblemError
from subriem.core.tape import _BINARY, _UNARY, OPERATIONS, put_together, take_apart

POINTS = [(0.3, 0.7), (-1.2, 2.5), (0.0, -3.0)]


def same(f, g, *arguments):
    np.testing.assert_array_equal([r.full() for r in f.call(arguments)], [r.full() for r in g.call(arguments)])


@pytest.mark.parametrize("name", [*_UNARY, *_BINARY])
def test_every_operation_comes_back(name):
    x, y = ca.SX.sym("x"), ca.SX.sym("y")
    code = getattr(ca, f"OP_{name}")
    if name == "CONSTPOW":
        y_given, f = 2.5, ca.Function("f", [x, y], [ca.SX.binary(code, x, ca.SX(2.5))])
        assert y_given
    else:
        f = ca.Function("f", [x, y], [ca.SX.binary(code, x, y) if name in _BINARY else ca.SX.unary(code, x)])
    assert code in [f.instruction_id(k) for k in range(f.n_instructions())]
    back = put_together(*take_apart(f))
    for point in POINTS:
        same(f, back, *point)


def test_columns_names_and_several_results_come_back():
    t, z = ca.SX.sym("t"), ca.SX.sym("z", 3)
    shared = ca.sin(z[1]) * t
    f = ca.Function("motion", [t, z], [ca.vertcat(shared, z[0] - shared, 4), shared**2], ["t", "z"], ["rate", "cost"])
    back = put_together(*take_apart(f))
    assert str(back) == str(f)
    assert back.n_instructions() == f.n_instructions()
    for k in range(3):
        values = f.call([0.1 * k, [1.0, k, 3.0]]), back.call([0.1 * k, [1.0, k, 3.0]])
        for mine, other in zip(*values, strict=True):
            np.testing.assert_array_equal(mine.full(), other.full())


def test_results_with_structural_zeros_and_empty_arguments():
    x, none = ca.SX.sym("x"), ca.SX(0, 1)
    f = ca.Function("f", [x, none], [ca.vertcat(ca.SX(1, 1), x)])
    assert not f.sparsity_out(0).is_dense()
    np.testing.assert_array_equal(put_together(*take_apart(f))(2.0, []).full(), [[0.0], [2.0]])


def test_what_is_no_list_of_operations_is_refused():
    x = ca.SX.sym("x")
    inner = ca.Function("inner", [x], [ca.sin(x)], {"never_inline": True})
    y = ca.MX.sym("y")
    matrix = ca.SX.sym("m", 2, 2)
    functions = (ca.Function("f", [x], [inner(x)]), ca.Function("f", [y], [y]), ca.Function("f", [matrix], [matrix]))
    for function in functions:
        with pytest.raises(ProblemError, match="cannot be stored"):
            take_apart(function)


@pytest.mark.parametrize(
    "damage",
    [
        lambda header, arrays: header.update(operations=["SYSTEM"]),
        lambda header, arrays: header.update(name="no name"),
        lambda header, arrays: arrays["steps"].__setitem__((2, 1), -2),
        lambda header, arrays: arrays["steps"].__setitem__((1, 1), 7),
        lambda header, arrays: arrays["steps"].__setitem__((1, 0), len(OPERATIONS)),
        lambda header, arrays: arrays.update(constants=arrays["constants"][1:]),
        lambda header, arrays: header.update(results=[["r", 2]]),
    ],
    ids=["operation", "name", "negative", "ahead", "number", "constants", "results"],
)
def test_damaged_parts_are_an_error(damage):
    x = ca.SX.sym("x")
    header, arrays = take_apart(ca.Function("f", [x], [ca.sin(x)]))
    damage(header, arrays)
    with pytest.raises((ValueError, LookupError, TypeError, RuntimeError, NotImplementedError)):
        put_together(header, arrays)
