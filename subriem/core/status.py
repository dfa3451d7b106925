"""How a run ended: one word for programs, one sentence for people."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The end of a run; the value is the sentence.

    Examples
    --------
    >>> Status.RANK_CHANGED.value
    'the rank of the Jacobian changed at a located point'
    >>> Status.BUDGET_SPENT.failed, Status.NOT_FINITE.failed
    (False, True)
    """

    SUCCESS = "the goal was reached"
    EVENT = "a terminal event occurred"
    RANK_CHANGED = "the rank of the Jacobian changed at a located point"
    ESCAPED = "the solution left every bounded set in finite time"
    BUDGET_SPENT = "the budget was spent before the goal was reached"
    STEP_TOO_SMALL = "the step size fell below the resolution of the clock"
    NOT_CONVERGED = "an iteration did not converge"
    NOT_FINITE = "a value was not finite"
    RANK_AMBIGUOUS = "the rank, or how it was lost, could not be decided"
    INCONSISTENT = "the equations contradict each other"
    CANCELLED = "the run was cancelled"

    @property
    def success(self) -> bool:
        """Whether the run ended where it was asked to."""
        return self in (Status.SUCCESS, Status.EVENT)

    @property
    def failed(self) -> bool:
        """Whether `throw=True` raises `SolveError` for this end."""
        return self in (Status.NOT_CONVERGED, Status.STEP_TOO_SMALL, Status.INCONSISTENT, Status.NOT_FINITE)
