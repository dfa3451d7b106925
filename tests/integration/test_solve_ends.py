"""How a run of `solve` ends where it cannot, or may not, go on: by name, located."""

import io
import os
import signal
import sys
import threading
import time
from contextlib import redirect_stderr

import casadi as ca
import numpy as np
import pytest
from scipy.integrate import quad

import subriem as sr
from subriem.reduction.casadi_errors import muted
from tests.integration.daes import HORIZONTAL, blow_up, crank, crank_start, crossing, fold, pendulum

METHODS = ["rosenbrock", "idas"]


def rank_time(sol):
    assert sol.status is sr.Status.RANK_CHANGED
    (event,) = [event for event in sol.events if event.name == "rank"]
    return event.clock


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x0", [0.5, 4.0])
def test_escape(x0, method):
    sol = sr.solve(blow_up, 3.0, {"x": x0}, method=method, throw=False)
    assert sol.status is sr.Status.ESCAPED
    assert sol.t[-1] == pytest.approx(1 / x0, abs=1e-6)
    assert "x" in sol.message


@pytest.mark.parametrize("method", METHODS)
def test_fold(method):
    sol = sr.solve(fold, 2.0, {"x": 1.0, "y": 1.0}, method=method)
    assert rank_time(sol) == pytest.approx(1.0, abs=1e-9)
    assert "leaves y open" in sol.message
    assert sol.at(0.75, "y") == pytest.approx(0.5, abs=1e-9)


def test_a_singular_point_that_a_step_would_cross():
    sol = sr.solve(crossing, 2.0, {"x": 1.0})
    assert rank_time(sol) == pytest.approx(1.0, abs=1e-9)
    on = sr.solve(crossing, 2.0, {"x": 1.0}, on_rank_change="continue", t_eval=[2.0])
    assert on.status is sr.Status.SUCCESS
    assert on["y"][0] == pytest.approx(np.sin(1.0), abs=1e-8)


def test_dead_point_of_equal_rods():
    energy = 4.5 * (1 + 4 * np.sin(0.5) ** 2) + 9.81 * np.sin(0.5)

    def slowness(a):
        return np.sqrt((1 + 4 * np.sin(a) ** 2) / (2 * (energy - 9.81 * np.sin(a))))

    sol = sr.solve(crank, 3.0, crank_start())
    assert rank_time(sol) == pytest.approx(quad(slowness, 0.5, np.pi / 2, epsabs=1e-13)[0], abs=1e-6)


def test_no_false_loss_of_rank():
    sol = sr.solve(crank, 1.0, crank_start(rate=1.0))  # turns back before the dead point
    assert sol.status is sr.Status.SUCCESS


@sr.dae(variables="x")
def two_laws(t, v, d, p):
    return {"first": v.x - ca.sin(t), "second": v.x - t}


@sr.dae(variables="x")
def law_and_rate(t, v, d, p):
    return {"rate": d(v.x) - ca.cos(t), "place": v.x - t}


@sr.dae(variables="x", inputs={"u": {0.0: 0.0, 1.0: 1.0}})
def late(t, v, d, p):
    return {"law": d(v.x) + v.x, "copy": d(v.x) + v.x - p.u}


@pytest.mark.parametrize(("dae", "names"), [(two_laws, "first, second"), (law_and_rate, "rate, place")])
def test_equations_that_agree_at_the_start_only(dae, names):
    with pytest.raises(sr.InconsistentError, match=names):
        sr.solve(dae, 2.0, {"x": 0.0})


def test_contradictions_that_appear_later():
    with pytest.raises(sr.SolveError, match="copy") as caught:
        sr.solve(late, 2.0, {"x": 1.0})
    sol = caught.value.solution
    assert sol.status is sr.Status.INCONSISTENT
    assert 1.0 <= sol.t[-1] < 1.03
    assert "t = " in sol.message


def test_not_finite():
    @sr.dae(variables="x")
    def root(t, v, d, p):
        return {"decay": d(v.x) + 1 + ca.sqrt(v.x)}

    sol = sr.solve(root, 2.0, {"x": 0.1}, throw=False)
    assert sol.status.failed
    assert 0.0 < sol.t[-1] < 0.1
    assert "x" in sol.message


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("function", [ca.sqrt, ca.log])
def test_an_unknown_that_leaves_its_domain(function, method):
    # no step of the engine sees y: it is eliminated
    @sr.dae(variables="x y")
    def leaving(t, v, d, p):
        return {"decay": d(v.x) + 1, "law": v.y - function(v.x)}

    sol = sr.solve(leaving, 2.0, {"x": 1.0}, method=method, throw=False)
    assert sol.status is sr.Status.NOT_FINITE
    assert sol.t[-1] == pytest.approx(1.0, abs=1e-9)
    assert np.isfinite(sol.jets).all()


def test_a_loss_of_rank_passed_by_request_is_recorded():
    @sr.dae(variables="x y")
    def crossed(t, v, d, p):
        return {"clock": d(v.x) - 1, "law": v.x * (v.y - ca.sin(v.x))}

    sol = sr.solve(crossed, (-1.0, 1.3), {"x": -1.0}, on_rank_change="continue")
    assert sol.success
    assert sol["y"][-1] == pytest.approx(np.sin(1.3), abs=1e-12)
    assert sol.t_events["rank"] == pytest.approx([0.0], abs=1e-9)
    assert not sol.events[0].terminal


# --- limits ----------------------------------------------------------------------------------------------------------


def test_budget_of_seconds():
    started = time.perf_counter()
    sol = sr.solve(pendulum, 1e6, HORIZONTAL, budget=sr.Budget(seconds=0.2), t_eval=[1.0])
    assert sol.status is sr.Status.BUDGET_SPENT
    assert time.perf_counter() - started < 10
    assert 1.0 <= sol.t[-1] < 1e6
    assert sol.at(1.0, "x") ** 2 + sol.at(1.0, "y") ** 2 == pytest.approx(1)


def test_budget_of_steps():
    sol = sr.solve(pendulum, 100.0, HORIZONTAL, budget=sr.Budget(steps=3))
    assert sol.status is sr.Status.BUDGET_SPENT
    assert sol.stats["pieces"] == 3


def test_budget_of_nothing():
    sol = sr.solve(pendulum, 1.0, HORIZONTAL, budget=sr.Budget(steps=0))
    assert sol.t.tolist() == [0.0]
    assert sol["x"].tolist() == [1.0]


def interrupted(action, **options):
    """Solve for long, with an action in another thread once something is found."""
    moving = threading.Event()
    thread = threading.Thread(target=lambda: (moving.wait(60), action()))
    thread.start()
    sol = sr.solve(pendulum, 1e6, HORIZONTAL, t_eval=[1.0], progress=lambda share, text: moving.set(), **options)
    thread.join()
    assert sol.status is sr.Status.CANCELLED
    assert 0 < sol.t[-1] < 1e6
    return sol


def test_cancelled_from_a_thread():
    token = sr.CancelToken()
    assert "enough" in interrupted(lambda: token.cancel("enough"), cancel=token).message


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_interrupted():
    assert "SIGINT" in interrupted(lambda: os.kill(os.getpid(), signal.SIGINT)).message


def test_progress():
    told = []
    sol = sr.solve(pendulum, 5.0, HORIZONTAL, progress=lambda share, text: told.append((share, text)))
    assert sol.status is sr.Status.SUCCESS
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(told) > 3


# --- nothing is printed ----------------------------------------------------------------------------------------------


def test_sundials_is_silent(capfd):
    sr.solve(fold, 2.0, {"x": 1.0, "y": 1.0}, method="idas")
    assert capfd.readouterr() == ("", "")


def test_only_the_own_thread_is_muted():
    heard = io.StringIO()
    with redirect_stderr(heard):
        with muted(), muted():
            sys.stderr.write("mine")
            other = threading.Thread(target=lambda: sys.stderr.write("theirs"))
            other.start()
            other.join()
        sys.stderr.write(" after")
        assert sys.stderr is heard
    assert heard.getvalue() == "theirs after"


def test_constraints_that_become_dependent_where_a_crossing_is_looked_for():
    """Two links reach out: at t = 5/3 the arm is stretched, its constraints are dependent, and no step crosses that."""

    @sr.dae(variables="q1 q2 u1 u2")
    def arm(t, v, d, p):
        x, y = ca.cos(v.q1) + ca.cos(v.q1 + v.q2), ca.sin(v.q1) + ca.sin(v.q1 + v.q2)
        return {"u1": d(v.q1, 2) - v.u1, "u2": d(v.q2, 2) - v.u2, "x": x - 1 - 0.6 * t, "y": y}

    sol = sr.solve(arm, 3.0, {"q1": -0.5, "q2": 1.0}, throw=False)
    assert sol.status is sr.Status.RANK_CHANGED
    assert sol.t[-1] == pytest.approx(5 / 3, abs=1e-4)
