"""Dense output: to the tolerance, everywhere, in both directions, at breakpoints and resets; quadratures; pickling."""

import pickle

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.zoo.dae import get
from tests.integration.daes import HORIZONTAL, ball, pendulum, relaxation


@pytest.mark.parametrize("rtol", [1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("name", ["pendulum-10", "akzo", "slider-crank", "jay", "sphere-plane"])
def test_between_nodes_as_exact_as_at_nodes(name, rtol):
    problem = get(name)
    red = sr.reduce(problem.dae, problem.at)
    sol = sr.solve(red, problem.span, rtol=rtol, atol=rtol, t_eval=np.linspace(*problem.span, 13)[1:])
    tight = sr.solve(red, problem.span, rtol=1e-12, atol=1e-12)
    nodes = np.concatenate([s.nodes.t for s in sol.dense.stretches])
    between = np.random.default_rng(0).uniform(*problem.span, 97)
    at_nodes, inside = (np.abs(sol(t) - tight(t)).max() for t in (nodes, between))
    assert inside <= 3 * at_nodes + 10 * rtol


@pytest.mark.parametrize("k", [50.0, 1e5])
def test_closed_form_with_a_transient(k):
    sol = sr.solve(relaxation, 3.0, {"x": 2.0}, parameters={"k": k}, rtol=1e-9, atol=1e-9)
    t = np.concatenate([np.geomspace(1e-9, 1, 100), np.linspace(1, 3, 50)[1:]])
    x = np.cos(t) + np.exp(-k * t)
    assert np.abs(sol(t) - np.stack([x, x**2], axis=1)).max() < 3e-8
    assert np.abs(sol["y"] - (np.cos(sol.t) + np.exp(-k * sol.t)) ** 2).max() < 3e-8


def test_stiff_over_eleven_decades():
    problem = get("robertson")
    red = sr.reduce(problem.dae, problem.at)
    sol = sr.solve(red, problem.span, rtol=1e-8, atol=1e-15)
    assert sol.t.size < 20_000
    assert np.diff(np.log10(sol.t[1:])).max() < 1.5  # the grid itself shows each decade
    t = np.geomspace(1e-6, 1e11, 60)
    tight = sr.solve(red, problem.span, rtol=1e-11, atol=1e-17, t_eval=t)
    assert (np.abs(sol(t) - tight.y) <= 1e-6 * np.abs(tight.y) + 1e-14).all()


def test_wanted_times_are_those_of_the_dense_output():
    t = np.linspace(0.3, 2.0, 23)
    sol = sr.solve(pendulum, 2.0, HORIZONTAL, t_eval=t)
    assert (sol.t == t).all()
    assert sol.y == pytest.approx(sol(t), abs=1e-15)
    assert sol.at(0.7, "x'").shape == ()
    assert sol(t.reshape(23, 1)).shape == (23, 1, 3)
    assert np.array_equal(sol.sample(lambda s, v: v.x, t), sol.at(t, "x"))


def test_back_in_time():
    there = sr.solve(pendulum, 2.0, HORIZONTAL, rtol=1e-10, atol=1e-10)
    back = sr.solve(
        pendulum, (2.0, 0.0), {k: there.values()[k] for k in ("x", "y", "x'", "y'")}, rtol=1e-10, atol=1e-10
    )
    assert back.t[0] == 2.0
    assert (np.diff(back.t) < 0).all()
    t = np.linspace(0, 2, 31)
    assert np.abs(back(t) - there(t)).max() < 1e-7
    wanted = sr.solve(pendulum, (2.0, 0.0), there.values(), t_eval=t[::-1], rtol=1e-10, atol=1e-10)
    assert wanted.y == pytest.approx(there(t[::-1]), abs=1e-7)


@pytest.mark.parametrize("span", [(0.0, 3.0), (3.0, 0.0)])
def test_breakpoints_have_two_sides(span):
    @sr.dae(variables="x y", inputs={"u": {0.0: 1.0, 1.0: -2.0, 2.0: lambda t: t}})
    def switched(t, v, d, p):
        return {"rate": d(v.x) - p.u, "copy": v.y - p.u}

    start = {"x": 0.0} if span[0] == 0 else {"x": 1.5}  # 0 + 1 - 2 + 5/2
    sol = sr.solve(switched, span, start)
    sides = {sol.at(1.0, "y", before=before).item() for before in (True, False)}
    assert sides == {1.0, -2.0}
    assert sol.at(1.0, "y", before=span[0] == 0.0) == 1.0
    assert sol.at([0.5, 1.0, 2.0, 3.0], "x") == pytest.approx([0.5, 1.0, -1.0, 1.5], abs=1e-9)


def test_table_input():
    times, values = np.array([0.0, 0.5, 1.5]), np.array([0.0, 1.0, -1.0])

    @sr.dae(variables="x", inputs={"u": (times, values)})
    def driven(t, v, d, p):
        return {"rate": d(v.x) - p.u}

    sol = sr.solve(driven, 2.0, {"x": 0.0})
    assert sol["x"][-1] == pytest.approx(0.25 + 0.0 - 0.5, abs=1e-12)
    assert {0.5, 1.5} <= set(sol.t)


def test_quadratures():
    t = np.linspace(0, 1, 13)
    sol = sr.solve(
        pendulum, 1.0, HORIZONTAL, t_eval=t, quadratures=lambda t, v, d, p: {"xdx": v.x * d(v.x), "c": ca.cos(20 * t)}
    )
    assert sol["c"] == pytest.approx(np.sin(20 * t) / 20, abs=1e-9)
    assert sol["xdx"] == pytest.approx((sol["x"] ** 2 - 1) / 2, abs=1e-8)
    assert "c" in sol
    assert "x'" in sol
    assert "nothing" not in sol


def test_quadratures_of_inputs_and_parameters():
    inputs = {"u": {0.0: 0.0, 1.0: lambda t: 5 * t}, "w": ([0, 1, 2], [0, 1, 0]), "s": ca.sin}

    @sr.dae(variables="x", inputs=inputs, parameters={"A": [[1.0, 2.0], [3.0, 4.0]]})
    def driven(t, v, d, p):
        return {"motion": d(v.x) - p.u}

    sol = sr.solve(driven, 2.0, {"x": 0.0}, quadratures=lambda t, v, d, p: {"u": p.u, "w": p.w, "s": p.A[1, 0] * p.s})
    found = [sol[name][-1] for name in ("u", "w", "s")]
    assert found == pytest.approx([7.5, 1.0, 3 * (1 - np.cos(2))], abs=1e-12)


def test_without_states():
    @sr.dae(variables="x")
    def cubic(t, v, d, p):
        return {"root": v.x**3 + v.x - t}

    sol = sr.solve(cubic, 10.0)
    t = np.linspace(0, 10, 200)
    x = sol(t)[:, 0]
    assert np.abs(x**3 + x - t).max() < 1e-12


def test_after_a_reset():
    hit = sr.Event(lambda t, v: v.y, name="hit", direction=-1, reset=lambda t, v: {"v": -0.5 * v.v})
    sol = sr.solve(ball, 0.6, {"y": 1.0, "v": 0.0}, events=hit)
    t1 = sol.events[0].clock
    assert t1 == pytest.approx(np.sqrt(2 / 9.81), abs=1e-12)
    assert sol.at(t1, "v", before=True) == pytest.approx(-9.81 * t1)
    t = np.linspace(t1, 0.6, 9)
    speed = 0.5 * 9.81 * t1
    assert sol.at(t, "y") == pytest.approx(speed * (t - t1) - 9.81 * (t - t1) ** 2 / 2, abs=1e-9)


def test_pickle():
    sol = sr.solve(pendulum, 1.0, HORIZONTAL)
    copy = pickle.loads(pickle.dumps(sol))
    t = np.linspace(0, 1, 17)
    assert (copy(t) == sol(t)).all()
    assert copy.headline() == sol.headline()
    assert (copy["lam"] == sol["lam"]).all()


def test_outside_the_path():
    sol = sr.solve(pendulum, 1.0, HORIZONTAL)
    with pytest.raises(sr.ProblemError, match=r"t = 1\.5"):
        sol(1.5)
    with pytest.raises(sr.ProblemError, match="x'''"):
        sol["x'''"]


def test_as_a_dataset():
    pytest.importorskip("xarray")
    sol = sr.solve(pendulum, 1.0, HORIZONTAL, t_eval=np.linspace(0, 1, 5))
    found = sr.io.to_xarray(sol)
    assert (found["x'"].values == sol["x'"]).all()
    assert found["x'"].dims == ("t",)
    assert found.attrs["status"] == "SUCCESS"
