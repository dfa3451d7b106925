"""What does not fit is refused in four lines by every verb and constructor of the layer."""

import math

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem import plot
from subriem.geometry.singular import singular_points
from subriem.zoo.spaces import free_nilpotent, get, heisenberg
from tests.geometry import structures

Z, P = [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]
H = structures.heisenberg()
M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
GEODESIC = H.shoot(Z, P, 1.0)
LOOP = M.holonomy(Z, [[0, 0], [0.1, 0], [0.1, 0.1]])
PATH = np.arange(6.0).reshape(2, 3)
SPACE = get("heisenberg")

POINTS = {
    "none": None,
    "text": "abc",
    "empty": [],
    "nan": [0, 0, np.nan],
    "complex": [0, 0, 1j],
    "object": np.array([0, 0, None], dtype=object),
    "short": [0.0],
    "long": [0, 0, 0, 0],
    "cube": np.zeros((1, 1, 3)),
    "ragged": [[1, 2], [3]],
    "masked": np.ma.masked_array([0, 0, 0.0], [0, 0, 1]),
}
NUMBERS = {"none": None, "text": "a", "nan": np.nan, "infinite": np.inf, "complex": 1j, "list": [1.0, 2.0]}
POSITIVE = {**NUMBERS, "zero": 0.0, "negative": -1.0, "bool": True}
COUNTS = {"none": None, "float": 2.5, "zero": 0, "negative": -1, "text": "a", "bool": True}
METHODS = {"unknown": "rk4", "none": None, "list": []}

OF_A_POINT = {
    "fields": H.fields,
    "growth": H.growth,
    "bracket_generating": H.bracket_generating,
    "equiregular": H.equiregular,
    "nilpotent": H.nilpotent,
    "popp": H.popp,
    "shoot q": lambda q: H.shoot(q, P, 1.0),
    "shoot p": lambda p: H.shoot(Z, p, 1.0),
    "exponential q": lambda q: H.exponential(q, P),
    "exponential p": lambda p: H.exponential(Z, p),
    "jacobi_field": lambda change: GEODESIC.jacobi_field(change, 0.5),
    "map at": M.at,
    "map growth": M.growth,
    "map curvature": M.curvature,
    "map conserved": M.conserved,
    "map shoot": lambda q: M.shoot(q, P, 1.0),
    "lift_path theta": lambda theta: M.lift_path(theta, [[0, 0], [1, 0]]),
    "lift_path outputs": lambda outputs: M.lift_path(Z, outputs),
    "holonomy": lambda theta: M.holonomy(theta, [[0, 0], [1, 0]]),
    "wong theta": lambda theta: M.wong(theta, [1, 0]),
    "wong u": lambda u: M.wong(Z, u),
    "compare": lambda path: sr.compare(path, None, H),
    "front_figure": lambda q: plot.front_figure(H, q, 1.0),
    "space exponential": lambda p: SPACE.exponential(Z, p, 1.0),
    "space cut_time": lambda p: SPACE.cut_time(Z, p),
    "space distance": lambda q: SPACE.distance(Z, q),
    "space product": lambda q: SPACE.product(Z, q),
}
OF_OTHERS = {
    "shoot time": (NUMBERS, lambda t: H.shoot(Z, P, t)),
    "shoot rtol": (POSITIVE, lambda rtol: H.shoot(Z, P, 1.0, rtol=rtol)),
    "shoot method": (METHODS, lambda method: H.shoot(Z, P, 1.0, method=method)),
    "exponential time": (NUMBERS, lambda t: H.exponential(Z, P, t)),
    "exponential rtol": (POSITIVE, lambda rtol: H.exponential(Z, P, rtol=rtol)),
    "exponential method": (METHODS, lambda method: H.exponential(Z, P, method=method)),
    "growth steps": (COUNTS, lambda steps: H.growth(Z, steps)),
    "singular_points": ({"none": None, "array": PATH}, lambda path: singular_points(H, path)),
    "of a map": ({"map": M}, lambda structure: singular_points(structure, GEODESIC)),
    "nodes": (COUNTS, lambda nodes: singular_points(H, GEODESIC, nodes=nodes)),
    "wong time": (NUMBERS, lambda t: M.wong(Z, [1, 0], None, t)),
    "wong rtol": (POSITIVE, lambda rtol: M.wong(Z, [1, 0], rtol=rtol)),
    "pairs": ({"one": 3, "outside": [(0, 5)], "triple": [(0, 1, 2)], "half": [(0.5, 1)]}, lambda p: M.curvature(Z, p)),
    "compare M": ({"none": None, "map": M.map}, lambda structure: sr.compare(PATH, None, structure)),
    "check_space": ({"none": None, "map": M}, sr.check_space),
    "seed": ({"half": 1.5, "text": "a", "negative": -1}, lambda seed: sr.check_space(H, seed=seed)),
    "from_map": ({"none": None, "function": lambda q: q, "array": np.eye(2)}, sr.SubRiemannian.from_map),
    "rank": ({"none": None, "number": 1e-8}, lambda rank: sr.SubRiemannian.from_map(M.map, rank=rank)),
    "geodesic_figure": ({"none": None, "empty": [], "number": [1]}, plot.geodesic_figure),
    "coordinates": (
        {
            "none": None,
            "one": (0,),
            "four": (0, 1, 2, 0),
            "outside": (0, 1, 7),
            "half": (0, 1, 1.5),
            "twice": (0, 0, 1),
        },
        lambda places: plot.geodesic_figure([GEODESIC], coordinates=places),
    ),
    "front_figure M": ({"none": None, "map": M}, lambda structure: plot.front_figure(structure, Z, 1.0)),
    "radius": (POSITIVE, lambda radius: plot.front_figure(H, Z, radius)),
    "cut": ({"text": lambda p: "a", "nan": lambda p: np.nan}, lambda cut: plot.front_figure(H, Z, 1.0, cut=cut)),
    "outputs": ({"none": None, "twice": (0, 0), "half": (0, 0.5)}, lambda o: plot.holonomy_figure(LOOP, outputs=o)),
    "space time": (NUMBERS, lambda t: SPACE.exponential(Z, P, t)),
    "get": ({"none": None, "unknown": "nosuch", "list": []}, get),
    "heisenberg": ({**COUNTS, "large": 10**6}, heisenberg),
    "free rank": ({**COUNTS, "large": 99}, lambda rank: free_nilpotent(rank, 3)),
}
BROKEN = {
    "number": 3,
    "kink": lambda q: [[ca.fabs(q[0]), 1]],
    "branch": lambda q: [[ca.if_else(q[0] > 0, 1, q[1]), 1]],
    "saw": lambda q: [[ca.fmod(q[0], 1), 1]],
    "long": lambda q: [[1, 0, 0]],
    "nan": lambda q: [[np.nan, 0]],
    "complex": lambda q: [[1j, 1]],
    "empty": lambda q: [],
    "none": lambda q: None,
    "raises": lambda q: 1 / 0,
    "outside": lambda q: [[q[5], 1]],
    "foreign": lambda q: [[ca.SX.sym("a"), 1]],
    "ragged": lambda q: [[1, 0], [1]],
    "math": lambda q: [[math.cos(q[0]), 1]],
    "MX": lambda q: [[ca.MX.sym("x"), 1]],
    "arguments": lambda a, b, c: [[1, 0]],
    "object": lambda q: np.array([[1, None], [2, 3]], dtype=object),
    "zero": lambda q: [[0, 0]],
}


def refused(verb, value):
    with pytest.raises(sr.SubriemError) as caught:
        verb(value)
    heads = [line.split()[0] for line in str(caught.value).splitlines()]
    assert [head for head in heads if head in ("What", "Got", "Expected", "Try")] == ["What", "Got", "Expected", "Try"]


@pytest.mark.parametrize("verb", OF_A_POINT.values(), ids=OF_A_POINT)
def test_points(verb):
    for value in POINTS.values():
        refused(verb, value)


@pytest.mark.parametrize(("values", "verb"), OF_OTHERS.values(), ids=OF_OTHERS)
def test_other_arguments(values, verb):
    for value in values.values():
        refused(verb, value)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_declarations(broken):
    refused(lambda fields: sr.SubRiemannian.from_frame(fields, 2), broken)
    refused(lambda forms: sr.SubRiemannian.from_constraints(forms, 2), broken)
    refused(lambda metric: sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, 1]], 2, metric=metric), broken)
    refused(lambda law: sr.check_space(H, translate=law), broken)


@pytest.mark.parametrize("names", ["x x", "x", 2.5, -2, [], [1, 2], ["", "b"], True, object, 10**7], ids=str)
def test_coordinates(names):
    refused(lambda names: sr.SubRiemannian.from_frame(lambda q: [[1, 0]], 2, coordinates=names), names)


def test_dependent_fields_and_too_many():
    refused(lambda fields: sr.SubRiemannian.from_frame(fields, 2), lambda q: [[1, q[0]], [2, 2 * q[0]]])
    refused(lambda fields: sr.SubRiemannian.from_frame(fields, 2), lambda q: [[1, 0], [0, 1], [1, 1]])
    refused(lambda dim: sr.SubRiemannian.from_frame(lambda q: [q * 0 + 1], dim), 10**7)


def test_a_search_among_too_many_brackets_ends_undecided():
    """Grushin's plane of order 12 times R^12: 13 fields, 13^5 / 5 brackets of five."""

    def fields(q):
        return ca.diag(ca.vertcat(ca.SX.ones(13 - 1), q[0] ** 12))

    found = sr.SubRiemannian.from_frame(fields, 13).growth(np.zeros(13))
    assert (found.vector, found.generating) == ((12,) * 4, None)
    assert "too many" in found.reason
