"""The command line: what it writes, its exit codes, and how it ends when it is interrupted."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import subriem
from subriem import io
from subriem.cli import default_widths, main
from subriem.core.status import Status
from subriem.report.folder import FILES
from tests.face.studies import study, table

ROWS = "\n".join(f"{i % 7},{(3 * i) % 11},{'ab'[i % 3 == 0]}" for i in range(20))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(f"u,v,kind\n{ROWS}\n")
    return path


def flow(data, *more):
    return main(["flow", str(data), "--target", "kind", "--out", str(data.parent / "out"), *more])


def test_a_table_gives_results_figures_and_a_report(data, capsys):
    assert flow(data) == 0
    out = data.parent / "out"
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "adapted.npz", "standard.npz", "cost.png", "singular_values.png"} <= names
    assert not any(name.endswith(".tmp") for name in names)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "SUCCESS" in printed.out
    assert "2-32-2 tanh, seed 0" in printed.out
    sol = io.load(out / "adapted.npz")
    assert sol.status is Status.SUCCESS
    assert sol.cost_ratio < 1e-12
    lines = printed.out.splitlines()
    columns = next(line for line in lines if line.startswith("ended with"))
    assert columns.index("SUCCESS") == next(line for line in lines if "adapted flow   " in line).index("adapted flow")


def test_a_second_run_leaves_nothing_of_the_first(data, capsys, monkeypatch):
    out = data.parent / "out"
    case = study(seconds=0.0)
    monkeypatch.setattr("subriem.cli.flow.flow_report", lambda _, folder: (folder / "report.html").touch())
    monkeypatch.setattr("subriem.cli.flow.study_of", lambda *_: case)
    assert flow(data) == 1
    first = {path.name for path in out.iterdir()}
    assert {"adapted.npz", "standard.npz", "report.html"} <= first <= set(FILES)
    assert "earlier study" not in capsys.readouterr().out
    (out / "notes.txt").write_text("mine")
    monkeypatch.setattr("subriem.cli.flow.study_of", lambda *_: replace(case, standard=None))
    assert flow(data) == 1
    assert "removed standard.npz\n" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == first - {"standard.npz"} | {"notes.txt"}


def test_options_reach_the_run(data, capsys):
    assert flow(data, "--widths", "2,40,2", "--activation", "sigmoid", "--seed", "3", "--start", "xavier") == 0
    assert "2-40-2 sigmoid, seed 3, start xavier: K = 202, n = 40" in capsys.readouterr().out
    assert flow(data, "--ignore", "v", "--kind", "class", "--tolerance", "1e-3", "--rtol", "1e-4") in (0, 1)
    sol = io.load(data.parent / "out" / "adapted.npz")
    assert (sol.goal, sol.stats["rtol"]) == (1e-3, 1e-4)


def test_a_run_that_ends_otherwise_is_1_and_reported(data, capsys):
    assert flow(data, "--seconds", "0") == 1
    assert "ended early" in capsys.readouterr().out
    assert io.load(data.parent / "out" / "adapted.npz").status is Status.BUDGET_SPENT
    assert "ended early" in (data.parent / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["flow", "no.csv", "--target", "kind"], "the file is missing"),
        (["flow", "{data}", "--target", "kinds"], "--target 'kind'"),
        (["flow", "{data}", "--target", "kind", "--widths", "2,x,2"], "--widths"),
        (["flow", "{data}", "--target", "kind", "--widths", "3,8,2"], "widths do not fit"),
        (["flow", "{data}", "--target", "kind", "--tolerance", "2"], "out of range"),
        (["flow", "{data}", "--target", "kind", "--rtol", "0"], "rtol"),
        (["flow", "{data}", "--target", "kind", "--seconds", "-1"], "seconds"),
        (["flow", "{data}", "--target", "kind", "--seed", "-1"], "seed"),
        (["flow", "{data}", "--target", "kind", "--out", "{data}"], "--out"),
        (["flow", "{data}", "--target", "kind", "--activation", "cosine"], "activation"),
        (["flow", "{data}", "--target", "kind", "--seed", "one"], "seed"),
        (["flow", "{data}", "--targget", "kind"], "target"),
        (["flow", "{data}"], "target"),
        (["flaw"], "flaw"),
    ],
)
def test_bad_input_is_2_with_four_lines(data, capsys, arguments, words):
    out = [] if "--out" in arguments else ["--out", str(data.parent / "out")]
    out = out if arguments[0] == "flow" else []
    code = main([argument.format(data=data) for argument in arguments] + out)
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    lines = printed.err.rstrip("\n").split("\n")
    assert [line[:10].strip() for line in lines] == ["What", "Got", "Expected", "Try"]
    assert words in printed.err
    assert not (data.parent / "out").exists()


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == subriem.__version__
    assert main(["flow", "--help"]) == 0
    printed = capsys.readouterr().out
    for option in ("--target", "--widths", "--activation", "--seed", "--start", "--tolerance", "--rtol", "--kind",
                   "--ignore", "--seconds", "--damping", "--out"):  # fmt: skip
        assert option in printed
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_without_matplotlib_nothing_runs(data, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert flow(data) == 2
    assert "subriem[plot]" in capsys.readouterr().err


def test_the_default_width_is_the_least_multiple_of_32_with_twice_the_outputs():
    for rows in (14, 40, 500):
        (p, hidden, q), notes = default_widths(table(rows=rows))
        n = rows * q
        count = [h * (p + 1) + q * (h + 1) for h in (hidden, hidden - 32)]
        assert hidden % 32 == 0
        assert notes == []
        assert count[0] >= 2 * n
        assert hidden == 32 or count[1] < 2 * n


def test_a_capped_width_says_so(monkeypatch):
    monkeypatch.setattr("subriem.cli.flow.WIDTH_BYTES", 8.0 * 1000 * 700)
    (_, hidden, _), notes = default_widths(table(rows=500))
    assert 8.0 * 1000 * (hidden * 5 + 2) <= 8.0 * 1000 * 700
    assert "limited to" in notes[0]


def start(arguments, folder):
    command = [sys.executable, "-W", "error", "-m", "subriem", *arguments]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    # its own process group: the signal reaches it and nobody else
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def work(process, seconds):
    """Wait until a process has worked so long: CPU time where the system tells it, for other work may hold it up."""
    times = Path(f"/proc/{process.pid}/stat")
    end = time.monotonic() + 20 * seconds
    while times.exists() and process.poll() is None and time.monotonic() < end:
        user, system = times.read_text().rsplit(")", 1)[1].split()[11:13]
        if (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") >= seconds:
            return
        time.sleep(0.1)
    if not times.exists():
        time.sleep(seconds)


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent as POSIX does")
@pytest.mark.slow
def test_an_interrupted_run_is_saved_and_reported(data):
    # so small a tolerance keeps the integrator busy for long; the run is stopped as soon as it is under way
    rows = "\n".join(f"{i * 0.37 % 5:.3f},{i * 0.73 % 7:.3f},{i % 3}" for i in range(300))
    data.write_text(f"u,v,kind\n{rows}\n")
    arguments = ["flow", "data.csv", "--target", "kind", "--kind", "class", "--out", "out", "--rtol", "1e-13"]
    process = start(arguments, data.parent)
    try:
        work(process, 8.0)
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors == ""
    out = data.parent / "out"
    sol = io.load(out / "adapted.npz")
    assert sol.status is Status.CANCELLED
    assert "SIGINT" in sol.message
    assert 0 < sol.grid[-1] < 1
    assert "interrupted" in printed
    assert "interrupted" in (out / "report.html").read_text()
    assert not (out / "standard.npz").exists()


@pytest.mark.slow
def test_the_demo_runs_by_itself(tmp_path):
    process = start(["demo"], tmp_path)
    printed, errors = process.communicate(timeout=600)
    assert (process.returncode, errors) == (0, "")
    assert "rows 102 and 143 have the same features, their targets agree" in printed
    assert "rank D = 447 of 450" in printed
    assert (tmp_path / "demo" / "report.html").is_file()
    assert io.load(tmp_path / "demo" / "standard.npz").status in (Status.BUDGET_SPENT, Status.SUCCESS)
