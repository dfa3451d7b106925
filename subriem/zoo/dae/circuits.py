"""Electrical circuits as modified nodal analysis writes them: potentials e of the nodes, currents j of the sources."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, exp, pi, sin

import casadi as ca

from subriem.reduction.dae import dae
from subriem.zoo.dae.problem import Problem, reference, source


def transistor_amplifier() -> Problem:
    """Return the transistor amplifier of the IVP Test Set, raw: C y' = -f with C singular of rank 5."""
    Ub, R = 6.0, 9000.0
    names = [f"y{i}" for i in range(1, 9)]

    @dae(variables=names, parameters={"UF": 0.026, "alpha": 0.99, "beta": 1e-6, "R0": 1000.0})
    def transistor_amplifier(t, v, d, p):
        def g(u):
            return p.beta * (ca.exp(u / p.UF) - 1)

        def current(k, y):
            return k * 1e-6 * d(y)

        first, second = g(v.y2 - v.y3), g(v.y5 - v.y6)
        return {
            "node1": current(1, v.y1 - v.y2) + (v.y1 - 0.1 * ca.sin(200 * pi * t)) / p.R0,
            "node2": -current(1, v.y1 - v.y2) + v.y2 / R + (v.y2 - Ub) / R + (1 - p.alpha) * first,
            "node3": current(2, v.y3) + v.y3 / R - first,
            "node4": current(3, v.y4 - v.y5) + (v.y4 - Ub) / R + p.alpha * first,
            "node5": -current(3, v.y4 - v.y5) + v.y5 / R + (v.y5 - Ub) / R + (1 - p.alpha) * second,
            "node6": current(4, v.y6) + v.y6 / R - second,
            "node7": current(5, v.y7 - v.y8) + (v.y7 - Ub) / R + p.alpha * second,
            "node8": -current(5, v.y7 - v.y8) + v.y8 / R,
        }

    start = (0, Ub / 2, Ub / 2, Ub, Ub / 2, Ub / 2, Ub, 0)
    return Problem(
        name="transistor",
        title="transistor amplifier",
        source=source("transistor_amplifier"),
        dae=transistor_amplifier,
        at=dict(zip(names, map(float, start), strict=True)),
        span=(0.0, 0.2),
        # Both nodes of a capacitor between nodes hold the same derivative: their sum is algebraic, three times.
        structural_index=0,
        index=1,
        freedom=5,
        hidden=("node1", "node2", "node4", "node5", "node7", "node8"),
        end=reference("transistor_amplifier", names),
        end_digits=12,
    )


def capacitor_loop() -> Problem:
    """Return a source across a capacitor, and a second capacitor behind a resistor: a C-V loop.

    The current of the source needs e1' = V', its derivative V'': index 2. Only e2 may be chosen.
    """
    C, R, V, w = 0.5, 2.0, 1.5, 3.0
    rate = 1 / (R * C)
    scale = V * rate / (rate**2 + w**2)

    @dae(variables="e1 e2 j", parameters={"C": C, "R": R})
    def capacitor_loop(t, v, d, p):
        return {
            "node1": p.C * d(v.e1) + (v.e1 - v.e2) / p.R + v.j,
            "node2": p.C * d(v.e2) + (v.e2 - v.e1) / p.R,
            "source": v.e1 - V * ca.sin(w * t),
        }

    def exact(t: float) -> dict[str, float]:
        e1 = V * sin(w * t)
        e2 = scale * (rate * sin(w * t) - w * cos(w * t) + w * exp(-rate * t))
        return {"e1": e1, "e2": e2, "j": -C * V * w * cos(w * t) - (e1 - e2) / R}

    return Problem(
        name="capacitor-loop",
        title="a loop of a source and a capacitor",
        source="linear, e2(0) = 0",
        dae=capacitor_loop,
        at=exact(0.0),
        span=(0.0, 4.0),
        structural_index=2,
        index=2,
        freedom=1,
        exact=exact,
        end_digits=14,
    )


def differentiator() -> Problem:
    """Return two operational amplifiers that differentiate twice: e_out2 = (R C)^2 V''.

    e_out1 = -R C V', e_out2 and the current j1 need V'', their derivatives V''': index 3. Nothing may be chosen.
    """
    C, R, V, w = 0.2, 1.0, 1.0, 4.0
    names = "e_in e_minus1 e_out1 e_minus2 e_out2 j_in j1 j2"

    @dae(variables=names, parameters={"C": C, "R": R})
    def differentiator(t, v, d, p):
        first, second = p.C * d(v.e_in - v.e_minus1), p.C * d(v.e_out1 - v.e_minus2)  # through the capacitors
        return {
            "input": first + v.j_in,
            "minus1": -first + (v.e_minus1 - v.e_out1) / p.R,
            "output1": (v.e_out1 - v.e_minus1) / p.R + second + v.j1,
            "minus2": -second + (v.e_minus2 - v.e_out2) / p.R,
            "output2": (v.e_out2 - v.e_minus2) / p.R + v.j2,
            "source": v.e_in - V * ca.sin(w * t),
            "amplifier1": v.e_minus1,
            "amplifier2": v.e_minus2,
        }

    def exact(t: float) -> dict[str, float]:
        value, slope, bend = V * sin(w * t), V * w * cos(w * t), -V * w**2 * sin(w * t)
        out1, out2 = -R * C * slope, (R * C) ** 2 * bend
        currents = {"j_in": -C * slope, "j1": C * slope + R * C**2 * bend, "j2": -R * C**2 * bend}
        return {"e_in": value, "e_minus1": 0.0, "e_out1": out1, "e_minus2": 0.0, "e_out2": out2, **currents}

    return Problem(
        name="differentiator",
        title="two differentiators with ideal operational amplifiers",
        source="linear",
        dae=differentiator,
        at=exact(0.0),
        span=(0.0, 2.0),
        structural_index=3,
        index=3,
        freedom=0,
        exact=exact,
        end_digits=14,
    )


def switched() -> Problem:
    """Return a capacitor charged through a resistor by a source that is switched: j jumps, e has corners."""
    C, R = 0.5, 1.0
    source_ = {0.0: 1.0, 1.0: -1.0, 2.5: 0.5}

    @dae(variables="e j", parameters={"C": C, "R": R}, inputs={"u": source_})
    def switched(t, v, d, p):
        return {"node": p.C * d(v.e) - v.j, "resistor": p.R * v.j - (p.u - v.e)}

    def exact(t: float) -> dict[str, float]:
        starts = [*source_, float("inf")]
        e, u = 0.0, 0.0
        for start, end, u in zip(starts, starts[1:], source_.values(), strict=False):
            e = u + (e - u) * exp(-(min(t, end) - start) / (R * C))
            if t < end:
                break
        return {"e": e, "j": (u - e) / R}

    return Problem(
        name="switched",
        title="a switched source",
        source="linear on each segment, e(0) = 0",
        dae=switched,
        at=exact(0.0),
        span=(0.0, 4.0),
        structural_index=1,
        index=1,
        freedom=1,
        exact=exact,
        end_digits=14,
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    "transistor": transistor_amplifier,
    "capacitor-loop": capacitor_loop,
    "differentiator": differentiator,
    "switched": switched,
}
