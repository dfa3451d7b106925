"""The course of a solution: marches between breakpoints of inputs and resets, each from a consistent point."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from subriem.core.errors import InconsistentError
from subriem.core.protocols import Array
from subriem.core.status import Status
from subriem.integration.events import Event
from subriem.integration.integrator import NODES
from subriem.integration.march import March
from subriem.integration.motion import Motion
from subriem.integration.reduced import Nodes
from subriem.integration.system import Reduced
from subriem.integration.values import Values
from subriem.reduction.consistent import ConsistentPoint, consistent_point, given_values
from subriem.reduction.prolongation import Place
from subriem.reduction.reduce import selected_point

#: Resets closer to each other than this, relative to the span, follow each other without end.
ZENO = 1e-10
#: Resets in a row that must be so close.
IN_A_ROW = 4
#: What a change costs of a value that a reset named.
NAMED = 1e3


class Course:
    """A whole run: it restarts a march where data or states jump.

    Parameters
    ----------
    march : March
    """

    def __init__(self, march: March) -> None:
        self.march = march
        self._resets: list[float] = []

    @property
    def motion(self) -> Motion:
        """What moves now: the march may exchange the equations that carry the motion."""
        return self.march.motion

    @property
    def reduction(self) -> Reduced:
        """The reduction behind it."""
        return self.motion.system.reduction

    def run(self, start: float, end: float) -> None:
        """March from the consistent point of the reduction to the end; the march holds what was found."""
        march = self.march
        stops = _stops(self.motion.breakpoints, start, end)
        q = self._data(start, stops[0])
        here = self.motion.start(q)
        if q.tobytes() != self.reduction.dae.data(self.reduction.consistent.t).tobytes():
            here = self._restart(here, q, ())  # back in time from a breakpoint
        fired: list[Event] = []  # it is still zero where it happened at a breakpoint
        for number, stop in enumerate(stops):
            while march.status is None and here.t[0] != stop:
                here, fired = march.leg(stop, here, q, fired)
                if fired and march.status is None:
                    self._check_zeno(here, fired)
                    here = self._restart(here, q, fired)
            if march.status is None and stop != end:
                q = self._data(stop, stops[number + 1])
                here = self._restart(here, q, ())
        march.end(Status.SUCCESS, f"t = {end:.6g} was reached")

    def _data(self, t: float, following: float) -> Array:
        """Return the data between two times without a breakpoint between them."""
        return self.reduction.dae.data((t + following) / 2)

    def _restart(self, here: Nodes, q: Array, fired: Collection[Event]) -> Nodes:
        """Return the point from which the run goes on after a reset or a breakpoint."""
        before = self.march.track.stretches[-1].q if self.march.track.stretches else q
        row = self.motion.system.jets(here, before)[0]
        where = self.reduction.system
        changed: dict[Place, float] = {}
        for event in fired:
            assert event.reset is not None
            answer: Any = event.reset(float(here.t[0]), Values(self.reduction, row))
            changed |= given_values(self.reduction.dae, answer, where.columns)
        guess = dict(zip(where.columns, map(float, row), strict=True)) | changed
        try:
            point = self._consistent(float(here.t[0]), q, guess, changed)
        except InconsistentError as error:
            because = f"after event {', '.join(repr(e.name) for e in fired)}" if fired else "after a breakpoint"
            self.march.end(Status.INCONSISTENT, f"{because} at t = {here.t[0]:.10g}: {error.what}; {error.got}")
            return here
        return self.motion.node(point, q, here.x[0, self.motion.system.states :])

    def _consistent(
        self, t: float, q: Array, guess: dict[Place, float], changed: dict[Place, float]
    ) -> ConsistentPoint:
        """Return a consistent point in which as little as possible moves of what is known.

        First no state at all, then none of lower order than what a reset named (positions, where it named speeds),
        then whatever must.
        """
        reduction, where = self.reduction, self.reduction.system
        states = where.state_columns
        lowest = min((k for _, k in changed), default=0)
        tries: Sequence[Sequence[Place]] = (states, [place for place in states if place[1] < lowest], ())
        weights = {place: 1.0 for place in states} | dict.fromkeys(changed, NAMED)
        weights |= dict.fromkeys((p for p in where.top_columns if p not in changed), 1 / NAMED)
        last: InconsistentError | None = None
        for fixed in tries:
            try:
                point = consistent_point(where, t, q, guess, fix=fixed, weights=weights, rank=reduction.policy)
            except InconsistentError as error:
                last = error
                continue
            if reduction.selection is not None:
                return selected_point(where, point, reduction.certificate, reduction.selection, q)
            return point
        assert last is not None
        raise last

    def _check_zeno(self, here: Nodes, fired: Collection[Event]) -> None:
        """End a march whose resets come faster and faster, without end."""
        self._resets.append(float(here.t[0]))
        newest = np.abs(np.diff(self._resets[-IN_A_ROW - 1 :]))
        start, end = self.march.span
        if newest.size == IN_A_ROW and newest.max() <= ZENO * abs(end - start):
            names = ", ".join(repr(event.name) for event in fired)
            self.march.end(
                Status.STEP_TOO_SMALL, f"event {names} happens faster and faster (Zeno), at t = {here.t[0]:.10g}"
            )


def _stops(breakpoints: Sequence[float], start: float, end: float) -> list[float]:
    """Return the breakpoints on the way and the end; of those between which no grid fits, as 0.3 and 0.1 + 0.2, one."""
    inner = sorted(b for b in breakpoints if min(start, end) < b < max(start, end))
    stops = [end]
    for stop in inner if end < start else reversed(inner):
        if min(abs(stop - start), abs(stop - stops[0])) > NODES * np.spacing(abs(stop)):
            stops.insert(0, stop)
    return stops
