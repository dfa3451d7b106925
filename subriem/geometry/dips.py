"""Where a singular value of matrices along a path may vanish: its dips between nodes, located."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from subriem.core.equilibrated import singular_triplet
from subriem.core.protocols import Array

#: A singular value below this share of its neighbours' may vanish between them.
DIP = 0.6
#: Spacing of the points of a difference quotient, and the accuracy of a time, as shares of the path.
SPACING, TIME = 1e-3, 1e-14


class Dips:
    """The dips of one singular value of matrices M(q(t)).

    Parameters
    ----------
    matrices : callable
        Points (m, N) -> matrices (m, rows, columns).
    path : callable
        t, or many, -> points.
    times : (n,) ndarray
        Nodes.
    rank : int
        Which singular value, from 1 for the largest.
    sizes : (n,) ndarray
        It, at the nodes.
    """

    def __init__(
        self, matrices: Callable[[Array], Array], path: Callable[[Any], Array], times: Array, rank: int, sizes: Array
    ) -> None:
        self.matrices, self.path, self.times, self.rank, self.sizes = matrices, path, times, rank, sizes

    def located(self) -> list[float]:
        """Return the times near which the singular value may vanish, between the nodes."""
        before, size, after = self.sizes[:-2], self.sizes[1:-1], self.sizes[2:]
        low = (size <= np.minimum(before, after)) & (size <= DIP * np.maximum(before, after))
        return [self.locate(int(i) + 1) for i in np.flatnonzero(low)]

    def slope(self, t: float) -> float:
        """Return the rate of change a^T M' b of the singular value forward, with its singular vectors a and b."""
        ends = self.times[0], self.times[-1]
        h = SPACING * (ends[1] - ends[0])
        centre = np.clip(t, min(ends) + 2 * abs(h), max(ends) - 2 * abs(h))
        offsets = np.arange(-2.0, 3.0)
        weights = derivative_weights(offsets, (t - centre) / h) / abs(h)
        here, *around = self.matrices(np.asarray(self.path(np.append(t, centre + offsets * h)), dtype=float))
        _, a, b = singular_triplet(here, self.rank)
        return float(sum(w * (a @ m @ b) for w, m in zip(weights, around, strict=True)))

    def locate(self, place: int) -> float:
        """Return where the singular value is least near a node.

        It falls before and rises after, with a jump of its rate where it changes sign and without where it touches
        zero: in both cases the rate changes sign.
        """
        from scipy.optimize import brentq

        low, high = float(self.times[place - 1]), float(self.times[place + 1])
        if self.slope(low) >= 0 or self.slope(high) <= 0:
            return float(self.times[place])
        return float(brentq(self.slope, low, high, xtol=TIME * abs(self.times[-1] - self.times[0]), rtol=1e-15))


def derivative_weights(offsets: Array, at: float) -> Array:
    """Return the weights of the derivative at a place of the polynomial through values at the offsets."""
    powers = np.arange(offsets.size)
    rates = np.where(powers > 0, powers * at ** np.maximum(powers - 1, 0), 0.0)
    return np.asarray(np.linalg.solve(np.vander(offsets, increasing=True).T, rates), dtype=float)
