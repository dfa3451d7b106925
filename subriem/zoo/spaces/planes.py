"""Spaces whose growth vector changes: the Grushin plane, and the Martinet distribution with two metrics."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, pi, sqrt
from typing import Any

import numpy as np

from subriem.core.protocols import Array
from subriem.geometry.subriemannian import SubRiemannian
from subriem.zoo.spaces.dido import least_length, less_sine
from subriem.zoo.spaces.elliptic import jacobi, quadrature
from subriem.zoo.spaces.space import Cut, Space

#: The first positive root of tan x = x.
_TANGENT = 4.493409457909064


def grushin() -> Space:
    """Return the plane with the fields dx, x dy, which become dependent on the line x = 0."""

    def exp(p: Array, t: float) -> Array:
        angle = p[1] * t
        return np.array([p[0] * t * np.sinc(angle / pi), p[0] ** 2 * t**2 * less_sine(2 * angle)])

    def after(angle: float) -> Callable[[Array], float]:
        return lambda p: angle / abs(p[1]) if p[0] and p[1] else inf

    return Space(
        name="grushin",
        title="Grushin plane",
        source="Agrachev, Barilari, Boscain 2019, ch. 13",
        structure=SubRiemannian.from_frame(
            lambda q: [[1, 0], [0, q[0]]], 2, coordinates=["x", "y"], name="Grushin plane"
        ),
        points={"origin": np.zeros(2), "singular": np.array([0.0, 0.3]), "regular": np.array([0.7, 0.3])},
        growth={"origin": (1, 2), "singular": (1, 2), "regular": (2,)},
        weights=(1, 2),
        exp=exp,
        conjugate=after(_TANGENT),
        cut=Cut(
            after(pi),
            "from a point of the line x = 0 the cut time is pi / |p_y|, before the first conjugate time",
            "Agrachev, Barilari, Boscain 2019, ch. 13",
        ),
        length=lambda q: least_length(q[1] / 2, [abs(q[0])], [1.0]),
    )


def martinet() -> Space:
    """Return the flat Martinet space, dx and dy + x^2/2 dz: the line x = z = 0 is abnormal, and minimal."""
    return Space(
        name="martinet",
        title="flat Martinet space",
        source="Agrachev, Bonnard, Chyba, Kupka, Sub-Riemannian sphere in Martinet flat case, ESAIM COCV 2 (1997)",
        structure=SubRiemannian.from_frame(
            lambda q: [[1, 0, 0], [0, 1, q[0] ** 2 / 2]], 3, coordinates=["x", "y", "z"], name="flat Martinet space"
        ),
        points={
            "origin": np.zeros(3),
            "singular": np.array([0.0, 0.2, 0.1]),
            "regular": np.array([0.5, 0.2, 0.1]),
        },
        growth={"origin": (2, 2, 3), "singular": (2, 2, 3), "regular": (2, 3)},
        weights=(1, 1, 3),
        exp=_martinet_exp,
        cut=Cut(
            _martinet_cut,
            "the cut time is that of the first return to the plane x = 0, 2 K(k) / sqrt(|p_z| |u|)",
            "Agrachev, Bonnard, Chyba, Kupka 1997",
        ),
        length=lambda q: (
            abs(float(q[1])) if not q[0] and not q[2] else None
        ),  # |y'| <= |u|; the abnormal line attains it
    )


def _martinet_modulus(p: Array) -> tuple[float, float, float]:
    """Return |u|, sqrt(|p_z| |u|), and k^2 = (1 - cos) / 2 of the angle between u(0) and the y-axis."""
    speed = float(np.hypot(p[0], p[1]))
    along = p[1] if p[2] >= 0 else -p[1]  # (y, z) -> (-y, -z) makes p_z positive
    return speed, sqrt(abs(p[2]) * speed), (1 - along / speed) / 2 if speed else 0.0


def _martinet_exp(p: Array, t: float) -> Array:
    _, rate, m = _martinet_modulus(p)
    if not rate:
        return np.array([p[0], p[1], p[0] ** 2 * p[1] * t**2 / 6]) * t

    def x(s: Any) -> Any:
        """Return 2 k k' sd(u) |u| / rate."""
        sn, _, dn, _ = jacobi(rate * s, m)
        return p[0] * sn / (dn * rate)

    def along(s: Array) -> Array:
        """Return y' = u_2 = p_y + p_z x^2 / 2."""
        return p[1] + p[2] * x(s) ** 2 / 2

    swept = quadrature(lambda s: along(s) * x(s) ** 2 / 2, t, rate)
    return np.array([x(t), quadrature(along, t, rate), swept])


def _martinet_cut(p: Array) -> float:
    from scipy.special import ellipk

    _, rate, m = _martinet_modulus(p)
    return 2 * float(ellipk(m)) / rate if rate and p[0] else inf  # straight lines are minimal for ever


def martinet_abnormal() -> Space:
    """Return the Martinet distribution with the metric dx^2 + (1 + x)^2 dy^2: x = 0 is strictly abnormal.

    The line x = z = 0 is minimal over short stretches (Liu, Sussmann 1995), and no normal geodesic runs along it.
    """
    return Space(
        name="martinet-abnormal",
        title="Martinet distribution, metric dx^2 + (1 + x)^2 dy^2",
        source="Montgomery, SIAM J. Control Optim. 32 (1994); Liu, Sussmann, Memoirs AMS 564 (1995)",
        structure=SubRiemannian.from_frame(
            lambda q: [[1, 0, 0], [0, 1 / (1 + q[0]), q[0] ** 2 / (2 * (1 + q[0]))]],
            3,
            coordinates=["x", "y", "z"],
            name="strictly abnormal Martinet space",
        ),
        points={
            "origin": np.zeros(3),
            "singular": np.array([0.0, 0.2, 0.1]),
            "regular": np.array([0.5, 0.2, 0.1]),
        },
        growth={"origin": (2, 2, 3), "singular": (2, 2, 3), "regular": (2, 3)},
    )


MAKERS: dict[str, Callable[[], Space]] = {
    "grushin": grushin,
    "martinet": martinet,
    "martinet-abnormal": martinet_abnormal,
}
