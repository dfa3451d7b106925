"""What a picture in two or three dimensions holds, before anything draws it: points, curves and surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.plot.style import ADAPTED

#: Viridis in steps of 1/8 (Smith, van der Walt 2015): even to the eye, and for colour-blind readers.
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a scene that is shown or hidden as a whole.

    Attributes
    ----------
    points : (N, 2) or (N, 3) ndarray
        NaN breaks a curve.
    triangles : (M, 3) ndarray of int, or None
        Of a surface, into `points`; their corners are finite.
    joined : bool
        Whether points without triangles are a curve; else they are points.
    color : str
        "#rrggbb".
    values : (N,) ndarray or None
        Numbers at the points that give their colours on the scale of the scene, in place of `color`.
    label : str
        In the legend; parts with equal labels are told once.
    group : str
        In the legend of the viewer, where a group is switched on and off; the label if it is empty.
    dashed : bool
    marker : str
        "o", "s", "^", "D", "x" or "." as in matplotlib.
    width : float
        Of a line, or of a marker, in points.
    opacity : float
        Of a surface: what is behind is seen through it.
    """

    points: Array
    triangles: NDArray[np.intp] | None = None
    joined: bool = False
    color: str = ADAPTED
    values: Array | None = None
    label: str = ""
    group: str = ""
    dashed: bool = False
    marker: str = "o"
    width: float = 1.8
    opacity: float = 0.5

    @property
    def kind(self) -> str:
        """One of "surface", "curve", "points"."""
        return "surface" if self.triangles is not None else "curve" if self.joined else "points"


@dataclass(frozen=True, eq=False)
class Scale:
    """Colours for numbers from low to high.

    Attributes
    ----------
    label : str
        What the numbers are.
    low, high : float
    """

    label: str
    low: float
    high: float

    def colors(self, values: Array) -> Array:
        """Return red, green, blue of each value, (…, 3), from 0 to 1; ends beyond low and high; NaN is grey."""
        table = np.array([[int(color[k : k + 2], 16) for k in (1, 3, 5)] for color in VIRIDIS]) / 255
        span = self.high - self.low
        share = np.clip((np.asarray(values) - self.low) / span if span else np.zeros(np.shape(values)), 0.0, 1.0)
        steps = np.linspace(0.0, 1.0, len(table))
        found = np.stack([np.interp(share, steps, channel) for channel in table.T], axis=-1)
        return np.where(np.isnan(share)[..., None], 0.6, found)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture as data.

    Attributes
    ----------
    parts : tuple of Part
        All with two, or all with three coordinates.
    axes : tuple of str
        What the coordinates are.
    title : str
    scale : Scale or None
        Of parts with values.
    equal : bool
        Whether lengths along the axes can be compared.
    extent : float
        Parts of which no side is this long are shown small: what is seen of a point is not its roundoff.
    """

    parts: tuple[Part, ...]
    axes: tuple[str, ...]
    title: str = ""
    scale: Scale | None = None
    equal: bool = True
    extent: float = 0.0

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.axes)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner of what is shown: the least box around all parts, no smaller than the extent."""
        stacked = np.concatenate([np.zeros((0, self.dimension)), *(part.points for part in self.parts)])
        finite = stacked[np.isfinite(stacked).all(axis=1)]
        if not len(finite):
            return np.zeros(self.dimension), np.ones(self.dimension)
        low, high = finite.min(axis=0), finite.max(axis=0)
        if (high - low).max() >= self.extent:
            return low, high
        middle = (low + high) / 2
        return middle - self.extent / 2, middle + self.extent / 2


def scale_of(label: str, values: Sequence[Array]) -> Scale | None:
    """Return the scale that reaches from the least to the largest finite value, or None without one."""
    stacked = np.concatenate([np.zeros(0), *values])
    finite = stacked[np.isfinite(stacked)]
    return Scale(label, float(finite.min()), float(finite.max())) if finite.size else None
