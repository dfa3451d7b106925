"""`solve` from the raw text of a problem, beside CasADi called by hand on the form derived by hand."""

from __future__ import annotations

import time
from typing import Any

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.integration.reduced import ReducedSystem
from subriem.zoo.dae import digits, get
from tests.benchmarks.conftest import Measure

pytestmark = pytest.mark.benchmark(timer=time.process_time)
COMPILED = {"jit": True, "compiler": "shell", "jit_options": {"compiler": "gcc", "flags": ["-O2"]}}


def achieved(name: str, values: Any) -> float:
    reference = get(name).reference
    assert reference is not None
    known = {key: values[key] for key in reference}
    return digits(get(name), known, names=known)


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-9])
def test_pendulum_by_hand(measure: Measure, rtol: float) -> None:
    state, lam = ca.SX.sym("state", 4), ca.SX.sym("lam")
    x, y, u, v = ca.vertsplit(state)
    motion = ca.vertcat(u, v, -lam * x, -lam * y - 9.81)
    problem = {"x": state, "z": lam, "ode": motion, "alg": u * u + v * v - lam - 9.81 * y}
    options = {"reltol": rtol, "abstol": rtol, "max_num_steps": 100_000}
    integrator = ca.integrator("hand", "rosenbrock", problem, 0, 10, options)
    found = measure("pendulum, T = 10", "by hand", lambda: integrator(x0=[1, 0, 0, 0], z0=0), rounds=5)
    values = dict(zip(("x", "y", "x'", "y'"), np.asarray(found["xf"]).ravel(), strict=True))
    measure.row |= {"rtol": rtol, "digits": achieved("pendulum-10", values | {"lam": float(found["zf"])})}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("rtol", [1e-6, 1e-7, 1e-8])
def test_pendulum(measure: Measure, rtol: float, jit: bool) -> None:
    red = sr.reduce(get("pendulum-10").dae, get("pendulum-10").at)
    options: dict[str, Any] = {"rtol": rtol, "atol": rtol, "t_eval": [10.0], "jit": jit}
    sol = measure("pendulum, T = 10", f"solve, jit={jit}", lambda: sr.solve(red, 10.0, **options), rounds=5)
    found = achieved("pendulum-10", sol.values())
    measure.row |= {"rtol": rtol, "digits": found}
    assert found >= -np.log10(rtol) - 2  # by hand: -3


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize(("name", "atol"), [("akzo", 1e-8), ("robertson", 1e-15)])
def test_stiff(measure: Measure, name: str, atol: float, by_hand: bool) -> None:
    problem = get(name)
    red, end = sr.reduce(problem.dae, problem.at), problem.span[1]
    if not by_hand:
        options: dict[str, Any] = {"rtol": 1e-8, "atol": atol, "t_eval": [end], "jit": True}
        sol = measure(name, "solve, jit=True", lambda: sr.solve(red, end, **options), rounds=5)
        measure.row["digits"] = achieved(name, sol.values())
        return
    system, q = ReducedSystem(red), red.dae.data(0.0)
    t, x, a, _ = (ca.SX.sym(key, system.rates.numel_in(i)) for i, key in enumerate("txaq"))
    text = {"x": x, "z": a, "t": t, "ode": system.rates(t, x, a, q), "alg": system.algebraic(t, x, a, q)}
    settings = {"reltol": 1e-8, "abstol": atol, "max_num_steps": 100_000, **COMPILED}
    integrator = ca.integrator("hand", "rosenbrock", text, 0, end, settings)
    z0 = red.consistent.values(red.system.state_columns)
    a0 = red.consistent.values(red.system.top_columns)[list(system.faces.kept)]
    measure(name, "by hand, jit", lambda: integrator(x0=z0, z0=a0), rounds=5)


@pytest.mark.parametrize("name", ["pendulum-10", "pendulum-100", "car-axis"])
def test_taylor(measure: Measure, name: str) -> None:
    red, end = sr.reduce(get(name).dae, get(name).at), get(name).span[1]
    options: dict[str, Any] = {"rtol": 1e-15, "atol": 1e-15, "t_eval": [end], "method": "taylor"}
    sol = measure(f"{name}, taylor", "solve", lambda: sr.solve(red, end, **options), rounds=20)
    measure.row["digits"] = achieved(name, sol.values())
    assert measure.row["digits"] >= {"pendulum-10": 12, "pendulum-100": 10, "car-axis": 9}[name]


def test_fekete(measure: Measure) -> None:
    red = sr.reduce(get("fekete").dae, get("fekete").at)
    options: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-8, "t_eval": [1000.0]}
    sol = measure("fekete, T = 1000", "solve", lambda: sr.solve(red, 1000.0, **options), rounds=3)
    measure.row["digits"] = achieved("fekete", sol.values())
    assert measure.row["digits"] >= 9
    assert sol.stats["pieces"] == 1


def test_overhead_over_the_call_by_hand() -> None:
    """What `solve` adds to one call of the engine, on a path of hundreds of steps: a bound for a noisy machine."""
    problem = get("transistor")
    red, end = sr.reduce(problem.dae, problem.at), problem.span[1]
    system, q = ReducedSystem(red, 10.0 / end), red.dae.data(0.0)
    t, x, a, _ = (ca.SX.sym(key, system.rates.numel_in(i)) for i, key in enumerate("txaq"))
    text = {"x": x, "z": a, "t": t, "ode": system.rates(t, x, a, q), "alg": system.algebraic(t, x, a, q)}
    settings = {"reltol": 1e-8, "abstol": 1e-8, "max_num_steps": 100_000}
    integrator = ca.integrator("hand", "rosenbrock", text, 0, end, settings)
    z0 = red.consistent.values(red.system.state_columns)
    a0 = red.consistent.values(red.system.top_columns)[list(system.faces.kept)]
    runs = (
        lambda: integrator(x0=z0, z0=a0),
        lambda: sr.solve(red, end, rtol=1e-8, atol=1e-8, t_eval=[end]),
    )
    hand, solve = (min(_seconds(run) for _ in range(4)) for run in runs)
    assert solve < 2 * hand


def _seconds(run: Any) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started
