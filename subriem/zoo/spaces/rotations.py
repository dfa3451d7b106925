"""SU(2) and SO(3) in redundant charts, and the ball that rolls on a plane."""

from __future__ import annotations

from collections.abc import Callable
from math import atan2, cos, hypot, inf, pi, sin, sqrt
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.geometry.subriemannian import SubRiemannian
from subriem.zoo.spaces.space import Cut, Space

_UNIT = np.array([1.0, 0.0, 0.0, 0.0])
#: Roundoff in a point of a redundant chart.
_ROUNDOFF = 1e-14


def quaternion_product(g: Any, h: Any) -> list[Any]:
    """Return g h for quaternions (a, b, c, d) = a + b i + c j + d k."""
    a, b, c, d = (g[i] for i in range(4))
    e, f, x, y = (h[i] for i in range(4))
    return [
        a * e - b * f - c * x - d * y,
        a * f + b * e + c * y - d * x,
        a * x - b * y + c * e + d * f,
        a * y + b * x - c * f + d * e,
    ]


def _conjugate(g: Array) -> Array:
    return g * np.array([1.0, -1.0, -1.0, -1.0])


def _exp(u1: float, u2: float, c: float, t: float) -> Array:
    """Return exp((u_1 p_1 + u_2 p_2 + c k) t) exp(-c k t) for p_1 = i/2, p_2 = j/2, k = [p_1, p_2]."""
    size = sqrt(u1**2 + u2**2 + c**2)
    half, back = size * t / 2, c * t / 2
    axis = np.array([u1, u2, c]) * t / 2 * np.sinc(half / pi)
    return np.array(quaternion_product([cos(half), *axis], [cos(back), 0.0, 0.0, -sin(back)]))


def _closing(u1: float, u2: float, c: float) -> float:
    """Return 2 pi / sqrt(|u|^2 + c^2), when the geodesic is back on the fibre over 1; a point stays minimal."""
    return 2 * pi / sqrt(u1**2 + u2**2 + c**2) if u1 or u2 else inf


def _vertical(angle: float) -> float:
    """Return the distance from 1 to exp(angle k), 0 <= angle <= 2 pi."""
    return sqrt(angle * (4 * pi - angle))


def su2() -> Space:
    """Return SU(2) as unit quaternions, with the fields q i/2 and q j/2: dim 3 in four coordinates."""

    def fields(q: ca.SX) -> list[list[Any]]:
        return [[x / 2 for x in quaternion_product(q, unit)] for unit in ([0, 1, 0, 0], [0, 0, 1, 0])]

    def time(p: Array) -> float:
        return _closing(p[1] / 2, p[2] / 2, p[3] / 2)

    def length(q: Array) -> float | None:
        """Return the distance along the fibre over 1, sqrt(b (4 pi - b)) at exp(b k)."""
        if hypot(q[1], q[2]) > _ROUNDOFF:
            return None
        return _vertical(2 * abs(atan2(q[3], q[0])))

    theorem = "the cut time is the first conjugate time, 2 pi / sqrt(|u|^2 + c^2)"
    return Space(
        name="su2",
        title="SU(2), unit quaternions",
        source="Boscain, Rossi, SIAM J. Control Optim. 47 (2008)",
        structure=SubRiemannian.from_frame(fields, 3, coordinates=["a", "b", "c", "d"], name="SU(2)"),
        points={"origin": _UNIT, "elsewhere": np.array([0.5, 0.1, 0.7, 0.5])},
        growth={"origin": (2, 3), "elsewhere": (2, 3)},
        translate=quaternion_product,
        inverse=_conjugate,
        exp=lambda p, t: _exp(p[1] / 2, p[2] / 2, p[3] / 2, t),
        conjugate=time,
        cut=Cut(time, theorem, "Boscain, Rossi, Invariant Carnot-Caratheodory metrics on S^3, SO(3), SL(2), 2008"),
        length=length,
    )


def _matrix(q: Any) -> Any:
    """Return the rotation of a unit quaternion."""
    a, b, c, d = (q[i] for i in range(4))
    return [
        [1 - 2 * (c**2 + d**2), 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), 1 - 2 * (b**2 + d**2), 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b**2 + c**2)],
    ]


def so3() -> Space:
    """Return SO(3) as rotation matrices R, column by column, with the fields R E_1, R E_2: dim 3, nine coordinates."""
    generators = [np.array(g, dtype=float) for g in _generators()]

    def fields(q: ca.SX) -> list[ca.SX]:
        R = ca.reshape(q, 3, 3)
        return [ca.vec(R @ ca.DM(g)) for g in generators[:2]]

    def translate(g: ca.SX, h: ca.SX) -> list[ca.SX]:
        return [ca.vec(ca.reshape(g, 3, 3) @ ca.reshape(h, 3, 3))]

    def rates(p: Array) -> tuple[float, float, float]:
        u1, u2, c = (float(p @ g.ravel(order="F")) for g in generators)
        return u1, u2, c

    def exp(p: Array, t: float) -> Array:
        return np.array(_matrix(_exp(*rates(p), t))).ravel(order="F")

    def length(q: Array) -> float | None:
        """Return the shorter of the ways to both quaternions of a rotation about the third axis."""
        if abs(q[8] - 1) > _ROUNDOFF:
            return None
        angle = abs(atan2(q[1], q[0]))
        return min(_vertical(angle), _vertical(2 * pi - angle))

    origin = np.eye(3).ravel()
    return Space(
        name="so3",
        title="SO(3), rotation matrices",
        source="Boscain, Rossi, SIAM J. Control Optim. 47 (2008)",
        structure=SubRiemannian.from_frame(
            fields, 3, coordinates=[f"r{i}{j}" for j in "123" for i in "123"], name="SO(3)"
        ),
        points={"origin": origin, "elsewhere": exp(origin + np.arange(9.0) ** 2, 0.1)},
        growth={"origin": (2, 3), "elsewhere": (2, 3)},
        translate=translate,
        inverse=lambda g: g.reshape((3, 3)).ravel(order="F"),
        exp=exp,
        conjugate=lambda p: _closing(*rates(p)),
        length=length,
    )


def _generators() -> list[list[list[int]]]:
    """Return the infinitesimal rotations about the three axes."""
    return [
        [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
    ]


def rolling_ball() -> Space:
    """Return the unit ball that rolls on a plane without slipping or twisting: (x, y) and the quaternion of the ball.

    The angular velocity in space is w = (-y', x', 0), so that the point of contact is at rest.
    """

    def fields(q: ca.SX) -> list[list[Any]]:
        turn = q[2:]
        along_x = [x / 2 for x in quaternion_product([0, 0, 1, 0], turn)]
        along_y = [-x / 2 for x in quaternion_product([0, 1, 0, 0], turn)]
        return [[1, 0, *along_x], [0, 1, *along_y]]

    return Space(
        name="rolling-ball",
        title="unit ball rolling on a plane",
        source="Jurdjevic, The geometry of the plate-ball problem, Arch. Rational Mech. Anal. 124 (1993)",
        structure=SubRiemannian.from_frame(fields, 5, coordinates=["x", "y", "a", "b", "c", "d"], name="rolling ball"),
        points={"origin": np.array([0.0, 0, *_UNIT]), "elsewhere": np.array([0.3, 0.2, 0.5, 0.1, 0.7, 0.5])},
        growth={"origin": (2, 3, 5), "elsewhere": (2, 3, 5)},
        translate=lambda g, h: [
            g[0] + h[0],
            g[1] + h[1],
            *quaternion_product(h[2:], g[2:]),
        ],  # fields act from the left
    )


MAKERS: dict[str, Callable[[], Space]] = {"su2": su2, "so3": so3, "rolling-ball": rolling_ball}
