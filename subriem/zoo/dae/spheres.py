"""Points on spheres, with the multipliers of Lagrange: index 3, freedom 2 (coordinates - constraints)."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin, sqrt

import casadi as ca
import numpy as np

from subriem.reduction.dae import dae
from subriem.zoo.dae.mechanics import G, swing
from subriem.zoo.dae.problem import Problem, reference, source


def fekete() -> Problem:
    """Return the Fekete problem of the IVP Test Set: 20 points that repel each other on the unit sphere."""
    points = 20

    @dae(variables={"p": 3 * points, "lam": points}, parameters={"alpha": 0.5})
    def fekete(t, v, d, p):
        q = ca.reshape(v.p, 3, points)
        speed = ca.reshape(d(v.p), 3, points)
        acceleration = ca.reshape(d(v.p, 2), 3, points)
        rows = []
        for i in range(points):
            force = -p.alpha * speed[:, i] + 2 * v.lam[i] * q[:, i]
            for j in range(points):
                if j != i:
                    away = q[:, i] - q[:, j]
                    force += away / ca.sumsqr(away)
            rows.append(acceleration[:, i] - force)
        return {"motion": ca.vertcat(*rows), "sphere": ca.sum1(q**2).T - 1}

    rings = [(3, pi / 13, 3 * pi / 8), (7, pi / 29, pi / 8), (6, pi / 7, -2 * pi / 15), (4, pi / 17, -3 * pi / 10)]
    # The fourth ring counts from 0, the others from 1.
    angles = [(2 * pi * (i + (n != 4)) / n + shift, height) for n, shift, height in rings for i in range(n)]
    start = np.array([(cos(a) * cos(b), sin(a) * cos(b), sin(b)) for a, b in angles]).ravel()
    positions = [f"p[{i}]" for i in range(3 * points)]
    names = [*positions, *(f"{x}'" for x in positions), *(f"lam[{i}]" for i in range(points))]
    return Problem(
        name="fekete",
        title="20 repelling points on the sphere",
        source=source("fekete"),
        dae=fekete,
        at={"p": start, "p'": np.zeros(3 * points)},
        span=(0.0, 1000.0),
        structural_index=3,
        index=3,
        freedom=80,  # 60 coordinates, 20 constraints
        end=reference("fekete", names),
        end_digits=14,
        scale="absolute",
    )


def sphere_plane() -> Problem:
    """Return a unit mass on the circle in which a sphere and an inclined plane meet, from rest.

    The circle has radius rho about the point h n, n = (1, 1, 1)/sqrt(3), and gravity g sqrt(2/3) acts in its plane.
    """
    h = 0.1 / sqrt(3)
    rho = sqrt(1 - h**2)
    n = np.ones(3) / sqrt(3)
    down = np.array([1.0, 1.0, -2.0]) / sqrt(6)  # the steepest descent in the plane
    across = np.array([1.0, -1.0, 0.0]) / sqrt(2)

    @dae(variables="x y z lam mu", parameters={"g": G})
    def sphere_plane(t, v, d, p):
        return {
            "motion_x": d(v.x, 2) + v.lam * v.x + v.mu,
            "motion_y": d(v.y, 2) + v.lam * v.y + v.mu,
            "motion_z": d(v.z, 2) + v.lam * v.z + v.mu + p.g,
            "sphere": v.x**2 + v.y**2 + v.z**2 - 1,
            "plane": v.x + v.y + v.z - 0.1,
        }

    def exact(t: float) -> dict[str, float]:
        phi, rate = swing(t, pi / 2, G * sqrt(2 / 3) / rho)
        place = h * n + rho * (cos(phi) * down + sin(phi) * across)
        speed = rho * rate * (cos(phi) * across - sin(phi) * down)
        lam = rate**2 + G * sqrt(2 / 3) * cos(phi) / rho  # the radial part of the motion
        mu = -(G / sqrt(3) + lam * h) / sqrt(3)  # its part along n
        found = dict(zip("xyz", place.tolist(), strict=True)) | {"lam": lam, "mu": mu}
        return found | {f"{name}'": value for name, value in zip("xyz", speed.tolist(), strict=True)}

    return Problem(
        name="sphere-plane",
        title="a mass on a sphere and on an inclined plane",
        source="a pendulum on an inclined circle: Jacobi elliptic functions, DLMF 22.19(i)",
        dae=sphere_plane,
        at=exact(0.0),
        span=(0.0, 5.0),
        structural_index=3,
        index=3,
        freedom=2,  # 3 coordinates, 2 constraints
        exact=exact,
        end_digits=13,
        invariants={"energy": lambda q: (q["x'"] ** 2 + q["y'"] ** 2 + q["z'"] ** 2) / 2 + G * q["z"]},
    )


def sphere_level() -> Problem:
    """Return a unit mass on a sphere and on the horizontal plane z = c: it runs round at constant speed."""
    c, w = 0.6, 2.0
    r = sqrt(1 - c**2)

    @dae(variables="x y z lam mu", parameters={"g": G, "c": c})
    def sphere_level(t, v, d, p):
        return {
            "motion_x": d(v.x, 2) + v.lam * v.x,
            "motion_y": d(v.y, 2) + v.lam * v.y,
            "motion_z": d(v.z, 2) + v.lam * v.z + v.mu + p.g,
            "sphere": v.x**2 + v.y**2 + v.z**2 - 1,
            "level": v.z - p.c,
        }

    def exact(t: float) -> dict[str, float]:
        x, y = r * cos(w * t), r * sin(w * t)
        speed = {"x'": -w * y, "y'": w * x, "z'": 0.0}
        return {"x": x, "y": y, "z": c, **speed, "lam": w**2, "mu": -G - w**2 * c}

    return Problem(
        name="sphere-level",
        title="a mass on a sphere and on a horizontal plane",
        source="uniform rotation",
        dae=sphere_level,
        at=exact(0.0),
        span=(0.0, 10.0),
        structural_index=3,
        index=3,
        freedom=2,  # 3 coordinates, 2 constraints
        exact=exact,
        end_digits=14,
        invariants={"speed": lambda q: q["x'"] ** 2 + q["y'"] ** 2 + q["z'"] ** 2},
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    "fekete": fekete,
    "sphere-plane": sphere_plane,
    "sphere-level": sphere_level,
}
