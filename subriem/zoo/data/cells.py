"""A CSV file as cells of text: names, rows, and the line each row ends at."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from subriem.core.errors import ProblemError

DELIMITERS = (",", ";", "\t")


def read_cells(source: Path, least: int = 2) -> tuple[list[str], list[list[str]], list[int]]:
    """Return column names, data rows as stripped text, and the line each row ends at; blank lines are skipped.

    Raises
    ------
    ProblemError
        If the file is missing, binary or empty; a row has another number of cells than the header; a name stands twice
        or nowhere; there are fewer than `least` data rows.
    """
    names, rows, lines = _cells(_text(source), source.name)
    if len(rows) < least:
        got = f"{source.name}: a header and {('no data row', 'one data row')[len(rows)]}"
        expected = "at least two" if least == 2 else "at least one"
        raise ProblemError("there are too few data rows", got, expected, "the first line must be a header")
    return names, rows, lines


def _text(source: Path) -> str:
    try:
        content = source.read_bytes()
    except FileNotFoundError as error:
        raise ProblemError("the file is missing", str(source), "a CSV file", "check the path") from error
    except OSError as error:
        got = f"{source}: {error.strerror}"
        raise ProblemError("the file cannot be read", got, "a CSV file", "check the path") from error
    hint = "save the table as CSV in UTF-8"
    if b"\0" in content:
        raise ProblemError("the file is binary, not text", f"{source.name}: a zero byte", "a CSV file", hint)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        got = f"{source.name}, line {line}: byte 0x{content[error.start]:02x}"
        raise ProblemError("the file is no UTF-8 text", got, "a CSV file in UTF-8", hint) from error


def _cells(text: str, source: str) -> tuple[list[str], list[list[str]], list[int]]:
    if not text.strip():
        raise ProblemError("the file is empty", source, "a header and data rows", "check the path")
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row and not (len(row) == 1 and not row[0].strip()):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ProblemError(
            "the file is no valid CSV", f"{source}, line {reader.line_num}: {error}", "cells with balanced quotes",
            "look for a quote without its partner",
        ) from error  # fmt: skip
    names, rows, lines = rows[0], rows[1:], lines[1:]
    _check_names(names, rows)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise ProblemError(
                "a row has another number of cells than the header",
                f"line {line}: {len(row)} cells",
                f"{len(names)} cells ({listed(names)})",
                "quote cells that contain the delimiter, or correct the line",
            )
    return names, rows, lines


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the header into most cells."""
    header = next(line for line in text.splitlines() if line.strip())

    def cells(delimiter: str) -> int:
        return len(next(csv.reader([header], delimiter=delimiter, skipinitialspace=True)))

    return max(DELIMITERS, key=cells)


def _check_names(names: list[str], rows: list[list[str]]) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ProblemError(
            "column names stand twice in the header", listed(twice), "one name a column", "rename or drop the copies"
        )
    if "" in names:
        j = names.index("")
        first = f", its first cell is {rows[0][j]!r}" if rows and j < len(rows[0]) else ""
        raise ProblemError(
            "a column has no name",
            f"column {j + 1} of {len(names)}{first}",
            "a name for each column",
            "name it, or drop it (a row index, perhaps)",
        )


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names in quotes, at most so many."""
    return ", ".join(repr(name) for name in names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
