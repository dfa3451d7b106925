"""Rest points from many starts; what does not end at one is counted by its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subriem.core.budget import Budget, CancelToken, Meter, Progress
from subriem.core.protocols import Array
from subriem.core.status import Status
from subriem.critical.levenberg import Descent, End, descend
from subriem.critical.system import System

#: Starts of one task of an executor.
TASK = 8


@dataclass(frozen=True, eq=False)
class Found:
    """What the starts led to; made by `find`.

    Attributes
    ----------
    points : (M, n) ndarray
        Rest points in the box, in the order of their starts, symmetries taken out; the same one may be there often.
    starts : (M,) ndarray of int
        From which start each came.
    residuals : (M,) ndarray
        |F| there, in units of z.
    reasons : dict of str to int
        How many starts did not lead to a rest point in the box, by reason.
    status : Status
        SUCCESS if every start was followed to its end.
    message : str
    evaluations : int
    """

    points: Array
    starts: NDArray[np.intp]
    residuals: Array
    reasons: dict[str, int]
    status: Status
    message: str
    evaluations: int


def find(
    system: System,
    starts: Array,
    *,
    canonical: Callable[[Array], Array] | None = None,
    executor: Executor | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Found:
    """Follow each start to a zero of F.

    Parameters
    ----------
    system : System
    starts : (N, n) ndarray
    canonical : callable, optional
        z -> the representative of its orbit under symmetries.
    executor : concurrent.futures.Executor, optional
        Starts are followed in parallel; a pool of processes needs a map that can be pickled. The answer is the same.
    budget : Budget, optional
        Its evaluations and seconds; looked at after every 8 starts.
    progress, cancel : optional

    Returns
    -------
    Found
    """
    meter = Meter(budget or Budget(), progress)
    ends: list[Descent] = []
    status, message = Status.SUCCESS, f"{len(starts)} starts followed"
    spent = 0
    for task in _tasks(system, starts, executor):
        ends += task
        spent += sum(end.evaluations for end in task)
        meter.tell(len(ends) / len(starts), f"start {len(ends)} of {len(starts)}")
        over = meter.spent(0, spent) if len(ends) < len(starts) else ""
        if cancel is not None and cancel.reason:
            status, message = Status.CANCELLED, cancel.reason
            break
        if over:
            status, message = Status.BUDGET_SPENT, over
            break
    ends = [_representative(system, end, canonical) for end in ends]
    good = [number for number, end in enumerate(ends) if end.end is End.ZERO]
    reasons = Counter(end.end.value for end in ends if end.end is not End.ZERO)
    if len(ends) < len(starts):
        reasons["not followed"] = len(starts) - len(ends)
    return Found(
        np.array([ends[number].z for number in good]).reshape(-1, system.n_in),
        np.array(good, dtype=np.intp),
        np.array([ends[number].residual for number in good]),
        dict(reasons),
        status,
        message,
        spent,
    )


def _tasks(system: System, starts: Array, executor: Executor | None) -> Iterator[list[Descent]]:
    parts = [starts[i : i + TASK] for i in range(0, len(starts), TASK)]
    if executor is None:
        yield from (_follow(system, part) for part in parts)
        return
    futures = [executor.submit(_follow, system, part) for part in parts]
    try:
        yield from (future.result() for future in futures)
    finally:
        for future in futures:
            future.cancel()


def _follow(system: System, starts: Array) -> list[Descent]:
    return [descend(system, z) for z in starts]


def _representative(system: System, end: Descent, canonical: Callable[[Array], Array] | None) -> Descent:
    """Return the end with its point replaced by the representative under symmetries, made exact again."""
    if canonical is None or end.end not in (End.ZERO, End.OUTSIDE):
        return end
    return descend(system, np.asarray(canonical(end.z), dtype=float))
