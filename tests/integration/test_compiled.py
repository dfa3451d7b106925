"""Compiled integrators: same numbers, compiled once, kept on disk, and a run without where nothing compiles."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.integration.compiled import CompilationError, cache_folder, compile_function
from tests.integration.daes import HORIZONTAL, pendulum

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("gcc", "cc", "clang"))), reason="no C compiler")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBRIEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(rtol=1e-7, jit=True):
    return sr.solve(pendulum, 1.0, HORIZONTAL, rtol=rtol, jit=jit)


@needs_compiler
def test_same_numbers_and_found_the_second_time(folder):
    plain, first, second = run(jit=False), run(), run()
    assert [sol.stats.get("jit") for sol in (plain, first, second)] == [None, "compiled", "found"]
    t = np.linspace(0, 1, 11)
    assert first(t) == pytest.approx(plain(t), abs=1e-12)
    assert (first(t) == second(t)).all()
    assert [path.suffix for path in folder.iterdir()] == [".so"]


@needs_compiler
def test_another_process_compiles_nothing(folder):
    assert run().stats["jit"] == "compiled"
    code = "from tests.integration.test_compiled import run; print(run().stats['jit'])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "found"


@needs_compiler
def test_threads_compile_at_once(folder):
    x = ca.SX.sym("x")
    functions = [ca.Function("same", [x], [ca.sin(x)]) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda f: compile_function(f)[0](1.0), functions))
    assert [float(value) for value in found] == [np.sin(1.0)] * 4
    assert len(list(folder.iterdir())) == 1


@needs_compiler
def test_a_damaged_library_is_removed(folder):
    function = ca.Function("damaged", [ca.SX.sym("x")], [1.0])
    compile_function(function)
    (library,) = folder.iterdir()
    library.unlink()  # not overwritten: it is loaded
    library.write_bytes(b"nothing")
    with pytest.raises(CompilationError, match="removed"):
        compile_function(function)
    assert compile_function(function)[1] == "compiled"


@pytest.mark.parametrize("compiler", [None, "false"])
def test_without_a_working_compiler_the_run_goes_on(compiler, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    if compiler is not None:
        monkeypatch.setenv("CC", str(shutil.which(compiler)))
    else:
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    sol = run(rtol=3e-7)
    assert sol.status is sr.Status.SUCCESS
    assert sol.stats["jit"].startswith("not compiled: ")
    assert sol.stats["steps"] > 0


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SUBRIEM_CACHE", str(tmp_path / "file" / "below"))
    assert run(rtol=4e-7).stats["jit"].startswith("not compiled: ")


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("SUBRIEM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert cache_folder() == tmp_path / "subriem"
