"""Results as files: what is saved comes back, and what is no result is refused."""

import json
import os
import sys
import zipfile
from dataclasses import asdict

import numpy as np
import pytest

import subriem as sr
from subriem import io
from subriem.core import store
from subriem.core.errors import MissingExtraError, ProblemError
from subriem.flows.network import network
from subriem.flows.persist import solution_from, solution_parts, thinned
from subriem.integration.dop853 import DenseStep, HermiteStep


def problem(conflict=False):
    """Six rows of which the last repeats the first, with the same target or another."""
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((6, 2))
    inputs[5] = inputs[0]
    targets = rng.standard_normal((6, 2))
    if not conflict:
        targets[5] = targets[0]
    net = network([2, 16, 2], inputs)
    return sr.flows.adapted(net, sr.flows.squared_error(targets)), net.initial(seed=0)


@pytest.fixture(scope="module", params=[False, True], ids=["agreeing", "conflicting"])
def run(request):
    flow, theta0 = problem(request.param)
    event = sr.Event(lambda t, theta: t - 0.3, name="a third")
    return flow, theta0, sr.follow(flow, theta0, events=event, rtol=1e-10)


def assert_same(loaded, sol):
    """Every public fact of two solutions agrees bit by bit."""
    for name in ("t", "s", "y", "rank"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(sol, name), strict=True)
    assert list(loaded.channels) == list(sol.channels)
    for name, values in sol.channels.items():
        np.testing.assert_array_equal(loaded[name], values, strict=True)
    for name in ("status", "message", "stats", "clock", "rate", "cost_floor", "conflicts", "goal", "theta_error"):
        assert getattr(loaded, name) == getattr(sol, name), name
    assert str(loaded) == str(sol)
    assert str(loaded.regime) == str(sol.regime)
    assert [(e.name, e.clock, e.terminal) for e in loaded.events] == [(e.name, e.clock, e.terminal) for e in sol.events]
    for mine, other in zip(loaded.events, sol.events, strict=True):
        np.testing.assert_array_equal(mine.y, other.y)
    np.testing.assert_equal(asdict(loaded.state), asdict(sol.state))
    assert loaded.singularity == sol.singularity


def between(sol):
    return np.sort(np.concatenate([sol.grid, np.linspace(sol.grid[0], sol.grid[-1], 57)]))


def test_a_solution_comes_back(run, tmp_path):
    _, _, sol = run
    assert sol.events, "the test wants an event to save"
    loaded = io.load(io.save(sol, tmp_path / "run"))
    assert_same(loaded, sol)
    np.testing.assert_array_equal(loaded(between(sol)), sol(between(sol)))
    np.testing.assert_array_equal(loaded.line.end, sol.line.end)
    assert loaded.line.rate == sol.line.rate


def test_the_dependence_comes_back_and_compresses(run, tmp_path):
    flow, theta0, sol = run
    kept = io.load(io.save(sol, tmp_path / "run.npz")).regime.dependence
    original = sol.regime.dependence
    assert kept.groups == original.groups
    np.testing.assert_array_equal(kept.null, original.null)
    np.testing.assert_array_equal(kept.basis.toarray(), original.basis.toarray())
    assert str(kept.decision) == str(original.decision)
    relation = kept.null.T @ flow.map.jacobian(theta0)
    assert np.abs(relation).max() < 1e-12


def test_a_loaded_partial_run_resumes_to_the_same_end(tmp_path):
    flow, theta0 = problem()
    whole = sr.follow(flow, theta0)
    part = sr.follow(flow, theta0, budget=sr.Budget(steps=4))
    assert part.status is sr.Status.BUDGET_SPENT
    resumed = sr.follow(flow, io.load(io.save(part, tmp_path / "part.npz")))
    assert resumed.status is sr.Status.SUCCESS
    np.testing.assert_allclose(resumed.theta, whole.theta, rtol=1e-10, atol=1e-10)
    assert resumed.stats["accepted"] == whole.stats["accepted"]


def test_a_checkpoint_file_is_a_state_that_resumes(tmp_path):
    flow, theta0 = problem()
    path = tmp_path / "checkpoint.npz"
    sr.follow(flow, theta0, budget=sr.Budget(steps=4), checkpoint=path)
    state = io.load(path)
    assert state.accepted == 4
    assert 0 < state.clock < 1
    np.testing.assert_allclose(sr.follow(flow, state).theta, sr.follow(flow, theta0).theta, rtol=1e-10, atol=1e-10)
    again = io.load(io.save(state, tmp_path / "again.npz"))
    np.testing.assert_equal(asdict(again), asdict(state))


def test_a_named_end_comes_back(tmp_path):
    fold = sr.numpy_map(lambda t: t**2, lambda t: np.diag(2 * t), 1, 1)
    sol = sr.follow(sr.flows.adapted(fold, sr.flows.squared_error([-1.0])), [1.0])
    assert sol.status is sr.Status.RANK_CHANGED
    loaded = io.load(io.save(sol, tmp_path / "fold"))
    assert_same(loaded, sol)
    assert loaded.regime.dependence is None


def test_a_standard_run_comes_back_without_regime_or_line(tmp_path):
    flow, theta0 = problem()
    sol = sr.follow(sr.flows.standard(flow.map, flow.cost), theta0, until=sr.Until(s=0.5))
    loaded = io.load(io.save(sol, tmp_path / "standard"))
    assert_same(loaded, sol)
    assert loaded.regime is None
    assert loaded.line is None


def test_beyond_the_limit_the_dense_output_is_cubic_and_says_so(run):
    _, _, sol = run
    exact = solution_from(*solution_parts(sol))
    assert all(isinstance(step, DenseStep) for step in exact.dense.segments)
    assert "stored" not in exact.stats
    header, arrays = solution_parts(sol, limit=1000.0)
    coarse = solution_from(header, arrays)
    assert all(isinstance(step, HermiteStep) for step in coarse.dense.segments)
    assert "cubic Hermite" in coarse.stats["stored"]
    assert "stored" not in sol.stats
    np.testing.assert_array_equal(coarse(sol.grid), sol(sol.grid))
    # a cubic with exact ends and slopes: the slopes are those of the exact interpolant
    times = sol.grid[:-1] + 0.5 * np.diff(sol.grid)
    distance = np.linalg.norm(coarse(times) - sol(times), axis=1)
    steps = np.linalg.norm(np.diff(sol.y, axis=0), axis=1)
    assert 0 < distance.max() < 0.02 * steps.max()
    h = 1e-6 * (sol.grid[1] - sol.grid[0])
    for path in (coarse, sol):
        slope = (path(sol.grid[1]) - path(sol.grid[1] - h)) / h
        velocity = sol["velocity"][1]
        np.testing.assert_allclose(slope, velocity, rtol=1e-3, atol=1e-3 * np.abs(velocity).max())


def test_a_thinned_solution_keeps_its_ends_and_comes_back(run, tmp_path):
    _, _, sol = run
    thin = thinned(sol, 8)
    assert thin.grid.size < sol.grid.size
    assert "accepted points kept" in thin.stats["thinned"]
    np.testing.assert_array_equal(thin.y[[0, -1]], sol.y[[0, -1]])
    assert set(thin.grid) <= set(sol.grid)
    np.testing.assert_allclose(thin(thin.grid[1]), sol(thin.grid[1]))
    path = io.save(thin, tmp_path / "thin")
    assert_same(io.load(path), thin)
    np.testing.assert_array_equal(io.load(path)(between(thin)), thin(between(thin)))
    assert thinned(sol, 10**6) is sol


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    return io.save(sr.follow(*problem(), until=sr.Until(t=0.2)), tmp_path / "run.npz")


def refused(path):
    with pytest.raises(ProblemError) as caught:
        io.load(path)
    return caught.value.what


def test_missing_and_foreign_files(tmp_path):
    assert "missing" in refused(tmp_path / "no.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    assert "corrupt or no subriem file" in refused(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("not a zip file")
    assert "corrupt" in refused(tmp_path / "text.npz")
    with pytest.raises(ProblemError) as caught:
        io.load(tmp_path / "text.npz")
    assert "pickle" not in str(caught.value)  # NumPy's advice
    with open(tmp_path / "array.npz", "wb") as stream:
        np.save(stream, np.ones(3))
    assert "corrupt" in refused(tmp_path / "array.npz")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert "corrupt" in refused(saved)


def test_a_flipped_byte_in_the_data(saved):
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 0xFF
    saved.write_bytes(bytes(content))
    assert "corrupt" in refused(saved)


def edited(path, change):
    """Rewrite the JSON header of a file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with np.load(path) as archive:
        head = json.loads(archive["__header__"].tobytes())
        arrays = {name: archive[name] for name in archive.files if name != "__header__"}
    assert members
    change(head, arrays)
    np.savez(path, __header__=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8), **arrays)


def test_a_newer_version_another_kind_and_a_missing_array(saved, tmp_path):
    edited(saved, lambda head, arrays: head.update(version=store.VERSION + 1))
    assert "newer" in refused(saved)
    edited(saved, lambda head, arrays: head.update(version=store.VERSION, kind="geodesic"))
    assert "something else" in refused(saved)
    edited(saved, lambda head, arrays: (head.update(kind="flow-solution"), arrays.pop("line/end")))
    assert "incomplete" in refused(saved)
    edited(saved, lambda head, arrays: head["data"].pop("status"))
    assert "incomplete" in refused(saved)
    with pytest.raises(ProblemError, match="something else"):
        store.read(store.write(tmp_path / "x", "flow-state", {}, {}), "flow-solution")


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(ProblemError, match="dict"):
        io.save({"t": 1}, tmp_path / "x")
    with pytest.raises(ProblemError, match="cannot be written"):
        io.save(sr.follow(*problem(), until=sr.Until(t=0.1)), tmp_path / "no" / "x.npz")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProblemError, match="cannot be written"):
        io.save(sr.follow(*problem(), until=sr.Until(t=0.1)), tmp_path / "x.npz")


# --- xarray -------------------------------------------------------------------------------------------------


def test_to_xarray(run):
    pytest.importorskip("xarray", reason="the extra io is not installed")
    _, _, sol = run
    data = io.to_xarray(sol)
    assert data["theta"].dims == ("step", "parameter")
    assert data["x"].dims == ("step", "output")
    np.testing.assert_array_equal(data["cost"].values, sol["cost"])
    np.testing.assert_array_equal(data["t"].values, sol.t)
    assert data.attrs["status"] == "SUCCESS"
    with pytest.raises(ProblemError):
        io.to_xarray(sol.state)


def test_without_xarray_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtraError, match=r"subriem\[io\]"):
        io.to_xarray(run[2])
