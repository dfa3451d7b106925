"""Files: round trips, atomicity, and what is refused on reading."""

import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subriem.core import store
from subriem.core.errors import ProblemError
from subriem.core.status import Status

HEADER = {
    "name": "pendulum",
    "limits": [float("inf"), -float("inf"), float("nan"), 1e-320],
    "nested": {"flag": True, "none": None, "n": 3, "text": "θ → ∞"},
    "numpy": [np.float64(0.1), np.int64(7), np.bool_(True)],
    "status": Status.RANK_CHANGED,
    "tuple": (1, (2.5, "x")),
}
ARRAYS = {
    "t": np.linspace(0, 1, 5),
    "y": np.arange(6.0).reshape(2, 3),
    "rank": np.array([1, -1]),
    "e": np.zeros((0, 3)),
}


def test_round_trip(tmp_path):
    path = store.write(tmp_path / "run", "solution", HEADER, ARRAYS)
    assert path == tmp_path / "run.npz"
    kind, header, arrays = store.read(path, "solution")
    assert kind == "solution"
    assert np.isnan(header["limits"].pop(2))
    assert header["limits"] == [np.inf, -np.inf, 1e-320]
    assert header["nested"] == HEADER["nested"]
    assert header["numpy"] == [0.1, 7, True]
    assert header["status"] == Status.RANK_CHANGED.value
    assert header["tuple"] == [1, [2.5, "x"]]
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert store.read(tmp_path / "run")[0] == "solution"  # the same path as was given to write


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=3))
def test_any_header_comes_back(tmp_path, header):
    assert store.read(store.write(tmp_path / "h.npz", "k", header, {}))[1] == header


def test_the_header_is_valid_json(tmp_path):
    with np.load(store.write(tmp_path / "a", "k", HEADER, {})) as archive:
        json.loads(archive["__header__"].tobytes(), parse_constant=pytest.fail)


@pytest.mark.parametrize("value", [object(), np.ones(2), 1j, {"__float__": "1"}])
def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path, value):
    with pytest.raises(TypeError):
        store.write(tmp_path / "a", "k", {"x": value}, {})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["__header__", "file", "allow_pickle"])
def test_reserved_array_names_are_refused(tmp_path, name):
    with pytest.raises(ProblemError, match=name):
        store.write(tmp_path / "a", "k", {}, {name: np.ones(1)})


@pytest.mark.parametrize("stage", ["savez", "replace"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, stage, failure):
    path = store.write(tmp_path / "a", "k", {"n": 1}, ARRAYS)
    before = path.read_bytes()

    def fail(stream, *args, **kwargs):
        if stage == "savez":
            stream.write(b"half of a file")
        raise failure

    monkeypatch.setattr(*((np, "savez", fail) if stage == "savez" else (os, "replace", fail)))
    with pytest.raises(ProblemError if isinstance(failure, OSError) else KeyboardInterrupt):
        store.write(path, "k", {"n": 2}, ARRAYS)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_overwriting_replaces_the_file(tmp_path):
    store.write(tmp_path / "a", "k", {"n": 1}, {})
    store.write(tmp_path / "a", "k", {"n": 2}, {})
    assert store.read(tmp_path / "a")[1] == {"n": 2}


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "plain").touch()
    path = store.write(tmp_path / "a", "k", {}, {})
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(ProblemError, match="cannot be written"):
        store.write(tmp_path / "no" / "a", "k", {}, {})


# --- reading ------------------------------------------------------------------------------------------------


def rewritten(tmp_path, **changes):
    head = {"format": "subriem", "version": 1, "kind": "k", "data": {}} | changes
    path = tmp_path / "changed.npz"
    np.savez(path, __header__=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8))
    return path


def test_missing_file(tmp_path):
    with pytest.raises(ProblemError, match="missing"):
        store.read(tmp_path / "a.npz")


def test_unchanged_rewrite_is_read(tmp_path):
    assert store.read(rewritten(tmp_path)) == ("k", {}, {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "newer format"),
        ({"version": "x"}, "corrupt or no subriem file"),
        ({"version": None}, "corrupt or no subriem file"),
        ({"format": "other"}, "no subriem file"),
        ({"data": None}, "no subriem file"),
    ],
)
def test_foreign_headers(tmp_path, changes, words):
    with pytest.raises(ProblemError, match=words):
        store.read(rewritten(tmp_path, **changes))


def test_another_kind(tmp_path):
    path = store.write(tmp_path / "a", "solution", {}, {})
    with pytest.raises(ProblemError, match=r"'solution'[\s\S]*'state'"):
        store.read(path, "state")


def write_foreign(path, what):
    if what == "empty":
        path.touch()
    elif what == "text":
        path.write_text("no archive")
    elif what == "npz":
        np.savez(path, x=np.ones(3))
    elif what == "npy":
        with path.open("wb") as stream:
            np.save(stream, np.ones(3))
    elif what == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "text")
    elif what == "header":
        np.savez(path, __header__=np.ones(3))
    elif what == "list":
        np.savez(path, __header__=np.frombuffer(b"[1, 2]", dtype=np.uint8))
    elif what == "pickle":
        np.savez(path, __header__=np.array([{"kind": 1}], dtype=object))
    else:
        path.mkdir()


@pytest.mark.parametrize("what", ["empty", "text", "npz", "npy", "zip", "header", "list", "pickle", "folder"])
def test_foreign_files(tmp_path, what):
    path = tmp_path / "foreign.npz"
    write_foreign(path, what)
    with pytest.raises(ProblemError, match="corrupt or no subriem file"):
        store.read(path)


def test_truncated_files(tmp_path):
    data = store.write(tmp_path / "a", "k", {"n": 1}, ARRAYS).read_bytes()
    short = tmp_path / "short.npz"
    for length in range(0, len(data) - 1, 97):
        short.write_bytes(data[:length])
        with pytest.raises(ProblemError, match="corrupt"):
            store.read(short)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_a_flipped_byte_is_found_or_harmless(tmp_path, data):
    path = store.write(tmp_path / "a", "k", {"n": 1}, {"t": ARRAYS["t"]})
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "b.npz").write_bytes(content)
    try:
        kind, header, arrays = store.read(tmp_path / "b.npz")
    except ProblemError:
        return
    assert (kind, header) == ("k", {"n": 1})
    np.testing.assert_array_equal(arrays["t"], ARRAYS["t"])
