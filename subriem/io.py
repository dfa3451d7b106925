"""Results as files: one .npz (arrays, and a JSON header with a format version), written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from subriem.core import store
from subriem.core.errors import ProblemError, optional_import
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.loop import FlowState
from subriem.flows.persist import DENSE_LIMIT, solution_from, solution_parts, state_from, state_parts
from subriem.integration.daesolution import DAESolution

__all__ = ["load", "save", "to_xarray"]

SOLUTION, STATE = "flow-solution", "flow-state"


def save(result: FlowSolution | FlowState, path: str | os.PathLike[str], *, limit: float = DENSE_LIMIT) -> Path:
    """Write a result to one file; a crash leaves the old file or the new one.

    Parameters
    ----------
    result : FlowSolution or FlowState
    path : path
        Gets the suffix .npz if it has none.
    limit : float
        Bytes of interpolant coefficients up to which the dense output is stored exactly; beyond it every step becomes
        a cubic through its ends, and `stats["stored"]` of the loaded result says so.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ProblemError
        If the result is of another type, or the folder does not exist or cannot be written.

    Examples
    --------
    >>> import numpy as np, tempfile, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> sol = sr.follow(sr.flows.adapted(line, sr.flows.squared_error([0.0])), [3.0])
    >>> path = save(sol, tempfile.mkdtemp() + "/line")
    >>> bool((load(path).y == sol.y).all())
    True
    """
    if isinstance(result, FlowSolution):
        return store.write(path, SOLUTION, *solution_parts(result, limit))
    if isinstance(result, FlowState):
        return store.write(path, STATE, *state_parts(result))
    raise ProblemError(
        "this is no result that can be saved", type(result).__name__, "a FlowSolution or a FlowState", "sr.follow(…)"
    )


def load(path: str | os.PathLike[str]) -> FlowSolution | FlowState:
    """Read what `save`, or a run with a checkpoint, has written.

    Parameters
    ----------
    path : path

    Returns
    -------
    FlowSolution or FlowState
        Both can be handed to `follow` as `theta0`, to resume the run.

    Raises
    ------
    ProblemError
        If the file is missing, is not of this format, is of a newer version, or is corrupt.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> path = save(FlowState(0.5, np.array([1.0, 2.0])), tempfile.mkdtemp() + "/state.npz")
    >>> load(path).theta
    array([1., 2.])
    """
    kind, header, arrays = store.read(path)
    if kind not in (SOLUTION, STATE):
        raise ProblemError(
            "the file holds something else", f"kind {kind!r}", f"{SOLUTION!r} or {STATE!r}", "check the path"
        )
    try:
        return solution_from(header, arrays) if kind == SOLUTION else state_from(header, arrays)
    except (KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
        got = f"{path}: {type(error).__name__}: {error}"
        raise ProblemError(
            "the file is incomplete", got, "a file written by subriem.io.save", "save it again"
        ) from error


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
