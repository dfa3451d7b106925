"""Going on with an earlier run: what its state belongs to, its clock, and the whole path."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.flows.field import Clock, to_s, to_t
from subriem.flows.flow import Flow
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.state import FlowState

#: Relative difference of outputs and costs, computed again, that roundoff and another BLAS explain.
SAME = 1e-8


def refuse_another(state: FlowState, flow: Flow, x: Array) -> None:
    """Refuse to go on with a state under another map or cost than it was made with.

    Parameters
    ----------
    state : FlowState
    flow : Flow
    x : (n,) ndarray
        Output of the map of the flow at the state's parameter.

    Raises
    ------
    ProblemError
        If the output at theta, or cost and gradient at x0, are not those of the state.
    """
    assert state.x0 is not None
    if state.x is not None and state.x.shape == x.shape:
        off = float(np.linalg.norm(x - state.x))
        other = off > SAME * float(np.linalg.norm(x) + np.linalg.norm(state.x) + np.linalg.norm(state.x0))
        got = f"|x[theta] - x| = {off:.1e}, x the output where the state was left"
    else:
        other, got = state.x0.shape != x.shape, f"{x.size} outputs instead of {state.x0.size}"
    if other:
        raise ProblemError(
            "the state belongs to another map", got, "the map the run began with", "start from sol.theta instead"
        )
    if state.gradient0 is None:
        return
    # both at the very same x0: what differs is the cost, but for roundoff of x0 - y
    cost, push = flow.cost.value(state.x0), flow.cost.gradient(state.x0)
    size = float(np.linalg.norm(state.gradient0)) + EPS * float(np.linalg.norm(flow.cost.hvp(state.x0, state.x0)))
    off = float(np.linalg.norm(push - state.gradient0))
    if off > SAME * size or abs(cost - state.cost0) > SAME * max(cost, state.cost0):
        raise ProblemError(
            "the state belongs to another cost",
            f"C(x0) = {cost:.6g} instead of {state.cost0:.6g}, gradients apart by {off:.1e}",
            "the targets, weights and factor the run began with",
            "start from sol.theta instead",
        )


def joined(before: FlowSolution, after: FlowSolution) -> FlowSolution:
    """Return the whole path of a run and of the one that resumed it.

    In another clock than the first piece has, the second cannot be joined to it; it is returned, and `stats["joined"]`
    says so.
    """
    if before.clock != after.clock:
        return replace(after, stats={**after.stats, "joined": f"no: the earlier path is in {before.clock}"})
    # the junction is a row of the first piece; rows asked for by t_eval end before it
    old, new = before.grid <= after.grid[0], after.grid > before.grid[-1]

    def rows(name: str) -> Array:
        """Return a channel; nan where one of the runs did not have it."""
        pieces, shape = (before, after), (before if name in before else after)[name].shape[1:]
        values = [p[name] if name in p else np.full((p.grid.size, *shape), np.nan) for p in pieces]
        return np.concatenate([values[0][old], values[1][new]])

    y = np.concatenate([before.y[old], after.y[new]])
    dense = before.dense.then(after.dense)
    return replace(
        after,
        t=np.concatenate([before.t[old], after.t[new]]),
        s=np.concatenate([before.s[old], after.s[new]]),
        y=y,
        channels={name: rows(name) for name in {**before.channels, **after.channels}} | {"theta": y},
        rank=np.concatenate([before.rank[old], after.rank[new]]),
        dense=dense,
        events=before.events + after.events,
        regime=before.regime if before.regime is not None else after.regime,
        stats=_added(before, after),
    )


def _added(before: FlowSolution, after: FlowSolution) -> dict[str, object]:
    """Return the stats of both runs; what the state carries on is counted there already."""
    first, last = before.stats, after.stats
    added = {
        "backends": dict(Counter(first.get("backends", {})) + Counter(last.get("backends", {}))),
        "jacobians": first.get("jacobians", 0) + last.get("jacobians", 0),
        "seconds": first.get("seconds", 0.0) + last.get("seconds", 0.0),
        "projected": bool(first.get("projected")) and bool(last.get("projected")),
    }
    given_up = [stats["thinned"] for stats in (first, last) if "thinned" in stats]
    return {**last, **added, **({"thinned": "; ".join(given_up)} if given_up else {})}


def take_over(state: FlowState, flow: Flow, clock: Clock) -> None:
    """Bring the state of an earlier run to the clock of this one.

    Raises
    ------
    ProblemError
        If the state belongs to another flow, or its clock cannot be converted.
    """
    kind, rate = flow.kind.value, flow.cost.rate
    if state.kind and state.kind != kind:
        raise ProblemError(
            "the state belongs to another flow",
            f"{state.kind} flow",
            f"{kind} flow",
            "start from sol.theta instead",
        )
    if state.clock_name and state.clock_name != clock:
        if rate is None or (clock == "s" and state.clock >= 1.0):
            raise ProblemError(
                "the state cannot be taken to the other clock",
                f"{state.clock_name} = {state.clock:.6g}",
                f"a point at finite {clock}",
                f"clock={state.clock_name!r}",
            )
        convert = to_t if clock == "t" else to_s
        state.clock = float(convert(state.clock, rate))
        # what was counted in units of the clock begins anew
        state.step, state.last_step, state.marks, state.stiff = 0.0, 0.0, [], False
        for sums in (state.integrals, state.quadrature_errors):
            sums.pop("alignment", None)
    state.clock_name, state.kind = clock, kind
