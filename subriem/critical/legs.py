"""Legs of orbits: the motion of a field or of a DAE followed for a given time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.critical.daemap import Companion
from subriem.integration.solve import solve
from subriem.reduction.jets import jet_name

#: Relative and absolute tolerance of the steps.
RTOL, ATOL = 1e-8, 1e-10


@dataclass(frozen=True, eq=False)
class Leg:
    """Where an orbit is after some time.

    Attributes
    ----------
    state : (m,) ndarray
        z, and behind it derivatives of z where the motion has an order above one.
    fastest, last : float
        Largest |z'| on the leg, and that at its end.
    """

    state: Array
    fastest: float
    last: float


#: (state, time) -> the leg, or None if it could not be followed so long; the state may be z alone.
Follow = Callable[[Array, float], Leg | None]


@dataclass(frozen=True, eq=False)
class FieldLegs:
    """How to follow z' = velocity(z), stiff or not: a `Follow`."""

    velocity: Callable[[Array], Array]

    def __call__(self, state: Array, time: float) -> Leg | None:
        """Return the leg, or None."""
        from scipy.integrate import solve_ivp

        orbit = solve_ivp(lambda t, z: self.velocity(z), (0.0, time), state, method="LSODA", rtol=RTOL, atol=ATOL)
        end = orbit.y[:, -1]
        if not orbit.success or not np.isfinite(end).all():
            return None
        mean = np.linalg.norm(np.diff(orbit.y), axis=0) / np.diff(orbit.t)
        return Leg(end, float(mean.max()), float(np.linalg.norm(self.velocity(end))))


@dataclass(frozen=True, eq=False)
class DaeLegs:
    """How to follow a DAE from the consistent point nearest to a state: a `Follow`."""

    companion: Companion

    def __call__(self, state: Array, time: float) -> Leg | None:
        """Return the leg, or None."""
        dae, t = self.companion.dae, self.companion.t
        names = [jet_name(dae.variables[j], k) for j, k in self.companion.column]
        rates = [jet_name(name, 1) for name, order in zip(dae.variables, dae.orders, strict=True) if order]
        start = dict(zip(names, state.tolist(), strict=False))  # derivatives are missing at first
        orbit = solve(dae, (t, t + time), start, rtol=RTOL, atol=ATOL, throw=False)
        if not orbit.success:
            return None
        speed = np.linalg.norm([orbit[name] for name in rates], axis=0)
        return Leg(np.array([orbit[name][-1] for name in names]), float(speed.max()), float(speed[-1]))
