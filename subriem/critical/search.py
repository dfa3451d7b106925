"""From rest points to components: what is known is recognised, what is new is looked at and traced."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from subriem.core.budget import Budget, CancelToken, Meter
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.status import Status
from subriem.critical.atlas import Atlas, extend, single, trace
from subriem.critical.crossing import rank_changes
from subriem.critical.dimension import LocalStructure, local_structure
from subriem.critical.known import BLURRED, Known
from subriem.critical.problem import RestProblem
from subriem.critical.system import System

#: Largest dimension of manifolds that are traced.
TRACED = 3
#: Seconds after which a component that is traced is kept as it is.
PIECE = 20.0


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
    keep : callable, optional
        Called between rest points, and every 20 seconds while one component is traced.
    """

    def __init__(
        self, system: System, problem: RestProblem, policy: RankPolicy, *, trace: bool, step: float | None,
        meter: Meter, cancel: CancelToken, keep: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        self.system, self.problem, self.policy = system, problem, policy
        self.trace, self.step, self.meter, self.cancel, self.keep = trace, step, meter, cancel, keep
        self.known: list[Known] = []
        self.crossings: list[tuple[Array, LocalStructure]] = []
        #: Rest points that wait to be looked at, and whether a start led there.
        self.queue: deque[tuple[Array, bool]] = deque()
        self.status, self.message = Status.SUCCESS, ""
        self._before = 0

    @property
    def evaluations(self) -> int:
        """Jacobians computed in tracing."""
        return sum(one.atlas.evaluations for one in self.known)

    @property
    def left(self) -> int:
        """How many starts led to rest points that were not looked at, because the search was ended."""
        return sum(own for _, own in self.queue)

    @property
    def meetings(self) -> list[tuple[Array, LocalStructure]]:
        """The crossings, also those on a component that is not covered yet."""
        growing = self._rank_changes(self.known[-1]) if self._open else []
        return self.crossings + [(z, structure) for z, structure in growing if self._crossing(z) is None]

    def add(self, structure: LocalStructure, atlas: Atlas) -> Known:
        """Add a component."""
        one = Known(self.system, structure, atlas, self.policy, self.problem)
        self.known.append(one)
        return one

    def classify(self) -> None:
        """Sort the rest points that wait into components, and trace those that are new with all that branches off.

        A component that was left before it was covered goes on first.
        """
        self._before = self._charts
        if self._open:
            self._grow(self.known[-1])
        while self.queue and not self._over():
            self._look(*self.queue.popleft())
            if self.keep is not None:
                self.keep()

    @property
    def _open(self) -> bool:
        """Whether the last component was left before it was covered."""
        return bool(self.known) and self.known[-1].atlas.status is not Status.SUCCESS

    @property
    def _charts(self) -> int:
        return sum(len(one.atlas.charts) for one in self.known)

    @property
    def _made(self) -> int:
        """Charts made since the search began, or went on."""
        return self._charts - self._before

    def _over(self) -> bool:
        spent = self.meter.spent(self._made, 0)
        if self.cancel.reason:
            self.status, self.message = Status.CANCELLED, self.cancel.reason
        elif spent:
            self.status, self.message = Status.BUDGET_SPENT, spent
        return self.status in (Status.CANCELLED, Status.BUDGET_SPENT)

    def _look(self, z: Array, own: bool) -> None:
        """Add what a rest point belongs to, unless it is known; points on branches that leave it wait first."""
        one = next((one for one in self.known if one.holds(z)), None)
        if one is None and self._crossing(z) is not None:
            return
        if one is None:
            structure = local_structure(self.system, z, self.policy)
            if structure.verdict == "crossing":
                self._meet(z, structure)
                return
            one = next((one for one in self.known if one.holds(z, structure)), None)
            if one is None:
                one = self.add(structure, self._begun(z, structure))
                one.starts += own
                self._grow(one)
                return
        one.starts += own

    def _meet(self, z: Array, structure: LocalStructure) -> None:
        self.crossings.append((z, structure))
        self.queue.extendleft((branch.point, False) for branch in structure.branches)

    def _crossing(self, z: Array) -> int | None:
        """Return the number of a known crossing at a point that is not well known, or None."""
        near = BLURRED * self.system.size
        return next((i for i, (other, _) in enumerate(self.crossings) if np.linalg.norm(z - other) <= near), None)

    def _begun(self, z: Array, structure: LocalStructure) -> Atlas:
        """Return an atlas of one chart, to be grown where the component is to be traced."""
        dimension = structure.dimension
        smooth = structure.verdict == "morse_bott" and dimension is not None
        tangent, cokernel = structure.spaces.right, structure.spaces.left
        if not (smooth and self.trace and 0 < (dimension or 0) <= TRACED):
            isolated = dimension == 0 and structure.verdict in ("morse_bott", "degenerate")
            message = "isolated" if isolated else "not traced"
            if smooth and not isolated and self.problem.gradient:
                message = "not traced, told by its class: may be several"
            return single(self.system, z, structure.tangent if not smooth else tangent, cokernel, message)
        return trace(self.system, z, tangent, cokernel, step=self.step, budget=Budget(steps=0), cancel=self.cancel)

    def _grow(self, one: Known) -> None:
        """Cover a component as far as the budget goes; once it is, points on branches that leave it wait first."""
        while one.atlas.status is not Status.SUCCESS:
            if self._over():
                one.atlas = replace(one.atlas, status=self.status, message=self.message)
                return
            one.atlas = extend(self.system, one.atlas, budget=self._piece(), cancel=self.cancel)
            if self.keep is not None and one.atlas.status is not Status.SUCCESS:  # else branches are still to be found
                self.keep()
        for z, structure in self._rank_changes(one):
            number = self._crossing(z)
            if number is None:
                self._meet(z, structure)
            else:  # known from a start, and not as well
                self.crossings[number] = (z, self.crossings[number][1])

    def _piece(self) -> Budget:
        """Return what may be spent until the search looks at its budget, or keeps what it has, again."""
        room = self.meter.budget.steps
        return Budget(steps=None if room is None else room - self._made, seconds=self.pause)

    @property
    def pause(self) -> float | None:
        """Seconds until the search looks at its budget, or keeps what it has, again."""
        seconds = self.meter.budget.seconds
        pauses = [] if seconds is None else [max(seconds - self.meter.seconds, 0.0)]
        if self.keep is not None:
            pauses.append(PIECE)
        return min(pauses, default=None)

    def _rank_changes(self, one: Known) -> list[tuple[Array, LocalStructure]]:
        """Return the points of a component where its rank changes, with what the set is like there."""
        if not one.traced:
            return []
        places = [(z, local_structure(self.system, z, self.policy)) for z in rank_changes(self.system, one.atlas)]
        return [(z, structure) for z, structure in places if structure.nullity != one.atlas.charts.dimension]
