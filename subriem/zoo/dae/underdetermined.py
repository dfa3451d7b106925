"""Fewer equations than variables: the motion of least norm is chosen."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sin, sqrt

import casadi as ca
import numpy as np

from subriem.reduction.dae import dae
from subriem.zoo.dae.problem import Problem


def lift() -> Problem:
    """Return D theta' = w for a constant D (2, 3): theta moves by D^+ w."""
    D = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    start = np.array([0.3, -0.2, 1.0])
    direction = np.array([2.0, 1.0, -1.0]) / 3  # D^+ (1, 0): in the range of D^T, and D maps it to (1, 0)

    @dae(variables={"theta": 3})
    def lift(t, v, d, p):
        return {"output": ca.DM(D) @ d(v.theta) - ca.vertcat(ca.cos(t), 0)}

    def exact(t: float) -> dict[str, float]:
        return {f"theta[{i}]": float(x) for i, x in enumerate(start + direction * sin(t))}

    return Problem(
        name="lift",
        title="two equations for three velocities",
        source="linear",
        dae=lift,
        at={"theta": start},
        span=(0.0, 2.0),
        structural_index=None,
        index=0,
        freedom=3,  # every theta is a start
        free=("theta",),
        exact=exact,
        end_digits=15,
    )


def product() -> Problem:
    """Return x' = -x for x = theta1 theta2: the adapted gradient flow of a linear network with two layers.

    The velocity of least norm is along the gradient (theta2, theta1), so theta1^2 - theta2^2 = 3 is conserved, and
    theta1^2 + theta2^2 = sqrt(3^2 + 4 x^2).
    """

    @dae(variables="theta1 theta2")
    def product(t, v, d, p):
        x = v.theta1 * v.theta2
        return {"output": d(x) + x}

    def exact(t: float) -> dict[str, float]:
        x = 2 * exp(-t)
        squares = sqrt(9 + 4 * x**2)
        return {"theta1": sqrt((squares + 3) / 2), "theta2": sqrt(2) * x / sqrt(squares + 3)}

    return Problem(
        name="product",
        title="the adapted flow of a product",
        source="conserved quantity of linear layers",
        dae=product,
        at=exact(0.0),
        span=(0.0, 3.0),
        structural_index=None,
        index=0,
        freedom=2,
        free=("theta1", "theta2"),
        exact=exact,
        end_digits=14,
        invariants={"balance": lambda q: q["theta1"] ** 2 - q["theta2"] ** 2},
    )


MAKERS: dict[str, Callable[[], Problem]] = {"lift": lift, "product": product}
