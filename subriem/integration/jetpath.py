"""A solution of a DAE as a function of time: all jets, on the constraints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        system = self.stretches[0].motion.system
        self._variables = [i for i, (_, k) in enumerate(system.reduction.system.columns) if k == 0]

    @property
    def end(self) -> float:
        """The last time."""
        return float(self.stretches[-1].nodes.t[-1])

    def __call__(self, t: Any) -> Array:
        """Return the variables at t, shape (n,), or (len(t), n) for a vector of times."""
        times = np.asarray(t, dtype=float)
        rows = self.jets(times.ravel())[:, self._variables]
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
        width = len(self.stretches[0].motion.system.reduction.system.columns)
        return self._gather(times, width, before, lambda s, nodes: s.motion.system.jets(nodes, s.q))

    def quadratures(self, times: Array) -> Array:
        """Return the integrals of the quadratures at times of the path."""
        system = self.stretches[0].motion.system
        return self._gather(times, system.quadratures, False, lambda _, nodes: nodes.x[:, system.states :])

    def _gather(self, times: Array, width: int, before: bool, function: Callable[[Stretch, Nodes], Array]) -> Array:
        owner = self._owners(times, before)
        out = np.empty((times.size, width))
        for index in np.unique(owner):
            stretch, mine = self.stretches[index], np.flatnonzero(owner == index)
            out[mine] = function(stretch, stretch.at(times[mine]))
        return out

    def _owners(self, times: Array, before: bool) -> np.ndarray:
        starts = np.array([stretch.nodes.t[0] for stretch in self.stretches])
        end = self.end
        low, high = min(starts[0], end), max(starts[0], end)
        slack = 1e-12 * max(high - low, abs(high), abs(low))
        outside = ~((times >= low - slack) & (times <= high + slack))
        if outside.any():
            raise ProblemError(
                "the solution is not known at this time",
                f"t = {times[outside][0]:.16g}",
                f"times in [{low:.16g}, {high:.16g}]",
                "a longer span",
            )
        sign = 1.0 if end >= starts[0] else -1.0
        side = "left" if before else "right"
        return np.clip(np.searchsorted(sign * starts, sign * times, side=side) - 1, 0, starts.size - 1)
