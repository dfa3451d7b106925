"""The nilpotent approximation: the tangent cone of a sub-Riemannian structure at a point, in privileged coordinates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import GeometryError
from subriem.core.protocols import Array
from subriem.core.result import Check, Result
from subriem.core.validate import positive
from subriem.geometry.growth import Growth
from subriem.geometry.privileged import Privileged, privileged
from subriem.geometry.regularity import require_generating

if TYPE_CHECKING:
    from subriem.geometry.subriemannian import SubRiemannian


@dataclass(frozen=True, eq=False, repr=False)
class NilpotentApproximation(Result):
    """Privileged coordinates z at a point, and the homogeneous parts X^_i of the fields, polynomials in them.

    Made by `SubRiemannian.nilpotent`. With the dilations d_eps z = (eps^w_1 z_1 … eps^w_n z_n), X^_i is the limit of
    eps (d_1/eps)_* X_i as eps -> 0: the structure seen through a stronger and stronger microscope.

    Attributes
    ----------
    structure : SubRiemannian
    q : (n,) ndarray
    growth : Growth
        At the point, with the weights w.
    model : SubRiemannian
        X^_1 … X^_k: invariant under dilations up to the factor, nilpotent, with the same growth vector at 0. As many
        as there are fields; dependent where these are.
    to_privileged, from_privileged : casadi.Function
        q -> z and z -> q, polynomials that invert each other.
    expansion : Privileged
        The polynomials.

    References
    ----------
    Bellaiche, The tangent space in sub-Riemannian geometry (1996), sections 4, 5; Jean, Control of Nonholonomic
    Systems (2014), section 2.1.

    Examples
    --------
    >>> import casadi as ca, subriem as sr
    >>> car = sr.SubRiemannian.from_frame(lambda q: [[ca.cos(q[2]), ca.sin(q[2]), 0], [0, 0, 1]], 3)
    >>> tangent = car.nilpotent([0, 0, 0])
    >>> print("; ".join(tangent.equations))
    X1 = d_z2 - z1*d_z3; X2 = d_z1
    >>> tangent.coordinates([0.1, 0.2, 0.3]).round(10)
    array([ 0.3,  0.1, -0.2])
    """

    structure: SubRiemannian
    q: Array
    growth: Growth
    model: SubRiemannian
    to_privileged: ca.Function
    from_privileged: ca.Function
    expansion: Privileged = field(repr=False)

    @property
    def weights(self) -> tuple[int, ...]:
        """w_1 … w_n."""
        return self.growth.weights

    @property
    def step(self) -> int:
        """Brackets of more fields than this vanish identically."""
        return self.growth.step

    @property
    def homogeneous_dimension(self) -> int:
        """The sum of the weights: volumes of small balls scale with the radius to this power."""
        return self.growth.homogeneous_dimension

    @property
    def equations(self) -> tuple[str, ...]:
        """The fields X^_i as text, d_z1 for the derivative by z1."""
        leading, names = self.expansion.leading, self.model.coordinates
        found = []
        for number, row in enumerate(leading.value):
            parts = [
                leading.algebra.text(value, names, f"d_{name}")
                for value, name in zip(row, names, strict=True)
                if value.any()
            ]
            text = " + ".join(parts).replace("+ -", "- ") or "0"
            found.append(f"X{number + 1} = {text}")
        return tuple(found)

    @cached_property
    def _evaluate(self) -> tuple[BufferedFunction, BufferedFunction, BufferedFunction]:
        """Functions q -> z, z -> q and z -> the fields X in these coordinates beside X^, (n, 2 k)."""
        z = ca.SX.sym("z", self.structure.n)
        q = self.from_privileged(z)
        point = ca.SX.sym("q", self.structure.n)
        moved = ca.jacobian(self.to_privileged(point), point) @ self.structure.frame(point)
        both = ca.horzcat(ca.substitute(moved, point, q), self.model.frame(z))
        fields = ca.Function("fields", [z], [ca.densify(ca.cse(both))])
        return BufferedFunction(self.to_privileged), BufferedFunction(self.from_privileged), BufferedFunction(fields)

    def coordinates(self, q: Any) -> Array:
        """Return the privileged coordinates z of a point.

        Raises
        ------
        ProblemError
            If q does not fit.
        """
        return self._evaluate[0](self.structure.point(q))

    def point(self, z: Any) -> Array:
        """Return the point with privileged coordinates z.

        Raises
        ------
        ProblemError
            If z does not fit.
        """
        return self._evaluate[1](self.structure.point(z, "z"))

    def dilation(self, eps: float, z: Any) -> Array:
        """Return d_eps z = (eps^w_1 z_1 … eps^w_n z_n).

        Raises
        ------
        ProblemError
            If eps is not positive or z does not fit.
        """
        return positive(eps, "eps") ** np.array(self.weights) * self.structure.point(z, "z")

    def remainder(self, z: Any, eps: float) -> Array:
        """Return eps (d_1/eps)_* X_i - X^_i at z, shape (n, k): of first order in eps.

        Raises
        ------
        ProblemError
            If an argument does not fit.
        """
        z, k = self.structure.point(z, "z"), self.structure.k
        moved = self._evaluate[2](self.dilation(eps, z)).reshape((-1, 2 * k))[:, :k]
        return eps ** (1.0 - np.array(self.weights))[:, None] * moved - self._evaluate[2](z).reshape((-1, 2 * k))[:, k:]

    @property
    def checks(self) -> tuple[Check, ...]:
        """Order of the fields in these coordinates; growth of the model."""
        found = self.model.growth(np.zeros(self.model.n), self.step).vector
        length = max(len(found), self.step)
        ends = (np.pad(v, (0, length - len(v)), mode="edge") for v in (found, self.growth.vector))
        return (
            Check(
                "order",
                self.expansion.defect,
                1.0,
                "largest coefficient of the fields of weight below -1, relative to the bound of its roundoff",
            ),
            Check(
                "growth", float(np.abs(np.subtract(*ends)).max()), 0.0, "growth vectors of X^ at 0 and X at q differ"
            ),
        )

    def headline(self) -> str:
        """Return one line that says what this is."""
        at = np.array2string(self.q, precision=6)
        return f"nilpotent approximation of {self.structure.name} at q = {at}: weights {self.weights}, step {self.step}"


def nilpotent(structure: SubRiemannian, q: Array, steps: int) -> NilpotentApproximation:
    """Return the nilpotent approximation at a point.

    Raises
    ------
    GeometryError
        If the distribution is not bracket-generating there, or the coordinates are redundant.
    """
    if structure.n > structure.dim:
        raise GeometryError(
            "privileged coordinates need independent coordinates of the manifold",
            f"{structure.n} coordinates {', '.join(structure.coordinates)} for dimension {structure.dim}",
            "as many coordinates as dimensions",
            "a chart, such as the last three entries (b, c, d) of a unit quaternion with a = sqrt(1 - b^2 - c^2 - d^2)",
        )
    growth = structure.growth(q, steps)
    require_generating(growth, q, "the nilpotent approximation")
    if growth.nearly_singular:
        raise GeometryError(
            "the nilpotent approximation is not sure near a singular point",
            f"{growth.vector}: {growth.nearly_singular}",
            "a point whose growth vector is sure",
            "the singular point itself, or a point farther away",
        )
    found = privileged(structure.frame, q, growth)
    to, back = _charts(q, found)
    names = tuple(f"z{i + 1}" for i in range(structure.n))
    z = ca.SX.sym("z", structure.n)
    algebra, symbols = found.inverse.algebra, ca.vertsplit(z)
    columns = [ca.vertcat(*(algebra.expression(value, symbols) for value in row)) for row in found.leading.value]
    frame = ca.Function("X", [z], [ca.densify(ca.cse(ca.horzcat(*columns)))], ["q"], ["X"])
    name = f"nilpotent approximation of {structure.name}"
    model = replace(structure, frame=frame, coordinates=names, name=name, notes=())
    return NilpotentApproximation(structure, q, growth, model, to, back, found)


def _charts(q: Array, found: Privileged) -> tuple[ca.Function, ca.Function]:
    """Return q -> z = y - h(y), y = A^-1 (q - q0), and its inverse."""
    x, z = ca.SX.sym("q", q.size), ca.SX.sym("z", q.size)
    y = ca.vertsplit(ca.mtimes(ca.DM(found.adapted.inverse), x - ca.DM(q)))
    algebra = found.corrections.algebra
    there = ca.vertcat(*(yj - algebra.expression(h, y) for yj, h in zip(y, found.corrections.value, strict=True)))
    linear = ca.vertcat(*(found.inverse.algebra.expression(g, ca.vertsplit(z)) for g in found.inverse.value))
    back = ca.DM(q) + ca.mtimes(ca.DM(found.adapted.matrix), linear)
    return (
        ca.Function("to_privileged", [x], [ca.densify(ca.cse(there))], ["q"], ["z"]),
        ca.Function("from_privileged", [z], [ca.densify(ca.cse(back))], ["z"], ["q"]),
    )
