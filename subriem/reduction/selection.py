"""What equations leave open, and the motion chosen there: of least |W y^(d)|.

For D theta' = w with more parameters than equations this is the horizontal motion theta' = D^+ w; for the multipliers
of equations that stand twice it is the least-norm multiplier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from subriem.core.equilibrated import kernel_basis
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.reduction.certificate import NAMED


@dataclass(frozen=True, eq=False)
class Selection:
    """How the open directions of the highest derivatives are chosen.

    Attributes
    ----------
    weights : (n,) ndarray
        W; definite on what is open.
    motion : tuple of int
        Variables in the open directions that move the state.
    multipliers : tuple of int
        Algebraic variables in the open directions that move nothing.
    still : int
        Number of directions of the second sort.
    """

    weights: Array
    motion: tuple[int, ...]
    multipliers: tuple[int, ...]
    still: int


def select(
    kernel: Array, d: Sequence[int], names: Sequence[str], declared: Mapping[int, float], policy: RankPolicy
) -> Selection:
    """Choose the weights W.

    Parameters
    ----------
    kernel : (n, m) ndarray
        Orthonormal basis of what the equations leave open of the y_j^(d_j).
    d : sequence of int
        Orders of these derivatives; 0 for algebraic variables.
    names : sequence of str
    declared : mapping of int to float
        Weights a user declared, by variable.
    policy : RankPolicy

    Raises
    ------
    ProblemError
        If an algebraic variable that moves others is open and no weight says how to choose it.
    """
    algebraic = np.asarray(d) == 0
    still = kernel @ kernel_basis(kernel[~algebraic], policy)
    motion = kernel - still @ (still.T @ kernel)
    quiet, moved = _support(still), _support(motion)
    weights = np.zeros(algebraic.size)
    for j, value in declared.items():
        weights[j] = value
    if not declared:
        weights[~algebraic] = 1.0
    weights[quiet & (weights == 0)] = 1.0
    open_ = np.flatnonzero(moved & algebraic) if not declared else _unweighted(kernel, weights, policy)
    if open_.size:
        listed = ", ".join(names[int(j)] for j in open_[:6])
        raise ProblemError(
            f"the equations do not determine {listed}, and nothing says how to choose",
            f"{kernel.shape[1]} directions are open",
            "as many equations, or a weight for what is to be small",
            f"weights={{'{names[open_[0]]}': 1.0}}, or give it as an input",
        )
    return Selection(
        weights, tuple(map(int, np.flatnonzero(moved))), tuple(map(int, np.flatnonzero(quiet))), still.shape[1]
    )


def _support(basis: Array) -> np.ndarray:
    return np.linalg.norm(basis, axis=1) > NAMED if basis.shape[1] else np.zeros(basis.shape[0], dtype=bool)


def _unweighted(kernel: Array, weights: Array, policy: RankPolicy) -> np.ndarray:
    """Return the variables in open directions in which W is zero."""
    return np.flatnonzero(_support(kernel @ kernel_basis(weights[:, None] * kernel / weights.max(), policy)))
