"""Equations of rest points for tests: gradients of potentials, in boxes."""

import casadi as ca
import numpy as np

import subriem as sr
from subriem.critical.system import Box, System, scaled_system


def gradient(potential, n: int) -> sr.Map:
    return sr.map(lambda x: ca.gradient(potential(x), x), n)


def cube(half: float, n: int) -> Box:
    return Box(np.full(n, -half), np.full(n, half))


def system(source: sr.Map, half: float = 2.0) -> System:
    return scaled_system(source, cube(half, source.n_in))


def ring(x):
    """The unit sphere of any dimension."""
    return (ca.sumsqr(x) - 1) ** 2 / 4


def torus(x):
    """A torus of radii 2 and 1."""
    return ((ca.sumsqr(x) + 3) ** 2 - 16 * (x[0] ** 2 + x[1] ** 2)) ** 2
