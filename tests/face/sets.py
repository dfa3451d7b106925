"""Sets of rest points that the tests of pictures and reports share."""

from functools import cache

import casadi as ca

import subriem as sr
from subriem.critical.adapters import rest_problem
from subriem.critical.continuation import with_parameter
from subriem.critical.equilibriumset import EquilibriumSet
from subriem.critical.graph import connecting_orbits
from subriem.zoo.critical import get

XY, XYZ = ("x", "y"), ("x", "y", "z")


@cache
def circle() -> EquilibriumSet:
    """Return the unit circle of index 0, and the origin of index 2."""
    return get("circle").find()


@cache
def sphere() -> EquilibriumSet:
    """Return the unit sphere of index 0, by few charts, and the origin of index 3."""
    return get("sphere-2").find(starts=[[1.0, 0.0, 0.0], [0.0, 0.0, 0.01]])


@cache
def torus() -> EquilibriumSet:
    """Return the product of two unit circles in R^4."""
    return get("product-torus").find(starts=[[1.0, 0.0, 1.0, 0.0]], step=0.3)


@cache
def disc() -> EquilibriumSet:
    """Return a surface in R^4 that leaves the box."""
    return get("no-loss-2").find(step=0.2)


@cache
def spiral() -> EquilibriumSet:
    """Return the z-axis of H = |q|^2/2 on the Heisenberg group, with eigenvalues -1 ± i z/2."""
    flow = sr.flows.constrained(lambda q: ca.sumsqr(q) / 2, forms=lambda q: [[q[1] / 2, -q[0] / 2, 1.0]], dim=3)
    return sr.equilibria(flow, box=3.0, starts=4)


@cache
def fold() -> EquilibriumSet:
    """Return p = x^3 - x with the motion x' = p + x - x^3: folds at x = ±1/sqrt(3)."""
    return sr.equilibria(with_parameter(sr.map(lambda z: [z[1] + z[0] - z[0] ** 3], 2), "p"), starts=4)


@cache
def pitchfork() -> EquilibriumSet:
    """Return x (p - x^2) = 0 with the motion x' = x (p - x^2)."""
    return sr.equilibria(with_parameter(sr.map(lambda z: [z[0] * (z[1] - z[0] ** 2)], 2), "p"), starts=8)


@cache
def circle_graph():
    """Return the orbits from the origin to the unit circle."""
    return connecting_orbits(rest_problem(get("circle").problem), circle().components)
