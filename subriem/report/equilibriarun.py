"""Rest points that were found, as a report and files hold them: plain values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from subriem.core.protocols import Array
from subriem.critical.equilibriumset import Component, EquilibriumSet
from subriem.plot.equilibria import ColorBy, equilibria_scene
from subriem.plot.scene import Scene
from subriem.report.study import versions

if TYPE_CHECKING:
    from networkx import DiGraph


@dataclass(frozen=True, eq=False)
class EquilibriaRun:
    """Rest points that were found, and what the report says beside them.

    Attributes
    ----------
    found : EquilibriumSet
    names : tuple of str
        Of the coordinates.
    source : str
        Where the problem comes from, as given.
    command : str
        Command line that repeats it.
    graph : networkx.DiGraph or None
        Of connecting orbits.
    over : str
        Name of the coordinate that is a parameter; empty for none.
    axes : sequence of str or int, or "pca", optional
        Shown in the picture; as of `equilibria_figure`.
    color : {"index", "margin"}
    notes : tuple of str
        Warnings on the way.
    """

    found: EquilibriumSet
    names: tuple[str, ...]
    source: str
    command: str
    graph: DiGraph | None = None
    over: str = ""
    axes: Sequence[str | int] | str | None = None
    color: ColorBy = "index"
    notes: tuple[str, ...] = ()

    @cached_property
    def scene(self) -> Scene | None:
        """The picture; None where there is nothing to see, or a single coordinate."""
        if not self.found.components or len(self.names) < 2:
            return None
        return equilibria_scene(
            self.found, names=self.names, axes=self.axes, color=self.color, title=f"Rest points of {self.source}"
        )

    @property
    def curve(self) -> Component | None:
        """A curve along which a spectrum is known; rather one along which the index changes."""
        known = [one for one in self.found.components if _has_spectrum(one)]
        return max(known, key=lambda one: len(one.indices), default=None)


def _has_spectrum(one: Component) -> bool:
    return one.charts.dimension == 1 and len(one.charts) > 1 and one.spectrum is not None and one.spectrum.shape[1] > 0


def component_record(number: int, one: Component) -> dict[str, Any]:
    """Return what is known of a component as plain values, without its charts."""
    shape = one.topology
    return {
        "number": number,
        "dimension": one.dimension,
        "index": list(one.indices) or None,
        "nullity": one.nullity,
        "verdict": one.verdict,
        "betti": list(one.betti) if one.betti is not None else None,
        "euler": shape.euler if shape is not None else None,
        "measure": shape.measure if shape is not None else None,
        "cost": one.cost,
        "margin": one.margin if one.margin is not None and np.isfinite(one.margin) else None,
        "rank": list(one.rank) if one.rank is not None else None,
        "charts": len(one.charts),
        "spacing": one.h,
        "starts": one.starts,
        "status": one.status.name,
        "message": one.message,
        "leaves_box": one.leaves_box,
    }


def equilibria_record(run: EquilibriaRun) -> dict[str, Any]:
    """Return what was found as plain values, ready for JSON: complex numbers as pairs, None for what is not known."""
    found = run.found
    return {
        "source": run.source,
        "names": list(run.names),
        "status": found.status.name,
        "message": found.message,
        "components": [
            component_record(number, one)
            | {
                "point": _plain(one.point),
                "points": _plain(one.points),
                "tangents": _plain(one.tangents),
                "index_at_points": one.stability.index.tolist() if one.stability is not None else None,
                "spectrum": _plain(one.spectrum.view(float).reshape(*one.spectrum.shape, 2))
                if one.spectrum is not None
                else None,
            }
            for number, one in enumerate(found.components)
        ],
        "crossings": [
            {
                "point": _plain(one.point),
                "verdict": one.verdict,
                "nullity": one.nullity,
                "tangents": [_plain(tangent) for tangent in one.tangents],
                "components": list(one.components),
            }
            for one in found.crossings
        ],
        "orbits": None
        if run.graph is None
        else [
            {"from": first, "to": second, "count": data["count"], "drop": data["drop"]}
            for first, second, data in run.graph.edges(data=True)
        ],
        "runaways": dict(found.runaways),
        "starts": found.starts,
        "evaluations": found.evaluations,
        "checks": {check.name: check.value for check in found.checks},
        "command": run.command,
        "versions": versions(),
    }


def _plain(values: Array) -> Any:
    """Return an array as lists, with None for what is not finite."""
    finite = np.isfinite(values)
    plain = values.astype(object)
    plain[~finite] = None
    return plain.tolist()


def write_components(run: EquilibriaRun, path: Path) -> None:
    """Write the table of components as CSV, lists with spaces between, numbers so that they are read back exactly."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for number, one in enumerate(run.found.components):
            record = component_record(number, one)
            if number == 0:
                writer.writerow([*record, *run.names])
            values = [" ".join(map(str, v)) if isinstance(v, list) else v for v in record.values()]
            writer.writerow([*values, *one.point.tolist()])
