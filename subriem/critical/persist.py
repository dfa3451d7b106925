"""Rest points and the states of searches as plain values and arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from subriem.core.bordered import NullSpaces
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy
from subriem.core.records import Parts, Records
from subriem.core.status import Status
from subriem.critical.atlas import Atlas
from subriem.critical.branches import Branch
from subriem.critical.charts import Charts
from subriem.critical.component import Change, Component, Crossing
from subriem.critical.dimension import LocalStructure
from subriem.critical.equilibriumset import EquilibriumSet
from subriem.critical.searchstate import SearchState, Traced
from subriem.critical.stability import Stability
from subriem.critical.system import Box
from subriem.critical.topology import Topology
from subriem.critical.units import Units

#: Kind of a file that holds the state of a search.
STATE = "equilibria-state"
#: Everything a set of rest points and a search are made of.
RECORDS = Records(
    (
        EquilibriumSet, Component, Crossing, Change, Charts, Stability, Topology, SearchState, Traced, Atlas, Box,
        LocalStructure, Branch, NullSpaces, Units, RankDecision, RankPolicy, Status,
    )
)  # fmt: skip


def set_parts(found: EquilibriumSet) -> Parts:
    """Return rest points as a header of plain values and a dict of arrays; `set_from` undoes it.

    The problem is left out: it may hold any function.
    """
    return RECORDS.take_apart(replace(found, _problem=None))


def set_from(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> EquilibriumSet:
    """Return the rest points that `set_parts` took apart."""
    found: EquilibriumSet = RECORDS.put_together(header, arrays)
    for one in found.components:
        _check(one.charts)
    if found._state is not None:
        _check_state(found._state)
    return found


def state_from(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> SearchState:
    """Return the state of a search."""
    state: SearchState = RECORDS.put_together(header, arrays)
    _check_state(state)
    return state


def _check_state(state: SearchState) -> None:
    n = state.starts.shape[1]
    shapes = {
        "scale": state.units.scale.size,
        "waiting": state.waiting.shape[1],
        "lower": state.box.lower.size,
        "upper": state.box.upper.size,
    }
    for name, size in shapes.items():
        if size != n:
            raise ValueError(f"{name} has {size} coordinates, not {n}")
    if state.own.shape != state.waiting.shape[:1]:
        raise ValueError(f"own has the shape {state.own.shape}")
    for one in state.traced:
        _check(one.atlas.charts)
        if one.atlas.charts.points.shape[1] != n or (one.atlas.waiting >= len(one.atlas.charts)).any():
            raise ValueError("the charts are not those of the search")


def _check(charts: Charts) -> None:
    """Refuse charts whose arrays do not belong together."""
    count, n = charts.points.shape
    k = charts.tangents.shape[2]
    shapes = {
        "tangents": (charts.tangents.shape, (count, n, k)),
        "cokernels": (charts.cokernels.shape[:1], (count,)),
        "determinants": (charts.determinants.shape, (count, 2)),
        "residuals": (charts.residuals.shape, (count,)),
    }
    for name, (shape, expected) in shapes.items():
        if shape != expected:
            raise ValueError(f"the {name} have the shape {shape}, not {expected}")
    if not np.isfinite(charts.points).all():
        raise ValueError("a chart is not finite")
