"""The protocols through which flows, geometry, equilibria and DAEs meet without importing each other."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@runtime_checkable
class Map(Protocol):
    """A map theta -> x[theta] from R^K to R^n with Jacobian D = dx/dtheta.

    Attributes
    ----------
    n_in, n_out : int
        K and n.
    capabilities : frozenset of str
        Which optional methods exist: "gram", theta -> D D^T (n, n), a new array; "second",
        (theta, u, v) -> D^2 x[u, v] (n,);
        "hvp", (theta, lam, v) -> sum_a lam_a D^2 x_a v (K,); "function", the attribute `.function` is a
        casadi.Function theta -> x; "canonical", theta -> (K,), the representative of its orbit under symmetries that
        keep the output. Further optional attributes: `output_names`, `parameter_names`, `conserved(theta)`.
    """

    @property
    def n_in(self) -> int: ...
    @property
    def n_out(self) -> int: ...
    @property
    def capabilities(self) -> frozenset[str]: ...

    def value(self, theta: Array, /) -> Array:
        """Return x[theta], shape (n,)."""
        ...

    def jacobian(self, theta: Array, /) -> Array:
        """Return D, shape (n, K)."""
        ...

    def jvp(self, theta: Array, v: Array, /) -> Array:
        """Return D v, shape (n,)."""
        ...

    def vjp(self, theta: Array, w: Array, /) -> Array:
        """Return D^T w, shape (K,)."""
        ...


class Cost(Protocol):
    """A cost C(x) of the output x in R^n.

    Attributes
    ----------
    n : int
        Number of outputs.
    samples : int
        N, the number of samples the cost averages over.
    is_quadratic : bool
        Whether C(x) = (x-y)^T H (x-y)/2.
    rate : float or None
        2 kappa if C = kappa |x - y|^2 (the exponential rate of |x - y|), else None.
    """

    @property
    def n(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def is_quadratic(self) -> bool: ...
    @property
    def rate(self) -> float | None: ...

    def value(self, x: Array, /) -> float:
        """Return C(x)."""
        ...

    def gradient(self, x: Array, /) -> Array:
        """Return grad_x C, shape (n,)."""
        ...

    def hvp(self, x: Array, v: Array, /) -> Array:
        """Return (Hess C) v, shape (n,)."""
        ...

    def floor(self, x: Array, null: Array, /) -> float:
        """Return the infimum of C on the affine set x + range(1 - U U^T), U = `null` (n, m) orthonormal."""
        ...


class Field(Protocol):
    """An autonomous vector field theta' = velocity(theta) on R^K."""

    def velocity(self, theta: Array, /) -> Array:
        """Return theta', shape (K,)."""
        ...


class ResidualField(Field, Protocol):
    """A field driven by a residual x[theta] - y of a map."""

    @property
    def map(self) -> Map: ...

    def residual(self, theta: Array, /) -> Array:
        """Return the output residual, shape (n,)."""
        ...


@runtime_checkable
class Path(Protocol):
    """A sampled curve with dense output.

    Attributes
    ----------
    grid : (n_t,) ndarray
        Increasing values of the curve's own parameter.
    y : (n_t, m) ndarray
        The points there.
    """

    @property
    def grid(self) -> Array: ...
    @property
    def y(self) -> Array: ...

    def __call__(self, t: float | Array, /) -> Array:
        """Return the point at a value of the parameter, shape (m,), or (len(t), m)."""
        ...
