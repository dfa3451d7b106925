"""The stepping loop behind `follow`: one resumable state, one accepted step at a time."""

from __future__ import annotations

import numpy as np

from subriem.core.factor import SVDFactor
from subriem.core.jacobian import MapJacobian
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.core.status import Status
from subriem.flows.ending import MEMORY, Ending, Mark, approach, ending
from subriem.flows.field import ClockField, Point
from subriem.flows.flow import FlowKind
from subriem.flows.record import Record, Row
from subriem.flows.state import FlowState
from subriem.flows.stepper import ExplicitStepper, ImplicitStepper, Options, Step, Stepper, roundoff
from subriem.integration.dop853 import DenseStep, HermiteStep, first_step
from subriem.integration.events import Event, EventWatch, Occurrence

#: A rise of the cost by more than this share of C0 rejects a step.
MONOTONE = 1e-12
#: Drift from the output line, relative to the chord, above which a second projection follows.
DRIFT = 1e-9
#: Size of a step, relative to the clock, within which a loss of rank counts as located.
LOCATED = 1e-8
#: Admissible error of ln C in one step by the identity with cos^2 phi, in units of rtol.
IDENTITY = 10.0
#: Step, relative to the clock, below which an ambiguous rank ends the path.
CHATTER = 1e-6
#: Accepted steps between two looks at the stiffness; h |lambda| above which steps become implicit (the edge of the
#: stability region is about 6), and below which they no longer need to be.
PROBE, STABILITY, RELAXED = 10, 3.0, 1.0
#: Defect of relations between rows, assumed to persist, at which they are seen to break.
RELATION = 1e-7
#: Secants on the end of a step to a terminal event, and the share of its first value at which it is met.
SECANTS, LOCATION = 4, 1e-9
#: Largest number of projections a step.
PROJECTIONS = 3
#: Step size control: safety factor, smallest and largest change of the step.
SAFETY, SHRINK, GROW = 0.9, 0.2, 6.0
#: Accepted steps after a rejection during which prediction may not lengthen a step.
CAREFUL = 40
#: Largest step as a share of the predicted way to a singularity.
CAUTION = 0.7
#: Smallest step in units of the clock's roundoff.
SMALLEST = 16.0


class FlowLoop:
    """Steps a flow from its state to a horizon.

    Parameters
    ----------
    field : ClockField
    state : FlowState
    horizon : float
        Clock at which the run ends.
    options : Options
    events : sequence of Event
    record : Record
    """

    def __init__(
        self,
        field: ClockField,
        state: FlowState,
        horizon: float,
        options: Options,
        events: tuple[Event, ...],
        record: Record,
    ) -> None:
        self.field, self.state, self.horizon = field, state, horizon
        self.options, self.record = options, record
        self.status: Status | None = None
        self.message = ""
        self.singularity: Ending | None = None
        self.noise = 0.0
        #: Right singular vectors (K, m) of the smallest singular values of D at the newest point.
        self.null_right: Array | None = None
        self.occurrences: list[Occurrence] = []
        field.scale = state.sigma_scale
        field.evaluations = state.evaluations
        self.point = field.at(state.clock, state.theta, certify=True)
        self.rank = state.rank if state.rank >= 0 else self._rank_of(self.point)
        state.rank = self.rank
        identity = IDENTITY * options.rtol
        self.explicit = ExplicitStepper(field, options.integrands, identity)
        self.implicit = ImplicitStepper(field, options.integrands, identity) if self._may_be_stiff else None
        self.watch = EventWatch(events, state.clock, state.theta)
        if not self.point.finite:
            self.end(Status.NOT_FINITE, "the field is not finite at the start")
            return
        if np.isnan(state.cost0):
            state.cost0 = self.point.cost
        state.lowest_cost = min(state.lowest_cost, self.point.cost)
        for name in options.integrands:
            state.integrals.setdefault(name, 0.0)
        self._keep(self.point, None)
        if state.step == 0.0 and horizon > state.clock:
            state.step = first_step(
                self._velocity, state.clock, state.theta, self.point.velocity, horizon - state.clock, self._tolerance
            )

    @property
    def _may_be_stiff(self) -> bool:
        flow = self.field.flow
        # where D loses columns for good, D^T D has no inverse and the field's Jacobian none of this form
        regular = flow.kind is FlowKind.STANDARD or flow.damping > 0 or self.rank == flow.map.n_in
        return self.options.implicit and regular and not self._projecting and ImplicitStepper.suits(self.field)

    # -- one step ----------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Take one accepted step, or set `status` if the path ends."""
        state = self.state
        if state.clock >= self.horizon:
            self.end(Status.SUCCESS, "the end of the run was reached")
            return
        if self.point.speed == 0.0:
            self.end(Status.EVENT, f"equilibrium at {self.field.clock} = {state.clock:.6g}: the velocity is zero")
            return
        while self.status is None:
            h, last = self._clip(state.step)
            smallest = SMALLEST * EPS * max(abs(state.clock), 1e-300)
            if state.step < smallest and not last:
                self._stall()
                return
            attempted = self._attempt(h, self.horizon if last else state.clock + h)
            if isinstance(attempted, Step):
                point, drift = self._project(attempted.raw)
                if not self._overshoots(attempted.h, point) and self._accept(attempted, point, drift):
                    return
                attempted = np.inf
            state.rejected += 1
            state.careful = CAREFUL if state.accepted else 0
            shrink = SAFETY * attempted ** (-1 / self.stepper.order) if np.isfinite(attempted) else 0.25
            state.step = h * min(max(shrink, SHRINK), 0.9)

    def _attempt(self, h: float, end: float) -> Step | float:
        """Return the step of size h; if it is rejected its error norm, inf where it met a NaN or raised the cost."""
        # no step is asked for more than the roundoff of the velocity over its length
        tolerance = self._tolerance(h) + h * self.noise
        made = self.stepper.attempt(self.point, h, end, tolerance, certify=not self._projecting)
        if isinstance(made, Step) and not self._monotone(made.raw):
            return np.inf
        return made

    def _clip(self, h: float) -> tuple[float, bool]:
        """Return the step cut to the horizon, two equal ones rather than a tiny last one, and whether it ends there."""
        rest = self.horizon - self.state.clock
        coming = approach(self.state.marks)
        if coming is not None:
            # before a singularity steps shrink in proportion to what is left; learning that by rejections costs double
            h = min(h, max(CAUTION * (coming.clock - self.state.clock), SHRINK * h))
        if h >= rest * (1 - 1e-12):
            return rest, True
        return (rest / 2, False) if h > rest / 2 else (h, False)

    def _velocity(self, clock: float, theta: Array) -> Array:
        return self.field.at(clock, theta).velocity

    def _tolerance(self, h: float) -> float:
        """Return the admissible error of a step: relative to the length of the path to its end."""
        length = self.state.integrals.get("length", 0.0) + h * self.point.speed
        return self.options.atol + self.options.rtol * length

    def _overshoots(self, h: float, point: Point) -> bool:
        """Whether the step lost rank without having located where: it is then taken again, smaller."""
        lost = 0 <= self._rank_of(point) < self.rank
        return lost and self.options.stop_on_rank_change and h > LOCATED * abs(self.state.clock + h)

    def _monotone(self, raw: Point) -> bool:
        """Whether the cost did not rise: exact for every flow here, so a rise is an error of the step."""
        return self.field.clock == "t" or raw.cost <= self.state.lowest_cost + MONOTONE * self.state.cost0

    # -- acceptance --------------------------------------------------------------------------------------------

    @property
    def _projecting(self) -> bool:
        line = self.field.line
        return self.options.project and line is not None and line.chord > 0.0

    def _accept(self, made: Step, point: Point, drift: float) -> bool:
        """Go on to the end of a step, or to a terminal event on it; False if it must be taken again, smaller."""
        state, values = self.state, list(self.watch.values)
        dense = made.interpolant(point.theta - made.raw.theta if point is not made.raw else None)
        found, terminal = self.watch.step(state.clock, made.end, point.theta, dense)
        if terminal is not None and terminal.clock <= state.clock:
            self.occurrences.append(Occurrence(terminal.name, state.clock, state.theta, terminal=True))
            self.end(Status.EVENT, f"{terminal.name} at {self.field.clock} = {state.clock:.10g}")
            return True
        if terminal is not None and terminal.clock < made.end:
            # the step is taken again to the event, so that quadratures, error and projection belong to its end
            shorter = self._step_to(terminal, made.end, values)
            if shorter is None:
                self.watch.values = values
                return False
            made = shorter
            point, drift = self._project(made.raw)
            dense = made.interpolant(point.theta - made.raw.theta if point is not made.raw else None)
        for name, amount, error in zip(self.options.integrands, made.amounts, made.amount_errors, strict=True):
            state.integrals[name] += float(amount)
            state.quadrature_errors[name] = state.quadrature_errors.get(name, 0.0) + float(error)
        state.clock, state.theta = made.end, point.theta
        state.theta_error += made.error
        state.accepted += 1
        state.lowest_cost = min(state.lowest_cost, point.cost)
        state.step = made.h * self._growth(made.h, max(made.size, 1e-10))
        state.last_step, state.last_size = made.h, max(made.size, 1e-10)
        self.point = point
        self._keep(point, dense, drift)
        self.occurrences.extend(found)
        self._watch_stiffness(made.h)
        state.evaluations = self.field.evaluations
        if terminal is not None:
            self.occurrences.append(Occurrence(terminal.name, made.end, point.theta, terminal=True))
            self.end(Status.EVENT, f"{terminal.name} at {self.field.clock} = {made.end:.10g}")
            return True
        self._watch_rank(point)
        return True

    def _step_to(self, terminal: Occurrence, end: float, values: list[float]) -> Step | None:
        """Return the step that ends at a terminal event, by secants on its own end; None if one is rejected.

        The interpolant is less accurate than the step: where a small quantity is asked for, its zero is off.
        """
        index = next(i for i, event in enumerate(self.watch.events) if event.name == terminal.name)
        event, start, before = self.watch.events[index], self.state.clock, values[index]
        clock, made = terminal.clock, None
        for _ in range(SECANTS):
            attempted = self._attempt(clock - start, clock)
            if not isinstance(attempted, Step):
                return made
            made = attempted
            after = float(event.function(clock, made.raw.theta))
            if abs(after) <= LOCATION * abs(before) or after == before:
                break
            moved = clock - after * (clock - start) / (after - before)
            if not start < moved <= end:
                break
            clock = moved
        return made

    def _watch_stiffness(self, h: float) -> None:
        """Change to implicit steps where stability limits the explicit ones, and back; looked at now and then.

        The estimate from the last two stages of a step misses it: they hardly differ in the stiff direction.
        """
        state = self.state
        state.probe += 1
        if self.implicit is None or state.probe < PROBE:
            return
        state.probe = 0
        rate = h * self.implicit.radius(self.point)
        stiff = rate > (RELAXED if state.stiff else STABILITY)
        if stiff != state.stiff:
            state.stiff, state.last_step = stiff, 0.0

    @property
    def stepper(self) -> Stepper:
        """The stepper in use."""
        return self.implicit if self.state.stiff and self.implicit is not None else self.explicit

    def _growth(self, h: float, size: float) -> float:
        """Return the factor to the next step by Gustafsson's predictive control.

        Before a singularity the error of equal relative steps grows from step to step, after a transient it falls;
        the ratio of the last two errors sees both. For some steps after a rejection it may only shorten the step:
        where stability limits the steps, the errors say nothing about the next one.
        """
        power = -1.0 / self.stepper.order
        growth = SAFETY * size**power
        state = self.state
        if state.last_step > 0:
            predicted = growth * (h / state.last_step) * (size / state.last_size) ** power
            growth = min(growth, predicted) if state.careful else predicted
        state.careful = max(state.careful - 1, 0)
        return min(max(growth, SHRINK), GROW)

    def _project(self, raw: Point) -> tuple[Point, float]:
        """Return the point to go on from, certified, and its drift from the output line relative to the chord.

        One least-norm step reuses the factorization of the raw end; a projection that does not lower the drift is
        not taken.
        """
        line = self.field.line
        if not self._projecting or line is None:
            return raw, self._drift(raw)
        target = line.at(self.field.clock, raw.clock)
        point, drift = raw, self._drift(raw)
        for _ in range(PROJECTIONS):
            theta = point.theta + self.field.correction(point, target)
            candidate = self.field.at(raw.clock, theta, certify=True)
            left = self._drift(candidate) if candidate.finite else np.inf
            if left > max(drift, DRIFT):
                break
            point, drift = candidate, left
            self.state.projections += 1
            if drift <= DRIFT:
                break
        return (point if point is not raw else self.field.certified(raw)), drift

    def _drift(self, point: Point) -> float:
        """Return the distance of the reachable part of the output from its line, relative to the chord."""
        line = self.field.line
        if line is None or line.chord == 0.0:
            return np.nan
        target = line.at(self.field.clock, point.clock)
        return float(np.linalg.norm(self.field.right_hand_side(point.x - target))) / line.chord

    def _keep(self, point: Point, step: DenseStep | HermiteStep | None, drift: float = np.nan) -> None:
        state = self.state
        extremes = self.field.extremes(point)
        state.sigma_scale = self.field.scale
        sigma_min, sigma_max = (extremes.sigma_min, extremes.sigma_max) if extremes else (np.nan, np.nan)
        if extremes is not None:
            factor = point.factor
            if isinstance(factor, SVDFactor) and factor.rank < self.rank:
                self.null_right = factor.null_right()
            else:
                self.null_right = extremes.right[:, None]
        self.noise = roundoff(point, sigma_min, sigma_max)
        numbers = {
            "cost": point.cost,
            "drift": drift,
            "sigma_min": sigma_min,
            "sigma_max": sigma_max,
            "speed": point.speed,
            "rank": self._rank_of(point),
            **state.integrals,
        }
        state.x = point.x
        self.record.add(Row(state.clock, point.theta, point.velocity, point.x, numbers), step)
        state.marks = [
            *state.marks[1 - MEMORY :],
            Mark(state.clock, sigma_min, point.speed, state.integrals.get("length", np.nan)),
        ]

    # -- ends --------------------------------------------------------------------------------------------------

    @staticmethod
    def _rank_of(point: Point) -> int:
        if point.factor is None or point.factor.decision is None:
            return -1
        return point.factor.decision.rank

    def _watch_rank(self, point: Point) -> None:
        if point.factor is None or self.field.flow.damping:
            return
        if point.factor.backend in ("gram-cholesky", "qr"):
            # what sufficed here is tried first on the next step
            self.field.start = self.state.backend = point.factor.backend
        if self._broken_relations(point):
            return
        found = ending(self.state.marks, self.state.sigma_scale, self.field.rank.rtol)
        if found is not None and found.clock < self.horizon:
            self._singular(found)
            return
        if not self.options.stop_on_rank_change:
            return
        rank, decision = self._rank_of(point), point.factor.decision
        ambiguous = decision is None or decision.ambiguous
        # at a floor that the path grazes the truncated field jumps to and fro, and the steps shrink without an end
        chatters = ambiguous and self.state.step < CHATTER * abs(self.state.clock)
        if rank == self.rank and not chatters:
            return
        # a truncated lift has no speed to tell: the steps before it do
        marks = self.state.marks[:-1] if rank < self.rank else self.state.marks
        found = ending(marks, self.state.sigma_scale, self.field.rank.rtol, stalled=True)
        if found is not None and found.clock < self.horizon:
            self._singular(found)
            return
        status = Status.RANK_AMBIGUOUS if ambiguous else Status.RANK_CHANGED
        change = f"from {self.rank} to" if rank != self.rank else "steps shrink without an end:"
        self.end(status, f"{change} {decision} at {self.field.clock} = {self.state.clock:.10g}")

    def _broken_relations(self, point: Point) -> bool:
        """End the run if the relations between rows, assumed to persist, no longer hold."""
        dependence = self.field.dependence
        if dependence is None:
            return False
        defect = dependence.defect(MapJacobian(self.field.flow.map, point.theta))
        if defect <= RELATION:
            return False
        where = f"{self.field.clock} = {self.state.clock:.10g}"
        self.end(Status.RANK_CHANGED, f"the relations between rows ceased to hold at {where} (defect {defect:.1e})")
        return True

    def _singular(self, found: Ending) -> None:
        self.singularity = found
        sigma = self.state.marks[-1].sigma_min
        where = f"{self.field.clock}* = {found.clock:.10g}"
        what = "a fold or an escape, not told apart, " if found.status is Status.RANK_AMBIGUOUS else ""
        left = f"sigma_min/|d sigma_min/d length| {found.remaining_length:.1e}, sigma_min {sigma:.1e}"
        self.end(found.status, f"{what}at {where} ({left})")

    def _stall(self) -> None:
        """Name the end of a path whose steps became too small for the clock."""
        found = None
        if self.field.flow.kind is FlowKind.ADAPTED and not self.field.flow.damping:
            found = ending(self.state.marks, self.state.sigma_scale, self.field.rank.rtol, stalled=True)
        if found is not None:
            self._singular(found)
        else:
            self.end(
                Status.STEP_TOO_SMALL, f"h = {self.state.step:.1e} at {self.field.clock} = {self.state.clock:.10g}"
            )

    def end(self, status: Status, message: str) -> None:
        """End the run."""
        self.status, self.message = status, message
