"""A stretch of a solution between nodes: interpolated where that is exact enough, integrated anew where it is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from subriem.core.protocols import Array
from subriem.integration.integrator import NODES
from subriem.integration.motion import Motion
from subriem.integration.reduced import Nodes

#: Refinements within each other at most: NODES^10 is beyond the resolution of the clock.
DEPTH = 10
#: Nodes that an interpolant uses, and those of the one it is compared with.
STENCIL, INNER = 8, 6
#: The error of the wider interpolant over its difference from the narrower one, at most.
SHARE = 1.0 / 8.0
#: Share of a state to which nodes resolve it where the engine has a dense output: enough to see events.
SHOWN = 1e-5
#: Roundoffs of the time to which nodes are known: at t = 1e8 states that move are not interpolated to more.
CLOCK = 8.0
#: The order at which that difference falls with the distance of the nodes.
ORDER = 6


class Stretch:
    """Nodes of a solution on which the data are constant and the states continuous.

    Between the nodes the states are interpolated through those around, not through x' = f: in a stiff system f
    amplifies the error of x. Where that is estimated to be worse than the tolerance, the engine integrates once more
    from the node before, on a finer grid, and so on.

    Parameters
    ----------
    motion : Motion
    nodes : Nodes
        Times monotone.
    q : ndarray
        The data.
    depth : int
        How often this one is refined already.
    dense : callable, optional
        The engine's own dense output, as exact as the nodes; it is taken between them.

    Attributes
    ----------
    refined : dict of int to Stretch or None
        The intervals integrated anew so far; None where that was not possible.
    """

    def __init__(
        self, motion: Motion, nodes: Nodes, q: Array, depth: int = 0, dense: Callable[[Array], Array] | None = None
    ) -> None:
        self.motion, self.nodes, self.q, self.depth, self.dense = motion, nodes, q, depth, dense
        self.refined: dict[int, Stretch | None] = {}

    @cached_property
    def error(self) -> Array:
        """Estimated error of each interval over the allowed one, from interpolants of two orders in its middle."""
        t, x = self.nodes.t, self.nodes.x
        count = t.size - 1
        if count < INNER:
            return np.full(count, np.inf if x.shape[1] else 0.0)
        left = np.arange(count)
        middle = (t[:-1] + t[1:]) / 2
        difference = np.abs(self._interpolated(left, middle, STENCIL) - self._interpolated(left, middle, INNER))
        allowed = np.maximum(self.motion.allowed(x), 1e-300)
        slope = np.abs(np.diff(x, axis=0)) / np.abs(np.diff(t))[:, None]
        allowed = np.maximum(allowed, CLOCK * float(np.spacing(np.abs(t).max())) * slope)
        if self.dense is not None:  # the nodes need only show what happens between them
            allowed = np.maximum(allowed, SHOWN * np.abs(x).max(axis=0))
        return SHARE * (difference / allowed).max(axis=1, initial=0.0)

    def states(self, times: Array) -> tuple[Array, Array]:
        """Return states and unknowns nearby at times of the stretch, not yet on the equations."""
        t = self.nodes.t
        if t.size == 1:
            return np.tile(self.nodes.x, (times.size, 1)), np.tile(self.nodes.a, (times.size, 1))
        left = self.interval(times)
        share = ((times - t[left]) / (t[left + 1] - t[left]))[:, None]
        a = (1 - share) * self.nodes.a[left] + share * self.nodes.a[left + 1]
        if self.dense is not None:
            return self.dense(times), a
        x = self._interpolated(left, times, STENCIL)
        rough = ~(self.error[left] <= 1.0) & (times != t[left]) & (times != t[left + 1])
        for i in np.unique(left[rough]):
            finer = self.finer(int(i))
            if finer is not None:
                mine = np.flatnonzero(rough & (left == i))
                x[mine], a[mine] = finer.states(times[mine])
        return x, a

    def at(self, times: Array) -> Nodes:
        """Return points at times of the stretch, on the equations."""
        return self.motion.polish(times, *self.states(times), self.q)

    def interval(self, times: Array) -> np.ndarray:
        """Return the number of the node before each time, the last but one for the end."""
        t = self.nodes.t
        if t[-1] >= t[0]:
            return np.clip(np.searchsorted(t, times, side="right") - 1, 0, t.size - 2)
        return np.clip(np.searchsorted(-t, -times, side="right") - 1, 0, t.size - 2)

    def finer(self, i: int) -> Stretch | None:
        """Return interval i integrated on a finer grid; None where that is not possible."""
        if i not in self.refined:
            self.refined[i] = self._integrated(i) if self.depth < DEPTH else None
        return self.refined[i]

    def _integrated(self, i: int) -> Stretch | None:
        nodes = self.nodes
        t0, t1 = float(nodes.t[i]), float(nodes.t[i + 1])
        if abs(t1 - t0) <= NODES * np.spacing(max(abs(t0), abs(t1))):
            return None
        piece = self.motion.engine.advance(t0, t1, nodes.x[i], nodes.a[i], self.q)
        if piece.failure:
            return None
        # the solution goes on from the node of this stretch, not from the new one
        x, a = np.vstack([piece.x[:-1], nodes.x[i + 1]]), np.vstack([piece.a[:-1], nodes.a[i + 1]])
        found = Stretch(self.motion, self.motion.polish(piece.t, x, a, self.q), self.q, self.depth + 1)
        with np.errstate(divide="ignore"):
            coarser = np.min((1.0 / found.error) ** (1 / ORDER), initial=NODES)
        stride = 2 ** int(np.clip(np.log2(max(coarser, 1.0)), 0, 3))
        return found if stride == 1 else Stretch(self.motion, found.nodes[::stride], self.q, self.depth + 1)

    def resolved(self) -> Nodes:
        """Return the nodes with those of every finer stretch that the tolerance asks for between them."""
        parts = [self.nodes[:1]]
        for i, error in enumerate(self.error):
            finer = None if error <= 1.0 else self.finer(i)
            parts.append(self.nodes[i + 1 : i + 2] if finer is None else finer.resolved()[1:])
        return Nodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("t", "x", "a", "drift")))

    def _interpolated(self, left: np.ndarray, times: Array, width: int) -> Array:
        """Return Lagrange's interpolant through the nodes around each interval."""
        t, x = self.nodes.t, self.nodes.x
        width = min(width, t.size)
        first = np.clip(left - (width // 2 - 1), 0, t.size - width)
        stencil = first[:, None] + np.arange(width)
        places = t[stencil]
        apart = places[:, :, None] - places[:, None, :] + np.eye(width)
        distance = np.repeat((times[:, None] - places)[:, None, :], width, axis=1)
        np.einsum("nii->ni", distance)[:] = 1.0  # l_i(t) = prod_(j != i) (t - t_j) / (t_i - t_j)
        weights = (distance / apart).prod(axis=2)
        return np.einsum("ni,nim->nm", weights, x[stencil])
