"""One study: a table, a network, and the flows run on them; what it found, as plain values."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata

import numpy as np

from subriem.core.protocols import Array
from subriem.flows.flow import Flow
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.network import Network
from subriem.zoo.data import Table


@dataclass(frozen=True)
class RowGroup:
    """Rows of the data whose outputs are tied to each other by D.

    Attributes
    ----------
    rows : tuple of int
        Counted from 1, as in the file without its header.
    relations : int
        By how much they lower the rank.
    same_features : bool
        Whether the network sees the same inputs there, so that its outputs are the same function.
    contradict : bool
        Whether their targets differ, so that a part of the cost cannot be removed.
    """

    rows: tuple[int, ...]
    relations: int
    same_features: bool
    contradict: bool

    @property
    def name(self) -> str:
        """For example "rows 102 and 143"."""
        return named_rows(self.rows)


def named_rows(rows: tuple[int, ...], most: int = 8) -> str:
    """Return "row 7", "rows 102 and 143", or "150 rows (1, 2, 3, …)"."""
    words = [str(row) for row in rows]
    if len(words) == 1:
        return f"row {words[0]}"
    if len(words) > most:
        return f"{len(words)} rows ({', '.join(words[:most])}, …)"
    return f"rows {', '.join(words[:-1])} and {words[-1]}"


@dataclass(frozen=True, eq=False)
class Study:
    """A table, a network and its flows from one start.

    Attributes
    ----------
    table : Table
        Standardised.
    network : Network
    flow : Flow
        The adapted one.
    adapted : FlowSolution
    standard : FlowSolution or None
        From the same start; None if it was not run.
    free : FlowSolution or None
        The adapted flow again in the s-clock, without projection: rate and straightness are measured, not enforced.
    tolerance : float
        (C - floor)/C0 asked for.
    seed : int
    start : str
        Scheme of the random start.
    command : str
        Command line that repeats the study.
    notes : tuple of str
        Warnings and fallbacks on the way.
    """

    table: Table
    network: Network
    flow: Flow
    adapted: FlowSolution
    standard: FlowSolution | None
    free: FlowSolution | None
    tolerance: float
    seed: int
    start: str
    command: str
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """N."""
        return self.network.samples

    @cached_property
    def groups(self) -> tuple[RowGroup, ...]:
        """The dependent rows of the data: groups of outputs, collapsed to the samples they belong to."""
        regime = self.adapted.regime
        if regime is None or regime.dependence is None:
            return ()
        found: dict[tuple[int, ...], list[tuple[str, ...]]] = {}
        for group, names in zip(regime.dependence.groups, regime.names, strict=True):
            samples = tuple(sorted({self.network.sample_of(output) for output in group}))
            found.setdefault(samples, []).append(names)
        null = regime.dependence.null
        made = []
        for samples, groups in found.items():
            outputs = np.isin(np.arange(null.shape[0]) // self.network.widths[-1], samples)
            relations = int((np.abs(null[outputs]).max(axis=0) > 0).sum())
            inputs = self.network.inputs[list(samples)]
            same = len(samples) > 1 and bool((inputs == inputs[0]).all())
            contradict = any(names in self.adapted.conflicts for names in groups)
            made.append(RowGroup(tuple(i + 1 for i in samples), relations, same, contradict))
        return tuple(made)

    @property
    def floor(self) -> float:
        """Cost that contradicting targets leave; 0 where all agree (there the computed floor is roundoff)."""
        return self.adapted.cost_floor if self.adapted.conflicts else 0.0

    @property
    def told(self) -> float | None:
        """The s at which (C - floor)/C0 reaches the tolerance, known before the run (mathematics, §1)."""
        line, cost0 = self.adapted.line, self.adapted.cost0
        if line is None or not cost0 > 0:
            return None
        return max(0.0, float(np.log((cost0 - self.floor) / (self.tolerance * cost0)))) / (2 * line.rate)

    @property
    def measured(self) -> float | None:
        """The s at which the run without projection got there; None if it did not."""
        return float(self.free.s[-1]) if self.free is not None and self.free.status.success else None

    # -- how good the outputs are ------------------------------------------------------------------------------

    def score(self, x: Array) -> float:
        """Return the share of rows classified right in percent, or the root mean square error in target units."""
        outputs = x.reshape(self.samples, -1)
        if self.table.kind == "class":
            return 100.0 * float((outputs.argmax(axis=1) == self.table.targets.argmax(axis=1)).mean())
        return self.table.target_scale * float(np.sqrt(np.mean((outputs - self.table.targets) ** 2)))

    @property
    def score_name(self) -> str:
        """What `score` is, with its unit."""
        return (
            "correctly classified rows (%)" if self.table.kind == "class" else f"rms error of {self.table.target_name}"
        )

    def class_scores(self, x: Array) -> tuple[float, ...]:
        """Return the share of rows classified right in percent, class by class."""
        right = x.reshape(self.samples, -1).argmax(axis=1) == self.table.targets.argmax(axis=1)
        return tuple(100.0 * float(right[column > 0].mean()) for column in self.table.targets.T)


def version() -> str:
    """Return the version of this library, as the imported package has it."""
    return str(getattr(sys.modules["subriem"], "__version__", "unknown"))


def versions() -> dict[str, str]:
    """Return what the numbers depend on: versions of the packages, of Python, and the machine."""
    found = {"subriem": version(), "python": platform.python_version()}
    for name in ("numpy", "scipy", "matplotlib"):
        found[name] = metadata.version(name)
    return {**found, "machine": f"{platform.system()} {platform.machine()}"}
