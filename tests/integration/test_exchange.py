"""Redundant equations whose independent rows change along the path: the motion goes on, on others of them."""

from __future__ import annotations

import pickle

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.integration.casadi_engines import Rosenbrock
from subriem.integration.events import Event
from subriem.integration.integrator import Options
from subriem.integration.motion import Motion
from subriem.integration.reduced import ReducedSystem

ENGINES = ["rosenbrock", "taylor"]
PRECISE = {"rtol": 1e-9, "atol": 1e-11}
GRAVITY = 2.0


def sphere(rows: int, gravity: float = 0.0) -> sr.DAE:
    """A particle on the unit sphere h = 0, which is stated as x h = 0, y h = 0, …, or once as h = 0 for no rows."""

    @sr.dae(variables={"x": 3, "mu": max(rows, 1)})
    def particle(t, v, d, p):
        h = ca.sumsqr(v.x) - 1
        on = v.x[:rows] * h if rows else h
        weight = ca.DM([0.0, 0.0, gravity])
        return {"move": d(v.x, 2) + weight + ca.jtimes(on, v.x, v.mu, True), "on": on}

    return particle


def circle(t: np.ndarray, start: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """The great circle on which the particle moves without gravity."""
    rate = np.linalg.norm(speed)
    return np.cos(rate * t)[:, None] * start + np.sin(rate * t)[:, None] * speed / rate


START = np.array([0.48, 0.64, -0.6])
SPEED = np.cross([0.3, 1.0, 0.4], START)


@pytest.mark.parametrize("method", ENGINES)
def test_no_row_carries_the_whole_great_circle(method):
    """Each of x h, y h, z h has no gradient somewhere on the circle."""
    t = np.linspace(0.0, 6.0, 25)
    sol = sr.solve(sphere(3), 6.0, {"x": START, "x'": SPEED}, method=method, t_eval=t, **PRECISE)
    exact = circle(t, START, SPEED)
    assert (np.sign(exact).min(axis=0) < np.sign(exact).max(axis=0)).all()
    assert np.abs(sol["x"] - exact).max() < 1e-8
    assert np.abs(np.sum(sol["x'"] ** 2, axis=1) - np.sum(SPEED**2)).max() < 1e-9
    # -x'' = |x'|^2 x = 2 (mu . x) x; of least norm is the mu along x
    assert np.abs(sol["mu"] - sol["x"] * np.sum(SPEED**2) / 2).max() < 1e-8
    assert sol.stats["exchanges"]
    assert set(sol.rank[sol.rank >= 0]) == {4}
    assert sol.drift[-1] < 1e-8
    assert (sol.reduction.redundant, sol.reduction.degrees_of_freedom) == (("on[1]", "on[2]"), 4)


@pytest.mark.parametrize("method", ENGINES)
def test_a_spherical_pendulum_stated_thrice_moves_as_stated_once(method):
    at, t = {"x": START, "x'": SPEED}, np.linspace(0.0, 5.0, 11)
    once = sr.solve(sphere(0, GRAVITY), 5.0, at, t_eval=t, **PRECISE)
    thrice = sr.solve(sphere(3, GRAVITY), 5.0, at, method=method, t_eval=t, **PRECISE)
    energy = np.sum(thrice["x'"] ** 2, axis=1) / 2 + GRAVITY * thrice["x"][:, 2]
    assert np.abs(thrice["x"] - once["x"]).max() < 1e-8
    assert np.abs(energy - energy[0]).max() < 1e-8
    assert thrice.stats["exchanges"]
    assert "exchanges" not in once.stats


def test_a_rank_that_all_rows_lose_ends_the_run():
    """x h and y h both lose their gradient at the pole, which the particle reaches at pi/2."""
    start = np.array([0.6, 0.8, 0.0])
    sol = sr.solve(sphere(2), 3.0, {"x": start, "x'": [0.0, 0.0, 1.0]}, method="taylor", **PRECISE)
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.t[-1] == pytest.approx(np.pi / 2, abs=1e-5)
    assert "exchanges" not in sol.stats


def test_a_row_that_vanishes_at_the_start_can_carry_later():
    start, speed = np.array([0.0, 0.6, 0.8]), np.array([1.0, 0.0, 0.0])
    t = np.linspace(0.0, 3.0, 7)
    sol = sr.solve(sphere(3), 3.0, {"x": start, "x'": speed}, t_eval=t, **PRECISE)
    assert np.abs(sol["x"] - circle(t, start, speed)).max() < 1e-8
    assert any("on[0]'' in place" in said or "on[0]," in said for said in sol.stats["exchanges"])


def turned(offset: float) -> sr.DAE:
    """z' = J z, stated along directions at the angles 0, t and 2 t + offset: any two of them are parallel at times."""

    @sr.dae(variables="x y")
    def rotation(t, v, d, p):
        defect = ca.vertcat(d(v.x) + v.y, d(v.y) - v.x)
        angles = (0, t, 2 * t + offset)
        return {f"along[{k}]": ca.dot(ca.vertcat(ca.cos(a), ca.sin(a)), defect) for k, a in enumerate(angles)}

    return rotation


@pytest.mark.parametrize("method", ENGINES)
@pytest.mark.parametrize(("offset", "end"), [(1.0, 4.0), (0.0, np.pi)])
def test_equations_that_are_more_than_the_unknowns(method, offset, end):
    """For the offset 0 all three directions are parallel at pi, and the rank of all falls."""
    sol = sr.solve(turned(offset), (0.3, 4.0), {"x": np.cos(0.3), "y": np.sin(0.3)}, method=method, **PRECISE)
    assert sol.status is (sr.Status.SUCCESS if offset else sr.Status.RANK_CHANGED)
    assert sol.t[-1] == pytest.approx(end, abs=1e-6)
    exact = np.column_stack([np.cos(sol.t), np.sin(sol.t)])
    assert np.abs(np.column_stack([sol["x"], sol["y"]]) - exact)[sol.t < end - 1e-3].max() < 1e-8
    assert len(sol.reduction.redundant) == 1
    assert ("exchanges" in sol.stats) is (offset > 0)


def test_a_reset_after_an_exchange_starts_from_the_rows_that_carry_then():
    """The particle turns back where x = 0, where those of the start have no gradient, and runs its circle backwards."""
    t = np.linspace(0.0, 2.0, 9)
    back = Event(lambda t, v: v["x"][0], "back", reset=lambda t, v: {"x'": -v["x'"]})
    sol = sr.solve(sphere(3), 2.0, {"x": START, "x'": SPEED}, t_eval=t, events=back, **PRECISE)
    (turn,) = [event.clock for event in sol.events]
    exact = circle(np.where(t < turn, t, 2 * turn - t), START, SPEED)
    assert np.abs(sol["x"] - exact).max() < 1e-8
    assert sol.success
    assert float(sol.stats["exchanges"][0].split()[2].rstrip(":")) < turn


def test_the_solution_is_dense_across_an_exchange_and_survives_pickling():
    sol = sr.solve(sphere(3), 2.5, {"x": START, "x'": SPEED}, **PRECISE)
    t = np.linspace(0.0, 2.5, 1001)
    again = pickle.loads(pickle.dumps(sol))
    for found in (sol, again):
        assert np.abs(found(t)[:, :3] - circle(t, START, SPEED)).max() < 1e-8


def test_an_engine_is_found_again():
    reduction = sr.reduce(sphere(3), {"x": START, "x'": SPEED})
    motion = Motion(ReducedSystem(reduction), Rosenbrock(), Options(1e-8, 1e-10), True)
    base, constraints = (0, 1, 2, 4), (2, 3)
    other = motion.on(base, constraints, reduction.consistent)
    assert other.system.reduction.certificate.base == base
    assert motion.on(base, constraints, reduction.consistent) is other
    first = reduction.certificate
    assert other.on(first.base, first.constraints, reduction.consistent) is motion
