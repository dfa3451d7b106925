"""Potentials with symmetries: spheres, tori, and phase retrieval."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import casadi as ca

from subriem.flows.customcost import potential
from subriem.zoo.critical.case import Case, Expected

#: Betti numbers over Z/2 of spheres S^0, S^1, S^2.
SPHERE = {1: (1, 1), 2: (1, 0, 1)}
_BOTT = "Bott, Nondegenerate critical manifolds, Ann. of Math. 60 (1954)"


def sphere(m: int) -> Case:
    """Return V = (|x|^2 - 1)^2/4 on R^m: the sphere S^(m-1), and the origin as a maximum."""
    return Case(
        name="circle" if m == 2 else f"sphere-{m - 1}",
        title=f"(|x|^2 - 1)^2/4 on R^{m}",
        source=_BOTT,
        problem=potential(lambda x: (ca.sumsqr(x) - 1) ** 2 / 4, m, least=0.0),
        expected=(Expected(m - 1, 0, SPHERE[m - 1]), Expected(0, m, (1,))),
    )


def torus(R: float = 2.0, r: float = 1.0) -> Case:
    """Return V = g^2 with g = 0 on the torus of radii R and r; g has a circle and the origin as critical points."""

    def height(x: ca.SX) -> ca.SX:
        return ((ca.sumsqr(x) + R**2 - r**2) ** 2 - 4 * R**2 * (x[0] ** 2 + x[1] ** 2)) ** 2

    return Case(
        name="torus",
        title="the square of an equation of the torus in R^3",
        source=_BOTT,
        problem=potential(height, 3, least=0.0),
        expected=(Expected(2, 0, (1, 2, 1)), Expected(1, 2, (1, 1)), Expected(0, 2, (1,))),
        options={"box": 4.0, "starts": 100},
    )


def product_torus() -> Case:
    """Return V = (|u|^2 - 1)^2/4 + (|v|^2 - 1)^2/4 on R^4: a torus, two circles and the origin."""
    return Case(
        name="product-torus",
        title="two circles in R^2 x R^2",
        source=_BOTT,
        problem=potential(
            lambda x: ((ca.sumsqr(x[:2]) - 1) ** 2 + (ca.sumsqr(x[2:]) - 1) ** 2) / 4, 4, least=0.0
        ),
        expected=(
            Expected(2, 0, (1, 2, 1)), Expected(1, 2, (1, 1)), Expected(1, 2, (1, 1)), Expected(0, 4, (1,)),
        ),
        options={"starts": 200},
    )  # fmt: skip


def phase_retrieval(m: int) -> Case:
    """Return V = 3/2 |x|^4 - |x|^2 |z|^2 - 2 (x.z)^2 + 3/2 |z|^4 with z = e_1: ±z, a sphere of saddles, the origin."""

    def height(x: ca.SX) -> ca.SX:
        return 1.5 * ca.sumsqr(x) ** 2 - ca.sumsqr(x) - 2 * x[0] ** 2 + 1.5

    return Case(
        name=f"phase-{m}",
        title=f"phase retrieval from infinitely many Gaussian measurements on R^{m}",
        source="Sun, Qu, Wright, A geometric analysis of phase retrieval, Found. Comput. Math. 18 (2018)",
        problem=potential(height, m, least=0.0),
        expected=(
            Expected(m - 2, 1, SPHERE[m - 2]), Expected(0, 0, (1,)), Expected(0, 0, (1,)), Expected(0, m, (1,)),
        ),
        options={"starts": 100},
    )  # fmt: skip


MAKERS: dict[str, Callable[[], Case]] = {
    "circle": partial(sphere, 2),
    "sphere-2": partial(sphere, 3),
    "torus": torus,
    "product-torus": product_torus,
    "phase-3": partial(phase_retrieval, 3),
    "phase-4": partial(phase_retrieval, 4),
}
