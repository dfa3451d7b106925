"""Events of a DAE's solution: zeros of functions of (t, values) on a stretch, found between its nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.integration.events import Event
from subriem.integration.stretch import Stretch
from subriem.integration.values import Values

#: Share of the first interval after which the sign of an event counts that was zero at its start.
AFTER = 1e-9
#: And never less than this many roundoffs of the time: an event is located to some of them.
ROUNDOFFS = 64.0
#: Bisections of an event at most.
BISECTIONS = 200


@dataclass(frozen=True, eq=False)
class Crossing:
    """An event located on a stretch."""

    t: float
    event: Event


def crossings(
    stretch: Stretch,
    events: Collection[Event],
    fired: Collection[Event] = (),
    before: Mapping[Event, float] | None = None,
) -> list[Crossing]:
    """Return what happens on a stretch, in the order of the motion.

    Parameters
    ----------
    stretch : Stretch
    events : collection of Event
        A function that touches zero without a change of sign is no event; one that dips through zero and back between
        two nodes is two.
    fired : collection of Event
        Those that ended the stretch before this one: at its start they are zero, whatever roundoff says.
    before : mapping of Event to float, optional
        Values just before the start, where the data jump: what they jump through is an event at the start.
    """
    if not events or stretch.nodes.t.size < 2:
        return []
    jets = stretch.jets
    found: list[Crossing] = []
    for event in events:
        search = _Search(stretch, event)
        found += [Crossing(t, event) for t in search.run(jets, event in fired, (before or {}).get(event))]
    forward = 1.0 if stretch.nodes.t[-1] >= stretch.nodes.t[0] else -1.0
    return sorted(found, key=lambda crossing: forward * crossing.t)


def event_value(stretch: Stretch, event: Event, t: float, row: Array) -> float:
    """Return the event's function at a time.

    Raises
    ------
    ProblemError
        If it is no number.
    """
    answer = event.function(t, Values(stretch.motion.system.reduction, row))
    try:
        value = float(answer)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is CasADi's of a vector
        raise ProblemError(
            f"event {event.name!r} is no number", repr(answer)[:80], "a float", "lambda t, v: v.x"
        ) from error
    if np.isnan(value):
        raise ProblemError(
            f"event {event.name!r} is NaN", f"t = {t:.10g}", "a number", "a function defined on the path"
        )
    return value


class _Search:
    """Zeros of one event on one stretch."""

    def __init__(self, stretch: Stretch, event: Event) -> None:
        self.stretch, self.event = stretch, event

    def value(self, t: float) -> float:
        nodes = self.stretch.at(np.array([t]))
        return event_value(self.stretch, self.event, t, self.stretch.motion.system.jets(nodes, self.stretch.q)[0])

    def run(self, jets: Array, fired: bool, before: float | None) -> list[float]:
        times = [float(t) for t in self.stretch.nodes.t]
        values = [event_value(self.stretch, self.event, t, row) for t, row in zip(times, jets, strict=True)]
        values[0] = values[0] if before is None else before
        if fired or values[0] == 0.0:
            times, values = self._after_start(times, values)
        found: list[float] = []
        if fired and self.event.direction and np.sign(values[0]) == self.event.direction:
            found.append(float(self.stretch.nodes.t[0]))  # what the reset did was less than roundoff
        last = 0  # the newest node at which the event is not zero
        for k in range(1, len(times)):
            if values[k] == 0.0 and k < len(times) - 1:
                continue
            if self.event.crossed(values[last], values[k]):
                found.append(self._between(times[last], times[k], values[last], values[k]))
            elif k > 1 and last == k - 1:
                found += self._dip(times[k - 2 : k + 1], values[k - 2 : k + 1])
            last = k
        return found

    def _after_start(self, times: list[float], values: list[float]) -> tuple[list[float], list[float]]:
        """Return the nodes from where the sign of a value that is zero at the start is more than roundoff."""
        forward = 1.0 if times[-1] >= times[0] else -1.0
        start = times[0] + forward * max(AFTER * abs(times[1] - times[0]), ROUNDOFFS * float(np.spacing(abs(times[0]))))
        later = [k for k, t in enumerate(times) if forward * (t - start) > 0]
        if not later:
            return times[-1:], values[-1:]
        return [start, *(times[k] for k in later)], [self.value(start), *(values[k] for k in later)]

    def _between(self, left: float, right: float, before: float, after: float) -> float:
        from scipy.optimize import brentq

        if after == 0.0:
            return right
        resolution = 2 * np.spacing(max(abs(left), abs(right)))
        if abs(right - left) <= resolution or np.sign(self.value(left)) == np.sign(after):
            return left  # it jumps there, or the zero is within roundoff of it
        if np.sign(self.value(right)) == np.sign(before):
            return right
        return float(brentq(self.value, left, right, xtol=resolution, rtol=1e-15, maxiter=BISECTIONS))

    def _dip(self, times: list[float], values: list[float]) -> list[float]:
        """Return the two zeros around a minimum of |value| that three nodes of one sign do not show."""
        before, here, after = (abs(value) for value in values)
        if (
            0.0 in values
            or np.ptp(np.sign(values))
            or here > min(before, after)
            or 2 * here > before + after - 2 * here
        ):
            return []
        from scipy.optimize import minimize_scalar

        sign = float(np.sign(values[1]))
        ends = (min(times[0], times[2]), max(times[0], times[2]))
        lowest = minimize_scalar(
            lambda t: sign * self.value(t),
            bounds=ends,
            method="bounded",
            options={"xatol": 1e-10 * (ends[1] - ends[0])},
        )
        if not lowest.fun < 0:
            return []
        low, bottom = float(lowest.x), sign * float(lowest.fun)
        pairs = ((times[0], low, values[0], bottom), (low, times[2], bottom, values[2]))
        return [self._between(*pair) for pair in pairs if self.event.crossed(*pair[2:])]
