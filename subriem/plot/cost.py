"""The cost of a flow against its time s."""

from __future__ import annotations

from typing import Any

import numpy as np

from subriem.core.protocols import Array
from subriem.flows.flowsolution import FlowSolution
from subriem.plot.clock import LABELS, last_finite, time_to
from subriem.plot.style import ADAPTED, MARK, STANDARD, THEORY, legend, new_figure, titled


def cost_figure(
    adapted: FlowSolution,
    standard: FlowSolution | None = None,
    free: FlowSolution | None = None,
    *,
    samples: int,
    tolerance: float | None = None,
) -> Any:
    """Plot C/C0 against s/N: the adapted flow beside the theoretical line, the standard flow in the same axes.

    Parameters
    ----------
    adapted : FlowSolution
        Of the adapted flow, in either clock.
    standard : FlowSolution, optional
        Of the standard flow from the same start.
    free : FlowSolution, optional
        Of the adapted flow in the s-clock without projection: its rate is measured, not enforced.
    samples : int
        N, the unit of s.
    tolerance : float, optional
        (C - floor)/C0 that was asked for, marked with its a priori stopping time where there is one; left out where
        the run neither was promised it nor reached it.

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
    >>> flow = sr.flows.adapted(line, sr.flows.squared_error([0.0]))
    >>> cost_figure(sr.follow(flow, [3.0]), samples=1).axes[0].get_yscale()
    'log'
    """
    figure, (axes,) = new_figure(8.4, 4.9)
    cost0 = adapted.cost0
    floor = adapted.cost_floor / cost0 if cost0 > 0 else 0.0
    stop = _horizon(adapted, standard, free, tolerance)
    if adapted.line is not None:
        s = np.linspace(0.0, stop, 400)
        ratio = (1.0 - floor) * np.exp(-2 * adapted.line.rate * s) + floor
        label = r"theory: $e^{-2s/N}$" + (" above the floor" if floor > 1e-16 else "")
        axes.semilogy(s / samples, ratio, color=THEORY, ls=(0, (6, 3)), lw=1.4, label=label, zorder=1)
    shown = free if free is not None else adapted
    s, ratio = _curve(shown, cost0)
    label = "adapted flow, rate not enforced" if free is not None else "adapted flow"
    axes.semilogy(s / samples, ratio, "o-", color=ADAPTED, ms=3.2, lw=1.0, label=label, zorder=3)
    if free is not None and adapted.clock == "t":
        s, ratio = _curve(adapted, cost0)
        hollow = {"mfc": "white", "mew": 1.4, "ms": 6.5}
        axes.semilogy(s / samples, ratio, "o", color=ADAPTED, **hollow, label="adapted flow in finite time t", zorder=2)
    if standard is not None:
        s, ratio = _curve(standard, cost0)
        axes.semilogy(s / samples, ratio, color=STANDARD, label="standard flow", zorder=4)
        axes.semilogy(s[-1:] / samples, ratio[-1:], "s", color=STANDARD, ms=6, zorder=5)
    if floor > 1e-16:
        axes.axhline(floor, color=STANDARD, ls=":", lw=1.4)
        axes.annotate("floor: contradicting labels", (0.99, floor), (0, 4), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", color=STANDARD, fontsize=9.5)  # fmt: skip
    if tolerance is not None and (adapted.line is not None or adapted.cost_ratio <= tolerance):
        _mark_goal(axes, adapted, samples, tolerance + floor, tolerance)
    axes.set_xlim(0.0, stop / samples * 1.02)
    titled(axes, "Cost along the flow", LABELS["s"], r"cost  $C/C_0$")
    legend(figure, [axes])
    return figure


def _curve(solution: FlowSolution, cost0: float) -> tuple[Array, Array]:
    """Return s and C/C0 where both can be shown on a logarithmic scale."""
    ratio = solution["cost"] / cost0 if cost0 > 0 else solution["cost"]
    shown = np.isfinite(solution.s) & (ratio > 0)
    return solution.s[shown], ratio[shown]


def _horizon(*given: FlowSolution | float | None) -> float:
    """Return the last s worth showing."""
    *solutions, tolerance = given
    last = [0.0]
    for solution in solutions:
        if isinstance(solution, FlowSolution):
            last.append(last_finite(solution))
            if solution.line is not None and isinstance(tolerance, float):
                last.append(time_to(tolerance, solution.line.rate))
    return max(last) or 1.0


def _mark_goal(axes: Any, adapted: FlowSolution, samples: int, level: float, tolerance: float) -> None:
    axes.axhline(level, color=MARK, lw=1.0, ls="-.")
    text = f"goal {tolerance:.0e}"
    if adapted.line is not None:
        told = time_to(tolerance, adapted.line.rate)
        axes.plot([told / samples], [level], "D", color=MARK, ms=9, mfc="none", mew=1.6, zorder=6)
        text += f", told beforehand for s = {told / samples:.2f} N"
    axes.annotate(text, (0.01, level), (0, 5), xycoords=("axes fraction", "data"), textcoords="offset points",
                  color=MARK, fontsize=9.5)  # fmt: skip
