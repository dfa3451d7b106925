"""The two ways to take a step of a flow: explicit of order 8, and linearly implicit of order 4 where it is stiff.

The flow of an under-parametrized map turns stiff near a loss of rank: its linearisation has rates (1 + kappa)/N with
kappa ~ 1/sigma_min^2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from subriem.core.factor import QRFactor
from subriem.core.jacobian import MapJacobian
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.flows.field import ClockField, Point
from subriem.flows.flow import FlowKind
from subriem.integration import dop853, rodas
from subriem.integration.dop853 import DenseStep, HermiteStep, quadrature, quadrature_error, quadrature_uncertainty

#: A quadrature: the integrand at an evaluated point.
Integrand = Callable[[Point], float]
#: Largest K for which Jacobians of the field are formed (K products hvp and second each).
IMPLICIT_SIZE = 200
#: Nodes and weights of Lobatto's rule of order 6 on [0, 1], for quadratures over an implicit step.
_NODES = (0.5 - np.sqrt(5) / 10, 0.5 + np.sqrt(5) / 10)
_WEIGHTS = np.array([1.0, 5.0, 5.0, 1.0]) / 12
#: Value at 1 of the parabola through the nodes 0 and `_NODES`.
_EXTRAPOLATION = np.linalg.solve(np.vander([0.0, *_NODES], increasing=True).T, np.ones(3))


@dataclass(frozen=True)
class Options:
    """What steers the steps.

    Attributes
    ----------
    rtol, atol : float
        A step is accepted if |error| <= atol + rtol * (length of the path to its end), in the 2-norm of parameters.
    project : bool
        One least-norm projection onto the output line after each accepted step.
    stop_on_rank_change : bool
    implicit : bool
        Whether steps may become implicit where the flow is stiff.
    integrands : mapping of str to callable
    """

    rtol: float
    atol: float
    project: bool
    stop_on_rank_change: bool
    implicit: bool
    integrands: Mapping[str, Integrand]


@dataclass(frozen=True, eq=False)
class Step:
    """A step that may be accepted.

    Attributes
    ----------
    h, end : float
    raw : Point
        The flow at the end, before any projection.
    error : float
        2-norm of the error estimate.
    size : float
        Error over tolerance, <= 1.
    amounts : (q,) ndarray
        Quadratures over the step.
    amount_errors : (q,) ndarray
        What they may be off by.
    interpolant : callable
        Ramp (projected minus raw end, or None) -> dense output of the step.
    """

    h: float
    end: float
    raw: Point
    error: float
    size: float
    amounts: Array
    amount_errors: Array
    interpolant: Callable[[Array | None], DenseStep | HermiteStep]


class Stepper(Protocol):
    """Tries steps; `order` rules the step size control."""

    order: int

    def attempt(self, point: Point, h: float, end: float, tolerance: float, *, certify: bool) -> Step | float:
        """Return the step of size h from a point, or its error norm if rejected (inf where it met a NaN)."""
        ...


class ExplicitStepper:
    """DOP853: 11 new evaluations a step and one at its end.

    Parameters
    ----------
    field : ClockField
    integrands : mapping of str to callable
    identity : float
        Admissible error of the integral "alignment" times the rate; ln C is known from it.
    """

    order = dop853.ORDER

    def __init__(self, field: ClockField, integrands: Mapping[str, Integrand], identity: float) -> None:
        self.field, self.integrands, self.identity = field, integrands, identity

    def attempt(self, point: Point, h: float, end: float, tolerance: float, *, certify: bool) -> Step | float:
        """Return the step, or its error norm."""
        rates = [integrate(self.integrands, point)]

        def stage(clock: float, theta: Array) -> Array:
            found = self.field.at(clock, theta)
            rates.append(integrate(self.integrands, found) if found.finite else [])
            return found.velocity

        trial = dop853.attempt(stage, point.clock, point.theta, point.velocity, h)
        if not trial.finite or not np.isfinite(trial.y).all():
            return np.inf
        error = float(np.linalg.norm(trial.error))
        size = error / tolerance
        known = np.array(rates)
        if size <= 1.0:
            size = max(size, self._identity_error(h, known))
        if not size <= 1.0:
            return size
        raw = self.field.at(end, trial.y, certify=certify)
        if not raw.finite:
            return np.inf

        def interpolant(ramp: Array | None) -> DenseStep:
            return DenseStep(self._velocity, point.clock, point.theta, h, trial, raw.velocity, ramp)

        amounts, amount_errors = quadrature(h, known), quadrature_uncertainty(h, known)
        return Step(h, end, raw, error, size, amounts, amount_errors, interpolant)

    def _velocity(self, clock: float, theta: Array) -> Array:
        return self.field.at(clock, theta).velocity

    def _identity_error(self, h: float, rates: Array) -> float:
        """Return the error of ∫ cos^2 phi ds over its tolerance, since C = C0 exp(-2 rate ∫ cos^2 phi ds) is a check.

        Where theta moves fast in a short transient, cos^2 phi changes on a finer scale than theta itself.
        """
        names, rate = list(self.integrands), self.field.flow.cost.rate
        if "alignment" not in names or rate is None:
            return 0.0
        column = names.index("alignment")
        return rate * float(quadrature_error(h, rates[:, [column]])[0]) / self.identity


class ImplicitStepper:
    """RODAS: 5 new evaluations a step, one at its end and two for quadratures, and the Jacobian at its start."""

    order = rodas.ORDER

    def __init__(self, field: ClockField, integrands: Mapping[str, Integrand], identity: float) -> None:
        self.field, self.integrands, self.identity = field, integrands, identity
        #: Jacobians formed.
        self.jacobians = 0
        self._known: tuple[Point, Array, float] | None = None

    @staticmethod
    def suits(field: ClockField) -> bool:
        """Whether Jacobians of the field can be had: K < n or the standard flow, second derivatives, K <= 200."""
        source, flow = field.flow.map, field.flow
        return (
            field.clock == "s"
            and field.dependence is None
            and {"hvp", "second"} <= source.capabilities
            and source.n_in <= IMPLICIT_SIZE
            and (flow.kind is FlowKind.STANDARD or source.n_in < source.n_out)
        )

    def attempt(self, point: Point, h: float, end: float, tolerance: float, *, certify: bool) -> Step | float:
        """Return the step, or its error norm."""
        jacobian, radius = self._jacobian(point)
        if not np.isfinite(radius):
            return np.inf
        trial = rodas.attempt(
            lambda y: self.field.at(point.clock, y).velocity, jacobian, point.theta, point.velocity, h
        )
        if not trial.finite:
            return np.inf
        error = float(np.linalg.norm(trial.error))
        size = error / tolerance
        if not size <= 1.0:
            return size
        raw = self.field.at(end, trial.y, certify=certify)
        if not raw.finite:
            return np.inf
        hermite = HermiteStep(point.clock, end - point.clock, point.theta, point.velocity, raw.theta, raw.velocity)
        inner = [self.field.at(c, hermite(c)) for c in (point.clock + node * h for node in _NODES)]
        rates = np.array([integrate(self.integrands, p) for p in (point, *inner, raw)])
        if not np.isfinite(rates).all():
            return np.inf
        amounts = h * (_WEIGHTS @ rates)
        size = max(size, self._identity_error(point, raw, amounts))
        if not size <= 1.0:
            return size
        # the last node against the parabola through the other three: of order 3, so rather too large than too small
        amount_errors = h * _WEIGHTS[3] * np.abs(rates[3] - _EXTRAPOLATION @ rates[:3])
        return Step(h, end, raw, error, size, amounts, amount_errors, lambda _: hermite)

    def _identity_error(self, point: Point, raw: Point, amounts: Array) -> float:
        """Return the defect of ln C = ln C0 - 2 rate ∫ cos^2 phi ds over the step, over its tolerance.

        Where theta is large, its tolerance alone leaves room to stray from the slow manifold by more than C allows.
        """
        names, rate = list(self.integrands), self.field.flow.cost.rate
        if "alignment" not in names or rate is None or not min(point.cost, raw.cost) > 0:
            return 0.0
        defect = np.log(raw.cost / point.cost) + 2 * rate * amounts[names.index("alignment")]
        return abs(float(defect)) / self.identity

    def radius(self, point: Point) -> float:
        """Return the size of the largest rate of the linearised field at the point; inf where it is not finite."""
        return self._jacobian(point)[1]

    def _jacobian(self, point: Point) -> tuple[Array, float]:
        """Return d velocity/d theta at the point and its spectral radius; a retried step reuses them."""
        if self._known is None or self._known[0] is not point:
            matrix = velocity_jacobian(self.field, point)
            finite = bool(np.isfinite(matrix).all())
            radius = float(np.abs(np.linalg.eigvals(matrix)).max()) if finite else np.inf
            self._known = (point, matrix, radius)
            self.jacobians += 1
        return self._known[1], self._known[2]


def integrate(integrands: Mapping[str, Integrand], point: Point) -> list[float]:
    """Return the integrands at a point."""
    return [float(integrand(point)) for integrand in integrands.values()]


def velocity_jacobian(field: ClockField, point: Point) -> Array:
    """Return d velocity/d theta of the s-flow, shape (K, K), from second derivatives of the map.

    With w = -grad C, g v = D^T w gives, differentiated,
    (g + mu) dv = (H_{w - D v} - D^T C'' D - D^T D^2x[., v]) dtheta; for the standard flow v = D^T w,
    dv = (H_w - D^T C'' D) dtheta.
    """
    flow, theta = field.flow, point.theta
    source = flow.map
    entries = source.jacobian(theta)
    bent = np.column_stack([flow.cost.hvp(point.x, column) for column in entries.T])
    standard = flow.kind is FlowKind.STANDARD
    weights = point.push if standard or point.image is None else point.push - point.image
    units = np.eye(source.n_in)
    matrix = np.column_stack([source.hvp(theta, weights, unit) for unit in units])  # type: ignore[attr-defined]
    matrix -= entries.T @ bent
    if standard:
        return matrix
    second = source.second  # type: ignore[attr-defined]
    turning = np.column_stack([second(theta, unit, point.velocity) for unit in units])
    matrix -= entries.T @ turning
    return QRFactor(MapJacobian(source, theta), flow.damping).solve_normal(matrix)


def roundoff(point: Point, sigma_min: float, sigma_max: float) -> float:
    """Return the size of the roundoff in the velocity: eps (cond + cond^2 |w - D v|/(sigma_max |v|)) |v|.

    The second term is that of least squares with a residual (Golub and Van Loan, 5.3.8); near a loss of rank the
    steps must not be asked for more.
    """
    if point.image is None or not sigma_min > 0:
        return 0.0
    # damping adds sqrt(mu) to every singular value of the augmented matrix
    lift = np.sqrt(point.factor.damping) if point.factor is not None else 0.0
    sigma_min, sigma_max = float(np.hypot(sigma_min, lift)), float(np.hypot(sigma_max, lift))
    cond = sigma_max / sigma_min
    unreachable = float(np.linalg.norm(point.push - point.image)) if point.factor_is_tall else 0.0
    return EPS * (cond * point.speed + cond**2 * unreachable / sigma_max)
