"""Constraints on velocities, A(q) q' = 0: index 2 in Lagrange's form, M q'' = f + A^T lam.

lam needs the derivative of A q' = 0, lam' one more. The start may be chosen on A q' = 0: freedom 2 n - m.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, sin

import casadi as ca

from subriem.reduction.dae import dae
from subriem.zoo.dae.problem import Problem


def knife_edge() -> Problem:
    """Return a knife edge that turns on an inclined plane: it does not slide down, but drifts sideways."""
    g, w = 9.81 * sin(0.3), 2.0

    @dae(variables="x y phi lam", parameters={"g": g})
    def knife_edge(t, v, d, p):
        return {
            "downhill": d(v.x, 2) - p.g - v.lam * ca.sin(v.phi),
            "across": d(v.y, 2) + v.lam * ca.cos(v.phi),
            "turning": d(v.phi, 2),
            "edge": d(v.x) * ca.sin(v.phi) - d(v.y) * ca.cos(v.phi),
        }

    def exact(t: float) -> dict[str, float]:
        s, c = sin(w * t), cos(w * t)
        x, y = g / (2 * w**2) * s**2, g / (2 * w**2) * (w * t - s * c)
        speed = {"x'": g / w * s * c, "y'": g / w * s**2, "phi'": w}
        return {"x": x, "y": y, "phi": w * t, **speed, "lam": -2 * g * s}

    return Problem(
        name="knife-edge",
        title="a knife edge on an inclined plane",
        source="Neimark & Fufaev, Dynamics of Nonholonomic Systems (1972)",
        dae=knife_edge,
        at=exact(0.0),
        span=(0.0, 5.0),
        structural_index=2,
        index=2,
        freedom=5,  # 3 coordinates, 1 constraint
        exact=exact,
        end_digits=14,
        invariants={"energy": lambda q: (q["x'"] ** 2 + q["y'"] ** 2 + q["phi'"] ** 2) / 2 - g * q["x"]},
    )


def rolling_disc() -> Problem:
    """Return an upright disc that rolls and turns at constant rates: it runs round a circle."""
    m, inertia, R, rolling, turning = 1.0, 0.5, 0.4, 3.0, 0.8

    @dae(variables="x y theta phi lam mu", parameters={"m": m, "inertia": inertia, "R": R})
    def rolling_disc(t, v, d, p):
        return {
            "motion_x": p.m * d(v.x, 2) - v.lam,
            "motion_y": p.m * d(v.y, 2) - v.mu,
            "rolling": p.inertia * d(v.theta, 2) + p.R * (v.lam * ca.cos(v.phi) + v.mu * ca.sin(v.phi)),
            "turning": d(v.phi, 2),
            "no_slip_x": d(v.x) - p.R * d(v.theta) * ca.cos(v.phi),
            "no_slip_y": d(v.y) - p.R * d(v.theta) * ca.sin(v.phi),
        }

    def exact(t: float) -> dict[str, float]:
        s, c, speed = sin(turning * t), cos(turning * t), R * rolling
        place = {"x": speed / turning * s, "y": speed / turning * (1 - c), "theta": rolling * t, "phi": turning * t}
        rates = {"x'": speed * c, "y'": speed * s, "theta'": rolling, "phi'": turning}
        return {**place, **rates, "lam": -m * speed * turning * s, "mu": m * speed * turning * c}

    return Problem(
        name="rolling-disc",
        title="an upright rolling disc",
        source="uniform rotation; Bloch, Nonholonomic Mechanics and Control (2003), 1.4",
        dae=rolling_disc,
        at=exact(0.0),
        span=(0.0, 5.0),
        structural_index=2,
        index=2,
        freedom=6,  # 4 coordinates, 2 constraints
        exact=exact,
        end_digits=14,
        invariants={"energy": lambda q: m * (q["x'"] ** 2 + q["y'"] ** 2) / 2 + inertia * q["theta'"] ** 2 / 2},
    )


MAKERS: dict[str, Callable[[], Problem]] = {"knife-edge": knife_edge, "rolling-disc": rolling_disc}
