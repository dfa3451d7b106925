"""What the benchmarks share: one way to measure, and a table of each group at the end of the run.

CPU time (`process_time`: all threads count), of several rounds the least, because the machine may be shared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Row = dict[str, Any]
ROWS = pytest.StashKey[dict[str, list[Row]]]()
#: Errors at which methods with several tolerances are compared.
EQUAL = (1e-5, 1e-6, 1e-7)


class Measure:
    """Times functions and keeps a row of numbers for each, printed with its group.

    Attributes
    ----------
    row : dict
        The newest row; tests add what they counted.
    """

    def __init__(self, benchmark: Any, groups: dict[str, list[Row]]) -> None:
        self.benchmark, self.groups = benchmark, groups
        self.row: Row = {}

    def __call__(self, group: str, method: str, function: Callable[[], Any], *, rounds: int, warmup: int = 1) -> Any:
        """Return the last value of the function."""
        self.benchmark.group = group
        result = self.benchmark.pedantic(function, rounds=rounds, iterations=1, warmup_rounds=warmup)
        self.row = self.benchmark.extra_info = {"method": method}
        if self.benchmark.stats is not None:  # None where timing is disabled
            self.row["ms"] = 1e3 * self.benchmark.stats.stats.min
            self.groups.setdefault(group, []).append(self.row)
        return result


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest) -> Measure:
    """How every benchmark measures."""
    return Measure(benchmark, request.config.stash.setdefault(ROWS, {}))


def pytest_report_header() -> str:
    """Say how many threads were asked for: one, in `make bench`."""
    return f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'not set')}"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print each group as a Markdown table, with the ratio to the CPU time of its first row."""
    for group, rows in config.stash.get(ROWS, {}).items():
        terminalreporter.section(group)
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = [[*(_cell(row.get(name, "")) for name in names), f"{row['ms'] / rows[0]['ms']:.3g}"] for row in rows]
        _print(terminalreporter, [*names, "ratio"], table)
        several = len({row["method"] for row in rows}) > 1
        if several and all("rtol" in row and "theta error" in row for row in rows):
            terminalreporter.write_line("")
            header = ["CPU ms (ratio) at theta error", *(f"{error:.0e}" for error in EQUAL)]
            _print(terminalreporter, header, _at_equal_error(rows))


def _print(terminalreporter: Any, header: list[str], table: list[list[str]]) -> None:
    for cells in (header, ["---"] * len(header), *table):
        terminalreporter.write_line("| " + " | ".join(cells) + " |")


def _at_equal_error(rows: list[Row]) -> list[list[str]]:
    """Return CPU times at equal errors, interpolated in logarithms between the tolerances measured.

    Where every run of a method stayed below an error, its loosest run is an upper bound.
    """
    first: np.ndarray | None = None
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        points = sorted((row["theta error"], row["ms"]) for row in rows if row["method"] == method)
        error, ms = np.log([p[0] for p in points]), np.log([p[1] for p in points])
        found = np.exp(np.interp(np.log(EQUAL), error, ms, left=np.nan))
        first = found if first is None else first
        cells = [f"{a:.0f} ({a / b:.1f})" if np.isfinite(a) else "–" for a, b in zip(found, first, strict=True)]
        bounds = np.log(EQUAL) > error[-1]
        table.append([method, *(f"<= {cell}" if bound else cell for cell, bound in zip(cells, bounds, strict=True))])
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-2 else f"{value:.3g}" if abs(value) < 1e3 else f"{value:.0f}"
    return str(value)
