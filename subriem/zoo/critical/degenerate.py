"""Potentials whose Hessian vanishes in more directions than their rest points have."""

from __future__ import annotations

from collections.abc import Callable

from subriem.flows.customcost import potential
from subriem.zoo.critical.case import Case, Expected

_ARNOLD = "Arnold, Gusein-Zade, Varchenko, Singularities of Differentiable Maps I, Birkhäuser 1985"


def quartic() -> Case:
    """Return x^4 + y^2: an isolated minimum of nullity 1."""
    return Case(
        name="quartic",
        title="x^4 + y^2",
        source=_ARNOLD,
        problem=potential(lambda x: x[0] ** 4 + x[1] ** 2, 2, least=0.0),
        expected=(Expected(0, 0, (1,), "degenerate"),),
        options={"starts": 16},
    )


def axes() -> Case:
    """Return (x y)^2: both axes, which cross at 0."""
    return Case(
        name="axes",
        title="(x y)^2",
        source=_ARNOLD,
        problem=potential(lambda x: (x[0] * x[1]) ** 2, 2, least=0.0),
        expected=(Expected(1, 0, (1, 0)), Expected(1, 0, (1, 0))),
        crossings=((0.0, 0.0),),
        options={"starts": 16},
    )


MAKERS: dict[str, Callable[[], Case]] = {"quartic": quartic, "axes": axes}
