"""The dimension of a set of rest points at one of its points, by tests that must agree, and what the set looks like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from subriem.core.bordered import NullSpaces, null_spaces
from subriem.core.equilibrated import decide
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.critical.branches import Branch, branches_at
from subriem.critical.corrector import correct
from subriem.critical.levenberg import descend
from subriem.critical.link import Link
from subriem.critical.system import System

Verdict = Literal["morse_bott", "degenerate", "crossing", "singular", "undecided"]

#: Distances from the point, in units of the box, at which the set is looked at, and their ratio; two neighbouring ones
#: must agree.
STRIDE = 4.0
SCALES = (8e-2, 2e-2, 5e-3, 1.25e-3, 3.125e-4)
#: The same for a manifold, where F is regular.
NEAR = (*SCALES, 7.8125e-5, 1.953125e-5)
#: At a zero of higher order the singular values that vanish are only as small as its place is known: those below the
#: first number are looked at, at so many times the error of the place, and not farther than the third (in units of the
#: box).
WEAK, LOOK, FARTHEST = 1e-4, 100.0, 1e-2
#: How much larger than its linear part |F| is there at least, if that is not what counts.
BEYOND = 10.0
#: |F| on a manifold, in units of the box. Where F was not zero farther away, this order is allowed for.
FLAT, HIGHEST = 1e-13, 7
#: A displacement by curvature is at most this share of the distance, and falls at least like this power of it.
BENT, ORDER = 0.2, 1.5
#: Distance, in units of the box, over which F is nearly linear at a regular rest point.
KINK = 1e-6
#: Random directions for each null direction, in which rest points are looked for.
DIRECTIONS = 12
#: Displacements below this share of the largest are curvature, not a dimension.
SPREAD = 0.25
#: A branch is looked at in a neighbourhood of a point on it this much smaller than the distance to the crossing.
NEARER = 16.0


@dataclass(frozen=True, eq=False)
class LocalStructure:
    """What the set of rest points looks like near one; made by `local_structure`.

    Attributes
    ----------
    verdict : {"morse_bott", "degenerate", "crossing", "singular", "undecided"}
        A manifold whose dimension is the nullity; one of smaller dimension; several that meet; none of these; or the
        tests do not agree.
    dimension : int or None
        Of the set at this point: of a crossing the largest of its branches; None if undecided.
    nullity : int
        Of the Jacobian.
    spaces : NullSpaces
        Of the Jacobian, at the rank that was decided.
    tangent : (n, dimension) ndarray
        Orthonormal basis of the tangent space of a manifold; (n, 0) otherwise.
    branches : tuple of Branch
        Of a crossing.
    """

    verdict: Verdict
    dimension: int | None
    nullity: int
    spaces: NullSpaces
    tangent: Array
    branches: tuple[Branch, ...] = ()


def local_structure(system: System, z: Array, policy: RankPolicy, seed: int = 0) -> LocalStructure:
    """Return dimension and kind of the set F = 0 at one of its points.

    Notes
    -----
    Three tests: the nullity; whether the projections of z + e u, u random in the null space, differ from it by O(e^2);
    the rank of the displacements. Where they do not agree, zeros near z are looked for by damped steps from random
    points of z + null space, and their directions seen from z tell: none (isolated), those of one linear space
    (degenerate), of several (crossing), or one-sided ones and cones (singular).
    """
    spaces = rank_at(system, z, policy)
    nullity = z.size - spaces.rank
    none = np.zeros((z.size, 0))
    rng = np.random.default_rng(seed)
    if not nullity:
        smooth = _differentiable(system, z, rng)
        return LocalStructure("morse_bott" if smooth else "singular", 0, 0, spaces, none)
    seen = _manifold(system, z, spaces, rng)
    if seen is not None:
        return seen
    last = LocalStructure("undecided", None, nullity, spaces, none)
    for scale in SCALES:
        found = _look(system, z, spaces, policy, scale * system.size, rng)
        if (found.verdict, found.dimension, len(found.branches)) == (last.verdict, last.dimension, len(last.branches)):
            return found
        last = found
    return LocalStructure("undecided", None, nullity, spaces, none)


def rank_at(system: System, z: Array, policy: RankPolicy) -> NullSpaces:
    """Decide the rank of the Jacobian at a rest point that is known to roundoff in F only.

    A singular value s that the policy keeps, but is weak, is kept if |F| grows linearly with it in that direction, to a
    distance beside which the error of z, |F|/s in this direction, is small.
    """
    spaces = null_spaces(system.jacobian(z), policy, 1.0)
    sigma, rank = spaces.decision.sigma, spaces.rank
    noise = max(system.norm(z), system.roundoff(z))
    while rank and sigma[rank - 1] <= WEAK:
        e = min(LOOK * noise / sigma[rank - 1], FARTHEST * system.size)
        away = e * spaces.right_vectors[:, rank - 1]
        grown = min(system.norm(z + away), system.norm(z - away))
        if not grown > BEYOND * sigma[rank - 1] * e:
            break
        rank -= 1
    if rank == spaces.rank:
        return spaces
    floor = float(np.sqrt(max(sigma[rank], np.finfo(float).tiny) * (sigma[rank - 1] if rank else 1.0)))
    return replace(spaces, decision=replace(policy, atol=floor).decide(sigma))


def _differentiable(system: System, z: Array, rng: np.random.Generator) -> bool:
    """Whether F grows from a rest point like its linear part, to both sides."""
    e = KINK * system.size
    jacobian = system.jacobian(z)
    for u in _units(rng, 2, z.size):
        linear = e * (jacobian @ u)
        grown = [system.value(z + sign * e * u) - sign * linear for sign in (1.0, -1.0)]
        if not max(map(np.linalg.norm, grown)) <= BENT * np.linalg.norm(linear):
            return False
    return True


def _manifold(
    system: System, z: Array, spaces: NullSpaces, rng: np.random.Generator, scales: tuple[float, ...] = NEAR
) -> LocalStructure | None:
    """Return the verdict on a manifold of the dimension of the null space, or None if it is none."""
    tangent, cokernel = spaces.right, spaces.left
    nullity = tangent.shape[1]
    directions = np.vstack([np.eye(nullity), _units(rng, 1, nullity)])
    steps = np.vstack([directions, -directions]) @ tangent.T
    zero = max(FLAT * system.size, 30 * system.norm(z))
    before, left = None, None
    for scale in scales:
        e = scale * system.size
        landed = [correct(system, z + e * step, tangent, cokernel, e / 2) for step in steps]
        found = [one for one in landed if one is not None]
        left = max([rest for _, rest in found if rest > zero], default=left and left / STRIDE**HIGHEST)
        if len(found) < len(steps) or max(rest for _, rest in found) > zero or (left is not None and left <= zero):
            before = None  # what was left of F farther away would not be seen here, if it is of high order
            continue
        left = None  # it would be seen
        moved = np.array([q for q, _ in found]) - z
        off = float(np.linalg.norm(moved - e * steps, axis=1).max())
        flat = off <= BENT * e and decide(moved / e, RankPolicy(rtol=SPREAD)).rank == nullity
        if flat and before is not None and (off <= 1e-6 * e or off <= before / STRIDE**ORDER):
            return LocalStructure("morse_bott", nullity, nullity, spaces, tangent)
        before = off if flat else None
    return None


def _look(
    system: System, z: Array, spaces: NullSpaces, policy: RankPolicy, e: float, rng: np.random.Generator
) -> LocalStructure:
    """Return the verdict at one distance, from zeros on the sphere of this radius around z."""
    null = spaces.right
    nullity, none = null.shape[1], np.zeros((z.size, 0))
    units = _units(rng, DIRECTIONS * nullity // 2, nullity) @ null.T
    units = np.vstack([units, -units])
    link = Link(system, z, e, units)
    if not link.seen:
        return LocalStructure("undecided", None, nullity, spaces, none)
    directions = [u for start in units if (u := link.direction(start)) is not None]
    if not directions:
        growth = link.unit / Link(system, z, e / STRIDE, units).unit
        smooth = growth >= STRIDE**ORDER  # |F| = O(e) where the derivative is zero: it is none
        return LocalStructure("degenerate" if smooth else "singular", 0, nullity, spaces, none)

    def stays(u: Array) -> bool:
        found = link.direction(u)
        return found is not None and bool(np.linalg.norm(found - u) <= BENT)

    plane = null_spaces(np.array(directions), RankPolicy(rtol=SPREAD))
    span = plane.right_vectors[:, : plane.rank]
    inside = np.vstack([span.T, _units(rng, 1, plane.rank) @ span.T])
    if all(stays(u) for u in np.vstack([inside, -inside])):
        verdict: Verdict = "morse_bott" if plane.rank == nullity else "degenerate"
        return LocalStructure(verdict, plane.rank, nullity, spaces, span)

    def at(q: Array) -> tuple[int, Array] | None:
        near = e / NEARER
        there = rank_at(system, q, policy)
        if there.rank == z.size:
            return None
        scales = (near / system.size, near / system.size / STRIDE)
        found = _manifold(system, q, there, rng, scales) or _look(system, q, there, policy, near, rng)
        return (found.tangent.shape[1], found.tangent) if found.verdict in ("morse_bott", "degenerate") else None

    landed = np.array([descend(system, z + e * u).z for u in directions])
    branches = branches_at(z, landed, at, stays)
    if branches is None:
        return LocalStructure("singular", None, nullity, spaces, none)
    largest = max(branch.dimension for branch in branches)
    return LocalStructure("crossing", largest, nullity, spaces, none, branches)


def _units(rng: np.random.Generator, count: int, dimension: int) -> Array:
    found = rng.standard_normal((count, dimension))
    return found / np.linalg.norm(found, axis=1, keepdims=True)
