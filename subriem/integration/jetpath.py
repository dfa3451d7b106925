"""A solution of a DAE as a function of time: all jets, on the constraints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.integration.reduced import Nodes
from subriem.integration.solution import DenseOutput
from subriem.integration.stretch import Stretch


class JetPath(DenseOutput):
    """All jets of a DAE's solution as functions of time; where two stretches meet, the later one holds.

    Parameters
    ----------
    stretches : sequence of Stretch
        At least one, each begins where the one before ends.
    """

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self.segments, self.stretches = (), tuple(stretches)
        self._system = self.stretches[0].motion.system
        #: Which of the jets are the variables.
        self.variables = [i for i, (_, k) in enumerate(self._system.reduction.system.columns) if k == 0]

    @property
    def end(self) -> float:
        """The last time."""
        return float(self.stretches[-1].nodes.t[-1])

    def __call__(self, t: Any) -> Array:
        """Return the variables at t, shape (n,), or (len(t), n) for a vector of times."""
        times = np.asarray(t, dtype=float)
        rows = self.jets(times.ravel())[:, self.variables]
        return rows[0] if times.ndim == 0 else rows.reshape((*times.shape, rows.shape[1]))

    def jets(self, times: Array, *, before: bool = False) -> Array:
        """Return the jets at `reduction.system.columns`, shape (len(times), …).

        Parameters
        ----------
        times : (m,) ndarray
        before : bool
            At a breakpoint or a reset, whether to take the values on the side of the start.

        Raises
        ------
        ProblemError
            If a time is not on the path.
        """
        jets = np.empty((times.size, len(self._system.reduction.system.columns)))
        for stretch, mine, nodes in self._nodes(times, before):
            jets[mine] = stretch.motion.system.jets(nodes, stretch.q)
        return jets

    def quadratures(self, times: Array) -> Array:
        """Return the integrals of the quadratures at times of the path."""
        return self.sample(times)[1]

    def sample(self, times: Array) -> tuple[Array, Array, float]:
        """Return jets at times of the path, the integrals of the quadratures, and the largest residual there."""
        system, residual = self._system, 0.0
        jets = np.empty((times.size, len(system.reduction.system.columns)))
        integrals = np.empty((times.size, system.quadratures))
        for stretch, mine, nodes in self._nodes(times, before=False):
            system = stretch.motion.system  # after an exchange of equations the unknowns are another one's
            jets[mine] = found = system.jets(nodes, stretch.q)
            integrals[mine] = nodes.x[:, system.states :]
            residual = max(residual, float(np.abs(system.residuals(nodes.t, found, stretch.q)).max(initial=0.0)))
        return jets, integrals, residual

    def _nodes(self, times: Array, before: bool) -> Iterator[tuple[Stretch, np.ndarray, Nodes]]:
        """Yield each stretch with the times on it, as a mask, and the points there."""
        owner = self._owners(times, before)
        for index in sorted(set(owner.tolist())):
            mine = owner == index
            yield self.stretches[index], mine, self.stretches[index].at(times[mine])

    def _owners(self, times: Array, before: bool) -> np.ndarray:
        start, end = float(self.stretches[0].nodes.t[0]), self.end
        low, high = min(start, end), max(start, end)
        slack = 1e-12 * max(high - low, abs(high), abs(low))
        outside = ~((times >= low - slack) & (times <= high + slack))
        if outside.any():
            raise ProblemError(
                "the solution is not known at this time",
                f"t = {times[outside][0]:.16g}",
                f"times in [{low:.16g}, {high:.16g}]",
                "a longer span",
            )
        if len(self.stretches) == 1:
            return np.zeros(times.size, dtype=int)
        starts = np.array([stretch.nodes.t[0] for stretch in self.stretches])
        sign = 1.0 if end >= start else -1.0
        side = "left" if before else "right"
        return np.clip(np.searchsorted(sign * starts, sign * times, side=side) - 1, 0, starts.size - 1)
