"""The equations of a problem in units of their own: what is small is then small in any units.

Each equation is divided by its median slope at points of the box. So F is a length, its Jacobian is of order one, and
"zero" can be asked of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array, Map
from subriem.core.rank import EPS

#: F is zero at a point if it is below this share of the size of the box: a length that roundoff in F may be worth.
ZERO = 1e-11
#: Points of the box at which slopes are looked at, at most.
LOOKS = 64


@dataclass(frozen=True, eq=False)
class Box:
    """lower <= z <= upper, in which rest points are looked for.

    Attributes
    ----------
    lower, upper : (n,) ndarray
    """

    lower: Array
    upper: Array

    @property
    def size(self) -> float:
        """Half of the longest side: the unit of length."""
        return float(np.max(self.upper - self.lower)) / 2

    def holds(self, z: Array, times: float = 1.0) -> bool:
        """Whether a point lies in the box, made `times` as large around its middle."""
        return bool((np.abs(2 * z - self.lower - self.upper) <= times * (self.upper - self.lower)).all())

    def holding(self, points: Array, margin: float = 0.0) -> NDArray[np.bool_]:
        """Return which points (N, n) lie in the box, made larger by a margin on each side."""
        return np.asarray(((self.lower - margin <= points) & (points <= self.upper + margin)).all(axis=1))

    def points(self, count: int, rng: np.random.Generator) -> Array:
        """Return random points of the box, shape (count, n)."""
        return rng.uniform(self.lower, self.upper, (count, self.lower.size))


@dataclass(frozen=True, eq=False)
class System:
    """F(z) with each equation divided by its typical slope; a `Map`.

    Attributes
    ----------
    source : Map
    weights : (m,) ndarray
        What the equations are multiplied by.
    box : Box
    tolerance : float
        Largest |F| of a rest point, in units of the box.
    """

    source: Map
    weights: Array
    box: Box
    tolerance: float = ZERO

    capabilities = frozenset[str]()

    @property
    def n_in(self) -> int:
        """The number of unknowns."""
        return self.source.n_in

    @property
    def n_out(self) -> int:
        """The number of equations."""
        return self.source.n_out

    @property
    def size(self) -> float:
        """The unit of length, also that of F."""
        return self.box.size

    @property
    def zero(self) -> float:
        """The largest |F| of a rest point."""
        return self.tolerance * self.size

    def value(self, z: Array) -> Array:
        """Return F, shape (m,); NaN where it is not defined."""
        with np.errstate(all="ignore"):
            return self.weights * self.source.value(z)

    def jacobian(self, z: Array) -> Array:
        """Return the Jacobian, shape (m, n)."""
        with np.errstate(all="ignore"):
            return self.weights[:, None] * self.source.jacobian(z)

    def jvp(self, z: Array, v: Array) -> Array:
        """Return the Jacobian times v."""
        return self.weights * self.source.jvp(z, v)

    def vjp(self, z: Array, w: Array) -> Array:
        """Return the transposed Jacobian times w."""
        return self.source.vjp(z, self.weights * w)

    def norm(self, z: Array) -> float:
        """Return |F|."""
        return float(np.linalg.norm(self.value(z)))

    def roundoff(self, z: Array) -> float:
        """Return a size that roundoff in F has at a point of unit slopes."""
        return EPS * max(self.size, float(np.linalg.norm(z)))


def scaled_system(source: Map, box: Box, seed: int = 0) -> System:
    """Return the equations divided by the median of their slopes at random points of the box.

    An equation without a finite slope that is not zero stays as it is.
    """
    points = box.points(LOOKS, np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        slopes = np.linalg.norm([source.jacobian(z) for z in points], axis=2)
    weights = np.ones(source.n_out)
    for i, found in enumerate(slopes.T):
        usable = found[np.isfinite(found) & (found > 0)]
        if usable.size:
            weights[i] = 1 / np.median(usable)
    return System(source, weights, box)
