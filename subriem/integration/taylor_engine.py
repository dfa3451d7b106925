"""The Taylor method for reduced DAEs: the explicit face compiled by heyoka, accurate to roundoff."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.budget import Budget
from subriem.core.errors import ReductionError
from subriem.core.protocols import Array
from subriem.core.status import Status
from subriem.integration.batch import Batch
from subriem.integration.explicit import ExplicitFace, explicit_face
from subriem.integration.integrator import NODES, Engine, Integrator, Options, Piece, grid
from subriem.integration.solution import DenseOutput
from subriem.integration.system import System
from subriem.integration.taylor import Taylor, TaylorRun, joined
from subriem.integration.taylorwalk import TaylorSegment

#: Steps an engine may take over a stretch: one that needs more is taken in shorter ones.
STEPS = 20_000
#: Steps between the nodes of a leg taken in one call, and how often NODES may be doubled to that end.
SPACING, FINEST = 2.0, 5


@dataclass(frozen=True, eq=False)
class TaylorPath:
    """The states of a run at any time, from its Taylor polynomials.

    Attributes
    ----------
    found : tuple of TaylorSegment, or partial
        The polynomials in the time sign * t, which increases; or the run that finds them, made when they are needed.
    sign : float
    states : int
        How many of their components are states.
    """

    found: tuple[TaylorSegment, ...] | partial[TaylorRun]
    sign: float
    states: int

    @cached_property
    def segments(self) -> tuple[TaylorSegment, ...]:
        """The polynomials."""
        return self.found if isinstance(self.found, tuple) else self.found().segments

    @cached_property
    def _path(self) -> DenseOutput:
        return joined(self.segments)

    def __call__(self, times: Array) -> Array:
        """Return the states (len(times), states)."""
        return np.atleast_2d(self._path(self.sign * times))[:, : self.states]


class TaylorEngine(Engine):
    """Runs of the explicit face; its polynomials give the nodes."""

    dense = True

    def __init__(self, system: System, options: Options) -> None:
        self.face: ExplicitFace = explicit_face(system)
        self._states = system.rates.numel_in(1)
        self._rtol = options.rtol
        self._unknowns = Batch(self.face.unknowns) if system.algebraic.numel_out(0) else None
        self._forward = Taylor(self.face.rates)
        self._backward: Taylor | None = None
        self.notes: dict[str, Any] = {}

    def advance(self, t0: float, t1: float, x: Array, a: Array, q: Array, patient: bool = False) -> Piece:
        """Integrate from t0 to t1; a failure says so and gives the start alone."""
        times, start = grid(t0, t1), self.face.state(x, a)
        made, sign = self._run(t0, t1, start, q)
        run = made()
        self.notes["compile_seconds"] = run.stats["compile_seconds"]
        stats = {"steps": int(run.stats["steps"])}
        if run.status is not Status.SUCCESS:
            return Piece(times[:1], x[None], a[None], run.message, stats=stats)
        whole = np.vstack([start, np.atleast_2d(run(sign * times[1:-1])), run.z[-1:]])
        dense = TaylorPath(run.segments, sign, self._states)
        return Piece(times, whole[:, : self._states], self._solved(times, whole, q, a.size), dense=dense, stats=stats)

    def leap(self, t0: float, t1: float, x: Array, a: Array, q: Array, looks: bool = True) -> Piece:
        """Integrate from t0 to t1 in compiled code alone, with nodes as dense as the first step suggests."""
        start = self.face.state(x, a)
        intervals = _intervals if looks else None
        found = self._forward.on_grid(t0, t1, start, q, rtol=self._rtol, steps=STEPS, intervals=intervals)
        if found is None:
            return Piece(np.array([t0]), x[None], a[None], "single steps must be looked at")
        times, whole, count = found
        run, sign = self._run(t0, t1, start, q)
        dense = TaylorPath(run, sign, self._states)
        unknowns = self._solved(times, whole, q, a.size)
        return Piece(times, whole[:, : self._states], unknowns, dense=dense, stats={"steps": count})

    def _run(self, t0: float, t1: float, start: Array, q: Array) -> tuple[partial[TaylorRun], float]:
        """Return a run that is still to be made, and the sign of its direction in time."""
        sign = 1.0 if t1 > t0 else -1.0
        taylor = self._forward if sign > 0 else self._reversed()
        limit = Budget(steps=STEPS)
        return partial(taylor.run, sign * t0, sign * t1, start, q, rtol=self._rtol, budget=limit), sign

    def _solved(self, times: Array, whole: Array, q: Array, count: int) -> Array:
        if self._unknowns is None:
            return np.zeros((times.size, count))
        return self._unknowns(times, whole, np.broadcast_to(q, (times.size, q.size)))[0]

    def _reversed(self) -> Taylor:
        """Return the motion in -t."""
        if self._backward is None:
            f = self.face.rates
            s, x, q = (ca.SX.sym(name, f.numel_in(i)) for i, name in enumerate("sxq"))
            self._backward = Taylor(ca.Function("reversed", [s, x, q], [-f(-s, x, q)]))
        return self._backward


def _intervals(steps: float) -> int:
    """Return how many intervals of a grid have about SPACING steps each."""
    return NODES * 2 ** int(np.clip(np.ceil(np.log2(max(steps / (NODES * SPACING), 1.0))), 0, FINEST))


class TaylorMethod(Integrator):
    """Taylor series of order about 20, compiled by LLVM (extra `taylor`): for smooth systems that are not stiff."""

    name = "taylor"

    def refuses(self, system: System) -> str | None:
        """Return why not, or None."""
        if not system.rates.is_a("SXFunction"):
            return "Taylor series need the symbols of F, and it is a NumPy function"
        if not system.rates.numel_in(1):
            return "there are no states to follow: every variable is determined at each time"
        try:
            explicit_face(system)
        except ReductionError as error:
            return f"{error.what} ({error.got})"
        return None

    def prepare(self, system: System, options: Options) -> Engine:
        """Set it up; the compilation follows at the first stretch."""
        return TaylorEngine(system, options)
