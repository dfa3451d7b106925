"""Functions of matrices: factorizations W2 W1, Rayleigh quotients, and the trace on the orthogonal group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.critical.adapters import rest_problem
from subriem.flows.constrained import constrained
from subriem.flows.customcost import potential
from subriem.zoo.critical.case import Case, Expected


def baldi_hornik(p: int, q: int, h: int) -> Case:
    """Return |W2 W1 - Y|^2/2, W2 (p, h), W1 (h, q), Y (p, q) with singular values m, …, 1, m = min(p, q).

    For each set S of r <= h singular values there is a stratum in which W2 W1 is the part of Y on S, of dimension
    r (2h - r) + |p - q| (h - r) where it is smooth.
    """
    m = min(p, q)
    Y = np.zeros((p, q))
    Y[range(m), range(m)] = np.arange(m, 0, -1.0)

    def loss(x: ca.SX) -> ca.SX:
        W2, W1 = ca.reshape(x[: p * h], p, h), ca.reshape(x[p * h :], h, q)
        return ca.sumsqr(W2 @ W1 - Y) / 2

    strata = [S for r in range(min(h, m) + 1) for S in combinations(range(m), r)]
    return Case(
        name=f"factors-{p}-{q}-{h}",
        title=f"linear network of widths {q}, {h}, {p}",
        source="Baldi, Hornik, Neural networks and principal component analysis, Neural Networks 2 (1989)",
        problem=potential(loss, p * h + h * q, least=0.0),
        expected=tuple(Expected(*_stratum(p, q, h, S)) for S in strata),
        options={"starts": 200, "box": 3.0, "trace": False},
    )


def _stratum(p: int, q: int, h: int, S: Sequence[int]) -> tuple[int, int, tuple[int, ...] | None]:
    """Return dimension, index and Betti numbers of the stratum of S; singular values are in decreasing order."""
    r, m = len(S), min(p, q)
    larger = sum(j < i for i in S for j in range(m) if j not in S)
    dimension = r * (2 * h - r) + abs(p - q) * (h - r)
    return dimension, larger + (h - r) * (m - r), None if dimension else (1,)


def rayleigh(multiplicities: Sequence[int]) -> Case:
    """Return x^T A x/2 on the sphere up to sign, A with eigenvalues 1, 2, … of these multiplicities.

    Rest points are projective spaces of dimension m_i - 1, of index m_1 + … + m_(i-1). Those of dimension 1 and 2 are
    seen on the sphere as S^1 and S^2.
    """
    values = np.repeat(np.arange(1.0, len(multiplicities) + 1), multiplicities)
    flow = constrained(
        lambda x: ca.dot(values * x, x) / 2, phi=lambda x: [ca.sumsqr(x) - 1], dim=len(values)
    )  # fmt: skip
    betti = {1: (1,), 2: (1, 1), 3: (1, 0, 1)}
    below = np.cumsum([0, *multiplicities]).tolist()
    return Case(
        name="rayleigh-" + "-".join(map(str, multiplicities)),
        title=f"Rayleigh quotient with multiplicities {', '.join(map(str, multiplicities))}",
        source="Bott, Nondegenerate critical manifolds, Ann. of Math. 60 (1954)",
        problem=replace(rest_problem(flow), canonical=_positive),
        expected=tuple(Expected(k - 1, i, betti[k]) for k, i in zip(multiplicities, below, strict=False)),
    )


def _positive(x: Array) -> Array:
    """Return the one of x and -x whose largest entry is positive."""
    return x if x[np.argmax(np.abs(x))] > 0 else -x


def trace_on_rotations() -> Case:
    """Return tr R on O(3): on SO(3) the half turns RP^2 as minima and 1 as a maximum; the negatives of both beside."""
    upper = [(i, j) for i in range(3) for j in range(i, 3)]

    def phi(y: ca.SX) -> list[ca.SX]:
        R = ca.reshape(y, 3, 3)
        gram = R.T @ R - ca.DM.eye(3)
        return [gram[i, j] for i, j in upper]

    return Case(
        name="trace-rotations",
        title="the trace on the orthogonal group O(3)",
        source="Frankel, Critical submanifolds of the classical groups and Stiefel manifolds, 1965",
        problem=constrained(lambda y: ca.trace(ca.reshape(y, 3, 3)), phi=phi, dim=9),
        expected=(
            Expected(2, 0, (1, 1, 1)), Expected(2, 1, (1, 1, 1)), Expected(0, 0, (1,)), Expected(0, 3, (1,)),
        ),
        options={"box": 1.5, "starts": 64, "step": 0.4},
    )  # fmt: skip


MAKERS: dict[str, Callable[[], Case]] = {
    "factors-4-2-2": partial(baldi_hornik, 4, 2, 2),
    "factors-3-3-2": partial(baldi_hornik, 3, 3, 2),
    "rayleigh-1-2-1": partial(rayleigh, (1, 2, 1)),
    "rayleigh-2-3": partial(rayleigh, (2, 3)),
    "trace-rotations": trace_on_rotations,
}
