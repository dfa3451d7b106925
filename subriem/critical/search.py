"""From rest points to components: what is known is recognised, what is new is looked at and traced."""

from __future__ import annotations

from collections import deque

import numpy as np

from subriem.core.budget import Budget, CancelToken, Meter
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.status import Status
from subriem.critical.atlas import Atlas, single, trace
from subriem.critical.crossing import rank_changes
from subriem.critical.dimension import LocalStructure, local_structure
from subriem.critical.known import BLURRED, Known
from subriem.critical.problem import RestProblem
from subriem.critical.system import System

#: Largest dimension of manifolds that are traced.
TRACED = 3


class Search:
    """Components and crossings, as they are found.

    Parameters
    ----------
    system : System
    problem : RestProblem
    policy : RankPolicy
    trace : bool
    step : float or None
        Spacing of charts.
    meter : Meter
        The budget's `steps` are charts.
    cancel : CancelToken
    """

    def __init__(
        self, system: System, problem: RestProblem, policy: RankPolicy, *, trace: bool, step: float | None,
        meter: Meter, cancel: CancelToken,
    ) -> None:  # fmt: skip
        self.system, self.problem, self.policy = system, problem, policy
        self.trace, self.step, self.meter, self.cancel = trace, step, meter, cancel
        self.known: list[Known] = []
        self.crossings: list[tuple[Array, LocalStructure]] = []
        self.status, self.message = Status.SUCCESS, ""
        #: Rest points that were not looked at, because the budget was spent.
        self.left = 0
        self._charts = 0

    @property
    def evaluations(self) -> int:
        """Jacobians computed in tracing."""
        return sum(one.atlas.evaluations for one in self.known)

    def classify(self, points: Array) -> None:
        """Sort rest points into components, and trace those that are new with all that branches off."""
        queue = deque((z, True) for z in points)
        while queue:
            if self._over():
                self.left += sum(own for _, own in queue)
                return
            z, own = queue.popleft()
            queue.extendleft((q, False) for q in self._look(z, own))

    def _over(self) -> bool:
        spent = self.meter.spent(self._charts, 0)
        if self.cancel.reason:
            self.status, self.message = Status.CANCELLED, self.cancel.reason
        elif spent:
            self.status, self.message = Status.BUDGET_SPENT, spent
        return self.status in (Status.CANCELLED, Status.BUDGET_SPENT)

    def _look(self, z: Array, own: bool) -> list[Array]:
        """Add what a rest point belongs to, unless it is known; return points on branches that leave it."""
        one = next((one for one in self.known if one.holds(z)), None)
        if one is None and self._crossing(z) is not None:
            return []
        if one is None:
            structure = local_structure(self.system, z, self.policy)
            if structure.verdict == "crossing":
                return self._meet(z, structure)
            one = next((one for one in self.known if one.holds(z, structure)), None)
            if one is None:
                atlas = self._traced(z, structure)
                one = Known(self.system, structure, atlas, self.policy, self.problem)
                self.known.append(one)
                one.starts += own
                return self._leaving(one)
        one.starts += own
        return []

    def _meet(self, z: Array, structure: LocalStructure) -> list[Array]:
        self.crossings.append((z, structure))
        return [branch.point for branch in structure.branches]

    def _crossing(self, z: Array) -> int | None:
        """Return the number of a known crossing at a point that is not well known, or None."""
        near = BLURRED * self.system.size
        return next((i for i, (other, _) in enumerate(self.crossings) if np.linalg.norm(z - other) <= near), None)

    def _traced(self, z: Array, structure: LocalStructure) -> Atlas:
        dimension = structure.dimension
        smooth = structure.verdict == "morse_bott" and dimension is not None
        tangent, cokernel = structure.spaces.right, structure.spaces.left
        if not (smooth and self.trace and 0 < (dimension or 0) <= TRACED):
            isolated = dimension == 0 and structure.verdict in ("morse_bott", "degenerate")
            message = "isolated" if isolated else "not traced"
            if smooth and not isolated and self.problem.gradient:
                message = "not traced, told by its class: may be several"
            return single(self.system, z, structure.tangent if not smooth else tangent, cokernel, message)
        room = self.meter.budget.steps
        budget = Budget(
            steps=None if room is None else max(room - self._charts, 0),
            seconds=None if self.meter.budget.seconds is None else self.meter.budget.seconds - self.meter.seconds,
        )
        atlas = trace(self.system, z, tangent, cokernel, step=self.step, budget=budget, cancel=self.cancel)
        self._charts += len(atlas.charts)
        if atlas.status is not Status.SUCCESS:
            self.status, self.message = atlas.status, atlas.message
        return atlas

    def _leaving(self, one: Known) -> list[Array]:
        """Return points on the branches that leave a component where its rank changes."""
        if not one.traced:
            return []
        leaving: list[Array] = []
        for z in rank_changes(self.system, one.atlas):
            structure = local_structure(self.system, z, self.policy)
            if structure.nullity == one.atlas.charts.dimension:
                continue
            number = self._crossing(z)
            if number is None:
                self.crossings.append((z, structure))
                leaving += [branch.point for branch in structure.branches]
            else:  # known from a start, and not as well
                self.crossings[number] = (z, self.crossings[number][1])
        return leaving
