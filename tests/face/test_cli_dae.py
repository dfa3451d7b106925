"""`subriem reduce` and `subriem solve`: what they find, write and refuse, and how they end."""

import csv
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import subriem as sr
from subriem import io
from subriem.cli import main
from subriem.cli.source import find_dae, read_values
from subriem.core.errors import ProblemError
from subriem.core.status import Status
from subriem.report.dae import FILES, DAERun, equation_texts, limits
from subriem.zoo.dae import get
from tests.face.test_cli import start, work

MODEL = """
from dataclasses import dataclass

import neighbour
import subriem as sr


@dataclass
class Settings:
    length: "float" = 1.0


@sr.dae(variables="x y lam1 lam2", parameters={"g": 9.81})
def twice(t, v, d, p):
    force = v.lam1 + v.lam2
    rod = v.x**2 + v.y**2 - Settings().length
    return {
        "horizontal": d(v.x, 2) + force * v.x,
        "vertical": d(v.y, 2) + force * v.y + p.g,
        "rod": rod,
        "rod_again": rod,
    }


@sr.dae(variables="x y")
def fold(t, v, d, p):
    return {"slide": d(v.x) + 1, "fold": v.x - v.y**2}


@sr.dae(variables="x lam mu")
def contradictory(t, v, d, p):
    return {"motion": d(v.x, 2) + v.lam + v.mu, "here": v.x - 1, "there": v.x - 2}


def made():
    import neighbour

    assert neighbour.LENGTH == 1.0
    return twice


def needs(length):
    return twice


def fails():
    return 1 / 0


number = 3
"""
START = "x=0.6 y=-0.8 x'=0.4 y'=0.3"


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "neighbour.py").write_text("LENGTH = 1.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "neighbour", raising=False)
    return tmp_path


def four_lines(text):
    lines = text.rstrip("\n").split("\n")
    assert [line[:10].strip() for line in lines] == ["What", "Got", "Expected", "Try"]
    return text


@pytest.fixture
def undrawn(monkeypatch):
    """No figures: they take longer than all the rest."""
    monkeypatch.setattr("subriem.cli.dae.dae_report", lambda run, folder: (folder / "report.html").touch())


# --- reduce ---------------------------------------------------------------------------------------------------------


def test_reduce_prints_the_reduction_and_the_start(model, capsys):
    assert main(["reduce", "model.py:twice", "--at", START, "--json", "out.json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    red = sr.reduce(find_dae("model.py:twice").dae, read_values("--at", START))
    assert printed.out.startswith(str(red))
    for line in (r"index +3 \(by ranks", r"freedom +2 values", r"redundant equations +rod_again", r"open .*lam1, lam2"):
        assert re.search(line, printed.out)
    shown = dict(line.split() for line in printed.out.partition("consistent start")[2].splitlines()[1:9])
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(red.point, rel=1e-14)
    found = json.loads((model / "out.json").read_text())
    assert (found["index"], found["degrees_of_freedom"], found["redundant"]) == (3, 2, ["rod_again"])
    assert found["free"] == ["lam1", "lam2"]
    assert found["start"] == red.point
    assert found["command"].startswith("subriem reduce model.py:twice --at")
    assert not (model / "__pycache__" / "model.cpython-311.pyc").exists()


def test_options_reach_the_reduction(model, capsys):
    arguments = ["reduce", "model.py:made", "--at", "x=0.6 y=-0.7", "--fix", "x", "--t", "2"]
    assert main([*arguments, "-p", "g=1.5", "--json", "o.json"]) == 0
    found = json.loads((model / "o.json").read_text())
    assert found["t"] == 2.0
    assert found["start"]["x"] == 0.6
    assert found["start"]["y"] == pytest.approx(-0.8)
    assert found["start"]["y''"] == pytest.approx(-1.5 * 0.6**2)  # gravity along the circle
    assert found["moved"] == pytest.approx(0.1)
    assert "consistent start at t = 2" in capsys.readouterr().out


def test_the_zoo_brings_its_start(capsys):
    assert main(["reduce", "zoo:pair"]) == 0
    assert re.search(r"hidden equations in +first, second", capsys.readouterr().out)


# --- solve ----------------------------------------------------------------------------------------------------------


def test_solve_writes_solution_series_figures_and_report(model, capsys):
    assert main(["solve", "model.py:twice", "--to", "1", "--at", START, "--points", "11", "--out", "out"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "SUCCESS: t = 1 was reached" in printed.out
    assert "redundant: rod_again" in printed.out
    assert {path.name for path in (model / "out").iterdir()} == set(FILES)
    sol = io.load(model / "out" / "solution.npz")
    direct = sr.solve(find_dae("model.py:twice").dae, 1.0, read_values("--at", START))
    np.testing.assert_array_equal(sol.jets, direct.jets)
    with (model / "out" / "solution.csv").open() as stream:
        head, *rows = csv.reader(stream)
    assert head == ["t", "x", "x'", "x''", "y", "y'", "y''", "lam1", "lam2"]
    values = np.array(rows, dtype=float)
    np.testing.assert_array_equal(values[:, 0], np.linspace(0, 1, 11))
    np.testing.assert_array_equal(values[:, 1:], sol.dense.jets(values[:, 0]))
    page = (model / "out" / "report.html").read_text()
    command = "subriem solve model.py:twice --to 1 --at &#x27;" + START.split()[0]
    for text in (command, "rod_again follows from rod", "y&#x27;&#x27;+((lam1+lam2)*y))+g", "rank 3 of 4", "casadi"):
        assert text in page
    assert page.count("<img") == 3


def test_options_reach_the_solution(model, undrawn):
    arguments = ["solve", "model.py:twice", "--from", "1", "--to", "-0.5", "--at", START, "-p", "g=2", "--out", "o"]
    how = ["--method", "idas", "--rtol", "1e-5", "--atol", "1e-7", "--no-project", "--baumgarte", "0"]
    assert main([*arguments, *how]) == 0
    sol = io.load(model / "o" / "solution.npz")
    motion = sol.dense.stretches[0].motion
    assert (sol.t[0], sol.t[-1], sol.stats["method"]) == (1.0, -0.5, "idas")
    assert (motion.options.rtol, motion.options.atol, motion.project, motion.system.pole) == (1e-5, 1e-7, False, 0.0)
    assert sol.reduction.dae.parameters["g"] == 2.0
    run = DAERun(sol, (1.0, -0.5), "model.py:twice", "")
    assert any("Nothing was projected" in limit for limit in limits(run))


def test_a_change_of_rank_is_1_and_reported(model, capsys):
    assert main(["solve", "model.py:fold", "--to", "5", "--at", "x=1 y=1", "--points", "6", "--out", "out"]) == 1
    printed = capsys.readouterr().out
    assert "event 'rank' at t = 1" in printed
    assert io.load(model / "out" / "solution.npz").status is Status.RANK_CHANGED
    times = np.loadtxt(model / "out" / "solution.csv", delimiter=",", skiprows=1, usecols=0)
    assert times[0] == 0.0
    assert 1 - 1e-3 < times[-1] < 1  # the steps of the span up to there, and the end of the path
    assert "cannot be continued past" in (model / "out" / "report.html").read_text()


def test_a_budget_that_is_spent_at_once_is_1_and_reported(model, capsys):
    assert main(["solve", "model.py:twice", "--to", "1", "--at", "x=0.6 y=-0.7", "--seconds", "0", "--out", "out"]) == 1
    printed = capsys.readouterr().out
    assert "The budget was spent at t = 0" in printed
    assert "note: the start that was given is not consistent" in printed
    assert io.load(model / "out" / "solution.npz").status is Status.BUDGET_SPENT


def test_a_second_run_replaces_the_first_and_nothing_of_others(model, capsys, undrawn):
    arguments = ["solve", "zoo:circle", "--out", "out"]
    assert main(arguments) == 0
    (model / "out" / "notes.txt").write_text("mine")
    assert main(arguments) == 0
    assert "replaced solution.npz" in capsys.readouterr().out
    assert (model / "out" / "notes.txt").read_text() == "mine"
    (model / "other").mkdir()
    (model / "other" / "report.html").write_text("my thesis")
    assert main([*arguments[:-1], "other"]) == 2
    assert "report.html, and no solution.npz" in four_lines(capsys.readouterr().err)
    assert (model / "other" / "report.html").read_text() == "my thesis"


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent as POSIX does")
@pytest.mark.slow
def test_an_interrupted_solution_is_saved_and_reported(model):
    arguments = ["solve", "model.py:twice", "--to", "1e7", "--at", START, "--points", "1000001", "--out", "out"]
    process = start(arguments, model)
    try:
        work(process, 5.0)
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors == ""
    sol = io.load(model / "out" / "solution.npz")
    assert sol.status is Status.CANCELLED
    assert 0 < sol.t[-1] < 1e7
    assert "interrupted" in printed
    assert "interrupted" in (model / "out" / "report.html").read_text()


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reduce", "no.py:twice"], "the file cannot be read"),
        (["reduce", "model.py"], "one of twice, fold, contradictory, made(), fails()"),
        (["reduce", "model.py:"], "holds several DAEs"),
        (["reduce", "model.py:thrice"], "there is no thrice in model.py"),
        (["reduce", "model.py:number"], "int"),
        (["reduce", "model.py:Settings"], "is no DAE"),
        (["reduce", "model.py:needs"], "needs(length)"),
        (["reduce", "model.py:fails"], "return 1 / 0): ZeroDivisionError"),
        (["reduce", "neighbour.py"], "holds no DAE"),
        (["reduce", "zoo:pendulun-1"], "pendulum-1"),
        (["reduce", "model.py:twice", "--at", "x=1 q=2"], "'q'"),
        (["reduce", "model.py:twice", "--at", "x=one"], "x=one"),
        (["reduce", "model.py:twice", "--at", "x=nan"], "no finite number"),
        (["reduce", "model.py:twice", "--at", "x 1"], "no list of values"),
        (["reduce", "model.py:twice", "--at", "x=1 x=2"], "twice"),
        (["reduce", "model.py:twice", "--at", "x=1,2"], "2 values"),
        (["reduce", "model.py:twice", "--at", "x=1,2;3"], "differ in length"),
        (["reduce", "model.py:twice", "--t", "inf"], "--t is not finite"),
        (["reduce", "model.py:twice", "--fix", "z"], "'z'"),
        (["reduce", "model.py:twice", "-p", "h=1"], "'h'"),
        (["reduce", "model.py:twice", "--json", "no/out.json"], "--json"),
        (["reduce"], "subriem reduce FILE.py:NAME"),
        (["solve", "model.py:twice"], "no --to"),
        (["solve", "model.py:twice", "--to", "nan"], "--to is not finite"),
        (["solve", "model.py:twice", "--to", "2", "--from", "2"], "--to 3"),
        (["solve", "model.py:twice", "--to", "1", "--at", "x=1", "--rtol", "7"], "--rtol 1e-8"),
        (["solve", "model.py:twice", "--to", "1", "--at", "x=1", "--method", "rk"], "--method 'auto'"),
        (["solve", "model.py:twice", "--to", "1", "--from", "-inf"], "--from is not finite"),
        (["solve", "model.py:twice", "--to", "soon"], "soon"),
        (["solve", "model.py:twice", "--to", "0"], "--to 1"),
        (["solve", "model.py:twice", "--to", "1", "--method", "euler"], "'euler'"),
        (["solve", "model.py:twice", "--to", "1", "--rtol", "2"], "rtol"),
        (["solve", "model.py:twice", "--to", "1", "--baumgarte", "much"], "'much'"),
        (["solve", "model.py:twice", "--to", "1", "--points", "1"], "--points"),
        (["solve", "model.py:twice", "--to", "1", "--seconds", "-1"], "seconds"),
        (["solve", "model.py:twice", "--to", "1", "--out", "model.py"], "--out"),
    ],
)  # fmt: skip
def test_bad_input_is_2_with_four_lines(model, capsys, arguments, words):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert words in four_lines(printed.err)
    assert not (model / "subriem-solve").exists()
    if arguments[0] == "solve":
        assert printed.out == ""


def test_a_contradiction_is_1_and_names_the_equations(model, capsys):
    assert main(["solve", "model.py:contradictory", "--to", "1"]) == 1
    said = four_lines(capsys.readouterr().err)
    assert "here" in said
    assert "there" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import subriem\nx = (1 +\n", "file.py, line 2 (x = (1 +): SyntaxError"),
        ("def f():\n    return {}['key']\n\nf()\n", "file.py, line 2 (return {}['key']): KeyError: 'key'"),
        ("import json\njson.loads('[')\n", "file.py, line 2 (json.loads('[')): JSONDecodeError"),
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("x = '\0'\n", "null byte"),
        (
            "import subriem as sr\n@sr.dae(variables='x')\ndef a(t, v, d, p):\n    if v.x > 0:\n        pass\n",
            "file.py, line 4 (if v.x > 0:): the definition of a failed",
        ),
    ],
    ids=["syntax", "own", "library", "import", "exit", "null", "definition"],
)
def test_a_file_that_raises_is_told_with_its_own_line(model, capsys, text, words):
    (model / "file.py").write_text(text)
    before = list(sys.path)
    assert main(["reduce", "file.py:a"]) == 2
    assert words in four_lines(capsys.readouterr().err)
    assert sys.path == before


def test_values_are_numbers_columns_and_matrices():
    found = read_values("--at", "x = 1e-3  theta[2]'' =-2 k=1,2 M=1,2;3,4")
    assert (found["x"], found["theta[2]''"]) == (1e-3, -2.0)
    np.testing.assert_array_equal(found["k"], [1.0, 2.0])
    np.testing.assert_array_equal(found["M"], [[1.0, 2.0], [3.0, 4.0]])


def test_one_dae_under_two_names_needs_no_name(model):
    (model / "one.py").write_text("from model import fold\nother = fold\n")
    assert find_dae(str(model / "one.py")).dae.name == "fold"
    with pytest.raises(ProblemError, match="there is no twice"):
        find_dae(str(model / "one.py") + ":twice")
    for name in ("model", "neighbour"):
        sys.modules.pop(name)


def test_equations_are_told_with_their_parameters():
    @sr.dae(
        variables={"z": 2}, parameters={"k": [1.0, 2.0], "M": [[1.0, 2.0], [3.0, 4.0]]}, inputs={"u": ([0, 1], [0, 2])}
    )
    def driven(t, v, d, p):
        return {"motion": p.M @ d(v.z) + p.k * v.z, "input": v.z[0] - p.u}

    first, second, third = equation_texts(driven)
    assert {"M[0,0]", "M[0,1]", "k[0]"} <= set(re.findall(r"[Mk]\[[\d,]+\]", first))
    assert {"M[1,0]", "M[1,1]", "k[1]"} <= set(re.findall(r"[Mk]\[[\d,]+\]", second))
    assert "u.data[1]" in third


def test_help_is_light():
    heavy = ["scipy.integrate", "scipy.optimize", "networkx", "matplotlib", "heyoka", "subriem.zoo.dae.mechanics"]
    code = (
        "import sys; from subriem.cli import main; main(['--help']); "
        f"sys.stderr.write(' '.join(name for name in {heavy} if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    for command in ("reduce", "solve", "flow", "demo", "predict"):
        assert command in run.stdout


def test_the_zoo_span_is_taken(model, undrawn):
    assert main(["solve", "zoo:jay", "--out", "out"]) == 0
    problem = get("jay")
    sol = io.load(model / "out" / "solution.npz")
    assert (sol.t[0], sol.t[-1]) == problem.span
