"""The folder of a study: what an earlier run left there, what belongs to others, and what a failure leaves."""

import pytest

from subriem.core.errors import ProblemError
from subriem.report.folder import FILES, check_folder, fill_folder


def maker(*names, text="new"):
    return lambda folder: [(folder / name).write_text(text) for name in names]


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_folder_holds_exactly_the_last_run_and_what_is_not_ours(tmp_path):
    out = tmp_path / "a" / "out"
    assert str(fill_folder(out, maker("adapted.npz", "standard.npz", "comparison.png", text="old"))) == ""
    for name in ("notes.txt", "my cost.png", "model.bin"):
        (out / name).write_text("mine")
    change = fill_folder(out, maker("adapted.npz", "cost.png"))
    mine = dict.fromkeys(("notes.txt", "my cost.png", "model.bin"), "mine")
    assert content(out) == {"adapted.npz": "new", "cost.png": "new", **mine}
    assert change.written == ("adapted.npz", "cost.png")
    assert str(change) == "of the earlier study there: replaced adapted.npz; removed standard.npz, comparison.png"


def test_a_failure_leaves_the_earlier_study_whole(tmp_path):
    fill_folder(tmp_path, maker(*FILES, text="old"))

    def fail(folder):
        (folder / "adapted.npz").write_text("half")
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        fill_folder(tmp_path, fail)
    assert content(tmp_path) == dict.fromkeys(FILES, "old")


def test_files_of_others_are_never_overwritten(tmp_path):
    (tmp_path / "report.html").write_text("my thesis")
    with pytest.raises(ProblemError, match=r"report\.html, and no adapted\.npz"):
        check_folder(tmp_path)
    (tmp_path / "adapted.npz").touch()
    check_folder(tmp_path)
    check_folder(tmp_path / "new")
    with pytest.raises(ProblemError, match="no folder"):
        check_folder(tmp_path / "report.html")


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ProblemError, match="cannot be written"):
        fill_folder(tmp_path / "file" / "out", maker("adapted.npz"))
