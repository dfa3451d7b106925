"""Events: zeros of a function along a path, with a direction, located on the dense output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array

#: Relative precision (of the step) to which an event is located.
LOCATION = 1e-13


@dataclass(frozen=True, eq=False)
class Event:
    """A zero of `function` along a path.

    Parameters
    ----------
    function : callable
        (clock, y) -> float.
    name : str
        How messages call it.
    direction : {-1, 0, 1}
        Only zeros where the function falls (-1), rises (1), or both (0).
    terminal : bool
        Whether the run ends there.
    reset : callable, optional
        For `solve`: (t, values) -> mapping of names to new values, from which the solution starts anew, consistently.

    Raises
    ------
    ProblemError
        If a function is not callable or does not take (clock, y), the direction is none of -1, 0, 1, or terminal is no
        bool.

    Examples
    --------
    >>> halfway = Event(lambda t, y: y[0] - 0.5, name="halfway", terminal=True)
    >>> halfway.crossed(0.1, -0.2), halfway.crossed(0.2, 0.1)
    (True, False)
    """

    function: Callable[[float, Any], float]
    name: str = "event"
    direction: int = 0
    terminal: bool = False
    reset: Callable[[float, Any], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("function", "reset"):
            value = getattr(self, name)
            if not callable(value) and not (name == "reset" and value is None):
                raise ProblemError(f"Event: {name} is not callable", repr(value), "a function (t, y)", "def or lambda")
        if self.direction not in (-1, 0, 1):
            raise ProblemError("Event: unknown direction", repr(self.direction), "-1, 0 or 1", "direction=0")
        if not isinstance(self.terminal, bool | np.bool_):
            raise ProblemError("Event: terminal is no bool", repr(self.terminal), "True or False", "terminal=True")
        for name in ("function", "reset"):
            if not _takes_two(getattr(self, name)):
                raise ProblemError(
                    f"Event: {name} does not take two arguments",
                    str(signature(getattr(self, name))),
                    "a function of the clock and the values there",
                    "lambda t, y: y[0] - 0.5",
                )

    def crossed(self, before: float, after: float) -> bool:
        """Return whether a zero in the wanted direction lies between two values; a zero at the start does not count."""
        if before == 0.0 or np.isnan(before) or np.isnan(after) or np.sign(before) == np.sign(after):
            return False
        return self.direction == 0 or np.sign(after - before) == self.direction


def _takes_two(function: Callable[..., Any] | None) -> bool:
    """Return whether a function can be called with two arguments, as far as Python knows its signature."""
    if function is None:
        return True
    try:
        signature(function).bind(0.0, None)
    except TypeError:
        return False
    except ValueError:  # a built-in without a signature
        return True
    return True


@dataclass(frozen=True, eq=False)
class Occurrence:
    """A located event.

    Attributes
    ----------
    name : str
    clock : float
    y : (m,) ndarray
    terminal : bool
    """

    name: str
    clock: float
    y: Array
    terminal: bool


class EventWatch:
    """Watches a list of events along a path, step by step."""

    def __init__(self, events: Sequence[Event], clock: float, y: Array) -> None:
        self.events = tuple(events)
        #: Values of the events at the newest point; a loop that takes a step back restores them.
        self.values = [float(event.function(clock, y)) for event in self.events]

    def step(
        self, before: float, after: float, end: Array, dense: Callable[[float], Array]
    ) -> tuple[list[Occurrence], Occurrence | None]:
        """Locate the events of one step; return those before the first terminal one, and that one.

        Parameters
        ----------
        before, after : float
            Ends of the step.
        end : (m,) ndarray
            The point at `after`.
        dense : callable
            The interpolant of the step.
        """
        found: list[Occurrence] = []
        for i, event in enumerate(self.events):
            value = float(event.function(after, end))
            if event.crossed(self.values[i], value):
                clock = self._locate(event, before, after, value, dense)
                point = end if clock == after else dense(clock)
                found.append(Occurrence(event.name, clock, point, event.terminal))
            self.values[i] = value
        found.sort(key=lambda occurrence: (occurrence.clock, occurrence.terminal))
        for i, occurrence in enumerate(found):
            if occurrence.terminal:
                return found[:i], occurrence
        return found, None

    @staticmethod
    def _locate(event: Event, before: float, after: float, value: float, dense: Callable[[float], Array]) -> float:
        from scipy.optimize import brentq  # loaded only where an event occurs

        if value == 0.0:
            return after
        left = float(event.function(before, dense(before)))
        right = float(event.function(after, dense(after)))
        if np.sign(left) == np.sign(right):  # the zero lies within the interpolant's roundoff of an end
            return after if abs(right) < abs(left) else before
        tolerance = LOCATION * (after - before) + 4 * np.finfo(float).eps * abs(after)
        return float(brentq(lambda t: event.function(t, dense(t)), before, after, xtol=tolerance, rtol=4e-16 * 4))


def as_events(events: Event | Sequence[Event]) -> tuple[Event, ...]:
    """Return the events as a tuple.

    Raises
    ------
    ProblemError
        If one of them is no `Event`.
    """
    listed: tuple[Any, ...] = tuple(events) if isinstance(events, list | tuple) else (events,)
    for event in listed:
        if not isinstance(event, Event):
            raise ProblemError(
                "events holds something else", type(event).__name__, "sr.Event objects", "sr.Event(function)"
            )
    return listed
