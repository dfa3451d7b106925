"""`subriem equilibria`: what it finds, writes and refuses, and how it ends."""

import csv
import json

import networkx
import numpy as np
import pytest

from subriem.cli import main
from subriem.cli.equilibria import _box
from subriem.report.equilibria import FILES, limits, verdict
from subriem.report.equilibriarun import EquilibriaRun, equilibria_record
from tests.face.sets import XY, XYZ, circle, disc, pitchfork, sphere
from tests.face.test_cli_dae import four_lines

MODEL = """
import casadi as ca
import subriem as sr

circle = sr.map(lambda x: [x[0] ** 2 + x[1] ** 2 - 1], 2)
pitchfork = sr.map(lambda x: [x[0] - x[0] ** 3, -x[1]], 2)
nothing = sr.map(lambda x: [x[0] ** 2 + 1, x[1]], 2)
well = sr.flows.potential(lambda x: (ca.sumsqr(x) - 1) ** 2 / 4, 2)


@sr.dae(variables="x y", parameters={"g": 1.0})
def swing(t, v, d, p):
    return {"slide": d(v.x) - v.y, "fall": d(v.y) + p.g * ca.sin(v.x) + v.y}


def made():
    return circle


class Point:
    pass


number = 3
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def undrawn(monkeypatch):
    """No report: it takes longer than all the rest."""
    monkeypatch.setattr(
        "subriem.cli.equilibria.equilibria_report", lambda run, folder: (folder / "equilibria.json").touch()
    )


def found(path):
    return json.loads(path.read_text())


def components(record):
    return sorted((one["dimension"], one["index"]) for one in record["components"])


# --- what is written ------------------------------------------------------------------------------------------------


def test_rest_points_are_found_drawn_and_reported(model, capsys):
    assert main(["equilibria", "model.py:well", "--starts", "12", "--connect", "--out", "out"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("Rest points in the box: 1 curve and 1 isolated point.")
    assert "2 components of rest points from 12 starts: SUCCESS" in printed.out
    assert "component 1 to 0:" in printed.out
    assert {path.name for path in (model / "out").iterdir()} == set(FILES) - {"bifurcation.png"}
    record = found(model / "out" / "equilibria.json")
    assert components(record) == [(0, [2]), (1, [0])]
    curve = np.array(record["components"][0]["points"])
    np.testing.assert_allclose(np.linalg.norm(curve, axis=1), 1, atol=1e-9)
    assert record["components"][0]["measure"] == pytest.approx(2 * np.pi, rel=1e-4)
    assert record["command"] == "subriem equilibria model.py:well --starts 12 --connect --out out"
    with (model / "out" / "components.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["dimension"], row["index"], row["betti"]) for row in rows] == [("1", "0", "1 1"), ("0", "2", "1")]
    assert float(rows[1]["cost"]) == record["components"][1]["cost"]
    graph = networkx.read_graphml(model / "out" / "connections.graphml")
    assert set(graph.edges) == {("1", "0")}
    page = (model / "out" / "report.html").read_text()
    for text in ("Rest points of model.py:well", "subriem equilibria model.py:well", "casadi", "lower bound"):
        assert text in page
    assert page.count("<img") == 3
    assert page.count("<iframe") == 1
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_dae_over_a_parameter(model, capsys):
    command = ["equilibria", "model.py:swing", "--over", "g", "--starts", "6", "--box", "x=-2,2 y=-1,1 g=0.5,1.5"]
    assert main([*command, "--out", "out"]) == 0
    record = found(model / "out" / "equilibria.json")
    assert record["names"] == ["x", "y", "g"]
    assert components(record) == [(1, [0])]
    points = np.array(record["components"][0]["points"])
    np.testing.assert_allclose(points[:, :2], 0, atol=1e-9)
    assert (model / "out" / "bifurcation.png").exists()


def test_options_reach_the_search(model, undrawn):
    main(["equilibria", "model.py:circle", "--starts", "3", "--step", "0.1", "--json", "a.json", "--out", "a"])
    (one,) = found(model / "a.json")["components"]
    assert (one["spacing"], one["starts"], one["index"]) == (0.1, 3, None)
    main(["equilibria", "model.py:made", "--no-trace", "--starts", "3", "--json", "a.json", "--out", "a"])
    assert [len(one["points"]) for one in found(model / "a.json")["components"]] == [1]
    main(["equilibria", "model.py:pitchfork", "--field", "--starts", "30", "--json", "a.json", "--out", "a"])
    assert components(found(model / "a.json")) == [(0, [0]), (0, [0]), (0, [1])]
    main(["equilibria", "model.py:pitchfork", "--box=0.5", "--starts", "9", "--json", "a.json", "--out", "a"])
    assert [one["point"] for one in found(model / "a.json")["components"]] == [pytest.approx([0, 0], abs=1e-9)]
    points = {}
    for seed in ("1", "2"):
        main(["equilibria", "model.py:circle", "--seed", seed, "--starts", "1", "--json", "a.json", "--out", "a"])
        points[seed] = found(model / "a.json")["components"][0]["point"]
    assert points["1"] != points["2"]
    main(["equilibria", "model.py:swing", "-p", "g=0", "--starts", "2", "--json", "a.json", "--out", "a"])
    assert components(found(model / "a.json"))[0][0] == 1  # without gravity every angle is a rest point


def test_the_zoo_brings_its_box_and_its_starts(tmp_path, monkeypatch, capsys, undrawn):
    monkeypatch.chdir(tmp_path)
    assert main(["equilibria", "zoo:no-loss-2", "--step", "0.3"]) == 0
    assert "1 component of rest points from 1 starts" in capsys.readouterr().out
    assert (tmp_path / "subriem-equilibria").is_dir()


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_nothing_found_is_1_and_reported(model, capsys):
    assert main(["equilibria", "model.py:nothing", "--starts", "4", "--out", "out"]) == 1
    assert "No rest point was found in the box" in capsys.readouterr().out
    assert {path.name for path in (model / "out").iterdir()} == {"equilibria.json", "components.csv", "report.html"}
    page = (model / "out" / "report.html").read_text()
    assert "verdict bad" in page
    assert "Starts that led to no rest point" in page


@pytest.mark.parametrize(("option", "value"), [("--charts", "3"), ("--seconds", "0"), ("--budget-seconds", "0")])
def test_a_budget_that_is_spent_is_1(model, capsys, undrawn, option, value):
    assert main(["equilibria", "model.py:circle", "--starts", "20", option, value, "--out", "out"]) == 1
    assert "BUDGET_SPENT" in capsys.readouterr().out


def test_an_interrupted_search_is_130_and_reported(model, monkeypatch, capsys, undrawn):
    from subriem.cli import equilibria as module

    search = module.equilibria

    def interrupted(*arguments, cancel, **options):
        cancel.cancel("interrupted")
        return search(*arguments, cancel=cancel, **options)

    monkeypatch.setattr(module, "equilibria", interrupted)
    assert main(["equilibria", "model.py:well", "--connect", "--json", "a.json", "--out", "out"]) == 130
    assert "CANCELLED" in capsys.readouterr().out
    assert found(model / "a.json")["status"] == "CANCELLED"


def test_a_second_run_replaces_the_first_and_nothing_of_others(model, capsys, undrawn):
    arguments = ["equilibria", "model.py:circle", "--starts", "1", "--out", "out"]
    assert main(arguments) == 0
    (model / "out" / "notes.txt").write_text("mine")
    assert main(arguments) == 0
    assert "replaced equilibria.json" in capsys.readouterr().out
    assert (model / "out" / "notes.txt").read_text() == "mine"
    (model / "other").mkdir()
    (model / "other" / "report.html").write_text("my thesis")
    assert main([*arguments[:-1], "other"]) == 2
    assert (model / "other" / "report.html").read_text() == "my thesis"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.py:circle"], "the file cannot be read"),
        (["model.py"], "holds several maps, flows or DAEs"),
        (["model.py:cirle"], "there is no cirle in model.py"),
        (["model.py:number"], "number in model.py is no map, flow or DAE"),
        (["model.py:Point"], "type"),
        (["zoo:toros"], "torus"),
        (["model.py:circle", "--starts", "0"], "--starts"),
        (["model.py:circle", "--starts", "many"], "many"),
        (["model.py:circle", "--step", "-1"], "--step"),
        (["model.py:circle", "--step", "nan"], "--step"),
        (["model.py:circle", "--seconds", "-1"], "--seconds"),
        (["model.py:circle", "--charts", "0"], "--charts"),
        (["model.py:circle", "--box", "0"], "--box is empty"),
        (["model.py:circle", "--box=2,1"], "--box is empty"),
        (["model.py:circle", "--box=1,2,3"], "--box is empty"),
        (["model.py:circle", "--box", "wide"], "--box"),
        (["model.py:circle", "--box", "w=0,1"], "one of theta[0], theta[1]"),
        (["model.py:circle", "--axes", "x,y"], "--axes"),
        (["model.py:circle", "--axes", "0"], "--axes"),
        (["model.py:circle", "--axes", "0,5"], "--axes"),
        (["model.py:circle", "--connect"], "--field"),
        (["model.py:circle", "--zero-loss"], "--zero-loss does not belong"),
        (["model.py:well", "--field"], "--field does not belong"),
        (["model.py:well", "--over", "p"], "--over does not belong"),
        (["model.py:swing", "--over", "k"], "'k'"),
        (["model.py:swing", "-p", "k=1"], "'k'"),
        (["model.py:circle", "-p", "k=1"], "-p is for a DAE"),
        (["model.py:circle", "--t", "inf"], "--t is not finite"),
        (["model.py:circle", "--color", "cost"], "cost"),
        (["model.py:circle", "--out", "model.py"], "--out"),
        (["model.py:circle", "--json", "no/a.json", "--starts", "1"], "--json"),
        ([], "subriem equilibria FILE.py:NAME"),
    ],
)  # fmt: skip
def test_bad_input_is_2_with_four_lines(model, capsys, undrawn, arguments, words):
    assert main(["equilibria", *arguments]) == 2
    printed = capsys.readouterr()
    assert words in four_lines(printed.err)
    assert printed.out == ""
    assert not (model / "subriem-equilibria").exists()


def test_boxes_as_they_are_written():
    names = ("x", "y", "theta[2]")
    for text, lower, upper in (
        ("3", [-3, -3, -3], [3, 3, 3]),
        ("-1,2.5", [-1, -1, -1], [2.5, 2.5, 2.5]),
        ("y=0,1 theta[2]=4", [-2, 0, -4], [2, 1, 4]),
    ):
        np.testing.assert_array_equal(_box(text, names), [lower, upper])


# --- what is said ---------------------------------------------------------------------------------------------------


def test_the_verdict_and_the_limits_name_what_there_is():
    run = EquilibriaRun(disc(), tuple("abcd"), "file.py:disc", "")
    assert verdict(run) == "Rest points in the box: 1 surface."
    told = " ".join(limits(run))
    for words in ("outside the box: Betti", "without a motion", "projection"):
        assert words in told
    run = EquilibriaRun(pitchfork(), ("x", "p"), "file.py:fork", "")
    assert verdict(run) == "Rest points in the box: 2 curves; at 1 place branches meet or the rank changes."
    assert "without a motion" not in " ".join(limits(run))
    assert "projection" not in " ".join(limits(EquilibriaRun(sphere(), XYZ, "", "")))


def test_the_record_is_json_and_holds_complex_spectra_as_pairs():
    record = equilibria_record(EquilibriaRun(circle(), XY, "", ""))
    assert json.loads(json.dumps(record, allow_nan=False)) == json.loads(json.dumps(record))
    for one, component in zip(record["components"], circle().components, strict=True):
        pairs = np.array(one["spectrum"])
        np.testing.assert_array_equal(pairs[..., 0] + 1j * pairs[..., 1], component.spectrum)
