"""The Taylor method from raw equations: digits over the zoo, its dense output, backwards, unknowns not affine."""

import pickle

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.integration.explicit import explicit_face
from subriem.integration.reduced import ReducedSystem
from subriem.zoo.dae import digits, get

# At roundoff a problem is as exact as it is well conditioned: the car axis has a component near zero, T = 100 is long.
DIGITS = {
    "pendulum-10": 12, "pendulum-100": 10, "car-axis": 9, "slider-crank": 12, "sphere-plane": 12, "knife-edge": 12,
    "differentiator": 13, "akzo": 13, "jay": 13, "path-control": 13, "chain-6": 13, "pendulum-thrice": 12, "saddle": 13,
    "lift": 14,
}  # fmt: skip


def solved(name: str, **how):
    problem = get(name)
    return problem, sr.solve(problem.dae, problem.span, problem.at, method="taylor", rtol=1e-15, atol=1e-15, **how)


@pytest.mark.parametrize("name", DIGITS)
def test_digits_from_the_raw_equations(name):
    problem, sol = solved(name)
    assert sol.status is sr.Status.SUCCESS
    assert digits(problem, dict(sol.values(-1))) >= DIGITS[name]
    assert sol.drift.max() < 1e-12


def test_the_dense_output_is_as_exact_as_the_nodes():
    _, sol = solved("pendulum-10")
    assert len(sol.dense.stretches) < 20  # few stretches: the nodes only show what happens, the polynomials do the rest
    times = np.linspace(0.0, 10.0, 57)
    energy = (sol.at(times, "x'") ** 2 + sol.at(times, "y'") ** 2) / 2 + 9.81 * sol.at(times, "y")
    assert np.abs(energy).max() < 1e-11
    assert np.abs(pickle.loads(pickle.dumps(sol))(times) - sol(times)).max() == 0.0


def test_back_in_time():
    problem, there = solved("pendulum-1")
    end = {name: there[name][-1] for name in ("x", "x'", "y", "y'")}
    back = sr.solve(problem.dae, (1.0, 0.0), end, method="taylor", rtol=1e-15, atol=1e-15)
    assert abs(back["x"][-1] - 1) < 1e-13
    assert abs(back["y"][-1]) < 1e-11


@sr.dae(variables="x u")
def curved(t, v, d, p):
    return {"motion": d(v.x) - v.u, "law": v.u**3 + v.u - ca.cos(t)}


def test_unknowns_that_are_not_affine_become_states():
    red = sr.reduce(curved, {"x": 0.0})
    assert explicit_face(ReducedSystem(red)).extended
    fine = sr.solve(red, 3.0, method="taylor", rtol=1e-15, atol=1e-15)
    rough = sr.solve(red, 3.0, rtol=1e-10, atol=1e-12)
    assert abs(fine["u"][-1] ** 3 + fine["u"][-1] - np.cos(3.0)) < 1e-14
    assert abs(fine["x"][-1] - rough["x"][-1]) < 1e-8


def test_events_and_a_blow_up():
    bottom = sr.Event(lambda t, v: v.x, name="bottom")
    _, sol = solved("pendulum-1", events=bottom)
    assert abs(sol.t_events["bottom"][0] - 0.5919604868940593) < 1e-12  # K(1/2)/sqrt(9.81)

    @sr.dae(variables="x")
    def riccati(t, v, d, p):
        return {"law": d(v.x) - v.x**2}

    end = sr.solve(riccati, 3.0, {"x": 0.5}, method="taylor", rtol=1e-13)
    assert end.status is sr.Status.ESCAPED
    assert abs(end.t[-1] - 2.0) < 1e-6
