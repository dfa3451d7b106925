"""Whole flows, side by side: CPU time against the error of theta, each at its own end.

The error of theta is relative to the length of the path; the reference is an unprojected run at rtol 1e-12.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import subriem as sr
from subriem.core.lift import DENSE_BYTES
from subriem.flows.field import ClockField
from tests.benchmarks.conftest import Measure
from tests.benchmarks.fields import lifted, problem
from tests.benchmarks.peers import Diffrax
from tests.flows.problems import Problem, thin

pytestmark = pytest.mark.benchmark(timer=time.process_time)
#: C/C0 at which a run in s ends; in t this is 1 - 1e-6.
GOAL = 1e-12
LADDER = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7]


@cache
def reference(hidden: int, outputs: int, t: float) -> tuple[np.ndarray, float]:
    """Theta at t, and the length of the path."""
    case = problem(hidden, outputs)
    sol = sr.follow(case.flow, case.theta0, project=False, rtol=1e-12, until=sr.Until(t=t))
    return sol.theta, sol.path_length


class Counted:
    """A field that counts its calls, differences for Jacobians included."""

    def __init__(self, field: Callable[[float, np.ndarray], np.ndarray]) -> None:
        self.field, self.calls = field, 0

    def __call__(self, clock: float, theta: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self.field(clock, theta)


def s_field(case: Problem) -> Callable[[float, np.ndarray], np.ndarray]:
    """Return -D^+ grad C with our lift, refined as in a run."""
    field = ClockField(case.flow, "s", sr.RankPolicy(), None, None, DENSE_BYTES, accuracy=1e-10)
    return lambda s, theta: field.at(s, theta).velocity


# --- 4-28-28-2, n = 100 ----------------------------------------------------------------------------------------------

SMALL = (28, 100)
#: method -> its end in t, and the factor by which its error of theta may exceed rtol (peers control local errors).
METHODS = {
    "follow, t": (1.0, 1.0),
    "SciPy DOP853 on our lift, t": (1.0, 100.0),
    "SciPy DOP853 on our lift, s": (1 - np.sqrt(GOAL), 10.0),
    "diffrax Dopri8, jacrev of each sample, t": (1.0, 10.0),
    "diffrax Dopri8, jacrev of each sample, s": (1 - np.sqrt(GOAL), 10.0),
    "diffrax Dopri8, jacrev of all, s": (1 - np.sqrt(GOAL), 10.0),
    "diffrax Dopri8, our Gram in JAX, s": (1 - np.sqrt(GOAL), 10.0),
}


@pytest.mark.parametrize("rtol", LADDER)
@pytest.mark.parametrize("method", METHODS)
def test_whole_flow(measure: Measure, method: str, rtol: float) -> None:
    case = problem(*SMALL)
    group = f"whole flow, K/n = {case.map.n_in}/{case.map.n_out}"
    clock = method[-1]
    t, factor = METHODS[method]
    end = t if clock == "t" else case.cost.samples / 2 * np.log(1 / GOAL)
    more: dict[str, Any] = {}
    if method.startswith("follow"):
        sol = measure(group, method, lambda: sr.follow(case.flow, case.theta0, rtol=rtol), rounds=20)
        theta, evaluations = sol.theta, sol.nfev
        assert sol.cost_ratio <= 1e-30
    elif method.startswith("SciPy"):
        still = lifted(case)
        field = Counted(s_field(case) if clock == "s" else lambda _, theta: still(theta))
        found = measure(group, method, lambda: integrate(field, end, case.theta0, "DOP853", rtol), rounds=10)
        theta, evaluations = found.y[:, -1], found.nfev
    else:
        lift = "gram" if "Gram" in method else "jacrev" if "of all" in method else "samples"
        run = Diffrax(case, clock, lift, rtol, end)
        found = measure(group, method, run, rounds=8)
        # the last stage of a step is the first of the next
        theta, evaluations = np.asarray(found.ys[-1]), (run.stages - 1) * int(found.stats["num_steps"]) + 1
        more["compile s"] = run.compile_seconds - measure.row.get("ms", 0.0) / 1e3
    goal, length = reference(*SMALL, t)
    error = float(np.linalg.norm(theta - goal)) / length
    measure.row |= {"rtol": rtol, "evaluations": evaluations, "theta error": error, **more}
    assert error <= factor * rtol


def integrate(field: Any, end: float, start: np.ndarray, method: Any, rtol: float) -> Any:
    """SciPy, with atol = rtol."""
    return solve_ivp(field, (0.0, end), start, method=method, rtol=rtol, atol=rtol)


# --- 4-312-312-2, n = 200 --------------------------------------------------------------------------------------------

LARGE = (312, 200)


@pytest.mark.parametrize(("rtol", "most", "allowed"), [(1e-3, 150, 5e-4), (1e-6, 260, 5e-7)])
def test_whole_flow_of_a_hundred_thousand_parameters(measure: Measure, rtol: float, most: int, allowed: float) -> None:
    case = problem(*LARGE)
    group = f"whole flow, K/n = {case.map.n_in}/{case.map.n_out}"
    sol = measure(group, "follow", lambda: sr.follow(case.flow, case.theta0, rtol=rtol), rounds=8)
    goal, length = reference(*LARGE, 1.0)
    error = float(np.linalg.norm(sol.theta - goal)) / length
    measure.row |= {"rtol": rtol, "evaluations": sol.nfev, "C/C0": sol.cost_ratio, "theta error": error}
    assert sol.nfev <= most
    assert sol.cost_ratio <= 1e-30
    assert error <= allowed


# --- under-parametrized and stiff: 2-3-1, 30 samples, seed 14 --------------------------------------------------------

STIFF = [
    *(("follow, auto", rtol) for rtol in (1e-4, 1e-6, 1e-8)),
    ("follow, DOP853", 1e-6),
    *((f"SciPy {name}", rtol) for name in ("Radau", "BDF", "LSODA") for rtol in (1e-4, 1e-6, 1e-8)),
    ("SciPy DOP853", 1e-6),
]


@cache
def stiff() -> tuple[Problem, sr.flows.Flow, float]:
    """Return the problem, its damped flow, and the s at which it ends: 100 N."""
    case = thin(14)
    damping = 1e-6 * float(np.linalg.norm(case.map.jacobian(case.theta0), 2)) ** 2
    return case, sr.flows.adapted(case.map, case.cost, damping=damping), 100.0 * case.cost.samples


@cache
def stiff_end() -> tuple[np.ndarray, float]:
    """Return theta at the end by SciPy's Radau, and the length of the path by our run."""
    case, flow, end = stiff()
    found = integrate(damped_field(flow), end, case.theta0, "Radau", 1e-11)
    return found.y[:, -1], sr.follow(flow, case.theta0, until=sr.Until(s=end)).path_length


def damped_field(flow: sr.flows.Flow) -> Counted:
    field = ClockField(flow, "s", sr.RankPolicy(), None, None, DENSE_BYTES)
    return Counted(lambda s, theta: field.at(s, theta).velocity)


@pytest.mark.parametrize(("method", "rtol"), STIFF)
def test_stiff_flow(measure: Measure, method: str, rtol: float) -> None:
    case, flow, end = stiff()
    group = "stiff, under-parametrized flow, K/n = 13/30"
    name: Any = method.split()[-1]
    if method.startswith("follow"):
        options: dict[str, Any] = {"until": sr.Until(s=end), "rtol": rtol, "method": name}
        sol = measure(group, method, lambda: sr.follow(flow, case.theta0, **options), rounds=3)
        theta, evaluations, jacobians = sol.theta, sol.nfev, sol.stats["jacobians"]
        assert sol.s[-1] == end
        # the implicit steps are worth it: 15 178 explicit evaluations were measured, 1362 with 80 Jacobians
        assert (evaluations <= 3000) == (name == "auto")
    else:
        field = damped_field(flow)
        found = measure(group, method, lambda: integrate(field, end, case.theta0, name, rtol), rounds=3, warmup=0)
        field.calls = 0
        integrate(field, end, case.theta0, name, rtol)
        theta, evaluations, jacobians = found.y[:, -1], field.calls, found.njev
    goal, length = stiff_end()
    error = float(np.linalg.norm(theta - goal)) / length
    measure.row |= {"rtol": rtol, "evaluations": evaluations, "Jacobians": jacobians, "theta error": error}
    assert error <= 100 * rtol
