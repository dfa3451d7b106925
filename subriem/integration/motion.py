"""A reduced system with the engine that moves it, under given tolerances: made once, used by a run and its path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.integration.integrator import Engine, Integrator, Options
from subriem.integration.reduced import Nodes
from subriem.integration.system import System

#: Roundoffs of a component below which no error of interpolation is asked for.
ROUNDOFFS = 64.0


@dataclass(frozen=True, eq=False)
class Motion:
    """What moves, by what, how exactly.

    Attributes
    ----------
    system : ReducedSystem or NumericSystem
    integrator : Integrator
    options : Options
    project : bool
        Whether points are moved onto the constraints.
    """

    system: System
    integrator: Integrator
    options: Options
    project: bool

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "engine"}  # compiled code stays here

    @cached_property
    def engine(self) -> Engine:
        """The engine, set up when it is needed."""
        return self.integrator.prepare(self.system, self.options)

    def polish(self, t: Array, x: Array, a: Array, q: Array) -> Nodes:
        """Return the points moved onto the equations."""
        return self.system.polish(t, x, a, q, self.project)

    def allowed(self, x: Array) -> Array:
        """Return the error allowed in each state of a stretch with the nodes x."""
        size = np.abs(x).max(axis=0, initial=0.0)
        return np.maximum(self.options.atol + self.options.rtol * size, ROUNDOFFS * EPS * size)
