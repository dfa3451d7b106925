"""Borderline (K = n): continuous Newton, and what happens where D loses rank or theta runs away.

x = theta^2 with target -1 meets a fold at theta = 0, x = tanh(theta) with target 2 escapes to infinity, both at
s* = ln 2. A solver must say so; it must not return a number.
"""

import casadi as ca
import numpy as np

import subriem as sr


def main() -> dict[str, float]:
    """Return the located s* of the fold and of the escape, and the error of a regular run."""
    fold = sr.flows.adapted(sr.map(lambda t: [t[0] ** 2], 1), sr.flows.squared_error([-1.0]))
    escape = sr.flows.adapted(sr.map(lambda t: [ca.tanh(t[0])], 1), sr.flows.squared_error([2.0]))
    regular = sr.flows.adapted(
        sr.map(lambda t: [t[0] + t[1] ** 3, ca.sinh(t[1])], 2), sr.flows.squared_error([[1.0, 1.0]])
    )
    at_fold, escaped = sr.follow(fold, [1.0]), sr.follow(escape, [0.0])
    newton = sr.follow(regular, [0.0, 0.0])
    exact = np.array([1 - np.arcsinh(1.0) ** 3, np.arcsinh(1.0)])

    for name, path in (("theta^2, y = -1", at_fold), ("tanh, y = 2", escaped), ("regular", newton)):
        print(f"{name:16s} {path.headline()}")
    return {
        "fold": at_fold.s[-1],
        "escape": escaped.s[-1],
        "fold_named": float(at_fold.status is sr.Status.RANK_CHANGED),
        "escape_named": float(escaped.status is sr.Status.ESCAPED),
        "newton": float(np.linalg.norm(newton.theta - exact)),
    }


if __name__ == "__main__":
    result = main()
    assert abs(result["fold"] - np.log(2)) < 1e-6
    assert abs(result["escape"] - np.log(2)) < 1e-6
    assert result["fold_named"] == result["escape_named"] == 1.0
    assert result["newton"] < 1e-13
