"""Curves of rest points over a parameter, and the spectrum across a curve along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.critical.charts import Charts
from subriem.critical.equilibriumset import Component, EquilibriumSet
from subriem.plot.curve import PIECES, Run, runs
from subriem.plot.draw import fill
from subriem.plot.equilibria import coordinate_names, index_color, index_mark, index_text, indices
from subriem.plot.projection import place
from subriem.plot.scene import Part, Scene
from subriem.plot.style import ADAPTED, MARK, SECOND, STANDARD, THEORY, legend, new_figure, titled

#: A tangent goes along the parameter by at least this before it is said to turn.
ALONG = 1e-6
#: An imaginary part below this share of the largest eigenvalue is roundoff.
REAL = 1e-9


def bifurcation_figure(
    found: EquilibriumSet,
    parameter: str | int = -1,
    quantity: str | int = "norm",
    *,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Any:
    """Plot curves of (z, p) over p: stable parts solid, unstable ones dashed, with folds and crossings.

    Parameters
    ----------
    found : EquilibriumSet
        Of a problem in z and p together, such as `with_parameter` makes.
    parameter : str or int
        Which coordinate is p, by name or number.
    quantity : str or int
        What is drawn of z: a coordinate, or "norm" for |z|.
    names : sequence of str, optional
        Of the coordinates; z[0], z[1], … unless given.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If there are no curves, or no such coordinates.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import subriem as sr
    >>> from subriem.critical.continuation import with_parameter
    >>> fold = with_parameter(sr.map(lambda z: [z[1] - z[0] ** 2], 2), "p")
    >>> figure = bifurcation_figure(sr.equilibria(fold, starts=4), "p", 0, names=("x", "p"))
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('p', 'x')
    """
    named = coordinate_names(found, names)
    p = place(parameter, named)
    rest = [i for i in range(len(named)) if i != p]
    if quantity == "norm" and "norm" not in named:
        label = f"|({', '.join(named[i] for i in rest)})|" if len(rest) <= 4 else "norm of all other coordinates"
    else:
        rest = [place(quantity, named)]
        label = named[rest[0]]
    shown = _Over(p, rest, norm=label not in named)
    curves = [one for one in found.components if one.charts.dimension == 1 and len(one.charts) > 1]
    if not curves:
        raise ProblemError(
            "there is no curve over a parameter", found.headline(), "components of dimension 1",
            "with_parameter(family, …), or a larger box",
        )  # fmt: skip
    crossings = np.array([crossing.point for crossing in found.crossings]).reshape(-1, len(named))
    parts = [part for one in curves for part in shown.curve(one, crossings)]
    parts += [part for one in found.components if one.charts.dimension == 0 for part in shown.rest_points(one)]
    if len(crossings):
        parts.append(Part(shown(crossings), color="#000000", marker="x", width=8.0, label="branches meet"))
    figure, (axes,) = new_figure(7.6, 5.2)
    fill(axes, Scene(tuple(parts), (named[p], label), title or f"Rest points over {named[p]}", equal=False))
    legend(figure, (axes,))
    return figure


class _Over:
    """The map z, p -> p and what is drawn of z."""

    def __init__(self, p: int, rest: list[int], *, norm: bool) -> None:
        self.p, self.rest, self.norm = p, rest, norm

    def __call__(self, points: Array) -> Array:
        chosen = points[:, self.rest]
        height = np.linalg.norm(chosen, axis=1) if self.norm else chosen[:, 0]
        return np.column_stack([points[:, self.p], height])

    def curve(self, one: Component, crossings: Array) -> list[Part]:
        """Return a component by index, and its folds."""
        index, parts = indices(one), []
        for run in runs(one.charts, crossings):
            for where, chart in run.stretches(index):
                value = int(index[chart])
                label = index_text(one, value) or "rest points"
                line = self(run.points[where])
                parts.append(Part(line, joined=True, dashed=value > 0, color=index_color(value), label=label))
            at = run.points[folds(one.charts, run, self.p)]
            away = np.linalg.norm(at[:, None] - crossings, axis=2).min(axis=1, initial=np.inf)
            at = at[away > one.charts.h]  # a pitchfork is marked as a crossing
            if len(at):
                parts.append(Part(self(at), color="#000000", width=6.0, label="fold"))
        return parts

    def rest_points(self, one: Component) -> list[Part]:
        """Return an isolated one."""
        value = int(indices(one)[0])
        look: dict[str, Any] = {"color": index_color(value), "marker": index_mark(value), "width": 6.0}
        return [Part(self(one.charts.points), label=f"{index_text(one, value)}, isolated".removeprefix(", "), **look)]


def folds(charts: Charts, run: Run, p: int) -> NDArray[np.intp]:
    """Return where a curve turns back in a coordinate, as numbers of its points."""
    chords = np.diff(charts.points[run.charts], axis=0)
    tangents = charts.tangents[run.charts, :, 0]
    slopes = tangents[:, p] * np.sign(np.einsum("ci,ci->c", tangents, np.vstack([chords, chords[-1:]])))
    turns = (slopes[:-1] * slopes[1:] < 0) & (np.minimum(abs(slopes[:-1]), abs(slopes[1:])) > ALONG)
    found = []
    for i in np.flatnonzero(turns).tolist():
        between = run.points[i * PIECES : (i + 1) * PIECES + 1, p]
        found.append(i * PIECES + int(np.argmax(between) if slopes[i] > 0 else np.argmin(between)))
    return np.array(found, dtype=int)


def across_figure(
    one: Component, *, along: str | int | None = None, names: Sequence[str] | None = None, title: str = ""
) -> Any:
    """Plot the spectrum across a curve of rest points along it: real and imaginary parts.

    Parameters
    ----------
    one : Component
        Of dimension 1, with a motion.
    along : str or int, optional
        A coordinate of the curve in the place of its arc length.
    names : sequence of str, optional
        Of the coordinates; z[0], z[1], … unless given.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If this is no curve, or nothing is known of a motion.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import subriem as sr
    >>> circle = sr.flows.potential(lambda x: (x[0] ** 2 + x[1] ** 2 - 1) ** 2 / 4, 2)
    >>> len(across_figure(sr.equilibria(circle, starts=8).components[0]).axes)
    1
    """
    spectrum = one.spectrum
    if one.charts.dimension != 1 or len(one.charts) < 2 or spectrum is None:
        got = f"dimension {one.dimension}, {len(one.charts)} charts" + ("" if spectrum is not None else ", no motion")
        raise ProblemError("there is no spectrum along this", got, "a curve of rest points of a motion", "another one")
    size = one.charts.points.shape[1]
    named = tuple(names) if names is not None else tuple(f"z[{i}]" for i in range(size))
    axis = place(along, named) if along is not None else None
    xlabel = "arc length" if axis is None else named[axis]
    sized: Any = np.where(np.isnan(spectrum), 0.0, spectrum)
    complex_ = bool(np.abs(sized.imag).max(initial=0.0) > REAL * np.abs(sized).max(initial=0.0))
    figure, panels = new_figure(10.4 if complex_ else 6.4, 4.4, 2 if complex_ else 1)
    for number, run in enumerate(runs(one.charts)):
        values = tracked(spectrum[run.charts])
        place_of = run.arc if axis is None else one.charts.points[run.charts, axis]
        for k, branch in enumerate(values.T):
            color = (ADAPTED, STANDARD, MARK, SECOND, THEORY)[k % 5]
            width = 1.6 + 1.6 * (values.shape[1] - 1 - k) / values.shape[1]  # of equal ones all are seen
            for panel, part in zip(panels, (branch.real, branch.imag), strict=False):
                panel.plot(place_of, part, color=color, lw=width, label=f"eigenvalue {k + 1}" if number == 0 else None)
    for panel, kind in zip(panels, ("real", "imaginary"), strict=False):
        panel.axhline(0.0, color=THEORY, lw=0.8)
        titled(panel, title if kind == "real" and title else f"Spectrum across: {kind} parts", xlabel, f"{kind} part")
    legend(figure, panels[:1])
    return figure


def tracked(spectra: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return eigenvalues (C, m) such that each column is continuous: next to where the last two steps point.

    Examples
    --------
    >>> tracked(np.array([[2, 1], [1.6, 1.4], [1.8, 1.2]], dtype=complex)).real
    array([[2. , 1. ],
           [1.6, 1.4],
           [1.2, 1.8]])
    """
    from scipy.optimize import linear_sum_assignment

    found = spectra.copy()
    for i in range(1, len(found)):
        expected = found[i - 1] if i == 1 else 2 * found[i - 1] - found[i - 2]
        away = np.abs(expected[:, None] - spectra[i])
        _, order = linear_sum_assignment(np.where(np.isnan(away), 1e300, away))
        found[i] = spectra[i, order]
    return found
