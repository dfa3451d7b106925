"""DAEs, reductions and their solutions as files: what comes back is the same, bit by bit, and needs no engine."""

import pickle
import subprocess
import sys
from dataclasses import fields, replace

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem import io
from subriem.core import store
from subriem.core.errors import ProblemError
from subriem.integration.casadi_engines import Rosenbrock
from subriem.plot import drift_figure, incidence_figure
from subriem.zoo.dae import get
from tests.face.test_io import edited, refused
from tests.integration.daes import HORIZONTAL, ball, crank, crank_start, pendulum, relaxation


def problem(name, **how):
    known = get(name)
    return sr.solve(known.dae, known.span, known.at, throw=False, **how)


@sr.dae(variables={"z": 2}, parameters={"k": [1.0, 2.0], "M": [[1.0, 0.0], [0.5, 1.0]]}, inputs={"u": ([0, 1], [0, 3])})
def driven(t, v, d, p):
    return {"motion": p.M @ d(v.z) + p.k * v.z - p.u}


def bounce():
    event = sr.Event(lambda t, v: v.y, name="ground", direction=-1, reset=lambda t, v: {"v": -0.8 * v.v})
    return sr.solve(ball, 1.5, {"y": 1.0, "v": 0.0}, events=event)


CASES = {
    "interpolated": lambda: sr.solve(pendulum, 1.0, HORIZONTAL),
    "integrated again": lambda: sr.solve(relaxation, 2.0, {"x": 2.0}, parameters={"k": 1e5}, rtol=1e-6),
    "back in time": lambda: sr.solve(pendulum, (1.0, -1.0), HORIZONTAL),
    "taylor": lambda: sr.solve(pendulum, 3.0, HORIZONTAL, method="taylor"),
    "taylor back": lambda: sr.solve(pendulum, (0.0, -3.0), HORIZONTAL, method="taylor"),
    "idas": lambda: sr.solve(pendulum, 0.5, HORIZONTAL, method="idas", rtol=1e-6),
    "times asked for": lambda: sr.solve(pendulum, 1.0, HORIZONTAL, t_eval=[0.0, 0.3, 1.0], rtol=1e-5),
    "quadratures": lambda: sr.solve(pendulum, 1.0, HORIZONTAL, quadratures=lambda t, v, d, p: {"height": v.y * p.g}),
    "breakpoints and vectors": lambda: sr.solve(driven, 2.0, {"z": [1.0, 0.0]}),
    "resets": bounce,
    "hidden": lambda: problem("pair"),
    "redundant, open": lambda: problem("pendulum-twice", rtol=1e-6),
    "no states": lambda: problem("differentiator"),
    "rank changed": lambda: sr.solve(crank, 2.0, crank_start(), throw=False),
    "inconsistent": lambda: problem("late-conflict"),
    "not projected": lambda: sr.solve(pendulum, 1.0, HORIZONTAL, project=False, baumgarte=0.0),
    "ended before it moved": lambda: sr.solve(pendulum, 1.0, HORIZONTAL, budget=sr.Budget(steps=0)),
}


def assert_same_value(mine, other, path=""):
    """Every field of two results agrees, bit by bit."""
    assert type(mine) is type(other), path
    if isinstance(mine, np.ndarray):
        np.testing.assert_array_equal(mine, other, err_msg=path, strict=True)
    elif isinstance(mine, ca.Function):
        assert str(mine) == str(other), path
    elif isinstance(mine, dict):
        assert list(mine) == list(other), path
        for key in mine:
            assert_same_value(mine[key], other[key], f"{path}[{key!r}]")
    elif isinstance(mine, tuple | list):
        assert len(mine) == len(other), path
        for k, pair in enumerate(zip(mine, other, strict=True)):
            assert_same_value(*pair, f"{path}[{k}]")
    elif hasattr(mine, "__dataclass_fields__"):
        for entry in fields(mine):
            if entry.name != "dense":
                assert_same_value(getattr(mine, entry.name), getattr(other, entry.name), f"{path}.{entry.name}")
    else:
        np.testing.assert_equal(mine, other, err_msg=path)


@pytest.fixture(scope="module", params=CASES, ids=str)
def pair(request, tmp_path_factory):
    sol = CASES[request.param]()
    return io.load(io.save(sol, tmp_path_factory.mktemp("io") / "run")), sol


def times(sol):
    """Return the nodes and times between them."""
    end = sol.dense.end
    return np.concatenate([sol.t, np.linspace(sol.dense.stretches[0].nodes.t[0], end, 301)])


def test_every_field_comes_back(pair):
    loaded, sol = pair
    assert_same_value(loaded, sol)
    assert str(loaded) == str(sol)
    assert str(loaded.reduction) == str(sol.reduction)
    for name in sol.reduction.dae.variables:
        np.testing.assert_array_equal(loaded[name], sol[name])
    assert (loaded.reduction.combined is loaded.reduction.dae) == (sol.reduction.combined is sol.reduction.dae)


def test_it_is_the_same_path_between_the_nodes(pair):
    loaded, sol = pair
    where = times(sol)
    np.testing.assert_array_equal(loaded(where), sol(where))
    for before in (False, True):
        np.testing.assert_array_equal(loaded.dense.jets(where, before=before), sol.dense.jets(where, before=before))
    np.testing.assert_array_equal(loaded.dense.quadratures(where), sol.dense.quadratures(where))


def test_the_path_that_is_read_needs_no_engine(pair, monkeypatch):
    loaded, sol = pair
    motion = loaded.dense.stretches[0].motion
    loaded(times(sol))
    assert "engine" not in motion.__dict__


def test_an_interval_that_could_not_be_integrated_again_stays_interpolated(tmp_path):
    sol = CASES["integrated again"]()
    (stretch, interval), *_ = [(s, i) for s in sol.dense.stretches for i in s.refined if s.refined[i] is not None]
    middle = [stretch.nodes.t[interval : interval + 2].mean()]
    before = sol(middle)
    stretch.refined[interval] = None
    assert (sol(middle) != before).any()
    np.testing.assert_array_equal(io.load(io.save(sol, tmp_path / "run"))(middle), sol(middle))


def test_the_picture_is_the_same(tmp_path):
    sol = bounce()
    loaded = io.load(io.save(sol, tmp_path / "run"))
    for mine, other in zip(drift_figure(loaded).axes, drift_figure(sol).axes, strict=True):
        for line, known in zip(mine.lines, other.lines, strict=True):
            np.testing.assert_array_equal(line.get_xydata(), known.get_xydata())
    assert len(incidence_figure(loaded.reduction.structure).axes) == 1


def test_a_loaded_solution_is_saved_again_to_the_same_bytes(tmp_path):
    first = io.save(CASES["integrated again"](), tmp_path / "a")
    second = io.save(io.load(first), tmp_path / "b")
    with np.load(first) as one, np.load(second) as two:
        assert one.files == two.files
        assert all(one[name].tobytes() == two[name].tobytes() for name in one.files)


@pytest.mark.parametrize("name", ["pendulum-twice", "pair", "transistor", "switched"])
def test_a_dae_and_its_reduction_come_back_and_solve_alike(name, tmp_path):
    known = get(name)
    red = sr.reduce(known.dae, known.at, t=known.span[0])
    system = io.load(io.save(known.dae, tmp_path / "dae"))
    loaded = io.load(io.save(red, tmp_path / "reduction"))
    assert_same_value(system, known.dae)
    assert_same_value(loaded, red)
    assert str(loaded) == str(red)
    end = known.span[0] + 0.1 * (known.span[1] - known.span[0])
    sol = sr.solve(red, (known.span[0], end))
    for problem in (loaded, system):
        at = None if problem is loaded else known.at
        again = sr.solve(problem, (known.span[0], end), at)
        np.testing.assert_array_equal(again.jets, sol.jets)


def test_it_is_read_in_another_process(tmp_path):
    sol = sr.solve(pendulum, 1.0, HORIZONTAL)
    path = io.save(sol, tmp_path / "run.npz")
    code = (
        "import sys, numpy as np, subriem as sr; print(sr.io.load(sys.argv[1])(np.linspace(0, 1, 99)).tobytes().hex())"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert bytes.fromhex(run.stdout.strip()) == sol(np.linspace(0, 1, 99)).tobytes()


# --- what is refused ------------------------------------------------------------------------------------------------


class Mine(Rosenbrock):
    """An integrator of a user."""


def test_what_cannot_be_stored_is_said(tmp_path):
    sol = sr.solve(pendulum, 0.1, HORIZONTAL, method=Mine())
    with pytest.raises(ProblemError, match="integrator of your own"):
        io.save(sol, tmp_path / "x")
    with pytest.raises(ProblemError, match=r"solution/stats/engine is a object"):
        io.save(replace(sr.solve(pendulum, 0.1, HORIZONTAL), stats={"engine": object()}), tmp_path / "x")
    x = ca.SX.sym("x")
    inner = ca.Function("inner", [x], [ca.sin(x)], {"never_inline": True})

    @sr.dae(variables="x")
    def calling(t, v, d, p):
        return {"motion": d(v.x) - inner(v.x)}

    with pytest.raises(ProblemError, match="cannot be stored"):
        io.save(calling, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(tmp_path):
    return io.save(sr.solve(pendulum, 0.2, HORIZONTAL), tmp_path / "run.npz")


def test_unknown_versions_and_kinds(saved):
    for version in (0, store.VERSION + 1):
        edited(saved, lambda head, arrays, version=version: head.update(version=version))
        assert "format" in refused(saved)
    edited(saved, lambda head, arrays: head.update(version=store.VERSION, kind="reduction"))
    assert "incomplete" in refused(saved)


def root(head):
    return head["data"]["value"]["mapping"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda head, arrays: arrays.pop("path/x"),
        lambda head, arrays: arrays.update({"path/x": arrays["path/x"][:, :1]}),
        lambda head, arrays: arrays.update({"path/t": arrays["path/t"][:5]}),
        lambda head, arrays: arrays.update({"solution/reduction/dae/function/steps": np.full((40, 3), 99)}),
        lambda head, arrays: root(head).pop(),
        lambda head, arrays: head["data"].clear(),
        lambda head, arrays: root(head)[1][1]["mapping"][2].append("x"),
    ],
    ids=["array", "columns", "rows", "operations", "part", "everything", "pair"],
)
def test_damaged_files_are_refused(saved, damage):
    edited(saved, damage)
    assert "incomplete" in refused(saved)


def test_a_file_holds_no_pickle_and_no_code_of_casadi(saved):
    with np.load(saved, allow_pickle=False) as archive:
        contents = {name: archive[name] for name in archive.files}
    head = contents["__header__"].tobytes().decode()
    assert all(array.dtype.kind in "fiub" for array in contents.values())
    assert "SXFunction" not in head
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(saved.read_bytes())
