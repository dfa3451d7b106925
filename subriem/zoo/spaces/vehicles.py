"""A unicycle with trailers, whose growth vector depends on the angles between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import pi
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError
from subriem.geometry.subriemannian import SubRiemannian
from subriem.zoo.spaces.space import Space

#: Angles of the unicycle and its trailers, the last one first, with the growth there (Jean 1996).
_SINGULAR: dict[int, tuple[list[float], tuple[int, ...]]] = {
    2: ([0.0, 0.0, pi / 2], (2, 3, 4, 4, 5)),
    3: ([0.0, 0.3, 0.3 + pi / 2, 0.3 + pi], (2, 3, 4, 4, 5, 5, 5, 6)),
}


def trailers(n: int) -> Space:
    """Return a unicycle with n trailers at distance 1: (x, y) of the last trailer, and the angles th_n, …, th_0.

    Regular points have step n + 2. Where th_{i-1} - th_i = +-pi/2 for trailers ahead of the last one the step is
    larger, at most the Fibonacci number F_{n+3}.

    Parameters
    ----------
    n : int
        May be zero.

    Raises
    ------
    ProblemError
        If n is no such number.

    Examples
    --------
    >>> from subriem.zoo.spaces import trailers
    >>> two = trailers(2)
    >>> two.structure.growth(two.points["singular"]).vector
    (2, 3, 4, 4, 5)
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ProblemError("n is no number of trailers", repr(n), "an integer >= 0", "trailers(2)")

    def fields(q: ca.SX) -> list[list[Any]]:
        angles = [q[2 + n - i] for i in range(n + 1)]
        speeds, turns = [ca.SX(1)], []
        for ahead, behind in pairwise(angles):
            turns.append(speeds[-1] * ca.sin(ahead - behind))
            speeds.append(speeds[-1] * ca.cos(ahead - behind))
        drive = [speeds[-1] * ca.cos(angles[-1]), speeds[-1] * ca.sin(angles[-1]), *turns[::-1], 0]
        return [drive, [0] * (n + 2) + [1]]

    regular = tuple(range(2, n + 4))
    points = {"origin": np.zeros(n + 3), "regular": np.append([0.3, -0.2], 0.1 + 0.3 * np.arange(n + 1))}
    growth = {"origin": regular, "regular": regular}
    if n in _SINGULAR:
        angles, growth["singular"] = _SINGULAR[n]
        points["singular"] = np.array([0.0, 0.0, *angles])
    title = f"unicycle with {n} trailer{'' if n == 1 else 's'}"
    return Space(
        name=f"trailers-{n}",
        title=title,
        source="Jean, The car with N trailers: characterization of the singular configurations, ESAIM COCV 1 (1996)",
        structure=SubRiemannian.from_frame(
            fields, n + 3, coordinates=["x", "y", *(f"th{i}" for i in range(n, -1, -1))], name=title
        ),
        points=points,
        growth=growth,
    )


MAKERS: dict[str, Callable[[], Space]] = {f"trailers-{n}": partial(trailers, n) for n in range(4)}
