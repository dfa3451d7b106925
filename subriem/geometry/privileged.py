"""Privileged coordinates at a point, and the fields in them, as polynomials (Bellaiche 1996; Jean 2014, ch. 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import factorial, prod

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.geometry.brackets import Word, factors
from subriem.geometry.growth import Growth
from subriem.geometry.polynomials import Algebra, Series, expansion


def along(field: Series, f: Series) -> Series:
    """Return the derivatives sum_l X_l d_l f of functions along a field."""
    return (field * f.gradient()).sum()


@dataclass(frozen=True, eq=False)
class AdaptedFrame:
    """The fields around a point in linear coordinates y = A^-1 (q - q0), A the values of the adapted basis.

    On a redundant chart A is completed by directions orthogonal to the manifold.

    Attributes
    ----------
    matrix, inverse : (N, N) ndarray
        A and A^-1.
    fields : Series of shape (k, N)
        Taylor expansions of X_1 … X_k.
    basis : Series of shape (dim, N)
        Those of the adapted basis Y_1 … Y_dim: Y_j(0) = d/dy_j.
    """

    matrix: Array
    inverse: Array
    fields: Series
    basis: Series


def adapted_frame(frame: ca.Function, q: Array, growth: Growth) -> AdaptedFrame:
    """Expand the fields and the brackets of the adapted basis around a point, as far as the weights ask for.

    Let v_j = min(w_j, 2). As d y_j vanishes on the fields at q for w_j > 1, y_j is of nonholonomic order v_j at least;
    so a derivative along a field lowers the degree with weights v by one at most, and r of them see no terms of degree
    above the largest weight r.
    """
    size, r = q.size, max(growth.weights)
    matrix: Array = np.hstack([growth.basis, np.linalg.qr(growth.basis, mode="complete")[0][:, growth.dim :]])
    algebra = Algebra([min(w, 2) for w in growth.weights] + [2] * (size - growth.dim), r)
    y = Series.stack(algebra.variables())
    moved = y.transformed(matrix, EPS * np.abs(matrix))
    inputs = [part + float(x) for part, x in zip(moved, q, strict=True)]  # with the roundoff of q
    inverse: Array = np.linalg.inv(matrix).astype(float)
    noise = EPS * np.abs(inverse) @ np.abs(matrix) @ np.abs(inverse)
    found = expansion(frame, inputs).transformed(inverse, noise)
    fields = Series(algebra, found.value.swapaxes(0, 1), found.noise.swapaxes(0, 1))
    known: dict[Word, Series] = {}

    def bracket(word: Word) -> Series:
        if word not in known:
            if len(word) == 1:
                known[word] = fields[word[0]]
            else:
                a, b = (bracket(part) for part in factors(word))
                known[word] = along(a, b) - along(b, a)
        return known[word]

    return AdaptedFrame(matrix, inverse, fields, Series.stack([bracket(word) for word in growth.words]))


@dataclass(frozen=True, eq=False)
class Privileged:
    """Coordinates z_j = y_j - h_j(y_1 … y_(j-1)) in which the fields have order -1 at the origin.

    Attributes
    ----------
    adapted : AdaptedFrame
    corrections : Series of shape (n,)
        h_j, polynomials in y.
    inverse : Series of shape (n,)
        y_j, polynomials in z.
    leading : Series of shape (k, n)
        The components of weight -1 of the fields, polynomials in z.
    defect : float
        Largest coefficient of the fields of a weight below -1, relative to its roundoff: zero in exact arithmetic.
    """

    adapted: AdaptedFrame
    corrections: Series
    inverse: Series
    leading: Series
    defect: float


def privileged(frame: ca.Function, q: Array, growth: Growth) -> Privileged:
    """Return privileged coordinates at a point by Bellaiche's algorithm, and the leading part of the fields in them."""
    adapted, weights = adapted_frame(frame, q, growth), np.array(growth.weights)
    algebra = adapted.fields.algebra
    corrections = Series.stack([_correction(adapted.basis, weights, j) for j in range(weights.size)])
    inverse = _inverse(corrections, Algebra(growth.weights, int(weights.max())))
    new = Series.stack(algebra.variables()) - corrections  # z as polynomials in y
    moved = Series.stack([along(field, new) for field in adapted.fields]).evaluate(list(inverse))
    # component j of a field of weight s is homogeneous of degree s + w_j
    weight = inverse.algebra.degrees - weights[:, None]
    leading = Series(inverse.algebra, np.where(weight == -1, moved.cleaned().value, 0.0), moved.noise)
    below = np.abs(np.where(weight < -1, moved.value, 0.0)) / np.where(moved.noise > 0, moved.noise, 1.0)
    return Privileged(adapted, corrections, inverse, leading, float(below.max()))


def _derivatives(basis: Series, f: Series) -> Callable[[tuple[int, ...]], Series]:
    """Return alpha -> Y_1^alpha_1 (Y_2^alpha_2 (… f)), each derivative taken once."""

    @cache
    def derivative(alpha: tuple[int, ...]) -> Series:
        if not any(alpha):
            return f
        first = next(i for i, e in enumerate(alpha) if e)
        return along(basis[first], derivative(tuple(e - (i == first) for i, e in enumerate(alpha))))

    return derivative


def _correction(basis: Series, weights: np.ndarray, j: int) -> Series:
    """Return h_j: the polynomial in y_1 … y_(j-1) with (Y^alpha (y_j - h_j))(0) = 0 for all alpha of weight < w_j.

    Y^alpha = Y_1^alpha_1 … Y_(j-1)^alpha_(j-1). On monomials of the same degree in the ordinary sense it is the
    partial derivative, and on those of a higher one it vanishes at 0: so the coefficients come degree by degree.
    """
    algebra = basis.algebra
    wanted = [
        tuple(e.tolist())
        for e in algebra.exponents
        if not e[j:].any() and e.sum() > 1 and e[:j] @ weights[:j] < weights[j]
    ]
    rest, correction = algebra.variables()[j], algebra.constant(0.0)
    for degree in sorted({sum(alpha) for alpha in wanted}):
        derivative = _derivatives(basis, rest)
        part = algebra.constant(0.0)
        for alpha in wanted:
            if sum(alpha) == degree:
                number, found = algebra.number[alpha], derivative(alpha) * (1 / prod(map(factorial, alpha)))
                part.value[number], part.noise[number] = found.value[0], found.noise[0]
        part = part.cleaned()
        rest, correction = rest - part, correction + part
    return correction


def _inverse(corrections: Series, algebra: Algebra) -> Series:
    """Return y as polynomials in z, from y_j = z_j + h_j(y_1(z) … y_(j-1)(z)): exact, of weight w_j at most."""
    found = algebra.variables()
    for j, z in enumerate(algebra.variables()):
        found[j] = (z + corrections[j].evaluate(found)).cleaned()
    return Series.stack(found)
