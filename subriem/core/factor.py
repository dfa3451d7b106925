"""Factorizations of a Jacobian that solve the least-norm problem: Gram-Cholesky, QR and SVD.

Each gives v = D^+ w and the multiplier lam with v = D^T lam, or their damped forms with D^T (D D^T + mu)^{-1}, and
the extreme singular values with their singular vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.linalg import blas, lapack

from subriem.core.jacobian import Jacobian
from subriem.core.protocols import Array
from subriem.core.rank import EPS, GRAM_RESOLUTION, RankDecision, RankPolicy

#: Estimated cond D above which a Gram is not trusted (its own condition number is the square).
GRAM_COND_LIMIT = 1e6
#: Relative residual after refinement above which a Gram's solution is not used.
GRAM_RESIDUAL = 1e-9
#: Traces of a Gram between which squares of its entries neither underflow nor overflow.
GRAM_RANGE = (1e-140, 1e140)
#: Relative residual of a Gram solve that cannot be refined further, and the most refinements.
ROUNDOFF, REFINEMENTS = 8 * EPS, 4
#: Most steps of Lanczos' method, and the steps between two looks at its result.
LANCZOS, STRIDE = 60, 4
#: Residuals to which the eigenvectors of the largest and smallest singular values are found.
TOP, BOTTOM = 1e-2, 1e-3
#: Sizes up to which the extreme singular values are taken from a full SVD of the triangular factor.
SMALL = 48


@dataclass(frozen=True)
class Extremes:
    """Largest and smallest kept singular values of D and the singular vectors of the smallest.

    Attributes
    ----------
    sigma_max, sigma_min : float
    left : (n,) ndarray
    right : (K,) ndarray
        left^T D = sigma_min right^T.
    """

    sigma_max: float
    sigma_min: float
    left: Array
    right: Array


class Factorization(ABC):
    """A factored Jacobian; `backend` names the method and `reason` says why it was taken."""

    backend: str
    reason: str
    decision: RankDecision | None

    def __init__(self, jacobian: Jacobian, damping: float = 0.0) -> None:
        self.jacobian = jacobian
        self.damping = damping
        self.decision = None
        self.reason = ""
        self._extremes: Extremes | None = None

    @abstractmethod
    def solve(self, w: Array) -> tuple[Array, Array, Array]:
        """Return v (K,), multiplier (n,) and image D v (n,) for the right-hand side w (n,)."""

    def extremes(self) -> Extremes:
        """Return the extreme singular values of D (without damping), found once."""
        if self._extremes is None:
            self._extremes = self._find_extremes()
        return self._extremes

    @abstractmethod
    def _find_extremes(self) -> Extremes:
        """Find the extreme singular values of D (without damping)."""


class GramCholesky(Factorization):
    """Cholesky of D D^T + mu with iterative refinement in products with D (K >= n)."""

    backend = "gram-cholesky"

    def __init__(self, jacobian: Jacobian, damping: float = 0.0, accuracy: float = ROUNDOFF) -> None:
        super().__init__(jacobian, damping)
        with np.errstate(over="ignore", invalid="ignore"):  # then the trace is not finite
            gram = jacobian.gram()
            self.trace = float(gram.diagonal().sum())
        if damping:
            gram.flat[:: gram.shape[0] + 1] += damping
        # the strict upper triangle keeps entries of the Gram: only routines that read the lower one are used
        self.factor, info = lapack.dpotrf(gram.T, lower=1, clean=0, overwrite_a=1)
        self.failed = info != 0 or not np.isfinite(self.trace)
        pivots = self.factor.diagonal()
        #: A lower bound of cond D from the pivots.
        self.pivot_cond = float(pivots.max() / pivots.min()) if not self.failed else np.inf
        #: |w - D v|/|w| of the last solve: as last measured, or a bound where that sufficed.
        self.residual = 0.0
        #: Residual at which refinement stops.
        self.accuracy = accuracy

    def _apply_inverse(self, w: Array) -> Array:
        if self.failed:
            return np.full_like(w, np.nan)
        return lapack.dpotrs(self.factor, w, lower=1)[0]

    def solve(self, w: Array) -> tuple[Array, Array, Array]:
        """Return v, multiplier and image, refined with products by D until the residual is `accuracy` or stalls.

        The rounding of the Gram and of Cholesky leave a residual of about eps |G| |lam|. Where that, with the trace for
        |G|, is below the accuracy asked for (never at `ROUNDOFF`), the image is taken to be what it should be.
        """
        size = float(np.linalg.norm(w))
        multiplier = self._apply_inverse(w)
        v = self.jacobian.vjp(multiplier)
        bound = ROUNDOFF * (self.trace + self.damping) * float(np.linalg.norm(multiplier))
        if bound < self.accuracy * size:
            self.residual = bound / size
            return v, multiplier, w - self.damping * multiplier if self.damping else w
        image = self.jacobian.jvp(v)
        previous = np.inf
        for _ in range(REFINEMENTS):
            rest = w - image
            if self.damping:
                rest -= self.damping * multiplier
            self.residual = float(np.linalg.norm(rest)) / size if size else 0.0
            if not self.residual > self.accuracy or self.residual > previous / 2:
                break
            previous = self.residual
            change = self._apply_inverse(rest)
            multiplier = multiplier + change
            # not D^T of the new multiplier: rounding that would cost eps cond^2, the sum costs eps cond
            v = v + self.jacobian.vjp(change)
            image = self.jacobian.jvp(v)
        return v, multiplier, image

    def _find_extremes(self) -> Extremes:
        """Return sigma_min = |D^T u|, u from the inverse of the Gram, and sigma_max from below."""
        n = self.jacobian.shape[0]
        _, left = largest_eigenpair(self._apply_inverse, n, BOTTOM)
        # |D^T u| does not square the roundoff, once the left vector u is known
        image = self.jacobian.vjp(left)
        sigma_min = float(np.linalg.norm(image))
        top, _ = largest_eigenpair(self._apply_undamped, n, TOP)
        return Extremes(float(np.sqrt(top)), sigma_min, left, image / max(sigma_min, 1e-300))

    def _apply_undamped(self, b: Array) -> Array:
        product = blas.dtrmv(self.factor, blas.dtrmv(self.factor, b, lower=1, trans=1), lower=1)
        return product - self.damping * b


class QRFactor(Factorization):
    """Householder QR of D^T (K >= n) or of D (K < n), with damping as extra rows."""

    backend = "qr"

    def __init__(self, jacobian: Jacobian, damping: float = 0.0) -> None:
        super().__init__(jacobian, damping)
        entries = jacobian.dense()
        n, k = entries.shape
        self.wide = k >= n
        tall = entries.T if self.wide else entries
        rows, columns = tall.shape
        stacked = tall
        if damping:
            stacked = np.vstack([tall, np.sqrt(damping) * np.eye(columns)])
        factored, self._tau, work, info = lapack.dgeqrf(np.asfortranarray(stacked))
        self._rows, self._columns = rows, columns
        self._reflectors = factored
        self.triangle = np.triu(factored[:columns])
        self._work = max(int(work[0]), columns)
        pivots = np.abs(self.triangle.diagonal())
        self.singular = bool(info != 0 or not np.isfinite(pivots).all() or pivots.min() == 0.0)
        #: Smallest and largest pivot; sigma_min is at most the one, sigma_max at least the other.
        self.pivots = (float(pivots.min()), float(pivots.max())) if not self.singular else (0.0, 0.0)

    def _solve_triangle(self, b: Array, transposed: bool) -> Array:
        if self.singular:
            return np.full_like(b, np.nan)
        return lapack.dtrtrs(self.triangle, b, lower=0, trans=int(transposed))[0]

    def _apply_q(self, b: Array, transposed: bool) -> Array:
        trans = b"T" if transposed else b"N"
        return lapack.dormqr(b"L", trans, self._reflectors, self._tau, b[:, None], self._work)[0][:, 0]

    def solve(self, w: Array) -> tuple[Array, Array, Array]:
        """Return v, multiplier and image; NaN if a pivot is zero."""
        extended = np.zeros(self._reflectors.shape[0])
        if self.wide:
            # [D^T; sqrt(mu) 1] = Q R, so D D^T + mu = R^T R and v = D^T lam with R^T R lam = w
            inner = self._solve_triangle(w, transposed=True)
            extended[: self._columns] = inner
            v = self._apply_q(extended, transposed=False)[: self._rows]
            return v, self._solve_triangle(inner, transposed=False), self.jacobian.jvp(v)
        # least squares: [D; sqrt(mu) 1] = Q R, R v = Q^T [w; 0]
        extended[: self._rows] = w
        v = self._solve_triangle(self._apply_q(extended, transposed=True)[: self._columns], transposed=False)
        image = self.jacobian.jvp(v)
        if self.damping:
            return v, (w - image) / self.damping, image
        extended[:] = 0.0
        extended[: self._columns] = self._solve_triangle(v, transposed=True)
        return v, self._apply_q(extended, transposed=False)[: self._rows], image

    def solve_normal(self, right: Array) -> Array:
        """Return (D^T D + mu)^{-1} B for a matrix B (K, m), for K < n; nan where R is singular."""
        if self.singular:
            return np.full_like(right, np.nan)
        return self._solve_triangle(self._solve_triangle(right, transposed=True), transposed=False)

    def _find_extremes(self) -> Extremes:
        """Return them from an SVD of the triangle, or by iterations with it if it is larger than `SMALL`."""
        size = self._columns
        if size <= SMALL:
            u, sigma, vt = np.linalg.svd(self.triangle)
            inner, outer, smallest = vt[-1], u[:, -1], float(sigma[-1])
            top = np.sqrt(max(float(sigma[0]) ** 2 - self.damping, 0.0)) if self.damping else sigma[0]
        else:
            # R^T R has the squared singular values; the triangular solves do not square the roundoff
            _, inner = largest_eigenpair(
                lambda b: self._solve_triangle(self._solve_triangle(b, transposed=True), transposed=False), size, BOTTOM
            )
            outer = self.triangle @ inner
            smallest = float(np.linalg.norm(outer))
            outer = outer / max(smallest, 1e-300)
            top = np.sqrt(largest_eigenpair(self._apply_undamped, size, TOP)[0])
        if self.damping:
            # the triangle holds sqrt(sigma^2 + mu): sigma_min itself is the length of D^T u, or of D v
            image = self.jacobian.vjp(inner) if self.wide else self.jacobian.jvp(inner)
            smallest = float(np.linalg.norm(image))
            long = image / max(smallest, 1e-300)
        else:
            extended = np.zeros(self._reflectors.shape[0])
            extended[:size] = outer
            long = self._apply_q(extended, transposed=False)
        left, right = (inner, long) if self.wide else (long, inner)
        return Extremes(float(top), smallest, left, right)

    def _apply_undamped(self, b: Array) -> Array:
        return self.triangle.T @ (self.triangle @ b) - self.damping * b


class SVDFactor(Factorization):
    """Singular value decomposition, truncated by a recorded decision, or to a fixed rank."""

    backend = "svd"

    def __init__(
        self,
        jacobian: Jacobian,
        policy: RankPolicy,
        damping: float = 0.0,
        scale: float = 0.0,
        fixed_rank: int | None = None,
    ) -> None:
        super().__init__(jacobian, damping)
        entries = jacobian.dense()
        if not np.isfinite(entries).all():  # a lift is then NaN, which rejects the step of an integrator
            self._left, self._right = np.full((entries.shape[0], 1), np.nan), np.full((1, entries.shape[1]), np.nan)
            self.sigma, self.rank = np.full(1, np.nan), 1
            return
        self._left, self.sigma, self._right = np.linalg.svd(entries, full_matrices=False)
        self.decision = policy.decide(self.sigma, scale)
        # no policy can keep a value that is exactly zero
        self.rank = self.decision.rank if fixed_rank is None else min(fixed_rank, int(np.count_nonzero(self.sigma)))

    def solve(self, w: Array) -> tuple[Array, Array, Array]:
        """Return v, multiplier and image; without damping on the kept singular values only."""
        kept = slice(None) if self.damping else slice(self.rank)
        sigma = self.sigma[kept]
        left, right = self._left[:, kept], self._right[kept]
        coefficients = left.T @ w
        if not self.damping:
            with np.errstate(over="ignore"):
                scaled = coefficients / sigma
                v, multiplier = right.T @ scaled, left @ (scaled / sigma)
            return v, multiplier, self.jacobian.jvp(v)
        damped = coefficients / (sigma**2 + self.damping)
        multiplier = left @ damped
        if left.shape[0] > left.shape[1]:
            # outside the range of D the damped multiplier is w/mu
            multiplier += (w - left @ coefficients) / self.damping
        v = right.T @ (damped * sigma)
        return v, multiplier, self.jacobian.jvp(v)

    def _find_extremes(self) -> Extremes:
        """Return sigma_max and the smallest kept singular value with its vectors."""
        last = max(self.rank - 1, 0)
        return Extremes(float(self.sigma[0]), float(self.sigma[last]), self._left[:, last], self._right[last])

    def null_right(self) -> Array:
        """Return the computed right singular vectors below the cut, shape (K, m)."""
        return self._right[self.rank :].T

    def null_left(self) -> Array:
        """Return the computed left singular vectors below the cut, shape (n, m)."""
        return self._left[:, self.rank :]


def gram_trusted(factor: GramCholesky, damping: float) -> tuple[bool, str]:
    """Return whether the pivots allow a Gram factorization to be used, and why not."""
    if factor.failed:
        return False, "Cholesky of the Gram failed"
    if not GRAM_RANGE[0] < factor.trace < GRAM_RANGE[1]:
        return False, f"the Gram's trace {factor.trace:.0e} is near underflow or overflow"
    if not damping and factor.pivot_cond > GRAM_COND_LIMIT:
        return False, f"Gram pivots give cond D >= {factor.pivot_cond:.1e} > {GRAM_COND_LIMIT:.0e}"
    if damping and np.sqrt(damping / max(factor.trace, 1e-300)) < GRAM_RESOLUTION:
        return False, "the damping is below the Gram's resolution"
    return True, ""


@cache
def _start(size: int) -> Array:
    vector = np.random.default_rng(0).standard_normal(size)
    vector /= np.linalg.norm(vector)
    vector.setflags(write=False)
    return vector


def largest_eigenpair(apply: Callable[[Array], Array], size: int, rtol: float) -> tuple[float, Array]:
    """Return the largest eigenvalue of a positive semidefinite operator, from below, with its unit eigenvector.

    Lanczos' method with full orthogonalization from a fixed random vector, until |A u - lam u| <= rtol lam; the error
    of lam is then about rtol^2 lam^2 over the gap to the next eigenvalue (Golub and Van Loan, 10.1). The vector is
    A u, free of what A all but removes. NaN or inf where the operator gives none.
    """
    most = min(size, LANCZOS)
    basis, projected = np.empty((most, size)), np.zeros((most, most))
    vector, scale = _start(size), 0.0
    for m in range(1, most + 1):
        basis[m - 1] = vector
        image = apply(vector)
        coefficients = basis[:m] @ image
        rest = image - coefficients @ basis[:m]
        beyond = float(np.linalg.norm(rest))
        if not np.isfinite(beyond):
            return beyond, vector
        projected[m - 1, m - 1] = coefficients[-1]
        scale = max(scale, coefficients[-1])
        last = m == most or beyond <= rtol * scale  # then every residual is small enough
        if last or m % STRIDE == 0:
            values, vectors = np.linalg.eigh(projected[:m, :m])
            value, mix = float(values[-1]), vectors[:, -1]
            if last or beyond * abs(mix[-1]) <= rtol * value:
                # A u = lam u + (the last entry of the mix) * rest
                image = value * (mix @ basis[:m]) + mix[-1] * rest
                return max(value, 0.0), image / max(float(np.linalg.norm(image)), 1e-300)
        projected[m, m - 1] = projected[m - 1, m] = beyond
        vector = rest / beyond
    raise AssertionError("the last step returns")
