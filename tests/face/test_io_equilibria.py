"""Rest points as files: what comes back is the same bit by bit; graphs as GraphML and JSON."""

import json
from dataclasses import fields, replace

import casadi as ca
import networkx
import numpy as np
import pytest

import subriem as sr
from subriem import io
from subriem.core.errors import ProblemError
from subriem.critical.adapters import rest_problem
from subriem.critical.continuation import with_parameter
from tests.face.test_io import edited, refused
from tests.face.test_io_dae import assert_same_value

CROSS = sr.map(lambda x: [x[0] * (x[1] - x[0] ** 2)], 2)
CASES = {
    "potential": lambda: sr.equilibria(sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2, 2), starts=8),
    "set that crosses itself": lambda: sr.equilibria(CROSS, starts=8),
    "constrained": lambda: sr.equilibria(
        sr.flows.constrained(lambda y: y[2], lambda y: ca.sumsqr(y) - 1, dim=3), starts=8
    ),
    "complex spectrum, changes": lambda: sr.equilibria(
        with_parameter(sr.map(lambda z: [z[2] * z[0] - z[1], z[0] + z[2] * z[1]], 3)), starts=4
    ),
    "ended by its budget": lambda: sr.equilibria(CROSS, starts=8, budget=sr.Budget(steps=5)),
    "degenerate": lambda: sr.equilibria(sr.map(lambda x: [x[0] ** 3, x[1]], 2), starts=4),
    "nothing": lambda: sr.equilibria(sr.map(lambda x: [x[0] ** 2 + 1], 1), starts=4),
}


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    found = CASES[request.param]()
    return io.load(io.save(found, tmp_path_factory.mktemp("io") / "rest")), found


def test_every_field_comes_back(pair):
    loaded, found = pair
    for entry in fields(found):
        if entry.name != "_problem":
            assert_same_value(getattr(loaded, entry.name), getattr(found, entry.name), entry.name)
    assert str(loaded) == str(found)


def test_what_is_shown_and_where_the_search_stands_share_their_charts(pair):
    loaded, found = pair
    known = {id(one.atlas.charts) for one in loaded._state.traced}
    assert {id(one.charts) for one in loaded.components} == known
    assert len(known) == len(found)


@pytest.fixture
def saved(tmp_path):
    return io.save(CASES["potential"](), tmp_path / "rest")


def shorter(name):
    def change(head, arrays):
        key = next(key for key in arrays if key.endswith(name))
        arrays[key] = arrays[key][:-1]

    return change


@pytest.mark.parametrize(
    "change",
    [
        shorter("tangents"), shorter("cokernels"), shorter("determinants"), shorter("residuals"),
        lambda head, arrays: arrays.pop(next(key for key in arrays if key.endswith("points"))),
        lambda head, arrays: next(a for key, a in arrays.items() if key.endswith("points")).fill(np.nan),
        lambda head, arrays: head["data"]["value"]["of"].pop("components"),
        lambda head, arrays: head["data"]["value"].update(record="Box"),
        lambda head, arrays: head.update(kind="equilibria-state"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told(saved, change):
    edited(saved, change)
    assert "incomplete" in refused(saved)


def test_a_damaged_set_without_its_search_is_told(saved):
    io.save(replace(io.load(saved), _state=None), saved)
    assert len(io.load(saved)) == 2
    edited(saved, shorter("tangents"))
    assert "incomplete" in refused(saved)


def test_half_a_file_and_a_newer_one_are_told(saved):
    edited(saved, lambda head, arrays: head.update(version=99))
    assert "newer" in refused(saved)
    saved.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    assert "corrupt" in refused(saved)


def test_what_went_wrong_with_the_state_of_a_search_is_told(tmp_path):
    def charts_that_are_not_there(head, arrays):
        state = head["data"]["value"]["of"]["_state"]["of"]
        atlas = state["traced"][0]["of"]["atlas"]["of"]
        atlas["waiting"] = {"numbers": [99], "dtype": "<i8", "shape": [1]}

    path = io.save(CASES["ended by its budget"](), tmp_path / "rest")
    edited(path, charts_that_are_not_there)
    assert "incomplete" in refused(path)


@pytest.fixture(scope="module")
def graph():
    field = sr.map(lambda x: [x[0] - x[0] ** 3, -x[1]], 2)
    return sr.equilibria(rest_problem(field, field=True), starts=16).connect()


def test_graphs_as_files(graph, tmp_path):
    text = networkx.read_graphml(io.save_graph(graph, tmp_path / "orbits.graphml"))
    data = json.loads(io.save_graph(graph, str(tmp_path / "orbits.json")).read_text())
    plain = networkx.node_link_graph(data, edges="edges")
    for again, name in ((text, str), (plain, int)):
        assert sorted(again.edges) == [(name(2), name(0)), (name(2), name(1))]
        for number, node in graph.nodes(data=True):
            found = again.nodes[name(number)]
            assert json.loads(found["betti"]) == list(node["betti"])
            assert {key: found[key] for key in ("dimension", "index", "margin", "verdict")} == {
                key: node[key] for key in ("dimension", "index", "margin", "verdict")
            }
            assert "cost" not in found


def test_what_is_not_finite_is_left_out(tmp_path):
    """A curve that fills the plane across itself has no eigenvalue: the margin is infinite."""
    field = rest_problem(sr.map(lambda x: [0 * x[0]], 1), field=True)
    graph = sr.equilibria(field, starts=2).connect()
    assert graph.nodes[0]["margin"] == np.inf
    text = io.save_graph(graph, tmp_path / "line.json").read_text()
    assert "Infinity" not in text
    assert "margin" not in json.loads(text)["nodes"][0]


def test_graphs_that_cannot_be_written(graph, tmp_path):
    with pytest.raises(ProblemError, match="not written in this form"):
        io.save_graph(graph, tmp_path / "orbits.png")
    for name in ("no/orbits.json", "no/orbits.graphml"):
        with pytest.raises(ProblemError, match="cannot be written"):
            io.save_graph(graph, tmp_path / name)
