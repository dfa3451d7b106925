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
from subriem.plot.draw import draw, fill
from subriem.plot.scene import Part, Scene, scale_of
from subriem.plot.style import ADAPTED, MARK, STANDARD, THEORY, legend, new_figure, space_axes, titled

#: Directions and twists of the covectors of a front.
DIRECTIONS, TWISTS = 97, 129
#: Halvings of an interval of covectors to the cut.
BISECTIONS = 30
#: Coordinates drawn unless others are named.
SPACE = (0, 1, 2)
#: Points drawn of a geodesic.
POINTS = 241
#: Colours of geodesics, in turn, and up to how many the viewer switches them on and off one by one.
COLORS, SINGLY = (ADAPTED, STANDARD, MARK, THEORY), 12
CONJUGATE = "first conjugate point"


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
    drawn, chosen = _drawn(geodesics, coordinates)
    structure = drawn[0].structure
    scene = _geodesic_scene(drawn, chosen, title)
    if len(chosen) == 2:
        return draw(scene)
    figure, (space, plane) = _space_and_plane(10.4, 4.8)
    fill(space, scene)
    for part in scene.parts:
        style = {"lw": part.width} if part.joined else {"ls": "", "marker": part.marker, "ms": part.width}
        plane.plot(*part.points[:, :2].T, color=part.color, **style)
    for marker, label in ((".", "start"), ("o", CONJUGATE)):
        if any(part.marker == marker and part.kind == "points" for part in scene.parts):
            plane.plot([], [], marker, color="black", mfc="black" if marker == "." else "none", ms=6, label=label)
    titled(plane, "Seen from above", structure.coordinates[chosen[0]], structure.coordinates[chosen[1]])
    plane.set_aspect("equal", adjustable="datalim")
    legend(figure, (plane,))
    return figure


def geodesic_scene(geodesics: Iterable[Any], *, coordinates: Sequence[int] = SPACE, title: str = "") -> Scene:
    """Return normal geodesics in space as data, for `interactive`; parameters as of `geodesic_figure`.

    Raises
    ------
    ProblemError
        If there is none, or the coordinates do not fit.

    Examples
    --------
    >>> import subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> [part.kind for part in geodesic_scene([heisenberg.shoot([0, 0, 0], [1, 0, 1], 7.0)]).parts]
    ['curve', 'points', 'points']
    """
    return _geodesic_scene(*_drawn(geodesics, coordinates), title)


def _drawn(geodesics: Iterable[Any], coordinates: Sequence[int]) -> tuple[list[Geodesic], list[int]]:
    """Return the geodesics of one structure, and which coordinates are shown."""
    drawn: list[Any] = list(geodesics) if isinstance(geodesics, Iterable) else [geodesics]
    strange = [type(g).__name__ for g in drawn if not isinstance(g, Geodesic)]
    if not drawn or strange or any(g.structure is not drawn[0].structure for g in drawn):
        got = ", ".join(strange) if strange else "geodesics of several structures" if drawn else "an empty list"
        raise ProblemError("there are no geodesics of one structure to draw", got, "geodesics", "[M.shoot(…)]")
    wanted = SPACE[: drawn[0].structure.n] if coordinates is SPACE else coordinates
    return drawn, _places(wanted, "coordinates", 2 if np.size(wanted) == 2 else 3, drawn[0].structure.n)


def _geodesic_scene(drawn: Sequence[Geodesic], chosen: Sequence[int], title: str) -> Scene:
    structure, parts = drawn[0].structure, []
    for number, geodesic in enumerate(drawn):
        points = geodesic(np.linspace(0.0, geodesic.time, POINTS))[:, chosen]
        color = COLORS[number % len(COLORS)]
        look: dict[str, Any] = {"color": color, "group": f"geodesic {number}" if len(drawn) <= SINGLY else "geodesics"}
        parts.append(Part(points, joined=True, width=1.6, **look))
        conjugate = geodesic.conjugate_times().times
        if conjugate.size:
            parts.append(Part(geodesic(float(conjugate[0]))[None, chosen], width=5.0, label=CONJUGATE, **look))
    start = drawn[0].q[0][None, chosen]
    parts.append(Part(start, color="#000000", marker=".", width=7.0, label="start"))
    names = tuple(structure.coordinates[i] for i in chosen)
    return Scene(tuple(parts), names, title or f"Normal geodesics of {structure.name}", equal=False)


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
    start, surface, name = _front(structure, q, radius, cut, twist)
    figure, (space, plane) = _space_and_plane(10.4, 4.8)
    fill(space, _front_scene(structure, surface, title or name))
    for row in range(0, DIRECTIONS // 2, 4):
        across = np.hypot(surface[row, :, 0] - start[0], surface[row, :, 1] - start[1])
        plane.plot(across, surface[row, :, 2] - start[2], color=ADAPTED, lw=0.9, alpha=0.6)
    flat = f"distance in ({structure.coordinates[0]}, {structure.coordinates[1]})"
    titled(plane, "Its profiles, one line a direction", flat, structure.coordinates[2])
    return figure


def front_scene(
    structure: SubRiemannian,
    q: Any,
    radius: float,
    *,
    cut: Callable[[Array], float] | None = None,
    twist: float | None = None,
    title: str = "",
) -> Scene:
    """Return a wavefront or a sphere as data, for `interactive`; parameters as of `front_figure`.

    Raises
    ------
    GeometryError
        If the growth is another than (2, 3).

    Examples
    --------
    >>> import subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> front_scene(heisenberg, [0, 0, 0], 1.0).parts[0].kind
    'surface'
    """
    _, surface, name = _front(structure, q, radius, cut, twist)
    return _front_scene(structure, surface, title or name)


def _front(
    structure: SubRiemannian, q: Any, radius: float, cut: Callable[[Array], float] | None, twist: float | None
) -> tuple[Array, Array, str]:
    """Return the start, the ends (directions, twists, 3) with NaN for those left out, and what this is called."""
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
    kind = "Wavefront" if cut is None else "Sphere"
    surface = np.where(minimal[..., None], ends.reshape(covectors.shape), np.nan)
    return start, surface, f"{kind} of radius {radius:g}, {structure.name}"


def _front_scene(structure: SubRiemannian, surface: Array, title: str) -> Scene:
    """Return a surface over a grid as triangles, of every second line, with its height as colour."""
    grid = surface[::2, ::2]
    rows, columns = grid.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    faces = np.concatenate([np.stack(three, axis=-1).reshape(-1, 3) for three in ((a, b, c), (a, c, d))])
    points = grid.reshape(-1, 3)
    faces = faces[np.isfinite(points[faces]).all(axis=(1, 2))]
    part = Part(points, triangles=faces, values=points[:, 2], group=title.partition(" of ")[0].lower(), opacity=0.85)
    names = structure.coordinates
    return Scene((part,), (names[0], names[1], names[2]), title, scale_of(names[2], [points[:, 2]]), equal=False)


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
    return figure, (space_axes(figure, space), plane)


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
