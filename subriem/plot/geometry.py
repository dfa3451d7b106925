"""Geodesics, wavefronts and balls of a structure in space; a loop of outputs and its lift."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from subriem.core.errors import GeometryError, ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import positive, real_array
from subriem.geometry.geodesic import Geodesic
from subriem.geometry.horizontal import Holonomy
from subriem.geometry.subriemannian import SubRiemannian
from subriem.plot.style import ADAPTED, MARK, STANDARD, THEORY, legend, new_figure, titled

#: Directions and twists of the covectors of a front.
DIRECTIONS, TWISTS = 97, 129
#: Halvings of an interval of covectors to the cut.
BISECTIONS = 30
#: Coordinates drawn unless others are named.
SPACE = (0, 1, 2)
#: Points drawn of a geodesic.
POINTS = 241


def geodesic_figure(geodesics: Iterable[Any], *, coordinates: Sequence[int] = SPACE, title: str = "") -> Any:
    """Plot normal geodesics in space, with their shadow in the plane of the first two coordinates, or in a plane only.

    Parameters
    ----------
    geodesics : iterable of Geodesic
        Of one structure. The first conjugate point of each is marked.
    coordinates : sequence of int
        Which three coordinates; two are drawn in a plane, as are those of a structure that has no more.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If there is none, or the coordinates do not fit.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> len(geodesic_figure([heisenberg.shoot([0, 0, 0], [1, 0, 1], 7.0)]).axes)
    2
    """
    drawn: list[Any] = list(geodesics) if isinstance(geodesics, Iterable) else [geodesics]
    strange = [type(g).__name__ for g in drawn if not isinstance(g, Geodesic)]
    if not drawn or strange or any(g.structure is not drawn[0].structure for g in drawn):
        got = ", ".join(strange) if strange else "geodesics of several structures" if drawn else "an empty list"
        raise ProblemError("there are no geodesics of one structure to draw", got, "geodesics", "[M.shoot(…)]")
    structure = drawn[0].structure
    wanted = SPACE[: structure.n] if coordinates is SPACE else coordinates
    flat = np.size(wanted) == 2
    chosen = _places(wanted, "coordinates", 2 if flat else 3, structure.n)
    if flat:
        figure, (plane,) = new_figure(5.6, 4.8, 1)
        panels: tuple[Any, ...] = (plane,)
    else:
        figure, (space, plane) = _space_and_plane(10.4, 4.8)
        panels = space, plane
        _labelled(space, structure, chosen)
    for number, geodesic in enumerate(drawn):
        _draw(panels, geodesic, chosen, (ADAPTED, STANDARD, MARK, THEORY)[number % 4])
    start = drawn[0].q[0][chosen]
    for panel in panels:
        _marked(panel, start, "k.", ms=7, label="start")
    name = title or f"Normal geodesics of {structure.name}"
    panels[0].set_title(name, loc="left", fontsize=11.5)
    titled(plane, name if flat else "Seen from above", *(structure.coordinates[i] for i in chosen[:2]))
    plane.set_aspect("equal", adjustable="datalim")
    legend(figure, (plane,))
    return figure


def _draw(panels: Sequence[Any], geodesic: Geodesic, chosen: list[int], color: str) -> None:
    """Draw a geodesic in each panel, with its first conjugate point."""
    points = geodesic(np.linspace(0.0, geodesic.time, POINTS))[:, chosen]
    conjugate = geodesic.conjugate_times().times
    for panel in panels:
        panel.plot(*points.T[: _axes(panel)], color=color, lw=1.6)
        if conjugate.size:
            _marked(panel, geodesic(float(conjugate[0]))[chosen], "o", color=color, ms=5)
    if conjugate.size:
        panels[-1].plot([], [], "o", color="none", mec="black", ms=5, label="first conjugate point")


def _marked(panel: Any, point: Array, marker: str, **style: Any) -> None:
    """Mark a point in a panel in space or in a plane."""
    panel.plot(*([x] for x in point[: _axes(panel)]), marker, **style)


def _axes(panel: Any) -> int:
    return 3 if panel.name == "3d" else 2


def unit_covectors(structure: SubRiemannian, q: Any, directions: Array, twists: Array) -> Array:
    """Return the covectors with <p, X1> = cos, <p, X2> = sin, <p, [X1, X2]> = twist, (directions, twists, 3).

    Raises
    ------
    GeometryError
        If the structure has not two fields in dimension 3, or growth (2, 3), at q.
    """
    found = structure.growth(q)
    if structure.n != 3 or found.weights != (1, 1, 2):
        raise GeometryError(
            "a front in space needs two fields and their bracket",
            f"growth {found.vector} in {structure.n} coordinates",
            "growth (2, 3) in 3 coordinates",
            "geodesic_figure of chosen covectors",
        )
    angle, twist = np.meshgrid(directions, twists, indexing="ij")
    values = np.stack([np.cos(angle), np.sin(angle), twist], axis=-1)
    return values @ np.linalg.inv(found.basis)  # p^T B = values: B has the columns X1, X2, [X1, X2]


def front_figure(
    structure: SubRiemannian,
    q: Any,
    radius: float,
    *,
    cut: Callable[[Array], float] | None = None,
    twist: float | None = None,
    title: str = "",
) -> Any:
    """Plot the ends of all unit-speed geodesics of a length: the wavefront, or with cut times the sphere.

    Parameters
    ----------
    structure : SubRiemannian
        With growth (2, 3) at q.
    q : (3,) array_like
    radius : float
    cut : callable, optional
        Covector -> cut time. Geodesics that are no longer minimal are left out: what is left is the sphere.
    twist : float, optional
        Largest |<p, [X1, X2]>|; 2 pi / radius unless given, where circles of the Heisenberg group close.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GeometryError
        If the growth is another.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> len(front_figure(heisenberg, [0, 0, 0], 1.0).axes)
    2
    """
    if not isinstance(structure, SubRiemannian):
        what = "front_figure takes a SubRiemannian"
        raise ProblemError(what, type(structure).__name__, "a frame in symbols", ".symbolic of the structure of a map")
    radius = positive(radius, "radius")
    top = 2 * np.pi / radius if twist is None else positive(twist, "twist")
    start, directions = structure.point(q), np.linspace(0.0, 2 * np.pi, DIRECTIONS)
    covectors = unit_covectors(structure, start, directions, np.linspace(-top, top, TWISTS))
    minimal = np.ones(covectors.shape[:2], dtype=bool)
    if cut is not None:
        covectors, minimal = _up_to_the_cut(covectors, cut, radius)
    ends = structure.exponential(start, covectors.reshape((-1, 3)), radius, rtol=1e-8)
    surface = np.where(minimal[..., None], ends.reshape(covectors.shape), np.nan)
    figure, (space, plane) = _space_and_plane(10.4, 4.8)
    height = surface[..., 2]
    space.plot_surface(*np.moveaxis(surface, -1, 0), cmap="viridis", rstride=1, cstride=1, lw=0, alpha=0.85)
    kind = "wavefront" if cut is None else "sphere"
    name = f"{kind.capitalize()} of radius {radius:g}, {structure.name}"
    space.set_title(title or name, loc="left", fontsize=11.5)
    _labelled(space, structure, (0, 1, 2))
    for row in range(0, DIRECTIONS // 2, 4):
        across = np.hypot(surface[row, :, 0] - start[0], surface[row, :, 1] - start[1])
        plane.plot(across, height[row] - start[2], color=ADAPTED, lw=0.9, alpha=0.6)
    flat = f"distance in ({structure.coordinates[0]}, {structure.coordinates[1]})"
    titled(plane, "Its profiles, one line a direction", flat, structure.coordinates[2])
    return figure


def holonomy_figure(holonomy: Holonomy, *, outputs: Sequence[int] = (0, 1)) -> Any:
    """Plot a loop of outputs, and its lift, which does not close.

    Parameters
    ----------
    holonomy : Holonomy
    outputs : sequence of int
        Which two outputs.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If there are no such outputs.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
    >>> loop = 0.3 * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    >>> len(holonomy_figure(M.holonomy([0, 0, 0], loop)).axes)
    2
    """
    if not isinstance(holonomy, Holonomy):
        raise ProblemError("this is no holonomy", type(holonomy).__name__, "a Holonomy", "M.holonomy(theta, loop)")
    path = holonomy.path
    chosen = _places(outputs, "outputs", 2, path.structure.k)
    figure, (left, right) = new_figure(10.4, 4.4, 2, (1.0, 1.0))
    times = np.linspace(path.t[0], path.t[-1], POINTS)
    theta = path(times)
    x = np.array([path.structure.map.value(point) for point in theta])[:, chosen]
    left.plot(*x.T, color=ADAPTED)
    left.plot(*x[0], "k.", ms=8, label="start and end")
    titled(left, "The loop of outputs closes", f"x[{chosen[0]}]", f"x[{chosen[1]}]")
    left.set_aspect("equal", adjustable="datalim")
    size = float(np.linalg.norm(holonomy.gap))
    along = holonomy.gap / size if size else holonomy.gap
    moved = theta - theta[0]
    rest = moved - np.outer(moved @ along, along)
    widest = rest[int(np.argmax(np.linalg.norm(rest, axis=1)))]
    across = widest / max(float(np.linalg.norm(widest)), 1e-300)
    right.plot(moved @ across, moved @ along, color=ADAPTED, label="its lift")
    right.plot(0, 0, "k.", ms=8)
    right.annotate(
        "", (0, size), (0, 0), arrowprops={"arrowstyle": "->", "color": STANDARD, "lw": 1.8, "shrinkA": 0, "shrinkB": 0}
    )
    right.plot([], [], color=STANDARD, label=f"gap {size:.3g}; area law {np.linalg.norm(holonomy.area_law):.3g}")
    titled(right, "Its lift does not", "across the gap", "along the gap")
    legend(figure, (left, right))
    return figure


def _space_and_plane(width: float, height: float) -> tuple[Any, tuple[Any, Any]]:
    """Return a figure with a panel in space and a flat one."""
    figure, (space, plane) = new_figure(width, height, 2, (1.15, 1.0))
    place = space.get_subplotspec()
    space.remove()
    return figure, (figure.add_subplot(place, projection="3d"), plane)


def _places(values: Any, what: str, count: int, size: int) -> list[int]:
    """Return so many different places below a size, or raise `ProblemError`."""
    found = [] if values is None else real_array(values, what).ravel()
    if not len(found) == len(set(found)) == count or not np.isin(found, range(size)).all():
        raise ProblemError(
            f"there are no such {what}",
            f"{values}",
            f"{count} different ones of 0 … {size - 1}",
            f"{tuple(range(count))}",
        )
    return [int(i) for i in found]


def _up_to_the_cut(covectors: Array, cut: Callable[[Array], float], radius: float) -> tuple[Array, Array]:
    """Return covectors of each direction that end where the cut time is the radius, and which are minimal.

    Where those of a direction that are minimal are no single run, they stay as they are: the edge is ragged there.
    """
    found = covectors.copy()
    minimal = np.array([[_time(cut, p) >= radius * (1 - 1e-9) for p in row] for row in covectors])
    for row, kept, new in zip(covectors, minimal, found, strict=True):
        places = np.flatnonzero(kept)
        if places.size and np.ptp(places) + 1 == places.size:
            first, last = places[0], places[-1]
            low = row[0] if kept[0] else _edge(row[first], row[first - 1], cut, radius)
            high = row[-1] if kept[-1] else _edge(row[last], row[last + 1], cut, radius)
            new[:] = low + np.linspace(0.0, 1.0, len(row))[:, None] * (high - low)
            kept[:] = True
    return found, minimal


def _edge(inside: Array, outside: Array, cut: Callable[[Array], float], radius: float) -> Array:
    """Return the covector between two at which the cut time falls to the radius."""
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if _time(cut, middle) >= radius else (inside, middle)
    return inside


def _time(cut: Callable[[Array], float], p: Array) -> float:
    """Return the cut time of a covector, or raise `ProblemError`."""
    try:
        time = float(cut(p))
    except (TypeError, ValueError) as error:
        raise ProblemError("cut gives no time", str(error), "a function covector -> time", "cut=lambda p: …") from error
    if not time > 0:
        raise ProblemError("cut gives no time", f"{time} at p = {np.array2string(p, precision=4)}", "> 0", "inf")
    return time


def _labelled(space: Any, structure: SubRiemannian, chosen: Sequence[int]) -> None:
    for axis, i in zip("xyz", chosen, strict=True):
        getattr(space, f"set_{axis}label")(structure.coordinates[i])
        getattr(space, f"{axis}axis").set_major_locator(_few_ticks())
    space.tick_params(labelsize=8.5)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)
