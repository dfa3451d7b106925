"""The fields that are compared, theta -> D^+ w, on the networks 4-h-h-2; imports no pytest, for fresh processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import casadi as ca
import numpy as np
from scipy.linalg import cho_factor, cho_solve

import subriem as sr
from subriem.core.lift import DENSE_BYTES
from subriem.flows.field import ClockField, Line
from subriem.flows.network import Network
from tests.flows.problems import Problem

Field = Callable[[np.ndarray], np.ndarray]
#: Relative residual to which a run at rtol = 1e-6 refines a lift.
AS_IN_A_RUN = 1e-10


@cache
def problem(hidden: int, outputs: int, seed: int = 0) -> Problem:
    """4-h-h-2 with outputs/2 samples; data from default_rng(100 + seed)."""
    rng = np.random.default_rng(100 + seed)
    net = sr.flows.network([4, hidden, hidden, 2], rng.standard_normal((outputs // 2, 4)))
    targets = rng.standard_normal((outputs // 2, 2))
    return Problem(net, sr.flows.squared_error(targets), net.initial(seed))


def points(case: Problem) -> list[np.ndarray]:
    """Two parameters to alternate between: a network remembers its last forward pass."""
    return [case.theta0, 1.0001 * case.theta0]


def lifted(case: Problem, source: Any = None, accuracy: float = AS_IN_A_RUN) -> Field:
    """The field of `follow` in the t-clock, of the network or of another map for it."""
    flow = sr.flows.adapted(case.map if source is None else source, case.cost)
    rate = flow.cost.rate
    assert rate is not None
    line = Line(case.x0, case.y, rate)
    field = ClockField(flow, "t", sr.RankPolicy(), None, line, DENSE_BYTES, accuracy=accuracy)
    return lambda theta: field.at(0.0, theta).velocity


def explicit(case: Problem) -> Field:
    """NumPy: D written down by a Jacobian made for these networks, Cholesky of D D^T, no refinement."""
    w = case.y - case.x0

    def field(theta: np.ndarray) -> np.ndarray:
        case.map.value(theta)
        d = case.map.jacobian(theta)
        factor = cho_factor(d @ d.T, overwrite_a=True, check_finite=False)
        return d.T @ cho_solve(factor, w, check_finite=False)

    return field


def symbolic(net: Network, theta: ca.SX) -> ca.SX:
    """The network as a CasADi expression, sample-major."""
    z: Any = ca.SX(ca.DM(net.inputs.T))
    layers = len(net.widths) - 1
    for layer in range(1, layers + 1):
        part, (fan_out, fan_in) = net.layout.places[f"W{layer}"]
        bias = theta[net.layout.places[f"b{layer}"][0]]
        z = ca.reshape(theta[part], fan_in, fan_out).T @ z + ca.repmat(bias, 1, net.samples)
        z = ca.tanh(z) if layer < layers else z
    return ca.densify(ca.vec(z))


def peak_megabytes() -> float:
    """Largest memory of this process, in MB; Linux only.

    Not `ru_maxrss`: a started process inherits there what its parent once had.
    """
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
