"""A reduced system with the engine that moves it, under given tolerances: made once, used by a run and its path."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from subriem.core.equilibrated import equilibrate
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.integration.integrator import Engine, Integrator, Options
from subriem.integration.reduced import Nodes, ReducedSystem
from subriem.integration.system import System
from subriem.reduction.consistent import ConsistentPoint

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
        return {entry.name: self.__dict__[entry.name] for entry in fields(self)}  # compiled code stays here

    @cached_property
    def engine(self) -> Engine:
        """The engine, set up when it is needed."""
        return self.integrator.prepare(self.system, self.options)

    def on(self, base: tuple[int, ...], constraints: tuple[int, ...], point: ConsistentPoint) -> Motion:
        """Return the same motion on other equations and constraints, set up at a point where these are independent."""
        if (base, constraints) not in self._known:
            assert isinstance(self.system, ReducedSystem)  # a numeric system has no equation to spare
            self._known[base, constraints] = other = replace(self, system=self.system.on(base, constraints, point))
            other.__dict__["_known"] = self._known  # a return finds its engine again
        return self._known[base, constraints]

    @cached_property
    def _known(self) -> dict[tuple[tuple[int, ...], tuple[int, ...]], Motion]:
        certificate = self.system.reduction.certificate
        return {(certificate.base, certificate.constraints): self}

    @cached_property
    def breakpoints(self) -> tuple[float, ...]:
        """Times at which the data jump."""
        return tuple(map(float, self.system.reduction.dae.breakpoints))

    @cached_property
    def scaling(self) -> tuple[Array, Array] | None:
        """Diagonals that equilibrate the Jacobian at the start, from where others are equilibrated in fewer rounds."""
        point, system = self.system.reduction.consistent, self.system
        z, a = system.carried(point)
        x = np.concatenate([z, np.zeros(system.quadratures)])
        start = Nodes(np.array([point.t]), x[None], a[None], np.zeros(1))
        (matrix,) = system.jacobians(start, system.reduction.dae.data(point.t))
        return equilibrate(matrix)[1:] if np.isfinite(matrix).all() else None

    @cached_property
    def ranks(self) -> dict[bytes, int]:
        """Ranks that depend on the data alone, by these, as far as they were decided."""
        return {}

    @cached_property
    def _starts(self) -> dict[bytes, Nodes]:
        return {}

    def start(self, q: Array) -> Nodes:
        """Return the consistent point of the reduction as a node."""
        key = q.tobytes()
        if key not in self._starts:
            self._starts[key] = self.node(self.system.reduction.consistent, q, np.zeros(self.system.quadratures))
        return self._starts[key]

    def point(self, node: Nodes, q: Array) -> ConsistentPoint:
        """Return one node as a consistent point."""
        (jets,) = self.system.jets(node, q)
        return ConsistentPoint(float(node.t[0]), jets, self.system.reduction.system.columns, 0.0, 0.0)

    def node(self, point: ConsistentPoint, q: Array, w: Array) -> Nodes:
        """Return a consistent point as a node, with the quadratures w."""
        z, a = self.system.carried(point)
        return self.polish(np.array([point.t]), np.concatenate([z, w])[None], a[None], q)

    def polish(self, t: Array, x: Array, a: Array, q: Array) -> Nodes:
        """Return the points moved onto the equations."""
        return self.system.polish(t, x, a, q, self.project)

    def allowed(self, x: Array) -> Array:
        """Return the error allowed in each state of a stretch with the nodes x."""
        return self.tolerance(np.abs(x).max(axis=0, initial=0.0))

    def tolerance(self, size: Array) -> Array:
        """Return the error allowed in states of some size."""
        return np.maximum(self.options.atol + self.options.rtol * size, ROUNDOFFS * EPS * size)
