"""States and solutions of a flow as plain values and arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, fields, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from subriem.core.dependence import Dependence
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision
from subriem.core.records import Parts
from subriem.core.status import Status
from subriem.flows.ending import Ending, Mark
from subriem.flows.field import Line
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.regime import Regime, RegimeName
from subriem.flows.state import FlowState
from subriem.flows.units import UnitClass, UnitFinding
from subriem.integration.dop853 import COEFFICIENTS, DenseStep, HermiteStep
from subriem.integration.events import Occurrence
from subriem.integration.solution import DenseOutput, Segment

#: Bytes of interpolant coefficients up to which the dense output is stored exactly.
DENSE_LIMIT = 256 * 2**20

#: Fields of a state that are no plain numbers or texts.
_STATE_ARRAYS = ("x0", "gradient0", "x")
_STATE_RICH = ("theta", *_STATE_ARRAYS, "integrals", "marks")
_STATE_PLAIN = tuple(field.name for field in fields(FlowState) if field.name not in _STATE_RICH)
_SOLUTION_NUMBERS = ("message", "clock", "rate", "cost_floor", "goal", "theta_error", "reference_error", "cost_bound")


# -- the state of a run ----------------------------------------------------------------------------------------


def state_parts(state: FlowState) -> Parts:
    """Return a state as a header of plain values and a dict of arrays; `state_from` undoes it."""
    header: dict[str, Any] = {name: getattr(state, name) for name in _STATE_PLAIN}
    header["integrals"] = dict(state.integrals)
    header["marks"] = [list(astuple(mark)) for mark in state.marks]
    arrays = {"theta": state.theta}
    arrays |= {name: getattr(state, name) for name in _STATE_ARRAYS if getattr(state, name) is not None}
    return header, arrays


def state_from(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> FlowState:
    """Return the state that `state_parts` took apart."""
    # a file written before a field existed leaves it at its default
    plain = {name: header[name] for name in _STATE_PLAIN if name in header}
    return FlowState(
        theta=arrays["theta"],
        **{name: arrays.get(name) for name in _STATE_ARRAYS},
        integrals=dict(header["integrals"]),
        marks=[Mark(*numbers) for numbers in header["marks"]],
        **plain,
    )


# -- a solution ------------------------------------------------------------------------------------------------


def solution_parts(solution: FlowSolution, limit: float = DENSE_LIMIT) -> Parts:
    """Return a solution as a header of plain values and a dict of arrays; `solution_from` undoes it.

    Parameters
    ----------
    solution : FlowSolution
    limit : float
        Bytes of interpolant coefficients (8 K numbers a step) up to which the dense output is kept exactly; beyond
        it every step is kept as a cubic through its ends, and `stats["stored"]` says so.

    Notes
    -----
    Interpolants that were never used are completed here: eight evaluations of the field for each step.
    """
    arrays = {"t": solution.t, "s": solution.s, "y": solution.y, "rank": solution.rank}
    same = [name for name, values in solution.channels.items() if values is solution.y]
    channels = {name: values for name, values in solution.channels.items() if name not in same}
    arrays |= _prefixed("channel", channels)
    header: dict[str, Any] = {name: getattr(solution, name) for name in _SOLUTION_NUMBERS}
    header |= {
        "status": solution.status.name,
        "stats": dict(solution.stats),
        "channels": list(solution.channels),
        "same_as_y": same,
        "conflicts": [list(group) for group in solution.conflicts],
        "units": [astuple(finding) for finding in solution.units],
        "events": [[event.name, event.clock, event.terminal] for event in solution.events],
    }
    for i, event in enumerate(solution.events):
        arrays[f"event/{i}"] = event.y
    coarse = _steps_into(solution, arrays, limit)
    if coarse:
        header["stats"]["stored"] = coarse
    state, state_arrays = state_parts(solution.state)
    header["state"] = state
    arrays |= _prefixed("state", state_arrays)
    if solution.line is not None:
        header["line_rate"] = solution.line.rate
        arrays |= _prefixed("line", {"start": solution.line.start, "end": solution.line.end})
    if solution.singularity is not None:
        found = solution.singularity
        header["singularity"] = [found.status.name, found.clock, found.remaining_length]
    if solution.regime is not None:
        header["regime"] = _regime_into(solution.regime, arrays)
    return header, arrays


def solution_from(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> FlowSolution:
    """Return the solution that `solution_parts` took apart."""
    y = arrays["y"]
    same = set(header["same_as_y"])
    line = None
    if "line_rate" in header:
        line = Line(arrays["line/start"], arrays["line/end"], header["line_rate"])
    singularity = None
    if "singularity" in header:
        name, clock, remaining = header["singularity"]
        singularity = Ending(Status[name], clock, remaining)
    return FlowSolution(
        t=arrays["t"],
        s=arrays["s"],
        y=y,
        rank=arrays["rank"],
        channels={name: y if name in same else arrays[f"channel/{name}"] for name in header["channels"]},
        dense=_dense_from(header, arrays),
        events=tuple(
            Occurrence(name, clock, arrays[f"event/{i}"], terminal)
            for i, (name, clock, terminal) in enumerate(header["events"])
        ),
        status=Status[header["status"]],
        stats=dict(header["stats"]),
        conflicts=tuple(tuple(group) for group in header["conflicts"]),
        state=state_from(header["state"], _under("state", arrays)),
        units=tuple(
            UnitFinding(UnitClass(kind), tuple(names), *rest) for kind, names, *rest in header.get("units", ())
        ),
        line=line,
        singularity=singularity,
        regime=_regime_from(header["regime"], arrays) if "regime" in header else None,
        # a file written before a field existed leaves it at its default
        **{name: header[name] for name in _SOLUTION_NUMBERS if name in header},
    )


def thinned(solution: FlowSolution, points: int) -> FlowSolution:
    """Return the solution on about `points` of its accepted points, with cubic dense output between them.

    A run of a hundred thousand steps is a gigabyte; its curves are not. The end, the state and all measured numbers
    stay; `stats["thinned"]` says what was given up.
    """
    total = solution.grid.size
    if total <= points:
        return solution
    kept = _spread(solution, points)
    velocity, y, grid = solution["velocity"], solution.y[kept], solution.grid[kept]
    steps = [
        HermiteStep(grid[i], grid[i + 1] - grid[i], y[i], velocity[kept[i]], y[i + 1], velocity[kept[i + 1]])
        for i in range(kept.size - 1)
    ]
    channels = {name: y if values is solution.y else values[kept] for name, values in solution.channels.items()}
    note = f"{kept.size} of {total} accepted points kept, dense output cubic Hermite between them"
    return replace(
        solution,
        t=solution.t[kept],
        s=solution.s[kept],
        y=y,
        channels=channels,
        rank=solution.rank[kept],
        dense=DenseOutput(steps, grid, y),
        stats={**solution.stats, "thinned": note},
    )


def _spread(solution: FlowSolution, points: int) -> np.ndarray:
    """Return indices spread over the number of steps, the length of the parameter path and that of the output path.

    A flow may go most of its way in its first steps and creep for the rest.
    """
    total = solution.grid.size
    outputs = np.linalg.norm(np.diff(solution["x"], axis=0), axis=1)
    measures = (np.arange(total), solution["length"], np.concatenate([[0.0], np.cumsum(outputs)]))
    share = max(points // len(measures), 2)
    found = [np.searchsorted(measure, np.linspace(measure[0], measure[-1], share)) for measure in measures]
    return np.unique(np.concatenate([[0, total - 1], *found]).clip(0, total - 1))


def _prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{prefix}/{name}": values for name, values in arrays.items()}


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    start = f"{prefix}/"
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}


# -- dense output ----------------------------------------------------------------------------------------------


def _steps_into(solution: FlowSolution, arrays: dict[str, Array], limit: float) -> str:
    """Add the interpolants to `arrays`; return what was given up, or an empty string."""
    segments, (_, size) = solution.dense.segments, solution.y.shape
    # the nodes of the dense output are the accepted points, which t_eval may have replaced as rows
    arrays["dense/t"] = solution.dense._t
    if solution.dense._y is not solution.y:
        arrays["dense/y"] = solution.dense._y
    exact = [isinstance(segment, DenseStep) for segment in segments]
    needed = 8.0 * COEFFICIENTS * size * sum(exact)
    coarse = needed > limit
    arrays["step/t"] = np.array([segment.t for segment in segments])
    arrays["step/h"] = np.array([segment.h for segment in segments])
    arrays["step/exact"] = np.array([is_exact and not coarse for is_exact in exact], dtype=float)
    fine: list[DenseStep] = []
    cubic: list[tuple[Array, Array, Array, Array]] = []
    for segment in segments:
        if isinstance(segment, DenseStep) and not coarse:
            fine.append(segment)
        else:
            cubic.append(_ends(segment))
    arrays["fine/y"] = _stacked([step(step.t) for step in fine], (size,))
    arrays["fine/coefficients"] = _stacked([step.coefficients for step in fine], (COEFFICIENTS, size))
    arrays["fine/ramped"] = np.array([step.ramp is not None for step in fine], dtype=float)
    arrays["fine/ramp"] = _stacked([step.ramp for step in fine if step.ramp is not None], (size,))
    if not _from_rows(solution, cubic):
        arrays["cubic/ends"] = _stacked(cubic, (4, size))
    if not coarse:
        return ""
    return f"dense output reduced to cubic Hermite (exact: {needed:.3g} bytes, limit {limit:.3g})"


def _from_rows(solution: FlowSolution, cubic: Sequence[tuple[Array, Array, Array, Array]]) -> bool:
    """Whether the cubics join the rows with their velocities, so that their ends need not be stored again."""
    if len(cubic) != len(solution.grid) - 1 or "velocity" not in solution.channels:
        return False
    y, f = solution.y, solution["velocity"]
    rows = zip(y[:-1], f[:-1], y[1:], f[1:], strict=True)
    return all(
        np.array_equal(a, b) for step, row in zip(cubic, rows, strict=True) for a, b in zip(step, row, strict=True)
    )


def _stacked(values: Sequence[Any], shape: tuple[int, ...]) -> Array:
    return np.array(values, dtype=float).reshape((len(values), *shape))


def _ends(segment: Segment) -> tuple[Array, Array, Array, Array]:
    """Return both ends of a step with their derivatives (y0, f0, y1, f1)."""
    if isinstance(segment, HermiteStep):
        return segment._ends
    assert isinstance(segment, DenseStep)
    c, h = segment.coefficients, segment.h
    # p(x) = y + x (c0 + (1-x) (c1 + x (c2 + …))): p'(0) = c0 + c1, p'(1) = c0 - c1 - c2, and the ramp's slope on both
    ramp = np.zeros_like(c[0]) if segment.ramp is None else segment.ramp
    return segment(segment.t), (c[0] + c[1] + ramp) / h, segment(segment.t + h), (c[0] - c[1] - c[2] + ramp) / h


def _dense_from(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> DenseOutput:
    ramps = iter(arrays["fine/ramp"])
    fine = iter(zip(arrays["fine/y"], arrays["fine/coefficients"], arrays["fine/ramped"], strict=True))
    if "cubic/ends" in arrays:
        cubic = iter(arrays["cubic/ends"])
    else:
        y, f = arrays["y"], arrays.get("channel/velocity", arrays["y"])
        cubic = zip(y[:-1], f[:-1], y[1:], f[1:], strict=True)
    segments: list[Segment] = []
    for t, h, exact in zip(arrays["step/t"], arrays["step/h"], arrays["step/exact"], strict=True):
        if exact:
            y, coefficients, ramped = next(fine)
            ramp = next(ramps) if ramped else None
            segments.append(DenseStep.from_coefficients(float(t), float(h), y, coefficients, ramp))
        else:
            y0, f0, y1, f1 = next(cubic)
            segments.append(HermiteStep(float(t), float(h), y0, f0, y1, f1))
    return DenseOutput(segments, arrays["dense/t"], arrays.get("dense/y", arrays["y"]))


# -- regime ----------------------------------------------------------------------------------------------------


def _decision_into(decision: RankDecision, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    header = asdict(decision)
    arrays[f"{prefix}/sigma"] = header.pop("sigma")
    return header


def _regime_into(regime: Regime, arrays: dict[str, Array]) -> dict[str, Any]:
    header: dict[str, Any] = {
        "name": regime.name.name,
        "n_in": regime.n_in,
        "n_out": regime.n_out,
        "rank": regime.rank,
        "persistent": regime.persistent,
        "nearby": regime.nearby,
        "parallel": _dependence_into(regime.parallel, "parallel", arrays),
        "names": [list(group) for group in regime.names],
        "decision": _decision_into(regime.decision, "regime", arrays),
    }
    if regime.dependence is not None:
        header |= _dependence_into(regime.dependence, "dependence", arrays)
    return header


def _dependence_into(found: Dependence | None, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    if found is None:
        return {}
    header = {
        "groups": [list(group) for group in found.groups],
        "dependence": _decision_into(found.decision, prefix, arrays),
        "basis_shape": list(found.basis.shape),
    }
    arrays[f"{prefix}/null"] = found.null
    if found.norms is not None:
        arrays[f"{prefix}/norms"] = found.norms
    parts = {"data": found.basis.data, "indices": found.basis.indices, "indptr": found.basis.indptr}
    arrays |= _prefixed(f"{prefix}/basis", parts)
    return header


def _dependence_from(header: Mapping[str, Any], prefix: str, arrays: Mapping[str, Array]) -> Dependence | None:
    if "dependence" not in header:
        return None
    parts = _under(f"{prefix}/basis", arrays)
    basis = csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=tuple(header["basis_shape"]))
    groups = tuple(tuple(group) for group in header["groups"])
    decision = RankDecision(**header["dependence"], sigma=arrays[f"{prefix}/sigma"])
    return Dependence(groups, arrays[f"{prefix}/null"], basis, decision, arrays.get(f"{prefix}/norms"))


def _regime_from(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Regime:
    return Regime(
        name=RegimeName[header["name"]],
        n_in=header["n_in"],
        n_out=header["n_out"],
        rank=header["rank"],
        decision=RankDecision(**header["decision"], sigma=arrays["regime/sigma"]),
        dependence=_dependence_from(header, "dependence", arrays),
        parallel=_dependence_from(header.get("parallel", {}), "parallel", arrays),
        persistent=header["persistent"],
        nearby=header.get("nearby"),
        names=tuple(tuple(group) for group in header["names"]),
    )
