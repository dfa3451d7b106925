"""Singular values of D along a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.factor import SVDFactor
from subriem.core.jacobian import MapJacobian
from subriem.core.protocols import Array, Map
from subriem.core.rank import DEFAULT_RANK, RankDecision, RankPolicy
from subriem.flows.field import Clock
from subriem.flows.flowsolution import FlowSolution
from subriem.plot.clock import LABELS
from subriem.plot.style import ADAPTED, MARK, SECOND, STANDARD, THEORY, legend, new_figure, titled

#: Multiplications that all decompositions of one figure may take (about half a minute on a slow core).
WORK = 5e10
#: Singular values below this share of sigma_max are roundoff; they are drawn at it.
ROUNDOFF = 1e-17


@dataclass(frozen=True, eq=False)
class Spectra:
    """All singular values of D at points of a path; made by `spectra`.

    Attributes
    ----------
    clock : (m,) ndarray
        Of the run: t or s.
    name : {"s", "t"}
    sigma : (m, min(n, K)) ndarray
        Decreasing.
    decisions : tuple of RankDecision
        One a point; the floor follows the largest sigma_max so far.
    """

    clock: Array
    name: Clock
    sigma: Array
    decisions: tuple[RankDecision, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The decided ranks."""
        return tuple(decision.rank for decision in self.decisions)


def spectra(solution: FlowSolution, source: Map, points: int = 25, rank: RankPolicy = DEFAULT_RANK) -> Spectra | None:
    """Decompose D at equally spaced times of the clock of a run.

    Parameters
    ----------
    solution : FlowSolution
    source : Map
        The map of the flow.
    points : int
        At most this many; fewer where D is large.
    rank : RankPolicy

    Returns
    -------
    Spectra or None
        None where even three decompositions of D would take minutes.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> sol = sr.follow(sr.flows.adapted(line, sr.flows.squared_error([0.0])), [3.0])
    >>> spectra(sol, line, 3).ranks
    (1, 1, 1)
    """
    small, large = sorted((source.n_in, source.n_out))
    affordable = int(WORK / (8.0 * small * small * large))
    if affordable < 3:
        return None
    grid = solution.grid
    times = np.unique(np.linspace(grid[0], grid[-1], min(points, affordable)))
    scale, sigma, decisions = 0.0, [], []
    for time in times:
        theta = solution(float(time))
        factor = SVDFactor(MapJacobian(source, theta), rank, scale=scale)
        assert factor.decision is not None
        scale = max(scale, factor.decision.sigma_max)
        sigma.append(factor.sigma)
        decisions.append(factor.decision)
    return Spectra(times, solution.clock, np.array(sigma), tuple(decisions))


def spectrum_figure(found: Spectra, dropped: str = "", *, samples: int) -> Any:
    """Plot every singular value of D along a path, the rank floor, and the decided rank.

    Parameters
    ----------
    found : Spectra
    dropped : str
        Why singular values are zero, for example "rows 102 and 143 are the same".
    samples : int
        N, the unit of s.

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
    >>> sol = sr.follow(sr.flows.adapted(line, sr.flows.squared_error([0.0])), [3.0])
    >>> len(spectrum_figure(spectra(sol, line), samples=1).axes)
    2
    """
    figure, (axes, single) = new_figure(10.4, 4.6, 2, (1.7, 1.0))
    clock = found.clock / samples if found.name == "s" else found.clock
    floors = np.array([decision.floor for decision in found.decisions])
    top = found.sigma[:, 0].max()
    values = np.maximum(found.sigma, ROUNDOFF * top)
    size, lowest = values.shape[1], min(found.ranks)
    kept = [j for j in range(size) if j < lowest]
    middle = kept[1:-1][:: max(1, len(kept) // 80)]
    axes.plot(clock, values[:, middle], color=ADAPTED, lw=0.5, alpha=0.35)
    axes.plot(clock, values[:, :1], color=ADAPTED, label=r"largest, $\sigma_1$")
    if lowest > 1:
        label = rf"smallest kept, $\sigma_{{{lowest}}}$"
        axes.plot(clock, values[:, lowest - 1], color=MARK, label=label)
    axes.plot(clock, floors, color=THEORY, ls=(0, (6, 3)), lw=1.4, label="rank floor")
    if lowest < size:
        lines = axes.plot(clock, values[:, lowest:], color=STANDARD, lw=1.0)
        lines[0].set_label(f"{size - lowest} below the floor")
    axes.set_yscale("log")
    if clock.size > 1:
        axes.set_xlim(clock[0], clock[-1])
    else:  # one point is no line
        for drawn in axes.get_lines():
            drawn.set_marker("o")
    titled(
        axes, "Singular values of D along the path", LABELS[found.name], "singular value (output unit / parameter unit)"
    )
    _sorted(single, found, values, floors, dropped)
    legend(figure, (axes, single))
    return figure


def _sorted(axes: Any, found: Spectra, values: Array, floors: Array, dropped: str) -> None:
    """Draw the spectrum at both ends over the index, with the step at the rank."""
    rank, size = found.ranks[-1], values.shape[1]
    index = np.arange(1, size + 1)
    for row, color, label in ((0, THEORY, "spectrum at the start"), (-1, SECOND, "spectrum at the end")):
        kept = found.ranks[row]
        axes.semilogy(index[:kept], values[row, :kept], color=color, label=label)
        axes.semilogy(index[kept:], values[row, kept:], "o", color=STANDARD, ms=3.5)
    axes.axhline(floors[-1], color=THEORY, ls=(0, (6, 3)), lw=1.4)
    axes.annotate("rank floor", (0.02, floors[-1]), (0, 4), xycoords=("axes fraction", "data"),
                  textcoords="offset points", color=THEORY, fontsize=9.5)  # fmt: skip
    text = f"rank {rank} of {size}" + (f"\n{dropped}" if dropped else "")
    if rank < size:
        axes.annotate(text, (0.97, values[-1, -1]), (0, 14), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", color=STANDARD, fontsize=9.5)  # fmt: skip
    else:
        axes.annotate(text, (0.02, floors[-1]), (0, 18), xycoords=("axes fraction", "data"),
                      textcoords="offset points", color=MARK, fontsize=9.5)  # fmt: skip
    titled(axes, "In order of size", "index", "singular value")
