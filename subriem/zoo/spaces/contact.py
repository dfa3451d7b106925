"""Contact spaces: Heisenberg groups, and areas swept on surfaces of constant curvature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import gamma, inf, pi, sqrt
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import positive, positive_integer, real_array, vector
from subriem.geometry.subriemannian import SubRiemannian
from subriem.zoo.spaces.dido import chord, least_length, less_sine
from subriem.zoo.spaces.space import Cut, Space

#: Largest n.
LARGEST = 100
#: Nodes of Gauss's rule for the volume of a ball: the Jacobian is entire in p_z.
NODES = 24


def heisenberg(n: int = 1, weights: Sequence[float] | None = None) -> Space:
    """Return H^n with the fields dx_i - a_i y_i/2 dz, dy_i + a_i x_i/2 dz, coordinates (x_1, y_1, …, z).

    Parameters
    ----------
        n : int
        weights : sequence of float, optional
            a_i > 0; ones unless given.

    Examples
    --------
        >>> import numpy as np
        >>> from subriem.zoo.spaces import heisenberg
        >>> round(heisenberg(2, [1, 2]).cut_time(np.zeros(5), [1, 0, 0, 1, 1]).value, 12)
        3.14159265359
    """
    n = positive_integer(n, "n")
    if n > LARGEST:
        raise ProblemError("the Heisenberg group is too large", f"n = {n}", f"at most {LARGEST}", "a smaller n")
    a = np.ones(n) if weights is None else vector(weights, "weights", n)
    for weight in a:
        positive(float(weight), "weight")
    names = "x y z" if n == 1 else " ".join(f"x{i} y{i}" for i in range(1, n + 1)) + " z"
    equal = bool((a == 1).all())
    title = f"Heisenberg group H^{n}" + ("" if equal else f", weights {', '.join(f'{w:g}' for w in a)}")
    size = 2 * n + 1

    def fields(q: ca.SX) -> list[ca.SX]:
        columns = []
        for i, weight in enumerate(a):
            for j, vertical in ((2 * i, -q[2 * i + 1]), (2 * i + 1, q[2 * i])):
                column = ca.SX.zeros(size)
                column[j], column[-1] = 1, weight * vertical / 2
                columns.append(column)
        return columns

    def translate(g: ca.SX, h: ca.SX) -> list[Any]:
        area = sum(w * (g[2 * i] * h[2 * i + 1] - g[2 * i + 1] * h[2 * i]) for i, w in enumerate(a))
        return [*(g[i] + h[i] for i in range(size - 1)), g[-1] + h[-1] + area / 2]

    def exp(p: Array, t: float) -> Array:
        angles = a * p[-1] * t
        moved = t * np.array([chord(angle) for angle in angles]) * _planes(p)
        area = sum(w * abs(u) ** 2 * less_sine(x) for w, u, x in zip(a, _planes(p), angles, strict=True)) * t**2 / 2
        return np.append(np.column_stack([moved.real, moved.imag]).ravel(), area)

    def cut(p: Array) -> float:
        return 2 * pi / (float(a.max()) * abs(p[-1])) if p[-1] and p[:-1].any() else inf

    theorem = "the cut time is the first conjugate time, 2 pi / (max a_i |p_z|)"
    return Space(
        name="heisenberg" if n == 1 and equal else f"heisenberg-{n}" + ("" if equal else "-weighted"),
        title=title,
        source="Gaveau 1977; Agrachev, Barilari, Boscain 2019, ch. 13; Boscain, Barilari, Gauthier 2012",
        structure=SubRiemannian.from_frame(fields, size, coordinates=names.split(), name=title),
        points={"origin": np.zeros(size), "elsewhere": 0.3 * np.arange(1.0, size + 1)},
        growth={"origin": (2 * n, size), "elsewhere": (2 * n, size)},
        translate=translate,
        inverse=np.negative,
        weights=(1,) * (2 * n) + (2,),
        exp=exp,
        conjugate=cut,
        cut=Cut(cut, theorem, "Boscain, Barilari, Gauthier, SIAM J. Control Optim. 50 (2012)"),
        length=lambda q: least_length(q[-1], np.hypot(q[:-1:2], q[1:-1:2]), a),
        ball_volume=partial(_ball_volume, n, fields) if equal else None,
    )


def _planes(q: Array) -> NDArray[np.complex128]:
    """Return x_i + i y_i."""
    return q[:-1:2] + 1j * q[1:-1:2]


def _ball_volume(n: int, fields: Callable[[ca.SX], Any]) -> float:
    """Return the integral of |det dexp| over the covectors |h| <= 1, |p_z| <= 2 pi, where exp at time 1 is injective.

    The determinant depends on p_z and |h| only, and is |h|^2 times that at |h| = 1, by the dilations.
    """
    structure = SubRiemannian.from_frame(fields, 2 * n + 1)
    nodes, shares = np.polynomial.legendre.leggauss(NODES)
    covector = np.eye(2 * n + 1)[0]
    total = 0.0
    for node, share in zip(nodes, shares, strict=True):
        covector[-1] = pi * (1 + node)
        jacobian = structure.shoot(np.zeros(2 * n + 1), covector, 1.0, rtol=1e-13).jacobian()
        total += 2 * pi * share * abs(float(np.linalg.det(jacobian)))  # both signs of p_z
    sphere = 2 * pi**n / gamma(n)
    return sphere * total / (2 * n + 2)


def contact(curvature: float) -> Space:
    """Return the space of curves on a surface of constant curvature k with the area they sweep, (x, y, z).

    The surface has the metric (dx^2 + dy^2)/f^2, f = 1 + k (x^2 + y^2)/4; normal geodesics run over curves of constant
    curvature p_z. This is the family of contact structures with chi = 0 (Agrachev, Barilari 2012): the Heisenberg
    group at k = 0, SU(2) and SL(2) in a chart at k = 1 and -1.

    Parameters
    ----------
    curvature : float
    """
    k = real_array(curvature, "curvature", ndim=0).item()
    title = f"areas on a surface of curvature {k:g}"

    def fields(q: ca.SX) -> list[list[Any]]:
        f = 1 + k * (q[0] ** 2 + q[1] ** 2) / 4
        return [[f, 0, -q[1] / 2], [0, f, q[0] / 2]]

    def conjugate(p: Array) -> float:
        """Return 2 pi / sqrt(p_z^2 + k |u|^2), the time in which a circle of curvature p_z closes."""
        square = p[2] ** 2 + k * (p[0] ** 2 + p[1] ** 2)
        return 2 * pi / sqrt(square) if square > 0 else inf

    return Space(
        name=f"contact-{'flat' if k == 0 else 'sphere' if k > 0 else 'hyperbolic'}",
        title=title,
        source="Agrachev, Barilari, Sub-Riemannian structures on 3D Lie groups, J. Dyn. Control Syst. 18 (2012)",
        structure=SubRiemannian.from_frame(fields, 3, coordinates=["x", "y", "z"], name=title),
        points={"origin": np.zeros(3), "elsewhere": np.array([0.3, 0.2, 0.1])},
        growth={"origin": (2, 3), "elsewhere": (2, 3)},
        conjugate=conjugate,
    )


MAKERS: dict[str, Callable[[], Space]] = {
    "heisenberg": heisenberg,
    "heisenberg-2": partial(heisenberg, 2),
    "heisenberg-2-weighted": partial(heisenberg, 2, (1.0, 2.0)),
    "contact-sphere": partial(contact, 1.0),
    "contact-hyperbolic": partial(contact, -1.0),
}
