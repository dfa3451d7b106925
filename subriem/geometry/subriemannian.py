"""`SubRiemannian`: a distribution of constant or varying rank with a metric on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array, Map
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.core.status import Status
from subriem.core.validate import positive, positive_integer, real_array, vector
from subriem.geometry.frame import (
    check_independent,
    check_metric,
    checked_policy,
    compiled,
    coordinate_names,
    defined,
    independent_forms,
    orthonormal,
    projection,
)
from subriem.geometry.geodesic import Geodesic
from subriem.geometry.growth import STEPS, Flags, Growth
from subriem.geometry.nilpotent import NilpotentApproximation, nilpotent
from subriem.geometry.normal import NormalFlow, exponentials
from subriem.geometry.popp import popp
from subriem.geometry.regularity import Regularity, Verdict, bracket_generating, equiregular
from subriem.geometry.series import taylor_exponentials
from subriem.integration.fixed import ORDERS, Method

if TYPE_CHECKING:
    from subriem.geometry.maps import MapStructure

#: Methods for the ends of many geodesics.
_ENDS: dict[str, Callable[..., Array]] = {"dop853": exponentials, "taylor": taylor_exponentials}


@dataclass(frozen=True, eq=False, repr=False)
class SubRiemannian:
    """A distribution spanned by fields X_1 … X_k that are orthonormal: |v| is the least |u| with v = X(q) u.

    Made by `from_frame`, `from_constraints` or `from_map`. The fields may become dependent at some points: nothing here
    uses the inverse of the metric on the distribution, only v = X u and the cometric X X^T.

    Attributes
    ----------
    frame : casadi.Function
        q -> X(q), shape (N, k).
    dim : int
        Dimension of the manifold; less than N on a redundant chart.
    coordinates : tuple of str
        Names of the N coordinates.
    name : str
    policy : RankPolicy
    notes : tuple of str
        What was done with the declaration: forms left out because others imply them.

    References
    ----------
    Agrachev, Barilari, Boscain, A Comprehensive Introduction to Sub-Riemannian Geometry (2019), ch. 3.

    Examples
    --------
    >>> import subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> heisenberg.growth([0, 0, 0]).vector
    (2, 3)
    """

    frame: ca.Function
    dim: int
    coordinates: tuple[str, ...]
    name: str = "structure"
    policy: RankPolicy = DEFAULT_RANK
    notes: tuple[str, ...] = ()

    @classmethod
    def from_frame(
        cls,
        fields: Callable[[ca.SX], Any],
        dim: int,
        *,
        coordinates: Sequence[str] | int | None = None,
        metric: Callable[[ca.SX], Any] | None = None,
        name: str = "structure",
        rank: RankPolicy = DEFAULT_RANK,
    ) -> SubRiemannian:
        """Make a structure from the fields that span it.

        Parameters
        ----------
        fields : callable
            q (casadi.SX column) -> list of k columns, or an N x k matrix.
        dim : int
            Dimension of the manifold.
        coordinates : sequence of str or int, optional
            The N coordinates, or how many; as many as the dimension unless given. More of them form a redundant
            chart, such as unit quaternions: the fields must be tangent to the manifold.
        metric : callable, optional
            q -> k x k matrix of the inner products of the fields, positive; orthonormal fields unless given.
        name : str
        rank : RankPolicy

        Raises
        ------
        ProblemError
            If something does not fit, the fields are not smooth, or dependent everywhere.

        Examples
        --------
        >>> import subriem as sr
        >>> grushin = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0]]], 2)
        >>> grushin.growth([0.0, 0.0]).vector, grushin.growth([1.0, 0.0]).vector
        ((1, 2), (2,))
        """
        dim, rank = positive_integer(dim, "dim"), checked_policy(rank)
        names = coordinate_names(dim, coordinates)
        frame = compiled(fields, names, None, "fields")
        check_independent(frame, rank)
        if metric is not None:
            k = frame.size2_out(0)
            products = compiled(metric, names, k, "metric", rows=k)
            check_metric(products)
            frame = orthonormal(frame, products)
        return cls(frame, dim, names, name, rank)

    @classmethod
    def from_constraints(
        cls,
        forms: Callable[[ca.SX], Any],
        dim: int,
        metric: Callable[[ca.SX], Any] | None = None,
        *,
        coordinates: Sequence[str] | int | None = None,
        name: str = "structure",
        rank: RankPolicy = DEFAULT_RANK,
    ) -> SubRiemannian:
        """Make a structure from 1-forms that vanish on it: the velocities with A(q) q' = 0.

        Parameters
        ----------
        forms : callable
            q (casadi.SX column) -> list of m forms, each with N components.
        dim : int
            Dimension of the manifold.
        metric : callable, optional
            q -> N x N inner product of velocities, positive; Euclidean unless given.
        coordinates : sequence of str or int, optional
            See `from_frame`.
        name : str
        rank : RankPolicy

        Returns
        -------
        SubRiemannian
            With N fields, the orthogonal projections of a basis: they span the kernel wherever the forms are
            independent, also where it has no frame of N - m fields.

        Raises
        ------
        ProblemError
            If something does not fit, or forms are not smooth.

        Examples
        --------
        >>> import subriem as sr
        >>> contact = sr.SubRiemannian.from_constraints(lambda q: [[q[1] / 2, -q[0] / 2, 1]], 3)
        >>> contact.growth([0, 0, 0]).vector
        (2, 3)
        """
        dim, rank = positive_integer(dim, "dim"), checked_policy(rank)
        names = coordinate_names(dim, coordinates)
        matrix = compiled(forms, names, None, "forms")
        kept, notes = independent_forms(matrix, rank)
        inner = None if metric is None else compiled(metric, names, len(names), "metric", rows=len(names))
        if inner is not None:
            check_metric(inner)
        return cls(projection(matrix, kept, inner), dim, names, name, rank, notes)

    @classmethod
    def from_map(cls, source: Map, *, rank: RankPolicy = DEFAULT_RANK, name: str = "map") -> MapStructure:
        """Make the structure of a map theta -> x: V = range D^T with h(v, w) = <D v, D w>.

        Parameters
        ----------
        source : Map
            With K >= n.
        rank : RankPolicy
        name : str

        Returns
        -------
        MapStructure
            With growth and the verbs of maps: curvature, holonomy, lift_path, wong. Its `symbolic` is a structure of
            this class, for K <= 60.

        Raises
        ------
        ProblemError, GeometryError
            If it is no map, or K < n.
        """
        from subriem.geometry.maps import MapStructure

        return MapStructure(source, rank, name)

    def __repr__(self) -> str:
        return f"<SubRiemannian {self.name}: {self.k} fields in dimension {self.dim}>"

    @property
    def n(self) -> int:
        """The number N of coordinates."""
        return len(self.coordinates)

    @property
    def k(self) -> int:
        """The number of fields."""
        return self.frame.size2_out(0)

    @cached_property
    def flags(self) -> Flags:
        """The iterated brackets of the fields, and the flags they span."""
        return Flags(self.frame, self.dim, self.policy)

    def point(self, q: Any, name: str = "q") -> Array:
        """Return q as an array of N finite numbers, or raise `ProblemError`."""
        return vector(q, name, self.n)

    @cached_property
    def _fields(self) -> BufferedFunction:
        return BufferedFunction(self.frame)

    def fields(self, q: Any) -> Array:
        """Return X(q), shape (N, k).

        Raises
        ------
        ProblemError
            If q does not fit.
        GeometryError
            If the fields are not defined there: forms that are dependent at the point, a pole of a chart.
        """
        point = self.point(q)
        return defined(self._fields(point).reshape(self.frame.size_out(0)), point, self.name)

    def growth(self, q: Any, steps: int = STEPS) -> Growth:
        """Return the growth vector at a point, the brackets that give it, and whether they fill the tangent space.

        Parameters
        ----------
        q : (N,) array_like
        steps : int
            Fields in a bracket at most.

        Returns
        -------
        Growth

        Raises
        ------
        ProblemError
            If q does not fit.
        GeometryError
            If the fields are not defined there.
        """
        return self.flags.growth(self.point(q), positive_integer(steps, "steps"))

    def bracket_generating(self, q: Any, steps: int = STEPS) -> Verdict:
        """Return whether brackets of the fields fill the tangent space at a point; arguments and errors of `growth`.

        Where they do on a connected manifold, any two points are joined by horizontal curves (Chow, Rashevskii).
        """
        return bracket_generating(self.growth(q, steps))

    def equiregular(self, q: Any, steps: int = STEPS) -> Regularity:
        """Return whether the growth vector is the same around a point; arguments and errors of `growth`."""
        return equiregular(self.growth(q, steps))

    def nilpotent(self, q: Any, steps: int = STEPS) -> NilpotentApproximation:
        """Return privileged coordinates and the nilpotent approximation at a point, regular or not.

        Raises
        ------
        ProblemError
            If q does not fit.
        GeometryError
            If brackets of up to `steps` fields do not fill the tangent space, or the coordinates are redundant.
        """
        return nilpotent(self, self.point(q), positive_integer(steps, "steps"))

    def popp(self, q: Any, steps: int = STEPS) -> float:
        """Return the density of Popp's volume at a point, with respect to Lebesgue measure in the coordinates.

        On a redundant chart it is with respect to the volume the manifold has as a part of R^N. The normalisation is
        that of Barilari and Rizzi; of a Riemannian structure it is the Riemannian volume.

        Raises
        ------
        ProblemError
            If q does not fit.
        GeometryError
            If brackets of up to `steps` fields do not fill the tangent space, or the growth vector changes around q.

        Examples
        --------
        >>> import subriem as sr
        >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
        >>> round(heisenberg.popp([0.1, 0.2, 0.3]) ** 2, 12)
        0.5
        """
        return popp(self.flags, self.point(q), positive_integer(steps, "steps"))

    @cached_property
    def normal(self) -> NormalFlow:
        """The Hamiltonian flow of normal geodesics."""
        return NormalFlow(self.frame)

    def shoot(
        self, q: Any, p: Any, time: float, *, method: Method = "dop853", rtol: float = 1e-12, throw: bool = True
    ) -> Geodesic:
        """Return the normal geodesic from a point with a covector.

        Parameters
        ----------
        q, p : (N,) array_like
            Start and covector there; |X^T p| is the speed.
        time : float
            Negative to go back.
        method : {"dop853", "gauss"}
            Explicit of order 8, or symplectic of order 6 for long times.
        rtol : float
            Error of the end relative to 1 + |q|.
        throw : bool
            Raise where the geodesic ends before its time.

        Returns
        -------
        Geodesic

        Raises
        ------
        ProblemError
            If an argument does not fit.
        GeometryError
            If the fields are not defined at q.
        SolveError
            If the geodesic leaves every bounded set before its time, or does not converge; `.solution` holds its part.
        """
        q, p = self.point(q), self.point(p, "p")
        time, rtol = _number(time, "time"), positive(rtol, "rtol")
        if method not in tuple(ORDERS):
            raise ProblemError("shoot: unknown method", repr(method), ", ".join(ORDERS), "method='dop853'")
        run = self.normal.run(self.normal.start(q, p), time, rtol, method)
        count, steps = run.points.shape[0], run.steps
        grid = np.linspace(0.0, time, steps + 1)[:count]
        parts = run.points[:, : self.n], run.points[:, self.n :]
        if run.complete:
            return Geodesic(self, grid, *parts, method, rtol, run.error)
        self.fields(q)  # if they are not defined at the start that is said
        status = Status.NOT_CONVERGED if run.finite else Status.NOT_FINITE
        found = Geodesic(self, grid, *parts, method, rtol, run.error, status, f"{status.value} at t = {grid[-1]:.6g}")
        return found.checked() if throw else found

    def exponential(
        self,
        q: Any,
        p: Any,
        time: float = 1.0,
        *,
        method: Literal["dop853", "taylor"] = "dop853",
        rtol: float = 1e-12,
    ) -> Array:
        """Return the ends of normal geodesics from one point or many, with one covector or many.

        Parameters
        ----------
        q, p : (N,) or (B, N) array_like
        time : float
        method : {"dop853", "taylor"}
            "taylor" is for thousands of geodesics, tens of times as fast once it is compiled (extra `taylor`): its
            steps are those of roundoff; H is compared at both ends of each, and a sample with "dop853".
        rtol : float
            Error relative to 1 + |q|, over all of them.

        Returns
        -------
        (N,) or (B, N) ndarray

        Raises
        ------
        ProblemError
            If an argument does not fit.
        SolveError
            If one of the geodesics does not reach the time, or the checks of "taylor" fail.
        MissingExtraError
            If "taylor" is asked for and heyoka is not installed.
        """
        if method not in tuple(_ENDS):
            raise ProblemError("exponential: unknown method", repr(method), ", ".join(_ENDS), "method='dop853'")
        ends = _ENDS[method](self.normal, *self._pairs(q, p), _number(time, "time"), positive(rtol, "rtol"))
        return ends if np.ndim(q) == 2 or np.ndim(p) == 2 else ends[0]

    def _pairs(self, q: Any, p: Any) -> tuple[Array, Array]:
        """Return q and p as arrays (B, N)."""
        arrays = self._rows(q, "q"), self._rows(p, "p")
        if arrays[0].shape == arrays[1].shape:
            return arrays
        try:
            starts, covectors = np.broadcast_arrays(*arrays)
        except ValueError as error:
            raise ProblemError(
                "q and p do not fit together",
                f"{arrays[0].shape}, {arrays[1].shape}",
                "as many of both, or one",
                "q[0]",
            ) from error
        return starts, covectors

    def _rows(self, value: Any, name: str) -> Array:
        """Return one point or many as an array (B, N)."""
        if (
            type(value) is np.ndarray
            and value.dtype == np.float64
            and value.shape == (self.n,)
            and isfinite(value.sum())
        ):
            return value[None]  # the quick way in, where a call takes 0.1 ms
        array = real_array(value, name)
        rows = array[None] if array.ndim == 1 else array
        if rows.ndim != 2 or rows.shape[1] != self.n:
            raise ProblemError(
                f"{name} has the wrong shape",
                f"{array.shape}",
                f"({self.n},) or (B, {self.n})",
                "one row for each geodesic",
            )
        return rows


def _number(value: Any, name: str) -> float:
    return value if type(value) is float and isfinite(value) else real_array(value, name, ndim=0).item()
