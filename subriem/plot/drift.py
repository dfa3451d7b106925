"""How far the solution of a DAE leaves its constraints, and what the projection leaves of that."""

from __future__ import annotations

from typing import Any

import numpy as np

from subriem.integration.daesolution import DAESolution
from subriem.plot.style import ADAPTED, MARK, SECOND, STANDARD, THEORY, new_figure, titled

#: A residual below this is drawn at it: zero has no logarithm.
LEAST = 1e-18
#: Factor between what is drawn on a logarithmic axis and its ends.
MARGIN = 5.0


def drift_figure(solution: DAESolution, *names: str) -> Any:
    """Plot variables of a solution over time, and the distance from its constraints.

    Parameters
    ----------
    solution : DAESolution
    *names : str
        Variables or derivatives, "x", "x'", "theta"; the first four variables unless given.

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
    >>> @sr.dae(variables="x y lam")
    ... def pendulum(t, v, d, p):
    ...     return {
    ...         "horizontal": d(v.x, 2) + v.lam * v.x,
    ...         "vertical": d(v.y, 2) + v.lam * v.y + 9.81,
    ...         "rod": v.x**2 + v.y**2 - 1,
    ...     }
    >>> sol = sr.solve(pendulum, 1.0, {"x": 1.0, "y": 0.0})
    >>> [axis.get_title(loc="left") for axis in drift_figure(sol, "x", "y").axes]
    ['Solution', 'Distance from the constraints']
    """
    chosen = names or solution.reduction.dae.variables[:4]
    figure, axes = new_figure(9.6, 4.2, 2)
    colors = (ADAPTED, STANDARD, MARK, SECOND)
    for k, name in enumerate(chosen):
        axes[0].plot(solution.t, solution[name], color=colors[k % len(colors)], label=name)
    for time in {t for times in solution.t_events.values() for t in times}:
        axes[0].axvline(time, color=THEORY, lw=0.8, ls=":")
    titled(axes[0], "Solution", "time t", ", ".join(chosen))
    drift = np.where(solution.drift > 0, solution.drift, np.nan)  # zero at the starts of stretches
    residual = max(solution.residual, LEAST)
    levels = [residual, solution.tolerance, *drift[np.isfinite(drift)]]
    axes[1].set_ylim(min(levels) / MARGIN, max(levels) * MARGIN)  # without constraints there is no curve to go by
    label = "before projection" if np.isfinite(drift).any() else "before projection: zero"
    axes[1].semilogy(solution.t, drift, color=STANDARD, label=label)
    axes[1].axhline(residual, color=ADAPTED, label="all equations, after it (largest)")
    axes[1].axhline(solution.tolerance, color=THEORY, lw=1.2, ls="--", label="tolerance of the run")
    axes[1].set_xlim(axes[0].get_xlim())
    titled(axes[1], "Distance from the constraints", "time t", "largest residual / length of its gradient")
    for panel, columns in zip(axes, (4, 1), strict=True):  # each its own: their colours mean different things
        panel.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=columns, frameon=False, fontsize=9.5)
    return figure
