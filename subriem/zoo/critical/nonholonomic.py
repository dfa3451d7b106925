"""Motions theta' = -P_V grad H along distributions V that are not integrable: spectra are not those of a Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import casadi as ca

from subriem.flows.constrained import ConstrainedFlow, constrained
from subriem.zoo.critical.case import Case, Expected

_CHEN = "Chen, Critical manifolds and stability in Hamiltonian systems with non-holonomic constraints, 2004"
_LINE = (1, 0)


def _heisenberg(H: Callable[[Any], Any]) -> ConstrainedFlow:
    """Return the motion along V = span(d_x - y/2 d_z, d_y + x/2 d_z)."""
    return constrained(H, forms=lambda q: [[q[1] / 2, -q[0] / 2, 1.0]], dim=3)


def spiral() -> Case:
    """Return H = (x^2 + y^2 + z^2)/2: the z-axis, with eigenvalues -1 ± i z/2."""
    return Case(
        name="heisenberg-spiral",
        title="(x^2 + y^2 + z^2)/2 on the Heisenberg group",
        source=_CHEN,
        problem=_heisenberg(lambda q: ca.sumsqr(q) / 2),
        expected=(Expected(1, 0, _LINE),),
        options={"box": 3.0, "starts": 16},
    )


def saddle() -> Case:
    """Return H = (x^2 - y^2 + z^2)/2: the z-axis with eigenvalues ± sqrt(1 - z^2/4), crossed by lines at z = ±2."""
    return Case(
        name="heisenberg-saddle",
        title="(x^2 - y^2 + z^2)/2 on the Heisenberg group",
        source=_CHEN,
        problem=_heisenberg(lambda q: (q[0] ** 2 - q[1] ** 2 + q[2] ** 2) / 2),
        expected=(Expected(1, None, _LINE), Expected(1, 0, _LINE), Expected(1, 0, _LINE)),
        crossings=((0.0, 0.0, -2.0), (0.0, 0.0, 2.0)),
        options={"box": 3.0, "starts": 16},
    )


def turning() -> Case:
    """Return H = z (x^2 + y^2)/2: the z-axis, index 2 for z < 0 and 0 for z > 0; at 0 the rank is 0."""
    return Case(
        name="heisenberg-turning",
        title="z (x^2 + y^2)/2 on the Heisenberg group",
        source=_CHEN,
        problem=_heisenberg(lambda q: q[2] * (q[0] ** 2 + q[1] ** 2) / 2),
        expected=(Expected(1, None, _LINE),),
        crossings=((0.0, 0.0, 0.0),),
        options={"box": 3.0, "starts": 16},
    )


def unicycle() -> Case:
    """Return H = (x^2 + y^2)/2 + 1 - cos th of a vehicle that does not slip: lines of rest points at th = 0 and ±pi."""
    return Case(
        name="unicycle",
        title="a vehicle that does not slip, drawn to the origin and to a heading",
        source="Bloch, Nonholonomic Mechanics and Control, 2nd ed., Springer 2015",
        problem=constrained(
            lambda q: (q[0] ** 2 + q[1] ** 2) / 2 + 1 - ca.cos(q[2]),
            forms=lambda q: [[ca.sin(q[2]), -ca.cos(q[2]), 0]],
            dim=3,
        ),
        expected=(Expected(1, 0, _LINE), Expected(1, 1, _LINE), Expected(1, 1, _LINE)),
        options={"box": 3.5, "starts": 32},
    )


MAKERS: dict[str, Callable[[], Case]] = {
    "heisenberg-spiral": spiral,
    "heisenberg-saddle": saddle,
    "heisenberg-turning": turning,
    "unicycle": unicycle,
}
