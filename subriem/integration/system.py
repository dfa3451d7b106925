"""What a march asks of the system it follows: met by `ReducedSystem` and by `NumericSystem`."""

from __future__ import annotations

from typing import Any, Protocol

import casadi as ca

from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.integration.reduced import Nodes
from subriem.reduction.certificate import Certificate
from subriem.reduction.consistent import ConsistentPoint
from subriem.reduction.protocols import NamedDAE
from subriem.reduction.selection import Selection


class Reduced(Protocol):
    """A DAE whose motion is determined, with a consistent start."""

    @property
    def dae(self) -> NamedDAE:
        """The equations by name."""
        ...

    @property
    def system(self) -> Any:
        """The equations in the jets, a `JetSystem`; a checker takes no cached property for one of a protocol."""
        ...

    @property
    def consistent(self) -> ConsistentPoint:
        """The start."""
        ...

    @property
    def certificate(self) -> Certificate:
        """What rank says of the unknowns at the start."""
        ...

    @property
    def selection(self) -> Selection | None:
        """How open directions are chosen, None if there are none."""
        ...

    @property
    def policy(self) -> RankPolicy:
        """Decides ranks."""
        ...

    @property
    def index(self) -> int:
        """The differentiation index."""
        ...

    @property
    def point(self) -> dict[str, float]:
        """The consistent point by name."""
        ...

    @property
    def degrees_of_freedom(self) -> int:
        """Number of values a start may choose."""
        ...


class System(Protocol):
    """x' = f(t, x, a), 0 = g(t, x, a), with states first in x and quadratures after them."""

    @property
    def reduction(self) -> Reduced:
        """What is followed."""
        ...

    @property
    def states(self) -> int:
        """Number of states without quadratures."""
        ...

    @property
    def quadratures(self) -> int:
        """Number of quadratures."""
        ...

    @property
    def pole(self) -> float:
        """Baumgarte's pole, 0 where nothing is stabilised."""
        ...

    @property
    def rates(self) -> ca.Function:
        """The right-hand side f of (t, x, a, q)."""
        ...

    @property
    def algebraic(self) -> ca.Function:
        """The equations g of (t, x, a, q)."""
        ...

    @property
    def constrained(self) -> bool:
        """Whether there are constraints between the states."""
        ...

    @property
    def may_fail(self) -> bool:
        """Whether unknowns may be undefined where the states and their rates are not."""
        ...

    @property
    def block_sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the diagonal blocks of the Jacobian that change along a path."""
        ...

    def carried(self, point: ConsistentPoint) -> tuple[Array, Array]:
        """Return the states, without quadratures, and the unknowns a at a consistent point."""
        ...

    def polish(self, t: Array, x: Array, a: Array, q: Array, project: bool = True) -> Nodes:
        """Return points moved onto the equations."""
        ...

    def jets(self, nodes: Nodes, q: Array) -> Array:
        """Return the jets at `reduction.system.columns`, shape (N, …)."""
        ...

    def jacobians(self, nodes: Nodes, q: Array) -> Array:
        """Return the Jacobian by the unknowns, whose rank says whether the motion is determined."""
        ...

    def blocks(self, nodes: Nodes, q: Array) -> list[Array]:
        """Return those blocks, of each size (N, how many, rows, columns)."""
        ...

    def distances(self, nodes: Nodes, q: Array) -> Array:
        """Return the constraints between states over the lengths of their gradients, shape (N, …)."""
        ...

    def residuals(self, t: Array, jets: Array, q: Array) -> Array:
        """Return all equations, each over the length of its gradient, shape (N, rows)."""
        ...
