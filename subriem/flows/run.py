"""One run of a flow: the clock and the line chosen, the loop driven, the orbit closed, the result put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from subriem.core import store
from subriem.core.budget import CancelToken, Meter
from subriem.core.errors import ProblemError, RankError
from subriem.core.factor import ROUNDOFF, TOP, SVDFactor, largest_eigenpair
from subriem.core.gaussnewton import ROUNDOFFS, GaussNewton, gauss_newton
from subriem.core.jacobian import MapJacobian
from subriem.core.protocols import Array
from subriem.core.rank import EPS, RankPolicy
from subriem.core.status import Status
from subriem.flows.ending import Ending
from subriem.flows.field import Clock, ClockField, Line, Point, to_s, to_t
from subriem.flows.flow import Flow, FlowKind
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.loop import FlowLoop
from subriem.flows.network import Network
from subriem.flows.record import Record, Row
from subriem.flows.regime import NEARBY, Regime, conflicting_groups, survey
from subriem.flows.resume import refuse_another, take_over
from subriem.flows.state import FlowState
from subriem.flows.stepper import Integrand, Options
from subriem.flows.units import UnitFinding, null_units
from subriem.integration.events import Event

#: The flow rests when |𝒫 w| is below this share of |w|, or |D^T w| of sigma_max |w|.
EQUILIBRIUM = 1e-8
#: What a run says that has nothing to do.
ALREADY = "the start already meets the cost goal"
#: Relative residual of a lift as a share of rtol.
LIFT_SHARE = 1e-4
#: Share of C0 by which the cost may fall below its floor by roundoff.
BELOW = 1e-9
#: Seconds between two checkpoints.
CHECKPOINT_SECONDS = 20.0
#: Name of the event that ends a run at its cost goal.
GOAL = "cost goal"


@dataclass(frozen=True)
class Until:
    """The goal of a run: exactly one of a cost, an s, or a t.

    Parameters
    ----------
    cost : float, optional
        (C - floor)/C0 to reach. In the t-clock the run goes on to t = 1, the end of the orbit, where a closing
        Newton iteration brings the cost to roundoff.
    s, t : float, optional
        Clock to reach; t = 1 - e^{-2 kappa s} in [0, 1].

    Raises
    ------
    ProblemError
        If not exactly one is given, or it is out of range.

    Examples
    --------
    >>> Until(s=3.0).s
    3.0
    """

    cost: float | None = None
    s: float | None = None
    t: float | None = None

    def __post_init__(self) -> None:
        given = {
            name: value for name, value in (("cost", self.cost), ("s", self.s), ("t", self.t)) if value is not None
        }
        if len(given) != 1:
            raise ProblemError(
                "Until needs exactly one goal", str(given or "none"), "cost=…, s=… or t=…", "Until(cost=1e-12)"
            )
        name, value = next(iter(given.items()))
        upper = {"cost": 1.0, "s": np.inf, "t": 1.0}[name]
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and 0 <= value <= upper and np.isfinite(value) and (value > 0 or name != "cost")):
            interval = "(0, 1]" if name == "cost" else "[0, 1]" if name == "t" else "[0, inf)"
            raise ProblemError(
                f"Until: {name} is out of range", repr(value), f"a number in {interval}", "Until(cost=1e-12)"
            )


class Run:
    """A prepared run: regime surveyed, clock chosen, line drawn, horizon set.

    Parameters
    ----------
    flow : Flow
    state : FlowState
        Fresh, or of a partial run.
    until : Until
    clock : {"auto", "s", "t"}
    rank : RankPolicy
    memory : float
        Largest explicit D in bytes.
    """

    def __init__(self, flow: Flow, state: FlowState, until: Until, clock: str, rank: RankPolicy, memory: float) -> None:
        self.flow, self.state, self.until, self.rank = flow, state, until, rank
        self.rate = flow.cost.rate
        self.regime: Regime | None = None
        self.sigma: float | None = None
        #: What is wrong with the start, if anything, and how far from it that may stop a run.
        self.trouble, self.vicinity = "", 0.0
        backend: Any = state.backend
        x = flow.map.value(state.theta)
        if state.x0 is None:
            state.x0, state.cost0, state.gradient0 = x, flow.cost.value(x), flow.cost.gradient(x)
        else:
            refuse_another(state, flow, x)
        if flow.kind is FlowKind.ADAPTED:
            self.regime, factor = survey(flow.map, state.theta, rank, memory=memory)
            backend = factor.backend if factor.backend in ("gram-cholesky", "qr") else "auto"
        persistent = self.regime is not None and self.regime.persistent
        self.dependence = self.regime.dependence if self.regime is not None and persistent else None
        self.line = self._line(state.x0)
        self.clock: Clock = self._choose(clock if clock != "auto" or not state.clock_name else state.clock_name)
        take_over(state, flow, self.clock)
        null = self.dependence.null if self.dependence is not None else np.zeros((x.size, 0))
        self.floor = flow.cost.floor(x, null)
        lasting = self.regime.lasting if self.regime is not None else None
        self.bound = flow.cost.floor(x, lasting.null) if lasting is not None else self.floor
        self.conflicts = conflicting_groups(self.regime, flow.cost, x) if self.regime is not None else ()
        self.horizon = self._horizon()
        self.field = ClockField(flow, self.clock, rank, self.dependence, self.line, memory, backend)

    # -- set-up ------------------------------------------------------------------------------------------------

    def _line(self, x0: Array) -> Line | None:
        """Return the output line where the theory promises one (docs: mathematics, §1)."""
        regime, rate = self.regime, self.rate
        if regime is None or not regime.straight or rate is None or self.flow.damping:
            return None
        change = -self.flow.cost.gradient(x0) / rate
        if self.dependence is not None:
            change = self.dependence.basis @ (self.dependence.basis.T @ change)
        return Line(x0, x0 + change, rate)

    def _choose(self, wanted: str) -> Clock:
        if self.line is not None and wanted in ("auto", "t"):
            return "t"
        if wanted == "t":
            raise ProblemError(
                "this flow has no t-clock",
                f"{self.flow.kind.value}, damping {self.flow.damping:g}, rate {self.rate}, "
                f"{self.regime.name.value if self.regime else 'rank not decided'}",
                "the undamped adapted flow of C = kappa |x - y|^2 with rank D = n",
                "clock='auto' or clock='s'",
            )
        if self.until.t is not None and self.rate is None:
            raise ProblemError(
                "Until(t=…) needs a cost with a rate", "unequal weights", "C = kappa |x - y|^2", "Until(s=…)"
            )
        return "s"

    def _horizon(self) -> float:
        goal = self.until
        if goal.cost is not None:
            return 1.0 if self.clock == "t" else np.inf
        if goal.t == 1.0 and self.clock == "s":
            raise ProblemError("t = 1 is never reached in s", "Until(t=1), clock s", "t < 1", "Until(cost=1e-12)")
        rate = self.rate if self.rate is not None else np.nan
        if self.clock == "t":
            return goal.t if goal.t is not None else float(to_t(goal.s or 0.0, rate))
        return goal.s if goal.s is not None else float(to_s(goal.t or 0.0, rate))

    def integrands(self, extra: Mapping[str, Integrand] | None) -> dict[str, Integrand]:
        """Return the built-in integrands and the user's."""
        built: dict[str, Integrand] = {"length": lambda point: point.speed}
        if self.flow.kind is FlowKind.ADAPTED:
            built["output_length"] = lambda point: (
                float(np.linalg.norm(point.image)) if point.image is not None else np.nan
            )
            if self.clock == "s":
                built["alignment"] = lambda point: point.alignment
        for name in extra or {}:
            if name in built or name in (
                "cost",
                "drift",
                "sigma_min",
                "sigma_max",
                "speed",
                "rank",
                "theta",
                "x",
                "velocity",
            ):
                raise ProblemError("quadratures: the name is taken", repr(name), "another name", f"{name}_2")
        return {**built, **(extra or {})}

    def _goal_events(self) -> tuple[Event, ...]:
        """Return the event that ends an s-run at its cost goal."""
        if self.clock == "t" or self.until.cost is None:
            return ()
        level = self.until.cost * self.state.cost0

        def excess(_: float, theta: Array) -> float:
            """Return ln (C - floor)/level, nearly linear in s."""
            left = self.flow.cost.value(self.flow.map.value(theta)) - self.floor
            return float(np.log(left / level)) if left > 0 else -1e3

        return (Event(excess, name=GOAL, direction=-1, terminal=True),)

    # -- the run -----------------------------------------------------------------------------------------------

    def run(
        self, options: Options, events: tuple[Event, ...], meter: Meter, token: CancelToken, checkpoint: Any
    ) -> FlowSolution:
        """Drive the loop to an end and return the result."""
        if any(event.name == GOAL for event in events):
            raise ProblemError(
                "the name of the event is taken", repr(GOAL), "another name", "sr.Event(function, name='mine')"
            )
        if checkpoint is not None:
            save_state(self.state, checkpoint)  # a path that cannot be written is found before the run, not after it
        record = Record()
        saved = meter.seconds
        # no step asks for more of a lift than a share of its tolerance; v stays in range D^T whatever the residual
        self.field.accuracy = max(ROUNDOFF, LIFT_SHARE * options.rtol)
        loop = FlowLoop(self.field, self.state, self.horizon, options, (*events, *self._goal_events()), record)
        self.begun = (self.state.accepted, self.state.evaluations)
        self._already_there(loop)
        self._singular_start(loop, options)
        while loop.status is None:
            self._step(loop, meter, token)
            if checkpoint is not None and (loop.status is not None or meter.seconds - saved > CHECKPOINT_SECONDS):
                save_state(self.state, checkpoint)
                saved = meter.seconds
        closing = self._close(loop) if self._closes(loop) else None
        self._judge(loop)
        return self._assemble(loop, record, options, meter, closing)

    def _already_there(self, loop: FlowLoop) -> None:
        if self.until.cost is None or loop.status is not None:
            return
        excess = loop.point.cost - self.floor
        if self.line is not None:
            size = float(np.linalg.norm(self.line.start) + np.linalg.norm(self.line.end))
            there = self.line.chord <= ROUNDOFFS * EPS * size
        else:
            there = excess <= 0
        if there or (self.clock == "s" and excess <= self.until.cost * self.state.cost0):
            loop.end(Status.SUCCESS, ALREADY)

    def _singular_start(self, loop: FlowLoop, options: Options) -> None:
        """End the run where it starts if the rank of D is lower there than nearby: no solution leaves such a point."""
        regime, state = self.regime, self.state
        if regime is None or not regime.singular or self.flow.damping or state.clock >= self.horizon:
            return
        self.vicinity = NEARBY * (1.0 + float(np.linalg.norm(state.theta)))
        self.trouble = f"the start is singular: rank D = {regime.rank} there, {regime.nearby} nearby"
        if loop.status is None and options.stop_on_rank_change:
            factor, rest = loop.point.factor, "; an equilibrium of the flow" if self._rests(loop.point) else ""
            loop.null_right = factor.null_right() if isinstance(factor, SVDFactor) else None
            loop.singularity = Ending(Status.RANK_CHANGED, state.clock, 0.0)
            loop.end(Status.RANK_CHANGED, f"{self.trouble} ({self.clock} = {state.clock:.6g}){rest}")

    def _step(self, loop: FlowLoop, meter: Meter, token: CancelToken) -> None:
        """Take one step, after asking budget, cancellation and equilibrium."""
        state = self.state
        accepted, evaluations = state.accepted - self.begun[0], self.field.evaluations - self.begun[1]
        # a run that has arrived is not interrupted any more
        under_way = state.clock < self.horizon
        limit = meter.spent(accepted, evaluations) if under_way else ""
        if token.reason and under_way:
            loop.end(Status.CANCELLED, f"{token.reason} at {self.clock} = {state.clock:.6g}")
        elif limit:
            loop.end(Status.BUDGET_SPENT, f"{limit}; {self.clock} = {state.clock:.6g}")
        elif self.until.cost is not None and self.clock == "s" and self._rests(loop.point):
            loop.end(
                Status.EVENT,
                f"equilibrium at s = {state.clock:.6g}, |D^T (x-y)| = {self._stationarity(loop.point):.1e}",
            )
        else:
            try:
                loop.advance()
            except RankError as error:
                loop.end(Status.RANK_AMBIGUOUS, f"{error.what} ({error.got}) at {self.clock} = {state.clock:.6g}")
            meter.tell(
                self._fraction(loop.point),
                f"{self.clock} = {state.clock:.4g}, C/C0 = {loop.point.cost / (state.cost0 or 1.0):.2e}",
            )

    def _rests(self, point: Point) -> bool:
        """Whether w, the push, is out of reach: cos phi (adapted) or |D^T w|/(sigma_max |w|) is at roundoff.

        Both are free of the scales of x, theta and damping; the second alone would take an escape, D -> 0, for rest.
        """
        if self.flow.kind is FlowKind.ADAPTED and not self.flow.damping:
            return not point.alignment > EQUILIBRIUM**2
        lowered = self.flow.map.vjp(point.theta, point.push)
        if self.sigma is None:
            jacobian = MapJacobian(self.flow.map, point.theta)
            top, _ = largest_eigenpair(lambda v: jacobian.vjp(jacobian.jvp(v)), self.flow.map.n_in, TOP)
            self.sigma = float(np.sqrt(top))
        return float(np.linalg.norm(lowered)) <= EQUILIBRIUM * self.sigma * float(np.linalg.norm(point.push))

    def _stationarity(self, point: Point) -> float:
        return float(np.linalg.norm(self.flow.map.vjp(point.theta, point.push))) / (self.rate or 1.0)

    def _fraction(self, point: Point) -> float:
        if np.isfinite(self.horizon):
            return self.state.clock / self.horizon if self.horizon > 0 else 1.0
        excess = max(point.cost - self.floor, 1e-300) / (self.state.cost0 or 1.0)
        return float(np.log(excess) / np.log(self.until.cost or 0.5)) if excess < 1 else 0.0

    # -- the end -----------------------------------------------------------------------------------------------

    def _judge(self, loop: FlowLoop) -> None:
        """Let the cost have the last word: a goal that is met is a success, a cost below its floor is none."""
        excess, scale = loop.point.cost - self.floor, self.state.cost0
        if loop.status is Status.STEP_TOO_SMALL and self.trouble and self.state.integrals["length"] < self.vicinity:
            loop.end(Status.RANK_CHANGED, f"{self.trouble}; {loop.message}")
        singular = loop.status in (Status.RANK_CHANGED, Status.ESCAPED, Status.RANK_AMBIGUOUS)
        if self.dependence is not None and excess < -BELOW * scale:
            loop.end(Status.RANK_AMBIGUOUS, f"C fell {-excess:.1e} below the floor of the relations between rows")
        elif singular and self.until.cost is not None and 0 <= excess <= self.until.cost * scale:
            loop.end(Status.SUCCESS, f"the cost goal was met before the path ended ({loop.message})")
            loop.singularity = None

    def _closes(self, loop: FlowLoop) -> bool:
        return loop.status is Status.SUCCESS and self.clock == "t" and self.horizon == 1.0 and self.state.clock == 1.0

    def _close(self, loop: FlowLoop) -> GaussNewton:
        """Bring the end of the orbit onto its exact output by least-norm Newton steps."""
        assert self.line is not None
        closed = gauss_newton(
            self.flow.map,
            self.state.theta,
            self.line.end,
            rank=self.rank,
            dependence=self.dependence,
            memory=self.field.memory,
        )
        self.field.evaluations += closed.evaluations
        self.state.evaluations = self.field.evaluations
        last, loop.point = loop.record.rows[-1], replace(loop.point, cost=self.flow.cost.value(closed.x))
        cost = self.flow.cost.value(closed.x)
        chord = self.line.chord
        drift = closed.residuals[-1] / chord if chord > 0 else 0.0
        numbers = {**last.numbers, "cost": cost, "drift": drift}
        loop.record.replace_last(Row(1.0, closed.theta, last.velocity, closed.x, numbers))
        self.state.theta, self.state.x = closed.theta, closed.x
        goal = self.until.cost
        if goal is not None and cost - self.floor > goal * self.state.cost0:
            loop.end(
                Status.NOT_CONVERGED,
                f"closing iteration stopped at (C - floor)/C0 = {(cost - self.floor) / self.state.cost0:.1e}",
            )
        return closed

    def _assemble(
        self, loop: FlowLoop, record: Record, options: Options, meter: Meter, closing: GaussNewton | None
    ) -> FlowSolution:
        clocks = np.array([row.clock for row in record.rows])
        rate = self.rate
        if self.clock == "t":
            t, s = clocks, to_s(clocks, rate or np.nan)
        else:
            t, s = to_t(clocks, rate) if rate is not None else np.full_like(clocks, np.nan), clocks
        names = ["cost", "drift", "sigma_min", "sigma_max", "speed", *options.integrands]
        channels = {name: record.column(name) for name in names}
        dense = record.dense()
        theta = record.stack("theta")
        channels |= {"theta": theta, "x": record.stack("x"), "velocity": record.stack("velocity")}
        status, message = loop.status or Status.SUCCESS, loop.message
        occurrences = tuple(e for e in loop.occurrences if e.name != GOAL)
        if status is Status.EVENT and message.startswith(GOAL):
            status = Status.SUCCESS
        return FlowSolution(
            t=t, y=theta, channels=channels, dense=dense, events=occurrences, rank=record.column("rank").astype(int),
            status=status, message=message, stats=self._stats(loop, options, meter, closing), clock=self.clock, s=s,
            rate=rate, regime=self.regime, line=self.line, cost_floor=self.floor, conflicts=self.conflicts,
            goal=self.until.cost, theta_error=self.state.theta_error, reference_error=np.nan,
            singularity=loop.singularity, state=self.state, units=self._units(loop), cost_bound=self.bound,
        )  # fmt: skip

    def _units(self, loop: FlowLoop) -> tuple[UnitFinding, ...]:
        """Name the units of a network that carry the right null vector at a singular end, for K < n."""
        network = self.flow.map
        null = loop.null_right
        if (
            loop.singularity is None
            or null is None
            or not isinstance(network, Network)
            or network.n_in >= network.n_out
        ):
            return ()
        return null_units(network, self.state.theta, null / np.linalg.norm(null, axis=0))

    def _stats(self, loop: FlowLoop, options: Options, meter: Meter, closing: GaussNewton | None) -> dict[str, Any]:
        state = self.state
        state.evaluations = self.field.evaluations
        stats: dict[str, Any] = {
            "evaluations": state.evaluations,
            "accepted": state.accepted,
            "rejected": state.rejected,
            "projections": state.projections,
            "projected": bool(options.project and self.line is not None),
            "backends": dict(self.field.backends),
            "jacobians": loop.implicit.jacobians if loop.implicit is not None else 0,
            "rtol": options.rtol,
            "atol": options.atol,
            "seconds": meter.seconds,
            "final_cost": loop.point.cost,
        }
        if self.line is None and loop.point.finite:
            stats["stationarity"] = self._stationarity(loop.point)
        if closing is not None:
            stats["closing_steps"] = len(closing.residuals) - 1
            stats["closing_residuals"] = list(closing.residuals)
        if loop.record.thinned:
            stats["thinned"] = loop.record.thinned
        return stats


def save_state(state: FlowState, path: Any) -> None:
    """Write a state atomically, so that a killed run can go on from it."""
    from subriem.flows.persist import state_parts

    store.write(path, "flow-state", *state_parts(state))
