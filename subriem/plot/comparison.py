"""The standard flow against the adapted one, from the same start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from subriem.core.protocols import Array
from subriem.flows.flow import Flow
from subriem.flows.flowsolution import FlowSolution
from subriem.plot.clock import LABELS
from subriem.plot.sampling import VISIBLE, sampled
from subriem.plot.style import ADAPTED, MARK, STANDARD, THEORY, legend, new_figure, titled

#: Of an output (n,): the share of rows classified right, or the root mean square error.
Score = Callable[[Array], float]


def comparison_figure(
    adapted: FlowSolution,
    standard: FlowSolution,
    flow: Flow,
    *,
    samples: int,
    score: Score,
    score_name: str,
    spectra: dict[str, Array] | None = None,
) -> Any:
    """Plot three views of both flows: the way of the parameters, the score in time, the singular values at the ends.

    Parameters
    ----------
    adapted, standard : FlowSolution
        From the same start.
    flow : Flow
        Either of the two: its map and cost are evaluated between the accepted points.
    samples : int
        N, the unit of s.
    score : callable
        Of an output x (n,).
    score_name : str
        Its name with its unit.
    spectra : dict of str to (m,) ndarray, optional
        Decreasing singular values under the names "start", "adapted", "standard".

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> cost, until = sr.flows.squared_error([0.0]), sr.Until(s=1.0)
    >>> flows = sr.flows.adapted(line, cost), sr.flows.standard(line, cost)
    >>> sols = [sr.follow(flow, [3.0], until=until) for flow in flows]
    >>> size = lambda x: float(abs(x[0]))
    >>> len(comparison_figure(*sols, flows[0], samples=1, score=size, score_name="|x|").axes)
    2
    """
    panels = 2 if spectra is None else 3
    figure, axes = new_figure(4.1 * panels, 4.2, panels)
    runs = ((standard, STANDARD, "standard flow"), (adapted, ADAPTED, "adapted flow"))
    for solution, color, label in runs:
        s, theta, x = sampled(solution, flow.map)
        moved = np.linalg.norm(theta - solution.y[0], axis=1)
        cost = np.array([flow.cost.value(row) for row in x])
        left = np.maximum(cost - solution.cost_floor, 0.0) / solution.cost0
        shown = left > VISIBLE
        axes[0].semilogx(left[shown], moved[shown], color=color, label=label)
        axes[0].semilogx(left[shown][-1:], moved[shown][-1:], "s", color=color, ms=6)
        axes[1].semilogx(s[1:] / samples, [score(row) for row in x[1:]], color=color, label=label)
    axes[0].invert_xaxis()
    titled(axes[0], "How far the parameters move", r"cost left  $C/C_0$", r"$|\theta - \theta_0|$ (parameter units)")
    titled(axes[1], "What is learned when", LABELS["s"], score_name)
    if spectra is not None:
        colors = {"start": THEORY, "adapted": ADAPTED, "standard": STANDARD}
        for name, sigma in spectra.items():
            kept = sigma > 1e-12 * sigma[0]
            label = "common start" if name == "start" else ""
            style = {"lw": 1.4, "ls": "--"} if name == "start" else {}
            axes[2].semilogy(np.arange(1, sigma.size + 1)[kept], sigma[kept], color=colors.get(name, MARK),
                             label=label, **style)  # fmt: skip
        titled(axes[2], "Singular values of D", "index", "singular value")
    legend(figure, axes)
    return figure
