"""Symmetries of layered networks: hidden units may change places and, where the activation is odd, signs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from subriem.core.protocols import Array

#: Digits of a weight, relative to the largest of its layer, that decide the order of two units: roundoff does not.
DIGITS = 6


def canonical_weights(params: Mapping[str, Array], layers: int, odd: bool) -> dict[str, Array]:
    """Return the representative of the weights under exchanges and changes of sign of hidden units.

    Parameters
    ----------
    params : mapping
        W1 (out, in), b1 (out,), W2, … of `layers` layers; b may be missing.
    layers : int
    odd : bool
        Whether a(-z) = -a(z).

    Returns
    -------
    dict
        The same names. Layer by layer from below the largest weight into each unit (its bias among them) is positive,
        where the activation is odd, and units stand in the order of the weights into them. Units with the same ones
        are ordered by the sizes of the weights out of them. The output of the network stays.
    """
    found = {name: value.copy() for name, value in params.items()}
    for layer in range(1, layers):
        inner, outer = f"W{layer}", f"W{layer + 1}"
        bias = found[f"b{layer}"] if f"b{layer}" in found else np.zeros(found[inner].shape[0])
        into = np.column_stack([found[inner], bias])
        if odd:
            largest = np.take_along_axis(into, np.abs(into).argmax(axis=1)[:, None], axis=1)[:, 0]
            signs = np.where(largest < 0, -1.0, 1.0)
            into *= signs[:, None]
            found[outer] = found[outer] * signs
        sizes = np.sort(np.abs(found[outer]), axis=0).T  # neither order nor signs of the units above matter
        keys = [np.round(part / (np.abs(part).max() or 1.0), DIGITS) for part in (into, sizes)]
        order = np.lexsort(np.column_stack(keys).T[::-1])
        found[inner], found[outer] = into[order, :-1], found[outer][:, order]
        if f"b{layer}" in found:
            found[f"b{layer}"] = into[order, -1]
    return found
