"""Fixed-rank Gauss-Newton: theta <- theta + D^+ (target - x[theta]), least norm, with the rank frozen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.dependence import Dependence
from subriem.core.errors import ProblemError
from subriem.core.factor import Factorization, SVDFactor
from subriem.core.jacobian import Jacobian, MapJacobian
from subriem.core.lift import solve
from subriem.core.protocols import Array, Map
from subriem.core.rank import DEFAULT_RANK, DENSE_BYTES, EPS, RankPolicy

#: An iteration that can lower the residual no more has converged if |D D^+ r| is this many roundoffs of |x| + |target|.
ROUNDOFFS = 1000
_HALVINGS = 8


@dataclass(frozen=True, eq=False)
class GaussNewton:
    """The end of a Gauss-Newton iteration.

    Attributes
    ----------
    theta : (K,) ndarray
        The best point met.
    x : (n,) ndarray
        x[theta].
    residuals : tuple of float
        |target - x| at each accepted point, the start first.
    reachable : float
        |D D^+ (target - x)| at the last point where it was computed: what a further step could remove.
    rank : int
        The frozen rank.
    converged : bool
        Whether `reachable` fell to roundoff or below the tolerance.
    evaluations : int
        Points at which the map was evaluated, the start not counted.
    """

    theta: Array
    x: Array
    residuals: tuple[float, ...]
    reachable: float
    rank: int
    converged: bool
    evaluations: int


def gauss_newton(
    source: Map,
    theta: Array,
    target: Array,
    *,
    rank: RankPolicy = DEFAULT_RANK,
    dependence: Dependence | None = None,
    fixed_rank: int | None = None,
    freeze: bool = True,
    tolerance: float = 0.0,
    steps: int = 20,
    memory: float = DENSE_BYTES,
) -> GaussNewton:
    """Move theta by least-norm steps until x[theta] is as near to the target as the rank allows.

    Parameters
    ----------
    source : Map
    theta : (K,) ndarray
        Start.
    target : (n,) ndarray
    rank : RankPolicy
        Decides the rank at the start; it is then frozen.
    dependence : Dependence, optional
        Known dependent rows; they are compressed, and only S^T (target - x) is reduced.
    fixed_rank : int, optional
        The rank to keep, instead of deciding it.
    freeze : bool
        False decides the rank anew at every point: for equations that depend on each other only where they hold.
    tolerance : float
        Stop when the reachable residual is below it, in output units; 0 means roundoff.
    steps : int
        Largest number of steps.
    memory : float
        Largest explicit D in bytes.

    Returns
    -------
    GaussNewton

    Notes
    -----
    A step that does not lower the residual is halved up to 8 times; then the iteration ends, not converged. So a
    nearly singular D cannot throw theta away. Beside an unreachable residual R the decrease of a step below
    sqrt(eps) R is lost in roundoff: there a step counts if |D D^+ r| has halved.

    Raises
    ------
    ProblemError
        If `fixed_rank` is not in 0 … min(n, K).
    """
    if fixed_rank is not None and not 0 <= fixed_rank <= min(source.n_out, source.n_in):
        raise ProblemError(
            "gauss_newton: there is no such rank", repr(fixed_rank), "0 <= fixed_rank <= min(n, K)", "fixed_rank=None"
        )
    x = source.value(theta)
    rest = target - x
    residuals = [_size(rest, dependence)]
    evaluations, reachable, converged, decided = 0, np.inf, False, 0
    frozen = fixed_rank
    for count in range(steps + 1):  # the end is judged too
        jacobian = _jacobian(source, theta, dependence)
        right = dependence.basis.T @ rest if dependence is not None and dependence.nullity else rest
        factor, (step, _, image) = _solve(jacobian, right, rank, frozen, memory)
        decided = frozen if frozen is not None else _rank_of(factor)
        frozen = decided if freeze else None
        previous, reachable = reachable, float(np.linalg.norm(image))
        roundoff = EPS * float(np.linalg.norm(x) + np.linalg.norm(target))
        if not np.isfinite(reachable) or (isinstance(factor, SVDFactor) and factor.rank < decided):
            break  # the map is not finite, or D lost the rank that was frozen
        if reachable <= max(roundoff, tolerance):
            converged = True
            break
        if count == steps:
            break
        blind = reachable <= 2 * np.sqrt(EPS) * residuals[-1] and reachable <= previous / 2
        for halving in range(_HALVINGS):
            trial = theta + 0.5**halving * step
            x_trial = source.value(trial)
            evaluations += 1
            size = _size(target - x_trial, dependence)
            if size < residuals[-1] or (blind and size <= residuals[-1] * (1 + 16 * EPS)):
                break
        else:
            converged = reachable <= ROUNDOFFS * roundoff
            break
        theta, x, rest = trial, x_trial, target - x_trial
        residuals.append(size)
        if size > residuals[-2] / 2 and reachable <= ROUNDOFFS * roundoff:
            converged = True
            break
    return GaussNewton(theta, x, tuple(residuals), reachable, decided, converged, evaluations)


def _size(rest: Array, dependence: Dependence | None) -> float:
    seen = dependence.basis.T @ rest if dependence is not None and dependence.nullity else rest
    return float(np.linalg.norm(seen))


def _jacobian(source: Map, theta: Array, dependence: Dependence | None) -> Jacobian:
    jacobian = MapJacobian(source, theta)
    return dependence.compress(jacobian) if dependence is not None else jacobian


def _solve(
    jacobian: Jacobian, right: Array, rank: RankPolicy, frozen: int | None, memory: float
) -> tuple[Factorization, tuple[Array, Array, Array]]:
    if frozen is None or frozen == min(jacobian.shape):
        factor, found = solve(jacobian, right, rank, memory=memory, certify=frozen is None)
        if frozen is None or not isinstance(factor, SVDFactor):
            return factor, found
    factor = SVDFactor(jacobian, rank, fixed_rank=frozen)
    return factor, factor.solve(right)


def _rank_of(factor: Factorization) -> int:
    return factor.decision.rank if factor.decision is not None else min(factor.jacobian.shape)
