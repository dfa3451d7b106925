"""The link of a set of rest points at one of its points: where it meets a small sphere around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.critical.levenberg import End, descend
from subriem.critical.system import Box, System

#: |F| on the link, relative to its median in null directions on the sphere.
ZERO = 1e-8
#: How much larger than its roundoff |F| must be on the sphere, for zeros on it to mean something.
SEEN = 1e4
#: Most steps to the link from one start, and the least damping: the sphere keeps z away.
STEPS, LEAST = 100, 1e-8


@dataclass(frozen=True, eq=False)
class Sphere:
    """(F(z + e w) / f, (|w|^2 - 1)/2) = 0 on the sphere of radius e around z, f its median size there; a `Map`.

    Zeros are looked for on the sphere because damped steps that are free go to z itself: for F homogeneous of degree p
    the Newton step from z + e w is -e w / p.
    """

    system: System
    centre: Array
    radius: float
    unit: float

    capabilities = frozenset[str]()

    @property
    def n_in(self) -> int:
        """The number of unknowns."""
        return self.system.n_in

    @property
    def n_out(self) -> int:
        """The number of equations."""
        return self.system.n_out + 1

    def value(self, w: Array) -> Array:
        """Return the residuals."""
        return np.append(self.system.value(self.centre + self.radius * w) / self.unit, (w @ w - 1) / 2)

    def jacobian(self, w: Array) -> Array:
        """Return their Jacobian."""
        inner = self.system.jacobian(self.centre + self.radius * w) * (self.radius / self.unit)
        return np.vstack([inner, w])

    def jvp(self, w: Array, v: Array) -> Array:
        """Return the Jacobian times v."""
        return self.jacobian(w) @ v

    def vjp(self, w: Array, u: Array) -> Array:
        """Return the transposed Jacobian times u."""
        return self.jacobian(w).T @ u


class Link:
    """Zeros at distance e from z.

    Parameters
    ----------
    system : System
    z : (n,) ndarray
    e : float
    directions : (N, n) ndarray
        Unit vectors, in which |F| is measured.
    """

    def __init__(self, system: System, z: Array, e: float, directions: Array) -> None:
        unit = float(np.median([system.norm(z + e * u) for u in directions]))
        #: Whether |F| on the sphere is more than roundoff.
        self.seen = unit > SEEN * max(system.norm(z), system.roundoff(z))
        self.unit = unit
        cube = Box(-np.ones(z.size), np.ones(z.size))
        sphere = Sphere(system, z, e, unit if self.seen else 1.0)
        self._system = System(sphere, np.ones(sphere.n_out), cube, ZERO)

    def direction(self, u: Array) -> Array | None:
        """Return the unit vector from z to the zero on the sphere that is found from z + e u, or None."""
        found = descend(self._system, u, STEPS, LEAST)
        if found.end not in (End.ZERO, End.OUTSIDE):
            return None
        return found.z / np.linalg.norm(found.z)
