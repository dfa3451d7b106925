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
from subriem.integration.arguments import (
    check_choice,
    check_pole,
    check_tolerances,
    choose_integrator,
    declared_quadratures,
    read_span,
    read_times,
    refuse_symbolic,
)
from subriem.integration.course import Course
from subriem.integration.daesolution import DAESolution
from subriem.integration.events import Event, as_events
from subriem.integration.integrator import Integrator, Options
from subriem.integration.jetpath import JetPath
from subriem.integration.march import March
from subriem.integration.motion import Motion
from subriem.integration.numeric_system import NumericMotion, NumericSystem, NumericWatch
from subriem.integration.reduced import Nodes, ReducedSystem
from subriem.integration.stretch import Stretch
from subriem.integration.system import System
from subriem.integration.watch import Watch
from subriem.reduction.dae import DAE
from subriem.reduction.numeric import NumericDAE
from subriem.reduction.numeric_reduction import NumericReduction, reduce_numeric
from subriem.reduction.reduce import reduce
from subriem.reduction.reduction import Reduction

#: Baumgarte's pole times the span, where `solve` chooses: drift is damped by e^-10, and no step is shorter for it.
DAMPING = 10.0
#: Roundoffs of the unknowns below which an engine sees no error: its stages magnify them.
ROUNDOFFS = 5e3


def solve(
    problem: DAE | NumericDAE | Reduction,
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
    baumgarte: float | str = "auto",
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
    problem : DAE, NumericDAE or Reduction
        A reduction is taken as it is, with its point as the start unless `at` is given. A numeric DAE must have index
        0 or 1; `parameters`, `quadratures`, `weights`, `jit` and `taylor` need symbols.
    span : float or (float, float)
        End of the time, or start and end; an end before the start goes back in time.
    at : mapping, optional
        Start values by name; see `reduce`.
    parameters : mapping, optional
    method : {"auto", "rosenbrock", "idas", "taylor"} or Integrator
    rtol, atol : float
        Local tolerances of the engine.
    t_eval : (m,) array_like, optional
        Times wanted; the engine's own grid unless given. `sol(t)` takes any time.
    events : Event or sequence of Event
        Functions of (t, values), values.x or values["x'"]; terminal ones end the run, those with a reset start it anew
        from the values they return. A function that touches zero without changing its sign is no event; one that jumps
        through zero at a breakpoint of an input is. After a reset of speeds positions
        stay, and what else must change to be consistent does so by least norm.
    quadratures : callable, optional
        (t, v, d, p) -> {name: expression} as in a definition; their integrals over time are `sol[name]`.
    project : bool
        Move the states onto all constraints, by least norm, after each piece and at each returned time.
    baumgarte : float or "auto"
        Stabilise by (d/dt + baumgarte)^c f = 0 in place of f^(c) = 0 (back in time with the other sign); 0 for not.
        "auto" takes 10 over the span: drift is damped over the run, and no step is shorter for it.
    on_rank_change : {"stop", "continue"}
        Whether a singular system Jacobian between two nodes ends the run; `events` hold it as "rank" in either case.
    fix, weights, rank
        See `reduce`; a reduction keeps its own weights and policy unless others are given.
    jit : bool
        Compile the integrator by the machine's C compiler: seconds at first, then up to ten times faster. The library
        is kept in the user's cache folder; `stats["jit"]` says what was done, or why nothing could be.
    budget : Budget, optional
        `steps` counts stretches of the path, some hundred steps of the engine each.
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
        If equations hide others: structure and rank disagree; or the index of a numeric DAE is above 1.
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
    start, end = read_span(span)
    check_tolerances(rtol, atol)
    check_pole(baumgarte)
    check_choice("on_rank_change", on_rank_change, ("stop", "continue"))
    listed = as_events(events)
    wanted = None if t_eval is None else read_times(t_eval, start, end)
    reduction = _reduced(problem, at, (start, end), fix, parameters, weights, rank)
    integrands, names = declared_quadratures(reduction, quadratures)
    pole = DAMPING / (end - start) if isinstance(baumgarte, str) else float(np.copysign(baumgarte, end - start))
    options = Options(float(rtol), float(atol), bool(jit))
    motion, why = _motion(reduction, method, pole, integrands, options, bool(project))
    with progress_callback(progress, reduction.dae.name) as tell, interruptible(cancel or CancelToken()) as token:
        meter = Meter(budget if budget is not None else Budget(), tell)
        march = March(motion, (start, end), on_rank_change == "stop", listed, meter, token, _watch(motion), wanted)
        Course(march).run(start, end)
    how = {"method": motion.integrator.name, "why": why}
    if motion.options.atol > options.atol:
        how["atol"] = f"{motion.options.atol:.1e}, as the unknowns are known to roundoff only"
    solution = _solution(motion, march, names, wanted, how)
    if throw and solution.status.failed:
        raise SolveError(
            f"the solution of {reduction.dae.name} could not be continued",
            solution.headline(),
            f"a solution up to t = {end:.6g}",
            "throw=False to look at the partial result, another method, smaller tolerances",
            solution,
        )
    return solution


def _reduced(
    problem: Any,
    at: Mapping[str, Any] | None,
    span: tuple[float, float],
    fix: Iterable[str],
    parameters: Mapping[str, Any] | None,
    weights: Mapping[str, float] | None,
    rank: RankPolicy,
) -> Reduction | NumericReduction:
    start = span[0]
    if isinstance(problem, Reduction):
        rank = problem.policy if rank is DEFAULT_RANK else rank
        asked = at is not None or parameters or weights or fix or rank != problem.policy
        if not asked and problem.consistent.t == start:
            return problem
        given = problem.point if at is None else at
        return reduce(problem.dae, given, t=start, fix=fix, parameters=parameters, weights=weights, rank=rank)
    if isinstance(problem, DAE):
        return reduce(problem, at, t=start, fix=fix, parameters=parameters, weights=weights, rank=rank)
    if isinstance(problem, NumericDAE):
        refuse_symbolic(problem, parameters=parameters, weights=weights)
        return reduce_numeric(problem, at, t=start, fix=fix, rank=rank, unit=span[1] - start)
    raise ProblemError(
        "solve: this is neither a DAE nor a Reduction", type(problem).__name__, "sr.dae or sr.reduce", "@sr.dae(…)"
    )


def _resolved(options: Options, system: System) -> Options:
    """Return the tolerances, not below the roundoff of the unknowns: some are sums of large numbers that cancel."""
    if not isinstance(system, ReducedSystem):
        return options
    size, roundoff = system.roundoff
    least = float(np.max(ROUNDOFFS * roundoff - options.rtol * np.abs(size), initial=0.0))
    return replace(options, atol=max(options.atol, least))


_systems: WeakKeyDictionary[Reduction | NumericReduction, dict[Any, Motion]] = WeakKeyDictionary()


def _motion(
    reduction: Reduction | NumericReduction,
    method: Any,
    pole: float,
    integrands: ca.Function | None,
    options: Options,
    project: bool,
) -> tuple[Motion, str]:
    """Return what moves the reduction, and why this way; a repeated `solve` finds system and engine again."""
    pole = pole if reduction.certificate.constraints else 0.0
    known = _systems.setdefault(reduction, {}) if integrands is None else {}
    integrator, why = choose_integrator(method, reduction)
    key = (type(integrator), integrator.name, pole, options, project)
    if key not in known:
        system = next((m.system for m in known.values() if m.system.pole == pole), None)
        if system is None:
            system = _system(reduction, pole, integrands)
        refusal = integrator.refuses(system)
        if refusal:
            raise ProblemError(
                f"solve: {integrator.name} cannot integrate {reduction.dae.name}", refusal, "a method that can", "auto"
            )
        made = NumericMotion if isinstance(system, NumericSystem) else Motion
        known[key] = made(system, integrator, _resolved(options, system), project)
    return known[key], why


def _system(reduction: Reduction | NumericReduction, pole: float, integrands: ca.Function | None) -> System:
    if isinstance(reduction, NumericReduction):
        return NumericSystem(reduction)
    return ReducedSystem(reduction, pole, integrands)


def _watch(motion: Motion) -> Watch:
    return NumericWatch(motion.system) if isinstance(motion.system, NumericSystem) else Watch(motion.system)


def _solution(
    motion: Motion, march: March, names: tuple[str, ...], wanted: Array | None, how: dict[str, str]
) -> DAESolution:
    reduction, track = motion.system.reduction, march.track
    assert march.status is not None
    if not track.stretches:  # it ended before it moved
        track.stretches.append(_standing(motion, march.span[0]))
    path = JetPath(track.stretches)
    if wanted is None:
        t, jets, drift, quadratures = _on_nodes(track.stretches)
    else:
        t = wanted
        if march.status is not Status.SUCCESS:
            low, high = sorted((march.span[0], path.end))
            t = np.append(t[(t >= low) & (t <= high) & (t != path.end)], path.end)  # where it ended
        jets, quadratures, residual = path.sample(t)
        track.residual, drift = max(track.residual, residual), np.full(t.size, np.nan)
        drift[-1:] = max(stretch.nodes.drift.max() for stretch in track.stretches)
    options = motion.options
    return DAESolution(
        t=t,
        y=jets[:, path.variables],
        channels=dict(zip(names, quadratures.T, strict=True)),
        dense=path,
        events=tuple(track.events),
        rank=np.array([track.ranks.get(float(time), -1) for time in t], dtype=int),
        status=march.status,
        message=march.message,
        stats={**how, **march.stats, **motion.engine.notes},
        reduction=reduction,
        jets=jets,
        drift=drift,
        residual=track.residual,
        tolerance=options.atol + options.rtol * (1 + float(np.abs(jets).max(initial=0.0))),
    )


def _standing(motion: Motion, t: float) -> Stretch:
    system = motion.system
    z, a = system.carried(system.reduction.consistent)
    x = np.concatenate([z, np.zeros(system.quadratures)])
    return Stretch(motion, Nodes(np.array([t]), x[None], a[None], np.zeros(1)), system.reduction.dae.data(t))


def _on_nodes(stretches: Sequence[Stretch]) -> tuple[Array, Array, Array, Array]:
    """Return times, jets, drift and quadratures on all nodes the tolerance asks for."""
    parts = []
    for stretch in stretches:
        system, nodes = stretch.motion.system, stretch.resolved()
        parts.append((nodes.t, system.jets(nodes, stretch.q), nodes.drift, nodes.x[:, system.states :]))
    t, jets, drift, quadratures = (np.concatenate(part) for part in zip(*parts, strict=True))
    keep = np.append(np.diff(t) != 0, True)  # stretches share their ends; the later one holds
    return t[keep], jets[keep], drift[keep], quadratures[keep]
