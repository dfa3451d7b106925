"""One step of the explicit Runge-Kutta method DOP853 (Hairer, Norsett, Wanner, II.10) and its dense output.

The coefficients are SciPy's; the step is separate from any loop, so that a loop may project, reject for its own
reasons, and keep its whole state in plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.polynomial import polynomial as power

from subriem.core.protocols import Array

#: y' = f(t, y); a stage may return NaN, which rejects the step.
RightHandSide = Callable[[float, Array], Array]

ORDER = 8
STAGES = 12
#: Coefficients of a refined interpolant, of degree 8.
COEFFICIENTS = 8
#: Constant of the starting step.
FIRST = 2.5
#: (err5/err3)^2 of a quadrature above which the step does not resolve the function: chosen for e^{-ct}, c h >> 1.
UNRESOLVED = 0.02
#: Nodes of Lobatto's rule with 8 points on [0, 1], without the ends and without one of the middle: there the refined
#: interpolant takes the field. The tangent at the node left out follows from the mean of the tangents, by the rule.
REFINED = np.delete(0.5 + 0.5 * np.sort(legendre.legroots(legendre.legder([0] * 7 + [1]))), 2)


@cache
def tableau() -> Any:
    """Return SciPy's class DOP853, whose attributes A, B, C, E3, E5, D, A_EXTRA, C_EXTRA are the coefficients."""
    from scipy.integrate import DOP853  # scipy.integrate is loaded only by those who integrate

    return DOP853


@dataclass(frozen=True, eq=False)
class Trial:
    """A step of size h from (t, y) before anybody accepted it.

    Attributes
    ----------
    y : (m,) ndarray
        The new point, of order 8.
    error : (m,) ndarray
        Embedded error estimate of order 5, damped by that of order 3 where the two disagree.
    stages : (12, m) ndarray
        The derivatives at the stages.
    finite : bool
        Whether every stage was finite; otherwise `y` and `error` mean nothing.
    """

    y: Array
    error: Array
    stages: Array
    finite: bool


def attempt(field: RightHandSide, t: float, y: Array, f: Array, h: float) -> Trial:
    """Compute the stages of one step; 11 calls of the field, fewer if one is not finite.

    Parameters
    ----------
    field : callable
        (t, y) -> y'.
    t, y, f : float, (m,) ndarray, (m,) ndarray
        Where the step starts, and the field there.
    h : float
        Step size.
    """
    method = tableau()
    stages = np.empty((STAGES, y.size))
    stages[0] = f
    for i in range(1, STAGES):
        point = y + h * (method.A[i, :i] @ stages[:i])
        stages[i] = field(t + method.C[i] * h, point)
        if not np.isfinite(stages[i]).all():
            return Trial(y, y, stages, finite=False)
    fifth = h * (method.E5[:STAGES] @ stages)
    third = h * (method.E3[:STAGES] @ stages)
    size5, size3 = np.linalg.norm(fifth), np.linalg.norm(third)
    # Hairer's combination: err5^2/sqrt(err5^2 + 0.01 err3^2)
    blend = size5 / np.hypot(size5, 0.1 * size3) if size5 > 0 else 0.0
    return Trial(y + h * (method.B @ stages), blend * fifth, stages, finite=True)


def quadrature(h: float, rates: Array) -> Array:
    """Return the integral over the step of functions known at the stages, `rates` (12, q), to order 8."""
    return h * (tableau().B @ rates)


def quadrature_error(h: float, rates: Array) -> Array:
    """Return the embedded error estimate of `quadrature`, shape (q,)."""
    fifth, third = _embedded(h, rates)
    size = np.hypot(fifth, 0.1 * third)
    return np.divide(fifth**2, size, out=np.zeros_like(fifth), where=size > 0)


def quadrature_uncertainty(h: float, rates: Array) -> Array:
    """Return what `quadrature` may be off by, shape (q,): err3 err5^2/(err5^2 + 0.02 err3^2).

    Of order 8, as `quadrature_error`, where the step resolves the function. Where it does not, the estimate of order 5
    may be a tenth of the error, and this one tends to that of order 3: a measure for the user, too harsh for a step.
    """
    fifth, third = _embedded(h, rates)
    size = fifth**2 + UNRESOLVED * third**2
    return np.divide(third * fifth**2, size, out=np.zeros_like(fifth), where=size > 0)


def _embedded(h: float, rates: Array) -> tuple[Array, Array]:
    """Return the sizes of the embedded error estimates of order 5 and 3."""
    method = tableau()
    return np.abs(h * (method.E5[:STAGES] @ rates)), np.abs(h * (method.E3[:STAGES] @ rates))


@cache
def _slopes() -> Array:
    """Return the derivatives of x, x(1-x), x^2(1-x), x^2(1-x)^2, … at the nodes `REFINED`, shape (5, 8)."""
    made, basis = np.empty((REFINED.size, COEFFICIENTS)), np.ones(1)
    for i in range(made.shape[1]):
        basis = power.polymul(basis, [0.0, 1.0] if i % 2 == 0 else [1.0, -1.0])
        made[:, i] = power.polyval(REFINED, power.polyder(basis))
    return made


def _evaluated(coefficients: Array, x: float) -> Array:
    """Return x (c_0 + (1-x) (c_1 + x (c_2 + (1-x) (c_3 + …)))), shape (m,)."""
    value = np.zeros_like(coefficients[0])
    for i in range(len(coefficients) - 1, -1, -1):
        value = (value + coefficients[i]) * (x if i % 2 == 0 else 1 - x)
    return value


class DenseStep:
    """The interpolant of order 8 of one accepted step, tangents too, plus a linear ramp to a projected end.

    Parameters
    ----------
    field : callable
        Called eight times when the interpolant is first used, three times for order 7 and five to refine it.
    t, y, h : float, (m,) ndarray, float
        Start and size of the step.
    trial : Trial
    end : (m,) ndarray
        The field at the raw end of the step.
    ramp : (m,) ndarray or None
        Projected end minus raw end.

    Notes
    -----
    The tangent of the interpolant of order 7 is in error by h^7 in a step. The field at its points is in error by h^8
    only, and so is the polynomial of degree 8 through both ends that has these tangents: Enright, Jackson, Norsett and
    Thomsen, ACM Trans. Math. Softw. 12 (1986) 193.
    """

    def __init__(
        self, field: RightHandSide, t: float, y: Array, h: float, trial: Trial, end: Array, ramp: Array | None
    ) -> None:
        self.t, self.h, self._y, self._ramp = t, h, y, ramp
        self._raw: tuple[RightHandSide, Trial, Array] | None = (field, trial, end)
        self._coefficients: Array | None = None

    @classmethod
    def from_coefficients(cls, t: float, h: float, y: Array, coefficients: Array, ramp: Array | None) -> DenseStep:
        """Rebuild an interpolant from its coefficients (8, m), or (7, m) if it was not refined."""
        made = cls.__new__(cls)
        made.t, made.h, made._y, made._ramp = t, h, y, ramp
        made._raw, made._coefficients = None, coefficients
        return made

    @property
    def coefficients(self) -> Array:
        """The polynomial coefficients (8, m); made at the first use."""
        if self._coefficients is None:
            assert self._raw is not None
            self._coefficients, self._raw = self._refined(self._seventh(*self._raw), self._raw[0]), None
        return self._coefficients

    def _seventh(self, field: RightHandSide, trial: Trial, end: Array) -> Array:
        """Return the coefficients (7, m) of Hairer's interpolant of order 7, from three more stages."""
        method = tableau()
        stages = np.empty((STAGES + 4, self._y.size))
        stages[:STAGES], stages[STAGES] = trial.stages, end
        for i, (row, node) in enumerate(zip(method.A_EXTRA, method.C_EXTRA, strict=True), start=STAGES + 1):
            stages[i] = field(self.t + node * self.h, self._y + self.h * (row[:i] @ stages[:i]))
        change = trial.y - self._y
        made = np.empty((7, self._y.size))
        made[0] = change
        made[1] = self.h * stages[0] - change
        made[2] = 2 * change - self.h * (end + stages[0])
        made[3:] = self.h * (method.D @ stages)
        return made

    def _refined(self, seventh: Array, field: RightHandSide) -> Array:
        """Return the coefficients (8, m) with the ends and end tangents of `seventh`, and the field at its points."""
        slopes, made = _slopes(), np.empty((COEFFICIENTS, self._y.size))
        made[:3] = seventh[:3]
        tangents = [self.h * field(self.t + x * self.h, self._y + _evaluated(seventh, x)) for x in REFINED]
        made[3:] = np.linalg.solve(slopes[:, 3:], np.array(tangents) - slopes[:, :3] @ made[:3])
        return made

    def bend(self, shift: Array) -> None:
        """Move the end of the step by `shift`, as a closing iteration does; the ramp carries it."""
        self._ramp = shift if self._ramp is None else self._ramp + shift

    @property
    def ramp(self) -> Array | None:
        """Projected end minus raw end."""
        return self._ramp

    def __call__(self, t: float) -> Array:
        """Return the point at t, shape (m,)."""
        x = (t - self.t) / self.h
        value = self._y + _evaluated(self.coefficients, x)
        return value if self._ramp is None else value + x * self._ramp

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return 8 * self._y.size * (15 if self._coefficients is None else 10)


class HermiteStep:
    """Cubic Hermite interpolation between two points with their derivatives (order 4): the thinned form."""

    def __init__(self, t: float, h: float, y0: Array, f0: Array, y1: Array, f1: Array) -> None:
        self.t, self.h = t, h
        self._ends = (y0, f0, y1, f1)

    def __call__(self, t: float) -> Array:
        """Return the point at t, shape (m,)."""
        x, (y0, f0, y1, f1) = (t - self.t) / self.h, self._ends
        left, right = self.h * f0 - (y1 - y0), (y1 - y0) - self.h * f1
        return (1 - x) * y0 + x * y1 + x * (1 - x) * ((1 - x) * left + x * right)

    @property
    def nbytes(self) -> int:
        """Memory held beyond the accepted points, in bytes."""
        return 0


def first_step(
    field: RightHandSide, t: float, y: Array, f: Array, span: float, tolerance: Callable[[float], float]
) -> float:
    """Return a starting step size; one call of the field.

    The field turns by its own size within tau = |f|/|f'|, so that a step h makes an error of about
    |f| tau (h/(c tau))^8, and h = c tau (tolerance/(|f| tau))^(1/8). The constant was measured on tanh networks; it
    varies there by 30 %.

    Parameters
    ----------
    span : float
        Largest admissible step.
    tolerance : callable
        Step size -> admissible error in the 2-norm.
    """
    speed = float(np.linalg.norm(f))
    if speed == 0.0:
        return span
    probe = min(1e-4 * (1.0 + float(np.linalg.norm(y))) / speed, span)
    turning = float(np.linalg.norm(field(t + probe, y + probe * f) - f)) / probe
    if not np.isfinite(turning):
        return 0.01 * probe
    tau = min(speed / turning, 1e150) if turning > 0 else np.inf
    if not tau < 10 * span:
        return span
    h = tau
    for _ in range(4):  # the tolerance depends weakly on h
        h = FIRST * tau * (tolerance(h) / (speed * tau)) ** (1 / ORDER)
    return min(h, span)
