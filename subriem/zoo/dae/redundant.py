"""Equations that depend on others, and equations that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from math import cos, exp, sin

import casadi as ca
import numpy as np

from subriem.reduction.dae import dae
from subriem.zoo.dae.mechanics import HORIZONTAL, G, rod_energy, rod_motion, swing
from subriem.zoo.dae.problem import Problem


def rods(scales: tuple[float, ...], name: str) -> Problem:
    """Return the pendulum whose rod is given several times, each with a scale and a multiplier of its own.

    The sum of the multipliers is the force of the one rod; they are equal at the least norm. Each copy is redundant,
    and the index and the freedom are those of the pendulum.
    """
    multipliers = [f"lam{i}" for i in range(1, len(scales) + 1)]

    @dae(variables=["x", "y", *multipliers], parameters={"g": G})
    def pendulum(t, v, d, p):
        force = sum((v[lam] for lam in multipliers), start=ca.SX(0))
        rod = v.x**2 + v.y**2 - 1
        copies = {f"rod_{i}": scale * rod for i, scale in enumerate(scales, start=1)}
        return {"horizontal": d(v.x, 2) + force * v.x, "vertical": d(v.y, 2) + force * v.y + p.g, **copies}

    def exact(t: float) -> dict[str, float]:
        motion = rod_motion(t)
        force = motion.pop("lam")
        return motion | dict.fromkeys(multipliers, force / len(scales))

    return Problem(
        name=name,
        title=f"pendulum with its rod given {len(scales)} times, scaled by {', '.join(f'{s:g}' for s in scales)}",
        source="the pendulum",
        dae=pendulum,
        at=HORIZONTAL | dict.fromkeys(multipliers, 0.0),
        span=(0.0, 10.0),
        # Two multipliers find a row each among two motions; three do not.
        structural_index=3 if len(scales) == 2 else None,
        index=3,
        freedom=2,
        redundant=tuple(f"rod_{i}" for i in range(2, len(scales) + 1)),
        free=tuple(multipliers),
        exact=exact,
        end_digits=14,
        invariants={"energy": rod_energy},
    )


def contradictory() -> Problem:
    """Return the pendulum with rods of length^2 1 and 2."""

    @dae(variables="x y lam1 lam2", parameters={"g": G})
    def contradictory(t, v, d, p):
        force = v.lam1 + v.lam2
        return {
            "horizontal": d(v.x, 2) + force * v.x,
            "vertical": d(v.y, 2) + force * v.y + p.g,
            "short_rod": v.x**2 + v.y**2 - 1,
            "long_rod": v.x**2 + v.y**2 - 2,
        }

    return Problem(
        name="contradictory",
        title="a pendulum with two rods of different lengths",
        source="no point has two distances from the origin",
        dae=contradictory,
        at=HORIZONTAL,
        span=(0.0, 1.0),
        structural_index=3,
        index=None,
        freedom=None,
        inconsistent=("short_rod", "long_rod"),
        consistent_until=0.0,
    )


def parallelogram() -> Problem:
    """Return a parallelogram of bars with a third crank in the middle, redundant on this branch of motion.

    With p2 = p1 + (2, 0) both joints move as pendulums of length 1. There the third crank's row of the Jacobian is half
    the sum of the first two; off the solution set the four rows are independent.
    """
    amplitude = 1.2  # from the lowest point; at pi/2 all bars would be in line, and the rank lower still

    @dae(variables="x1 y1 x2 y2 lam1 lam2 lam3 lam4", parameters={"g": G})
    def parallelogram(t, v, d, p):
        p1, p2 = ca.vertcat(v.x1, v.y1), ca.vertcat(v.x2, v.y2)
        bars = {
            "crank": ca.sumsqr(p1) - 1,
            "rocker": ca.sumsqr(p2 - ca.vertcat(2, 0)) - 1,
            "coupler": ca.sumsqr(p2 - p1) - 4,
            "third_crank": ca.sumsqr((p1 + p2) / 2 - ca.vertcat(1, 0)) - 1,
        }
        multipliers = ca.vertcat(v.lam1, v.lam2, v.lam3, v.lam4)
        places = ca.vertcat(p1, p2)
        forces = ca.jtimes(ca.vertcat(*bars.values()), places, multipliers, True) / 2  # G^T lam / 2
        return {"motion": d(places, 2) + forces + p.g * ca.DM([0, 1, 0, 1]), **bars}

    def exact(t: float) -> dict[str, float]:
        phi, rate = swing(t, amplitude, G)
        x, y = sin(phi), -cos(phi)
        speed = {"x1'": -rate * y, "y1'": rate * x, "x2'": -rate * y, "y2'": rate * x}
        # Only lam1 + lam4/2 = lam2 + lam4/2 = force is determined; of least norm if all three are equal.
        third = 2 / 3 * (rate**2 - G * y)
        bars = {"lam1": third, "lam2": third, "lam3": 0.0, "lam4": third}
        return {"x1": x, "y1": y, "x2": x + 2, "y2": y, **speed, **bars}

    def energy(q) -> float:
        return sum(q[f"{x}'"] ** 2 for x in ("x1", "y1", "x2", "y2")) / 2 + G * (q["y1"] + q["y2"])

    return Problem(
        name="parallelogram",
        title="a parallelogram with a redundant crank",
        source="two equal pendulums",
        dae=parallelogram,
        at=exact(0.0),
        span=(0.0, 3.0),
        structural_index=3,
        index=3,
        freedom=2,  # 4 coordinates, 3 independent constraints
        redundant=("third_crank",),
        free=("lam1", "lam2", "lam4"),
        exact=exact,
        end_digits=13,
        invariants={"energy": energy},
    )


def saddle() -> Problem:
    """Return a flow on the edges of the complete graph K4 without sources: v' = -nu v + B^T p + f, B v = 0.

    The rows of B sum to zero: one divergence is redundant, and a constant in the pressure p is free. p needs the
    derivative of B v = 0: index 2. v may be chosen in the kernel of B: freedom 6 - 3.
    """
    nu = 0.7
    B = np.zeros((4, 6))
    for edge, (start, end) in enumerate(combinations(range(4), 2)):
        B[start, edge], B[end, edge] = -1, 1
    q = np.array([1.0, -2.0, 0.5, 0.5])  # f = B^T q sin t is balanced by the pressure
    v0 = np.array([1.0, 0.5, -1.5, 2.0, -1.0, 2.5])  # what enters a node leaves it

    @dae(variables={"v": 6, "p": 4}, parameters={"nu": nu})
    def saddle(t, v, d, p):
        force = ca.DM(B.T @ q) * ca.sin(t)
        return {
            "momentum": d(v.v) + p.nu * v.v - ca.sparsify(ca.DM(B.T)) @ v.p - force,
            "divergence": ca.sparsify(ca.DM(B)) @ v.v,
        }

    def exact(t: float) -> dict[str, float]:
        flow = {f"v[{i}]": float(x) * exp(-nu * t) for i, x in enumerate(v0)}
        return flow | {f"p[{i}]": -float(x) * sin(t) for i, x in enumerate(q)}

    return Problem(
        name="saddle",
        title="a saddle point with a redundant divergence",
        source="linear",
        dae=saddle,
        at={"v": v0, "p": np.zeros(4)},
        span=(0.0, 2.0),
        structural_index=2,
        index=2,
        freedom=3,
        redundant=("divergence[3]",),
        free=("p",),
        exact=exact,
        end_digits=14,
    )


def oscillator_with_energy() -> Problem:
    """Return an oscillator with its energy as a third equation: it restricts the start, and holds ever after."""

    @dae(variables="x v")
    def oscillator(t, v, d, p):
        return {"speed": d(v.x) - v.v, "force": d(v.v) + v.x, "energy": v.x**2 + v.v**2 - 1}

    def exact(t: float) -> dict[str, float]:
        return {"x": sin(t), "v": cos(t)}

    return Problem(
        name="oscillator-with-energy",
        title="an oscillator and its energy",
        source="sin t and cos t",
        dae=oscillator,
        at=exact(0.3),
        span=(0.3, 5.0),
        structural_index=None,
        index=0,
        freedom=1,  # a point of the circle
        redundant=("energy",),
        exact=exact,
        end_digits=15,
        invariants={"energy": lambda q: q["x"] ** 2 + q["v"] ** 2},
    )


def late_conflict() -> Problem:
    """Return an equation given twice, the copy with an input that sets in at t = 1: from then on they disagree."""

    @dae(variables="x", inputs={"u": {0.0: 0.0, 1.0: 1.0}})
    def late_conflict(t, v, d, p):
        return {"law": d(v.x) + v.x, "copy": d(v.x) + v.x - p.u}

    return Problem(
        name="late-conflict",
        title="a contradiction that sets in later",
        source="exp(-t), as long as there is a solution",
        dae=late_conflict,
        at={"x": 1.0},
        span=(0.0, 2.0),
        structural_index=None,
        index=0,
        freedom=1,
        redundant=("copy",),
        inconsistent=("law", "copy"),
        consistent_until=1.0,
        exact=lambda t: {"x": exp(-t)},
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    "pendulum-twice": partial(rods, (1.0, 1.0), "pendulum-twice"),
    "pendulum-thrice": partial(rods, (1.0, 1.0, 1.0), "pendulum-thrice"),
    "pendulum-twice-1000": partial(rods, (1.0, 1000.0), "pendulum-twice-1000"),
    "contradictory": contradictory,
    "parallelogram": parallelogram,
    "saddle": saddle,
    "oscillator-with-energy": oscillator_with_energy,
    "late-conflict": late_conflict,
}
