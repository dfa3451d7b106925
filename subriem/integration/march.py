"""The march behind `solve`: stretches of an engine's path, projected, checked, cut where something happens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from subriem.core.budget import CancelToken, Meter
from subriem.core.errors import RankError
from subriem.core.protocols import Array
from subriem.core.status import Status
from subriem.integration.crossings import Crossing, crossings, event_value
from subriem.integration.events import Event, Occurrence
from subriem.integration.exchange import Exchange, named_exchange
from subriem.integration.integrator import NODES, Piece
from subriem.integration.leap import DRIFT, Leap, drifted
from subriem.integration.motion import Motion
from subriem.integration.pathrank import Regularity, ranks, shrinkage, singular_beyond
from subriem.integration.reduced import Nodes
from subriem.integration.stretch import ORDER, Stretch
from subriem.integration.watch import Watch

#: Smallest stretch tried after failures, relative to the span: a failure is located to it.
LOCATED = 1e-11
#: Growth of the state at which a failure is an escape.
ESCAPE = 1e6
#: Loss of regularity of the system Jacobian at which a failure is a loss of rank.
SINGULAR = 1e3
#: Times wanted on a leg up to which it is taken from one to the next; a march gets along with as many as there are.
FEW = 16
#: The first stretch, relative to the span.
FIRST = 1 / 64
#: Growth of the length from one stretch to the next, and its share of what the error suggests.
SAFETY = 0.6
SMALLEST, LARGEST = 0.25, 16.0


@dataclass
class Track:
    """What a march has gathered."""

    stretches: list[Stretch] = field(default_factory=list)
    ranks: dict[float, int] = field(default_factory=dict)
    residual: float = 0.0
    events: list[Occurrence] = field(default_factory=list)
    pieces: int = 0
    marched: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    exchanges: list[str] = field(default_factory=list)


class March:
    """Marches from a consistent state over a span, in stretches that its nodes resolve.

    Parameters
    ----------
    motion : Motion
    span : (float, float)
    stop : bool
        Whether a loss of rank between nodes ends the march.
    events : collection of Event
        Functions of (t, Values).
    meter, token
        Limits and cancellation.
    watch : Watch
    wanted : ndarray, optional
        The times that are wanted. A leg between them is tried in one call of the engine first, if there are no events.
    """

    def __init__(
        self,
        motion: Motion,
        span: tuple[float, float],
        stop: bool,
        events: Collection[Event],
        meter: Meter,
        token: CancelToken,
        watch: Watch,
        wanted: Array | None = None,
    ) -> None:
        self.motion, self.span, self.stop, self.events = motion, span, stop, tuple(events)
        self.meter, self.token, self.wanted = meter, token, None if self.events else wanted
        self.track, self.watch, self.exchange = Track(), watch, Exchange(motion.system)
        self.status: Status | None = None
        self.message = ""
        self._step = FIRST * (span[1] - span[0])
        # and a grid must fit into it
        self._smallest = max(LOCATED * abs(span[1] - span[0]), 4 * NODES * float(np.spacing(np.abs(span).max())))

    def end(self, status: Status, message: str) -> None:
        """End the march; the first reason is kept."""
        if self.status is None:
            self.status, self.message = status, message

    def leg(self, goal: float, here: Nodes, q: Array, fired: Collection[Event]) -> tuple[Nodes, list[Event]]:
        """March from a point to a time with constant data; return where it stopped and the resets that stopped it.

        Parameters
        ----------
        goal : float
        here : Nodes
            One point.
        q : ndarray
        fired : collection of Event
            Events that have just happened at this point.
        """
        before = {} if fired else self._before()
        here = here if self.wanted is None else self._leaps(self.wanted, goal, here, q)
        while self.status is None and here.t[0] != goal:
            self._limits()
            if self.status is not None:
                break
            t = float(here.t[0])
            to = goal if abs(goal - t) <= abs(self._step) * (1 + 1e-9) else t + self._step
            stretch, failure = self._stretch(here, to, q)
            worn = None if stretch is None else self.exchange.worn(stretch)
            if worn is not None:
                stretch, failure = worn.sound, "the equations that carry the motion change within a step"
                if stretch is None and worn.motion is not None:
                    here = self._go_on(worn.motion, here, q)
                    continue
            if stretch is None:
                if abs(to - t) <= self._smallest:
                    self._fail(here, q, failure)
                    break
                self._step = (to - t) / 4
                continue
            stretch, happened = self._cut(stretch, fired, before)
            self.track.stretches.append(stretch)
            here, fired, before = stretch.nodes[-1:], (), {}
            self._tell(float(here.t[0]))
            if worn is not None and worn.motion is not None and stretch is worn.sound:
                here = self._go_on(worn.motion, here, q)
            if resets := [crossing.event for crossing in happened if crossing.event.reset is not None]:
                return here, resets
        return here, []

    def _before(self) -> dict[Event, float]:
        """Return the values of the events at the end of the path so far, from where the data may jump."""
        if not self.track.stretches or not self.events:
            return {}
        last = self.track.stretches[-1]
        row, t = self.motion.system.jets(last.nodes[-1:], last.q)[0], float(last.nodes.t[-1])
        return {event: event_value(last, event, t, row) for event in self.events}

    def _go_on(self, motion: Motion, here: Nodes, q: Array) -> Nodes:
        """Go on with other equations in the place of worn ones; return the point as theirs."""
        said = named_exchange(self.motion.system, motion.system)
        self.track.exchanges.append(f"t = {here.t[0]:.6g}: {said}")
        here = motion.node(self.motion.point(here, q), q, here.x[0, motion.system.states :])
        self.motion, self.watch = motion, Watch(motion.system)
        return here

    def _tell(self, t: float) -> None:
        low, high = self.span
        self.meter.tell((t - low) / (high - low), f"t = {t:.4g}")

    def _leaps(self, wanted: Array, goal: float, here: Nodes, q: Array) -> Nodes:
        """Take a leg in few calls of the engine, from one time wanted to the next; return how far that went."""
        t = float(here.t[0])
        mine = wanted[(wanted > min(t, goal)) & (wanted < max(t, goal))]
        dense = self.motion.engine.dense
        if self.exchange.spare or (mine.size > FEW and not dense):
            return here
        leap, inside = Leap(self.motion, self.watch), dense and mine.size > 1
        for to in map(float, [*(mine[-1:] if dense else mine), goal]):
            self._limits()
            if self.status is not None:
                break
            stretch, doubt, piece = leap.take(here, to, q, inside)
            self._count(piece)
            if stretch is None:
                self.track.marched = self.track.marched or doubt
                break
            self._decide(stretch)
            self.track.stretches.append(stretch)
            self._tell(to)
            here = stretch.nodes[-1:]
        return here

    def _limits(self) -> None:
        spent = self.meter.spent(self.track.pieces, self.track.counts.get("evaluations", 0))
        if self.token.reason:
            self.end(Status.CANCELLED, self.token.reason)
        elif spent:
            self.end(Status.BUDGET_SPENT, spent)

    def _stretch(self, here: Nodes, to: float, q: Array) -> tuple[Stretch | None, str]:
        """Integrate to a time; return the stretch, or None and why not. The next length is chosen on the way."""
        piece = self.motion.engine.advance(float(here.t[0]), to, here.x[0], here.a[0], q)
        self._count(piece)
        if piece.failure:
            return None, piece.failure
        try:
            nodes = self.motion.polish(piece.t, piece.x, piece.a, q)
        except RankError as error:
            return None, error.what
        nodes.drift[0] = 0.0
        stretch = Stretch(self.motion, nodes, q, dense=piece.dense)
        shortest = abs(to - here.t[0]) <= FIRST**2 * abs(self.span[1] - self.span[0])
        if not shortest and (left := drifted(stretch, DRIFT)):
            return None, left
        if not self.watch.finite(stretch):  # unknowns that were eliminated the engine does not see
            return None, "a value was not finite"
        late = float(stretch.error[-NODES // 4 :].max(initial=0.0))  # a transient at the start is refined, not repeated
        growth = float(np.clip(SAFETY * max(late, 1e-300) ** (-1 / ORDER), SMALLEST, LARGEST))
        length = (to - float(here.t[0])) * growth
        self._step = float(np.copysign(max(abs(length), self._smallest), length))
        return stretch, ""

    def _count(self, piece: Piece) -> None:
        self.track.pieces += 1
        for name, count in piece.stats.items():
            self.track.counts[name] = self.track.counts.get(name, 0) + count

    # --- what happens on a stretch ----------------------------------------------------------------------------------

    def _cut(
        self, stretch: Stretch, fired: Collection[Event], before: Mapping[Event, float]
    ) -> tuple[Stretch, list[Crossing]]:
        """End a stretch where something ends it, and record events, ranks and residuals."""
        happened = crossings(stretch, self.events, fired, before)
        final = next((c.t for c in happened if c.event.terminal or c.event.reset is not None), None)
        singular = Regularity(stretch).singular_time()
        violated = self.watch.violated(stretch)
        forward = 1.0 if stretch.nodes.t[-1] >= stretch.nodes.t[0] else -1.0
        ends = [t for t in (final, singular if self.stop else None, violated and violated[0]) if t is not None]
        first = min(ends, key=lambda t: forward * t, default=None)
        if first is not None:
            last = float(stretch.nodes.t[-1])
            near = abs(last - first) <= NODES * np.spacing(abs(last))  # no grid fits into what would be left
            stretch = _until(stretch, last if near else first)
            slack = abs(last - first) if near else 4 * np.spacing(abs(first))
            happened = [c for c in happened if forward * (c.t - first) <= slack]
            if violated is not None and violated[0] == first:
                self.end(Status.INCONSISTENT, violated[1])
            elif self.stop and singular == first:
                self._rank_changed(stretch)
        if not self.stop and singular is not None and forward * (stretch.nodes.t[-1] - singular) >= 0:
            row = self.motion.system.jets(stretch.at(np.array([singular])), stretch.q)[0]
            self.track.events.append(Occurrence("rank", singular, row, False))
        self._record(stretch, happened)
        return stretch, happened

    def _rank_changed(self, stretch: Stretch) -> None:
        end = stretch.nodes[-1:]
        row = self.motion.system.jets(end, stretch.q)[0]
        self.track.events.append(Occurrence("rank", float(end.t[0]), row, True))
        names = self.watch.culprit(end, stretch.q)
        self.end(Status.RANK_CHANGED, f"the system Jacobian is singular at t = {end.t[0]:.10g}{names}")

    def _record(self, stretch: Stretch, happened: list[Crossing]) -> None:
        track = self.track
        for crossing in happened:
            row = self.motion.system.jets(stretch.at(np.array([crossing.t])), stretch.q)[0]
            track.events.append(Occurrence(crossing.event.name, crossing.t, row, crossing.event.terminal))
            if crossing.event.terminal:
                self.end(Status.EVENT, f"event {crossing.event.name!r} at t = {crossing.t:.10g}")
        track.residual = max(track.residual, self.watch.residual(stretch))
        self._decide(stretch)

    def _decide(self, stretch: Stretch) -> None:
        """Keep the rank at the end of a stretch; at the start it was decided where the system was reduced."""
        track = self.track
        if not track.ranks:
            track.ranks[float(stretch.nodes.t[0])] = len(self.motion.system.reduction.certificate.base)
        track.ranks |= ranks(stretch, (-1,))

    # --- a march that cannot go on ----------------------------------------------------------------------------------

    def _fail(self, here: Nodes, q: Array, why: str) -> None:
        """Name the end of a march that cannot go on."""
        start = self.track.stretches[0] if self.track.stretches else Stretch(self.motion, here, q)
        size, now = 1 + np.abs(start.nodes.x[0]).max(initial=0.0), np.abs(here.x[0]).max(initial=0.0)
        lost = shrinkage(start, here, self.motion.system)
        if now > ESCAPE * size:
            status, what = Status.ESCAPED, f"a state grew to {now:.1e}"
        elif lost > SINGULAR:
            self._lost(here, q, lost)
            return
        elif "finite" in why and "small" not in why:
            status, what = Status.NOT_FINITE, why
        else:
            status, what = Status.STEP_TOO_SMALL, why
        self.end(status, f"{what} at t = {here.t[0]:.10g}{self.watch.largest(here, q)}")

    def _lost(self, here: Nodes, q: Array, nearer: float) -> None:
        stretches = self.track.stretches
        time = singular_beyond(stretches) if stretches else float(here.t[0])
        self.track.events.append(Occurrence("rank", time, self.motion.system.jets(here, q)[0], True))
        names = self.watch.culprit(here, q)
        self.end(Status.RANK_CHANGED, f"the system Jacobian loses rank at t = {time:.10g}{names} ({nearer:.0e} times)")

    @property
    def stats(self) -> dict[str, Any]:
        """Counts of the engine and of stretches, what was exchanged, and why a leg was not taken in one call."""
        track = self.track
        more = {"marched": track.marched, "exchanges": track.exchanges}
        return {"pieces": track.pieces, **track.counts, **{name: value for name, value in more.items() if value}}


def _until(stretch: Stretch, t: float) -> Stretch:
    """Return a stretch up to a time on it."""
    if t == stretch.nodes.t[-1]:
        return stretch
    i = int(stretch.interval(np.array([t]))[0])
    end = stretch.at(np.array([t]))
    nodes = stretch.nodes[: i + 1] if t == stretch.nodes.t[i] else stretch.nodes.until(i, end)
    return Stretch(stretch.motion, nodes, stretch.q, stretch.depth, stretch.dense)
