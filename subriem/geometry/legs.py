"""Smooth pieces of horizontal paths of a map one after the other, up to where D loses rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from subriem.core.errors import RankError
from subriem.core.factor import Extremes
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.core.status import Status
from subriem.core.validate import positive
from subriem.geometry.landing import landing

if TYPE_CHECKING:
    from subriem.geometry.maps import MapStructure

#: Share of the first least singular value of D at which a path ends as at a loss of rank, and of the first largest.
LOST, FLOOR = 1e-7, 1e-9
#: The same: a path ends at a larger share for no condition of D at its start, and does not escape above it.
NEAR = 1e-3
#: Smallest relative tolerance of the integrator.
FINEST = 1e-13
#: Most evaluations of the rates in a leg: where they are more noise than the tolerance, steps would not end.
EVALUATIONS = 20_000


class Leg(NamedTuple):
    """A part of a path: its rates (t, state) -> state', and the velocity x' of the outputs at a state."""

    start: float
    end: float
    rates: Callable[[float, Array], Array]
    velocity: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Run:
    """A path of legs, with dense output; the last state is where the rank is lost if it is."""

    t: Array
    states: Array
    dense: Callable[[Any], Array]
    status: Status
    message: str

    @property
    def steps(self) -> int:
        """The number of steps, at least 1."""
        return max(self.t.size - 1, 1)

    def distance(self, other: Run, n: int) -> float:
        """Return how far two runs are from each other where the shorter one ends, relative to 1 + |part|.

        Losses of rank are compared as places: paths are infinitely fast there.
        """
        if self.status is other.status is Status.RANK_CHANGED:
            pair = self.states[-1], other.states[-1]
        else:
            end = min(self.t[-1], other.t[-1], key=abs)
            pair = self.dense(float(end)), other.dense(float(end))
        mine, others = ((state[:n], state[n:]) for state in pair)
        return max(float(np.abs(a - b).max() / (1 + np.abs(a).max())) for a, b in zip(mine, others, strict=True))


def integrated(
    structure: MapStructure, start: Array, legs: list[Leg], rtol: float, scale: Extremes | None = None
) -> Run:
    """Integrate leg after leg by DOP853; end where D loses rank, compared with `scale`, or with D at the start."""
    from scipy.integrate import OdeSolution

    rtol, n = max(positive(rtol, "rtol"), FINEST), structure.n
    here = structure.at(start[:n]).factor.extremes()
    first = here if scale is None else scale
    bound = max(LOST, min(FLOOR * first.sigma_max / first.sigma_min, NEAR))
    bound = min(bound, NEAR * here.sigma_min / first.sigma_min)

    def share(state: Array) -> float:
        return structure.at(state[:n], certify=False).factor.extremes().sigma_min / first.sigma_min - bound

    times, states, pieces = [legs[0].start], [start], []
    status, message, end = Status.SUCCESS, "the end was reached", None
    for leg in legs:
        stop = _followed(leg, times, states, pieces, rtol, share)
        if stop is None:
            continue
        status, message, end = _landed(structure, times[-1], states[-1], leg, first.sigma_max)
        if stop is not Status.RANK_CHANGED and status is not Status.RANK_CHANGED and share(states[-1]) > NEAR:
            status, message = stop, f"{stop.value}: t = {times[-1]:.10g}"
        break
    nodes, dense = np.array(times), OdeSolution(times, pieces)
    if end is None:
        return Run(nodes, np.array(states), dense, status, message)
    path = _Ending(dense, float(nodes[-1]), *end)
    return Run(np.append(nodes, path.end), np.vstack([*states, path.state]), path, status, message)


def _followed(
    leg: Leg, times: list[float], states: list[Array], pieces: list[Any], rtol: float, share: Callable[[Array], float]
) -> Status | None:
    """Append the steps of a leg, up to where a share of sigma_min vanishes; return why it ends before its time.

    RANK_CHANGED stands for the share, STEP_TOO_SMALL for the clock, BUDGET_SPENT for the evaluations.
    """
    from scipy.integrate import DOP853
    from scipy.optimize import brentq

    solver = DOP853(_rejecting(leg.rates), leg.start, states[-1], leg.end, rtol=rtol, atol=rtol)
    while solver.status == "running":
        solver.step()
        if solver.status == "failed":
            return Status.STEP_TOO_SMALL
        piece = solver.dense_output()
        lost = share(solver.y) <= 0
        t = float(brentq(_on(piece, share), times[-1], solver.t, xtol=4 * EPS) if lost else solver.t)
        if not lost or t != times[-1]:
            pieces.append(piece)
            times.append(t)
            states.append(np.asarray(piece(t) if lost else solver.y, dtype=float))
        if lost:
            return Status.RANK_CHANGED
        if solver.nfev > EVALUATIONS:
            return Status.BUDGET_SPENT
    return None


def _on(piece: Callable[[float], Array], share: Callable[[Array], float]) -> Callable[[float], float]:
    return lambda t: share(piece(t))


def _landed(
    structure: MapStructure, t: float, state: Array, leg: Leg, scale: float
) -> tuple[Status, str, tuple[float, Array] | None]:
    """Return how a leg ends from where sigma_min is small, and the place if it is a loss of rank."""
    n, forward = structure.n, 1.0 if leg.end >= leg.start else -1.0
    velocity = leg.velocity(state)
    found = landing(structure, state[:n], forward * velocity, scale)
    if found is None:
        return Status.ESCAPED, f"theta escapes near t = {t:.12g}: sigma_min tends to 0, and no zero is near", None
    time = t + forward * found.time
    if found.decision.full:
        least = f"sigma_min falls to {found.decision.sigma_rank:.1e} at t = {time:.12g}"
        return Status.RANK_AMBIGUOUS, f"{least}: D nearly loses rank", None
    rest = state[n:]  # of a covector p = D^T u + q the part D^T u is taken along
    if rest.size:
        change = structure.map.vjp(found.theta, velocity) - structure.map.vjp(state[:n], velocity)
        rest = rest + change
    message = f"D loses rank at t = {time:.12g}"
    return Status.RANK_CHANGED, message, (time, np.concatenate([found.theta, rest]))


@dataclass(frozen=True, eq=False)
class _Ending:
    """A dense output with a straight last piece, to where the path ends."""

    dense: Callable[[Any], Array]
    last: float
    end: float
    state: Array

    def __call__(self, t: Any) -> Array:
        whole = self.end - self.last
        share = float(np.clip((t - self.last) / whole, 0.0, 1.0)) if whole else float(t == self.end)
        if share == 0.0:
            return self.dense(t)
        return (1 - share) * self.dense(self.last) + share * self.state


def _rejecting(rates: Callable[[float, Array], Array]) -> Callable[[float, Array], Array]:
    """Return rates that are NaN where D is singular: the integrator rejects the trial step and takes a shorter one."""

    def guarded(t: float, state: Array) -> Array:
        try:
            return rates(t, state) if np.isfinite(state).all() else np.full_like(state, np.nan)
        except RankError:
            return np.full_like(state, np.nan)

    return guarded
