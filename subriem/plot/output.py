"""The path of the output: how far from straight."""

from __future__ import annotations

from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.flows.field import Line
from subriem.flows.flowsolution import FlowSolution
from subriem.plot.style import ADAPTED, STANDARD, THEORY, legend, new_figure, titled


def output_figure(
    adapted: FlowSolution, standard: FlowSolution | None = None, free: FlowSolution | None = None
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
            "there is no output line to compare with", adapted.headline(), "an adapted flow with rank D = n", "cost_figure"
        )
    figure, (left, right) = new_figure(10.4, 4.4, 2, (1.0, 1.0))
    runs = [(adapted, ADAPTED, "adapted flow, projected at each step", {"marker": "o", "ms": 4, "mfc": "white"})]
    if free is not None:
        runs.append((free, ADAPTED, "adapted flow, nothing enforced", {}))
    if standard is not None:
        runs.append((standard, STANDARD, "standard flow", {}))
    for solution, color, label, style in runs:
        progress, distance, _ = _split(solution["x"], line)
        # what lies below the roundoff of the outputs is shown at it
        distance = np.maximum(distance, 1e-17)
        left.semilogy(progress, distance, color=color, label=label, lw=1.0 if style else 1.8, **style)
    titled(left, "Distance from the straight line", "progress along the chord", "distance / chord length")
    left.set_xlim(-0.02, 1.02)
    low, high = left.get_ylim()
    left.set_ylim(low, max(high, 1.0) * 100)
    legend(left, loc="upper left")
    _plane(right, adapted if free is None else free, standard, line)
    return figure


def _split(x: Array, line: Line) -> tuple[Array, Array, Array]:
    """Return progress along the chord, distance from it, and the offset from it, in chord lengths."""
    along = (line.end - line.start) / line.chord
    offset = (x - line.start) / line.chord
    progress = offset @ along
    across = offset - np.outer(progress, along)
    return progress, np.linalg.norm(across, axis=1), across


def _plane(axes: Any, adapted: FlowSolution, standard: FlowSolution | None, line: Line) -> None:
    progress, distance, across = _split((standard or adapted)["x"], line)
    worst = int(np.argmax(distance))
    direction = across[worst] / distance[worst] if distance[worst] > 0 else across[worst]
    axes.plot([0, 1], [0, 0], color=THEORY, ls=(0, (6, 3)), lw=1.4, label="chord")
    if standard is not None:
        axes.plot(progress, across @ direction, color=STANDARD, label="standard flow")
        axes.plot(progress[-1:], (across @ direction)[-1:], "s", color=STANDARD, ms=6)
        where, height = float(progress[worst]), float(distance[worst])
        axes.annotate(
            f"{100 * height:.0f} % of the chord", (where, height), (0, 7), textcoords="offset points", ha="center",
            color=STANDARD, fontsize=9.5,
        )  # fmt: skip
    progress, _, across = _split(adapted["x"], line)
    axes.plot(progress, across @ direction, color=ADAPTED, lw=2.2, label="adapted flow")
    axes.plot([0], [0], "o", color="black", ms=6)
    axes.plot([1], [0], "*", color="black", ms=12)
    for x, name in ((0, "start"), (1, "target")):
        axes.annotate(name, (x, 0), (0, -15), textcoords="offset points", ha="center", fontsize=9.5)
    titled(axes, "Seen in a plane", "along the chord (chord lengths)", "across (chord lengths)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08, 0.18)
    legend(axes, loc="upper right")
