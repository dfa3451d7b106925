"""Results as files: one .npz (arrays, and a JSON header with a format version), written atomically."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from subriem.core import store
from subriem.core.errors import ProblemError, optional_import
from subriem.core.records import Parts
from subriem.critical import persist as rest_points
from subriem.critical.equilibriumset import EquilibriumSet
from subriem.critical.graph import graph_json, write_graphml
from subriem.critical.searchstate import SearchState
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.loop import FlowState
from subriem.flows.persist import DENSE_LIMIT, solution_from, solution_parts, state_from, state_parts
from subriem.integration import persist as dae_solutions
from subriem.integration.daesolution import DAESolution
from subriem.reduction.dae import DAE
from subriem.reduction.persist import RECORDS
from subriem.reduction.reduction import Reduction

__all__ = ["load", "save", "save_graph", "to_xarray"]

#: What can be saved.
Saved = FlowSolution | FlowState | DAESolution | Reduction | DAE | EquilibriumSet | SearchState
#: Kind of a file -> the class, how it is taken apart, and how it is put together.
_KINDS: dict[str, tuple[type, Callable[[Any], Parts], Callable[..., Any]]] = {
    "flow-solution": (FlowSolution, solution_parts, solution_from),
    "flow-state": (FlowState, state_parts, state_from),
    "dae-solution": (DAESolution, dae_solutions.solution_parts, dae_solutions.solution_from),
    "reduction": (Reduction, RECORDS.take_apart, RECORDS.put_together),
    "equilibria": (EquilibriumSet, rest_points.set_parts, rest_points.set_from),
    rest_points.STATE: (SearchState, rest_points.RECORDS.take_apart, rest_points.state_from),
    "dae": (DAE, RECORDS.take_apart, RECORDS.put_together),
}


def save(result: Saved, path: str | os.PathLike[str], *, limit: float = DENSE_LIMIT) -> Path:
    """Write a result to one file; a crash leaves the old file or the new one.

    Parameters
    ----------
    result : FlowSolution, FlowState, DAESolution, Reduction, DAE, EquilibriumSet or SearchState
    path : path
        Gets the suffix .npz if it has none.
    limit : float
        Of a flow: bytes of interpolant coefficients up to which the dense output is stored exactly; beyond it every
        step becomes a cubic through its ends, and `stats["stored"]` of the loaded result says so.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ProblemError
        If the result is of another type, or holds what a file cannot (an integrator of your own, a function that calls
        compiled code), or the folder does not exist or cannot be written.

    Notes
    -----
    A file holds arrays and plain values, and of equations the list of their operations: reading one runs nothing. The
    solution of a DAE is stored with its equations, its reduction and everything between its nodes; rest points with all
    charts and where their search stands, but without their problem.

    Examples
    --------
    >>> import numpy as np, tempfile, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> sol = sr.follow(sr.flows.adapted(line, sr.flows.squared_error([0.0])), [3.0])
    >>> path = save(sol, tempfile.mkdtemp() + "/line")
    >>> bool((load(path).y == sol.y).all())
    True
    """
    kind = next((kind for kind, (known, *_) in _KINDS.items() if isinstance(result, known)), None)
    if kind is None:
        raise ProblemError(
            "this is no result that can be saved",
            type(result).__name__,
            f"one of {', '.join(known.__name__ for known, *_ in _KINDS.values())}",
            "sr.follow(…), sr.solve(…), sr.reduce(…) or sr.equilibria(…)",
        )
    try:
        parts = solution_parts(result, limit) if isinstance(result, FlowSolution) else _KINDS[kind][1](result)
        return store.write(path, kind, *parts)
    except TypeError as error:
        raise ProblemError(
            "the result holds something a file cannot hold", str(error), "numbers, texts and arrays", "leave it out"
        ) from error


def load(path: str | os.PathLike[str]) -> Any:
    """Read what `save`, or a run with a checkpoint, has written.

    Parameters
    ----------
    path : path

    Returns
    -------
    FlowSolution, FlowState, DAESolution, Reduction, DAE, EquilibriumSet or SearchState
        What was saved. The first two can be handed to `follow` as `theta0`, to resume the run; a reduction or a DAE to
        `solve`; rest points and the state of a search go on by their `resume(problem)`.

    Raises
    ------
    ProblemError
        If the file is missing, is not of this format, is of an unknown version, or is corrupt.

    Examples
    --------
    >>> import tempfile, subriem as sr
    >>> @sr.dae(variables="x")
    ... def decay(t, v, d, p):
    ...     return {"decay": d(v.x) + v.x}
    >>> path = save(sr.solve(decay, 1.0, {"x": 1.0}), tempfile.mkdtemp() + "/decay.npz")
    >>> round(float(load(path)(0.5)[0]), 8)
    0.60653066
    """
    kind, header, arrays = store.read(path)
    if kind not in _KINDS:
        raise ProblemError(
            "the file holds something else", f"kind {kind!r}", f"one of {', '.join(_KINDS)}", "check the path"
        )
    known, _, put_together = _KINDS[kind]
    try:
        found = put_together(header, arrays)
        if not isinstance(found, known):
            raise TypeError(f"it holds a {type(found).__name__}")
        return found
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, StopIteration) as error:
        got = f"{path}: {type(error).__name__}: {' '.join(str(error).split())}"
        raise ProblemError(
            "the file is incomplete", got, "a file written by subriem.io.save", "save it again"
        ) from error


def save_graph(graph: Any, path: str | os.PathLike[str]) -> Path:
    """Write a graph of connecting orbits as GraphML or JSON.

    Parameters
    ----------
    graph : networkx.DiGraph
        What `EquilibriumSet.connect` returned.
    path : path
        Ends in .graphml, or in .json for the node-link form of networkx. Tuples become JSON text; what is not known is
        left out.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ProblemError
        If the suffix is another one, or the file cannot be written.

    Examples
    --------
    >>> import tempfile, subriem as sr
    >>> bowl = sr.equilibria(sr.flows.potential(lambda x: x[0] ** 2, 1), starts=4)
    >>> save_graph(bowl.connect(), tempfile.mkdtemp() + "/bowl.graphml").name
    'bowl.graphml'
    """
    target = Path(path)
    if target.suffix not in (".graphml", ".json"):
        raise ProblemError(
            "a graph is not written in this form", repr(target.suffix), ".graphml or .json", "path='orbits.graphml'"
        )
    try:
        if target.suffix == ".json":
            target.write_text(graph_json(graph), encoding="utf-8")
        else:
            write_graphml(graph, target)
    except OSError as error:
        raise ProblemError(
            "the file cannot be written", f"{target}: {error}", "an existing writable folder with room", "mkdir"
        ) from error
    return target


def to_xarray(result: FlowSolution | DAESolution) -> Any:
    """Return a solution as an `xarray.Dataset` over the accepted steps, or the times of a DAE's solution.

    Parameters
    ----------
    result : FlowSolution or DAESolution

    Returns
    -------
    xarray.Dataset
        Of a flow: dimensions "step", "parameter" and "output"; coordinates s and t along "step"; one variable a
        channel, and the rank. Of a DAE: dimension and coordinate "t"; one variable for each jet (x, x', …) and each
        quadrature, drift and rank. Status, message and stats as attributes.

    Raises
    ------
    ProblemError
        If the result is no solution.
    MissingExtraError
        If xarray is not installed.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> sol = sr.follow(sr.flows.adapted(line, sr.flows.squared_error([0.0])), [3.0])
    >>> to_xarray(sol)["theta"].dims  # doctest: +SKIP
    ('step', 'parameter')
    """
    if not isinstance(result, FlowSolution | DAESolution):
        raise ProblemError("this is no solution", type(result).__name__, "what follow or solve return", "sr.follow(…)")
    xarray = optional_import("xarray", "io")
    if isinstance(result, DAESolution):
        return _dae_dataset(xarray, result)
    widths = {"theta": "parameter", "velocity": "parameter", "x": "output"}
    variables = {}
    for name, values in result.channels.items():
        variables[name] = (("step", widths[name]) if name in widths else ("step",), values)
    variables["rank"] = (("step",), result.rank)
    attributes = {
        "status": result.status.name,
        "message": result.message,
        "clock": result.clock,
        "cost_floor": result.cost_floor,
        "regime": str(result.regime) if result.regime is not None else "",
        **{name: value for name, value in result.stats.items() if isinstance(value, int | float | str)},
    }
    coordinates = {"s": ("step", result.s), "t": ("step", result.t)}
    return xarray.Dataset(variables, coords=coordinates, attrs=attributes)


def _dae_dataset(xarray: Any, result: DAESolution) -> Any:
    columns = result.to_dict()
    plain = {name: columns.pop(name) for name in ("status", "message", "stats")}
    stats = {name: value for name, value in plain.pop("stats").items() if isinstance(value, int | float | str)}
    times = columns.pop("t")
    variables = {name: (("t",), values) for name, values in columns.items()}
    return xarray.Dataset(variables, coords={"t": times}, attrs=plain | stats)
