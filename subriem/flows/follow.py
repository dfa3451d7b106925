"""`follow`: run a flow to its goal, in the clock that suits it, with certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from numbers import Real
from os import PathLike
from typing import Any, Literal

import numpy as np

from subriem.core.budget import Budget, CancelToken, Meter, Progress, interruptible, progress_callback
from subriem.core.errors import ProblemError, SolveError
from subriem.core.map import check_map
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, DENSE_BYTES, RankPolicy
from subriem.core.status import Status
from subriem.core.validate import real_array, vector
from subriem.flows.field import to_s, to_t
from subriem.flows.flow import Flow
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.resume import joined
from subriem.flows.run import Run, Until
from subriem.flows.state import FlowState
from subriem.flows.stepper import Integrand, Options
from subriem.integration.events import Event, as_events

#: `verify=True` tightens the tolerances by this factor.
TIGHTER = 1e-2


DEFAULT_GOAL = Until(cost=1e-12)


def follow(
    flow: Flow,
    theta0: Any,
    *,
    until: Until = DEFAULT_GOAL,
    clock: Literal["auto", "t", "s"] = "auto",
    method: Literal["auto", "DOP853"] = "auto",
    rtol: float = 1e-6,
    atol: float | None = None,
    t_eval: Any = None,
    events: Event | Sequence[Event] = (),
    quadratures: Mapping[str, Integrand] | None = None,
    project: bool = True,
    rank: RankPolicy = DEFAULT_RANK,
    on_rank_change: Literal["stop", "continue"] = "stop",
    verify: bool = False,
    check: bool = True,
    budget: Budget | None = None,
    progress: Progress | bool | None = None,
    cancel: CancelToken | None = None,
    checkpoint: Any = None,
    memory: float = DENSE_BYTES,
    throw: bool = True,
) -> FlowSolution:
    """Follow a flow from theta0 to a goal.

    Parameters
    ----------
    flow : Flow
    theta0 : (K,) array_like, FlowSolution or FlowState
        Start, or a partial run to resume (its own goal and tolerances are not remembered). Resuming a solution returns
        the whole path, rows, dense output and events of both pieces; resuming a bare state, as a checkpoint is, returns
        the new piece alone, and so does going on in the other clock. Counts, quadratures and errors are those of the
        whole run in any case.
    until : Until
        Goal.
    clock : {"auto", "t", "s"}
        "t" = 1 - e^{-2 kappa s} in [0, 1] where the theory gives a straight output line (rank D = n up to persistent
        relations, a cost kappa |x - y|^2, no damping); else "s".
    method : {"auto", "DOP853"}
        Explicit steps of order 8; "auto" changes to implicit ones of order 4 (RODAS) where stability limits the steps
        of an under-parametrized or standard flow with K <= 200 and second derivatives, and back.
    rtol, atol : float
        A step is accepted if the 2-norm of its error estimate is <= atol + rtol times the length of the path so far;
        atol defaults to 0.
    t_eval : (m,) array_like, optional
        Times of the clock used at which the returned rows are wanted, instead of the accepted steps; quantities known
        at the accepted steps only (singular values, drift, quadratures) are nan there.
    events : Event or sequence of Event
        Functions of (clock, theta).
    quadratures : mapping of str to callable, optional
        Integrands of an evaluated `Point`; their integrals over the clock become channels. They do not steer the
        steps: `sol.quadrature_errors` and the table say how far off they may be, and a smaller rtol brings them down.
    project : bool
        One least-norm projection onto the exact output line after each step, where there is a line.
    rank : RankPolicy
    on_rank_change : {"stop", "continue"}
        Whether a change of the decided rank ends the run.
    verify : bool
        Repeat the run unprojected with 100 times tighter tolerances and report the distance of the ends.
    check : bool
        Compare the map's derivatives with a difference quotient at theta0.
    budget : Budget, optional
    progress : callable or bool, optional
        Called with (fraction, text); True shows a tqdm bar.
    cancel : CancelToken, optional
        Ends the run after its current step; so does SIGINT. The partial result is returned.
    checkpoint : path, optional
        File to which the state is written atomically about every 20 seconds and at the end.
    memory : float
        Largest explicit D in bytes.
    throw : bool
        Raise on the ends NOT_CONVERGED, STEP_TOO_SMALL, INCONSISTENT and NOT_FINITE.

    Returns
    -------
    FlowSolution

    Raises
    ------
    ProblemError
        If an argument does not fit, the map's Jacobian is wrong, or a run to resume had another map, cost or kind of
        flow.
    SolveError
        On a failed end, with the partial result in `.solution`.

    References
    ----------
    T. Chen, arXiv:2311.15487; the t-clock and the projection: mathematics, §1.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> fold = sr.numpy_map(lambda t: t**2, lambda t: np.diag(2 * t), 1, 1)
    >>> flow = sr.flows.adapted(fold, sr.flows.squared_error([-1.0]))
    >>> sol = sr.follow(flow, [1.0])
    >>> sol.status.name, round(float(sol.s[-1]), 6)
    ('RANK_CHANGED', 0.693147)
    """
    _validate_types(flow, rank, until, budget, cancel, quadratures, memory, checkpoint)
    _validate(clock, method, on_rank_change, rtol, atol)
    times = _times(t_eval) if t_eval is not None else None
    state = _initial_state(flow, theta0)
    if check:
        check_map(flow.map, state.theta)
    runner = Run(flow, state, until, clock, rank, memory)
    options = Options(
        rtol,
        0.0 if atol is None else atol,
        project,
        on_rank_change == "stop",
        method == "auto",
        runner.integrands(quadratures),
    )
    meter_budget = budget if budget is not None else Budget()
    with progress_callback(progress, flow.kind.value) as tell, interruptible(cancel or CancelToken()) as token:
        solution = runner.run(options, as_events(events), Meter(meter_budget, tell), token, checkpoint)
    if verify and solution.status in (Status.SUCCESS, Status.EVENT):
        solution = _verified(flow, theta0, solution, rank, memory, options)
    if isinstance(theta0, FlowSolution):
        solution = joined(theta0, solution)
    if times is not None:
        solution = _resampled(flow, solution, times)
    if throw and solution.status.failed:
        raise SolveError(
            f"the {flow.kind.value} flow did not reach its goal",
            solution.headline(),
            f"{until}",
            "throw=False to look at the partial result, a smaller rtol, or damping",
            solution,
        )
    return solution


def _validate_types(
    flow: object,
    rank: object,
    until: object,
    budget: object,
    cancel: object,
    quadratures: object,
    memory: object,
    checkpoint: object,
) -> None:
    wanted = (
        ("flow", flow, Flow, "sr.flows.adapted(map, cost)"),
        ("rank", rank, RankPolicy, "sr.RankPolicy(rtol=1e-10)"),
        ("until", until, Until, "sr.Until(cost=1e-12)"),
        ("budget", budget, (Budget, type(None)), "sr.Budget(evaluations=3000)"),
        ("cancel", cancel, (CancelToken, type(None)), "sr.CancelToken()"),
        ("quadratures", quadratures, (Mapping, type(None)), "{'name': function of a point}"),
        ("memory", memory, (int, float), "memory=2**31"),
        ("checkpoint", checkpoint, (str, PathLike, type(None)), "checkpoint='run.npz'"),
    )
    for name, value, kinds, example in wanted:
        if not isinstance(value, kinds):
            raise ProblemError(
                f"follow: {name} has the wrong type",
                type(value).__name__,
                f"for example {example}",
                "see help(sr.follow)",
            )


def _validate(clock: str, method: str, on_rank_change: str, rtol: float, atol: float | None) -> None:
    choices = (
        ("clock", clock, ("auto", "t", "s")),
        ("method", method, ("auto", "DOP853")),
        ("on_rank_change", on_rank_change, ("stop", "continue")),
    )
    for name, value, known in choices:
        if value not in known:
            raise ProblemError(f"follow: unknown {name}", repr(value), f"one of {known}", f"{name}={known[0]!r}")
    if not isinstance(rtol, Real) or not 1e-15 <= float(rtol) < 1:
        raise ProblemError("follow: rtol is out of range", repr(rtol), "a number in [1e-15, 1)", "rtol=1e-6")
    if atol is not None and (not isinstance(atol, Real) or not 0 <= float(atol) < np.inf):
        raise ProblemError("follow: atol is out of range", repr(atol), "a number >= 0", "atol=None")


def _initial_state(flow: Flow, theta0: Any) -> FlowState:
    if isinstance(theta0, FlowSolution):
        theta0 = theta0.state
    if isinstance(theta0, FlowState):
        state = deepcopy(theta0)
        state.theta = vector(state.theta, "theta", flow.map.n_in)
        return state
    return FlowState(0.0, vector(theta0, "theta0", flow.map.n_in).copy())


def _verified(
    flow: Flow, theta0: Any, solution: FlowSolution, rank: RankPolicy, memory: float, options: Options
) -> FlowSolution:
    """Return the solution with the distance of its end from that of a tighter, unprojected run."""
    tight = replace(
        options, rtol=max(options.rtol * TIGHTER, 1e-13), atol=max(options.atol * TIGHTER, 1e-13), project=False
    )
    end = float(solution.grid[-1])  # an event may have ended the run before its goal
    until = Until(t=end) if solution.clock == "t" else Until(s=end)
    run = Run(flow, _initial_state(flow, theta0), until, solution.clock, rank, memory)
    reference = run.run(tight, (), Meter(Budget()), CancelToken(), None)
    distance = float(np.linalg.norm(reference.theta - solution.theta))
    stats = {**solution.stats, "verify_evaluations": reference.nfev}
    return replace(solution, reference_error=distance, stats=stats)


def _times(t_eval: Any) -> Array:
    grid = real_array(t_eval, "t_eval", ndim=1)
    if (np.diff(grid) <= 0).any():
        raise ProblemError("t_eval is not increasing", f"{grid[:6]}", "strictly increasing times", "np.unique(t_eval)")
    return grid


def _resampled(flow: Flow, solution: FlowSolution, grid: Array) -> FlowSolution:
    """Return the solution with rows at the wanted values of its clock; the dense output and the end stay."""
    flow_map, cost = flow.map, flow.cost
    inside = grid[(grid >= solution.grid[0]) & (grid <= solution.grid[-1] * (1 + 1e-12))]
    if inside.size == 0:
        raise ProblemError(
            "no time of t_eval lies on the path",
            f"{grid[:6]}",
            f"{solution.grid[0]} … {solution.grid[-1]:.6g}",
            "t_eval=None",
        )
    theta = np.atleast_2d(solution(inside)).reshape((inside.size, flow_map.n_in))
    x = np.array([flow_map.value(point) for point in theta]).reshape((inside.size, flow_map.n_out))
    # what is known at the accepted points only is not interpolated
    channels = {name: np.full(inside.size, np.nan) for name, values in solution.channels.items() if values.ndim == 1}
    channels |= {"theta": theta, "x": x, "cost": np.array([cost.value(row) for row in x])}
    rate = solution.rate if solution.rate is not None else np.nan
    t, s = (inside, to_s(inside, rate)) if solution.clock == "t" else (to_t(inside, rate), inside)
    rank = np.full(inside.size, -1)
    message = solution.message
    if inside.size < grid.size:
        message += f"; {inside.size} of {grid.size} times of t_eval lie on the path"
    return replace(solution, message=message, t=t, s=s, y=theta, channels=channels, rank=rank)
