"""The Engel group and the Cartan group, in the coordinates of Sachkov's school."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, pi, sqrt
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.geometry.subriemannian import SubRiemannian
from subriem.zoo.spaces.elliptic import first_root, jacobi
from subriem.zoo.spaces.space import Cut, Space


def _engel_law(g: ca.SX, h: ca.SX) -> list[Any]:
    x, y, z, v = (g[i] for i in range(4))
    a, b, c, d = (h[i] for i in range(4))
    return [x + a, y + b, z + c + (x * b - y * a) / 2, v + d + y * b * (y + b) / 2 + x * c + x * b * (x + a) / 2]


def engel() -> Space:
    """Return the Engel group: dx - y/2 dz, dy + x/2 dz + (x^2 + y^2)/2 dv."""
    return Space(
        name="engel",
        title="Engel group",
        source="Ardentov, Sachkov, Sbornik Math. 202 (2011)",
        structure=SubRiemannian.from_frame(
            lambda q: [[1, 0, -q[1] / 2, 0], [0, 1, q[0] / 2, (q[0] ** 2 + q[1] ** 2) / 2]],
            4,
            coordinates=["x", "y", "z", "v"],
            name="Engel group",
        ),
        points={"origin": np.zeros(4), "elsewhere": np.array([0.1, 0.2, 0.3, 0.4])},
        growth={"origin": (2, 3, 4), "elsewhere": (2, 3, 4)},
        translate=_engel_law,
        weights=(1, 1, 2, 3),
        cut=Cut(
            _engel_cut,
            "the cut time is the first Maxwell time",
            "Ardentov, Sachkov, Cut time in sub-Riemannian problem on Engel group, ESAIM COCV 21 (2015)",
        ),
    )


def _engel_cut(p: Array) -> float:
    """Return the cut time by the pendulum theta' = c, c' = -alpha sin theta, h_1 = -sin theta, h_2 = cos theta."""
    from scipy.special import ellipe, ellipeinc, ellipk

    speed = float(np.hypot(p[0], p[1]))
    if not speed:
        return inf
    theta, c, alpha = np.arctan2(-p[0], p[1]), p[2] / speed, p[3] / speed
    if alpha < 0:  # (x, y, v) -> -(x, y, v) turns the pendulum over
        theta, alpha = theta + pi, -alpha
    if not alpha:
        return 2 * pi / abs(c) / speed if c else inf
    m = c**2 / (4 * alpha) + np.sin(theta / 2) ** 2  # (energy + alpha) / (2 alpha)
    if m in (0.0, 1.0):  # at rest, or on the separatrix
        return inf
    if m > 1:  # it goes round
        return 2 * float(ellipk(1 / m)) / sqrt(m * alpha) / speed
    K, E = float(ellipk(m)), float(ellipe(m))

    def maxwell(u: float) -> float:
        sn, cn, dn, phi = jacobi(u, m)
        return float(dn * sn + (u - 2 * ellipeinc(phi, m)) * cn)

    # its values at K, 2 K, 3 K are k', 2 (2 E - K), -k'
    root = first_root(maxwell, 2 * K, 3 * K) if 2 * E > K else first_root(maxwell, K, 2 * K)
    return min(2 * root, 4 * K) / sqrt(alpha) / speed


def cartan() -> Space:
    """Return the Cartan group: dx - y/2 dz - (x^2 + y^2)/2 dw, dy + x/2 dz + (x^2 + y^2)/2 dv."""

    def fields(q: ca.SX) -> list[list[Any]]:
        square = (q[0] ** 2 + q[1] ** 2) / 2
        return [[1, 0, -q[1] / 2, 0, -square], [0, 1, q[0] / 2, square, 0]]

    def translate(g: ca.SX, h: ca.SX) -> list[Any]:
        x, y, w = g[0], g[1], g[4]
        a, b, c = h[0], h[1], h[2]
        return [*_engel_law(g[:4], h[:4]), w + h[4] - x * a * (x + a) / 2 + y * c - y * a * (y + b) / 2]

    return Space(
        name="cartan",
        title="Cartan group",
        source="Sachkov, Exponential mapping in generalized Dido's problem, Sbornik Math. 194 (2003)",
        structure=SubRiemannian.from_frame(fields, 5, coordinates=["x", "y", "z", "v", "w"], name="Cartan group"),
        points={"origin": np.zeros(5), "elsewhere": 0.1 * np.arange(1.0, 6.0)},
        growth={"origin": (2, 3, 5), "elsewhere": (2, 3, 5)},
        translate=translate,
        weights=(1, 1, 2, 3, 3),
    )


MAKERS: dict[str, Callable[[], Space]] = {"engel": engel, "cartan": cartan}
