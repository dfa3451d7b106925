"""The accepted steps of a run, kept within a memory limit and thinned beyond it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.integration.dop853 import DenseStep, HermiteStep
from subriem.integration.solution import DenseOutput

#: Bytes of accepted steps kept before thinning.
MEMORY = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Row:
    """One accepted point.

    Attributes
    ----------
    clock : float
    theta, velocity, x : ndarray
    numbers : dict of float
        cost, drift, sigma_min, sigma_max, speed, rank and the quadratures.
    """

    clock: float
    theta: Array
    velocity: Array
    x: Array
    numbers: dict[str, float]

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return 8 * (2 * self.theta.size + self.x.size + len(self.numbers))


class Record:
    """Accepted points and the interpolants between neighbours.

    Parameters
    ----------
    memory : float
        Bytes; when exceeded the interpolants are reduced to cubic Hermite, then every second point is dropped.
    """

    def __init__(self, memory: float = MEMORY) -> None:
        self.memory = memory
        self.rows: list[Row] = []
        self._steps: list[DenseStep | HermiteStep | None] = []
        self._bytes = 0
        self._dense = True
        self._skipped = 0
        self._last_kept = True
        #: Every stride-th accepted point is kept.
        self.stride = 1

    @property
    def thinned(self) -> str:
        """What was given up to stay within the memory limit, or an empty string."""
        if self._dense:
            return ""
        kept = f"every {self.stride}. accepted point" if self.stride > 1 else "all accepted points"
        return f"dense output reduced to cubic Hermite on {kept} (memory {self.memory:.3g} bytes)"

    def add(self, row: Row, step: DenseStep | HermiteStep | None) -> None:
        """Keep an accepted point and the step that led to it; the newest point always stays."""
        if not self._last_kept:
            self._pop()
        self._skipped = (self._skipped + 1) % self.stride
        self._last_kept = self._skipped == 0
        self.rows.append(row)
        self._steps.append(step if self._dense else None)
        self._bytes += row.nbytes + (step.nbytes if step is not None and self._dense else 0)
        if self._bytes > self.memory and len(self.rows) > 2:
            self._thin()

    def _pop(self) -> None:
        self._bytes -= self.rows.pop().nbytes
        self._steps.pop()

    def _thin(self) -> None:
        if self._dense:
            self._dense = False
            self._steps = [None] * len(self.rows)
        else:
            first, last = self.rows[0], self.rows[-1]
            kept = self.rows[::2]
            self.rows = kept if kept[-1] is last else [*kept, last]
            assert self.rows[0] is first
            self._steps = [None] * len(self.rows)
            self.stride *= 2
            self._skipped = 0
        self._bytes = sum(row.nbytes for row in self.rows)

    def replace_last(self, row: Row) -> None:
        """Exchange the newest point, as a closing iteration does; its dense step is bent to the new end."""
        step = self._steps[-1]
        if isinstance(step, DenseStep):
            step.bend(row.theta - self.rows[-1].theta)
        self.rows[-1] = row

    def column(self, name: str) -> Array:
        """Return one number along the kept points, shape (n_t,)."""
        return np.array([row.numbers[name] for row in self.rows])

    def stack(self, name: str) -> Array:
        """Return `theta`, `velocity` or `x` along the kept points, shape (n_t, m)."""
        return np.array([getattr(row, name) for row in self.rows])

    def dense(self) -> DenseOutput:
        """Return the interpolant through the kept points."""
        segments = []
        for before, after, step in zip(self.rows[:-1], self.rows[1:], self._steps[1:], strict=True):
            h = after.clock - before.clock
            hermite = HermiteStep(before.clock, h, before.theta, before.velocity, after.theta, after.velocity)
            segments.append(step if step is not None else hermite)
        clocks = np.array([row.clock for row in self.rows])
        return DenseOutput(segments, clocks, self.stack("theta"))
