"""A scene drawn by matplotlib, in the plane or in space."""

from __future__ import annotations

from typing import Any

import numpy as np

from subriem.core.errors import optional_import
from subriem.core.protocols import Array
from subriem.plot.scene import Part, Scale, Scene
from subriem.plot.style import THEORY, few_ticks, legend, new_figure, space_axes, titled

#: The light that the darkest triangle of a surface has.
DARKEST = 0.55
#: The light comes from here.
LIGHT = np.array([0.4, -0.5, 0.77])
#: Dashes and gaps, in widths of the line.
DASHES = (0, (3.2, 1.8))
#: A flat scene in space has this share of its width as its height.
THIN = 0.4


def draw(scene: Scene) -> Any:
    """Return a scene as a figure.

    Parameters
    ----------
    scene : Scene

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> line = Part(np.eye(2), joined=True, label="a line")
    >>> draw(Scene((line,), ("x", "y"))).axes[0].get_ylabel()
    'y'
    """
    figure, (axes,) = new_figure(7.2, 6.2 if scene.dimension == 3 else 5.6)
    if scene.dimension == 3:
        axes = space_axes(figure, axes)
    fill(axes, scene)
    if scene.scale is not None:
        _bar(figure, axes, scene.scale)
    legend(figure, (axes,))
    return figure


def fill(axes: Any, scene: Scene) -> None:
    """Draw a scene into axes, which are in space for a scene of dimension 3."""
    told: set[str] = set()
    for part in scene.parts:
        kind = {"surface": _surface, "curve": _curve, "points": _points}[part.kind]
        kind(axes, part, scene, part.label if part.label not in told else "")
        told.add(part.label)
    titled(axes, scene.title, scene.axes[0], scene.axes[1])
    if scene.dimension == 3:
        _box(axes, scene)
        return
    if scene.equal:
        axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.update_datalim(np.array(scene.bounds))
    axes.autoscale_view()


def _surface(axes: Any, part: Part, scene: Scene, label: str) -> None:
    assert part.triangles is not None
    corners = part.points[part.triangles]
    colors = np.broadcast_to(_rgb(part.color), (len(corners), 3))
    if part.values is not None and scene.scale is not None:
        colors = scene.scale.colors(part.values[part.triangles].mean(axis=1))
    if scene.dimension == 2:
        module = optional_import("matplotlib.collections", "plot")
        drawn = module.PolyCollection(corners, facecolors=colors, edgecolors="none", alpha=part.opacity / 2)
        axes.add_collection(drawn)
        axes.autoscale_view()
    else:
        module = optional_import("mpl_toolkits.mplot3d.art3d", "plot")
        unit = 1.0 if scene.equal else np.maximum(np.subtract(*scene.bounds[::-1]), np.finfo(float).tiny)
        colors = np.column_stack([colors * _light(corners / unit)[:, None], np.full(len(corners), part.opacity)])
        drawn = module.Poly3DCollection(corners, facecolors=colors, edgecolors="none", zorder=1)
        axes.add_collection3d(drawn)
    if label:
        color = part.color if part.values is None else THEORY
        axes.plot(*[[]] * scene.dimension, "s", color=color, alpha=part.opacity, ms=9, mec="none", label=label)


def _light(corners: Array) -> Array:
    """Return the brightness of triangles, the same from both sides."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.maximum(np.linalg.norm(normal, axis=1), np.finfo(float).tiny)
    return np.asarray(DARKEST + (1 - DARKEST) * np.abs(normal @ LIGHT) / (size * np.linalg.norm(LIGHT)))


def _curve(axes: Any, part: Part, scene: Scene, label: str) -> None:
    style = {"ls": DASHES if part.dashed else "-", "lw": part.width, "zorder": 3, "dash_capstyle": "butt"}
    if part.values is None or scene.scale is None:
        axes.plot(*part.points.T, color=part.color, label=label or None, **style)
        return
    # a piece for each pair of points, with its colour; dashes would begin anew at each, so gaps are left out of pieces
    pieces = np.stack([part.points[:-1], part.points[1:]], axis=1)
    colors = scene.scale.colors((part.values[:-1] + part.values[1:]) / 2)
    kept = slice(None, None, 2) if part.dashed else slice(None)
    name, module = ("LineCollection", "matplotlib.collections")
    if scene.dimension == 3:
        name, module = "Line3DCollection", "mpl_toolkits.mplot3d.art3d"
    lines = getattr(optional_import(module, "plot"), name)(pieces[kept], colors=colors[kept], lw=part.width, zorder=3)
    (axes.add_collection3d if scene.dimension == 3 else axes.add_collection)(lines)
    axes.plot(*part.points.T, alpha=0.0)  # for the limits
    if label:
        axes.plot(*[[]] * scene.dimension, color=THEORY, label=label, **style)


def _points(axes: Any, part: Part, scene: Scene, label: str) -> None:
    edge = {"mec": "white", "mew": 0.8} if part.marker not in ("x", ".") else {"mew": 1.8}
    look = {"marker": part.marker, "ls": "", "ms": part.width, "zorder": 5, **edge}
    if part.values is None or scene.scale is None:
        axes.plot(*part.points.T, color=part.color, label=label or None, **look)
        return
    for point, color in zip(part.points, scene.scale.colors(part.values), strict=True):
        axes.plot(*([x] for x in point), color=color, **look)
    if label:
        axes.plot(*[[]] * scene.dimension, color=THEORY, label=label, **look)


def _box(axes: Any, scene: Scene) -> None:
    """Set limits and proportions of a scene in space."""
    low, high = scene.bounds
    middle, half = (low + high) / 2, (high - low) / 2
    half = np.maximum(half, THIN * half.max()) if scene.equal else np.where(half > 0, half, 1.0)
    half = 1.04 * half if half.any() else np.ones(3)
    for axis, name, centre, reach in zip("xyz", scene.axes, middle, half, strict=True):
        getattr(axes, f"set_{axis}lim")(centre - reach, centre + reach)
        getattr(axes, f"set_{axis}label")(name, labelpad=8)
        getattr(axes, f"{axis}axis").set_major_locator(few_ticks())
    axes.set_box_aspect(half if scene.equal else (1, 1, 0.8), zoom=0.85)
    axes.tick_params(labelsize=8.5)


def _bar(figure: Any, axes: Any, scale: Scale) -> None:
    colors = optional_import("matplotlib.colors", "plot")
    cm = optional_import("matplotlib.cm", "plot")
    table = colors.ListedColormap(scale.colors(np.linspace(scale.low, scale.high, 256)))
    mapped = cm.ScalarMappable(colors.Normalize(scale.low, scale.high), table)
    figure.colorbar(mapped, ax=axes, label=scale.label, shrink=0.7, pad=0.08)


def _rgb(color: str) -> Array:
    return np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
