"""A solution of a DAE between its nodes: all jets at any time, on the constraints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.integration.integrator import Engine, Integrator, Options
from subriem.integration.reduced import ReducedSystem


class Stretch:
    """Nodes of one stretch of a solution on which the data are constant and the states continuous.

    Parameters
    ----------
    t, z, a, q
        Times (N,), monotone, states (N, m), unknowns (N, l), data of the stretch.
    system : ReducedSystem
    """

    def __init__(self, system: ReducedSystem, t: Array, z: Array, a: Array, q: Array) -> None:
        self.system, self.t, self.z, self.a, self.q = system, t, z, a, q

    @cached_property
    def _rates(self) -> tuple[Array, Array]:
        return self.system.rates(self.t, self.z, self.a, self.system.repeat(self.q, self.t.size))

    @cached_property
    def error(self) -> float:
        """Estimated error of the interpolated states: every second node predicted from its neighbours, over 2^6."""
        if self.t.size < 3:
            return np.inf
        first, second = self._rates
        inner = np.arange(1, self.t.size - 1, 2)
        predicted = _quintic(self.t, self.z, first, second, inner - 1, inner + 1, self.t[inner])
        return float(np.abs(predicted - self.z[inner]).max()) / 64

    def states(self, times: Array) -> tuple[Array, Array, np.ndarray]:
        """Return interpolated states, unknowns nearby, and the node before each time."""
        forward = self.t[-1] >= self.t[0]
        order = self.t if forward else self.t[::-1]
        place = np.clip(np.searchsorted(order, times, side="right") - 1, 0, self.t.size - 2)
        left = place if forward else self.t.size - 2 - place
        first, second = self._rates
        z = _quintic(self.t, self.z, first, second, left, left + 1, times)
        share = ((times - self.t[left]) / (self.t[left + 1] - self.t[left]))[:, None]
        return z, (1 - share) * self.a[left] + share * self.a[left + 1], left


def _quintic(t: Array, z: Array, dz: Array, ddz: Array, left: np.ndarray, right: np.ndarray, times: Array) -> Array:
    """Return the Hermite interpolant through z, z', z'' at two nodes each."""
    h = (t[right] - t[left])[:, None]
    x = (times - t[left])[:, None] / h
    x3, y = x**3, 1 - x
    y3 = y**3
    return (
        y3 * (1 + 3 * x + 6 * x**2) * z[left]
        + x3 * (1 + 3 * y + 6 * y**2) * z[right]
        + h * (y3 * x * (1 + 3 * x) * dz[left] - x3 * y * (1 + 3 * y) * dz[right])
        + 0.5 * h**2 * (y3 * x**2 * ddz[left] + x3 * y**2 * ddz[right])
    )


class JetPath:
    """All jets of a DAE's solution as functions of time.

    Between nodes the states are interpolated through z, z', z'', then moved onto the constraints, and the unknowns
    solved for. Where the interpolation is estimated to be worse than `tolerance`, the engine integrates from the node
    before instead.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        integrator: Integrator,
        options: Options,
        tolerance: float,
        project: bool,
    ) -> None:
        self.stretches = tuple(stretches)
        self.tolerance, self.project = tolerance, project
        self._integrator, self._options = integrator, options

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_engine"}

    @cached_property
    def _engine(self) -> Engine:
        system = self.stretches[0].system
        return self._integrator.prepare(system.reduction, None, self._options)

    def __call__(self, times: Array) -> Array:
        """Return the jets at `reduction.system.columns`, shape (len(times), …).

        Raises
        ------
        ProblemError
            If a time is not on the path.
        """
        system = self.stretches[0].system
        owner = self._owners(times)
        out = np.empty((times.size, len(system.reduction.system.columns)))
        for index, stretch in enumerate(self.stretches):
            mine = np.flatnonzero(owner == index)
            if mine.size:
                out[mine] = self._on(stretch, times[mine])
        return out

    def _owners(self, times: Array) -> np.ndarray:
        starts = np.array([stretch.t[0] for stretch in self.stretches])
        ends = np.array([stretch.t[-1] for stretch in self.stretches])
        low, high = min(starts[0], ends[-1]), max(starts[0], ends[-1])
        slack = 1e-12 * max(high - low, abs(high), abs(low))
        outside = ~((times >= low - slack) & (times <= high + slack))
        if outside.any():
            raise ProblemError(
                "the solution is not known at this time",
                f"t = {times[outside][0]:.16g}",
                f"times in [{low:.16g}, {high:.16g}]",
                "a longer span",
            )
        if ends[-1] >= starts[0]:
            return np.clip(np.searchsorted(starts, times, side="right") - 1, 0, starts.size - 1)
        return np.clip(np.searchsorted(-starts, -times, side="right") - 1, 0, starts.size - 1)

    def _on(self, stretch: Stretch, times: Array) -> Array:
        if stretch.t.size == 1:
            z, a = np.tile(stretch.z, (times.size, 1)), np.tile(stretch.a, (times.size, 1))
        else:
            z, a, left = stretch.states(times)
            if not stretch.error <= self.tolerance:
                z, a = self._integrated(stretch, times, left)
        nodes = stretch.system.polish(times, z, a, stretch.q, self.project)
        return assemble(stretch.system, nodes.t, nodes.z, nodes.a, stretch.q)

    def _integrated(self, stretch: Stretch, times: Array, left: np.ndarray) -> tuple[Array, Array]:
        z, a = np.empty((times.size, stretch.z.shape[1])), np.empty((times.size, stretch.a.shape[1]))
        for i, (time, node) in enumerate(zip(times, left, strict=True)):
            z[i], a[i] = stretch.z[node], stretch.a[node]
            if time != stretch.t[node]:
                piece = self._engine.advance(float(stretch.t[node]), float(time), z[i], a[i], stretch.q)
                z[i], a[i] = piece.z[-1], piece.a[-1]
        return z, a


def assemble(system: ReducedSystem, t: Array, z: Array, a: Array, q: Array) -> Array:
    """Return all jets, columns as in the differentiated system, from states and unknowns."""
    tops = system.tops(t, z, a, system.repeat(q, t.size))
    where = system.reduction.system
    position = {place: index for index, place in enumerate(where.columns)}
    out = np.empty((t.size, len(where.columns)))
    out[:, [position[place] for place in where.state_columns]] = z
    out[:, [position[place] for place in where.top_columns]] = tops
    return out
