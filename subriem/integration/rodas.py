"""One step of the L-stable Rosenbrock method RODAS of order 4(3) (Hairer and Wanner, Solving ODEs II, VI.4).

For stiff autonomous fields of moderate size: one Jacobian, one LU factorization and six stages a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from subriem.core.protocols import Array

ORDER = 4
GAMMA = 0.25
_A = np.zeros((6, 6))
_A[1, :1] = [1.544]
_A[2, :2] = [0.9466785280815826, 0.2557011698983284]
_A[3, :3] = [3.314825187068521, 2.896124015972201, 0.9986419139977817]
_A[4, :4] = [1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950]
_A[5, :5] = [*_A[4, :4], 1.0]
_C = np.zeros((6, 6))
_C[1, :1] = [-5.6688]
_C[2, :2] = [-2.430093356833875, -0.2063599157091915]
_C[3, :3] = [-0.1073529058151375, -9.594562251023355, -20.47028614809616]
_C[4, :4] = [7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160]
_C[5, :5] = [8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054]


@dataclass(frozen=True, eq=False)
class ImplicitTrial:
    """A step before anybody accepted it.

    Attributes
    ----------
    y : (m,) ndarray
        The new point, of order 4.
    error : (m,) ndarray
        Difference to the embedded method of order 3.
    finite : bool
        Whether every stage was finite; otherwise `y` and `error` mean nothing.
    """

    y: Array
    error: Array
    finite: bool


def attempt(field: Callable[[Array], Array], jacobian: Array, y: Array, f: Array, h: float) -> ImplicitTrial:
    """Compute the stages of one step of an autonomous field; 5 calls of it, fewer if one is not finite.

    Parameters
    ----------
    field : callable
        y -> y'.
    jacobian : (m, m) ndarray
        d field / dy at y.
    y, f : (m,) ndarray
        Where the step starts, and the field there.
    h : float
        Step size.
    """
    matrix = -jacobian
    matrix.flat[:: y.size + 1] += 1.0 / (GAMMA * h)
    factors, pivots, info = lapack.dgetrf(matrix)
    if info != 0:
        return ImplicitTrial(y, y, finite=False)
    stages = np.zeros((6, y.size))
    for i in range(6):
        slope = f if i == 0 else field(y + _A[i, :i] @ stages[:i])
        if not np.isfinite(slope).all():
            return ImplicitTrial(y, y, finite=False)
        stages[i] = lapack.dgetrs(factors, pivots, slope + (_C[i, :i] @ stages[:i]) / h)[0]
    return ImplicitTrial(y + _A[5, :5] @ stages[:5] + stages[5], stages[5], bool(np.isfinite(stages[5]).all()))
