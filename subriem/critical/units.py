"""Coordinates in units of their own, for boxes whose sides differ by orders of magnitude.

Lengths, and so "small", mean something only where coordinates are comparable: not concentrations of 1e-4 beside
temperatures of 1e4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from subriem.core.protocols import Array, Map
from subriem.critical.component import Change, Component, Crossing
from subriem.critical.problem import RestProblem
from subriem.critical.system import Box

#: Where sides of the box differ by more than this factor, each coordinate is measured in half its side.
UNEVEN = 100.0


@dataclass(frozen=True, eq=False)
class ScaledMap:
    """w -> F(scale w); a `Map`."""

    source: Map
    scale: Array

    capabilities = frozenset[str]()

    @property
    def n_in(self) -> int:
        """The number of unknowns."""
        return self.source.n_in

    @property
    def n_out(self) -> int:
        """The number of equations."""
        return self.source.n_out

    def value(self, w: Array) -> Array:
        """Return the residuals."""
        return self.source.value(self.scale * w)

    def jacobian(self, w: Array) -> Array:
        """Return their Jacobian."""
        return self.source.jacobian(self.scale * w) * self.scale

    def jvp(self, w: Array, v: Array) -> Array:
        """Return the Jacobian times v."""
        return self.source.jvp(self.scale * w, self.scale * v)

    def vjp(self, w: Array, u: Array) -> Array:
        """Return the transposed Jacobian times u."""
        return self.scale * self.source.vjp(self.scale * w, u)


@dataclass(frozen=True, eq=False)
class Units:
    """z = scale w.

    Attributes
    ----------
    scale : (n,) ndarray
        Ones where the sides of the box are comparable.
    """

    scale: Array

    @property
    def plain(self) -> bool:
        """Whether w = z."""
        return bool((self.scale == 1).all())

    def box(self, box: Box) -> Box:
        """Return a box of z as one of w."""
        return Box(box.lower / self.scale, box.upper / self.scale)

    def outer(self, box: Box) -> Box:
        """Return a box of w as one of z."""
        return Box(box.lower * self.scale, box.upper * self.scale)

    def problem(self, problem: RestProblem) -> RestProblem:
        """Return a problem in z as one in w; its motion cannot be followed."""
        if self.plain:
            return problem
        scale = self.scale
        cost, canonical, linearize, output = problem.cost, problem.canonical, problem.linearize, problem.output
        shown = scale[: output.n_in] if output is not None else scale
        return replace(
            problem,
            map=ScaledMap(problem.map, scale),
            linearize=self._pencil(linearize) if linearize is not None else None,
            cost=(lambda w: cost(scale * w)) if cost is not None else None,
            output=ScaledMap(output, shown) if output is not None else None,
            canonical=(lambda w: canonical(scale * w) / scale) if canonical is not None else None,
            follow=None,
        )

    def _pencil(self, linearize: Callable[[Array], tuple[Array, Array]]) -> Callable[[Array], tuple[Array, Array]]:
        def scaled(w: Array) -> tuple[Array, Array]:
            E, A = linearize(self.scale * w)
            columns = np.append(self.scale, np.ones(A.shape[1] - self.scale.size))
            return E * columns, A * columns

        return scaled

    def component(self, one: Component) -> Component:
        """Return a component in w as one in z; its spacing and measure stay in units of w."""
        if self.plain:
            return one
        tangents = np.array([self.basis(tangent) for tangent in one.tangents]).reshape(one.tangents.shape)
        charts = replace(one.charts, points=self.scale * one.points, tangents=tangents)
        return replace(one, point=self.scale * one.point, charts=charts, changes=tuple(map(self.change, one.changes)))

    def change(self, one: Change) -> Change:
        """Return a change of stability in w as one in z."""
        return replace(one, point=self.scale * one.point, tangent=self.basis(one.tangent[:, None])[:, 0])

    def crossing(self, one: Crossing) -> Crossing:
        """Return a crossing in w as one in z."""
        if self.plain:
            return one
        return replace(one, point=self.scale * one.point, tangents=tuple(map(self.basis, one.tangents)))

    def basis(self, tangent: Array) -> Array:
        """Return an orthonormal basis in z of the space that a basis in w spans."""
        return np.linalg.qr(self.scale[:, None] * tangent)[0]


def units(box: Box) -> Units:
    """Return the units in which the sides of a box are comparable."""
    sides = (box.upper - box.lower) / 2
    even = sides.max() <= UNEVEN * sides.min()
    return Units(np.ones_like(sides) if even else sides)
