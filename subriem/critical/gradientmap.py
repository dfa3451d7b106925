"""The equations D^T grad_x C = 0 of the rest points of a gradient flow, and grad_x C = 0 of its zero-loss set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import casadi as ca
import numpy as np

from subriem.core.casadi_map import CasadiMap
from subriem.core.equilibrated import polar
from subriem.core.protocols import Array, Cost, Map
from subriem.core.rank import EPS, RankPolicy

#: Largest K n for which the gradient is written down and differentiated symbolically.
SYMBOLIC = 10_000


class _Curved(Protocol):
    """What the capability "hvp" of a map means."""

    def hvp(self, theta: Array, lam: Array, v: Array, /) -> Array: ...


class GradientFlow(Protocol):
    """What is asked of a flow theta' = -A(theta) grad_x C, A = D^+, D^T (D D^T + damping)^{-1} or D^T, by `kind`."""

    @property
    def map(self) -> Map:
        """The map theta -> x."""
        ...

    @property
    def cost(self) -> Cost:
        """The cost C of x."""
        ...

    @property
    def kind(self) -> str:
        """Either "adapted" or "standard"."""
        ...

    @property
    def damping(self) -> float:
        """The damping mu >= 0."""
        ...

    def velocity(self, theta: Array, rank: RankPolicy, /) -> Array:
        """Return theta'."""
        ...


def curvature(source: Map, theta: Array, lam: Array, v: Array) -> Array:
    """Return sum_a lam_a D^2 x_a v, shape (K,): the map's own, or a central difference of D^T lam."""
    if "hvp" in source.capabilities:
        return cast(_Curved, source).hvp(theta, lam, v)
    h = EPS ** (1 / 3) * max(1.0, float(np.abs(theta).max())) / max(float(np.abs(v).max()), np.finfo(float).tiny)
    return (source.vjp(theta + h * v, lam) - source.vjp(theta - h * v, lam)) / (2 * h)


@dataclass(frozen=True, eq=False)
class GradientMap:
    """theta -> D^T grad_x C = grad_theta C; its Jacobian is the Hessian D^T C'' D + sum_a (dC/dx_a) D^2 x_a."""

    source: Map
    cost: Cost

    capabilities = frozenset[str]()

    @property
    def n_in(self) -> int:
        """K."""
        return self.source.n_in

    @property
    def n_out(self) -> int:
        """The number of equations."""
        return self.source.n_in

    @cached_property
    def _written(self) -> CasadiMap | None:
        """The gradient as an expression, whose Hessian costs one call in the place of K; None where there is none."""
        known = self.cost.is_quadratic or hasattr(self.cost, "functions")  # a custom cost, by its CasADi functions
        if not known or "function" not in self.source.capabilities or self.n_in * self.source.n_out > SYMBOLIC:
            return None
        theta = ca.SX.sym("theta", self.n_in)
        x = cast(Any, self.source).function(theta)
        return CasadiMap(theta, ca.jtimes(x, theta, ca.SX(cast(Any, self.cost).gradient(x)), True))

    def value(self, theta: Array) -> Array:
        """Return the residuals."""
        if self._written is not None:
            return self._written.value(theta)
        return self.source.vjp(theta, self.cost.gradient(self.source.value(theta)))

    def jacobian(self, theta: Array) -> Array:
        """Return their Jacobian."""
        if self._written is not None:
            hessian = self._written.jacobian(theta)
        else:
            D, pushed, bent = self.parts(theta)
            hessian = D.T @ pushed + bent
        return (hessian + hessian.T) / 2

    def parts(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return D, C'' D and sum_a (dC/dx_a) D^2 x_a."""
        x, D = self.source.value(theta), self.source.jacobian(theta)
        push = self.cost.gradient(x)
        bent = np.stack([curvature(self.source, theta, push, unit) for unit in np.eye(self.n_in)])
        return D, weighted(self.cost, x, D), (bent + bent.T) / 2

    def jvp(self, theta: Array, v: Array) -> Array:
        """Return the Jacobian times v."""
        x = self.source.value(theta)
        straight = self.source.vjp(theta, self.cost.hvp(x, self.source.jvp(theta, v)))
        return straight + curvature(self.source, theta, self.cost.gradient(x), v)

    def vjp(self, theta: Array, w: Array) -> Array:
        """Return the transposed Jacobian times w."""
        return self.jvp(theta, w)


@dataclass(frozen=True, eq=False)
class ResidualMap:
    """theta -> grad_x C divided by 2 kappa where C = kappa |x - y|^2: there x - y, and its Jacobian is D."""

    source: Map
    cost: Cost

    capabilities = frozenset[str]()

    @property
    def n_in(self) -> int:
        """K."""
        return self.source.n_in

    @property
    def n_out(self) -> int:
        """The number of equations."""
        return self.source.n_out

    @property
    def _unit(self) -> float:
        return self.cost.rate or 1.0

    def value(self, theta: Array) -> Array:
        """Return the residuals."""
        return self.cost.gradient(self.source.value(theta)) / self._unit

    def jacobian(self, theta: Array) -> Array:
        """Return their Jacobian."""
        return weighted(self.cost, self.source.value(theta), self.source.jacobian(theta)) / self._unit

    def jvp(self, theta: Array, v: Array) -> Array:
        """Return the Jacobian times v."""
        return self.cost.hvp(self.source.value(theta), self.source.jvp(theta, v)) / self._unit

    def vjp(self, theta: Array, w: Array) -> Array:
        """Return the transposed Jacobian times w."""
        return self.source.vjp(theta, self.cost.hvp(self.source.value(theta), w)) / self._unit


def weighted(cost: Cost, x: Array, D: Array) -> Array:
    """Return C'' D, shape (n, K)."""
    if cost.rate is not None:
        return cost.rate * D
    return np.stack([cost.hvp(x, column) for column in D.T], axis=1)


@dataclass(frozen=True, eq=False)
class FlowMotion:
    """The motion of a gradient flow around its rest points."""

    flow: GradientFlow
    rank: RankPolicy

    @cached_property
    def gradient(self) -> GradientMap:
        """Its map of rest points."""
        return GradientMap(self.flow.map, self.flow.cost)

    def energy(self, theta: Array) -> float:
        """Return the cost."""
        return self.flow.cost.value(self.flow.map.value(theta))

    def velocity(self, theta: Array) -> Array:
        """Return theta'."""
        return self.flow.velocity(theta, self.rank)

    def linearize(self, theta: Array) -> tuple[Array, Array]:
        """Return (E, A) with E^-1 A = -Hess C, -(D^T D + damping)^-1 Hess C, or -(D^T D + 1 - P)^-1 Hess C.

        P is the projector on range D^T. For the last, with D = W S, E = S and A = -S^-1 Hess C, where S^-1 D^T = W^T:
        so the condition of D is not squared.
        """
        gradient, unit = self.gradient, np.eye(theta.size)
        if self.flow.kind == "standard":
            return unit, -gradient.jacobian(theta)
        D, pushed, bent = gradient.parts(theta)
        if self.flow.damping:
            return D.T @ D + self.flow.damping * unit, -(D.T @ pushed + bent)
        isometry, root, inverse = polar(D, self.rank)
        return root, -(isometry.T @ pushed + inverse @ bent)


@dataclass(frozen=True, eq=False)
class FieldMotion:
    """The motion z' = F(z)."""

    source: Map

    def linearize(self, z: Array) -> tuple[Array, Array]:
        """Return (1, dF/dz)."""
        return np.eye(self.source.n_in), self.source.jacobian(z)
