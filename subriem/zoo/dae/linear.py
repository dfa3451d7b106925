"""Linear systems E y' + A y = f(t) of any size and index."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import cos, exp, pi, sin

import casadi as ca
import numpy as np

from subriem.reduction.dae import DAE, dae
from subriem.reduction.declare import scalar_names
from subriem.zoo.dae.problem import Problem


def chain(m: int) -> Problem:
    """Return y1 = sin t, y1' = y2, ..., ym' = y(m+1): the last needs m derivatives of sin, its derivative one more."""

    @dae(variables={"y": m + 1})
    def chain(t, v, d, p):
        return {"start": v.y[0] - ca.sin(t), "chain": d(v.y[:-1]) - v.y[1:]}

    def exact(t: float) -> dict[str, float]:
        return {f"y[{k}]": sin(t + k * pi / 2) for k in range(m + 1)}

    return Problem(
        name=f"chain-{m + 1}",
        title=f"a chain of index {m + 1}",
        source="sin t and its derivatives",
        dae=chain,
        at={"y": np.array(list(exact(0.0).values()))},
        span=(0.0, 1.0),
        structural_index=m + 1,
        index=m + 1,
        freedom=0,
        exact=exact,
        end_digits=15,
    )


def reissig(N: int) -> Problem:
    """Return Reissig, Martinson and Barton's pencil: its structural index N + 1 grows, its index is 1.

    The difference of the equations 2k and 2k+1 is x_2k - x_2k+1 = sin - cos: every derivative is known after one
    differentiation. Each x_2k+1 may be chosen; all are chosen such that the solution is periodic.
    """

    @dae(variables={"x": 2 * N + 1})
    def reissig(t, v, d, p):
        rows = []
        for k in range(N):
            rate = d(v.x[2 * k + 1]) + d(v.x[2 * k + 2])
            rows += [
                (f"sin_{k}", rate + v.x[2 * k] - ca.sin((k + 1) * t)),
                (f"cos_{k}", rate + v.x[2 * k + 1] - ca.cos((k + 1) * t)),
            ]
        return [*rows, ("end", v.x[2 * N] - ca.sin(t))]

    w = np.arange(1, N + 1)  # the frequencies; x_i = Re sum_w X[i, w] exp(i w t)
    X = np.zeros((2 * N + 1, N), dtype=complex)
    X[2 * N, 0] = -1j
    for k in reversed(range(N)):
        cosine = (w == k + 1).astype(complex)
        X[2 * k + 1] = (cosine - 1j * w * X[2 * k + 2]) / (1 + 1j * w)
        X[2 * k] = X[2 * k + 1] - 1j * cosine - cosine

    def exact(t: float) -> dict[str, float]:
        return dict(zip(scalar_names("x", 2 * N + 1), np.real(X @ np.exp(1j * w * t)).tolist(), strict=True))

    return Problem(
        name=f"reissig-{N}",
        title="structural index beyond the index",
        source="Reissig, Martinson & Barton, SIAM J. Sci. Comput. 21 (2000) 1987-1990",
        dae=reissig,
        at={"x": np.array(list(exact(0.0).values()))},
        span=(0.0, 3.0),
        structural_index=N + 1,
        index=1,
        freedom=N,
        hidden=tuple(f"{name}_{k}" for k in range(N) for name in ("sin", "cos")),
        exact=exact,
        end_digits=14,
    )


def pencil() -> Problem:
    """Return a pencil of given Weierstrass form, with rows and columns mixed so that no entry of E is zero.

    Finite eigenvalues -1, i, -i: freedom 3. Nilpotent blocks of sizes 3 and 2: index 3. Its incidence says index 0.
    """
    E, A = np.eye(8), np.eye(8)
    A[1:3, 1:3] = [[0, -1], [1, 0]]
    E[3:6, 3:6], E[6:8, 6:8] = np.eye(3, k=1), np.eye(2, k=1)
    lower = np.tril(np.ones((8, 8)))
    # Integer matrices of determinant 1: nothing is rounded.
    left, right = lower @ (2 * np.triu(np.ones((8, 8)), 1) + np.eye(8)), lower.T @ lower
    back = np.rint(np.linalg.inv(right))

    def force(t: ca.SX) -> ca.SX:
        return ca.vertcat(0, 0, 0, 0, 0, ca.sin(t), 0, ca.cos(2 * t))

    def exact(t: float) -> dict[str, float]:
        finite, three, two = [exp(-t), cos(t), -sin(t)], [-sin(t), -cos(t), sin(t)], [2 * sin(2 * t), cos(2 * t)]
        return dict(zip(scalar_names("y", 8), (back @ np.array(finite + three + two)).tolist(), strict=True))

    def right_hand_side(t: ca.SX, y: ca.SX) -> ca.SX:
        return ca.DM(left) @ force(t) - ca.DM(left @ A @ right) @ y

    system = DAE.from_mass_matrix(left @ E @ right, right_hand_side, name="pencil")
    return Problem(
        name="pencil",
        title="a pencil of given Weierstrass form",
        source="linear",
        dae=system,
        at={"y": np.array(list(exact(0.0).values()))},
        span=(0.0, 2.0),
        structural_index=0,
        index=3,
        freedom=3,
        hidden=system.equations,
        exact=exact,
        end_digits=13,
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    "chain-6": partial(chain, 5),
    "chain-201": partial(chain, 200),
    **{f"reissig-{N}": partial(reissig, N) for N in (1, 2, 3, 5)},
    "pencil": pencil,
}
