"""One path of a Taylor integration: its steps, its events, and how it ends."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.budget import CancelToken, Meter
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.core.status import Status
from subriem.integration.compilation import Loan
from subriem.integration.events import Event, EventWatch, Occurrence
from subriem.integration.translation import heyoka

#: Steps between two looks at the budget; where nothing asks for single steps they are taken in compiled code.
CHUNK = 100
#: A jump of the derivative between two steps, times the step and relative to z, that a convergent series never shows.
DEFECT = 1e-6
#: Components smaller than this, relative to the largest, are noise to `DEFECT`.
NOISE = 1e-8
#: Part of the radius of convergence by which a point is left where an event function has a double zero.
REST = 1e-4
#: Steps whose lengths of arc are compared where the steps shrink.
ARC = 10


@dataclass(eq=False, slots=True)
class TaylorSegment:
    """The Taylor polynomial of one step.

    Attributes
    ----------
    t, h : float
        Start and size of the step.
    coefficients : (m, order + 1) ndarray
        Normalised derivatives at t; a projection of the end is contained as a linear ramp.
    """

    t: float
    h: float
    coefficients: Array

    def __call__(self, t: float) -> Array:
        """Return the point at t, shape (m,)."""
        return self.coefficients @ (t - self.t) ** np.arange(self.coefficients.shape[1])

    def sample(self, times: Array) -> Array:
        """Return the points at several times, shape (len(times), m)."""
        return np.vander(times - self.t, self.coefficients.shape[1], increasing=True) @ self.coefficients.T


class Walk:
    """The state of a run: accepted points, polynomials, events found, and the end once there is one."""

    def __init__(
        self,
        loan: Loan,
        t0: float,
        t1: float,
        z0: Array,
        compiled_events: Sequence[Event],
        python_events: Sequence[Event],
        project: Callable[[float, Array], Array] | None,
    ) -> None:
        self.loan, self.integrator, self.hits = loan, loan.integrator, loan.hits
        self.t1, self.project = t1, project
        self.t, self.z = [t0], [z0]
        self.segments: list[TaylorSegment] = []
        self.found: list[Occurrence] = []
        self.noted = [event for event in compiled_events if not event.terminal]
        self.terminal = [event for event in compiled_events if event.terminal]
        self.watch = EventWatch(python_events, t0, z0) if python_events else None
        self.steps, self.defect = 0, float("nan")
        self.status: Status | None = None
        self.message = ""
        self._kinks: set[int] = set()
        self._tiny = 0
        self._stuck: tuple[int, float] | None = None
        self._watched = len(loan.integrator.t_events) if loan.integrator.with_events else 0
        outcomes = heyoka().taylor_outcome
        self._plain, self._arrived = int(outcomes.success), int(outcomes.time_limit)
        self._broken = int(outcomes.err_nf_state)

    def end(self, status: Status, circumstances: str = "") -> None:
        """Name the end."""
        self.status = status
        self.message = f"{status.value}: {circumstances}" if circumstances else status.value

    def go(self, meter: Meter, cancel: CancelToken | None, keep: bool) -> None:
        """Advance to the end.

        Steps are taken in compiled code, with a callback if polynomials are kept, until something happens: then, and
        where there are events, branches or a projection, one at a time.
        """
        start, span = self.t[0], self.t1 - self.t[0]
        if span == 0.0:
            self.end(Status.SUCCESS)
        single = self._watched > 0 or self.watch is not None or self.project is not None
        limit = meter.budget.steps
        while self.status is None:
            most = CHUNK if limit is None else max(1, min(CHUNK, limit - self.steps))
            if single or not self._leap(most, keep):
                single = True
                self._steps(most, cancel)
            meter.tell((self.t[-1] - start) / span, f"t = {self.t[-1]:.6g}")
            if self.status is None:
                if cancel is not None and cancel.reason:
                    self.end(Status.CANCELLED, f"{cancel.reason} at t = {self.t[-1]:.6g}")
                elif spent := meter.spent(self.steps, self.steps):
                    self.end(Status.BUDGET_SPENT, f"{spent} at t = {self.t[-1]:.6g}")

    def _steps(self, most: int, cancel: CancelToken | None) -> None:
        for _ in range(most):
            self._step()
            if self.status is not None or (cancel is not None and cancel.reason):
                return

    def _leap(self, most: int, keep: bool) -> bool:
        """Take many steps in compiled code; return False, back at the start, if single steps should find out more."""
        integrator, t = self.integrator, self.t[-1]
        times, steps, series = [t], [], []
        coefficients = integrator.tc  # a view

        def record(integrator: Any) -> bool:
            times.append(integrator.time)
            steps.append(integrator.last_h)
            series.append(coefficients.copy())
            return True

        ways = {"callback": record, "write_tc": True} if keep else {}
        outcome, smallest, _, count, *_ = integrator.propagate_until(self.t1, max_steps=most, **ways)
        arrived = int(outcome) == self._arrived
        if int(outcome) == self._broken or (not arrived and smallest <= 4 * EPS * abs(integrator.time)):
            if len(self.t) > 1 and not keep:  # enough single steps to tell an escape
                self.t.pop()
                self.z.pop()
                self.steps -= CHUNK
            integrator.time, integrator.state[:] = self.t[-1], self.z[-1]
            self.hits.clear()
            return False
        self.steps += count
        if keep:
            self.segments += map(TaylorSegment, times[:-1], steps, series)
            self.t += times[1:-1]
            self.z += [polynomial[:, 0] for polynomial in series[1:]]
            self.found += self._noted()
        self.t.append(self.t1 if arrived else integrator.time)
        self.z.append(integrator.state.copy())
        if arrived:
            self.end(Status.SUCCESS)
        return True

    def _step(self) -> None:
        integrator, before = self.integrator, self.t[-1]
        outcome, h = integrator.step(max_delta_t=self.t1 - before, write_tc=True)
        self.steps += 1
        code = int(outcome)
        if code == self._broken:
            self._break_off()
            return
        arrived = code == self._arrived
        after = self.t1 if arrived else integrator.time
        if after > before:
            segment = TaylorSegment(before, h, integrator.tc.copy())  # h is more precise than the difference
            self._accept(segment, after)
            if self.status is not None:
                return
        if code > self._plain:
            self._meet(code)
            if self.status is None and after == before:
                after, h = self._rest(code, after, h)
        self._tiny = self._tiny + 1 if h <= 4 * EPS * abs(after) else 0
        if self.status is None and arrived:
            self.end(Status.SUCCESS)
        elif self.status is None and self._tiny > self._watched:
            self._collapse()

    def _accept(self, segment: TaylorSegment, after: float) -> None:
        """Keep a step, projected if asked, and look for the events of Python functions in it."""
        z = self.integrator.state.copy()
        if self.project is not None:
            projected = np.asarray(self.project(after, z), dtype=float)
            segment.coefficients[:, 1] += (projected - z) / segment.h  # a linear ramp to the projected end
            self.integrator.state[:] = z = projected
        self.segments.append(segment)
        self.t.append(after)
        self.z.append(z)
        found, last = self._noted(), None
        if self.watch is not None:
            seen, last = self.watch.step(segment.t, after, z, segment)
            found = sorted(found + seen, key=lambda occurrence: occurrence.clock)
            if last is not None:
                found = [*(occurrence for occurrence in found if occurrence.clock <= last.clock), last]
                self.t[-1], self.z[-1] = last.clock, last.y
                self.segments[-1] = TaylorSegment(segment.t, last.clock - segment.t, segment.coefficients)
                self.end(Status.EVENT, f"{last.name} at t = {last.clock:.12g}")
        self.found += found

    def _noted(self) -> list[Occurrence]:
        """Return the non-terminal compiled events of the steps just taken; a zero at the start does not count."""
        found = []
        for number, clock in sorted(self.hits, key=lambda hit: hit[1]):
            if clock > self.t[0]:
                place = bisect.bisect_right(self.segments, clock, key=lambda segment: segment.t) - 1
                found.append(Occurrence(self.noted[number].name, clock, self.segments[place](clock), False))
        self.hits.clear()
        return found

    def _meet(self, outcome: int) -> None:
        """End at a terminal event, or note a kink; heyoka numbers events without a callback -1, -2, ..."""
        if outcome >= 0:
            self._kinks.add(len(self.segments) - 1)
            self.loan.settle()
            return
        event, t = self.terminal[-outcome - 1], self.t[-1]
        if t > self.t[0]:  # a zero at the start does not count
            self.found.append(Occurrence(event.name, t, self.z[-1].copy(), True))
            self.end(Status.EVENT, f"{event.name} at t = {t:.12g}")

    def _rest(self, outcome: int, t: float, h: float) -> tuple[float, float]:
        """Leave a point where the same event is met again without progress, a double zero; return time and step.

        The series there is known and converges fast so near its centre: no other step is needed.
        """
        if self._stuck != (outcome, t):
            self._stuck = (outcome, t)
            return t, h
        series = self.integrator.tc.copy()
        sizes, order = np.abs(series).max(axis=0), series.shape[1] - 1
        h = self.t1 - t
        if sizes[-1] > 0:
            h = min(h, REST * float(sizes[1:].max() / sizes[-1]) ** (1 / (order - 1)))
        segment = TaylorSegment(t, h, series)
        self.integrator.time, self.integrator.state[:] = t + h, segment(t + h)
        self._accept(segment, t + h)
        return t + h, h

    def _break_off(self) -> None:
        """End where a series was not finite."""
        if self.segments and self.segments[-1].h < 1e-6 * max(segment.h for segment in self.segments):
            self._collapse()
        else:
            self.end(Status.NOT_FINITE, f"the series of the solution at t = {self.t[-1]:.12g}")

    def _collapse(self) -> None:
        """End where the steps shrink to nothing: at a bounded point if the arc length ahead is finite.

        Steps towards a singularity shrink geometrically. So do their lengths of arc if the point is bounded; if the
        solution escapes they do not.
        """
        lengths = [float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(self.z[-2 * ARC - 1 :])]
        where = f"at t = {self.t[-1]:.15g} with |z| = {np.linalg.norm(self.z[-1]):.3g}"
        if len(lengths) == 2 * ARC and sum(lengths[ARC:]) >= 0.9 * sum(lengths[:ARC]) > 0:
            self.end(Status.ESCAPED, where)
        else:
            self.end(Status.STEP_TOO_SMALL, where)

    def check_defect(self, field: Callable[[float, Array], Array]) -> None:
        """Measure how well the derivative fits from step to step; cut the path where a step did not converge.

        A step may jump over a singularity (z' = -sqrt(z) through z = 0), where the series converges to the wrong
        branch. The next series then starts with another derivative than the last one ends with.
        """
        steps = np.array([segment.h for segment in self.segments])
        series = np.array([segment.coefficients for segment in self.segments])
        order = np.arange(1, series.shape[2])
        slopes = np.einsum("imk,ik->im", series[:, :, 1:], order * steps[:, None] ** (order - 1))
        following = np.concatenate([series[1:, :, 1], field(self.t[-1], self.z[-1])[None]])
        size = np.abs(series[:, :, 0]).max(axis=0)
        jumps = np.abs(slopes - following) * steps[:, None] / np.maximum(size, NOISE * size.max() + 1e-300)
        jumps[[*self._kinks]] = 0.0  # the derivative may jump there
        worst = jumps.max(axis=1)
        self.defect = float(worst.max())
        # near a singularity in t, the clock itself is known to its last digit only
        clock = 4 * EPS * np.abs([segment.t for segment in self.segments]) / steps
        if (bad := np.flatnonzero(worst > DEFECT + clock)).size:
            first = int(bad[0])
            before = len(self.t) - len(self.segments) + first  # points may precede the first polynomial
            self.segments, self.t, self.z = self.segments[:first], self.t[:before], self.z[:before]
            self.found = [occurrence for occurrence in self.found if occurrence.clock <= self.t[-1]]
            self.end(Status.NOT_CONVERGED, f"the Taylor series over the step from t = {self.t[-1]:.12g}")

    def sample(self, times: Array) -> tuple[Array, Array]:
        """Return the times that were reached, and the end if it came early, with the points there."""
        reached = times[times <= self.t[-1]]
        if self.t[-1] < self.t1:
            reached = np.append(reached, self.t[-1])
        if not self.segments:
            return reached, np.repeat(self.z[:1], len(reached), axis=0)
        starts = np.array([segment.t for segment in self.segments])
        places = np.maximum(np.searchsorted(starts, reached, side="right") - 1, 0)
        return reached, np.concatenate([self.segments[k].sample(reached[places == k]) for k in np.unique(places)])
