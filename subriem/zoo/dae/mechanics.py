"""Mechanics with holonomic constraints: index 3 as Newton and Lagrange write it.

For M q'' = f + G^T lam, 0 = g(q), G = dg/dq of full rank: lam needs g'', lam' needs g''': index 3. The start may be
chosen on g = g' = 0: freedom 2 (coordinates - constraints).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import cos, pi, sin, sqrt
from typing import Any

import casadi as ca
import numpy as np

from subriem.reduction.dae import DAE, dae
from subriem.reduction.jets import jet_name
from subriem.zoo.dae.problem import Problem, Values, reference, source

G = 9.81


def swing(t: float, amplitude: float, stiffness: float) -> tuple[float, float]:
    """Return phi, phi' of phi'' = -stiffness sin(phi), phi(0) = amplitude, phi'(0) = 0.

    sin(phi/2) = k cd(w t), w^2 = stiffness, k = sin(amplitude/2) [DLMF 22.19(i)].
    """
    from scipy.special import ellipj

    k, w = sin(amplitude / 2), sqrt(stiffness)
    sn, cn, dn, _ = ellipj(w * t, k**2)
    return float(2 * np.arcsin(k * cn / dn)), float(-2 * k * w * sqrt(1 - k**2) * sn / dn)


def rod_motion(t: float) -> dict[str, float]:
    """Return the motion of a unit mass on a unit rod, x'' = -lam x, y'' = -lam y - g, from rest at (1, 0)."""
    phi, rate = swing(t, pi / 2, G)
    x, y = sin(phi), -cos(phi)
    return {"x": x, "y": y, "x'": -rate * y, "y'": rate * x, "lam": rate**2 - G * y}


#: The start of rod_motion.
HORIZONTAL = {"x": 1.0, "y": 0.0, "x'": 0.0, "y'": 0.0}


def rod_energy(values: Values) -> float:
    """Return the energy of the unit mass."""
    return (values["x'"] ** 2 + values["y'"] ** 2) / 2 + G * values["y"]


def pendulum_equations() -> DAE:
    """Return the pendulum in Cartesian coordinates, raw."""

    @dae(variables="x y lam", parameters={"g": G})
    def pendulum(t, v, d, p):
        return {
            "horizontal": d(v.x, 2) + v.lam * v.x,
            "vertical": d(v.y, 2) + v.lam * v.y + p.g,
            "rod": v.x**2 + v.y**2 - 1,
        }

    return pendulum


def pendulum(end: int) -> Problem:
    """Return the pendulum in Cartesian coordinates on (0, end), end = 1, 10 or 100."""
    key = f"pendulum_T{end}"
    return Problem(
        name=f"pendulum-{end}",
        title="pendulum in Cartesian coordinates",
        source=source(key),
        dae=pendulum_equations(),
        at={**HORIZONTAL, "lam": 0.0},
        span=(0.0, float(end)),
        structural_index=3,
        index=3,
        freedom=2,
        end=reference(key, ["x", "y", "x'", "y'", "lam"]),
        end_digits=14,
        exact=rod_motion,
        invariants={"energy": rod_energy},
    )


def car_axis() -> Problem:
    """Return the car axis of the IVP Test Set: a rod on two springs, its left end following a bumpy road."""
    eps, M, L, L0, r, w = 0.01, 10.0, 1.0, 0.5, 0.1, 10.0
    k = M * eps**2 / 2

    @dae(variables="xl yl xr yr lam1 lam2")
    def car_axis(t, v, d, p):
        yb = r * ca.sin(w * t)
        xb = ca.sqrt(L**2 - yb**2)
        Ll, Lr = ca.sqrt(v.xl**2 + v.yl**2), ca.sqrt((v.xr - xb) ** 2 + (v.yr - yb) ** 2)
        pull_l, pull_r = (L0 - Ll) / Ll, (L0 - Lr) / Lr
        return {
            "left_x": k * d(v.xl, 2) - (pull_l * v.xl + v.lam1 * xb + 2 * v.lam2 * (v.xl - v.xr)),
            "left_y": k * d(v.yl, 2) - (pull_l * v.yl + v.lam1 * yb + 2 * v.lam2 * (v.yl - v.yr) - k),
            "right_x": k * d(v.xr, 2) - (pull_r * (v.xr - xb) - 2 * v.lam2 * (v.xl - v.xr)),
            "right_y": k * d(v.yr, 2) - (pull_r * (v.yr - yb) - 2 * v.lam2 * (v.yl - v.yr) - k),
            "road": v.xl * xb + v.yl * yb,
            "axis": (v.xl - v.xr) ** 2 + (v.yl - v.yr) ** 2 - L**2,
        }

    points = ["xl", "yl", "xr", "yr"]
    return Problem(
        name="car-axis",
        title="car axis",
        source=source("caraxis"),
        dae=car_axis,
        at=dict(zip([*points, *(f"{x}'" for x in points)], (0, 0.5, 1, 0.5, -0.5, 0, -0.5, 0), strict=True))
        | {"lam1": 0.0, "lam2": 0.0},
        span=(0.0, 3.0),
        structural_index=3,
        index=3,
        freedom=4,  # 4 coordinates, 2 constraints
        end=reference("caraxis", [*points, *(f"{x}'" for x in points), "lam1", "lam2"]),
        end_digits=13,
    )


def slider_crank() -> Problem:
    """Return a crank of length 1, a rod of length 2 and a slider, unit masses at the two joints."""

    @dae(variables="x1 y1 x2 y2 lam1 lam2 lam3", parameters={"g": G})
    def slider_crank(t, v, d, p):
        dx, dy = v.x2 - v.x1, v.y2 - v.y1
        return {
            "joint_x": d(v.x1, 2) + v.lam1 * v.x1 - v.lam2 * dx,
            "joint_y": d(v.y1, 2) + v.lam1 * v.y1 - v.lam2 * dy + p.g,
            "slider_x": d(v.x2, 2) + v.lam2 * dx,
            "slider_y": d(v.y2, 2) + v.lam2 * dy + v.lam3 + p.g,
            "crank": v.x1**2 + v.y1**2 - 1,
            "rod": dx**2 + dy**2 - 4,
            "rail": v.y2,
        }

    def energy(q: Values) -> float:
        return sum(q[f"{x}'"] ** 2 for x in ("x1", "y1", "x2", "y2")) / 2 + G * (q["y1"] + q["y2"])

    x1, y1 = cos(1.0), sin(1.0)
    names = ["x1", "y1", "x2", "y2", "x1'", "y1'", "x2'", "y2'"]
    return Problem(
        name="slider-crank",
        title="slider-crank in absolute coordinates",
        source=source("slider_crank"),
        dae=slider_crank,
        at=dict(zip(names, (x1, y1, x1 + sqrt(4 - y1**2), 0, 0, 0, 0, 0), strict=True)),
        span=(0.0, 5.0),
        structural_index=3,
        index=3,
        freedom=2,  # 4 coordinates, 3 constraints
        end=reference("slider_crank", names),
        end_digits=15,
        invariants={"energy": energy},
    )


def rods(N: int) -> Problem:
    """Return N unit masses on a chain of N unit rods, let go horizontally: for N = 2 the double pendulum."""

    @dae(variables={"x": N, "y": N, "lam": N}, parameters={"g": G})
    def rods(t, v, d, p):
        dx, dy = v.x - ca.vertcat(0, v.x[:-1]), v.y - ca.vertcat(0, v.y[:-1])  # from one mass to the next
        pull_x, pull_y = v.lam * dx, v.lam * dy
        return {
            "horizontal": d(v.x, 2) + pull_x - ca.vertcat(pull_x[1:], 0),
            "vertical": d(v.y, 2) + pull_y - ca.vertcat(pull_y[1:], 0) + p.g,
            "rod": dx**2 + dy**2 - 1,
        }

    def energy(q: Values) -> float:
        return sum((q[f"x[{i}]'"] ** 2 + q[f"y[{i}]'"] ** 2) / 2 + G * q[f"y[{i}]"] for i in range(N))

    names = [jet_name(f"{c}[{i}]", k) for k in (0, 1) for c in "xy" for i in range(N)]
    at: dict[str, Any] = {"x": np.arange(1.0, N + 1), "lam": np.zeros(N)}
    return Problem(
        name=f"rods-{N}",
        title=f"a chain of {N} rods" if N > 2 else "double pendulum",
        source=source("double_pendulum") if N == 2 else "energy",
        dae=rods,
        at=at | dict.fromkeys(("y", "x'", "y'"), np.zeros(N)),
        span=(0.0, 2.0),
        structural_index=3,
        index=3,
        freedom=2 * N,  # 2 N coordinates, N constraints
        end=reference("double_pendulum", names) if N == 2 else None,
        end_digits=15 if N == 2 else None,
        invariants={"energy": energy},
    )


def cycloid() -> Problem:
    """Return a bead on Huygens' cycloid, given by the angle theta as a massless coordinate.

    x = a (theta + sin theta), y = a (1 - cos theta): the arc length from the bottom is 4 a sin(theta/2), and
    oscillates harmonically with the frequency sqrt(g/4a) at every amplitude.
    """
    a, amplitude = 0.5, 2.0
    w = sqrt(G / (4 * a))

    @dae(variables="x y theta lam mu", parameters={"g": G, "a": a})
    def cycloid(t, v, d, p):
        return {
            "horizontal": d(v.x, 2) - v.lam,
            "vertical": d(v.y, 2) - v.mu + p.g,
            "no_friction": v.lam * (1 + ca.cos(v.theta)) + v.mu * ca.sin(v.theta),
            "wire_x": v.x - p.a * (v.theta + ca.sin(v.theta)),
            "wire_y": v.y - p.a * (1 - ca.cos(v.theta)),
        }

    def exact(t: float) -> dict[str, float]:
        s, rate = sin(amplitude / 2) * cos(w * t), -w * sin(amplitude / 2) * sin(w * t)  # sin(theta/2), its derivative
        c = sqrt(1 - s**2)
        theta = 2 * np.arcsin(s)
        x, y = a * (theta + 2 * s * c), 2 * a * s**2
        # x' = 4 a c rate, y' = 4 a s rate, and once more:
        lam = 4 * a * (-s / c * rate**2 - w**2 * s * c)
        mu = 4 * a * (rate**2 - w**2 * s**2) + G
        return {"x": x, "y": y, "theta": theta, "x'": 4 * a * c * rate, "y'": 4 * a * s * rate, "lam": lam, "mu": mu}

    return Problem(
        name="cycloid",
        title="a bead on a cycloid",
        source="Huygens' isochronous pendulum",
        dae=cycloid,
        at=exact(0.0),
        span=(0.0, 3.0),
        structural_index=3,
        index=3,  # theta is a coordinate without mass
        freedom=2,  # 3 coordinates, 2 constraints
        exact=exact,
        end_digits=14,
        invariants={"energy": lambda q: (q["x'"] ** 2 + q["y'"] ** 2) / 2 + G * q["y"]},
    )


def scaled_pendulum() -> Problem:
    """Return the pendulum with its equations in units that differ by 1e12."""

    @dae(variables="x y lam", parameters={"g": G})
    def scaled_pendulum(t, v, d, p):
        return {
            "horizontal": 1e6 * (d(v.x, 2) + v.lam * v.x),
            "vertical": d(v.y, 2) + v.lam * v.y + p.g,
            "rod": 1e-6 * (v.x**2 + v.y**2 - 1),
        }

    plain = pendulum(10)
    return Problem(
        name="pendulum-scaled",
        title="pendulum, its equations scaled by 1e6, 1 and 1e-6",
        source=plain.source,
        dae=scaled_pendulum,
        at=plain.at,
        span=plain.span,
        structural_index=3,
        index=3,
        freedom=2,
        end=plain.end,
        end_digits=plain.end_digits,
        exact=rod_motion,
        invariants=plain.invariants,
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    **{f"pendulum-{end}": partial(pendulum, end) for end in (1, 10, 100)},
    "pendulum-scaled": scaled_pendulum,
    "car-axis": car_axis,
    "slider-crank": slider_crank,
    **{f"rods-{N}": partial(rods, N) for N in (2, 5)},
    "cycloid": cycloid,
}
