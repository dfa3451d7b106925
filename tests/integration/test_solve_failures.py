"""Provoked failures: each is answered in our words, with the equation, the variable or the argument, and the time."""

import re

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.reduction.casadi_errors import failure_sentence
from tests.integration.daes import HORIZONTAL, ball, blow_up, fold, pendulum

FOREIGN = re.compile(r"casadi|\.[ch]pp|Traceback|IDA_|RuntimeError|0x[0-9a-f]{6}|_gen|sundials", re.IGNORECASE)


@sr.dae(variables="x y")
def unsolvable(t, v, d, p):
    return {"motion": d(v.x) - v.y, "circle": v.x**2 + v.y**2 + 1}


@sr.dae(variables="x")
def logarithm(t, v, d, p):
    return {"shrink": d(v.x) + 1 / ca.log(1 + v.x)}


@sr.dae(variables="x y", inputs={"u": {0.0: 1.0, 1.0: -1.0}})
def loses_its_root(t, v, d, p):
    return {"square": v.y**2 - p.u, "motion": d(v.x) - v.y}


def solve(dae, span=1.0, at=HORIZONTAL, **options):
    return lambda: sr.solve(dae, span, at, **options)


def hit(**options):
    return sr.Event(lambda t, v: v.y, name="hit", direction=-1, **options)


FALL = {"y": 1.0, "v": 0.0}
FAILURES = {
    "no DAE": (solve("pendulum"), "neither a DAE"),
    "no span": (solve(pendulum, (1.0, 1.0)), "span"),
    "span of three": (solve(pendulum, (0.0, 1.0, 2.0)), "span"),
    "span is NaN": (solve(pendulum, np.nan), "span"),
    "unknown start": (solve(pendulum, at={"z": 1.0}), "z"),
    "start is NaN": (solve(pendulum, at={"x": np.nan}), "x"),
    "start of wrong length": (solve(pendulum, at={"x": [1.0, 2.0]}), "x"),
    "rtol negative": (solve(pendulum, rtol=-1e-6), "rtol"),
    "rtol text": (solve(pendulum, rtol="small"), "rtol"),
    "atol infinite": (solve(pendulum, atol=np.inf), "atol"),
    "pole negative": (solve(pendulum, baumgarte=-1.0), "baumgarte"),
    "pole text": (solve(pendulum, baumgarte="strong"), "baumgarte"),
    "unknown method": (solve(pendulum, method="euler"), "euler"),
    "unknown rank change": (solve(pendulum, on_rank_change="ignore"), "on_rank_change"),
    "wanted times outside": (solve(pendulum, t_eval=[0.0, 2.0]), "t_eval"),
    "wanted times back": (solve(pendulum, t_eval=[0.5, 0.2]), "t_eval"),
    "unknown parameter": (solve(pendulum, parameters={"h": 1.0}), "h"),
    "unknown fix": (solve(pendulum, fix=["z"]), "z"),
    "no event": (solve(pendulum, events=[lambda t, v: v.x]), "event"),
    "event of a strange name": (solve(pendulum, events=sr.Event(lambda t, v: v.z)), "z"),
    "event of a high derivative": (solve(pendulum, events=sr.Event(lambda t, v: v["x''''"])), r"x\^\(4\)"),
    "reset of a strange name": (solve(ball, at=FALL, events=hit(reset=lambda t, v: {"w": 1.0})), "w"),
    "reset is no mapping": (solve(ball, at=FALL, events=hit(reset=lambda t, v: 1.0)), "mapping"),
    "reset not finite": (solve(ball, at=FALL, events=hit(reset=lambda t, v: {"v": np.inf})), "v"),
    "quadrature of a high derivative": (
        solve(pendulum, quadratures=lambda t, v, d, p: {"q": d(v.x, 4)}),
        r"x\^\(4\)|x''''",
    ),
    "quadrature named like a variable": (solve(pendulum, quadratures=lambda t, v, d, p: {"x": v.y}), "x"),
    "quadrature of text": (solve(pendulum, quadratures=lambda t, v, d, p: {"q": "x"}), "q"),
    "no consistent start": (solve(unsolvable, at={"x": 1.0}), "circle"),
    "start fixed off the rod": (solve(pendulum, at={"x": 2.0}, fix=["x"]), "rod"),
    "singularity of a function": (solve(logarithm, 5.0, {"x": 1.0}), r"x'? = .*|t = "),
    "root that vanishes": (solve(loses_its_root, 2.0, {"x": 0.0, "y": 1.0}), "square.*t = 1|t = 1.*square"),
    "Zeno": (solve(ball, 5.0, FALL, events=hit(reset=lambda t, v: {"v": -0.1 * v.v})), "'hit'.*t = "),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failure(case):
    run, names = FAILURES[case]
    with pytest.raises(sr.SubriemError) as caught:
        run()
    text = str(caught.value)
    assert re.search(names, text, re.DOTALL)
    assert not FOREIGN.search(text)
    for part in (caught.value.what, caught.value.got, caught.value.expected, caught.value.try_):
        assert part.strip()


@pytest.mark.parametrize("method", ["rosenbrock", "idas"])
@pytest.mark.parametrize(("dae", "at"), [(blow_up, {"x": 1.0}), (fold, {"x": 1.0, "y": 1.0}), (logarithm, {"x": 1.0})])
def test_messages_of_ends(dae, at, method):
    sol = sr.solve(dae, 5.0, at, method=method, throw=False)
    assert not sol.status.success
    assert "t = " in sol.message
    assert not FOREIGN.search(sol.message)


def test_throw():
    with pytest.raises(sr.SolveError) as caught:
        sr.solve(logarithm, 5.0, {"x": 1.0})
    kept = sr.solve(logarithm, 5.0, {"x": 1.0}, throw=False)
    assert caught.value.solution.t[-1] == kept.t[-1]
    assert (caught.value.solution.jets == kept.jets).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('/a/idas_interface.cpp:620: IDASolve returned "IDA_TOO_MUCH_WORK"', "too many steps"),
        ('IDASolve returned "IDA_CONV_FAIL"', "did not converge"),
        ("function_internal.hpp:1766: Evaluation failed", "no step was small enough"),
        ("KeyboardInterrupt", "interrupted"),
    ],
)
def test_sentences(text, expected):
    assert expected in failure_sentence(RuntimeError(text))
    assert not FOREIGN.search(failure_sentence(RuntimeError(text)))
