"""The folder of a run: afterwards it holds what that run wrote, and everything of other origin as it was."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from subriem.core.errors import ProblemError

#: Every file that a study of a flow may write; no other name is ever replaced or removed. A folder without the first
#: one holds no study.
FILES = (
    "adapted.npz",
    "standard.npz",
    "model.json",
    "report.html",
    "cost.png",
    "output.png",
    "singular_values.png",
    "comparison.png",
)


@dataclass(frozen=True)
class Change:
    """What became of a folder.

    Attributes
    ----------
    written : tuple of str
        Files that the run made, in the order of those it may write.
    replaced, removed : tuple of str
        Files of an earlier run that were written again, and those that this run did not make.
    """

    written: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]

    def __str__(self) -> str:
        """In one line; empty if no earlier run was there."""
        if not self.replaced and not self.removed:
            return ""
        parts = ("replaced", self.replaced), ("removed", self.removed)
        said = "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)
        return f"of the earlier study there: {said}"


def check_folder(folder: Path, files: Sequence[str] = FILES) -> None:
    """Raise ProblemError if a run cannot be written to a folder without harm to what others put there.

    Parameters
    ----------
    folder : Path
    files : sequence of str
        What the run may write, the file first without which a folder holds no run of its kind.
    """
    if not folder.exists():
        return
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ProblemError(
            "--out is no folder that can be written", str(folder), "a new or writable folder", "--out FOLDER"
        )
    if (taken := _present(folder, files)) and files[0] not in taken:
        raise ProblemError(
            "--out holds files that a study would overwrite",
            f"{folder}: {', '.join(taken)}, and no {files[0]} of an earlier study",
            "a new folder, or that of an earlier study",
            "--out FOLDER, or move these files",
        )


def fill_folder(folder: Path, make: Callable[[Path], object], files: Sequence[str] = FILES) -> Change:
    """Let `make` write a run to a folder beside its place, then put its files there, one atomic step each.

    If `make` fails, the earlier run is still whole. Files of other names are left alone.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    make : callable
        Gets a new empty folder on the same file system.
    files : sequence of str
        What the run may write.

    Returns
    -------
    Change

    Raises
    ------
    ProblemError
        If the folder cannot be made or written.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> fill_folder(folder, lambda new: [(new / name).touch() for name in ("adapted.npz", "cost.png")]).written
    ('adapted.npz', 'cost.png')
    >>> print(fill_folder(folder, lambda new: (new / "adapted.npz").touch()))
    of the earlier study there: replaced adapted.npz; removed cost.png
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".study-", suffix=".tmp", dir=folder))
        try:
            make(staging)
            written, earlier = _present(staging, files), _present(folder, files)
            for name in written:
                os.replace(staging / name, folder / name)
            removed = tuple(name for name in earlier if name not in written)
            for name in removed:
                (folder / name).unlink()
        finally:
            shutil.rmtree(staging)
    except OSError as error:
        raise ProblemError("the folder cannot be written", str(error), "a writable place", "--out FOLDER") from error
    return Change(written, tuple(name for name in earlier if name in written), removed)


def _present(folder: Path, files: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in files if (folder / name).exists())
