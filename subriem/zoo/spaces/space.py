"""What is known of a sub-Riemannian space: growth vectors, and closed forms where somebody found them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import real_array
from subriem.geometry.checks import SpaceChecks, check_space
from subriem.geometry.subriemannian import SubRiemannian


@dataclass(frozen=True, eq=False)
class Cut:
    """A theorem on cut times of the geodesics from the origin.

    Attributes
    ----------
    time : callable
        Covector -> the first time after which its geodesic is not minimal; infinite where it always is.
    theorem, source : str
        What was proved, and where.
    """

    time: Callable[[Array], float]
    theorem: str
    source: str


@dataclass(frozen=True)
class CutTime:
    """The time after which a geodesic is not minimal, with the theorem that says so.

    Attributes
    ----------
    value : float
    status : {"theorem"}
        There is no other kind here: where no theorem is known, no cut time is given.
    theorem, source : str
    """

    value: float
    status: Literal["theorem"]
    theorem: str
    source: str


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Space:
    """A sub-Riemannian space with known answers.

    Attributes
    ----------
    name, title, source : str
        Where the space and what is known of it come from.
    structure : SubRiemannian
    points : mapping of str to (N,) ndarray
        Points by name, among them the origin.
    growth : mapping of str to tuple of int
        Growth vectors at these points.
    translate : callable, optional
        (g, h) -> g h in CasADi expressions, if the space is a group and the origin its unit.
    inverse : callable, optional
        g -> g^-1 on arrays.
    weights : tuple of int, optional
        Of the coordinates, if q_i -> c^w_i q_i dilates all lengths by c.
    exp : callable, optional
        (p, t) -> q, the exponential map at the origin in closed form.
    conjugate : callable, optional
        Covector at the origin -> first conjugate time.
    cut : Cut, optional
    length : callable, optional
        Point -> its distance from the origin, or None where it has no closed form.
    ball_volume : callable, optional
        () -> Lebesgue volume of the unit ball around the origin.

    Examples
    --------
    >>> import numpy as np
    >>> from subriem.zoo.spaces import get
    >>> plane = get("grushin")
    >>> plane.exponential([0, 0], [1, 2], np.pi / 4).round(12)
    array([0.5     , 0.19634954])
    >>> round(plane.cut_time([0, 0], [1, 2]).value, 12), plane.cut_time([1, 0], [1, 2])
    (1.570796326795, None)
    """

    name: str
    title: str
    source: str
    structure: SubRiemannian
    points: Mapping[str, Array]
    growth: Mapping[str, tuple[int, ...]]
    translate: Callable[[ca.SX, ca.SX], Any] | None = None
    inverse: Callable[[Array], Array] | None = None
    weights: tuple[int, ...] | None = None
    exp: Callable[[Array, float], Array] | None = None
    conjugate: Callable[[Array], float] | None = None
    cut: Cut | None = None
    length: Callable[[Array], float | None] | None = None
    ball_volume: Callable[[], float] | None = None

    def __repr__(self) -> str:
        return f"<Space {self.name}: {self.title}>"

    @property
    def origin(self) -> Array:
        """The point that closed forms start from."""
        return self.points["origin"]

    def exponential(self, q: Any, p: Any, t: float) -> Array | None:
        """Return the end of the geodesic from q with covector p in closed form, or None if there is none."""
        q, start, t = self.structure.point(q), self._at_origin(q, p), real_array(t, "t", ndim=0).item()
        if self.exp is None or start is None:
            return None
        end = self.exp(start, t)
        return end if self.translate is None else self.product(q, end)

    def conjugate_time(self, q: Any, p: Any) -> float | None:
        """Return the first conjugate time of a geodesic, or None where there is no formula."""
        start = self._at_origin(q, p)
        return None if self.conjugate is None or start is None else float(self.conjugate(start))

    def cut_time(self, q: Any, p: Any) -> CutTime | None:
        """Return the cut time of a geodesic with the theorem that gives it, or None where there is none."""
        start = self._at_origin(q, p)
        if self.cut is None or start is None:
            return None
        return CutTime(float(self.cut.time(start)), "theorem", self.cut.theorem, self.cut.source)

    def distance(self, a: Any, b: Any) -> float | None:
        """Return the distance of two points in closed form, or None where there is none."""
        a, b = self.structure.point(a, "a"), self.structure.point(b, "b")
        if self.length is None:
            return None
        for one, other in ((a, b), (b, a)):
            if np.array_equal(one, self.origin):
                return self.length(other)
        return None if self.inverse is None else self.length(self.product(self.inverse(a), b))

    def product(self, g: Any, h: Any) -> Array:
        """Return g h in the group.

        Raises
        ------
        ProblemError
            If the space is no group, or a point does not fit.
        """
        if self.translate is None:
            raise ProblemError(f"{self.name} is no group", "product", "a space with a group law", "look at .translate")
        return self._group[0](self.structure.point(g, "g"), self.structure.point(h, "h"))

    def check(self, seed: int = 0) -> SpaceChecks:
        """Return what `check_space` measures, with the group law and the weights of this space."""
        return check_space(self.structure, q=self.origin, translate=self.translate, weights=self.weights, seed=seed)

    @cached_property
    def _group(self) -> tuple[BufferedFunction, BufferedFunction]:
        """(g, h) -> g h, and its derivative by h."""
        assert self.translate is not None
        g, h = (ca.SX.sym(name, self.structure.n) for name in "gh")
        product = ca.densify(ca.SX(ca.vertcat(*self.translate(g, h))))
        derivative = ca.densify(ca.jacobian(product, h))
        return (
            BufferedFunction(ca.Function("product", [g, h], [product])),
            BufferedFunction(ca.Function("tangent", [g, h], [derivative])),
        )

    def _at_origin(self, q: Any, p: Any) -> Array | None:
        """Return the covector at the origin that left translation carries to p at q, or None if there is none."""
        q, p = self.structure.point(q), self.structure.point(p, "p")
        if np.array_equal(q, self.origin):
            return p
        return None if self.translate is None else self._group[1](q, self.origin).T @ p
