"""What `equilibria` found: components of rest points with dimension, stability and topology, and where they meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from subriem.core.budget import Budget, CancelToken, Progress
from subriem.core.errors import EquilibriumError
from subriem.core.result import Check, Result
from subriem.core.status import Status
from subriem.critical.component import Change, Component, Crossing
from subriem.critical.graph import connecting_orbits
from subriem.critical.morsebott import MorseBottCount, leaves, morse_bott_count, not_applicable
from subriem.critical.problem import RestProblem
from subriem.critical.searchstate import SearchState
from subriem.critical.system import ZERO

if TYPE_CHECKING:
    from networkx import DiGraph


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
    names : tuple of str
        The coordinates of the points.

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
    names: tuple[str, ...] = ()
    _state: SearchState | None = field(default=None, repr=False)
    _problem: RestProblem | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.components)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Where the index changes along curves: folds, crossings and Hopf points of all components."""
        return tuple(change for one in self.components for change in one.changes)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The measured checks."""
        residuals = [float(one.charts.residuals.max()) for one in self.components]
        residuals += [change.residual for change in self.changes]
        undecided = sum(one.verdict == "undecided" for one in self.components)
        meaning = "largest |F| of a chart or a change, in units of z"
        open_ = sum(one.topology is not None and not one.topology.agreed for one in self.components)
        return (
            Check("residual", max(residuals, default=0.0), ZERO * self.size, meaning),
            Check("undecided", float(undecided), 0.0, "components whose dimension the tests do not agree on"),
            Check("open topology", float(open_), None, "covered components without Betti numbers"),
            Check("runaways", float(sum(self.runaways.values())), None, "starts that led to no rest point in the box"),
        )

    # -- going on, and what follows from the components ---------------------------------------------------------------

    def resume(
        self,
        problem: Any = None,
        *,
        executor: Executor | None = None,
        budget: Budget | None = None,
        progress: Progress | bool | None = None,
        cancel: CancelToken | None = None,
        checkpoint: Any = None,
    ) -> EquilibriumSet:
        """Go on with a search that a budget or a cancellation ended: the answer is that of one that was not ended.

        Parameters
        ----------
        problem : Map, Flow, ConstrainedFlow, DAE, NumericDAE or RestProblem, optional
            That of the search; needed where the set was read from a file.
        executor, budget, progress, cancel, checkpoint
            As in `equilibria`; the budget is what may be spent from here on.

        Returns
        -------
        EquilibriumSet

        Raises
        ------
        EquilibriumError
            If the problem is not known.
        ProblemError
            If it is another one, or an argument cannot be meant.

        Examples
        --------
        >>> import subriem as sr
        >>> circle = sr.map(lambda x: [x[0] ** 2 + x[1] ** 2 - 1], 2)
        >>> part = sr.equilibria(circle, starts=8, budget=sr.Budget(steps=5))
        >>> whole = part.resume()
        >>> part.components[0].betti, whole.components[0].betti
        (None, (1, 1))
        """
        return self._search.resume(
            self._known(problem), executor=executor, budget=budget, progress=progress, cancel=cancel,
            checkpoint=checkpoint,
        )  # fmt: skip

    def connect(
        self,
        *,
        charts: int = 4,
        directions: int = 4,
        radius: float | None = None,
        seed: int = 0,
        executor: Executor | None = None,
        problem: Any = None,
    ) -> DiGraph:
        """Return which components are joined by orbits, as far as shots along unstable directions tell.

        Parameters
        ----------
        charts, directions, radius, seed, executor
            As in `connecting_orbits`.
        problem : Map, Flow, ConstrainedFlow, DAE or RestProblem, optional
            That of the search; needed where the set was read from a file.

        Returns
        -------
        networkx.DiGraph
            See `connecting_orbits`; the nodes are the positions in `components`. `sr.io.save_graph` writes it.

        Raises
        ------
        EquilibriumError
            If the problem is not known, or coordinates are in units of their own.
        ProblemError
            If it is another one, its motion cannot be followed, or an argument cannot be meant.

        Examples
        --------
        >>> import subriem as sr
        >>> from subriem.critical.adapters import rest_problem
        >>> field = rest_problem(sr.map(lambda x: [x[0] - x[0] ** 3], 1), field=True)
        >>> graph = sr.equilibria(field, starts=16).connect()
        >>> sorted(graph.edges), graph.nodes[2]["index"]
        ([(2, 0), (2, 1)], 1)
        """
        if not self._search.units.plain:
            raise EquilibriumError(
                "orbits cannot be joined where coordinates are in units of their own",
                "a box whose sides differ by orders of magnitude",
                "comparable coordinates, in which charts have a spacing",
                "the problem in scaled coordinates",
            )
        return connecting_orbits(
            self._known(problem), self.components, charts=charts, directions=directions, radius=radius,
            rank=self._search.policy, seed=seed, executor=executor,
        )  # fmt: skip

    def morse_bott(self, ambient: Sequence[int] | None = None, *, problem: Any = None) -> MorseBottCount:
        """Compare the components with the topology of the space: the Morse-Bott inequalities.

        Parameters
        ----------
        ambient : sequence of int, optional
            Betti numbers over Z/2 of the space M, which is compact, or R^n with a V that grows in all directions; see
            `morse_bott_count`. If left out, M is the box, (1,), where the motion enters it: this is looked at in random
            points of its faces.
        problem : Flow, ConstrainedFlow or RestProblem, optional
            That of the search; needed where the set was read from a file.

        Returns
        -------
        MorseBottCount
            Its verdict is "not applicable", with the `reason`, where the inequalities do not say anything: of a motion
            that is no gradient flow, a search that was ended, a component that is not covered, leaves the box, is no
            Morse-Bott manifold, or whose index or Betti numbers are not known.

        Raises
        ------
        EquilibriumError
            If the problem is not known.
        ProblemError
            If it is another one, or a Betti number of the space is no integer >= 0.

        Examples
        --------
        >>> import subriem as sr
        >>> circle = sr.flows.potential(lambda x: (x[0] ** 2 + x[1] ** 2 - 1) ** 2, 2)
        >>> print(sr.equilibria(circle, starts=16).morse_bott())
        1 + t + t^2 = 1 + (1 + t)(t): holds
        """
        rest = self._known(problem)
        space = (1,) if ambient is None else ambient
        ended = "" if self.status is Status.SUCCESS else f"the search did not end: {self.message}"
        reason = ended or not_applicable(rest, self.components)
        if not reason and ambient is None:
            reason = leaves(rest, self._search.units.outer(self._search.box))
        return morse_bott_count(self.components, space, reason=reason)

    @property
    def _search(self) -> SearchState:
        if self._state is None:
            raise EquilibriumError(
                "the search of these rest points is not known",
                "a set made by hand",
                "what equilibria returned, or a file of it",
                "sr.equilibria(problem)",
            )
        return self._state

    def _known(self, problem: Any) -> RestProblem:
        """Return the problem, given again or not."""
        if problem is not None:
            return self._search.problem(problem)
        if self._problem is None:
            raise EquilibriumError(
                "the problem of these rest points is not known",
                "rest points read from a file, which does not hold their problem",
                "the problem that equilibria was given",
                "problem=…",
            )
        return self._problem

    # -- how it reads -------------------------------------------------------------------------------------------------

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
        for number, one in enumerate(self.components):
            for change in one.changes:
                at = np.array2string(change.point, precision=8)
                parts.append(f"{change.kind} at {at}, index {change.index[0]} -> {change.index[1]}, component {number}")
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
            "names": self.names,
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
