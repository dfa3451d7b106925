"""Whether D = dx/dtheta has constant rank near a point: then the dimension of sets of rest points is known.

Where rank D = r near theta*, for almost every target the critical points of C(x[theta]) near theta* are a Morse-Bott
manifold of dimension K - r with tangent space ker D = ker Hess (docs: mathematics, §3, Proposition R).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from subriem.core.equilibrated import decide, kernel_basis
from subriem.core.protocols import Array, Map
from subriem.core.rank import EPS, RankDecision, RankPolicy

#: Radii, relative to max(1, |theta|), of the spheres on which the rank is looked at, and points on each for each
#: parameter.
RADII, POINTS = (1e-3, 1e-2), 2
#: Pairs of random directions in which the second derivative is looked at, and the largest part of it outside range D.
PROBES, OUTSIDE = 8, 1e-6


@dataclass(frozen=True, eq=False)
class ConstantRank:
    """What was seen of the rank of D near a point; made by `constant_rank`.

    Attributes
    ----------
    decision : RankDecision
        At the point.
    nearby : frozenset of int
        Ranks at random points around it.
    leaving : float
        Largest part of D^2 x[z, v] outside range D for z in ker D, relative to the largest second derivative: 0 for
        constant rank.
    kernel : (K, K - r) ndarray
        Orthonormal basis of ker D.
    scale : float
        The largest singular value of D met there and around: at a point where D is zero to roundoff, it decides.
    """

    decision: RankDecision
    nearby: frozenset[int]
    leaving: float
    kernel: Array
    scale: float

    @property
    def holds(self) -> bool:
        """Whether all that was seen agrees with constant rank, and the rank at the point is clear."""
        return self.nearby == {self.decision.rank} and self.leaving <= OUTSIDE and not self.decision.ambiguous


def constant_rank(output: Map, theta: Array, policy: RankPolicy, seed: int = 0) -> ConstantRank:
    """Look at the rank of D at theta and around it.

    Parameters
    ----------
    output : Map
        theta (K,) -> x (n,).
    theta : (K,) ndarray
    policy : RankPolicy
    seed : int
        Of the random points and directions.

    Returns
    -------
    ConstantRank

    Notes
    -----
    The largest singular value around decides at the point too: x = theta^3 has rank 0 at 0.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> cube = sr.map(lambda t: [t[0] ** 3], 1)
    >>> seen = constant_rank(cube, np.zeros(1), sr.RankPolicy())
    >>> seen.decision.rank, sorted(seen.nearby), seen.holds
    (0, [1], False)
    """
    rng = np.random.default_rng(seed)
    size = max(1.0, float(np.linalg.norm(theta)))
    away = rng.standard_normal((len(RADII), POINTS * output.n_in, output.n_in))
    away *= np.reshape(RADII, (-1, 1, 1)) * size / np.linalg.norm(away, axis=2, keepdims=True)
    near = [decide(output.jacobian(theta + step), policy) for step in away.reshape(-1, output.n_in)]
    D = output.jacobian(theta)
    scale = max(one.sigma_max for one in near)
    decision = decide(D, policy, scale)
    unit = max(decision.sigma_max, scale) or 1.0
    kernel, cokernel = (kernel_basis(matrix / unit, policy) for matrix in (D, D.T))
    leaving = 0.0
    if kernel.shape[1] and cokernel.shape[1]:
        leaving = _leaving(output, theta, kernel, cokernel, rng)
    return ConstantRank(decision, frozenset(one.rank for one in near), leaving, kernel, unit)


def _leaving(output: Map, theta: Array, kernel: Array, cokernel: Array, rng: np.random.Generator) -> float:
    """Return the largest part of D^2 x[z, v] outside range D, relative to D^2 x[w, v], for random z in ker D, v, w."""
    outside, whole = 0.0, 0.0
    for _ in range(PROBES):
        v, w = rng.standard_normal((2, output.n_in)) / np.sqrt(output.n_in)
        z = kernel @ rng.standard_normal(kernel.shape[1]) / np.sqrt(kernel.shape[1])
        along, any_ = (second_derivative(output, theta, u, v) for u in (z, w))
        outside = max(outside, float(np.linalg.norm(cokernel.T @ along)))
        whole = max(whole, float(np.linalg.norm(along)), float(np.linalg.norm(any_)))
    return outside / whole if whole else 0.0


class _Bent(Protocol):
    """What the capability "second" of a map means."""

    def second(self, theta: Array, u: Array, v: Array, /) -> Array: ...


def second_derivative(output: Map, theta: Array, u: Array, v: Array) -> Array:
    """Return D^2 x[u, v], shape (n,): the map's own, or a central difference of D v."""
    if "second" in output.capabilities:
        return cast(_Bent, output).second(theta, u, v)
    h = EPS ** (1 / 3) * max(1.0, float(np.abs(theta).max()))
    return (output.jvp(theta + h * u, v) - output.jvp(theta - h * u, v)) / (2 * h)
