"""The rank of the system Jacobian along a path: decided at nodes, its losses located between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import ceil

import numpy as np

from subriem.core.equilibrated import decide_leading, equilibrate, least_singular_values
from subriem.core.protocols import Array
from subriem.integration.reduced import Nodes
from subriem.integration.stretch import Stretch, interpolation_error
from subriem.integration.system import System

#: Multiplications that may be spent on the singular values along a stretch.
WORK = 5e7
#: A regularity this much below that of a neighbouring node may be on its way through zero.
FALLING = 0.6
#: Regularity, relative to the nodes around, at which a located minimum counts as zero: the path itself is only known to
#: the tolerance of the run.
ZERO = 1e-6
#: Rounds of equilibration: regularity is compared from node to node, not with a floor.
SCALING = 2
#: Share of the regularity along a path to which nodes must show it.
LOOK = 1e-2
#: Share of the regularity at both ends of an interval that interpolation between them may err.
FAR = 0.25
#: Nodes of a stretch at which entries are measured for its scaling.
SCALED = 5
#: Powers of t* - t with which a least singular value vanishes: a fold, a crossing, a singular constraint.
POWERS = np.array([0.5, 1.0, 2.0])
#: Stretches at the end of a path from which a loss of rank beyond it is extrapolated, at most.
TRIED = 12


def ranks(stretch: Stretch, nodes: Sequence[int]) -> dict[float, int]:
    """Return the ranks at some nodes by their times: whether they are still that of the start.

    It is asked of all equations, not of the ones that carry the motion; one decision costs as much as some steps.
    """
    system = stretch.motion.system
    if not system.block_sizes:
        return {float(stretch.nodes.t[i]): _unchanging(stretch) for i in nodes}
    chosen = stretch.nodes[list(nodes)]
    return {
        float(t): _rank(matrix, stretch)
        for t, matrix in zip(chosen.t, system.jacobians(chosen, stretch.q), strict=True)
        if matrix.size and np.isfinite(matrix).all()
    }


def _rank(matrix: Array, stretch: Stretch) -> int:
    reduction = stretch.motion.system.reduction
    return decide_leading(matrix, len(reduction.certificate.base), reduction.policy, stretch.motion.scaling).rank


def _unchanging(stretch: Stretch) -> int:
    """Return the rank of a Jacobian that depends on the data alone, as far as its rank is concerned."""
    known, key = stretch.motion.ranks, stretch.q.tobytes()
    if key not in known:
        (matrix,) = stretch.motion.system.jacobians(stretch.nodes[:1], stretch.q)
        known[key] = _rank(matrix, stretch) if matrix.size else 0
    return known[key]


def looked_at(stretch: Stretch, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the nodes, all if they are few, at which matrices of these shapes may be decomposed."""
    size = stretch.nodes.t.size
    stride = ceil(size * sum(m**2 * n for m, n in shapes) / WORK)
    if stride == 1:
        return np.arange(size)
    return np.unique(np.append(np.arange(0, size, stride), size - 1))


class Regularity:
    """How far the system Jacobian, that of all equations, is from losing rank, in one scaling for a stretch.

    Where it is square, so are its diagonal blocks, and they are looked at one by one. Equilibrating anew at each node
    would hide a row that shrinks to zero, and the scaling of one node would magnify a row that vanishes there by
    chance.
    """

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self._found = stretch.motion.system.blocks(stretch.nodes, stretch.q)
        self._whole = len(stretch.motion.system.reduction.certificate.base)

    @cached_property
    def _sizes(self) -> list[Array]:
        some = np.unique(np.linspace(0, self.stretch.nodes.t.size - 1, SCALED).astype(int))
        return [np.linalg.norm(blocks[some], axis=0) for blocks in self._found]

    @cached_property
    def usable(self) -> bool:
        """Whether there are blocks, and numbers in them."""
        return bool(self._found) and all(np.isfinite(size).all() for size in self._sizes)

    @cached_property
    def _scales(self) -> list[tuple[Array, Array]]:
        return [equilibrate(size, SCALING)[1:] for size in self._sizes]

    @cached_property
    def _on_nodes(self) -> list[Array]:
        return self._scaled(self._found)

    def clear(self, fall: float = FALLING) -> bool:
        """Whether determinants alone tell that no rank is lost: of one sign, without a dip, and shown by the nodes.

        That is so in any scaling, so none is needed.
        """
        if not self._found or not all(self._regular(blocks) for blocks in self._found):
            return False
        if self._chosen().size < self.stretch.nodes.t.size:
            return False
        with np.errstate(all="ignore"):  # what overflows is not clear
            found = np.hstack([np.linalg.det(blocks) for blocks in self._found])
            if not (found[:-1] * found[1:] > 0).all():
                return False
            sizes = np.abs(found)
            error = interpolation_error(self.stretch.nodes.t, found, FAR * np.minimum(sizes[:-1], sizes[1:]))
        return bool((error <= 1.0).all()) and not _falling(sizes, fall).any()

    def _scaled(self, found: list[Array]) -> list[Array]:
        return [
            rows[..., :, None] * np.nan_to_num(blocks) * columns[..., None, :]
            for blocks, (rows, columns) in zip(found, self._scales, strict=True)
        ]

    def _at(self, nodes: Nodes, system: System | None = None) -> list[Array]:
        return self._scaled((system or self.stretch.motion.system).blocks(nodes, self.stretch.q))

    def least(self, nodes: Nodes, system: System | None = None) -> Array:
        """Return the last singular value of the rank at each node.

        The nodes are those of the stretch, or of another `system`, on other equations.
        """
        return np.min([self._last(blocks).min(axis=1) for blocks in self._at(nodes, system)], axis=0)

    def _last(self, blocks: Array) -> Array:
        return least_singular_values(blocks, min(self._whole, *blocks.shape[2:]))

    def closer(self) -> Nodes:
        """Return the nodes, with more between those that do not show how regular the Jacobian is."""
        if not self.usable:
            return self.stretch.nodes
        found = self._volumes(self._on_nodes)
        sizes = np.abs(found)
        both = np.minimum(sizes[:-1], sizes[1:])  # where both ends are far from zero, what lies between is as well
        error = interpolation_error(self.stretch.nodes.t, found, np.maximum(LOOK * sizes.max(axis=0), FAR * both))
        return self.stretch.with_finer(error, lambda finer: Regularity(finer).closer())

    def _signed(self, found: list[Array]) -> Array:
        """Return how regular each block is at each node, with a sign that changes where it loses rank, if it has one.

        A block has none that is not square, or not of full rank: it is the Jacobian of all equations.
        """
        return np.hstack([_bound(blocks) if self._regular(blocks) else self._last(blocks) for blocks in found])

    def _volumes(self, found: list[Array]) -> Array:
        """Return the same as a determinant, which is as smooth as the blocks are."""
        return np.hstack([np.linalg.det(blocks) if self._regular(blocks) else self._last(blocks) for blocks in found])

    def _regular(self, blocks: Array) -> bool:
        rows, columns = blocks.shape[2:]
        return rows == columns <= self._whole

    def singular_time(self, fall: float = FALLING) -> float | None:
        """Return the first time at which the Jacobian loses rank between the nodes, or None.

        A node is looked at where regularity falls below `fall` times that of a neighbour.
        """
        if not self.usable or self.clear(fall):
            return None
        chosen = self._chosen()
        nodes, signed = self.stretch.nodes[chosen], self._signed([blocks[chosen] for blocks in self._on_nodes])
        bound = np.abs(signed)
        crossed = signed[:-1] * signed[1:] < 0
        falling = _falling(bound, FALLING)
        if fall > FALLING:  # so little is nothing, unless it is the determinant that falls
            volumes = np.abs(self._volumes([blocks[chosen] for blocks in self._on_nodes]))
            falling |= _falling(bound, fall) & _falling(volumes, fall)
        for k in np.flatnonzero(crossed.any(axis=1) | falling[:-1].any(axis=1)).tolist():
            near = self.least(nodes[max(k - 1, 0) : k + 2])
            here, high = near[-2], max(near[0], near[-1])
            if crossed[k].any():
                found = self._crossing(nodes, k, signed[k])
            elif here < fall * high and here <= min(near[0], near[-1]):
                found = self._minimum(nodes, k)
            else:
                continue
            if self._least(found) <= ZERO * max(high, here):
                return found
        return None

    def _chosen(self) -> np.ndarray:
        """Return which nodes are looked at: all, unless that is too much work."""
        return looked_at(self.stretch, self.stretch.motion.system.block_sizes)

    def _least(self, t: float) -> float:
        return float(self.least(self.stretch.at(np.array([t])))[0])

    def _crossing(self, nodes: Nodes, k: int, before: Array) -> float:
        """Locate the first zero of a determinant between two nodes by bisection."""
        low, high = float(nodes.t[k]), float(nodes.t[k + 1])
        for _ in range(60):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            here = self._signed(self._at(self.stretch.at(np.array([middle]))))[0]
            low, high = (low, middle) if (here * before < 0).any() else (middle, high)
        return low

    def _minimum(self, nodes: Nodes, k: int) -> float:
        """Locate the least regular point around a node: a cusp, since J can vanish like |t - t*|."""
        from scipy.optimize import minimize_scalar

        first, last = float(nodes.t[max(k - 1, 0)]), float(nodes.t[k + 1])
        ends = (min(first, last), max(first, last))
        found = minimize_scalar(
            self._least, bounds=ends, method="bounded", options={"xatol": 1e-12 * (ends[1] - ends[0])}
        )
        return float(found.x)


def _falling(values: Array, fall: float) -> np.ndarray:
    """Return where values (N, …) are least among three nodes, and much below one of them."""
    before, after = np.vstack([values[:1], values[:-1]]), np.vstack([values[1:], values[-1:]])
    return (values < fall * np.maximum(before, after)) & (values <= np.minimum(before, after))


def _bound(blocks: Array) -> Array:
    """Return a lower bound of the smallest singular value of square blocks, with the sign of the determinant.

    sigma_min = |det| / (the product of the others), and that is largest where all others are equal: so it is at least
    |det| ((k - 1) / |A|^2)^((k - 1) / 2), with the Frobenius norm.
    """
    k = blocks.shape[-1]
    if k == 1:
        return blocks[:, :, 0, 0]
    length = np.maximum(np.einsum("nbij,nbij->nb", blocks, blocks), 1e-300)
    return np.linalg.det(blocks) * ((k - 1) / length) ** ((k - 1) / 2)


def singular_beyond(stretches: Sequence[Stretch]) -> float:
    """Return where the Jacobian loses rank beyond the end of a path that no step could pass; else that end.

    Near the loss at t* the least singular value is sigma = C (t* - t)^p. So 1 / (log sigma)' = (t - t*) / p is linear,
    which gives a first t* and p, and sigma^(1/p) is smooth with a simple zero, which gives the last one.
    """
    tries = [_extrapolated(stretches[-count:]) for count in range(1, min(len(stretches), TRIED) + 1)]
    return min(tries)[1]


def _extrapolated(stretches: Sequence[Stretch]) -> tuple[float, float]:
    """Return how much the last t* differs from the first, relative to how far it is, and the last; inf and the end."""
    t, start = float(stretches[-1].nodes.t[-1]), float(stretches[0].nodes.t[0])
    regularity = Regularity(stretches[-1])
    if not regularity.usable or t == start:
        return np.inf, t
    points = t + (start - t) * np.array([0.0, 0.1, 0.5, 0.6])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(_least(regularity, stretches, points))
        slopes = np.diff(points)[::2] / np.diff(logs)[::2]  # (t - t*) / p
        middles = (points[::2] + points[1::2]) / 2
        power = np.diff(middles)[0] / np.diff(slopes)[0]
        beyond = middles[0] - power * slopes[0] - t
    if not np.isfinite(beyond) or beyond * (t - start) < 0 or 2 * abs(beyond) > abs(t - start):
        return np.inf, t
    power = POWERS[int(np.argmin(np.abs(np.log(np.maximum(power, 1e-3) / POWERS))))]
    points = t - 2 * beyond * np.linspace(0, 1, 5)
    values = _least(regularity, stretches, points) ** (1 / power)
    apart = values[:, None] - values + np.eye(values.size)
    with np.errstate(divide="ignore", invalid="ignore"):  # Lagrange: t as a function of sigma^(1/p), at 0
        weights = [np.prod(np.delete(-values, i)) / np.prod(apart[i]) for i in range(values.size)]
        found = float(points @ weights)
    changed = abs(found - t - beyond) / abs(beyond)
    return (changed, found) if changed <= 0.25 else (np.inf, t)


def _least(regularity: Regularity, stretches: Sequence[Stretch], points: Array) -> Array:
    """Return the least singular values at times on the last stretches."""
    values = []
    for point in points:
        owner = next(
            (s for s in reversed(stretches) if (point - s.nodes.t[0]) * (s.nodes.t[-1] - s.nodes.t[0]) >= 0),
            stretches[0],
        )
        values.append(float(regularity.least(owner.at(np.array([point])), owner.motion.system)[0]))
    return np.array(values)


def shrinkage(stretch: Stretch, end: Nodes, system: System) -> float:
    """Return by which factor the Jacobian is nearer to a loss of rank at a point than at the start of a stretch."""
    regularity = Regularity(stretch)
    if not regularity.usable:
        return 1.0
    before, after = float(regularity.least(stretch.nodes[:1])[0]), float(regularity.least(end, system)[0])
    return before / max(after, 1e-300)
