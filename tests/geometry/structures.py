"""Structures that several tests of the geometry share."""

import json
from itertools import pairwise
from pathlib import Path

import casadi as ca
import numpy as np

import subriem as sr

REFERENCE = {
    entry["id"]: entry
    for entry in json.loads((Path(__file__).parents[1] / "reference" / "geometry.json").read_text())["entries"]
}


def reference(name):
    return np.array(REFERENCE[name]["value"], dtype=float)


def heisenberg(n=1):
    def fields(q):
        columns = []
        for i in range(n):
            x, y = 2 * i, 2 * i + 1
            first, second = [0] * (2 * n + 1), [0] * (2 * n + 1)
            first[x], first[-1] = 1, -q[y] / 2
            second[y], second[-1] = 1, q[x] / 2
            columns += [first, second]
        return columns

    return sr.SubRiemannian.from_frame(fields, 2 * n + 1, name=f"Heisenberg H{n}")


def grushin():
    return sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0]]], 2, coordinates="x y", name="Grushin")


def martinet():
    return sr.SubRiemannian.from_frame(lambda q: [[1, 0, 0], [0, 1, q[0] ** 2 / 2]], 3, name="Martinet")


def se2():
    return sr.SubRiemannian.from_frame(
        lambda q: [[ca.cos(q[2]), ca.sin(q[2]), 0], [0, 0, 1]], 3, coordinates="x y theta", name="SE(2)"
    )


def engel():
    return sr.SubRiemannian.from_frame(
        lambda q: [[1, 0, -q[1] / 2, 0], [0, 1, q[0] / 2, (q[0] ** 2 + q[1] ** 2) / 2]], 4, name="Engel"
    )


def su2():
    """Return SU(2) as unit quaternions (a, b, c, d), in the frame q i/2, q j/2."""

    def fields(q):
        a, b, c, d = (q[i] for i in range(4))
        return [[-b / 2, a / 2, d / 2, -c / 2], [-c / 2, -d / 2, a / 2, b / 2]]

    return sr.SubRiemannian.from_frame(fields, 3, coordinates="a b c d", name="SU(2)")


def trailers(n):
    """Return a unicycle with n trailers in (x, y, th_n, …, th_0): the last trailer at (x, y), th_0 of the car."""

    def fields(q):
        angles = [q[2 + n - i] for i in range(n + 1)]
        speeds, turns = [ca.SX(1)], []
        for ahead, behind in pairwise(angles):
            turns.append(speeds[-1] * ca.sin(ahead - behind))
            speeds.append(speeds[-1] * ca.cos(ahead - behind))
        drive = [speeds[-1] * ca.cos(angles[-1]), speeds[-1] * ca.sin(angles[-1]), *turns[::-1], 0]
        return [drive, [0] * (n + 2) + [1]]

    return sr.SubRiemannian.from_frame(fields, n + 3, name=f"{n} trailers")
