"""What a long run may spend, how it tells its progress, and how it is cancelled."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError, optional_import

#: Called with (fraction done in [0, 1], short text).
Progress = Callable[[float, str], object]


@dataclass(frozen=True)
class Budget:
    """Limits of a run; a run that meets one ends with BUDGET_SPENT and what it found.

    Parameters
    ----------
    steps : int, optional
        Accepted steps.
    evaluations : int, optional
        Points at which the field is evaluated.
    seconds : float, optional
        Wall-clock time.

    Raises
    ------
    ProblemError
        If a limit is negative or not a number.

    Examples
    --------
    >>> Budget(evaluations=3000).exceeded(steps=10, evaluations=3001, seconds=0.1)
    'evaluations: 3001 of 3000'
    """

    steps: int | None = None
    evaluations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "evaluations", "seconds"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool)
                or not isinstance(value, int | float | np.integer | np.floating)
                or not value >= 0
            ):
                raise ProblemError(
                    f"Budget: {name} is not a number >= 0", repr(value), "a limit >= 0 or None", f"{name}=1000"
                )

    def exceeded(self, *, steps: int, evaluations: int, seconds: float) -> str:
        """Return which limit is exceeded, as "name: spent of limit", or an empty string."""
        for name, spent in (("steps", steps), ("evaluations", evaluations), ("seconds", seconds)):
            limit = getattr(self, name)
            if limit is not None and spent >= limit:
                return f"{name}: {spent:.6g} of {limit:.6g}"
        return ""


class CancelToken:
    """Set from anywhere (another thread, a callback, SIGINT) to end a run after its current step.

    Examples
    --------
    >>> token = CancelToken()
    >>> token.cancel("the user pressed stop"); token.reason
    'the user pressed stop'
    """

    def __init__(self) -> None:
        self.reason = ""

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the run to stop; the first reason is kept."""
        self.reason = self.reason or reason or "cancelled"


@contextmanager
def interruptible(token: CancelToken) -> Iterator[CancelToken]:
    """Turn the first SIGINT into a cancellation, so that the partial result is kept; a second one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield token
        return
    previous = signal.getsignal(signal.SIGINT)
    if not callable(previous):
        yield token
        return

    def handle(number: int, frame: FrameType | None) -> Any:
        if token.reason:
            return previous(number, frame)
        token.cancel("SIGINT")
        return None

    signal.signal(signal.SIGINT, handle)
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, previous)


@dataclass
class Meter:
    """Time and progress of one run; a callback that raises is not hidden."""

    budget: Budget
    progress: Progress | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the start."""
        return time.perf_counter() - self.started

    def spent(self, steps: int, evaluations: int) -> str:
        """Return which limit is exceeded, or an empty string."""
        return self.budget.exceeded(steps=steps, evaluations=evaluations, seconds=self.seconds)

    def tell(self, fraction: float, text: str) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0, text)


@contextmanager
def progress_callback(progress: Progress | bool | None, label: str) -> Iterator[Progress | None]:
    """Yield a callback: the user's own, a tqdm bar for True, or None."""
    if progress is None or progress is False:
        yield None
    elif progress is True:
        with optional_import("tqdm", "progress").tqdm(total=100, desc=label, unit="%", leave=False) as bar:

            def tell(fraction: float, text: str) -> None:
                bar.set_postfix_str(text, refresh=False)
                bar.update(round(100 * fraction, 1) - bar.n)  # drawn at most every 0.1 s

            yield tell
    elif callable(progress):
        yield progress
    else:
        raise ProblemError(
            "progress is neither a callable nor a bool", repr(progress), "progress=True or a function", "None"
        )
