"""Small DAEs with known behaviour, for the tests of `solve`."""

import casadi as ca
import numpy as np

import subriem as sr


@sr.dae(variables="x y lam", parameters={"g": 9.81})
def pendulum(t, v, d, p):
    return {
        "horizontal": d(v.x, 2) + v.lam * v.x,
        "vertical": d(v.y, 2) + v.lam * v.y + p.g,
        "rod": v.x**2 + v.y**2 - 1,
    }


@sr.dae(variables="x")
def blow_up(t, v, d, p):
    return {"growth": d(v.x) - v.x**2}


@sr.dae(variables="x y")
def fold(t, v, d, p):
    return {"slide": d(v.x) + 1, "fold": v.x - v.y**2}


@sr.dae(variables="x y")
def crossing(t, v, d, p):
    """The Jacobian is x; y = sin(x)/x is smooth where it vanishes, at t = 1 from x = 1."""
    return {"slide": d(v.x) + 1, "line": v.x * v.y - ca.sin(v.x)}


@sr.dae(variables="y v", parameters={"g": 9.81})
def ball(t, v, d, p):
    return {"speed": d(v.y) - v.v, "fall": d(v.v) + p.g}


@sr.dae(variables="x1 y1 x2 y2 a b c", parameters={"g": 9.81})
def crank(t, v, d, p):
    """Equal rods of length one: at x1 = 0 the slider is at the bearing, and the constraints lose rank."""
    return {
        "motion_x1": d(v.x1, 2) + 2 * v.a * v.x1 - 2 * v.b * (v.x2 - v.x1),
        "motion_y1": d(v.y1, 2) + p.g + 2 * v.a * v.y1 - 2 * v.b * (v.y2 - v.y1),
        "motion_x2": d(v.x2, 2) + 2 * v.b * (v.x2 - v.x1),
        "motion_y2": d(v.y2, 2) + p.g + 2 * v.b * (v.y2 - v.y1) + v.c,
        "crank": v.x1**2 + v.y1**2 - 1,
        "rod": (v.x2 - v.x1) ** 2 + (v.y2 - v.y1) ** 2 - 1,
        "slider": v.y2,
    }


def crank_start(angle=0.5, rate=3.0):
    s, c = np.sin(angle), np.cos(angle)
    return {"x1": c, "y1": s, "x2": 2 * c, "y2": 0.0, "x1'": -rate * s, "y1'": rate * c}


@sr.dae(variables="x y", parameters={"k": 50.0})
def relaxation(t, v, d, p):
    """x = cos t + exp(-k t), y = x^2: stiff, in closed form."""
    return {"relax": d(v.x) + p.k * (v.x - ca.cos(t)) + ca.sin(t), "square": v.y - v.x**2}


HORIZONTAL = {"x": 1.0, "y": 0.0, "x'": 0.0, "y'": 0.0}
