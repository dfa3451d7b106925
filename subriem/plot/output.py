"""The path of the output: how far from straight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array, Map
from subriem.flows.field import Line
from subriem.flows.flowsolution import FlowSolution
from subriem.plot.sampling import sampled
from subriem.plot.style import ADAPTED, STANDARD, THEORY, legend, new_figure, titled


@dataclass(frozen=True, eq=False)
class _Run:
    """An output path (m, n) and how it is drawn."""

    x: Array
    color: str
    label: str
    style: dict[str, Any]


def output_figure(
    adapted: FlowSolution,
    standard: FlowSolution | None = None,
    free: FlowSolution | None = None,
    *,
    source: Map | None = None,
) -> Any:
    """Plot the output path against the chord from x0 to the reachable target.

    Left: distance from the chord against the progress along it, both in chord lengths. Right: the path projected on the
    plane of the chord and the largest deviation of the standard flow from it.

    Parameters
    ----------
    adapted : FlowSolution
        Of the adapted flow, with a straight output line.
    standard : FlowSolution, optional
        Of the standard flow from the same start.
    free : FlowSolution, optional
        Of the adapted flow without projection: its straightness is measured, not enforced.
    source : Map, optional
        The map of the flows: with it the standard flow is also looked at between its accepted points.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If the theory promises no line for this run, or it has length 0.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> flow = sr.flows.adapted(line, sr.flows.squared_error([0.0]))
    >>> len(output_figure(sr.follow(flow, [3.0])).axes)
    2
    """
    line = adapted.line
    if line is None or line.chord == 0.0:
        raise ProblemError(
            "there is no output line to compare with",
            adapted.headline(),
            "an adapted flow with rank D = n",
            "cost_figure",
        )
    figure, (left, right) = new_figure(10.4, 4.4, 2, (1.0, 1.0))
    runs = [
        _Run(adapted["x"], ADAPTED, "adapted flow, projected at each step", {"marker": "o", "ms": 4, "mfc": "white"})
    ]
    if free is not None:
        runs.append(_Run(free["x"], ADAPTED, "adapted flow, nothing enforced", {}))
    if standard is not None:
        x = standard["x"] if source is None else sampled(standard, source, 1e-2)[2]
        runs.append(_Run(x, STANDARD, "standard flow", {}))
    for run in runs:
        progress, distance, _ = _split(run.x, line)
        off = distance > 0
        width = 1.0 if run.style else 1.8
        left.semilogy(progress[off], distance[off], color=run.color, label=run.label, lw=width, **run.style)
    titled(left, "Distance from the straight line", "progress along the chord", "distance / chord length")
    left.set_xlim(-0.02, 1.02)
    _plane(right, runs, line)
    legend(figure, (left, right))
    return figure


def _split(x: Array, line: Line) -> tuple[Array, Array, Array]:
    """Return progress along the chord, distance from it, and the offset from it, in chord lengths."""
    along = (line.end - line.start) / line.chord
    offset = (x - line.start) / line.chord
    progress = offset @ along
    across = offset - np.outer(progress, along)
    return progress, np.linalg.norm(across, axis=1), across


def _plane(axes: Any, runs: list[_Run], line: Line) -> None:
    """Draw all runs in the plane of the chord and the largest deviation of the last run."""
    progress, distance, across = _split(runs[-1].x, line)
    worst = int(np.argmax(distance))
    direction = across[worst] / distance[worst] if distance[worst] > 0 else across[worst]
    axes.plot([0, 1], [0, 0], color=THEORY, ls=(0, (6, 3)), lw=1.4, label="chord")
    if runs[-1].color == STANDARD:
        where, height = float(progress[worst]), float(distance[worst])
        axes.annotate(
            f"{100 * height:.0f} % of the chord", (where, height), (0, 7), textcoords="offset points", ha="center",
            color=STANDARD, fontsize=9.5,
        )  # fmt: skip
        axes.plot(progress[-1:], (across @ direction)[-1:], "s", color=STANDARD, ms=6)
    for run in runs:
        progress, _, across = _split(run.x, line)
        axes.plot(progress, across @ direction, color=run.color, lw=2.0)
    axes.plot([0], [0], "o", color="black", ms=6)
    axes.plot([1], [0], "*", color="black", ms=12)
    for x, name in ((0, "start"), (1, "target")):
        axes.annotate(name, (x, 0), (0, -15), textcoords="offset points", ha="center", fontsize=9.5)
    titled(axes, "Seen in a plane", "along the chord (chord lengths)", "across (chord lengths)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08, 0.18)
