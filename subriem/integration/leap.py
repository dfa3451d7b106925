"""A leg in one call of the engine, where few times are wanted of it; any doubt about it sends it to the march."""

from __future__ import annotations

import numpy as np

from subriem.core.errors import RankError
from subriem.core.protocols import Array
from subriem.integration.integrator import Piece
from subriem.integration.motion import Motion
from subriem.integration.pathrank import Regularity
from subriem.integration.reduced import Nodes
from subriem.integration.stretch import Stretch
from subriem.integration.watch import Watch

#: Drift over a stretch that is projected at its end, in units of the allowed error, above which it is taken again in
#: shorter parts; and over a leg in one call, which may be long.
DRIFT, FAR = 1e4, 1e2
#: Fall of regularity from one look to the next at which it is located: looks are farther apart than nodes of a march.
FALL = 0.85


class Leap:
    """Takes legs in one call and looks at what lies between, as far as something could happen there.

    Parameters
    ----------
    motion : Motion
    watch : Watch
    """

    def __init__(self, motion: Motion, watch: Watch) -> None:
        self.motion, self.watch = motion, watch
        self._ranks, self._constrained = bool(motion.system.block_sizes), motion.system.constrained

    def take(self, here: Nodes, goal: float, q: Array, inside: bool) -> tuple[Stretch | None, str, Piece]:
        """Return a leg from a point to a time, or None and the doubt about it; and what the engine found.

        Parameters
        ----------
        here : Nodes
            One point.
        goal : float
        q : ndarray
        inside : bool
            Whether the path is wanted between its ends.
        """
        seen_to = self._ranks or self._constrained or self.watch.watches or self.motion.system.may_fail
        looks = seen_to or (inside and self.motion.engine.dense)
        piece = self.motion.engine.leap(float(here.t[0]), goal, here.x[0], here.a[0], q, looks)
        if piece.failure:
            return None, piece.failure, piece
        try:
            seen = self._landed(piece, q)
        except RankError as error:
            return None, error.what, piece
        stretch = Stretch(self.motion, seen, q, dense=piece.dense)
        if doubt := self._doubt(stretch):
            return None, doubt, piece
        if piece.dense is None and seen.t.size > 2:  # what was seen is not exact enough to stand between the ends
            ends = seen[[0, -1]]
            ends.drift[-1] = seen.drift.max()
            stretch = Stretch(self.motion, ends, q)
        return stretch, "", piece

    def _landed(self, piece: Piece, q: Array) -> Nodes:
        """Return the nodes with the last one moved onto the equations; of the others the drift is measured only.

        All are moved where dropped equations are watched. Points between are, when they are asked for.
        """
        if self.watch.watches:
            return self.motion.polish(piece.t, piece.x, piece.a, q)
        drift = np.zeros(piece.t.size)
        nodes = Nodes(piece.t, piece.x, piece.a, drift)
        if self._constrained:
            drift[1:] = np.abs(self.motion.system.distances(nodes[1:], q)).max(axis=1)
        end = self.motion.polish(piece.t[-1:], piece.x[-1:], piece.a[-1:], q)
        nodes.x[-1], nodes.a[-1] = end.x[0], end.a[0]
        return nodes

    def _doubt(self, stretch: Stretch) -> str:
        """Return what may have happened on a leg, or nothing."""
        if left := drifted(stretch, FAR):
            return left
        if self.motion.system.may_fail and not np.isfinite(stretch.jets).all():  # the engine does not see all unknowns
            return "a value was not finite"
        if self.watch.violated(stretch):
            return "an equation that was dropped may be violated"
        if not self._ranks:
            return ""
        regularity = Regularity(stretch)
        if regularity.clear(FALL):
            return ""
        nodes = regularity.closer()
        if nodes is not stretch.nodes:
            regularity = Regularity(Stretch(self.motion, nodes, stretch.q, dense=stretch.dense))
        return "" if regularity.singular_time(FALL) is None else "the system Jacobian may lose rank"


def drifted(stretch: Stretch, limit: float) -> str:
    """Say so where the constraints were left by more than some allowed errors, unless that is as it should be."""
    motion, nodes = stretch.motion, stretch.nodes
    if not motion.project or not motion.system.constrained:
        return ""
    largest = float(nodes.drift.max())
    allowed = float(motion.allowed(nodes.x[:, : motion.system.states]).max(initial=0.0))
    return f"the constraints are left by {largest:.1e}" if largest > limit * allowed else ""
