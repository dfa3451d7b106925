"""Explicit differential equations by Taylor series of order about 20, compiled by LLVM through heyoka.

The method of Jorba and Zou (Experimental Mathematics 14, 2005): the order follows from the tolerance, the step from the
last terms of the series, so that each step goes a fixed fraction of the radius of convergence.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.budget import Budget, CancelToken, Meter, Progress
from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.core.status import Status
from subriem.core.validate import real_array, vector
from subriem.integration.compilation import compile_batch, compile_path
from subriem.integration.events import Event, Occurrence, as_events
from subriem.integration.solution import DenseOutput
from subriem.integration.taylorwalk import TaylorSegment, Walk
from subriem.integration.translation import multivalued

_log = logging.getLogger(__name__)

#: A compilation longer than this (seconds) is logged.
SLOW_COMPILATION = 1.0
#: Without a limit of the user's a run ends after so many steps: a path may slide along a switch for ever.
DEFAULT_BUDGET = Budget(steps=1_000_000)


@dataclass(frozen=True, eq=False)
class TaylorRun:
    """What a run found.

    Attributes
    ----------
    t : (n_t,) ndarray
        The accepted times (only the ends with dense=False), or `t_eval` as far as the run went, followed by its end
        where it ended early.
    z : (n_t, m) ndarray
    segments : tuple of TaylorSegment
        Dense output, empty if it was not asked for.
    events : tuple of Occurrence
    status : Status
    message : str
        The status with its circumstances.
    stats : dict
        steps, order, compact, tolerance, compile_seconds (next to nothing if compiled before), run_seconds, and
        defect: the largest jump of the derivative from one step's polynomial to the next, times the step and relative
        to the component's size along the path (NaN without polynomials).
    """

    t: Array
    z: Array
    segments: tuple[TaylorSegment, ...]
    events: tuple[Occurrence, ...]
    status: Status
    message: str
    stats: dict[str, Any]

    @cached_property
    def dense(self) -> DenseOutput:
        """The path between the accepted times."""
        if not self.segments:
            raise ProblemError(
                "this run kept no dense output", "dense=False", "a run with dense=True", "run(..., dense=True)"
            )
        return joined(self.segments)

    def __call__(self, t: Any) -> Array:
        """Return z at t, shape (m,) or (len(t), m)."""
        return self.dense(t)


def joined(segments: Sequence[TaylorSegment]) -> DenseOutput:
    """Return the path of polynomials that follow each other, at least one."""
    starts = [s.t for s in segments] + [segments[-1].t + segments[-1].h]
    points = [s.coefficients[:, 0] for s in segments] + [segments[-1](starts[-1])]
    return DenseOutput(segments, np.array(starts), np.array(points))


@dataclass(frozen=True, eq=False)
class TaylorBatch:
    """The ends of many trajectories.

    Attributes
    ----------
    t : (b,) ndarray
        Where each ended.
    z : (b, m) ndarray
    status : tuple of Status
    stats : dict
        steps (b,), order, lanes, compile_seconds, run_seconds, and alone: how many were run again one by one, because
        they or a neighbour in the same instructions could not go on.
    """

    t: Array
    z: Array
    status: tuple[Status, ...]
    stats: dict[str, Any]


class Taylor:
    """The Taylor method for z' = f(t, z, p).

    Parameters
    ----------
    function : casadi.Function
        Made from SX, with inputs t (1), z (m), p (q) and one output (m). It is compiled at the first run, once per
        tolerance and list of events in a process.

    Raises
    ------
    ProblemError
        If the function has other inputs or outputs, or operations that have no Taylor series.

    Notes
    -----
    The object holds the function only: it pickles, and compiles again in the process it is sent to. Several threads
    may run it at once.

    Examples
    --------
    >>> t, z, p = ca.SX.sym("t"), ca.SX.sym("z", 2), ca.SX.sym("p", 0)
    >>> oscillator = Taylor(ca.Function("f", [t, z, p], [ca.vertcat(z[1], -z[0])]))
    >>> run = oscillator.run(0.0, np.pi, [1.0, 0.0])
    >>> run.status.name, bool(abs(run.z[-1, 0] + 1) < 1e-15)
    ('SUCCESS', True)
    """

    def __init__(self, function: ca.Function) -> None:
        shapes = [function.size_in(i) for i in range(function.n_in())]
        m = function.numel_in(1) if len(shapes) > 1 else 0
        wanted = len(shapes) == 3 and function.n_out() == 1 and shapes[0] == (1, 1) and m > 0
        if not wanted or function.size_out(0) != (m, 1) or any(columns != 1 for _, columns in shapes):
            raise ProblemError(
                f"taylor: {function.name()} is not a right-hand side",
                str(function),
                "(t (1), z (m), p (q)) -> z' (m), columns",
                'ca.Function("f", [t, z, p], [rates]), p = ca.SX.sym("p", 0) without parameters',
            )
        self.function = function

    @cached_property
    def _serialized(self) -> str:
        return self.function.serialize()

    @cached_property
    def _field(self) -> BufferedFunction:
        return BufferedFunction(self.function)

    @cached_property
    def _multivalued(self) -> bool:
        return multivalued(self.function)

    def __getstate__(self) -> ca.Function:
        return self.function

    def __setstate__(self, function: ca.Function) -> None:
        self.function = function

    def run(
        self,
        t0: float,
        t1: float,
        z0: Any,
        p: Any = (),
        *,
        rtol: float = 1e-15,
        t_eval: Any = None,
        dense: bool = True,
        events: Event | Sequence[Event] = (),
        budget: Budget = DEFAULT_BUDGET,
        project: Callable[[float, Array], Array] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> TaylorRun:
        """Integrate from t0 to t1.

        Parameters
        ----------
        t0, t1 : float
            t0 <= t1.
        z0 : (m,) array_like
        p : (q,) array_like
        rtol : float
            Size of the neglected terms of the series, relative to z; below the roundoff unit it is that.
        t_eval : (n,) array_like, optional
            Increasing times in [t0, t1] at which z is returned, instead of at the steps.
        dense : bool
            Keep the polynomials. Without them, and with no `t_eval`, events or projection, only the end is returned,
            about three times faster for small systems. They are made all the same, to measure the defect, where f has
            roots, logarithms or branches: only there a series can converge to what is no solution.
        events : Event or sequence of Event
            An event whose function is a casadi.Function (t, z, p) -> scalar is compiled and located to roundoff by
            the roots of its own Taylor polynomial; other callables (t, z) -> float on the dense output.
        budget : Budget
            Compilation does not count. A step expands the field once: evaluations are steps.
        project : callable, optional
            (t, z) -> z, called after each step.
        progress : callable, optional
        cancel : CancelToken, optional

        Returns
        -------
        TaylorRun
            Its status is SUCCESS, EVENT, BUDGET_SPENT, CANCELLED; ESCAPED where the solution leaves every bounded set
            in finite time; STEP_TOO_SMALL where the steps shrink at a bounded point; NOT_FINITE where the field is
            not finite; NOT_CONVERGED where the defect shows that a step jumped over a singularity.

        Raises
        ------
        ProblemError
            If an argument has the wrong shape or is not finite, or the function cannot be translated.
        MissingExtraError
            If heyoka is not installed.
        """
        t0, t1, times = _check_times(t0, t1, t_eval)
        z0 = vector(z0, "z0", self.function.numel_in(1))
        p = self._parameters(p)
        listed = as_events(events)
        compiled_events = [e for e in listed if isinstance(e.function, ca.Function)]
        python_events = [e for e in listed if not isinstance(e.function, ca.Function)]
        key = tuple((_event_function(e, self.function).serialize(), e.direction, e.terminal) for e in compiled_events)
        if progress is not None:
            progress(0.0, f"compiling {self.function.n_instructions()} instructions")
        started = perf_counter()
        compiled = compile_path(self._serialized, key, _check_tolerance(rtol))
        compilation = self._report(perf_counter() - started)
        meter = Meter(budget, progress)
        with compiled.lend(t0, z0, p) as loan:
            walk = Walk(loan, t0, t1, z0, compiled_events, python_events, project)
            walk.go(meter, cancel, keep=dense or times is not None or bool(listed) or self._multivalued)
        if walk.segments:
            walk.check_defect(lambda t, z: self._field(np.array([t]), z, p))
        assert walk.status is not None
        stats = {
            "steps": walk.steps,
            "evaluations": walk.steps,
            "order": compiled.order,
            "compact": compiled.compact,
            "tolerance": rtol,
            "defect": walk.defect,
            "compile_seconds": compilation,
            "run_seconds": meter.seconds,
        }
        if times is not None:
            t, z = walk.sample(times)
        else:
            kept = slice(None) if dense else [0, -1]
            t, z = np.array(walk.t)[kept], np.array(walk.z)[kept]
        return TaylorRun(
            t, z, tuple(walk.segments) if dense else (), tuple(walk.found), walk.status, walk.message, stats
        )

    def on_grid(
        self,
        t0: float,
        t1: float,
        z0: Array,
        p: Array,
        *,
        rtol: float,
        steps: int,
        intervals: Callable[[float], int] | None = None,
    ) -> tuple[Array, Array, int] | None:
        """Return times from t0 to t1, forward or back, z there, and the number of steps: in compiled code alone.

        Parameters
        ----------
        t0, t1 : float
        z0 : (m,) ndarray
        p : (q,) ndarray
        rtol : float
            As in `run`.
        steps : int
            At most.
        intervals : callable, optional
            Number of steps, if all were as long as the first one -> number of intervals; else there is one.

        Returns
        -------
        (n,) ndarray, (n, m) ndarray and int, or None
            None where it did not arrive, or where a look at single steps is needed: f has roots, logarithms, branches.
        """
        compiled = compile_path(self._serialized, (), _check_tolerance(rtol))
        if self._multivalued or compiled.branches:
            return None
        with compiled.lend(t0, z0, p) as loan:
            integrator, count = loan.integrator, 1
            if intervals is not None:
                outcome, h = integrator.step(max_delta_t=t1 - t0)
                moved = int(outcome) in (int(type(outcome).success), int(type(outcome).time_limit))
                count = intervals((t1 - t0) / h if moved and h else 1.0)
                integrator.time, integrator.state[:] = t0, z0
            times = np.linspace(t0, t1, count + 1)
            outcome, _, _, taken, _, z = integrator.propagate_grid(times, max_steps=steps)
            arrived = int(outcome) == int(type(outcome).time_limit)
        return (times, z, int(taken)) if arrived and np.isfinite(z).all() else None

    def run_batch(
        self,
        t0: float,
        t1: float,
        z0: Any,
        p: Any = (),
        *,
        rtol: float = 1e-15,
        budget: Budget = DEFAULT_BUDGET,
    ) -> TaylorBatch:
        """Integrate many trajectories, several in each instruction of the processor; only the ends are returned.

        Parameters
        ----------
        t0, t1 : float
        z0 : (b, m) array_like
        p : (b, q) array_like, or (q,) for all
        rtol : float
        budget : Budget
            Steps are those of one trajectory; seconds are those of all.

        Returns
        -------
        TaylorBatch
            A trajectory that cannot reach t1 is run again alone, so that its status has a name.

        Raises
        ------
        ProblemError
            As `run`, and if f has branches, which need events.
        """
        t0, t1, _ = _check_times(t0, t1, None)
        z0 = real_array(z0, "z0", ndim=2)
        m, q, count = self.function.numel_in(1), self.function.numel_in(2), len(z0)
        p = np.broadcast_to(np.asarray(p, dtype=float), (count, q))
        if z0.shape[1] != m:
            raise ProblemError("z0 has the wrong shape", f"{z0.shape}", f"(b, {m})", "one row a trajectory")
        started = perf_counter()
        integrator = copy.copy(compile_batch(self._serialized, _check_tolerance(rtol)))  # another thread may run it
        compilation = self._report(perf_counter() - started)
        meter, alone = Meter(budget), 0
        t, z, steps = np.full(count, t0), np.array(z0), np.zeros(count, dtype=int)
        status = [Status.BUDGET_SPENT] * count
        for first in range(0, count, integrator.batch_size):
            if meter.spent(0, 0):
                break
            rows = np.arange(first, min(first + integrator.batch_size, count))
            arrived = _advance(integrator, t0, t1, z0[rows], p[rows], budget.steps)
            for lane, row in enumerate(rows):
                if lane in arrived:
                    t[row], z[row], status[row] = t1, integrator.state[:, lane], Status.SUCCESS
                    steps[row] = arrived[lane]
                    continue
                run = self.run(t0, t1, z0[row], p[row], rtol=rtol, dense=False, budget=budget)
                t[row], z[row], status[row], steps[row] = run.t[-1], run.z[-1], run.status, run.stats["steps"]
                alone += 1
        stats = {
            "steps": steps,
            "order": int(integrator.order),
            "lanes": int(integrator.batch_size),
            "alone": alone,
            "compile_seconds": compilation,
            "run_seconds": meter.seconds,
        }
        return TaylorBatch(t, z, tuple(status), stats)

    def _parameters(self, p: Any) -> Array:
        size = self.function.numel_in(2)
        return vector(p, "p", size) if size or np.size(p) else np.empty(0)

    def _report(self, seconds: float) -> float:
        """Log a long compilation, and return its time."""
        if seconds > SLOW_COMPILATION:
            _log.info(
                "compiled %s (%d instructions) in %.1f s", self.function.name(), self.function.n_instructions(), seconds
            )
        return seconds


def _advance(integrator: Any, t0: float, t1: float, z0: Array, p: Array, limit: int | None) -> dict[int, int]:
    """Integrate at most as many trajectories as there are lanes; return the steps of those that arrived, by lane."""
    lanes = integrator.batch_size
    rows = np.minimum(np.arange(lanes), len(z0) - 1)  # lanes left over repeat the last trajectory
    integrator.set_time(t0)
    integrator.state[:] = z0[rows].T
    integrator.pars[:] = p[rows].T[: len(integrator.pars)]  # heyoka leaves out what the field does not hold
    integrator.propagate_until([t1] * lanes, max_steps=limit or 0)
    limited = type(integrator.propagate_res[0][0]).time_limit
    return {lane: steps for lane, (outcome, _, _, steps) in enumerate(integrator.propagate_res) if outcome == limited}


def _check_tolerance(rtol: float) -> float:
    if not 0 < rtol < 1:
        raise ProblemError("taylor: rtol is not a tolerance", repr(rtol), "0 < rtol < 1", "rtol=1e-15")
    return max(float(rtol), EPS)


def _check_times(t0: float, t1: float, t_eval: Any) -> tuple[float, float, Array | None]:
    t0, t1 = (float(t) for t in vector([t0, t1], "the interval", 2))
    if t1 < t0:
        raise ProblemError(
            "taylor: the end lies before the start", f"t0 = {t0:.16g}, t1 = {t1:.16g}", "t0 <= t1", "z'(s) = -f(-s, z)"
        )
    if t_eval is None:
        return t0, t1, None
    times = real_array(t_eval, "t_eval", ndim=1)
    if (np.diff(times) < 0).any() or times[0] < t0 or times[-1] > t1:
        raise ProblemError(
            "t_eval is not increasing in the interval",
            f"{times.size} times in [{times.min():.16g}, {times.max():.16g}]",
            f"increasing times in [{t0:.16g}, {t1:.16g}]",
            "np.linspace(t0, t1, n)",
        )
    return t0, t1, times


def _event_function(event: Event, field: ca.Function) -> ca.Function:
    function = event.function
    assert isinstance(function, ca.Function)
    sizes = [function.numel_in(i) for i in range(function.n_in())]
    wanted = [field.numel_in(i) for i in range(3)]
    if sizes != wanted or function.n_out() != 1 or function.numel_out(0) != 1:
        raise ProblemError(
            f"event {event.name!r} has other inputs than the equation",
            str(function),
            f"(t (1), z ({wanted[1]}), p ({wanted[2]})) -> scalar",
            "the symbols of the right-hand side",
        )
    return function
