"""A stretch of a solution between nodes: interpolated where that is exact enough, integrated anew where it is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np

from subriem.core.errors import RankError
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
#: Units of the last digit of the clock to which nodes are known: states that move are not interpolated to more.
CLOCK = 64.0
#: Differences of the steps of a grid, relative to them, up to which it is taken as uniform.
UNIFORM = 1e-6
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
    known : (m,) ndarray or float
        How exactly the nodes are known: interpolation need not be better.

    Attributes
    ----------
    refined : dict of int to Stretch or None
        The intervals integrated anew so far; None where that was not possible.
    """

    def __init__(
        self,
        motion: Motion,
        nodes: Nodes,
        q: Array,
        depth: int = 0,
        dense: Callable[[Array], Array] | None = None,
        known: Array | float = 0.0,
    ) -> None:
        self.motion, self.nodes, self.q = motion, nodes, q
        self.depth, self.dense, self.known = depth, dense, known
        self.refined: dict[int, Stretch | None] = {}

    @cached_property
    def jets(self) -> Array:
        """The jets at the nodes, at `reduction.system.columns`."""
        return self.motion.system.jets(self.nodes, self.q)

    @cached_property
    def error(self) -> Array:
        """Estimated error of each interval over the allowed one, from interpolants of two orders in its middle."""
        t, x = self.nodes.t, self.nodes.x
        allowed = np.maximum(self.motion.tolerance(_around(np.abs(x))), self.known)
        if self.dense is not None:  # the nodes need only show what happens between them
            allowed = np.maximum(allowed, SHOWN * np.abs(x).max(axis=0))
        if t.size > 1:  # near an escape the clock itself is too coarse
            tick = CLOCK * np.spacing(max(abs(t[0]), abs(t[-1])))
            allowed = np.maximum(allowed, tick * np.abs(np.diff(x, axis=0) / np.diff(t)[:, None]))
        return interpolation_error(t, x, allowed)

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
        x = interpolated(t, self.nodes.x, left, times)
        rough = ~(self.error[left] <= 1.0) & (times != t[left]) & (times != t[left + 1])
        for i in np.unique(left[rough]):
            finer = self.finer(int(i))
            if finer is not None:
                mine = np.flatnonzero(rough & (left == i))
                x[mine], a[mine] = finer.states(times[mine])
        return x, a

    def at(self, times: Array) -> Nodes:
        """Return points at times of the stretch, on the equations.

        Where constraints become dependent, as at the loss of rank that ends a path, they are not moved onto these.
        """
        if times.size == 1 and times[0] == self.nodes.t[-1]:
            return self.nodes[-1:]
        x, a = self.states(times)
        try:
            return self.motion.polish(times, x, a, self.q)
        except RankError:
            return self.motion.system.polish(times, x, a, self.q, False)

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
        nodes, engine = self.nodes, self.motion.engine
        t0, t1 = float(nodes.t[i]), float(nodes.t[i + 1])
        if abs(t1 - t0) <= NODES * np.spacing(max(abs(t0), abs(t1))):
            return None
        piece = engine.advance(t0, t1, nodes.x[i], nodes.a[i], self.q)
        if piece.failure:  # a leg in one call may be more than a stretch of a march ever is
            piece = engine.advance(t0, t1, nodes.x[i], nodes.a[i], self.q, patient=True)
        if piece.failure:
            return None
        # the solution goes on from the node of this stretch: a linear ramp leads there, both are as exact
        ramp = ((piece.t - t0) / (t1 - t0))[:, None]
        gap = nodes.x[i + 1] - piece.x[-1]
        x = piece.x + ramp * gap
        a = piece.a + ramp * (nodes.a[i + 1] - piece.a[-1])
        x[-1], a[-1] = nodes.x[i + 1], nodes.a[i + 1]
        try:
            finer = self.motion.polish(piece.t, x, a, self.q)
        except RankError:  # beside a point where constraints become dependent
            return None
        known = np.maximum(self.known, np.abs(gap))
        found = Stretch(self.motion, finer, self.q, self.depth + 1, known=known)
        with np.errstate(divide="ignore"):
            coarser = np.min((1.0 / found.error) ** (1 / ORDER), initial=NODES)
        stride = 2 ** int(np.clip(np.log2(max(coarser, 1.0)), 0, 3))
        return found if stride == 1 else found._like(finer[::stride])

    def _like(self, nodes: Nodes) -> Stretch:
        return Stretch(self.motion, nodes, self.q, self.depth, self.dense, self.known)

    def resolved(self) -> Nodes:
        """Return the nodes with those of every finer stretch that the tolerance asks for between them."""
        return self.with_finer(self.error, Stretch.resolved)

    def with_finer(self, error: Array, again: Callable[[Stretch], Nodes]) -> Nodes:
        """Return the nodes with what `again` makes of a finer stretch wherever the error is too large."""
        rough = ~(error <= 1.0)
        if not rough.any():
            return self.nodes
        parts = [self.nodes[:1]]
        for i in range(rough.size):
            finer = self.finer(i) if rough[i] else None
            parts.append(self.nodes[i + 1 : i + 2] if finer is None else again(finer)[1:])
        return Nodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("t", "x", "a", "drift")))


def _around(sizes: Array) -> Array:
    """Return the largest sizes (N, m) near each interval: over a stretch they may decay by decades."""
    width = min(STENCIL, sizes.shape[0])
    if width < 2:
        return sizes[:0]
    windows = np.lib.stride_tricks.sliding_window_view(sizes, width, axis=0).max(axis=2)
    first = np.clip(np.arange(sizes.shape[0] - 1) - (width // 2 - 1), 0, sizes.shape[0] - width)
    return windows[first]


def interpolation_error(t: Array, values: Array, allowed: Array) -> Array:
    """Return the estimated error of interpolation of values (N, m) in each interval, over the allowed ones (…, m)."""
    count = t.size - 1
    if count < INNER:
        return np.full(count, np.inf if values.shape[1] else 0.0)
    steps = np.diff(t)
    if np.abs(steps - steps[0]).max() <= UNIFORM * abs(steps[0]):
        places, difference = _uniform(count)
    else:
        places, difference = _difference(t)
    found = np.abs(np.einsum("ni,nim->nm", difference, values[places])) / np.maximum(allowed, 1e-300)
    return SHARE * found.max(axis=1, initial=0.0)


@lru_cache(maxsize=16)
def _uniform(count: int) -> tuple[np.ndarray, Array]:
    return _difference(np.arange(count + 1.0))


def _difference(t: Array) -> tuple[np.ndarray, Array]:
    """Return places and weights of the difference of two interpolants in the middle of each interval."""
    left, middle = np.arange(t.size - 1), (t[:-1] + t[1:]) / 2
    (places, wide), (inner, narrow) = (_weights(t, left, middle, width) for width in (STENCIL, INNER))
    difference = wide.copy()
    np.subtract.at(difference, (left[:, None], inner - places[:, :1]), narrow)
    return places, difference


def interpolated(t: Array, values: Array, left: np.ndarray, times: Array) -> Array:
    """Return Lagrange's interpolant of values (N, m) at t through the nodes around the intervals `left` of times."""
    places, weights = _weights(t, left, times, STENCIL)
    return np.einsum("ni,nim->nm", weights, values[places])


def _weights(t: Array, left: np.ndarray, times: Array, width: int) -> tuple[np.ndarray, Array]:
    """Return the nodes around the intervals `left`, and the weights of Lagrange's interpolant through them."""
    width = min(width, t.size)
    first = np.clip(left - (width // 2 - 1), 0, t.size - width)
    stencil = first[:, None] + np.arange(width)
    places = t[stencil]
    apart = places[:, :, None] - places[:, None, :] + np.eye(width)
    distance = np.repeat((times[:, None] - places)[:, None, :], width, axis=1)
    np.einsum("nii->ni", distance)[:] = 1.0  # l_i(t) = prod_(j != i) (t - t_j) / (t_i - t_j)
    return stencil, (distance / apart).prod(axis=2)
