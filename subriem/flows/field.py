"""A flow as an ordinary differential equation in a chosen clock, evaluated with its certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from subriem.core.dependence import Dependence
from subriem.core.factor import ROUNDOFF, Extremes, Factorization
from subriem.core.jacobian import Jacobian, MapJacobian
from subriem.core.lift import Backend, solve
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.flows.flow import Flow, FlowKind

Clock = Literal["s", "t"]


@dataclass(frozen=True, eq=False)
class Line:
    """The straight output line of the adapted flow: x = x0 + t (end - x0), t = 1 - e^{-rate s}.

    With persistent relations between rows, end = x0 + S S^T (y - x0) is the nearest reachable output
    (docs: mathematics, §1 and §3).
    """

    start: Array
    end: Array
    rate: float

    @property
    def chord(self) -> float:
        """|end - x0|."""
        return float(np.linalg.norm(self.end - self.start))

    def time(self, clock: Clock, value: float) -> float:
        """Return t for a value of the clock."""
        return value if clock == "t" else float(-np.expm1(-self.rate * value))

    def at(self, clock: Clock, value: float) -> Array:
        """Return the point of the line at a value of the clock."""
        if clock == "s":
            return self.end + np.exp(-self.rate * value) * (self.start - self.end)
        return self.start + value * (self.end - self.start)


def to_s(t: Array | float, rate: float) -> Array:
    """Return s = -ln(1 - t)/rate; inf at t = 1."""
    with np.errstate(divide="ignore"):
        return -np.log1p(-np.minimum(np.asarray(t, dtype=float), 1.0)) / rate


def to_t(s: Array | float, rate: float) -> Array:
    """Return t = 1 - e^{-rate s}."""
    return -np.expm1(-rate * np.asarray(s, dtype=float))


@dataclass(frozen=True, eq=False)
class Point:
    """The flow evaluated at one parameter.

    Attributes
    ----------
    clock : float
    theta : (K,) ndarray
    x : (n,) ndarray
    push : (n,) ndarray
        -grad_x C.
    velocity : (K,) ndarray
        d theta / d clock.
    image : (n,) ndarray or None
        D velocity; None for the standard flow, which does not need it.
    factor : Factorization or None
    cost : float
    """

    clock: float
    theta: Array
    x: Array
    push: Array
    velocity: Array
    image: Array | None
    factor: Factorization | None
    cost: float

    @property
    def speed(self) -> float:
        """|d theta / d clock|."""
        return float(np.linalg.norm(self.velocity))

    @property
    def factor_is_tall(self) -> bool:
        """Whether the factored Jacobian has more rows than columns, so that w - D v need not vanish."""
        return self.factor is not None and self.factor.jacobian.shape[0] > self.factor.jacobian.shape[1]

    @property
    def finite(self) -> bool:
        """Whether velocity and cost are finite."""
        return bool(np.isfinite(self.velocity).all() and np.isfinite(self.cost))

    @property
    def alignment(self) -> float:
        """cos^2 phi = w.F w/|w|^2, w the push, F = D D^+ or its damped form (docs: mathematics, §2); s-clock only."""
        size = float(self.push @ self.push)
        if self.image is None or size == 0.0:
            return np.nan
        return float(self.push @ self.image) / size


class ClockField:
    """The field of a flow in a clock.

    Parameters
    ----------
    flow : Flow
    clock : {"s", "t"}
        "t" needs `line`: d theta/dt = D^+ (end - x0), open loop.
    rank : RankPolicy
    dependence : Dependence or None
        Persistent relations, compressed before every factorization.
    line : Line or None
    memory : float
        Largest explicit D in bytes.
    start : Backend
        Where the escalation of the lift begins.
    accuracy : float
        Relative residual to which a Gram solve is refined.
    """

    def __init__(
        self,
        flow: Flow,
        clock: Clock,
        rank: RankPolicy,
        dependence: Dependence | None,
        line: Line | None,
        memory: float,
        start: Backend = "auto",
        accuracy: float = ROUNDOFF,
    ) -> None:
        self.flow, self.rank = flow, rank
        self.clock: Clock = clock
        self.dependence, self.line, self.memory = dependence, line, memory
        self.start: Backend = start
        self.accuracy = accuracy
        self.scale = 0.0
        #: Parameters at which the map was evaluated.
        self.evaluations = 0
        self.backends: dict[str, int] = {}

    def jacobian(self, theta: Array) -> Jacobian:
        """Return D, compressed by the persistent relations."""
        jacobian = MapJacobian(self.flow.map, theta)
        return self.dependence.compress(jacobian) if self.dependence is not None else jacobian

    def right_hand_side(self, w: Array) -> Array:
        """Return S^T w, or w without relations."""
        if self.dependence is None or not self.dependence.nullity:
            return w
        return self.dependence.basis.T @ w

    def expand(self, image: Array) -> Array:
        """Return S image, or the image without relations."""
        if self.dependence is None or not self.dependence.nullity:
            return image
        return self.dependence.basis @ image

    def at(self, clock: float, theta: Array, *, certify: bool = False) -> Point:
        """Evaluate the flow; with `certify` the rank is decided, else only pivots are looked at."""
        self.evaluations += 1
        flow = self.flow
        x = flow.map.value(theta)
        push = -flow.cost.gradient(x)
        cost = flow.cost.value(x)
        if not np.isfinite(cost):
            return Point(clock, theta, x, push, np.full_like(theta, np.nan), None, None, cost)
        if flow.kind is FlowKind.STANDARD:
            return Point(clock, theta, x, push, flow.map.vjp(theta, push), None, None, cost)
        if self.clock == "t":
            assert self.line is not None
            wanted = self.line.end - self.line.start
        else:
            wanted = push
        velocity, image, factor = self.lift(theta, wanted, certify=certify)
        return Point(clock, theta, x, push, velocity, image, factor, cost)

    def lift(self, theta: Array, w: Array, *, certify: bool = False) -> tuple[Array, Array, Factorization]:
        """Return D^+ w (or its damped form), its image and the factorization used."""
        right = self.right_hand_side(w)
        certify = certify and not self.flow.damping
        factor, (velocity, _, image) = solve(
            self.jacobian(theta),
            right,
            self.rank,
            damping=self.flow.damping,
            scale=self.scale,
            start=self.start,
            certify=certify,
            accuracy=self.accuracy,
            memory=self.memory,
        )
        self.backends[factor.backend] = self.backends.get(factor.backend, 0) + 1
        return velocity, self.expand(image), factor

    def certified(self, point: Point) -> Point:
        """Return the point with a decided rank, at the price of a second factorization where it has none."""
        if point.factor is None or point.factor.decision is not None or self.flow.damping:
            return point
        self.evaluations -= 1  # the same parameter again is no new evaluation of the map
        return self.at(point.clock, point.theta, certify=True)

    def correction(self, point: Point, target: Array) -> Array:
        """Return the least-norm step D^+ (target - x) with the factorization of the point."""
        assert point.factor is not None
        return point.factor.solve(self.right_hand_side(target - point.x))[0]

    def extremes(self, point: Point) -> Extremes | None:
        """Return the extreme singular values of (compressed) D at the point; None for the standard flow."""
        if point.factor is None:
            return None
        found = point.factor.extremes()
        self.scale = max(self.scale, found.sigma_max)
        return found
