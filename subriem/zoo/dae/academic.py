"""Nonlinear systems made to have an index, or to be hard to analyse, and a closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import cos, exp, sin

import casadi as ca

from subriem.reduction.dae import dae
from subriem.zoo.dae.problem import Problem, source


def jay() -> Problem:
    """Return Jay's system of index 3: u needs two derivatives of the constraint."""

    @dae(variables="y1 y2 z1 z2 u")
    def jay(t, v, d, p):
        return {
            "y1": d(v.y1) - 2 * v.y1 * v.y2 * v.z1 * v.z2,
            "y2": d(v.y2) + v.y1 * v.y2 * v.z2**2,
            "z1": d(v.z1) - (v.y1 * v.y2 + v.z1 * v.z2) * v.u,
            "z2": d(v.z2) + v.y1 * v.y2**2 * v.z2**2 * v.u,
            "constraint": v.y1 * v.y2**2 - 1,
        }

    def exact(t: float) -> dict[str, float]:
        return {"y1": exp(2 * t), "y2": exp(-t), "z1": exp(2 * t), "z2": exp(-t), "u": exp(t)}

    return Problem(
        name="jay",
        title="Jay's index-3 system",
        source=source("jay_index3"),
        dae=jay,
        at=exact(0.0),
        span=(0.0, 1.0),
        structural_index=3,
        index=3,
        freedom=2,  # 4 initial values, the constraint and its derivative
        exact=exact,
        end_digits=15,
    )


def ascher_petzold() -> Problem:
    """Return Ascher and Petzold's Hessenberg system of index 2, stiff for alpha = 50."""
    alpha = 50.0

    @dae(variables="x1 x2 z", parameters={"alpha": alpha})
    def ascher_petzold(t, v, d, p):
        e = ca.exp(t)
        first = (p.alpha - 1 / (2 - t)) * v.x1 + (2 - t) * p.alpha * v.z + (3 - t) / (2 - t) * e
        second = (1 - p.alpha) / (t - 2) * v.x1 - v.x2 + (p.alpha - 1) * v.z + 2 * e
        return {
            "first": d(v.x1) - first,
            "second": d(v.x2) - second,
            "constraint": (t + 2) * v.x1 + (t**2 - 4) * v.x2 - (t**2 + t - 2) * e,
        }

    def exact(t: float) -> dict[str, float]:
        return {"x1": exp(t), "x2": exp(t), "z": -exp(t) / (2 - t)}

    return Problem(
        name="ascher-petzold",
        title="Ascher and Petzold's index-2 system",
        source="Ascher & Petzold, SIAM J. Numer. Anal. 28 (1991) 1097-1120, example 2",
        dae=ascher_petzold,
        at=exact(0.0),
        span=(0.0, 1.0),
        structural_index=2,
        index=2,  # the derivative of the constraint holds z with the factor 4 - t^2
        freedom=1,
        exact=exact,
        end_digits=15,
    )


def path_control() -> Problem:
    """Return a Hessenberg system of index 4: u moves x1 along a path through three integrations; x4 follows."""

    @dae(variables="x1 x2 x3 x4 u")
    def path_control(t, v, d, p):
        return {
            "first": d(v.x1) - v.x1 * v.x2,
            "second": d(v.x2) - (v.x3 - v.x2**2),
            "third": d(v.x3) - v.u,
            "fourth": d(v.x4) + v.x4 - v.u,
            "path": v.x1 - ca.exp(ca.sin(t)),
        }

    def exact(t: float) -> dict[str, float]:
        x4 = exp(-t) - (cos(t) + sin(t)) / 2 - (sin(2 * t) - 2 * cos(2 * t)) / 5
        x = {"x1": exp(sin(t)), "x2": cos(t), "x3": cos(t) ** 2 - sin(t), "x4": x4}
        return {**x, "u": -cos(t) - sin(2 * t)}

    return Problem(
        name="path-control",
        title="a Hessenberg system of index 4",
        source="solved by hand",
        dae=path_control,
        at=exact(0.0),
        span=(0.0, 3.0),
        structural_index=4,
        index=4,  # u is a function of x1''', u' of x1''''
        freedom=1,  # x4
        exact=exact,
        end_digits=14,
    )


def pair_motion(t: float) -> dict[str, float]:
    """Return a, b with a - b = cos t - sin t and 2 a' + a = -sin t, a(0) = 1."""
    a = 0.6 * exp(-t / 2) + (2 * cos(t) - sin(t)) / 5
    return {"a": a, "b": a - cos(t) + sin(t)}


def pair() -> Problem:
    """Return a' + b' twice: the difference of the equations holds no derivative, which no incidence shows."""

    @dae(variables="a b")
    def pair(t, v, d, p):
        return {
            "first": d(v.a) + d(v.b) + v.b - ca.sin(t),
            "second": d(v.a) + d(v.b) + v.a - ca.cos(t),
        }

    return Problem(
        name="pair",
        title="a hidden equation",
        source="linear",
        dae=pair,
        at=pair_motion(0.0),
        span=(0.0, 2.0),
        structural_index=0,
        index=1,  # a' - b' from the derivative of the difference
        freedom=1,
        hidden=("first", "second"),
        exact=pair_motion,
        end_digits=14,
    )


def pair_on_branch() -> Problem:
    """Return the pair with b' multiplied by 1 + w, where w = a - b - cos t + sin t is zero on the solutions.

    The difference of the equations is w (1 + b') = 0. At a random point the system is an ordinary differential
    equation, on the branch w = 0 it is the pair: a false success of structural analysis.
    """

    @dae(variables="a b")
    def pair_on_branch(t, v, d, p):
        w = v.a - v.b - ca.cos(t) + ca.sin(t)
        return {
            "first": d(v.a) + d(v.b) + v.b - ca.sin(t),
            "second": d(v.a) + (1 + w) * d(v.b) + v.a - ca.cos(t),
        }

    return Problem(
        name="pair-on-branch",
        title="a false success of structural analysis",
        source="solved by hand",
        dae=pair_on_branch,
        at=pair_motion(0.0),
        span=(0.0, 2.0),
        structural_index=0,
        index=1,  # w' (1 + b') = 0, and b' = -1 does not occur
        freedom=1,
        hidden=("first", "second"),
        exact=pair_motion,
        end_digits=14,
    )


def circle() -> Problem:
    """Return y'^2 + y^2 = 1, an implicit equation; it ends where its rank does, at y = 1, y' = 0."""

    @dae(variables="y")
    def circle(t, v, d, p):
        return {"circle": d(v.y) ** 2 + v.y**2 - 1}

    def exact(t: float) -> dict[str, float]:
        return {"y": sin(t), "y'": cos(t)}

    return Problem(
        name="circle",
        title="an implicit equation",
        source="y = sin t",
        dae=circle,
        at=exact(0.0),
        span=(0.0, 1.4),
        structural_index=0,
        index=0,
        freedom=1,
        exact=exact,
        end_digits=15,
    )


def martinet(y: float) -> Problem:
    """Return the abnormal extremals of Martinet's distribution x' = u1, y' = u2, z' = y^2/2 u1.

    The derivatives of the last two equations are y pz u2 = 0 and y pz u1 = 0: for y != 0 the controls vanish, and
    follow from them at rank 8 of 8; at y = 0 they are lost, rank 6 of 8, and the plane y = 0 is run through freely.
    """

    @dae(variables="x y z px py pz u1 u2")
    def martinet(t, v, d, p):
        return {
            "x": d(v.x) - v.u1,
            "y": d(v.y) - v.u2,
            "z": d(v.z) - v.y**2 / 2 * v.u1,
            "px": d(v.px),
            "py": d(v.py) + v.y * v.pz * v.u1,
            "pz": d(v.pz),
            "along_u1": v.px + v.y**2 / 2 * v.pz,
            "along_u2": v.py,
        }

    at = {"x": 0.0, "y": y, "z": 0.0, "px": -(y**2) / 2, "py": 0.0, "pz": 1.0, "u1": 0.0, "u2": 0.0}
    regular = y != 0
    return Problem(
        name="martinet" if regular else "martinet-abnormal",
        title=f"Martinet's abnormal extremal at y = {y:g}",
        source="it rests; R. Montgomery, A Tour of Subriemannian Geometries (2002), 3.3",
        dae=martinet,
        at=at,
        span=(0.0, 1.0),
        structural_index=2,
        index=2 if regular else None,
        freedom=4 if regular else None,  # 6 initial values, 2 equations
        free=() if regular else ("u1", "u2"),
        exact=lambda t: at,  # at y = 0 the choice of least norm
        end_digits=15,
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    "jay": jay,
    "ascher-petzold": ascher_petzold,
    "path-control": path_control,
    "pair": pair,
    "pair-on-branch": pair_on_branch,
    "circle": circle,
    "martinet": partial(martinet, 0.2),
    "martinet-abnormal": partial(martinet, 0.0),
}
