"""What `equilibria` found: components of rest points with dimension, stability and topology, and where they meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.core.result import Check, Result
from subriem.core.status import Status
from subriem.critical.charts import Charts
from subriem.critical.dimension import Verdict
from subriem.critical.stability import Stability
from subriem.critical.system import ZERO
from subriem.critical.topology import Topology


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


@dataclass(frozen=True, eq=False)
class EquilibriumSet(Result):
    """Rest points found in a box, by components; made by `equilibria`.

    Attributes
    ----------
    components : tuple of Component
        By decreasing dimension, then by index and cost.
    crossings : tuple of Crossing
    runaways : mapping of str to int
        How many starts did not lead to a rest point in the box, by reason.
    starts : int
        How many there were.
    size : float
        The unit of length: half of the longest side of the box.
    evaluations : int
        Jacobians computed in search and tracing.
    status : Status
        SUCCESS if every start was followed and every component with charts is covered.
    message : str

    Examples
    --------
    >>> import subriem as sr
    >>> found = sr.equilibria(sr.map(lambda x: [x[0] * (x[0] ** 2 + x[1] ** 2 - 1), x[1]], 2), starts=8)
    >>> [(one.dimension, one.verdict) for one in found.components]
    [(0, 'morse_bott'), (0, 'morse_bott'), (0, 'morse_bott')]
    """

    components: tuple[Component, ...]
    crossings: tuple[Crossing, ...]
    runaways: Mapping[str, int]
    starts: int
    size: float
    evaluations: int
    status: Status
    message: str

    def __len__(self) -> int:
        return len(self.components)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The measured checks."""
        residuals = [float(one.charts.residuals.max()) for one in self.components]
        undecided = sum(one.verdict == "undecided" for one in self.components)
        open_ = sum(one.topology is not None and not one.topology.agreed for one in self.components)
        return (
            Check("residual", max(residuals, default=0.0), ZERO * self.size, "largest |F| of a chart, in units of z"),
            Check("undecided", float(undecided), 0.0, "components whose dimension the tests do not agree on"),
            Check("open topology", float(open_), None, "covered components without Betti numbers"),
            Check("runaways", float(sum(self.runaways.values())), None, "starts that led to no rest point in the box"),
        )

    def headline(self) -> str:
        """Return one line that says what was found."""
        count, meets = len(self.components), len(self.crossings)
        parts = [f"{count} component{'s' * (count != 1)} of rest points from {self.starts} starts"]
        if meets:
            parts.append(f"{meets} crossing{'s' * (meets != 1)} or rank change{'s' * (meets != 1)}")
        return f"{', '.join(parts)}: {self.status.name}, {self.message}"

    def table(self) -> str:
        """Return the components as an aligned plain-text table."""
        head = ("", "d", "index", "nullity", "verdict", "betti", "charts", "cost", "rank", "starts", "")
        rows = [head, *(_row(number, one) for number, one in enumerate(self.components))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    def __str__(self) -> str:
        parts = [self.headline(), self.table()]
        for one in self.crossings:
            meeting = f"components {', '.join(map(str, one.components))}"
            parts.append(
                f"{one.verdict} at {np.array2string(one.point, precision=8)}, nullity {one.nullity}, {meeting}"
            )
        parts += [f"{count} starts {reason}" for reason, count in self.runaways.items()]
        return "\n".join([*parts, super().__str__().partition("\n")[2]])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dictionaries, lists, numbers, texts and arrays."""
        return {
            "components": [
                asdict(one) | {"index": one.index, "betti": one.betti, "status": one.status.name}
                for one in self.components
            ],
            "crossings": [asdict(one) for one in self.crossings],
            "runaways": dict(self.runaways),
            "starts": self.starts,
            "size": self.size,
            "evaluations": self.evaluations,
            "status": self.status.name,
            "message": self.message,
        }


def _row(number: int, one: Component) -> tuple[str, ...]:
    unknown = "-"
    return (
        str(number),
        unknown if one.dimension is None else str(one.dimension),
        ", ".join("?" if index < 0 else str(index) for index in one.indices) or unknown,
        str(one.nullity),
        one.verdict,
        unknown if one.betti is None else str(one.betti),
        str(len(one.charts)),
        unknown if one.cost is None else f"{one.cost:.6g}",
        unknown if one.rank is None else ", ".join(map(str, one.rank)),
        str(one.starts),
        one.message + (", leaves the box" if one.leaves_box else ""),
    )
