"""A scene as one HTML file that turns with the mouse: no network, and nothing to install."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import singledispatch
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.critical.equilibriumset import EquilibriumSet
from subriem.geometry.geodesic import Geodesic
from subriem.plot.equilibria import equilibria_scene
from subriem.plot.geometry import geodesic_scene
from subriem.plot.scene import VIRIDIS, Part, Scene

#: Digits of a coordinate in the file.
DIGITS = 6


def interactive(shown: Any, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write a picture that a reader can turn, zoom, and switch parts of on and off, as one HTML file.

    Parameters
    ----------
    shown : Scene, EquilibriumSet, Geodesic, or iterable of Geodesic
        `equilibria_scene`, `geodesic_scene` and `front_scene` make scenes, and so does whoever needs another.
    path : path
        Of the file; one that is there is replaced.
    **options
        As of the function that makes the scene of a result.

    Returns
    -------
    Path

    Raises
    ------
    ProblemError
        If there is no picture of this, or the file cannot be written.

    Notes
    -----
    The page holds the data and a program of its own, which draws triangles, lines and marks on a canvas, the farthest
    first. Where surfaces pass through each other, triangles that cut are drawn one over the other.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> triangle = Part(np.eye(3), triangles=np.array([[0, 1, 2]]), label="a triangle")
    >>> interactive(Scene((triangle,), ("x", "y", "z")), tempfile.mkdtemp() + "/triangle.html").name
    'triangle.html'
    """
    target = Path(path)
    text = viewer_page(scene_of(shown, **options))
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProblemError("the picture cannot be written", str(error), "a writable place", "another path") from error
    return target


@singledispatch
def scene_of(shown: Any, **options: Any) -> Scene:
    """Return a scene itself, or that of a result.

    Raises
    ------
    ProblemError
        If there is none.
    """
    if isinstance(shown, Iterable):
        return geodesic_scene(shown, **options)
    raise ProblemError(
        "there is no picture of this that turns", type(shown).__name__, "a Scene, an EquilibriumSet or geodesics",
        "Scene((Part(points, …),), axes)",
    )  # fmt: skip


@scene_of.register
def _(shown: Scene) -> Scene:
    return shown


@scene_of.register
def _(shown: EquilibriumSet, **options: Any) -> Scene:
    return equilibria_scene(shown, **options)


@scene_of.register
def _(shown: Geodesic, **options: Any) -> Scene:
    return geodesic_scene([shown], **options)


def viewer_page(scene: Scene) -> str:
    """Return the HTML page of a scene."""
    frame = Template(files("subriem.plot").joinpath("viewer.html").read_text(encoding="utf-8"))
    data = json.dumps(scene_record(scene), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    # inside a script element only "<" could end it, or begin a comment
    return frame.substitute(title=escape(scene.title or "Picture"), scene=data.replace("<", "\\u003c"))


def scene_record(scene: Scene) -> dict[str, Any]:
    """Return a scene as plain values: coordinates to six digits of the size of the scene, colours from 0 to 1."""
    low, high = scene.bounds
    size = float(np.max(high - low, initial=0.0)) or 1.0
    decimals = DIGITS - int(np.floor(np.log10(size)))
    scale = scene.scale
    return {
        "title": scene.title,
        "axes": list(scene.axes),
        "equal": scene.equal,
        "low": low.tolist(),
        "high": high.tolist(),
        "scale": None if scale is None else {
            "label": scale.label, "low": scale.low, "high": scale.high, "colors": list(VIRIDIS)
        },
        "parts": [_part(part, scene, decimals) for part in scene.parts],
    }  # fmt: skip


def _part(part: Part, scene: Scene, decimals: int) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": part.kind,
        "points": [None if np.isnan(p).any() else p.tolist() for p in np.round(part.points, decimals)],
        "color": [int(part.color[k : k + 2], 16) / 255 for k in (1, 3, 5)],
        "group": part.group or part.label or part.kind,
        "width": part.width,
        "dashed": part.dashed,
        "marker": part.marker,
        "opacity": part.opacity,
    }
    if part.triangles is not None:
        record["triangles"] = part.triangles.tolist()
    if part.values is not None and scene.scale is not None:
        record["colors"] = np.round(scene.scale.colors(part.values), 3).tolist()
    return record
