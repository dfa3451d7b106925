"""The least-norm motion v = D^+ w: the horizontal lift, with rank, condition, residual and backend reported.

The backends escalate, and say why: known dependent rows are compressed by the caller (`dependence`), then
Gram-Cholesky with refinement (K >= n), QR, and SVD truncated by a recorded rank decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from subriem.core.dependence import dependent_rows
from subriem.core.errors import ProblemError, RankError
from subriem.core.factor import (
    GRAM_COND_LIMIT,
    GRAM_RESIDUAL,
    ROUNDOFF,
    Factorization,
    GramCholesky,
    QRFactor,
    SVDFactor,
    gram_trusted,
)
from subriem.core.jacobian import ArrayJacobian, Jacobian, MapJacobian, MetricJacobian
from subriem.core.map import output_name
from subriem.core.protocols import Array, Map
from subriem.core.rank import DEFAULT_RANK, DENSE_BYTES, EPS, GRAM_RESOLUTION, RankDecision, RankPolicy
from subriem.core.validate import positive, real_array, vector

Backend = Literal["auto", "gram-cholesky", "qr", "svd"]
_ORDER = ("gram-cholesky", "qr", "svd")


@dataclass(frozen=True, eq=False)
class Lift:
    """The result of `lift`.

    Attributes
    ----------
    v : (K,) ndarray
        Least |v| (in the metric) among the least |D v - w|; with damping mu, D^T (D D^T + mu)^{-1} w.
    multiplier : (n,) ndarray
        lam with v = D^T lam (M v = D^T lam in a metric M).
    image : (n,) ndarray
        D v.
    rank : int or None
        The decided rank; None where a forced backend, or damping without memory for an SVD, left it undecided.
    cond : float
        sigma_max / sigma_rank.
    residual : float
        |D v - w| / |w|: roundoff if w is in the range of D, else the part of w that D cannot reach.
    backend : str
        "gram-cholesky", "qr" or "svd".
    reason : str
        Why this backend was taken.
    decision : RankDecision or None
        The record of the rank decision.
    dependent : tuple of tuple of str
        Groups of dependent rows by name, for K >= n and a rank below n.

    Examples
    --------
    >>> import numpy as np
    >>> found = lift(np.array([[3.0, 4.0]]), [5.0])
    >>> np.round(found.v, 12), found.backend, found.reason
    (array([0.6, 0.8]), 'gram-cholesky', 'first choice')
    """

    v: Array
    multiplier: Array
    image: Array
    rank: int | None
    cond: float
    residual: float
    backend: str
    reason: str
    decision: RankDecision | None
    dependent: tuple[tuple[str, ...], ...] = ()


def factorize(
    jacobian: Jacobian,
    rank: RankPolicy = DEFAULT_RANK,
    *,
    damping: float = 0.0,
    scale: float = 0.0,
    start: Backend = "auto",
    only: bool = False,
    certify: bool = True,
    accuracy: float = ROUNDOFF,
    memory: float = DENSE_BYTES,
) -> Factorization:
    """Factor D by the cheapest trustworthy backend.

    Parameters
    ----------
    jacobian : Jacobian
    rank : RankPolicy
    damping : float
        mu >= 0 of D^T (D D^T + mu)^{-1}.
    scale : float
        Largest sigma_max met so far along a path.
    start : {"auto", "gram-cholesky", "qr", "svd"}
        Where the escalation begins.
    only : bool
        Take `start` whatever its quality.
    certify : bool
        Decide the rank from the extreme singular values; if False only pivots are looked at (stages of a step).
    memory : float
        Largest explicit D in bytes.

    Raises
    ------
    RankError
        If D would have to be formed and does not fit `memory`: the Gram is not trusted, or needs D itself.
    """
    n, k = jacobian.shape
    fits = 8.0 * n * k <= memory
    reasons: list[str] = []
    if certify and damping and not fits:
        certify = False
        reasons.append("rank not decided, D exceeds the memory")
    first = _ORDER.index(start) if start != "auto" else 0
    if first == 0 and k < n:
        reasons.append("K < n")
        first = 1
    for backend in _ORDER[first:]:
        if not fits and (backend != "gram-cholesky" or not jacobian.structured):
            raise RankError(
                "the rank of D cannot be decided within the memory budget",
                "; ".join([*reasons, f"explicit D needs {8.0 * n * k:.1e} bytes"]),
                f"cond D below {GRAM_COND_LIMIT:.0e}, or D within {memory:.1e} bytes",
                "a larger memory, damping, or fewer outputs",
            )
        factor, refusal = _attempt(backend, jacobian, rank, damping, scale, certify, accuracy)
        if refusal:
            reasons.append(refusal)
        if only or not refusal:
            factor.reason = "; ".join(["asked for"] * only + reasons) or "first choice"
            return factor
    raise AssertionError("the SVD is never refused")


def _attempt(
    backend: str, jacobian: Jacobian, rank: RankPolicy, damping: float, scale: float, certify: bool, accuracy: float
) -> tuple[Factorization, str]:
    """Factor by one backend; a non-empty sentence says why the result should not be used."""
    resolution = EPS
    factor: Factorization
    if backend == "svd":
        return SVDFactor(jacobian, rank, damping, scale), ""
    if backend == "gram-cholesky":
        factor = GramCholesky(jacobian, damping, accuracy)
        trusted, why = gram_trusted(factor, damping)
        resolution = GRAM_RESOLUTION
        if not trusted:
            return factor, why
    else:
        factor = QRFactor(jacobian, damping)
        if factor.singular:
            return factor, "QR met a zero pivot"
        smallest, largest = factor.pivots
        if not certify and not damping and smallest < 3 * rank.floor(largest, scale):
            return factor, f"the QR pivots fall from {largest:.1e} to {smallest:.1e}"
    if not certify:
        return factor, ""
    if damping:
        return factor, "the rank under damping is read from an SVD"
    extremes = factor.extremes()
    size = min(jacobian.shape)
    factor.decision = rank.decide(
        [extremes.sigma_max, extremes.sigma_min] if size > 1 else [extremes.sigma_min],
        scale,
        size=size,
        resolution=resolution,
    )
    decision = factor.decision
    if backend == "gram-cholesky" and decision.cond > GRAM_COND_LIMIT:
        return factor, f"cond D = {decision.cond:.1e} > {GRAM_COND_LIMIT:.0e}: the Gram loses it"
    if not decision.full or decision.ambiguous:
        return factor, f"sigma_min = {decision.sigma[-1]:.1e} is near or below the floor {decision.floor:.1e}"
    return factor, ""


def solve(
    jacobian: Jacobian,
    w: Array,
    rank: RankPolicy = DEFAULT_RANK,
    *,
    damping: float = 0.0,
    scale: float = 0.0,
    start: Backend = "auto",
    only: bool = False,
    certify: bool = True,
    accuracy: float = ROUNDOFF,
    memory: float = DENSE_BYTES,
) -> tuple[Factorization, tuple[Array, Array, Array]]:
    """Factor D as `factorize` does and lift w; a Gram whose solution leaves a large residual gives way to QR.

    What a Gram's pivots promise is a lower bound of cond D only: the residual has the last word.

    Returns
    -------
    Factorization
        The one whose solution is returned.
    tuple of ndarray
        v (K,), multiplier (n,) and image D v (n,).

    Raises
    ------
    RankError
        If D would have to be formed and does not fit `memory`.
    """

    def attempt(start: Backend) -> tuple[Factorization, tuple[Array, Array, Array]]:
        factor = factorize(
            jacobian, rank, damping=damping, scale=scale, start=start, only=only, certify=certify, accuracy=accuracy,
            memory=memory,
        )  # fmt: skip
        return factor, factor.solve(w)

    factor, found = attempt(start)
    if only or not isinstance(factor, GramCholesky) or factor.residual <= max(GRAM_RESIDUAL, accuracy):
        return factor, found
    why = f"the Gram left a residual of {factor.residual:.0e}"
    factor, found = attempt("qr")
    factor.reason = f"{why}; {factor.reason}"
    return factor, found


def _as_lift(factor: Factorization, w: Array, found: tuple[Array, Array, Array]) -> Lift:
    v, multiplier, image = found
    size = float(np.linalg.norm(w))
    residual = float(np.linalg.norm(image - w)) / size if size else 0.0
    decision = factor.decision
    return Lift(
        v,
        multiplier,
        image,
        decision.rank if decision is not None else None,
        decision.cond if decision is not None else np.nan,
        residual,
        factor.backend,
        factor.reason,
        decision,
    )


def lift(
    source: Any,
    w: Any,
    theta: Any = None,
    rank: RankPolicy = DEFAULT_RANK,
    damping: float = 0.0,
    metric: Any = None,
    *,
    backend: Backend = "auto",
    memory: float = DENSE_BYTES,
) -> Lift:
    """Lift w: the least-norm v among those that bring D v nearest to w.

    Parameters
    ----------
    source : (n, K) array_like or Map
        D itself, or a map whose Jacobian at `theta` is meant.
    w : (n,) array_like
        Right-hand side, in output units.
    theta : (K,) array_like, optional
        Required with a map, refused with an array.
    rank : RankPolicy
        Decides which singular values are zero.
    damping : float
        mu >= 0, in squared units of sigma: v = D^T (D D^T + mu)^{-1} w (Levenberg-Marquardt).
    metric : (K, K) or (K,) array_like, optional
        Parameter metric M, or its diagonal: least |v|_M.
    backend : {"auto", "gram-cholesky", "qr", "svd"}
        "auto" escalates and says why in `reason`.
    memory : float
        Largest explicit D in bytes.

    Returns
    -------
    Lift

    Raises
    ------
    ProblemError
        On arrays that do not fit, NaN, negative damping, an unknown backend, or a metric that is none.
    RankError
        If the rank is ambiguous and the policy says "raise", D does not fit `memory`, a forced backend meets a
        singular factor, or the Jacobian of a map is not finite.

    Notes
    -----
    Moore-Penrose in every regime: D^T (D D^T)^{-1} for rank n, (D^T D)^{-1} D^T for rank K (docs: mathematics, §1).

    Examples
    --------
    >>> import numpy as np
    >>> found = lift(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]), [1.0, 3.0])
    >>> np.round(found.v, 12), found.rank
    (array([1., 0., 1.]), 1)
    """
    jacobian = _as_jacobian(source, theta)
    n, k = jacobian.shape
    w = vector(w, "w", n)
    damping = positive(damping, "damping", or_zero=True)
    if backend not in ("auto", *_ORDER):
        known = f"one of {('auto', *_ORDER)}"
        raise ProblemError("lift: unknown backend", repr(backend), known, "backend='auto'")
    if backend == "gram-cholesky" and k < n:
        raise ProblemError(
            "lift: the Gram D D^T is singular for K < n", f"K = {k}, n = {n}", "K >= n", "backend='auto'"
        )
    measured = MetricJacobian(jacobian, metric) if metric is not None else jacobian
    only = backend != "auto"
    factor, found = solve(measured, w, rank, damping=damping, start=backend, only=only, memory=memory)
    if factor.decision is not None and not damping:
        rank.report(factor.decision, "in lift")
    result = _as_lift(factor, w, found)
    if not np.isfinite(result.v).all():
        raise RankError(
            f"the backend {factor.backend!r} cannot lift here",
            f"v is not finite ({factor.reason})",
            "a regular factorization of a finite D",
            "look for NaN or overflow in the Jacobian" if factor.backend == "svd" else "backend='auto'",
        )
    if isinstance(measured, MetricJacobian):
        result = replace(result, v=measured.pull(result.v))
    if result.decision is not None and not result.decision.full and k >= n:
        groups = dependent_rows(jacobian, rank, memory=memory).groups
        result = replace(result, dependent=tuple(tuple(_row_name(source, i) for i in group) for group in groups))
    return result


def _row_name(source: Any, index: int) -> str:
    return output_name(source, index) if isinstance(source, Map) else f"row {index}"


def _as_jacobian(source: Any, theta: Any) -> Jacobian:
    if isinstance(source, Map):
        if theta is None:
            got = "a map without a point"
            raise ProblemError("lift: theta is missing", got, "theta (K,)", "lift(map, w, theta)")
        return MapJacobian(source, vector(theta, "theta", source.n_in))
    if theta is not None:
        got = "an array and theta"
        raise ProblemError("lift: theta given with an explicit D", got, "one of them", "lift(D, w)")
    return ArrayJacobian(real_array(source, "D", ndim=2))
