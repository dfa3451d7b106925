"""What consistent points, solutions and events ask of a DAE and of its differentiated equations.

Met by symbolic ones (`DAE`, `Prolongation`) and by numeric ones (`NumericDAE`, `NumericJets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scipy.sparse import csc_array

from subriem.core.protocols import Array

#: (j, k): the k-th derivative of variable j, or of equation j.
Place = tuple[int, int]


class NamedDAE(Protocol):
    """Equations and variables by name."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    @property
    def sizes(self) -> Mapping[str, int | None]:
        """Variables with their lengths, None for scalars."""
        ...

    @property
    def variables(self) -> Sequence[str]:
        """Names of the scalar variables."""
        ...

    @property
    def equations(self) -> Sequence[str]:
        """Names of the scalar equations."""
        ...

    @property
    def breakpoints(self) -> Array:
        """Times at which data jump."""
        ...

    def data(self, t: float = 0.0, /) -> Array:
        """Return the data on the segment of time that begins at or contains t."""
        ...

    def entries(self, name: str) -> list[int]:
        """Return the positions of a variable, or of one of its entries."""
        ...


class JetSystem(Protocol):
    """Differentiated equations at `rows` in the jets at `columns`."""

    @property
    def dae(self) -> NamedDAE:
        """The equations by name."""
        ...

    @property
    def rows(self) -> tuple[Place, ...]:
        """(i, k) of each differentiated equation."""
        ...

    @property
    def columns(self) -> tuple[Place, ...]:
        """(j, k) of each jet."""
        ...

    @property
    def c(self) -> Sequence[int]:
        """How often each equation is differentiated at most."""
        ...

    @property
    def d(self) -> Sequence[int]:
        """Highest derivative of each variable among `columns`."""
        ...

    @property
    def state_columns(self) -> tuple[Place, ...]:
        """What is continuous along a motion."""
        ...

    @property
    def top_columns(self) -> tuple[Place, ...]:
        """What the equations determine at a given state."""
        ...

    def row_name(self, row: Place) -> str:
        """Return rod, rod', … for a place (i, k)."""
        ...

    def column_name(self, column: Place) -> str:
        """Return x, x', … for a place (j, k)."""
        ...

    def residual(self, t: float, jets: Array, q: Array) -> Array:
        """Return the differentiated equations at `rows`."""
        ...

    def sparse_jacobian(self, t: float, jets: Array, q: Array) -> csc_array:
        """Return the derivatives with respect to the jets, and to t in the last column."""
        ...
