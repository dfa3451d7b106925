"""Definitions of DAEs: what is understood, what is refused, and that they travel to other processes."""

import math
import pickle
import subprocess
import sys

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.errors import ProblemError


def residual(system, t, **jets):
    """Residuals with the derivatives given as x=(x, x', ...); columns by entries."""
    values = [jets[system.variables[j].replace("[", "").replace("]", "")][k] for j, k in system.places]
    return system.residual(t, np.array(values, dtype=float))


@sr.dae(variables="x y lam", parameters={"g": 9.81, "L": 1.0})
def pendulum(t, v, d, p):
    return {
        "horizontal": d(v.x, 2) + v.lam * v.x,
        "vertical": d(v.y, 2) + v.lam * v.y + p.g,
        "rod": v.x**2 + v.y**2 - p.L**2,
    }


# -- what is understood ----------------------------------------------------------------------------------------


def test_scalars():
    assert pendulum.variables == ("x", "y", "lam")
    assert pendulum.equations == ("horizontal", "vertical", "rod")
    assert pendulum.orders == (2, 2, 0)
    found = residual(pendulum, 0.0, x=(0.6, 1, 2), y=(-0.8, 1, 3), lam=(5,))
    np.testing.assert_allclose(found, [2 + 5 * 0.6, 3 - 5 * 0.8 + 9.81, 0.0], atol=1e-14)


def test_incidence_holds_the_orders():
    i, j, k = pendulum.incidence
    assert set(zip(i.tolist(), j.tolist(), k.tolist(), strict=True)) == {
        *[(0, 0, 2), (0, 0, 0), (0, 2, 0)],
        *[(1, 1, 2), (1, 1, 0), (1, 2, 0)],
        *[(2, 0, 0), (2, 1, 0)],
    }


@pytest.mark.parametrize("variables", ["x y", "x, y", ["x", "y"], ("x", "y"), {"x": None, "y": None}])
def test_ways_to_declare_variables(variables):
    system = sr.dae(variables=variables)(lambda t, v, d, p: {"a": d(v.x) + v["y"]})
    assert system.variables == ("x", "y")


def test_columns_and_array_parameters():
    K = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    @sr.dae(variables={"z": 2, "lam": 1}, parameters={"K": K, "b": [1.0, 2.0, 3.0]})
    def system(t, v, d, p):
        return [("con", p.K @ v.z - p.b), ("motion", d(v.z) + t * v.z), ("last", [v.lam[0] - v.z[1]])]

    assert system.variables == ("z[0]", "z[1]", "lam[0]")
    assert system.equations == ("con[0]", "con[1]", "con[2]", "motion[0]", "motion[1]", "last")
    assert system.entries("z") == [0, 1]
    assert system.entries("lam[0]") == [2]
    found = residual(system, 2.0, z0=(1, 5), z1=(-1, 7), lam0=(4,))
    np.testing.assert_allclose(found, [*(K @ [1, -1] - [1, 2, 3]), 5 + 2, 7 - 2, 5])
    changed = system.with_parameters(K=2 * K)
    np.testing.assert_allclose(
        residual(changed, 0.0, z0=(1, 0), z1=(-1, 0), lam0=(0,))[:3], 2 * K @ [1, -1] - [1, 2, 3]
    )
    np.testing.assert_array_equal(system.parameters["K"], K)


def test_inputs_as_functions():
    system = sr.dae(variables="x", inputs={"u": lambda t: ca.sin(2 * t)})(lambda t, v, d, p: {"a": d(v.x) - d(p.u)})
    assert residual(system, 0.3, x=(0, 0))[0] == pytest.approx(-2 * math.cos(0.6))
    assert system.breakpoints.size == 0


def test_inputs_as_tables_are_interpolated_and_constant_outside():
    table = ([0.0, 1.0, 3.0], [1.0, 3.0, -1.0])
    system = sr.dae(variables="x", inputs={"u": table})(lambda t, v, d, p: {"a": v.x - p.u, "b": d(v.x) - d(p.u)})
    times = np.array([-1.0, 0.0, 0.25, 1.0, 2.0, 3.0, 9.0])
    found = [residual(system, t, x=(0, 0)) for t in times]
    np.testing.assert_allclose([-f[0] for f in found], np.interp(times, *table))
    np.testing.assert_allclose([-f[1] for f in found], [0, 2, 2, -2, -2, 0, 0])
    np.testing.assert_array_equal(system.breakpoints, [0, 1, 3])


def test_inputs_in_pieces_are_continued_from_either_side():
    inputs = {"u": {0.0: 1.0, 1.0: lambda t: t**2, 2.0: -1.0}, "w": {0.5: 0.0, 1.5: 1.0}}
    system = sr.dae(variables="x y", inputs=inputs)(lambda t, v, d, p: {"a": v.x - p.u, "b": v.y - p.w})
    np.testing.assert_array_equal(system.breakpoints, [1, 1.5, 2])
    zero = np.zeros(2)
    for t, u, w in [(-1, 1, 0), (0.9, 1, 0), (1.0, 1, 0), (1.5, 2.25, 1), (2.0, -1, 1)]:
        np.testing.assert_allclose(-system.residual(t, zero), [u, w])
    # the data of the segment before a jump give the value from its own side
    np.testing.assert_allclose(-system.residual(2.0, zero, system.data(1.9)), [4, 1])


def test_more_and_fewer_equations_than_variables():
    over = sr.dae(variables="x")(lambda t, v, d, p: {"a": d(v.x), "b": v.x - 1})
    under = sr.dae(variables="x y")(lambda t, v, d, p: {"a": d(v.x) + v.y})
    assert (len(over.equations), len(under.equations)) == (2, 1)


def test_lists_and_arrays_of_expressions_are_columns():
    @sr.dae(variables={"z": 2, "y": None})
    def system(t, v, d, p):
        return {"lists": [v.z, v.y], "arrays": np.array([v.z[0], v.z[1]], dtype=object), "numbers": np.ones(2) * v.y}

    assert system.equations == tuple(
        f"{name}[{i}]" for name, n in (("lists", 3), ("arrays", 2), ("numbers", 2)) for i in range(n)
    )
    np.testing.assert_allclose(residual(system, 0.0, z0=(3,), z1=(5,), y=(7,)), [3, 5, 7, 3, 5, 7, 7])


def test_derivatives_of_expressions_and_lists():
    system = sr.dae(variables="x y")(lambda t, v, d, p: {"a": d([v.x * v.y, t * v.x]), "b": d(v.x, 0)})
    np.testing.assert_allclose(residual(system, 2.0, x=(3, 5), y=(7, 11)), [5 * 7 + 3 * 11, 3 + 2 * 5, 3])


# -- other ways to make one ------------------------------------------------------------------------------------


def test_from_casadi_is_the_system_written_by_hand():
    x, z, p, t = ca.SX.sym("x", 2), ca.SX.sym("z"), ca.SX.sym("k"), ca.SX.sym("t")
    given = {"x": x, "z": z, "p": p, "t": t, "ode": ca.vertcat(x[1], -p * x[0] + z), "alg": z - ca.sin(t) * x[0]}
    system = sr.DAE.from_casadi(given).with_parameters(k=3.0)

    @sr.dae(variables="x_0 x_1 z", parameters={"k": 3.0})
    def by_hand(t, v, d, p):
        return [
            ("x_0'", d(v.x_0) - v.x_1),
            ("x_1'", d(v.x_1) + p.k * v.x_0 - v.z),
            ("alg[0]", v.z - ca.sin(t) * v.x_0),
        ]

    assert system.variables == by_hand.variables
    assert system.equations == by_hand.equations
    assert system.places == by_hand.places
    Y = np.random.default_rng(0).standard_normal(len(system.places))
    np.testing.assert_allclose(system.residual(0.7, Y), by_hand.residual(0.7, Y), rtol=1e-14)


def test_from_casadi_renames_what_is_no_identifier():
    x = ca.vertcat(*(ca.SX.sym(name) for name in ("a b", "a b", "t", "1")))
    assert sr.DAE.from_casadi({"x": x, "ode": -x}).variables == ("a_b", "a_b_2", "v_t", "v_1")


@pytest.mark.parametrize("symbolic", [False, True])
def test_from_mass_matrix_is_the_system_written_by_hand(symbolic):
    M = np.array([[1.0, 2.0], [0.0, 0.0]])

    def mass(t, y, p):
        return [[1, 2], [0, 0 * t]]

    def f(t, y, p):
        return [-p.k * y[0], y[0] - ca.cos(t) * y[1]]

    system = sr.DAE.from_mass_matrix(mass if symbolic else M, f, variables={"y": 2}, parameters={"k": 2.0})

    @sr.dae(variables={"y": 2}, parameters={"k": 2.0})
    def by_hand(t, v, d, p):
        return {"row": [d(v.y)[0] + 2 * d(v.y)[1] + p.k * v.y[0], -(v.y[0] - ca.cos(t) * v.y[1])]}

    assert (system.variables, system.equations, system.places) == (by_hand.variables, by_hand.equations, by_hand.places)
    Y = np.arange(1.0, 5.0)
    np.testing.assert_allclose(system.residual(0.7, Y), by_hand.residual(0.7, Y), rtol=1e-14)


def test_pickles_give_the_same_numbers_in_another_process(tmp_path):
    path = tmp_path / "dae.pickle"
    inputs = {"u": ([0.0, 1.0], [0.3, 0.7]), "w": {0.0: 0.1, 2.0: ca.sin}}
    system = sr.dae(variables={"x": 2}, parameters={"a": 0.1}, inputs=inputs)(
        lambda t, v, d, p: {"e": d(v.x) + p.a * ca.exp(v.x) - p.u * t - p.w}
    )
    path.write_bytes(pickle.dumps(system))
    code = (
        "import pickle, sys, numpy as np; s = pickle.load(open(sys.argv[1], 'rb'));"
        "print(*(x.hex() for x in s.residual(2.5, np.array([.1, .2, .3, .4]))), repr(s))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    here = " ".join(x.hex() for x in system.residual(2.5, np.array([0.1, 0.2, 0.3, 0.4])))
    assert run.stdout.strip() == f"{here} {system!r}"


# -- what is refused -------------------------------------------------------------------------------------------


def refuses(message, make):
    """The error has four lines, each of which says something."""
    with pytest.raises(ProblemError, match=message) as caught:
        make()
    lines = str(caught.value).splitlines()
    assert [line.split(maxsplit=1)[0] for line in lines if not line.startswith(" ")] == [
        *("What", "Got", "Expected", "Try")
    ]
    assert all(part.strip() for part in caught.value.args[:4])


def ignorant(x):
    raise TypeError("loop of ufunc does not support argument 0 of type SX")


DEFINITIONS = {
    "an unknown variable": ("no variable of this name", lambda t, v, d, p: {"a": v.q}),
    "an unknown parameter": ("no parameter of this name", lambda t, v, d, p: {"a": p.q}),
    "==": ("relation", lambda t, v, d, p: {"a": v.x == v.y}),
    "<": ("relation", lambda t, v, d, p: {"a": v.x < v.y}),
    "not": ("relation", lambda t, v, d, p: {"a": v.x, "b": ca.logic_not(v.y)}),
    "and in a column": ("relation", lambda t, v, d, p: {"a": [v.x, ca.logic_and(v.y, v.x)]}),
    "a bool": ("relation", lambda t, v, d, p: {"a": v.x + v.y, "b": True}),
    "an unused variable": ("stands in no equation", lambda t, v, d, p: {"a": v.x}),
    "no equation": ("no equations", lambda t, v, d, p: {}),
    "nothing returned": ("no equations", lambda t, v, d, p: None),
    "a repeated equation": ("stands twice", lambda t, v, d, p: [("a", v.x), ("a", v.y)]),
    "a repeated scalar equation": ("stands twice", lambda t, v, d, p: [("a", [v.x, v.y]), ("a[0]", v.y)]),
    "an equation without name": ("no name", lambda t, v, d, p: [v.x, v.y]),
    "an equation with an empty name": ("no name", lambda t, v, d, p: {" ": v.x + v.y}),
    "MX": ("not a CasADi SX", lambda t, v, d, p: {"a": ca.MX.sym("x")}),
    "MX in a list": ("not a CasADi SX", lambda t, v, d, p: {"a": [v.x, v.y, ca.MX.sym("x")]}),
    "text": ("not a CasADi SX", lambda t, v, d, p: {"a": "x + y"}),
    "math.sin": ("not finite", lambda t, v, d, p: {"a": math.sin(v.x) + v.x + v.y}),
    "a constant NaN": ("not finite", lambda t, v, d, p: {"a": v.x + v.y, "b": math.nan}),
    "a branch": ("if_else", lambda t, v, d, p: {"a": v.x if v.x > 0 else v.y}),
    "a function that knows no SX": ("failed", lambda t, v, d, p: {"a": ignorant(v.x) + v.y}),
    "a function of two arguments": ("def .*t, v, d, p", lambda v, d: {"a": v.x}),
    "an undeclared symbol": ("not declared", lambda t, v, d, p: {"a": v.x + v.y + ca.SX.sym("k")}),
    "a matrix": ("not a column", lambda t, v, d, p: {"a": ca.SX.eye(2) * v.x + v.y}),
    "an empty equation": ("not a column", lambda t, v, d, p: {"a": ca.SX(0, 1), "b": v.x + v.y}),
    "a negative order": ("order", lambda t, v, d, p: {"a": d(v.x, -1) + v.y}),
    "an order that is a bool": ("order", lambda t, v, d, p: {"a": d(v.x, True) + v.y}),
    "d of MX": ("no SX expression", lambda t, v, d, p: {"a": d(ca.MX.sym("x")) + v.y}),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definition_is_refused(name):
    message, definition = DEFINITIONS[name]
    refuses(message, lambda: sr.dae(variables="x y", parameters={"g": 1.0})(definition))


DECLARATIONS = {
    "a repeated name": ("stands twice", {"variables": "x y x"}),
    "a reserved name": ("reserved", {"variables": "x t"}),
    "a keyword": ("lam", {"variables": "x lambda"}),
    "no identifier": ("Python identifier", {"variables": ["x", "2y"]}),
    "no variables": ("no variables", {"variables": ""}),
    "a number of variables": ("no variables", {"variables": 3}),
    "an empty vector": ("positive integer", {"variables": {"x": 0}}),
    "half an entry": ("positive integer", {"variables": {"x": 2.5}}),
    "a parameter with the name of a variable": ("stands twice", {"parameters": {"x": 1.0}}),
    "a NaN parameter": ("not finite", {"parameters": {"g": math.nan}}),
    "a complex parameter": ("real numbers", {"parameters": {"g": 1j}}),
    "a parameter with three axes": ("wrong shape", {"parameters": {"g": np.zeros((1, 1, 1))}}),
    "parameters without names": ("no mapping", {"parameters": [9.81]}),
    "inputs without names": ("no mapping", {"inputs": [ca.sin]}),
    "an input with the name of a parameter": ("stands twice", {"parameters": {"u": 1.0}, "inputs": {"u": ca.sin}}),
    "an input of a variable": ("function of t alone", {"inputs": {"u": lambda t: t + ca.SX.sym("x")}}),
    "an input of math": ("not finite", {"inputs": {"u": lambda t: math.sin(t)}}),
    "an input without argument": ("no expression in t", {"inputs": {"u": lambda: 1.0}}),
    "an input that branches": ("no expression in t", {"inputs": {"u": lambda t: 1.0 if t > 0 else 0.0}}),
    "a column as input": ("scalar function", {"inputs": {"u": lambda t: ca.vertcat(t, t)}}),
    "a number as input": ("not a function of time", {"inputs": {"u": 3.0}}),
    "an unsorted table": ("do not increase", {"inputs": {"u": ([0, 2, 1], [0, 1, 2])}}),
    "a table with a repeated time": ("do not increase", {"inputs": {"u": ([0, 1, 1], [0, 1, 2])}}),
    "a short table": ("does not fit", {"inputs": {"u": ([0.0, 1.0], [0.0])}}),
    "a table with NaN": ("not finite", {"inputs": {"u": ([0.0, 1.0], [0.0, math.nan])}}),
    "unsorted pieces": ("do not increase", {"inputs": {"u": {1.0: 0.0, 0.0: 1.0}}}),
    "a NaN piece": ("not finite", {"inputs": {"u": {0.0: math.nan}}}),
    "no pieces": ("empty", {"inputs": {"u": {}}}),
}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_declaration_is_refused(name):
    message, given = DECLARATIONS[name]
    options = {"variables": "x", **given}
    refuses(message, lambda: sr.dae(**options)(lambda t, v, d, p: {"a": v.x + sum(p[k] for k in p)}))


def test_the_decorator_refuses_what_is_no_function():
    refuses("decorates no function", lambda: sr.dae(variables="x")({"a": 1}))


@pytest.mark.parametrize(
    ("values", "message"),
    [({"h": 1.0}, "no parameter"), ({"g": [1.0, 2.0]}, "wrong shape"), ({"g": math.inf}, "not finite")],
)
def test_with_parameters_refuses(values, message):
    refuses(message, lambda: pendulum.with_parameters(**values))
    refuses(message, lambda: pendulum.data(0.0, values))


def test_unknown_entries_are_refused():
    refuses("no variable", lambda: pendulum.entries("z"))


X, Z = ca.SX.sym("x"), ca.SX.sym("z")
DICTIONARIES = {
    "no ode": ("dictionary", {"x": X}),
    "a strange key": ("dictionary", {"x": X, "ode": -X, "u": Z}),
    "no mapping": ("dictionary", [X, -X]),
    "MX": ("not a CasADi SX", {"x": ca.MX.sym("x"), "ode": ca.MX(0)}),
    "a short ode": ("do not fit", {"x": ca.SX.sym("x", 2), "ode": X}),
    "too many equations": ("do not fit", {"x": X, "z": Z, "ode": -X, "alg": ca.vertcat(X, Z)}),
    "a strange symbol": ("not declared", {"x": X, "ode": -Z}),
    "t that is x": ("distinct symbols", {"x": X, "t": X, "ode": -X}),
    "x that is an expression": ("distinct symbols", {"x": 2 * X, "ode": -X}),
}


@pytest.mark.parametrize("name", DICTIONARIES)
def test_from_casadi_refuses(name):
    message, given = DICTIONARIES[name]
    refuses(message, lambda: sr.DAE.from_casadi(given))


MASSES = {
    "f of another length": ("do not fit", np.eye(3), lambda t, y: y[:2], {}),
    "no function": ("not callable", np.eye(2), 3, {}),
    "a NaN": ("not finite", np.eye(2) * math.nan, lambda t, y: y, {}),
    "M as a function without variables": ("unknown", lambda t, y: ca.SX.eye(2), lambda t, y: y, {}),
    "M that is text": ("no matrix", lambda t, y: "M", lambda t, y: y, {"variables": "x"}),
    "f that fails": ("failed", np.eye(2), lambda t, y: ignorant(y), {}),
    "f that branches": ("if_else", np.eye(1), lambda t, y: y if y[0] > 0 else -y, {}),
}


@pytest.mark.parametrize("name", MASSES)
def test_from_mass_matrix_refuses(name):
    message, M, f, options = MASSES[name]
    refuses(message, lambda: sr.DAE.from_mass_matrix(M, f, **options))
