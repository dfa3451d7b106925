"""Solutions of DAEs as plain values and arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.records import Parts, Records
from subriem.core.status import Status
from subriem.integration.arguments import INTEGRATORS
from subriem.integration.daesolution import DAESolution
from subriem.integration.events import Occurrence
from subriem.integration.integrator import Integrator, Options
from subriem.integration.jetpath import JetPath
from subriem.integration.motion import Motion
from subriem.integration.reduced import Nodes, ReducedSystem
from subriem.integration.stretch import Stretch
from subriem.integration.taylor_engine import TaylorPath
from subriem.integration.taylorwalk import TaylorSegment
from subriem.reduction.persist import CLASSES
from subriem.reduction.reduction import Reduction

_RECORDS = Records((*CLASSES, Occurrence, Options, Status))
_NODES = ("t", "x", "a", "drift")


def solution_parts(solution: DAESolution) -> Parts:
    """Return a solution as a header of plain values and a dict of arrays; `solution_from` undoes it.

    Notes
    -----
    Between the nodes a stretch is interpolated, or was integrated once more where that is too coarse. All these finer
    stretches are stored, and those never asked for are made here: so the path that is read needs no engine, and gives
    the same numbers. Of Taylor's method the polynomials are stored.

    Raises
    ------
    ProblemError
        If the integrator is not one of this library, or the equations are a NumPy function.
    TypeError
        If the statistics of an engine hold something that is no plain value.
    """
    held = {entry.name: getattr(solution, entry.name) for entry in fields(solution) if entry.name != "dense"}
    motion = solution.dense.stretches[0].motion
    if not isinstance(motion.system, ReducedSystem):
        raise ProblemError(
            "a solution of a NumPy function cannot be saved",
            solution.reduction.dae.name,
            "a DAE of CasADi expressions: they are stored as lists of operations",
            "sol.to_dict() for the numbers, or pickle if the function is importable",
        )
    moved = {
        "pole": motion.system.pole,
        "integrands": motion.system.integrands,
        "integrator": _name(motion.integrator),
        "options": motion.options,
        "project": motion.project,
    }
    return _RECORDS.take_apart({"solution": held, "motion": moved, "path": _table(solution.dense.stretches)})


def solution_from(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> DAESolution:
    """Return the solution that `solution_parts` took apart."""
    parts = _RECORDS.put_together(header, arrays)
    held, moved = parts["solution"], parts["motion"]
    reduction = held["reduction"]
    if not isinstance(reduction, Reduction):
        raise TypeError(f"the reduction is a {type(reduction).__name__}")
    motion = Motion(
        ReducedSystem(reduction, moved["pole"], moved["integrands"]),
        INTEGRATORS[moved["integrator"]](),
        moved["options"],
        moved["project"],
    )
    return DAESolution(dense=JetPath(_stretches(motion, parts["path"])), **held)


def _name(integrator: Integrator) -> str:
    maker = INTEGRATORS.get(integrator.name)
    if maker is None or type(maker()) is not type(integrator):
        raise ProblemError(
            "a solution of an integrator of your own cannot be stored",
            type(integrator).__name__,
            f"one of {', '.join(INTEGRATORS)}",
            "sol.to_dict() or subriem.io.to_xarray(sol), which hold its values",
        )
    return integrator.name


# --- the stretches of a path, as one table --------------------------------------------------------------------------


def _table(stretches: Sequence[Stretch]) -> dict[str, Any]:
    """Return all stretches, finer ones after those they refine, their nodes one after the other."""
    rows: list[Stretch] = []
    places: list[tuple[int, int]] = []  # the stretch and the interval each refines; -1 for those of the path itself
    refused: list[tuple[int, int]] = []

    def add(stretch: Stretch, place: tuple[int, int]) -> None:
        number = len(rows)
        rows.append(stretch)
        places.append(place)
        if stretch.dense is None:
            for interval in np.flatnonzero(~(stretch.error <= 1.0)).tolist():
                finer = stretch.finer(interval)
                if finer is None:
                    refused.append((number, interval))
                else:
                    add(finer, (number, interval))

    for stretch in stretches:
        add(stretch, (-1, -1))
    nodes = {name: np.concatenate([getattr(row.nodes, name) for row in rows]) for name in _NODES}
    return {
        "count": np.array([row.nodes.t.size for row in rows]),
        "place": np.array(places),
        "refused": np.array(refused, dtype=int).reshape(-1, 2),
        "depth": np.array([row.depth for row in rows]),
        "known": np.array([np.broadcast_to(row.known, row.nodes.x.shape[1:]) for row in rows]),
        "data": np.array([row.q for row in rows]),
        **nodes,
        "taylor": _polynomials(rows),
    }


def _stretches(motion: Motion, table: Mapping[str, Any]) -> list[Stretch]:
    """Return the stretches of a path."""
    bounds = np.cumsum([0, *table["count"].tolist()])
    _check_shapes(motion, table, int(bounds[-1]))
    dense = _taylor_paths(table["taylor"], bounds.size - 1)
    rows: list[Stretch] = []
    path: list[Stretch] = []
    for k, (parent, interval) in enumerate(table["place"].tolist()):
        nodes = Nodes(*(table[name][bounds[k] : bounds[k + 1]] for name in _NODES))
        known = table["known"][k]
        rows.append(Stretch(motion, nodes, table["data"][k], int(table["depth"][k]), dense[k], known))
        if parent < 0:
            path.append(rows[k])
        else:
            rows[parent].refined[interval] = rows[k]
    for parent, interval in table["refused"].tolist():
        rows[parent].refined[interval] = None
    return path


def _check_shapes(motion: Motion, table: Mapping[str, Any], total: int) -> None:
    """Refuse a table whose columns are not those of the equations."""
    states, unknowns, data = (motion.system.rates.numel_in(i) for i in (1, 2, 3))
    shapes = {
        "t": (total,),
        "x": (total, states),
        "a": (total, unknowns),
        "drift": (total,),
        "data": (table["count"].size, data),
        "known": (table["count"].size, states),
    }
    for name, shape in shapes.items():
        if table[name].shape != shape:
            raise ValueError(f"path/{name} has the shape {table[name].shape}, not {shape}")


def _polynomials(rows: Sequence[Stretch]) -> dict[str, Any] | None:
    """Return the Taylor polynomials of all stretches one after the other, None where there are none."""
    paths = [row.dense for row in rows]
    known = [path for path in paths if isinstance(path, TaylorPath)]
    if strange := [path for path in paths if path is not None and not isinstance(path, TaylorPath)]:
        raise TypeError(f"the dense output of the engine is a {type(strange[0]).__name__}, which a file cannot hold")
    if not known:
        return None
    segments = [segment for path in known for segment in path.segments]
    return {
        "count": np.array([len(path.segments) if isinstance(path, TaylorPath) else 0 for path in paths]),
        "sign": known[0].sign,
        "states": known[0].states,
        "t": np.array([segment.t for segment in segments]),
        "h": np.array([segment.h for segment in segments]),
        "coefficients": np.array([segment.coefficients for segment in segments]),
    }


def _taylor_paths(table: Mapping[str, Any] | None, count: int) -> list[TaylorPath | None]:
    if table is None:
        return [None] * count
    segments = [
        TaylorSegment(float(t), float(h), coefficients)
        for t, h, coefficients in zip(table["t"], table["h"], table["coefficients"], strict=True)
    ]
    bounds = np.cumsum([0, *table["count"].tolist()])
    return [
        TaylorPath(tuple(segments[a:b]), table["sign"], table["states"]) if b > a else None for a, b in pairwise(bounds)
    ]
