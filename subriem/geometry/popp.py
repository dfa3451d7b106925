"""Popp's volume, the smooth measure that a sub-Riemannian structure determines where its growth vector is constant."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from subriem.core.errors import GeometryError
from subriem.core.protocols import Array
from subriem.geometry.growth import Flags
from subriem.geometry.privileged import AdaptedFrame, adapted_frame
from subriem.geometry.regularity import equiregular, require_generating


def popp(flags: Flags, q: Array, steps: int) -> float:
    """Return the density of Popp's volume by the formula of Barilari and Rizzi, 1 / sqrt(det B_1 … det B_r) / |A|.

    A holds the adapted basis; |A| is the volume its vectors span. B_s is the cometric that the s-fold bracket carries
    from the s-th tensor power of the distribution to V^s / V^(s-1).

    Raises
    ------
    GeometryError
        If the point is not regular, or the distribution not bracket-generating there.

    References
    ----------
    Barilari, Rizzi, A formula for Popp's volume in sub-Riemannian geometry (2013), Theorem 1.
    """
    growth = flags.growth(q, steps)
    require_generating(growth, q, "Popp's volume")
    regularity = equiregular(growth)
    if not regularity:
        raise GeometryError(
            "Popp's volume is not defined where the growth vector changes",
            f"{regularity.reason}, q = {np.array2string(q, precision=6)}",
            "a point with one growth vector around it",
            "a point off the singular set: the density tends to infinity there",
        )
    adapted = adapted_frame(flags.frame, q, growth)
    spanned = np.abs(np.diag(np.linalg.qr(growth.basis, mode="r")))
    logarithms = [np.linalg.slogdet(B)[1] / 2 for B in cometrics(adapted, growth.vector)]
    return float(np.exp(-sum(logarithms) - np.log(spanned).sum()))


def cometrics(adapted: AdaptedFrame, vector: tuple[int, ...]) -> list[Array]:
    """Return B_1 … B_r in the adapted basis.

    At a regular point [X_i, .] passes to the quotients, with a matrix M_i from V^(s-1)/V^(s-2) to V^s/V^(s-1). So the
    sum over all brackets of s fields in the formula comes one field at a time, B_s = sum_i M_i B_(s-1) M_i^T. The sum
    is the same for any fields with the cometric sum_i X_i X_i^T: they need not be independent.
    """
    layers = [slice(low, high) for low, high in pairwise((0, *vector))]
    fields, basis = (series.value[..., 0] for series in (adapted.fields, adapted.basis))
    df, db = (series.gradient().value[..., 0] for series in (adapted.fields, adapted.basis))
    brackets = np.einsum("lhm,im->ihl", db, fields) - np.einsum("ihm,lm->ihl", df, basis)
    found = [fields[:, layers[0]].T @ fields[:, layers[0]]]
    for lower, upper in pairwise(layers):
        steps = brackets[:, upper, lower]
        found.append(sum((M @ found[-1] @ M.T for M in steps), np.zeros((upper.stop - upper.start,) * 2)))
    return found
