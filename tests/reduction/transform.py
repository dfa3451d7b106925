"""The same DAE written differently: equations mixed, repeated and scaled, variables mixed, scaled and renamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import casadi as ca
import numpy as np

from subriem.reduction.dae import DAE, build
from subriem.reduction.jets import Jets

Rows = list[tuple[str, ca.SX]]


def rewritten(
    dae: DAE,
    rows: Callable[[Rows, Jets], Rows] = lambda rows, jets: rows,
    *,
    matrix: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> DAE:
    """Return the DAE with its named residuals rewritten, in new variables z with y = matrix z (the same ones if None).

    `rows` gets the residuals by name and the jets of z; parameters are put in as numbers.
    """
    names = [f"y{j}" for j in range(len(dae.variables))] if names is None else list(names)
    mix = np.eye(len(names)) if matrix is None else matrix

    def define(jets: Jets, v, p) -> Rows:
        old = [
            sum((float(mix[j, i]) * jets(i, k) for i in range(len(names)) if mix[j, i]), start=ca.SX(0))
            for j, k in dae.places
        ]
        residuals = dae.function(jets.t, ca.vertcat(*old), dae.data(0.0))
        return rows(list(zip(dae.equations, ca.vertsplit(residuals), strict=True)), jets)

    return build(f"{dae.name}, rewritten", dict.fromkeys(names), {}, None, define)


def start(dae: DAE, values: dict[str, float], names: Sequence[str] | None = None, matrix: np.ndarray | None = None):
    """Return values of the variables y and their derivatives as those of z, for y = matrix z, where they follow."""
    names = [f"y{j}" for j in range(len(dae.variables))] if names is None else list(names)
    back = np.eye(len(names)) if matrix is None else np.linalg.inv(matrix)
    found: dict[str, float] = {}
    for k in range(3):
        known = np.array([values.get(name + "'" * k, np.nan) for name in dae.variables])
        for name, row in zip(names, back, strict=True):
            value = float(row[row != 0] @ known[row != 0])
            if np.isfinite(value):
                found[name + "'" * k] = value
    return found
