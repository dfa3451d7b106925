"""What all commands share: exit codes, the command line as given, the interruption, and how they print."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from subriem.core.budget import CancelToken
from subriem.core.errors import ProblemError
from subriem.core.rank import RankWarning
from subriem.report import common

OK, ENDED_OTHERWISE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass
class Shell:
    """The commands of one call of `main`, as methods.

    Attributes
    ----------
    command : str
        The command line that repeats the call.
    token : CancelToken
        Set by the first interruption.
    usage : mapping of str to str
        Name of a command, and of the method behind it -> how it is called.
    """

    command: str
    token: CancelToken = field(default_factory=CancelToken)
    usage: ClassVar[Mapping[str, str]] = {}

    def commands(self) -> list[Callable[..., Any]]:
        """Return the methods behind the commands."""
        return [getattr(self, name) for name in self.usage]


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


def aligned(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their columns below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def shows_progress() -> bool:
    """Return whether a bar of progress would be seen."""
    return sys.stderr.isatty() and find_spec("tqdm") is not None


@contextmanager
def notes_of_ranks() -> Iterator[list[str]]:
    """Gather warnings about ranks; others are shown as ever."""
    notes: list[str] = []
    shown = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, RankWarning):
            notes.append(str(message))
        else:
            shown(message, category, *rest, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", RankWarning)
        warnings.showwarning = show
        yield notes


def write_json(record: dict[str, Any], path: Path) -> None:
    """Write plain values to the file of --json, or raise `ProblemError`."""
    try:
        common.write_json(record, path)
    except OSError as error:
        raise ProblemError(
            "--json cannot be written", f"{path}: {error}", "a writable file", "--json OUT.json"
        ) from error
