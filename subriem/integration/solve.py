"""`solve`: reduce a DAE, integrate it, and stay on its constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import casadi as ca
import numpy as np

from subriem.core.budget import Budget, CancelToken, Meter, Progress, interruptible, progress_callback
from subriem.core.errors import ProblemError, SolveError
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.core.status import Status
from subriem.core.validate import real_array
from subriem.integration.casadi_engines import Idas, Rosenbrock
from subriem.integration.daesolution import DAESolution, Values
from subriem.integration.events import Event, Occurrence, as_events
from subriem.integration.integrator import Integrator, Options
from subriem.integration.jetpath import JetPath
from subriem.integration.march import March
from subriem.integration.reduced import ReducedSystem
from subriem.reduction.consistent import ConsistentPoint, consistent_point, given_values, scaled_residuals
from subriem.reduction.dae import DAE, Derivative
from subriem.reduction.declare import Names
from subriem.reduction.reduce import reduce, selected_point
from subriem.reduction.reduction import Reduction

INTEGRATORS: dict[str, Callable[[], Integrator]] = {"rosenbrock": Rosenbrock, "idas": Idas}
#: Resets of one run at most: a ball that bounces for ever ends here.
RESETS = 10_000


def solve(
    problem: DAE | Reduction,
    span: float | Sequence[float],
    at: Mapping[str, Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    method: str | Integrator = "auto",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    t_eval: Any = None,
    events: Event | Sequence[Event] = (),
    quadratures: Callable[..., Mapping[str, Any]] | None = None,
    project: bool = True,
    baumgarte: float = 0.0,
    on_rank_change: str = "stop",
    fix: Iterable[str] = (),
    weights: Mapping[str, float] | None = None,
    rank: RankPolicy = DEFAULT_RANK,
    jit: bool = False,
    budget: Budget | None = None,
    progress: Progress | bool | None = None,
    cancel: CancelToken | None = None,
    throw: bool = True,
) -> DAESolution:
    """Solve a DAE of any index from a consistent start.

    Parameters
    ----------
    problem : DAE or Reduction
        A reduction is taken as it is, with its point as the start unless `at` is given.
    span : float or (float, float)
        End of the time, or start and end; an end before the start goes back in time.
    at : mapping, optional
        Start values by name; see `reduce`.
    parameters : mapping, optional
    method : {"auto", "rosenbrock", "idas"} or Integrator
    rtol, atol : float
        Local tolerances of the engine.
    t_eval : (m,) array_like, optional
        Times wanted; the engine's own grid unless given. `sol(t)` takes any time.
    events : Event or sequence of Event
        Functions of (t, values), values.x or values["x'"]; terminal ones end the run, those with a reset start it anew
        from the values they return.
    quadratures : callable, optional
        (t, v, d, p) -> {name: expression} as in a definition; their integrals over time are `sol[name]`.
    project : bool
        Move the states onto all constraints, by least norm, after each piece and at each returned time.
    baumgarte : float
        Stabilise by (d/dt + baumgarte)^c f = 0 in place of f^(c) = 0; 0 for not.
    on_rank_change : {"stop", "continue"}
        Whether a singular system Jacobian between two nodes ends the run.
    fix, weights, rank
        See `reduce`.
    jit : bool
        Compile the integrator by the machine's C compiler (seconds, then up to ten times faster).
    budget : Budget, optional
        `steps` counts pieces of the path.
    progress, cancel
        As for `follow`.
    throw : bool
        Raise on the ends NOT_CONVERGED, STEP_TOO_SMALL, INCONSISTENT and NOT_FINITE.

    Returns
    -------
    DAESolution

    Raises
    ------
    ProblemError
        If an argument does not fit.
    InconsistentError
        If no consistent start exists.
    ReductionError
        If equations hide others: structure and rank disagree.
    SolveError
        On a failed end, with the partial result in `.solution`.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> @sr.dae(variables="x y lam")
    ... def pendulum(t, v, d, p):
    ...     return {
    ...         "horizontal": d(v.x, 2) + v.lam * v.x,
    ...         "vertical": d(v.y, 2) + v.lam * v.y + 9.81,
    ...         "rod": v.x**2 + v.y**2 - 1,
    ...     }
    >>> sol = sr.solve(pendulum, 1.0, {"x": 1.0, "y": 0.0})
    >>> sol.status.name, bool(abs(sol["x"][-1] ** 2 + sol["y"][-1] ** 2 - 1) < 1e-14)
    ('SUCCESS', True)
    """
    start, end = _span(span)
    _validate(rtol, atol, baumgarte, on_rank_change)
    wanted = None if t_eval is None else _times(t_eval, start, end)
    reduction = _reduction(problem, at, start, fix, parameters, weights, rank)
    integrator = _integrator(method, reduction)
    options = Options(float(rtol), float(atol), float(baumgarte), jit)
    extra, names = _quadratures(reduction, quadratures)
    run = _Run(_prepared(reduction, integrator, options, extra), project, on_rank_change == "stop")
    meter_budget = budget if budget is not None else Budget()
    with progress_callback(progress, reduction.dae.name) as tell, interruptible(cancel or CancelToken()) as token:
        march = run.march(start, end, as_events(events), Meter(meter_budget, tell), token)
    solution = _solution(run, march, names, wanted)
    if throw and solution.status.failed:
        raise SolveError(
            f"the solution of {reduction.dae.name} could not be continued",
            solution.headline(),
            f"a solution up to t = {end:.6g}",
            "throw=False to look at the partial result, another method, smaller tolerances",
            solution,
        )
    return solution


class _Prepared:
    """The functions and engines of a reduction under given options; a repeated `solve` finds them again."""

    def __init__(
        self, reduction: Reduction, integrator: Integrator, options: Options, extra: ca.Function | None
    ) -> None:
        self.integrator, self.options, self.extra = integrator, options, extra
        self.system = ReducedSystem(reduction, options.pole)
        self.engine = integrator.prepare(reduction, extra, options)
        self.fine_options = replace(options, jit=False, nodes=1)
        self.fine = integrator.prepare(reduction, extra, self.fine_options)


_KNOWN: WeakKeyDictionary[Reduction, dict[Any, _Prepared]] = WeakKeyDictionary()


def _prepared(reduction: Reduction, integrator: Integrator, options: Options, extra: ca.Function | None) -> _Prepared:
    if extra is not None:
        return _Prepared(reduction, integrator, options, extra)
    known, key = _KNOWN.setdefault(reduction, {}), (integrator.name, type(integrator), options)
    if key not in known:
        known[key] = _Prepared(reduction, integrator, options, None)
    return known[key]


class _Run:
    """One call of `solve`: the marches between breakpoints and resets."""

    def __init__(self, prepared: _Prepared, project: bool, stop: bool) -> None:
        self.system, self.integrator, self.options = prepared.system, prepared.integrator, prepared.options
        self.engine, self.fine, self.extra = prepared.engine, prepared.fine, prepared.extra
        self.fine_options = prepared.fine_options
        self.project, self.stop = project, stop
        size = 1 + float(np.abs(self.system.reduction.consistent.jets).max(initial=0.0))
        self.tolerance = self.options.atol + self.options.rtol * size

    def march(self, start: float, end: float, events: tuple[Event, ...], meter: Meter, token: CancelToken) -> March:
        reduction = self.system.reduction
        march = March(
            self.system, self.engine, self.fine, self.tolerance, self.project, self.stop, events, meter, token
        )
        point, t = reduction.consistent, start
        w = np.zeros(0 if self.extra is None else self.extra.numel_out(0))
        low, high = min(start, end), max(start, end)
        inner = [b for b in reduction.dae.breakpoints if low < b < high]
        stops = [*sorted(inner, reverse=end < start), end]
        resets = 0
        for stop in stops:
            while march.status is None and t != stop:
                q = reduction.dae.data((t + stop) / 2)
                z, a = self._state(point)
                share = [(s - start) / (end - start) for s in (t, stop)]
                t, z, a, w, event = march.segment(t, stop, z, a, q, w, (share[0], share[1]))
                reset = _event_of(events, event)
                if march.status is None and (event is not None or stop != end):
                    following = stop if t != stop else t + np.sign(end - start) * 1e-300
                    data = reduction.dae.data((t + following) / 2 if t != stop else self._beyond(stops, stop, t))
                    point = self._restart(t, z, data, reset, march)
                    resets += event is not None
                    if resets > RESETS:
                        march.status, march.message = Status.BUDGET_SPENT, f"{RESETS} resets"
        if march.status is None:
            march.status, march.message = Status.SUCCESS, f"t = {end:.6g} was reached"
        return march

    @staticmethod
    def _beyond(stops: list[float], stop: float, t: float) -> float:
        """Return a time on the stretch after a stop."""
        following = stops[min(stops.index(stop) + 1, len(stops) - 1)]
        return (t + following) / 2

    def _state(self, point: ConsistentPoint) -> tuple[Array, Array]:
        """Return states and unknowns of the engine at a consistent point."""
        reduction, faces = self.system.reduction, self.system.faces
        z = point.values(reduction.system.state_columns)
        tops = point.values(reduction.system.top_columns)
        a = np.concatenate([tops[list(faces.kept)], np.zeros(faces.multipliers)])
        return z, self.system.unknowns(np.array([point.t]), z[None], a[None], reduction.dae.data(point.t)[None])[0]

    def _restart(self, t: float, z: Array, q: Array, event: Event | None, march: March) -> ConsistentPoint:
        """Return the consistent point from which the run goes on after a reset or a breakpoint."""
        reduction = self.system.reduction
        where = reduction.system
        row = march.track.jets[-1][-1]
        held = dict(zip(where.state_columns, map(float, z), strict=True))
        weights: dict[tuple[int, int], float] = {}
        if event is not None and event.reset is not None:
            changed = given_values(reduction.dae, event.reset(t, Values(reduction, row)), where.columns)
            held.update(changed)
            weights = dict.fromkeys(changed, 1e3)  # what the reset says is moved last
        point = consistent_point(where, t, q, held, weights=weights, rank=reduction.policy)
        if reduction.selection is not None:
            point = selected_point(where, point, reduction.certificate, reduction.selection, q)
        return point


def _event_of(events: tuple[Event, ...], occurrence: Occurrence | None) -> Event | None:
    if occurrence is None:
        return None
    return next((event for event in events if event.name == occurrence.name), None)


def _solution(run: _Run, march: March, names: tuple[str, ...], wanted: Array | None) -> DAESolution:
    reduction, track = run.system.reduction, march.track
    if track.t:
        t, jets = np.concatenate(track.t), np.vstack(track.jets)
        drift, ranks, quadratures = (
            np.concatenate(track.drift),
            np.concatenate(track.rank),
            np.vstack(track.quadratures),
        )
        # pieces share their ends; after a reset the later one holds
        keep = np.append(np.diff(t) != 0, True)
        t, jets, drift, ranks, quadratures = t[keep], jets[keep], drift[keep], ranks[keep], quadratures[keep]
    else:
        t, jets = np.array([reduction.consistent.t]), reduction.consistent.jets[None]
        drift, ranks, quadratures = np.zeros(1), np.array([-1]), np.zeros((1, len(names)))
    path = JetPath(track.stretches, run.integrator, run.fine_options, 10 * run.tolerance, run.project)
    channels = dict(zip(names, quadratures.T, strict=True))
    message = march.message
    if wanted is not None and track.t:
        low, high = min(t[0], t[-1]), max(t[0], t[-1])
        inside = wanted[(wanted >= low) & (wanted <= high)]
        if inside.size:
            channels = {name: np.interp(inside, *_increasing(t, values)) for name, values in channels.items()}
            ranks = np.full(inside.size, -1)
            drift = np.full(inside.size, float(drift.max(initial=0.0)))
            t, jets = inside, path(inside)
    variables = [index for index, (_, k) in enumerate(reduction.system.columns) if k == 0]
    stats = {"method": run.integrator.name, "pieces": march.pieces, **track.stats}
    status = march.status if march.status is not None else Status.SUCCESS
    return DAESolution(
        t=t,
        y=jets[:, variables],
        channels=channels,
        dense=path,  # pyright: ignore[reportArgumentType]
        events=tuple(track.events),
        rank=ranks,
        status=status,
        message=message,
        stats=stats,
        reduction=reduction,
        jets=jets,
        drift=drift,
        residual=_largest_residual(reduction, t, jets),
        path=path,
        tolerance=run.tolerance,
    )


def _increasing(t: Array, values: Array) -> tuple[Array, Array]:
    return (t, values) if t[-1] >= t[0] else (t[::-1], values[::-1])


def _largest_residual(reduction: Reduction, t: Array, jets: Array) -> float:
    """Return the largest residual of all differentiated equations at up to nine times, dropped equations included."""
    chosen = np.unique(np.linspace(0, t.size - 1, min(9, t.size)).astype(int))
    found = 0.0
    for i in chosen:
        q = reduction.dae.data(float(t[i]))
        values = np.abs(scaled_residuals(reduction.system, float(t[i]), q, jets[i]))
        found = max(found, float(values.max(initial=0.0)))
    return found


def _reduction(
    problem: Any,
    at: Mapping[str, Any] | None,
    start: float,
    fix: Iterable[str],
    parameters: Mapping[str, Any] | None,
    weights: Mapping[str, float] | None,
    rank: RankPolicy,
) -> Reduction:
    if isinstance(problem, Reduction):
        if at is None and not parameters and problem.consistent.t == start:
            return problem
        given = problem.point if at is None else at
        return reduce(problem.dae, given, t=start, fix=fix, parameters=parameters, weights=weights, rank=rank)
    if isinstance(problem, DAE):
        return reduce(problem, at, t=start, fix=fix, parameters=parameters, weights=weights, rank=rank)
    raise ProblemError(
        "solve: this is neither a DAE nor a Reduction", type(problem).__name__, "sr.dae or sr.reduce", ""
    )


def _integrator(method: str | Integrator, reduction: Reduction) -> Integrator:
    if isinstance(method, Integrator):
        chosen = method
    elif method == "auto":
        chosen = Rosenbrock()
    elif method in INTEGRATORS:
        chosen = INTEGRATORS[method]()
    else:
        known = ", ".join(["auto", *INTEGRATORS])
        raise ProblemError("solve: unknown method", repr(method), f"one of {known}, or an Integrator", "method='auto'")
    why = chosen.refuses(reduction)
    if why:
        raise ProblemError(f"solve: {chosen.name} cannot integrate {reduction.dae.name}", why, "a method that can", "")
    return chosen


def _quadratures(
    reduction: Reduction, quadratures: Callable[..., Mapping[str, Any]] | None
) -> tuple[ca.Function | None, tuple[str, ...]]:
    """Return the integrands as a function (t, z, tops, q), with their names."""
    if quadratures is None:
        return None, ()
    if not callable(quadratures):
        raise ProblemError(
            "solve: quadratures is no function",
            type(quadratures).__name__,
            "(t, v, d, p) -> {name: expression}",
            "lambda",
        )
    system, dae = reduction.system, reduction.dae
    jets, position, columns = system.jets, 0, {}
    for name, size in dae.sizes.items():
        columns[name] = jets.stack([(j, 0) for j in range(position, position + (size or 1))])
        position += size or 1
    symbols, offset = {}, 0
    for name, value in dae.parameters.items():
        symbols[name] = ca.reshape(
            system.q[offset : offset + value.size], *(value.shape if value.ndim == 2 else (value.size, 1))
        )
        offset += value.size
    answer = quadratures(jets.t, Names("variable", columns), Derivative(jets), Names("parameter", symbols))
    expression = ca.vertcat(*(ca.SX(value) for value in answer.values()))
    arguments = [jets.t, jets.stack(system.state_columns), jets.stack(system.top_columns), system.q]
    try:
        return ca.Function("quadratures", arguments, [expression]), tuple(answer)
    except RuntimeError as error:
        raise ProblemError(
            "solve: a quadrature holds symbols the reduced system does not have",
            str(error).splitlines()[0][:120],
            f"jets among {', '.join((*reduction.state_names, *reduction.top_names)[:8])}",
            "lower derivatives",
        ) from error


def _span(span: Any) -> tuple[float, float]:
    values = real_array(np.atleast_1d(span), "span", ndim=1)
    if values.size == 1:
        values = np.array([0.0, values[0]])
    if values.size != 2 or values[0] == values[1]:
        raise ProblemError(
            "solve: span is no stretch of time", f"{values}", "an end, or (start, end)", "span=(0.0, 1.0)"
        )
    return float(values[0]), float(values[1])


def _times(t_eval: Any, start: float, end: float) -> Array:
    times = real_array(t_eval, "t_eval", ndim=1)
    steps = np.diff(times) * np.sign(end - start)
    if (steps <= 0).any():
        raise ProblemError("solve: t_eval does not go from start to end", f"{times[:6]}", "monotone times", "np.unique")
    if times.min() < min(start, end) or times.max() > max(start, end):
        raise ProblemError(
            "solve: t_eval leaves the span", f"{times.min():.6g} … {times.max():.6g}", f"[{start:.6g}, {end:.6g}]", ""
        )
    return times


def _validate(rtol: Any, atol: Any, baumgarte: Any, on_rank_change: Any) -> None:
    for name, value, low in (("rtol", rtol, 1e-15), ("atol", atol, 0.0), ("baumgarte", baumgarte, 0.0)):
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float | np.number)
            or not low <= float(value) < np.inf
        ):
            raise ProblemError(f"solve: {name} is out of range", repr(value), f"a number >= {low:g}", f"{name}=1e-8")
    if on_rank_change not in ("stop", "continue"):
        raise ProblemError(
            "solve: unknown on_rank_change", repr(on_rank_change), "'stop' or 'continue'", "on_rank_change='stop'"
        )
