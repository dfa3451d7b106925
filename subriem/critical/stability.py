"""How the motion around rest points behaves: spectrum across the family, index, nullity, rank of the output map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subriem.core.equilibrated import decide
from subriem.core.errors import ProblemError
from subriem.core.pencil import TransversalMotion, transversal_motion
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.critical.constantrank import constant_rank
from subriem.critical.problem import RestProblem

#: Rest points of a family at which the rank of D is looked at around, at most.
LOOKS = 3
#: Largest |Hess Z| / |Hess| for Z = ker D, where the rank of D is constant.
KERNEL = 1e-10


@dataclass(frozen=True, eq=False)
class Stability:
    """The motion across a family of rest points; made by `stability`.

    Attributes
    ----------
    spectrum : (N, m) ndarray of complex
        Finite eigenvalues of the linearised motion at each point without the zeros of the tangent directions, by
        decreasing real part; filled with NaN where there are fewer.
    index : (N,) ndarray of int
        How many have a real part > 0: for a gradient flow the Morse-Bott index. -1 where the motion is not determined.
    nullity : (N,) ndarray of int
        How many are 0: 0 on a Morse-Bott manifold.
    margin : (N,) ndarray
        Least |real part|, inf without eigenvalues, NaN where the motion is not determined: > 0 where the family is
        normally hyperbolic.
    rank : (N,) ndarray of int, or None
        Rank of D of the output map; None without one.
    constant_rank : bool or None
        Whether rank D is constant around the points looked at, and the Hessian vanishes on ker D (docs: mathematics,
        §3): then the family has dimension `dimension`.
    dimension : int or None
        K - r where the rank r is constant.
    """

    spectrum: NDArray[np.complex128]
    index: NDArray[np.intp]
    nullity: NDArray[np.intp]
    margin: Array
    rank: NDArray[np.intp] | None
    constant_rank: bool | None
    dimension: int | None


def stability(
    problem: RestProblem,
    points: Array,
    tangents: Array,
    policy: RankPolicy,
    *,
    scale: float = 0.0,
    zeros: int = 0,
    seed: int = 0,
) -> Stability:
    """Return spectrum, index, nullity and margin at each point of a family of rest points.

    Parameters
    ----------
    problem : RestProblem
        With `linearize`.
    points : (N, n) ndarray
    tangents : (N, n, k) ndarray
        Bases of the tangent spaces of the family; k = 0 for isolated rest points.
    policy : RankPolicy
        Decides which eigenvalues are zero, by the singular values of the linear map, relative to the largest of all
        points.
    scale : float
        A size of the linear map known from elsewhere: where all of it may vanish.
    zeros : int
        How many eigenvalues are known to be zero: at a rest point of higher order, whose place is known to less than
        roundoff, they only are small.
    seed : int
        Of the points around, where the rank of D is looked at.

    Returns
    -------
    Stability

    Raises
    ------
    ProblemError
        If the problem tells nothing of a motion.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> bowl = sr.map(lambda z: [z[0], -3 * z[1]], 2)  # z' = (z0, -3 z1)
    >>> problem = RestProblem(bowl, ("a", "b"), lambda z: (np.eye(2), np.diag([1.0, -3.0])))
    >>> found = stability(problem, np.zeros((1, 2)), np.zeros((1, 2, 0)), sr.RankPolicy())
    >>> found.spectrum, found.index, found.margin
    (array([[ 1.+0.j, -3.+0.j]]), array([1]), array([1.]))
    """
    motions = [_motion(problem, *pair, policy) for pair in zip(points, tangents, strict=True)]
    spectra = [_eigenvalues(motion, problem.gradient) for motion in motions]
    sizes = [decide(motion.matrix, policy) if motion is not None and motion.matrix.size else None for motion in motions]
    scale = max([scale, *(size.sigma_max for size in sizes if size is not None)])
    spectrum = np.full((len(points), max(map(len, spectra), default=0)), np.nan, dtype=complex)
    index, nullity = np.full((2, len(points)), -1)
    margin = np.full(len(points), np.nan)
    for i, (motion, values, size) in enumerate(zip(motions, spectra, sizes, strict=True)):
        if motion is None:
            continue
        spectrum[i, : len(values)] = values
        vanish = len(values) - policy.decide(size.sigma, scale).rank if size is not None else 0
        nullity[i] = max(vanish, min(zeros, len(values)))
        moving = values[np.argsort(np.abs(values), kind="stable")[nullity[i] :]]
        index[i] = np.count_nonzero(moving.real > policy.floor(0.0, scale))
        margin[i] = 0.0 if nullity[i] else np.abs(values.real).min(initial=np.inf)
    rank, constant, dimension = _output(problem, points, policy, seed)
    return Stability(spectrum, index, nullity, margin, rank, constant, dimension)


def spectrum_across(problem: RestProblem, point: Array, tangent: Array, policy: RankPolicy) -> NDArray[np.complex128]:
    """Return the eigenvalues across a family at a rest point by decreasing real part; none where undetermined."""
    return _eigenvalues(_motion(problem, point, tangent, policy), problem.gradient)


def unstable_directions(
    problem: RestProblem, point: Array, tangent: Array, policy: RankPolicy, scale: float = 0.0
) -> tuple[Array, Array]:
    """Return the unstable directions across a family at a rest point, and their rates.

    Parameters
    ----------
    problem : RestProblem
        With `linearize`.
    point : (n,) ndarray
    tangent : (n, k) ndarray
    policy : RankPolicy
    scale : float
        As in `stability`.

    Returns
    -------
    directions : (n, mu) ndarray
        Unit vectors, modulo the tangents: eigenvectors, and real and imaginary parts of complex ones.
    rates : (mu,) ndarray
        Real parts of their eigenvalues, decreasing.

    Raises
    ------
    ProblemError
        If the problem tells nothing of a motion.
    """
    motion = _motion(problem, point, tangent, policy)
    if motion is None:
        return np.zeros((point.size, 0)), np.zeros(0)
    values, vectors = np.linalg.eig(motion.matrix)
    floor = policy.floor(decide(motion.matrix, policy).sigma_max if motion.matrix.size else 0.0, scale)
    rates = np.real(values)
    chosen = [i for i in np.argsort(-rates, kind="stable") if rates[i] > floor]
    parts = [np.real(vectors[:, i]) if np.imag(values[i]) >= 0 else np.imag(vectors[:, i]) for i in chosen]
    directions = (motion.basis @ np.reshape(parts, (len(chosen), -1)).T)[: point.size]
    return directions / np.linalg.norm(directions, axis=0), rates[chosen]


def _motion(problem: RestProblem, point: Array, tangent: Array, policy: RankPolicy) -> TransversalMotion | None:
    if problem.linearize is None:
        raise ProblemError(
            "this problem has no motion whose stability could be told",
            "an equation F(z) = 0 alone",
            "a flow, a DAE, or a field z' = f(z)",
            "rest_problem(map, field=True) if F is the velocity",
        )
    return transversal_motion(*problem.linearize(point), tangent, policy)


def _eigenvalues(motion: TransversalMotion | None, real: bool) -> NDArray[np.complex128]:
    """Return the eigenvalues by decreasing real part; of a motion similar to a symmetric one they are real."""
    if motion is None:
        return np.zeros(0, dtype=complex)
    if real and np.array_equal(motion.matrix, motion.matrix.T):
        values: NDArray[np.complex128] = np.linalg.eigvalsh(motion.matrix).astype(complex)
    else:
        values = np.linalg.eigvals(motion.matrix).astype(complex)
    if real:
        values = np.real(values).astype(complex)
    return values[np.lexsort((-np.imag(values), -np.real(values)))]


def _output(
    problem: RestProblem, points: Array, policy: RankPolicy, seed: int
) -> tuple[NDArray[np.intp] | None, bool | None, int | None]:
    """Return rank D at each point, whether it is constant around some of them, and the dimension that follows."""
    output = problem.output
    if output is None:
        return None, None, None
    thetas = points[:, : output.n_in]
    looks = [constant_rank(output, thetas[i], policy, seed) for i in _spread(len(points))]
    scale = max(look.scale for look in looks)
    rank = np.array([decide(output.jacobian(theta), policy, scale).rank for theta in thetas])
    constant = all(look.holds for look in looks) and len(set(rank.tolist())) == 1
    if constant and problem.gradient and problem.linearize is not None:
        pencils = [problem.linearize(points[i]) for i in _spread(len(points))]
        hessians = [E @ A for E, A in pencils]  # (1, -Hess C), or (S, -S^-1 Hess C): see FlowMotion
        left = [np.abs(one @ look.kernel).max(initial=0.0) for one, look in zip(hessians, looks, strict=True)]
        constant = all(part <= KERNEL * np.abs(one).max() for part, one in zip(left, hessians, strict=True))
    return rank, constant, output.n_in - int(rank[0]) if constant else None


def _spread(count: int) -> list[int]:
    """Return up to LOOKS numbers below `count`, far from each other."""
    return sorted(set(np.linspace(0, count - 1, LOOKS).astype(int).tolist()))
