"""The variables of a DAE's solution over time, each on its own scale."""

from __future__ import annotations

from typing import Any

from subriem.integration.daesolution import DAESolution
from subriem.plot.style import ADAPTED, MARK, new_figure, titled

#: Panels drawn unless names are given, and panels in a row.
MOST, ACROSS = 12, 3


def solution_figure(solution: DAESolution, *names: str) -> Any:
    """Plot variables of a solution over time, one panel each; the entries of a column share one.

    Parameters
    ----------
    solution : DAESolution
    *names : str
        Variables or derivatives, "x", "x'", "theta"; the first twelve declared variables unless given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If a name is unknown.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import subriem as sr
    >>> @sr.dae(variables={"z": 2})
    ... def decay(t, v, d, p):
    ...     return {"decay": d(v.z) + v.z}
    >>> sol = sr.solve(decay, 1.0, {"z": [1.0, 2.0]})
    >>> len(solution_figure(sol).axes[0].lines)
    2
    """
    chosen = names or tuple(solution.reduction.dae.sizes)[:MOST]
    rows = -(-len(chosen) // ACROSS)
    figure, axes = new_figure(3.6 * min(len(chosen), ACROSS) + 0.6, 2.6 * rows, len(chosen), rows=rows)
    changes = {time for times in solution.t_events.values() for time in times}
    for panel, name in zip(axes, chosen, strict=True):
        values = solution[name]
        style = {"color": ADAPTED} if values.ndim == 1 else {"lw": 1.0}
        marker = "o" if solution.t.size == 1 else None
        panel.plot(solution.t, values, marker=marker, **style)
        for time in changes:
            panel.axvline(time, color=MARK, lw=1.0, ls=":")
        count = f" ({values.shape[1]} entries)" if values.ndim > 1 else ""
        titled(panel, f"{name}{count}", "time t", "")
    return figure
