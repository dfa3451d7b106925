"""Two or three numbers to show of a point in R^n: chosen coordinates, or principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array

#: A third principal component is shown if it has at least this share of the variance.
SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map to what is shown.

    Attributes
    ----------
    matrix : (n, 2) or (n, 3) ndarray
        Columns are orthonormal.
    origin : (n,) ndarray
        What is shown at 0.
    axes : tuple of str
        What the columns are.
    """

    matrix: Array
    origin: Array
    axes: tuple[str, ...]

    def __call__(self, points: Array) -> Array:
        """Return what is shown of points (…, n)."""
        return (points - self.origin) @ self.matrix

    def directions(self, vectors: Array) -> Array:
        """Return what is shown of vectors (n, d), as columns."""
        return self.matrix.T @ vectors


def projection(
    points: Array, names: Sequence[str], axes: Sequence[str | int] | str | None = None, *, weights: Array | None = None
) -> Projection:
    """Return how points in R^n are shown.

    Parameters
    ----------
    points : (N, n) ndarray
    names : sequence of str
        Of the coordinates.
    axes : sequence of str or int, or "pca", optional
        Two or three coordinates by name or number; else all of R^2 and R^3, and above that "pca", the principal
        components, with their share of the variance in their names.
    weights : (N,) ndarray, optional
        Of the points, for these; equal unless given.

    Returns
    -------
    Projection

    Raises
    ------
    ProblemError
        If there are no such coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> projection(np.zeros((1, 4)), ("a", "b", "c", "d"), ("d", 0)).matrix.T
    array([[0., 0., 0., 1.],
           [1., 0., 0., 0.]])
    """
    n = len(names)
    if axes is None and n in (2, 3):
        axes = range(n)
    if axes is None or (isinstance(axes, str) and axes == "pca"):
        if n < 2:
            raise ProblemError("there is one coordinate only", names[0], "two or more", "bifurcation_figure")
        return _principal(points, np.ones(len(points)) if weights is None else weights)
    places = _places(axes, names)
    return Projection(np.eye(n)[:, places], np.zeros(n), tuple(names[i] for i in places))


def place(axis: str | int, names: Sequence[str]) -> int:
    """Return the number of a coordinate that is given by name or number.

    Raises
    ------
    ProblemError
        If there is none.
    """
    if isinstance(axis, str) and axis in names:
        return list(names).index(axis)
    if isinstance(axis, int | np.integer) and not isinstance(axis, bool) and -len(names) <= axis < len(names):
        return int(axis) % len(names)
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    raise ProblemError(
        "there is no such coordinate", repr(axis), f"one of {shown}, or a number below {len(names)}", repr(names[0])
    )


def _places(axes: Sequence[str | int] | str, names: Sequence[str]) -> list[int]:
    chosen = [axes] if isinstance(axes, str) else list(axes)
    places = [place(axis, names) for axis in chosen]
    if len(places) not in (2, 3) or len(set(places)) != len(places):
        raise ProblemError(
            "these are no axes", ", ".join(map(str, chosen)) or "none", "two or three different coordinates", "(0, 1)"
        )
    return places


def _principal(points: Array, weights: Array) -> Projection:
    origin = weights @ points / weights.sum()
    away = points - origin
    values, vectors = np.linalg.eigh((weights * away.T) @ away)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = float(values.sum())
    shares = values / total if total > 0 else np.zeros(values.size)
    count = 3 if values.size > 2 and shares[2] >= SHARE else 2
    kept = vectors[:, :count]
    kept = kept * np.where(kept[np.abs(kept).argmax(axis=0), np.arange(count)] < 0, -1.0, 1.0)  # eigh leaves signs open
    labels = tuple(f"PC {k + 1} ({share:.0%} of variance)" for k, share in enumerate(shares[:count]))
    return Projection(kept, origin, labels)
