"""A component of rest points, where several meet, and where a curve of them changes its stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.core.status import Status
from subriem.critical.charts import Charts
from subriem.critical.dimension import Verdict
from subriem.critical.stability import Stability
from subriem.critical.topology import Topology


@dataclass(frozen=True, eq=False)
class Change:
    """Where the index changes along a curve of rest points.

    Attributes
    ----------
    point : (n,) ndarray
        In the problem of `with_parameter` its last coordinate is the parameter.
    kind : {"fold", "crossing", "hopf"}
        A real eigenvalue passes 0 while the curve is the only one here (in a parameter: it turns back); the rank of F
        falls, so that other curves may meet it (transcritical, pitchfork); or a pair of complex ones passes the
        imaginary axis.
    index : (int, int)
        Numbers of unstable directions behind and ahead of it.
    tangent : (n,) ndarray
        Unit vector along the curve, pointing ahead: its largest entry is positive.
    frequency : float
        |imaginary part| of the eigenvalues that pass; 0 if they are real.
    residual : float
        |F| there, in units of z.
    """

    point: Array
    kind: Literal["fold", "crossing", "hopf"]
    index: tuple[int, int]
    tangent: Array
    frequency: float
    residual: float


@dataclass(frozen=True, eq=False)
class Component:
    """A component of the set of rest points, or what was seen of one.

    Attributes
    ----------
    point : (n,) ndarray
        A rest point on it.
    verdict : {"morse_bott", "degenerate", "crossing", "singular", "undecided"}
        What the set is near this point: a manifold whose dimension is the nullity of the Jacobian (also an isolated
        regular point), one of smaller dimension, several manifolds that meet, none of these, or not known.
    dimension : int or None
    nullity : int
        Of the Jacobian of F.
    charts : Charts
        All there are of it inside the box, if `status` is SUCCESS; its points and tangent spaces.
    status : Status
    message : str
        Covered or not, and why not.
    leaves_box : bool
        Whether it goes on outside the box.
    stability : Stability or None
        At each chart; None without a motion.
    topology : Topology or None
        None if it is not covered, or no manifold.
    cost : float or None
    starts : int
        How many starts led to it.
    changes : tuple of Change
        Of a curve: where its index changes.
    """

    point: Array
    verdict: Verdict
    dimension: int | None
    nullity: int
    charts: Charts
    status: Status
    message: str
    leaves_box: bool
    stability: Stability | None
    topology: Topology | None
    cost: float | None
    starts: int
    changes: tuple[Change, ...] = ()

    @property
    def points(self) -> Array:
        """The centres of its charts, (N, n)."""
        return self.charts.points

    @property
    def tangents(self) -> Array:
        """Orthonormal bases of its tangent spaces there, (N, n, k)."""
        return self.charts.tangents

    @property
    def h(self) -> float:
        """The spacing of its charts."""
        return self.charts.h

    @property
    def betti(self) -> tuple[int, ...] | None:
        """Betti numbers over Z/2, of what is inside the box; None if they are not known."""
        return self.topology.betti if self.topology is not None else None

    @property
    def measure(self) -> float | None:
        """Its length or area inside the box, up to the last charts; of a point 1. None if it is not covered."""
        return self.topology.measure if self.topology is not None else None

    @property
    def indices(self) -> tuple[int, ...]:
        """The numbers of unstable directions met on it, increasing."""
        return tuple(sorted(set(self.stability.index.tolist()))) if self.stability is not None else ()

    @property
    def index(self) -> int | None:
        """The number of unstable directions: for a gradient flow the Morse-Bott index. None if it changes."""
        return self.indices[0] if len(self.indices) == 1 and self.indices[0] >= 0 else None

    @property
    def spectrum(self) -> NDArray[np.complex128] | None:
        """The eigenvalues across it at each chart, (N, m); None without a motion."""
        return self.stability.spectrum if self.stability is not None else None

    @property
    def margin(self) -> float | None:
        """The least |real part| of these: above 0 where it is normally hyperbolic."""
        return float(np.min(self.stability.margin)) if self.stability is not None else None

    @property
    def rank(self) -> tuple[int, ...] | None:
        """The ranks of D of the output map met on it, increasing; None without such a map."""
        ranks = self.stability.rank if self.stability is not None else None
        return tuple(sorted(set(ranks.tolist()))) if ranks is not None else None


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where the rank changes along a component, or several meet.

    Attributes
    ----------
    point : (n,) ndarray
    verdict : str
        As of a `Component`.
    nullity : int
        Of the Jacobian of F.
    tangents : tuple of (n, d) ndarray
        Bases of the tangent spaces of the branches that meet here: the tangent cone. Empty if it is no crossing.
    components : tuple of int
        Numbers of the components that come near.
    """

    point: Array
    verdict: Verdict
    nullity: int
    tangents: tuple[Array, ...]
    components: tuple[int, ...]
