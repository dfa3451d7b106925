"""A search of rest points from one of its states to the next: starts, components, and what is said of them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from subriem.core import store
from subriem.core.budget import Budget, CancelToken, Meter, Progress, interruptible, progress_callback
from subriem.core.errors import ProblemError
from subriem.core.status import Status
from subriem.critical.describe import described
from subriem.critical.equilibriumset import EquilibriumSet
from subriem.critical.find import Found, find
from subriem.critical.levenberg import End
from subriem.critical.persist import RECORDS, STATE
from subriem.critical.problem import RestProblem
from subriem.critical.search import PIECE, Search
from subriem.critical.searchstate import SearchState, Traced

#: Most charts where no budget is given.
CHARTS = 20_000
#: How `find` names starts that its budget did not reach.
LEFT = "not followed"


def explored(
    problem: RestProblem,
    state: SearchState,
    *,
    executor: Executor | None = None,
    budget: Budget | None = None,
    progress: Progress | bool | None = None,
    cancel: CancelToken | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> EquilibriumSet:
    """Go on with a search from a state, as far as the budget goes; the arguments are those of `equilibria`."""
    token = cancel if cancel is not None else CancelToken()
    with interruptible(token), progress_callback(progress, "equilibria") as tell:
        meter = Meter(budget if budget is not None else Budget(steps=CHARTS), tell)
        own = state.units
        run = _Exploration(own.problem(problem), state, meter, token)
        keep = _Checkpoint(checkpoint, run.state) if checkpoint is not None else None
        run.search.keep = keep
        run.follow(executor)
        run.search.classify()
        if keep is not None:
            keep.write()
        components, crossings = described(run.search, executor)
    reached = run.state()
    status, message = run.end(found=bool(components))
    return EquilibriumSet(
        components=tuple(map(own.component, components)),
        crossings=tuple(map(own.crossing, crossings)),
        runaways=run.runaways(),
        starts=len(state.starts),
        size=state.box.size,
        evaluations=reached.evaluations + run.search.evaluations,
        status=status,
        message=message,
        names=problem.names,
        _state=reached,
        _problem=problem,
    )


class _Checkpoint:
    """A file that holds the state of a search, not older than about 20 seconds."""

    def __init__(self, path: str | os.PathLike[str], state: Callable[[], SearchState]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise ProblemError("checkpoint is no path", repr(path), "a path", "checkpoint='search.npz'")
        self._path, self._state = path, state
        self.write()  # a path that cannot be written is found before the run, not after it

    def __call__(self) -> None:
        """Write the file if it is old."""
        if time.perf_counter() - self._written >= PIECE:
            self.write()

    def write(self) -> None:
        """Write the file."""
        store.write(self._path, STATE, *RECORDS.take_apart(self._state()))
        self._written = time.perf_counter()


class _Exploration:
    """A search with its starts."""

    def __init__(self, problem: RestProblem, state: SearchState, meter: Meter, cancel: CancelToken) -> None:
        self.problem, self.begun, self.meter, self.cancel = problem, state, meter, cancel
        self.search = Search(
            state.system(problem), problem, state.policy, trace=state.trace, step=state.step, meter=meter,
            cancel=cancel,
        )  # fmt: skip
        for one in state.traced:
            self.search.add(one.structure, one.atlas).starts = one.starts
        self.search.crossings = list(state.crossings)
        self.search.queue.extend(zip(state.waiting, state.own.tolist(), strict=True))
        self.status, self.message = Status.SUCCESS, f"{len(state.starts)} starts followed"

    def state(self) -> SearchState:
        """Return where the search stands."""
        search = self.search
        return replace(
            self.begun,
            traced=tuple(Traced(one.structure, one.atlas, one.starts) for one in search.known),
            crossings=tuple(search.crossings),
            waiting=np.array([z for z, _ in search.queue]).reshape(-1, search.system.n_in),
            own=np.array([own for _, own in search.queue], dtype=bool),
        )

    def follow(self, executor: Executor | None) -> None:
        """Follow the starts that are left; rest points they lead to wait in the search."""
        starts, spent = self.begun.starts, 0
        limits = replace(self.meter.budget, steps=None)
        while self.begun.followed < len(starts):
            most = limits.evaluations
            piece = Budget(evaluations=None if most is None else max(most - spent, 0), seconds=self.search.pause)
            found = find(
                self.search.system, starts[self.begun.followed :], canonical=self.problem.canonical,
                executor=executor, budget=piece, progress=self._tell, cancel=self.cancel,
            )  # fmt: skip
            spent += found.evaluations
            self._take(found)
            over = limits.exceeded(steps=0, evaluations=spent, seconds=self.meter.seconds)
            if found.status is Status.CANCELLED:
                self.status, self.message = found.status, found.message
                return
            if over and found.status is Status.BUDGET_SPENT:
                self.status, self.message = found.status, over
                return

    def _take(self, found: Found) -> None:
        reasons = Counter(found.reasons)
        left = reasons.pop(LEFT, 0)
        self.begun = replace(
            self.begun,
            followed=len(self.begun.starts) - left,
            reasons=dict(Counter(self.begun.reasons) + reasons),
            evaluations=self.begun.evaluations + found.evaluations,
        )
        self.search.queue.extend((z, True) for z in found.points)
        if self.search.keep is not None:
            self.search.keep()

    def _tell(self, fraction: float, text: str) -> None:
        """Report how many of all starts were followed."""
        first, count = self.begun.followed, len(self.begun.starts)
        followed = first + round(fraction * (count - first))
        self.meter.tell(followed / count, f"start {followed} of {count}")

    def runaways(self) -> dict[str, int]:
        """Return how many starts did not lead to a rest point in the box, by reason."""
        left = {LEFT: len(self.begun.starts) - self.begun.followed, "not looked at": self.search.left}
        return {**self.begun.reasons, **{reason: count for reason, count in left.items() if count}}

    def end(self, *, found: bool) -> tuple[Status, str]:
        """Return how the search ended; if it led to no rest point, by what happened most often."""
        if self.status is not Status.SUCCESS:
            return self.status, self.message
        if self.search.status is not Status.SUCCESS or found or not self.begun.reasons:
            return self.search.status, self.search.message or self.message
        reason, count = max(self.begun.reasons.items(), key=lambda pair: pair[1])
        ends = {
            End.AWAY.value: Status.ESCAPED,
            End.OUTSIDE.value: Status.ESCAPED,
            End.UNDEFINED.value: Status.NOT_FINITE,
        }
        total = len(self.begun.starts)
        return ends.get(reason, Status.NOT_CONVERGED), f"no rest point found; {count} of {total} starts {reason}"
