"""Equations that follow from each other: the ones that carry the motion are exchanged where they wear out.

The rows of x h, y h, z h with h = x^2 + y^2 + z^2 - 1 have rank one on the whole sphere, and each of them vanishes
somewhere on it. A reduction takes as many independent rows as the rank asks for, at one point. Along the path all rows
are combinations A = L A_base of these; an entry of L far above 1 tells that its row spans a larger volume in the place
of a row of the base (`core.equilibrated.exchanged`). Then the motion goes on with that one. The rank of all rows does
not change by it; where that falls, no exchange helps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.equilibrated import coefficients, equilibrate, exchanged
from subriem.core.protocols import Array
from subriem.integration.motion import Motion
from subriem.integration.pathrank import looked_at
from subriem.integration.reduced import Nodes, ReducedSystem
from subriem.integration.stretch import Stretch
from subriem.integration.system import System
from subriem.reduction.nearby import NEARBY
from subriem.reduction.prolongation import Place

#: Coefficient of a row in those of the base from which on they are worn.
WORN = 10.0
#: Points around the start at which the lengths of rows are measured.
AROUND = 4


@dataclass(frozen=True, eq=False)
class Worn:
    """Where the equations that carry a stretch wear out.

    Attributes
    ----------
    sound : Stretch or None
        What comes before it, None where that is the start alone.
    motion : Motion or None
        What the motion goes on with, None if it takes shorter steps to know.
    """

    sound: Stretch | None
    motion: Motion | None


class Exchange:
    """Which equations carry the motion along a path.

    Parameters
    ----------
    system : System
        That of the start.
    """

    def __init__(self, system: System) -> None:
        #: The kinds of rows of which some follow from others.
        self._open: list[int] = []
        self._rows: dict[int, _Rows] = {}
        if isinstance(system, ReducedSystem):  # a numeric system has no equation to spare
            where, chosen = system.reduction.system, _chosen(system)
            counts = (len(where.top_rows), len(where.invariant_rows))
            self._open = [k for k in (0, 1) if 0 < len(chosen[k]) < counts[k]]

    @property
    def spare(self) -> bool:
        """Whether there are equations that might take the place of others."""
        return bool(self._open)

    def worn(self, stretch: Stretch) -> Worn | None:
        """Return where the equations that carry a stretch wear out, None if they do not."""
        if not self._open:
            return None
        chosen = _chosen(stretch.motion.system)
        seen, found, first = looked_at(stretch, [self._shape(stretch)]), {}, []
        for k in self._open:
            found[k] = self._scaled(k, stretch, seen)
            bad = np.flatnonzero(~(_largest(found[k], chosen[k]) <= WORN))
            first += bad[:1].tolist()
        if not first:
            return None
        worn = min(first)  # even places are nodes, odd ones lie between
        last = max((worn - 1) // 2, 0)
        for k in self._open:
            chosen[k] = tuple(exchanged(found[k][worn], chosen[k]))
        sound = _start(stretch, int(seen[last])) if last else None
        if any(_largest(found[k][2 * last][None], chosen[k])[0] > WORN for k in self._open):
            return Worn(sound, None)
        nodes = stretch.nodes[seen[last] : seen[last] + 1]
        return Worn(sound, stretch.motion.on(chosen[0], chosen[1], stretch.motion.point(nodes, stretch.q)))

    def _shape(self, stretch: Stretch) -> tuple[int, int]:
        where = stretch.motion.system.reduction.system
        return len(where.rows), len(where.columns)

    def _scaled(self, k: int, stretch: Stretch, seen: np.ndarray) -> Array:
        """Return the rows of one kind at nodes and, in the mean, between them, each over the largest length met."""
        system = stretch.motion.system
        if k not in self._rows:
            self._rows[k] = _Rows(_matrices(system, k, _around(system, stretch.nodes[:1]), stretch.q))
        matrices = self._rows[k].scaled(_matrices(system, k, stretch.nodes[seen], stretch.q))
        both = np.empty((2 * len(seen) - 1, *matrices.shape[1:]))
        both[::2], both[1::2] = matrices, (matrices[1:] + matrices[:-1]) / 2
        return both


class _Rows:
    """The scaling of rows: columns in the units of the start, rows over the largest length met.

    A row that shrinks must show, so it is not scaled anew; one that is small at the start by chance, as x h is at
    x = 0, is measured around it.
    """

    def __init__(self, around: Array) -> None:
        self._columns = equilibrate(around[0])[2]
        self._lengths = np.zeros(around.shape[1])
        self.scaled(around)

    def scaled(self, matrices: Array) -> Array:
        matrices = matrices * self._columns
        self._lengths = np.maximum(self._lengths, np.linalg.norm(matrices, axis=2).max(axis=0))
        return matrices / np.where(self._lengths > 0, self._lengths, 1.0)[:, None]


def named_exchange(before: System, after: System) -> str:
    """Return which equations carry the motion after an exchange, in place of which."""
    old, new = (_carrying(system) for system in (before, after))
    come, gone = (", ".join(before.reduction.system.row_name(row) for row in sorted(r)) for r in (new - old, old - new))
    return f"{come} in place of {gone}"


def _carrying(system: System) -> set[Place]:
    where, (base, constraints) = system.reduction.system, _chosen(system)
    return {where.top_rows[p] for p in base} | {where.invariant_rows[p] for p in constraints}


def _chosen(system: System) -> list[tuple[int, ...]]:
    return [system.reduction.certificate.base, system.reduction.certificate.constraints]


def _matrices(system: System, k: int, nodes: Nodes, q: Array) -> Array:
    assert isinstance(system, ReducedSystem)
    return np.nan_to_num((system.jacobians, system.gradients)[k](nodes, q))


def _around(system: System, start: Nodes) -> Nodes:
    """Return a point, and points around it, not on the equations."""
    generator = np.random.default_rng(0)
    aside = np.append(0.0, np.full(AROUND, NEARBY))[:, None]
    x, a = (
        value + aside * (1 + np.abs(value)) * generator.standard_normal((AROUND + 1, value.shape[1]))
        for value in (start.x, start.a)
    )
    return Nodes(np.repeat(start.t, AROUND + 1), x, a, np.zeros(AROUND + 1))


def _largest(matrices: Array, base: tuple[int, ...]) -> Array:
    """Return the largest coefficient of another row in those of the base, of each matrix."""
    others = [i for i in range(matrices.shape[1]) if i not in set(base)]
    return np.abs(coefficients(matrices, base)[:, others]).max(axis=(1, 2))


def _start(stretch: Stretch, last: int) -> Stretch:
    return Stretch(stretch.motion, stretch.nodes[: last + 1], stretch.q, stretch.depth, stretch.dense)
