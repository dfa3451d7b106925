"""Going on with an earlier run: what its state belongs to, and its clock."""

from __future__ import annotations

from subriem.core.errors import ProblemError
from subriem.flows.field import Clock, to_s, to_t
from subriem.flows.flow import Flow
from subriem.flows.state import FlowState


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
        state.integrals.pop("alignment", None)
    state.clock_name, state.kind = clock, kind
