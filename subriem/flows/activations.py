"""Activation functions of layered networks with their first two derivatives, safe for any finite argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    """An activation function a(z).

    Attributes
    ----------
    name : str
    evaluate : callable
        z -> (a(z), a'(z)), arrays of the same shape.
    curvature : callable
        (a(z), a'(z)) -> a''(z): each function here satisfies a differential equation, so z need not be kept.
    symbolic : callable
        casadi.SX -> casadi.SX.
    odd : bool
        Whether a(-z) = -a(z).
    steepest : float
        Supremum of |a'|.
    bounds : tuple of float
        Infimum and supremum of a.
    piecewise : bool
        Whether a' jumps.
    """

    name: str
    evaluate: Callable[[Array], tuple[Array, Array]]
    curvature: Callable[[Array, Array], Array]
    symbolic: Callable[[Any], Any]
    odd: bool = False
    steepest: float = 1.0
    bounds: tuple[float, float] = (-np.inf, np.inf)
    piecewise: bool = False


def _tanh(z: Array) -> tuple[Array, Array]:
    a = np.tanh(z)
    return a, 1.0 - a * a


def _sigmoid(z: Array) -> tuple[Array, Array]:
    # exp of a non-positive number only: no overflow, and tails keep their relative accuracy
    e = np.exp(-np.abs(z))
    big = 1.0 / (1.0 + e)
    return np.where(z < 0, e * big, big), e * big * big


def _softplus(z: Array) -> tuple[Array, Array]:
    return np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0.0), _sigmoid(z)[0]


def _relu(z: Array) -> tuple[Array, Array]:
    return np.maximum(z, 0.0), (z > 0).astype(np.float64)


def _linear(z: Array) -> tuple[Array, Array]:
    return z, np.ones_like(z)


def _flat(a: Array, slope: Array) -> Array:
    return np.zeros_like(slope)


def _tanh_symbolic(z: Any) -> Any:
    import casadi as ca

    return ca.tanh(z)


def _sigmoid_symbolic(z: Any) -> Any:
    import casadi as ca

    return (1 + ca.tanh(z / 2)) / 2


def _softplus_symbolic(z: Any) -> Any:
    import casadi as ca

    return ca.log1p(ca.exp(-ca.fabs(z))) + ca.fmax(z, 0)


def _relu_symbolic(z: Any) -> Any:
    import casadi as ca

    return ca.if_else(z > 0, z, 0)


_TANH = Activation("tanh", _tanh, lambda a, d: -2.0 * a * d, _tanh_symbolic, odd=True, bounds=(-1.0, 1.0))
_SIGMOID = Activation(
    "sigmoid", _sigmoid, lambda a, d: d * (1.0 - 2.0 * a), _sigmoid_symbolic, steepest=0.25, bounds=(0.0, 1.0)
)
_SOFTPLUS = Activation("softplus", _softplus, lambda a, d: d * (1.0 - d), _softplus_symbolic, bounds=(0.0, np.inf))
_RELU = Activation("relu", _relu, _flat, _relu_symbolic, bounds=(0.0, np.inf), piecewise=True)
_LINEAR = Activation("linear", _linear, _flat, lambda z: z, odd=True)

#: The activations that `network` knows, by name.
ACTIVATIONS: dict[str, Activation] = {a.name: a for a in (_TANH, _SIGMOID, _SOFTPLUS, _RELU, _LINEAR)}
