"""SE(2), motions of the plane: a vehicle that rolls and turns on the spot."""

from __future__ import annotations

from collections.abc import Callable
from math import atan2, cos, hypot, inf, pi, sin
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.geometry.subriemannian import SubRiemannian
from subriem.zoo.spaces.elliptic import first_root, jacobi, quadrature
from subriem.zoo.spaces.space import Cut, Space

#: Roundoff in a point that was translated.
_ROUNDOFF = 1e-14


def se2() -> Space:
    """Return SE(2): cos th dx + sin th dy and d_th, with the angle on the real line.

    Cut times and distances are those of angles modulo 2 pi.
    """

    def translate(g: ca.SX, h: ca.SX) -> list[Any]:
        c, s = ca.cos(g[2]), ca.sin(g[2])
        return [g[0] + c * h[0] - s * h[1], g[1] + s * h[0] + c * h[1], g[2] + h[2]]

    def inverse(g: Array) -> Array:
        c, s = cos(g[2]), sin(g[2])
        return np.array([-c * g[0] - s * g[1], s * g[0] - c * g[1], -g[2]])

    return Space(
        name="se2",
        title="SE(2), motions of the plane",
        source="Moiseev, Sachkov, ESAIM COCV 16 (2010)",
        structure=SubRiemannian.from_frame(
            lambda q: [[ca.cos(q[2]), ca.sin(q[2]), 0], [0, 0, 1]],
            3,
            coordinates=["x", "y", "theta"],
            name="SE(2)",
        ),
        points={"origin": np.zeros(3), "elsewhere": np.array([0.3, 0.2, 0.7])},
        growth={"origin": (2, 3), "elsewhere": (2, 3)},
        translate=translate,
        inverse=inverse,
        exp=_exp,
        cut=Cut(
            _cut,
            "the cut time is the first Maxwell time: of angles modulo 2 pi",
            "Sachkov, Cut locus and optimal synthesis in the sub-Riemannian problem on the group of motions of a "
            "plane, ESAIM COCV 17 (2011)",
        ),
        length=_length,
    )


def _length(q: Array) -> float | None:
    """Return the length of a straight drive or a turn on the spot: |u| is at least both rates."""
    turn = abs(float(np.remainder(q[2] + pi, 2 * pi)) - pi)
    roundoff = _ROUNDOFF * (1.0 + abs(float(q[0])))
    if hypot(q[0], q[1]) <= roundoff:
        return turn
    return abs(float(q[0])) if max(abs(q[1]), turn) <= roundoff else None


def _exp(p: Array, t: float) -> Array:
    """Return the exponential map through the pendulum chi'^2 = 1 - r^2 sin^2 chi, chi the angle to the normal of p.

    In the frame of the direction beta of (p_x, p_y) the velocity is r (sin^2 chi, -sin chi cos chi), at unit speed.
    Where the pendulum starts within d of its rest on top, the error is about eps exp(t)/d, or d exp(t) if that is less.
    """
    speed = hypot(p[0], p[2])
    if not speed:
        return np.zeros(3)
    (px, py, turning), t = p / speed, t * speed
    r, beta = hypot(px, py), atan2(py, px)
    chi = float(np.remainder(-beta + pi / 2, 2 * pi)) - pi  # in [-pi, pi)
    along, across, turned = (_round if r < 1 else _swinging)(r, chi, turning, t)
    c, s = cos(beta), sin(beta)
    return np.array([c * along - s * across, s * along + c * across, turned])


def _round(r: float, chi: float, turning: float, t: float) -> tuple[float, float, float]:
    """Return the motion for r < 1, where chi goes round: sin chi = sn(u, r), u = u_0 +- t."""
    from scipy.special import ellipkinc

    sign, m = (1.0 if turning >= 0 else -1.0), r**2
    first = float(ellipkinc(chi, m))
    last = first + sign * t
    (sn, dn), (sn0, dn0) = ((j[0], j[2]) for j in (jacobi(last, m), jacobi(first, m)))
    along = r * quadrature(lambda s: jacobi(first + sign * s, m)[0] ** 2, t, 1.0)
    across = -sign * r * (sn**2 - sn0**2) / (dn + dn0)  # (dn - dn_0) / r
    return along, float(across), float(jacobi(last, m)[3]) - chi


def _swinging(r: float, chi: float, turning: float, t: float) -> tuple[float, float, float]:
    """Return the motion for r >= 1, where chi swings about 0 or pi: sin chi = k sn(u, k), k = 1/r, u = u_0 +- r t."""
    from scipy.special import ellipkinc

    k, m = 1 / r, 1 / r**2
    side = 1.0 if cos(chi) >= 0 else -1.0
    sign = 1.0 if side * turning >= 0 else -1.0
    first = float(ellipkinc(atan2(r * sin(chi), abs(turning)), m))
    if not np.isfinite(first):  # at rest on top: it drives straight on
        return r * sin(chi) ** 2 * t, -r * sin(chi) * cos(chi) * t, 0.0
    last = first + sign * r * t
    (sn, cn, dn, _), (sn0, cn0, dn0, _) = jacobi(last, m), jacobi(first, m)
    along = r * quadrature(lambda s: m * jacobi(first + sign * r * s, m)[0] ** 2, t, r)
    across = side * sign * k * (cn - cn0)
    return along, float(across), side * (atan2(k * sn, dn) - atan2(k * sn0, dn0))


def _cut(p: Array) -> float:
    from scipy.special import ellipeinc, ellipk

    speed = hypot(p[0], p[2])
    if not speed:
        return inf
    r = hypot(p[0], p[1]) / speed
    if r == 1:
        return inf
    if r < 1:
        return 2 * float(ellipk(r**2)) / speed
    k, m = 1 / r, 1 / r**2
    K = float(ellipk(m))

    def maxwell(u: float) -> float:
        sn, cn, dn, phi = jacobi(u, m)
        return float(cn * (ellipeinc(phi, m) - u) - dn * sn)

    # -k' at K, and K - E > 0 times 2 at 2 K
    return 2 * k * first_root(maxwell, K, 2 * K) / speed


MAKERS: dict[str, Callable[[], Space]] = {"se2": se2}
