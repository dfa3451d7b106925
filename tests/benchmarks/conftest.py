"""What the benchmarks share: one way to measure, and a table of each group at the end of the run.

Everything is CPU time (`process_time`, all threads counted), and of several rounds the least: the machine may be shared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

ROWS = pytest.StashKey[dict[str, list[dict[str, Any]]]]()
#: Errors at which methods with several tolerances are compared.
EQUAL = (1e-5, 1e-6, 1e-7)


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return measure(group, method, function, rounds=…): time a function and return its last value.

    The dictionary `measure.row` it leaves is printed with the group; tests add what they counted.
    """

    def run(group: str, method: str, function: Callable[[], Any], *, rounds: int, warmup: int = 1) -> Any:
        benchmark.group = group
        benchmark._timer = time.process_time
        result = benchmark.pedantic(function, rounds=rounds, iterations=1, warmup_rounds=warmup)
        run.row.clear()  # type: ignore[attr-defined]
        run.row["method"] = method  # type: ignore[attr-defined]
        if benchmark.stats is not None:
            run.row["ms"] = 1e3 * benchmark.stats.stats.min  # type: ignore[attr-defined]
            request.config.stash.setdefault(ROWS, {}).setdefault(group, []).append(run.row)  # type: ignore[attr-defined]
        benchmark.extra_info = run.row  # type: ignore[attr-defined]
        return result

    run.row = {}  # type: ignore[attr-defined]
    return run


def pytest_report_header() -> str:
    """Say how many threads were asked for: one, in `make bench`."""
    return f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'not set')}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print each group as a Markdown table, the ratio to its first row included."""
    for group, rows in config.stash.get(ROWS, {}).items():
        terminalreporter.section(group)
        names = list(dict.fromkeys(name for row in rows for name in row))
        terminalreporter.write_line("| " + " | ".join([*names, "ratio"]) + " |")
        terminalreporter.write_line("|---" * (len(names) + 1) + "|")
        for row in rows:
            cells = [_cell(row.get(name, "")) for name in names]
            terminalreporter.write_line("| " + " | ".join([*cells, f"{row['ms'] / rows[0]['ms']:.3g}"]) + " |")
        if all("rtol" in row and "theta error" in row for row in rows):
            _at_equal_error(terminalreporter, rows)


def _at_equal_error(terminalreporter: Any, rows: list[dict[str, Any]]) -> None:
    """Print CPU times at equal errors, interpolated in logarithms between the tolerances measured."""
    terminalreporter.write_line("")
    terminalreporter.write_line("| CPU ms (ratio) at theta error | " + " | ".join(f"{e:.0e}" for e in EQUAL) + " |")
    terminalreporter.write_line("|---" * (len(EQUAL) + 1) + "|")
    first: np.ndarray | None = None
    for method in dict.fromkeys(row["method"] for row in rows):
        points = sorted((row["theta error"], row["ms"]) for row in rows if row["method"] == method)
        error, ms = np.log([p[0] for p in points]), np.log([p[1] for p in points])
        found = np.exp(np.interp(np.log(EQUAL), error, ms, left=np.nan, right=np.nan))
        # looser than any tolerance asked for: the cheapest run was better than that
        found = np.where(np.log(EQUAL) > error[-1], np.exp(ms[-1]), found)
        first = found if first is None else first
        cells = [f"{a:.0f} ({a / b:.1f})" if np.isfinite(a) else "–" for a, b in zip(found, first, strict=True)]
        terminalreporter.write_line("| " + " | ".join([method, *cells]) + " |")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-2 else f"{value:.3g}" if abs(value) < 1e3 else f"{value:.0f}"
    return str(value)
