"""Legs in one call of the engine: as exact as a march, as exact between, and a doubt sends them back to it."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.core.equilibrated import least_singular_values
from subriem.integration.diagonal import DiagonalBlocks
from subriem.integration.pathrank import _bound
from subriem.zoo.dae import get
from tests.integration.daes import blow_up, crank, crank_start, crossing, fold, relaxation

NAMES = ["pendulum-1", "slider-crank", "rods-2", "sphere-plane", "knife-edge", "akzo", "jay", "pencil", "switched",
         "reissig-3", "path-control", "chain-6"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_as_a_march(name):
    problem = get(name)
    red = sr.reduce(problem.dae, problem.at, t=problem.span[0])
    times = np.linspace(*problem.span, 5)[1:]
    leap = sr.solve(red, problem.span, rtol=1e-8, atol=1e-8, t_eval=times)
    march = sr.solve(red, problem.span, rtol=1e-8, atol=1e-8)
    assert "marched" not in leap.stats
    inner = [b for b in red.dae.breakpoints if problem.span[0] < b < problem.span[1]]
    assert leap.stats["pieces"] == np.union1d(times, inner).size
    size = 1 + np.abs(march.jets).max(axis=0)
    assert (np.abs(leap.jets - march.dense.jets(times)) <= 5e-7 * size).all()
    assert leap.rank[-1] == march.rank[-1] == len(red.certificate.base)
    assert leap.residual <= 1e-12 * size.max()


def test_one_call_takes_fewer_steps():
    problem = get("pendulum-10")
    red = sr.reduce(problem.dae, problem.at)
    leap, march = (sr.solve(red, 10.0, t_eval=t) for t in ([10.0], None))
    assert leap.stats["pieces"] == 1
    assert leap.stats["evaluations"] < 0.6 * march.stats["evaluations"]
    assert leap.drift[-1] > march.residual  # it was measured on the way


# --- between the times that were wanted ------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [50.0, 1e5])
def test_a_transient_before_the_first_time_wanted(k):
    sol = sr.solve(relaxation, 3.0, {"x": 2.0}, parameters={"k": k}, rtol=1e-9, atol=1e-9, t_eval=[3.0])
    assert sol.stats["pieces"] == 1
    t = np.concatenate([np.geomspace(1e-9, 1, 100), np.linspace(1, 3, 50)[1:]])
    x = np.cos(t) + np.exp(-k * t)
    assert np.abs(sol(t) - np.stack([x, x**2], axis=1)).max() < 3e-8


def test_eleven_decades_before_the_only_time_wanted():
    problem = get("robertson")
    red = sr.reduce(problem.dae, problem.at)
    sol = sr.solve(red, problem.span, rtol=1e-8, atol=1e-15, t_eval=[1e11])
    assert sol.stats["pieces"] == 1
    t = np.geomspace(1e-6, 1e11, 30)
    tight = sr.solve(red, problem.span, rtol=1e-11, atol=1e-17)
    assert (np.abs(sol(t) - tight(t)) <= 1e-6 * np.abs(tight(t)) + 1e-13).all()


# --- what happens between two times ----------------------------------------------------------------------------------


@sr.dae(variables="x y")
def often_singular(t, v, d, p):
    return {"rate": d(v.x) - v.y, "copy": ca.cos(40 * t) * (v.y - ca.cos(t))}


@sr.dae(variables="x y")
def touching(t, v, d, p):
    """The Jacobian (x - 1)^2 does not change its sign at t = 1."""
    return {"slide": d(v.x) - 1, "line": (v.x - 1) ** 2 * (v.y - 1)}


@pytest.mark.parametrize(
    ("dae", "at", "end", "time"),
    [
        (crossing, {"x": 1.0}, 2.0, 1.0),
        (fold, {"x": 1.0, "y": 1.0}, 2.0, 1.0),
        (often_singular, {"x": 0.0}, 3.0, np.pi / 80),
        (touching, {"x": 0.0}, 2.5, 1.0),
    ],
)
def test_a_loss_of_rank(dae, at, end, time):
    sol = sr.solve(dae, end, at, t_eval=[end])
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.t[-1] == pytest.approx(time, abs=1e-6)
    assert sol.stats["marched"]


def test_a_loss_of_rank_between_two_looks_that_show_a_dip_only():
    looks = 3.0 / 64
    centre, width = 20.5 * looks, 0.5 * looks / 1.2305  # 0.67 at the looks around, -0.5 between them

    @sr.dae(variables="x y")
    def dip(t, v, d, p):
        return {"rate": d(v.x) - v.y, "copy": (1 - 1.5 * ca.exp(-(((t - centre) / width) ** 2))) * (v.y - ca.cos(t))}

    sol = sr.solve(dip, 3.0, {"x": 0.0}, t_eval=[3.0])
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.t[-1] == pytest.approx(centre - width * np.sqrt(np.log(1.5)), abs=1e-6)


def test_the_dead_point_is_where_a_march_finds_it():
    march, leap = (sr.solve(crank, 3.0, crank_start(), t_eval=t) for t in (None, [3.0]))
    assert leap.status is march.status is sr.Status.RANK_CHANGED
    assert leap.events[-1].clock == pytest.approx(march.events[-1].clock, abs=1e-7)


@pytest.mark.parametrize(("rtol", "x0"), [(1e-6, 40.0), (1e-8, 1.0), (1e-11, 1.0)])
def test_an_escape(rtol, x0):
    sol = sr.solve(blow_up, 3.0, {"x": x0}, rtol=rtol, atol=rtol, t_eval=[3.0], throw=False)
    assert sol.status is sr.Status.ESCAPED
    assert sol.t[-1] == pytest.approx(1 / x0, abs=1e-6)
    assert sol.stats["evaluations"] < 2_000_000


def test_the_grid_of_an_escape_is_not_refined_to_roundoff():
    sol = sr.solve(blow_up, 3.0, {"x": 1.0}, rtol=1e-11, atol=1e-11, throw=False)
    assert sol.status is sr.Status.ESCAPED
    assert sol.t.size < 50_000


@sr.dae(variables="x", inputs={"u": {0.0: 0.0, 1.0: 1.0}})
def late(t, v, d, p):
    return {"law": d(v.x) + v.x, "copy": d(v.x) + v.x - p.u}


def test_a_contradiction():
    sol = sr.solve(late, 2.0, {"x": 1.0}, t_eval=[2.0], throw=False)
    assert sol.status is sr.Status.INCONSISTENT
    assert 1.0 <= sol.t[-1] < 1.03
    assert "copy" in sol.message


def test_nothing_is_tried_where_the_budget_allows_nothing():
    sol = sr.solve(blow_up, 0.5, {"x": 1.0}, t_eval=[0.5], budget=sr.Budget(steps=0))
    assert sol.status is sr.Status.BUDGET_SPENT
    assert sol.t.tolist() == [0.0]


# --- what can lose rank ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("akzo", ()), ("robertson", ()), ("pendulum-10", ((3, 3),)), ("pendulum-twice", ((4, 4),)), ("rods-2", ((6, 6),))],
)
def test_blocks_that_change(name, sizes):
    problem = get(name)
    red = sr.reduce(problem.dae, problem.at)
    assert DiagonalBlocks(red.faces, len(red.certificate.base)).sizes == sizes


def test_independent_parts_are_blocks_of_their_own():
    @sr.dae(variables="x y a b")
    def pair(t, v, d, p):
        return {"x": d(v.x) - v.a, "y": d(v.y) - v.b, "a": v.a * (1 + v.x**2) - 1, "b": v.b * (2 + v.a) - v.a}

    blocks = DiagonalBlocks(sr.reduce(pair, {"x": 0.0, "y": 0.0}).faces, 4)
    assert blocks.sizes == ((1, 1), (1, 1))


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_the_bound_of_regularity(k):
    blocks = np.random.default_rng(k).standard_normal((50, 2, k, k))
    found = _bound(blocks)
    assert (np.sign(found) == np.sign(np.linalg.det(blocks))).all()
    assert (np.abs(found) <= least_singular_values(blocks, k) * (1 + 1e-12)).all()
    same = np.broadcast_to(-3.0 * np.eye(k), (1, 1, k, k))
    assert np.abs(_bound(same)) == pytest.approx(3.0 * (1 - 1 / k) ** ((k - 1) / 2) if k > 1 else 3.0)
