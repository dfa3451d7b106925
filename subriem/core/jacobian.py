"""A Jacobian as a linear operator at one point: an array, a map, or either of them compressed or re-scaled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, cast

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_array

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array, Map
from subriem.core.validate import real_array


class GramMap(Protocol):
    """What the capability "gram" of a map means."""

    def gram(self, theta: Array, /) -> Array:
        """Return D D^T, shape (n, n), as a new array: the caller overwrites it."""
        ...


class Jacobian(ABC):
    """D in R^{n x K}, of which products are always available, and entries and the Gram matrix on request."""

    shape: tuple[int, int]

    @abstractmethod
    def jvp(self, v: Array) -> Array:
        """Return D v, shape (n,)."""

    @abstractmethod
    def vjp(self, w: Array) -> Array:
        """Return D^T w, shape (K,)."""

    @abstractmethod
    def dense(self) -> Array:
        """Return D, shape (n, K)."""

    def gram(self) -> Array:
        """Return D D^T, shape (n, n)."""
        entries = self.dense()
        return entries @ entries.T

    @property
    def structured(self) -> bool:
        """Whether `gram` need not form D."""
        return False


class ArrayJacobian(Jacobian):
    """An explicit matrix."""

    def __init__(self, entries: Array) -> None:
        self.entries = entries
        self.shape = (entries.shape[0], entries.shape[1])

    def jvp(self, v: Array) -> Array:
        """Return D v."""
        return self.entries @ v

    def vjp(self, w: Array) -> Array:
        """Return D^T w."""
        return self.entries.T @ w

    def dense(self) -> Array:
        """Return D, not copied."""
        return self.entries

    @property
    def structured(self) -> bool:
        """True: D is there already."""
        return True


class MapJacobian(Jacobian):
    """The Jacobian of a map at theta."""

    def __init__(self, source: Map, theta: Array) -> None:
        self.source, self.theta = source, theta
        self.shape = (source.n_out, source.n_in)
        self._entries: Array | None = None

    def jvp(self, v: Array) -> Array:
        """Return D v, by the map's own jvp as long as D was not formed."""
        return self.source.jvp(self.theta, v) if self._entries is None else self._entries @ v

    def vjp(self, w: Array) -> Array:
        """Return D^T w, by the map's own vjp as long as D was not formed."""
        return self.source.vjp(self.theta, w) if self._entries is None else self._entries.T @ w

    def dense(self) -> Array:
        """Return D, formed once."""
        if self._entries is None:
            self._entries = self.source.jacobian(self.theta)
        return self._entries

    def gram(self) -> Array:
        """Return D D^T, by the map's own gram if it has one."""
        if not self.structured:
            return super().gram()
        return cast("GramMap", self.source).gram(self.theta)

    @property
    def structured(self) -> bool:
        """Whether the map has a gram."""
        return "gram" in self.source.capabilities


class CompressedJacobian(Jacobian):
    """S^T D for an S with orthonormal columns spanning range D: (S S^T D)^+ = (S^T D)^+ S^T.

    So least-norm least-squares motion is unchanged, and D, singular by known dependent rows, becomes regular.
    """

    def __init__(self, inner: Jacobian, basis: csr_array) -> None:
        self.inner, self.basis = inner, basis
        self.shape = (basis.shape[1], inner.shape[1])

    def jvp(self, v: Array) -> Array:
        """Return S^T D v."""
        return self.basis.T @ self.inner.jvp(v)

    def vjp(self, w: Array) -> Array:
        """Return D^T S w."""
        return self.inner.vjp(self.basis @ w)

    def dense(self) -> Array:
        """Return S^T D."""
        return np.ascontiguousarray(self.basis.T @ self.inner.dense())

    def gram(self) -> Array:
        """Return S^T D D^T S."""
        half = self.basis.T @ self.inner.gram()
        return np.ascontiguousarray(self.basis.T @ half.T)

    @property
    def structured(self) -> bool:
        """Whether the uncompressed one is."""
        return self.inner.structured


class MetricJacobian(Jacobian):
    """D L^{-T} for a parameter metric M = L L^T: with u = L^T v, least |u| is least |v|_M."""

    def __init__(self, inner: Jacobian, metric: Array) -> None:
        self.inner = inner
        self.shape = inner.shape
        size = self.shape[1]
        metric = real_array(metric, "metric")
        if metric.shape not in ((size,), (size, size)):
            raise ProblemError(
                "metric does not fit the parameters",
                f"shape {metric.shape}",
                f"({size},) or ({size}, {size})",
                "check K",
            )
        if metric.ndim == 1:
            if not (metric > 0).all():
                raise self._refusal(f"a diagonal entry is {metric.min():.3g}")
            self.factor = np.sqrt(metric)
            return
        skew = float(np.abs(metric - metric.T).max())
        if skew > 1e-10 * float(np.abs(metric).max()):
            raise self._refusal(f"not symmetric: |M - M^T| = {skew:.1e}")
        try:
            self.factor = cholesky(metric, lower=True)
        except np.linalg.LinAlgError as error:
            raise self._refusal(str(error)) from error

    @staticmethod
    def _refusal(got: str) -> ProblemError:
        return ProblemError(
            "metric is not an inner product",
            got,
            "a symmetric positive definite matrix, or its diagonal",
            "check the metric",
        )

    def pull(self, u: Array) -> Array:
        """Return v = L^{-T} u, for a vector or the columns of a matrix."""
        if self.factor.ndim == 1:
            return (u.T / self.factor).T
        return solve_triangular(self.factor, u, lower=True, trans="T", check_finite=False)

    def jvp(self, v: Array) -> Array:
        """Return D L^{-T} v."""
        return self.inner.jvp(self.pull(v))

    def vjp(self, w: Array) -> Array:
        """Return L^{-1} D^T w."""
        lowered = self.inner.vjp(w)
        if self.factor.ndim == 1:
            return lowered / self.factor
        return solve_triangular(self.factor, lowered, lower=True, check_finite=False)

    def dense(self) -> Array:
        """Return D L^{-T}."""
        entries = self.inner.dense()
        if self.factor.ndim == 1:
            return entries / self.factor
        lowered = solve_triangular(self.factor, entries.T, lower=True, check_finite=False)
        return np.ascontiguousarray(lowered.T)
