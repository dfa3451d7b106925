"""The march behind `solve`: pieces of an engine's path, projected, checked for rank, cut at events and breakpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from subriem.core.budget import CancelToken, Meter
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision
from subriem.core.status import Status
from subriem.integration.daesolution import Values
from subriem.integration.events import Event, Occurrence
from subriem.integration.integrator import Engine
from subriem.integration.jetpath import Stretch, assemble
from subriem.integration.pathrank import cond_growth, path_decisions, sign_changes
from subriem.integration.reduced import Nodes, ReducedSystem

#: Smallest stretch tried after failures, relative to the span: a failure is located to it.
LOCATED = 1e-10
#: Growth of the state at which a failure is an escape.
ESCAPE = 1e6
#: Growth of the condition of the system Jacobian at which a failure is a loss of rank.
SINGULAR = 1e4
#: Drift over one piece, in units of the tolerance, above which the piece is taken again in halves.
DRIFT = 1e3
#: Bisections of an event.
BISECTIONS = 200


@dataclass
class Track:
    """What a march has gathered."""

    t: list[Array] = field(default_factory=list)
    jets: list[Array] = field(default_factory=list)
    drift: list[Array] = field(default_factory=list)
    rank: list[np.ndarray] = field(default_factory=list)
    quadratures: list[Array] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    events: list[Occurrence] = field(default_factory=list)
    stats: dict[str, Any] = field(default_factory=dict)


class March:
    """Marches a reduced system from a consistent state over a span.

    Parameters
    ----------
    system : ReducedSystem
    engine, fine : Engine
        The engine for whole pieces, and one with a single interval for locating events.
    tolerance : float
    project, stop_on_rank_change : bool
    events : sequence of Event
        Functions of (t, Values).
    """

    def __init__(
        self,
        system: ReducedSystem,
        engine: Engine,
        fine: Engine,
        tolerance: float,
        project: bool,
        stop_on_rank_change: bool,
        events: Sequence[Event],
        meter: Meter,
        token: CancelToken,
    ) -> None:
        self.system, self.engine, self.fine = system, engine, fine
        self.tolerance, self.project, self.stop = tolerance, project, stop_on_rank_change
        self.events, self.meter, self.token = tuple(events), meter, token
        self.track = Track()
        self.status: Status | None = None
        self.message = ""
        self.pieces = 0
        self.decision: RankDecision | None = None

    def segment(
        self, t0: float, t1: float, z: Array, a: Array, q: Array, w: Array, fraction: tuple[float, float]
    ) -> tuple[float, Array, Array, Array, Occurrence | None]:
        """March over a stretch without breakpoints; return where it stopped, with the event that stopped it."""
        length = t1 - t0
        careful = self.meter.progress is not None or self.meter.budget != type(self.meter.budget)()
        step = length / 32 if careful else length
        t = t0
        while self.status is None and t != t1:
            goal = t1 if abs(t1 - t) <= abs(step) * (1 + 1e-9) else t + step
            self._limits()
            if self.status is not None:
                break
            piece = self.engine.advance(t, goal, np.concatenate([z, w]), a, q)
            self.pieces += 1
            self._count(piece.stats)
            if piece.failure:
                if abs(step) <= LOCATED * abs(length) or t + step / 2 == t:
                    self._fail(t, z, a, q, piece.failure)
                    break
                step /= 2
                continue
            m = z.size
            nodes = self.system.polish(piece.t, piece.z[:, :m], piece.a, q, self.project)
            if self._drifts(nodes) and abs(step) > abs(length) / 4096:
                step = (goal - t) / 2
                continue
            found = self._cut(nodes, piece.z[:, m:], q)
            t, z, a, w = float(found[0].t[-1]), found[0].z[-1], found[0].a[-1], found[1][-1]
            self._record(*found[:2], q)
            low, high = fraction
            self.meter.tell(low + (high - low) * (t - t0) / length, f"t = {t:.4g}")
            if found[2] is not None:
                return t, z, a, w, found[2]
            if goal != t1 and not careful:
                step *= 2
        return t, z, a, w, None

    def _limits(self) -> None:
        spent = self.meter.spent(self.pieces, int(self.track.stats.get("evaluations", 0)))
        if self.token.reason:
            self.status, self.message = Status.CANCELLED, self.token.reason
        elif spent:
            self.status, self.message = Status.BUDGET_SPENT, spent

    def _count(self, stats: dict[str, Any]) -> None:
        total = self.track.stats
        for name, key in (
            ("n_steps", "steps"),
            ("n_reject", "rejected"),
            ("n_rhs", "evaluations"),
            ("n_jac", "jacobians"),
        ):
            if name in stats:
                total[key] = total.get(key, 0) + int(stats[name])

    def _drifts(self, nodes: Nodes) -> bool:
        return self.project and bool(nodes.drift.max(initial=0.0) > DRIFT * self.tolerance)

    def _fail(self, t: float, z: Array, a: Array, q: Array, why: str) -> None:
        """Name the end of a march that cannot go on."""
        growth = cond_growth(self.system, t, z, a, q)
        size = 1 + max(
            (float(np.abs(stretch.z[0]).max(initial=0.0)) for stretch in self.track.stretches[:1]), default=0.0
        )
        if float(np.abs(z).max(initial=0.0)) > ESCAPE * size:
            self.status, what = Status.ESCAPED, f"a state grew to {np.abs(z).max():.1e}"
        elif growth > SINGULAR:
            self.status, what = (
                Status.RANK_CHANGED,
                f"the system Jacobian loses rank, its condition grew by {growth:.1e},",
            )
        elif "finite" in why:
            self.status, what = Status.NOT_FINITE, why
        else:
            self.status, what = Status.STEP_TOO_SMALL, why
        row = assemble(self.system, np.array([t]), z[None], a[None], q)
        self.message = f"{what} at t = {t:.10g}{self._culprit(row[0])}"

    def _culprit(self, row: Array) -> str:
        """Name the variable of the largest value, which tells where to look."""
        where = self.system.reduction.system
        size = np.abs(np.nan_to_num(row, nan=np.inf))
        return (
            f", largest {where.column_name(where.columns[int(np.argmax(size))])} = {row[int(np.argmax(size))]:.3g}"
            if row.size
            else ""
        )

    def _record(self, nodes: Nodes, w: Array, q: Array) -> None:
        track = self.track
        decisions = path_decisions(self.system, nodes.t, nodes.z, nodes.a, q)
        track.rank.append(np.array([-1 if entry is None else entry.rank for entry in decisions]))
        track.t.append(nodes.t)
        track.jets.append(assemble(self.system, nodes.t, nodes.z, nodes.a, q))
        track.drift.append(nodes.drift)
        track.quadratures.append(w)
        track.stretches.append(Stretch(self.system, nodes.t, nodes.z, nodes.a, q))

    # --- events -----------------------------------------------------------------------------------------------------

    def _cut(self, nodes: Nodes, w: Array, q: Array) -> tuple[Nodes, Array, Occurrence | None]:
        """Find what happens on a piece, and end it at the first terminal event, reset or change of rank."""
        happened: list[tuple[float, Event | None, int]] = []
        rows = assemble(self.system, nodes.t, nodes.z, nodes.a, q) if self.events else np.zeros((nodes.t.size, 0))
        reduction = self.system.reduction
        for event in self.events:
            values = [
                float(event.function(float(t), Values(reduction, row))) for t, row in zip(nodes.t, rows, strict=True)
            ]
            for i in range(len(values) - 1):
                if event.crossed(values[i], values[i + 1]):
                    happened.append((self._locate(event, nodes, w, q, i, values[i]), event, i))
        if self.stop:
            happened += [(time, None, i) for time, i in sign_changes(self.system, nodes, q)]
        forward = 1.0 if nodes.t[-1] >= nodes.t[0] else -1.0
        for time, event, i in sorted(happened, key=lambda entry: forward * entry[0]):
            z, a, v = self._state(nodes, w, q, i, time)
            row = assemble(self.system, np.array([time]), z[None], a[None], q)[0]
            if event is None:
                self.status, self.message = Status.RANK_CHANGED, f"the system Jacobian is singular at t = {time:.10g}"
                occurrence = Occurrence("rank", time, row, True)
            else:
                occurrence = Occurrence(event.name, time, row, event.terminal)
            self.track.events.append(occurrence)
            if event is not None and not event.terminal and event.reset is None:
                continue
            if event is not None and event.terminal:
                self.status, self.message = Status.EVENT, f"event {event.name!r} at t = {time:.10g}"
            return self._until(nodes, w, i, time, z, a, v), np.vstack([w[: i + 1], v[None]]), occurrence
        return nodes, w, None

    def _state(self, nodes: Nodes, w: Array, q: Array, i: int, time: float) -> tuple[Array, Array, Array]:
        """Integrate from the node before to a time."""
        z, a, v, m = nodes.z[i], nodes.a[i], w[i], nodes.z.shape[1]
        if time == nodes.t[i]:
            return z, a, v
        piece = self.fine.advance(float(nodes.t[i]), time, np.concatenate([z, v]), a, q)
        polished = self.system.polish(piece.t[-1:], piece.z[-1:, :m], piece.a[-1:], q, self.project)
        return polished.z[0], polished.a[0], piece.z[-1, m:]

    def _locate(self, event: Event, nodes: Nodes, w: Array, q: Array, i: int, before: float) -> float:
        from scipy.optimize import brentq

        def value(time: float) -> float:
            if time == left:
                return before
            z, a, _ = self._state(nodes, w, q, i, time)
            row = assemble(self.system, np.array([time]), z[None], a[None], q)[0]
            return float(event.function(time, Values(self.system.reduction, row)))

        left, right = float(nodes.t[i]), float(nodes.t[i + 1])
        tolerance = 4 * np.finfo(float).eps * max(abs(left), abs(right))
        if np.sign(value(right)) == np.sign(before):
            return right
        return float(brentq(value, left, right, xtol=max(tolerance, 1e-15 * abs(right - left)), maxiter=BISECTIONS))

    @staticmethod
    def _until(nodes: Nodes, w: Array, i: int, time: float, z: Array, a: Array, v: Array) -> Nodes:
        keep = slice(0, i + 1)
        return Nodes(
            np.append(nodes.t[keep], time),
            np.vstack([nodes.z[keep], z[None]]),
            np.vstack([nodes.a[keep], a[None]]),
            np.append(nodes.drift[keep], nodes.drift[i]),
        )
