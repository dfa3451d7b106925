"""The growth vector of a distribution at a point: how brackets fill the tangent space, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np
from scipy.linalg import qr

from subriem.core.equilibrated import decide, equilibrate
from subriem.core.errors import GeometryError
from subriem.core.protocols import Array
from subriem.core.rank import EPS, RankDecision, RankPolicy
from subriem.geometry.brackets import Brackets, Word, bracket_name, factors
from subriem.geometry.frame import nearby

#: Roundoffs of what was subtracted up to which a bracket is taken to vanish identically.
ROUNDOFFS = 1e3
#: Brackets of one step at most.
MOST = 20_000
#: A singular value below this is small, and above the other more than roundoff: in between a point is nearly singular.
SMALL, NOISE = 1e-3, 1e-14
#: Step up to which brackets are taken unless the caller says otherwise.
STEPS = 8


@dataclass(frozen=True, eq=False)
class Growth:
    """The flag V^1 < V^2 < … at a point, V^s spanned by all brackets of up to s fields.

    Attributes
    ----------
    vector : tuple of int
        dim V^1, dim V^2 and so on, to the step that fills the tangent space or the last one looked at.
    dim : int
        Dimension of the manifold.
    generating : bool or None
        Whether V^s is the whole tangent space for some s; None where the last step looked at does not tell.
    reason : str
        Why it is, or is not.
    words : tuple of Word
        Brackets that form a basis adapted to the flag, lower steps first.
    basis : (N, r) ndarray
        Their values at the point.
    decisions : tuple of RankDecision
        One for each step, taken with the fields and the coordinates in units of their sizes near the point.
    around : tuple of tuple of int
        Growth vectors, up to the same step, at points in general position around it; empty where none was looked at.

    Examples
    --------
    >>> import subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> found = heisenberg.growth([0, 0, 0])
    >>> found.vector, found.names, found.homogeneous_dimension
    ((2, 3), ('X1', 'X2', '[X1, X2]'), 4)
    """

    vector: tuple[int, ...]
    dim: int
    generating: bool | None
    reason: str
    words: tuple[Word, ...]
    basis: Array
    decisions: tuple[RankDecision, ...]
    around: tuple[tuple[int, ...], ...] = ()

    @property
    def step(self) -> int:
        """The number of steps looked at; the degree of nonholonomy if the distribution is bracket-generating."""
        return len(self.vector)

    @property
    def names(self) -> tuple[str, ...]:
        """The brackets of the basis as text."""
        return tuple(bracket_name(word) for word in self.words)

    @property
    def weights(self) -> tuple[int, ...]:
        """The step at which each vector of the basis came in."""
        return tuple(len(word) for word in self.words)

    @property
    def homogeneous_dimension(self) -> int:
        """The sum of the weights: the Hausdorff dimension at a regular point (Mitchell)."""
        return sum(self.weights)

    @property
    def nearly_singular(self) -> str:
        """Where the vector may be that of no point: which singular value tells so; "" where it is sure.

        A value that tends to 0 towards a singular point, as a power of the distance, is small long before: then those
        of lower steps, higher powers, are taken for 0 before it is. A vector that points around have, too, is sure.
        """
        found = ""
        for step, decision in enumerate(self.decisions, start=1):
            kept = decision.sigma_rank if decision.rank else 1.0
            small = [value for value in (kept, decision.sigma_next) if NOISE < value < SMALL]
            if decision.ambiguous or (small and self.vector not in self.around):
                found = f"step {step} hangs on a singular value of {min(small, default=kept):.0e}"
        return found

    def __repr__(self) -> str:
        return f"<Growth {self}>"

    def __str__(self) -> str:
        near = f"; nearly singular, the vector is not sure: {self.nearly_singular}" if self.nearly_singular else ""
        return f"growth {self.vector} in dimension {self.dim}: {self.reason}{near}"


class Flags:
    """The flag of a distribution at any point.

    Parameters
    ----------
    frame : casadi.Function
        q -> X(q), shape (N, k).
    dim : int
        Dimension of the manifold.
    policy : RankPolicy
    """

    def __init__(self, frame: ca.Function, dim: int, policy: RankPolicy) -> None:
        self.frame, self.dim, self.policy = frame, dim, policy
        self._brackets: dict[tuple[int, ...], Brackets] = {}

    def brackets(self, letters: tuple[int, ...] | None = None) -> Brackets:
        """Return the brackets of some fields, of all unless given; they are derived once."""
        letters = tuple(range(self.frame.size2_out(0))) if letters is None else letters
        if letters not in self._brackets:
            self._brackets[letters] = Brackets(self.frame, letters)
        return self._brackets[letters]

    def __getstate__(self) -> tuple[ca.Function, int, RankPolicy]:
        return self.frame, self.dim, self.policy

    def __setstate__(self, state: tuple[ca.Function, int, RankPolicy]) -> None:
        self.__init__(*state)

    def growth(self, q: Array, steps: int = STEPS) -> Growth:
        """Return the growth at a point, by brackets of up to `steps` fields.

        Raises
        ------
        GeometryError
            If the fields are not defined at the point or around it.
        """
        points = np.vstack([q, nearby(q)])
        values, words = np.empty((points.shape[0], q.size, 0)), list[Word]()
        sizes: dict[Word, float] = {}
        ranks, decisions, chosen = [], list[RankDecision](), list[int]()
        generating, reason, brackets = None, "", self.brackets()
        for step in range(1, steps + 1):
            if brackets.count(step) > MOST:
                reason = f"rank {ranks[-1][0]} of {self.dim} by brackets of up to {step - 1} fields; more are too many"
                break
            new, layer = layer_values(brackets, step, points, sizes)
            values, words = np.concatenate([values, layer], axis=2), words + new
            scaled = values * units(values)
            here, *around = (decide(matrix, self.policy, 1.0) for matrix in scaled)
            decisions.append(here)
            chosen += independent_columns(scaled[0], chosen, here.rank)
            ranks.append((here.rank, *(decision.rank for decision in around)))
            if here.rank >= self.dim:
                generating, reason = True, f"brackets of up to {step} fields fill the tangent space"
                break
            if step == 1 and len(set(ranks[0])) == 1:  # independent ones span the distribution around, too
                brackets = self.brackets(tuple(sorted(chosen)))
            if step > 1 and len({*ranks[-2], *ranks[-1]}) == 1:  # constant rank, V^s = V^(s-1) around: involutive
                generating, reason = (
                    False,
                    f"closed under brackets: rank {here.rank} here and around, at both last steps",
                )
                break
        else:
            reason = f"rank {ranks[-1][0]} of {self.dim} by brackets of up to {steps} fields"
        # each up to the step that fills the tangent space
        vector, *around = (v[: v.index(self.dim) + 1] if self.dim in v else v for v in zip(*ranks, strict=True))
        basis, at = tuple(words[i] for i in chosen), values[0][:, chosen]
        return Growth(vector, self.dim, generating, reason, basis, at, tuple(decisions), tuple(around))


def layer_values(brackets: Brackets, step: int, points: Array, sizes: dict[Word, float]) -> tuple[list[Word], Array]:
    """Return the words of a step and their brackets (points, N, count), without those that vanish identically.

    Their sizes around the point are noted in `sizes`; a bracket with one that vanishes vanishes.
    """
    words, function = brackets.layer(step)
    size = points.shape[1]
    if function is None:
        return [], np.empty((*points.shape, 0))
    values = np.array([function(point).reshape((2 * size, -1)) for point in points])
    if not np.isfinite(values).all():
        raise GeometryError(
            "the fields or their brackets are not finite",
            f"brackets of {step} fields at q = {np.array2string(points[0], precision=6)} or near it",
            "fields that are smooth at the point and around it; forms that are independent there",
            "another point, or other coordinates",
        )
    found, terms = np.abs(values[1:, :size]).max(axis=(0, 1)), values[1:, size:].max(axis=(0, 1))
    kept = []
    for number, word in enumerate(words):
        known = [sizes.get(part, 0.0) for part in (factors(word) if step > 1 else ())]
        # noise is that of what was subtracted here, or in the factors
        if all(known) and found[number] > ROUNDOFFS * EPS * (terms[number] + np.prod(known) * (step > 1)):
            sizes[word] = float(found[number])
            kept.append(number)
    return [words[number] for number in kept], values[:, :size, kept]


def units(values: Array) -> Array:
    """Return factors (N, count) that put rows and columns of matrices (points, N, count) in units of their sizes.

    A bracket that is roundoff at one point stays it: its size is that of its neighbours. Entries that are roundoff of
    their column at all points count as zero, so that no coordinate is scaled up that no field moves.
    """
    sizes = np.abs(values).max(axis=0)
    noise = sizes <= ROUNDOFFS * EPS * sizes.max(axis=0, initial=0.0)
    _, rows, columns = equilibrate(np.where(noise, 0.0, sizes))
    return np.where(noise, 0.0, rows[:, None] * columns)


def independent_columns(matrix: Array, chosen: list[int], rank: int) -> list[int]:
    """Return the columns that complete the chosen ones to a basis of the range, the most independent first."""
    basis = np.linalg.qr(matrix[:, chosen])[0]
    rest = matrix - basis @ (basis.T @ matrix)
    pivots = qr(rest, mode="r", pivoting=True)[1] if rank > len(chosen) else np.empty(0, int)
    return [int(i) for i in pivots[: rank - len(chosen)]]
