"""Where a search of rest points stands: everything it needs to go on, but its problem, as plain values and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from subriem.core.budget import Budget, CancelToken, Progress
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.critical.adapters import rest_problem
from subriem.critical.atlas import Atlas
from subriem.critical.dimension import LocalStructure
from subriem.critical.problem import RestProblem
from subriem.critical.system import Box, System
from subriem.critical.units import Units

if TYPE_CHECKING:
    from subriem.critical.equilibriumset import EquilibriumSet

#: A rest point is one of a problem that is given again if |F| is at most this many times what it was to be.
AGAIN = 1e3


@dataclass(frozen=True, eq=False)
class Traced:
    """A component as the search knows it.

    Attributes
    ----------
    structure : LocalStructure
        At its first point.
    atlas : Atlas
    starts : int
        How many starts led to it.
    """

    structure: LocalStructure
    atlas: Atlas
    starts: int


@dataclass(frozen=True, eq=False)
class SearchState:
    """The state of a search that can go on; made by `equilibria`.

    Attributes
    ----------
    units : Units
        Of the coordinates: all else is in these.
    box : Box
    weights : (m,) ndarray
        What the equations are multiplied by.
    tolerance : float
        Largest |F| of a rest point, in units of the box.
    policy : RankPolicy
    trace : bool
    step : float or None
        Spacing of the charts, if it was chosen.
    starts : (N, n) ndarray
    waiting : (M, n) ndarray
        Rest points that were not looked at.
    own : (M,) ndarray of bool
        Whether a start led to each, or it lies on a branch that leaves a component.
    followed : int
        How many of them were followed: the first ones.
    reasons : mapping of str to int
        How many of these did not lead to a rest point in the box, by reason.
    evaluations : int
        Jacobians computed for that.
    traced : tuple of Traced
    crossings : tuple of (ndarray, LocalStructure)
    """

    units: Units
    box: Box
    weights: Array
    tolerance: float
    policy: RankPolicy
    trace: bool
    step: float | None
    starts: Array
    waiting: Array
    own: NDArray[np.bool_]
    followed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    evaluations: int = 0
    traced: tuple[Traced, ...] = ()
    crossings: tuple[tuple[Array, LocalStructure], ...] = ()

    def problem(self, problem: Any) -> RestProblem:
        """Return the equations of a problem that is given again.

        Raises
        ------
        ProblemError
            If its rest points are others.
        """
        rest = rest_problem(problem)
        shape, expected = (rest.map.n_in, rest.map.n_out), (self.starts.shape[1], self.weights.size)
        if shape != expected:
            raise ProblemError(
                "this is not the problem of these rest points",
                f"{shape[0]} unknowns, {shape[1]} equations",
                f"{expected[0]} unknowns, {expected[1]} equations",
                "the problem that equilibria was given",
            )
        system = self.system(self.units.problem(rest))
        off = max((system.norm(one.atlas.charts.points[0]) for one in self.traced), default=0.0)
        if not off <= AGAIN * system.zero:
            raise ProblemError(
                "this is not the problem of these rest points",
                f"|F| = {off:.3g} at one of them",
                f"at most {AGAIN * system.zero:.3g}",
                "the problem that equilibria was given, with the same parameters",
            )
        return rest

    def system(self, problem: RestProblem) -> System:
        """Return the equations in units of their own."""
        return System(problem.map, self.weights, self.box, self.tolerance)

    def resume(
        self,
        problem: Any,
        *,
        executor: Executor | None = None,
        budget: Budget | None = None,
        progress: Progress | bool | None = None,
        cancel: CancelToken | None = None,
        checkpoint: Any = None,
    ) -> EquilibriumSet:
        """Go on with the search: the answer is that of a search which was not ended.

        Parameters
        ----------
        problem : Map, Flow, ConstrainedFlow, DAE, NumericDAE or RestProblem
            That of the search, which does not remember it.
        executor, budget, progress, cancel, checkpoint
            As in `equilibria`; the budget is what may be spent from here on.

        Returns
        -------
        EquilibriumSet

        Raises
        ------
        ProblemError
            If the problem is another one, or an argument cannot be meant.
        """
        from subriem.critical.exploration import explored  # it needs all that is made of a state

        return explored(
            self.problem(problem), self, executor=executor, budget=budget, progress=progress, cancel=cancel,
            checkpoint=checkpoint,
        )  # fmt: skip
