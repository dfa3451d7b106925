"""Chemical reactions with conservation laws, equilibria, and an output that is prescribed."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, log, sin

import casadi as ca

from subriem.reduction.dae import dae
from subriem.zoo.dae.problem import Problem, reference, source


def robertson() -> Problem:
    """Return Robertson's reaction to t = 1e11 with the sum of its three substances as an equation."""

    @dae(variables="y1 y2 y3")
    def robertson(t, v, d, p):
        slow, fast = 0.04 * v.y1, 1e4 * v.y2 * v.y3
        return {
            "first": d(v.y1) + slow - fast,
            "second": d(v.y2) - slow + fast + 3e7 * v.y2**2,
            "sum": v.y1 + v.y2 + v.y3 - 1,
        }

    return Problem(
        name="robertson",
        title="Robertson's reaction",
        source=source("robertson"),
        dae=robertson,
        at={"y1": 1.0, "y2": 0.0, "y3": 0.0},
        span=(0.0, 1e11),
        structural_index=1,
        index=1,
        freedom=2,
        end=reference("robertson", ["y1", "y2", "y3"]),
        end_digits=11,
    )


def akzo() -> Problem:
    """Return the Akzo Nobel reaction of the IVP Test Set: y6 is in equilibrium."""
    k1, k2, k3, k4, K = 18.7, 0.58, 0.09, 0.42, 34.4
    klA, Ks, pCO2, H = 3.3, 115.83, 0.9, 737.0
    names = [f"y{i}" for i in range(1, 7)]

    @dae(variables=names)
    def akzo(t, v, d, p):
        root = ca.sqrt(v.y2)
        r1, r2, r3 = k1 * v.y1**4 * root, k2 * v.y3 * v.y4, k2 / K * v.y1 * v.y5
        r4, r5 = k3 * v.y1 * v.y4**2, k4 * v.y6**2 * root
        inflow = klA * (pCO2 / H - v.y2)
        return {
            "FLB": d(v.y1) - (-2 * r1 + r2 - r3 - r4),
            "CO2": d(v.y2) - (-r1 / 2 - r4 - r5 / 2 + inflow),
            "FLBT": d(v.y3) - (r1 - r2 + r3),
            "ZHU": d(v.y4) - (-r2 + r3 - 2 * r4),
            "ZLA": d(v.y5) - (r2 - r3 + r5),
            "equilibrium": Ks * v.y1 * v.y4 - v.y6,
        }

    return Problem(
        name="akzo",
        title="Akzo Nobel reaction",
        source=source("chemical_akzo_nobel"),
        dae=akzo,
        at=dict(zip(names, (0.444, 0.00123, 0.0, 0.007, 0.0, Ks * 0.444 * 0.007), strict=True)),
        span=(0.0, 180.0),
        structural_index=1,
        index=1,
        freedom=5,
        end=reference("chemical_akzo_nobel", names),
        end_digits=14,
    )


def reactor() -> Problem:
    """Return a stirred tank whose concentration is prescribed by way of the temperature of its coolant.

    C is given, the rate r follows from C', the temperature T from r, the coolant Tc from T', that is from C'': its
    derivative needs C''', so the index is 3, and nothing may be chosen.
    """
    k1, k2, k3, k4, k5 = 1.0, 2.0, 1.5, 5.0, 4.0
    C0, T0 = 1.0, 1.0

    @dae(variables="C T r Tc")
    def reactor(t, v, d, p):
        return {
            "mass": d(v.C) - (k1 * (C0 - v.C) - v.r),
            "heat": d(v.T) - (k1 * (T0 - v.T) + k2 * v.r - k3 * (v.T - v.Tc)),
            "rate": v.r - k4 * v.C * ca.exp(-k5 / v.T),
            "target": v.C - (0.5 + 0.1 * ca.cos(t)),
        }

    def exact(t: float) -> dict[str, float]:
        C, C1, C2 = 0.5 + 0.1 * cos(t), -0.1 * sin(t), -0.1 * cos(t)
        r, r1 = k1 * (C0 - C) - C1, -k1 * C1 - C2
        L = log(k4 * C / r)
        T, T1 = k5 / L, -k5 / L**2 * (C1 / C - r1 / r)
        return {"C": C, "T": T, "r": r, "Tc": T + (T1 - k1 * (T0 - T) - k2 * r) / k3}

    return Problem(
        name="reactor",
        title="a stirred tank with a prescribed output",
        source="Pantelides, SIAM J. Sci. Stat. Comput. 9 (1988) 213-231, with other constants; solved by hand",
        dae=reactor,
        at=exact(0.0),
        span=(0.0, 5.0),
        structural_index=3,
        index=3,
        freedom=0,
        exact=exact,
        end_digits=14,
    )


MAKERS: dict[str, Callable[[], Problem]] = {"robertson": robertson, "akzo": akzo, "reactor": reactor}
