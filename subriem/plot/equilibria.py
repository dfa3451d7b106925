"""Rest points in two or three dimensions: surfaces, curves and points by index or margin, and where they meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.critical.equilibriumset import Component, Crossing, EquilibriumSet
from subriem.plot.curve import runs
from subriem.plot.draw import draw
from subriem.plot.mesh import triangles
from subriem.plot.projection import Projection, projection
from subriem.plot.scene import Part, Scene, scale_of
from subriem.plot.style import ADAPTED, MARK, SECOND, STANDARD, THEORY

#: Colours and marks of index 0, 1, …, the last for all above; grey without a motion, or where it is not determined.
COLORS, MARKS = (ADAPTED, STANDARD, MARK, SECOND, "#8C564B"), ("o", "s", "^", "D", "v")
#: More components than this are switched on and off by kind, not one by one.
SINGLY = 24
#: Least side of the picture, relative to half of the longest side of the box.
SMALLEST = 0.05
#: Length of a tangent drawn at a crossing, to each side, relative to the size of the picture.
TANGENT = 0.07

ColorBy = Literal["index", "margin"]


def equilibria_figure(
    found: EquilibriumSet,
    *,
    names: Sequence[str] | None = None,
    axes: Sequence[str | int] | str | None = None,
    color: ColorBy = "index",
    title: str = "",
) -> Any:
    """Plot rest points: surfaces, curves and points, crossings with the tangents of what meets there.

    What has no unstable direction is drawn solid, what has some is dashed.

    Parameters
    ----------
    found : EquilibriumSet
    names : sequence of str, optional
        Of the coordinates; z[0], z[1], … unless given.
    axes : sequence of str or int, or "pca", optional
        Two or three coordinates by name or number; else all of R^2 and R^3, and above that the principal components,
        with the same weight for each component.
    color : {"index", "margin"}
        By the number of unstable directions, or by the least |real part| of the spectrum across.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If there are no rest points, or the axes do not fit.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import subriem as sr
    >>> circle = sr.map(lambda x: [x[0] ** 2 + x[1] ** 2 - 1], 2)
    >>> equilibria_figure(sr.equilibria(circle, starts=4), names="xy").axes[0].get_xlabel()
    'x'
    """
    return draw(equilibria_scene(found, names=names, axes=axes, color=color, title=title))


def equilibria_scene(
    found: EquilibriumSet,
    *,
    names: Sequence[str] | None = None,
    axes: Sequence[str | int] | str | None = None,
    color: ColorBy = "index",
    title: str = "",
) -> Scene:
    """Return the picture of rest points as data, for `interactive`; parameters as of `equilibria_figure`.

    Raises
    ------
    ProblemError
        If there are no rest points, or the axes do not fit.

    Examples
    --------
    >>> import subriem as sr
    >>> circle = sr.map(lambda x: [x[0] ** 2 + x[1] ** 2 - 1], 2)
    >>> [part.kind for part in equilibria_scene(sr.equilibria(circle, starts=4)).parts]
    ['curve']
    """
    named = coordinate_names(found, names)
    if color not in ("index", "margin"):
        raise ProblemError("rest points have no such colours", repr(color), "'index' or 'margin'", 'color="index"')
    charts = [one.charts for one in found.components]
    # each component alike: an isolated point is to be seen beside the thousand charts of a surface
    weights = np.concatenate([np.full(len(one), 1 / len(one)) for one in charts])
    shown = projection(np.concatenate([one.points for one in charts]), named, axes, weights=weights)
    parts = [part for number, one in enumerate(found.components) for part in _parts(number, one, found, shown, color)]
    scene = Scene(tuple(parts), shown.axes, title)
    low, high = scene.bounds
    reach = TANGENT * float(np.linalg.norm(high - low))
    parts += [part for crossing in found.crossings for part in _crossing(crossing, shown, reach)]
    scale = scale_of("margin", [part.values for part in parts if part.values is not None])
    extent = SMALLEST * found.size
    return Scene(tuple(parts), shown.axes, title or "Rest points", scale, _comparable(high - low), extent)


def coordinate_names(found: EquilibriumSet, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the coordinates: those given, or z[0], z[1] and so on.

    Raises
    ------
    ProblemError
        If there are no rest points, or their names are more or fewer than coordinates.
    """
    if not found.components:
        raise ProblemError("there are no rest points to draw", found.headline(), "a component", "a larger box")
    n = found.components[0].charts.points.shape[1]
    named = tuple(names) if names is not None else tuple(f"z[{i}]" for i in range(n))
    if len(named) != n:
        raise ProblemError("the names do not fit", f"{len(named)} names", f"{n} coordinates", "one name for each")
    return named


def index_color(index: int) -> str:
    """Return the colour of an index; grey for -1, not known."""
    return COLORS[min(index, len(COLORS) - 1)] if index >= 0 else THEORY


def index_mark(index: int) -> str:
    """Return the mark of a point of an index."""
    return MARKS[min(index, len(MARKS) - 1)] if index >= 0 else "o"


def indices(one: Component) -> NDArray[np.intp]:
    """Return the index at each chart, -1 where there is none."""
    return one.stability.index if one.stability is not None else np.full(len(one.charts), -1, dtype=np.intp)


def index_text(one: Component, index: int) -> str:
    """Return what an index is called: nothing without a motion."""
    if one.stability is None:
        return ""
    return f"index {index}" if index >= 0 else "index not known"


def component_name(number: int, one: Component) -> str:
    """Return a component in a few words: number, dimension, index."""
    dimension = f"d = {one.dimension}" if one.dimension is not None else one.verdict
    told = ", ".join("?" if index < 0 else str(index) for index in one.indices)
    return f"{number}: {dimension}" + (f", index {told}" if told else "")


def _comparable(spans: Array) -> bool:
    """Return whether one scale on all axes shows them all; extents of 0 are of no scale."""
    extended = spans[spans > 1e-9 * spans.max(initial=0.0)]
    return extended.size < 2 or bool(extended.min() >= 0.05 * extended.max())


def _parts(number: int, one: Component, found: EquilibriumSet, shown: Projection, color: ColorBy) -> Iterator[Part]:
    """Yield what is drawn of a component, of each index apart."""
    margin = one.stability.margin if color == "margin" and one.stability is not None else None
    singly = len(found.components) <= SINGLY
    for kind, index, part in _pieces(one, found.crossings, shown, margin):
        told = [kind, index_text(one, index), "" if one.verdict == "morse_bott" else one.verdict]
        label = ", ".join(text for text in told if text)
        group = component_name(number, one) if singly else label
        yield Part(**part, color=index_color(index), label=label, group=group)


def _pieces(
    one: Component, crossings: Sequence[Crossing], shown: Projection, margin: Array | None
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield kind, index, and points with how they are drawn."""
    charts, index = one.charts, indices(one)
    if charts.dimension == 2 and len(charts) > 2:
        faces = triangles(charts.points, charts.tangents, charts.h)
        middle = np.sort(index[faces], axis=1)[:, 1]
        for value in np.unique(middle):
            yield "surface", int(value), {
                "points": shown(charts.points), "triangles": faces[middle == value], "values": margin,
            }  # fmt: skip
    elif charts.dimension == 1 and len(charts) > 1:
        breaks = np.array([crossing.point for crossing in crossings])
        for run in runs(charts, breaks):
            values = run.spread(margin) if margin is not None else None
            for where, chart in run.stretches(index):
                yield "curve", int(index[chart]), {
                    "points": shown(run.points[where]), "joined": True, "dashed": bool(index[chart] > 0),
                    "values": values[where] if values is not None else None,
                }  # fmt: skip
    else:
        alone = charts.dimension == 0  # else charts of a dimension that no picture shows, or a single one
        for value in np.unique(index):
            chosen = index == value
            yield "point" if alone else "charts", int(value), {
                "points": shown(charts.points[chosen]), "marker": index_mark(int(value)) if alone else ".",
                "width": 7.0 if alone else 3.0, "values": margin[chosen] if margin is not None else None,
            }  # fmt: skip


def _crossing(crossing: Crossing, shown: Projection, reach: float) -> Iterator[Part]:
    look: dict[str, Any] = {"color": "#000000", "group": "crossings and rank changes"}
    middle = shown(crossing.point)
    for tangent in crossing.tangents:
        seen = shown.directions(tangent)
        if seen.shape[1] == 1:
            around = np.array([[-1.0], [1.0]])
        elif seen.shape[1] == 2:
            angle = np.linspace(0, 2 * np.pi, 49)
            around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        else:
            continue  # three directions fill what is shown
        yield Part(middle + reach * around @ seen.T, joined=True, width=1.2, label="tangents of branches", **look)
    label = "crossing" if crossing.tangents else f"rank change, {crossing.verdict}"
    yield Part(middle[None], marker="x", width=8.0, label=label, **look)
