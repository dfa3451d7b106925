"""The geometry of a map theta -> x: V = range D^T, h(v, w) = <D v, D w>; by lifts for any K, by symbols for K <= 60.

The frame of lifts X_i = D^+ e_i is orthonormal, D X_i = e_i. In both tiers D must have rank n where it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.equilibrated import decide
from subriem.core.errors import GeometryError, ProblemError, RankError
from subriem.core.factor import Factorization
from subriem.core.jacobian import MapJacobian
from subriem.core.lift import factorize, lift
from subriem.core.map import parameter_name
from subriem.core.protocols import Array, Map
from subriem.core.rank import DEFAULT_RANK, EPS, RankPolicy
from subriem.core.status import Status
from subriem.core.validate import real_array, vector
from subriem.geometry.frame import checked_policy
from subriem.geometry.geodesic import Geodesic
from subriem.geometry.growth import STEPS, Growth, independent_columns
from subriem.geometry.horizontal import Holonomy, HorizontalPath, holonomy, lift_path, second_derivatives, wong
from subriem.geometry.nilpotent import NilpotentApproximation
from subriem.geometry.regularity import Regularity, Verdict, bracket_generating, equiregular
from subriem.geometry.singular import SingularPoint
from subriem.geometry.subriemannian import SubRiemannian

#: Largest K for which brackets and geodesics are derived symbolically.
SYMBOLIC = 60
#: Largest explicit array of curvature fields, in bytes.
CURVATURE_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Curvature:
    """The brackets [X_i, X_j] of the lifts at a point, fields in ker D.

    Attributes
    ----------
    pairs : tuple of (int, int)
        i < j.
    fields : (m, K) ndarray
    norms : (m,) ndarray
        Euclidean lengths: what a small square loop of the outputs i, j leaves in the fibre, over its area.
    residual : float
        Largest |D [X_i, X_j]| over |D| |[X_i, X_j]|: roundoff.
    terms : float
        Largest length of what was subtracted: curvature below eps times this is zero.
    """

    pairs: tuple[tuple[int, int], ...]
    fields: Array
    norms: Array
    residual: float
    terms: float


class Point:
    """A map at a point, factored once: lifts, controls of a covector, second derivatives.

    Parameters
    ----------
    source : Map
    theta : (K,) ndarray
    policy : RankPolicy
    certify : bool
        Decide the rank; a stage of an integrator does not.
    """

    def __init__(self, source: Map, theta: Array, policy: RankPolicy, certify: bool = True) -> None:
        self.source, self.theta = source, theta
        self.jacobian = MapJacobian(source, theta)
        self.factor: Factorization = factorize(self.jacobian, policy, certify=certify)
        decision = self.factor.decision
        if decision is not None and not decision.full:
            quiet = replace(policy, on_ambiguous="ignore")  # what is ambiguous is told by the error
            dependent = lift(source, np.zeros(source.n_out), theta, quiet).dependent if certify else ()
            rows = "; ".join(", ".join(group) for group in dependent)
            raise RankError(
                "the map has no lifts of all outputs here",
                f"{decision}{f'; dependent: {rows}' if rows else ''}",
                f"rank n = {source.n_out}",
                "leave dependent outputs out, or another point",
            )

    def lift(self, w: Array) -> tuple[Array, Array]:
        """Return v = D^+ w and its multiplier lam = (D D^T)^-1 w, v = D^T lam."""
        v, multiplier, _ = self.factor.solve(w)
        return v, multiplier

    def vertical(self, v: Array) -> Array:
        """Return (1 - P) v, the part of v in ker D."""
        return v - self.lift(self.jacobian.jvp(v))[0]

    def split(self, p: Array) -> tuple[Array, Array]:
        """Return u and q of a covector p = D^T u + q, q in ker D: u = (D^+)^T p."""
        along, u = self.lift(self.jacobian.jvp(p))
        return u, p - along

    def hessian(self, lam: Array, v: Array) -> Array:
        """Return H_lam v = sum_a lam_a D^2 x_a v."""
        return second_derivatives(self.source).hvp(self.theta, lam, v)


class MapStructure:
    """The sub-Riemannian structure of a map; made by `SubRiemannian.from_map`.

    Parameters
    ----------
    source : Map
        With K >= n.
    rank : RankPolicy
    name : str

    Attributes
    ----------
    dim, n : int
        K, both.
    k : int
        The number of outputs.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
    >>> M.growth([0.0, 0.0, 0.0]).vector, M.curvature([0.0, 0.0, 0.0]).fields
    ((2, 3), array([[0., 0., 1.]]))
    """

    def __init__(self, source: Map, rank: RankPolicy = DEFAULT_RANK, name: str = "map") -> None:
        if not isinstance(source, Map):
            raise ProblemError(
                "from_map: this is no map", type(source).__name__, "a map theta -> x, or a network", "sr.map(…)"
            )
        if source.n_in < source.n_out:
            raise GeometryError(
                "the map has more outputs than parameters",
                f"K = {source.n_in}, n = {source.n_out}",
                "K >= n: horizontal curves lift output curves",
                "fewer outputs; for K < n, |D theta'| is a Riemannian metric: from_frame with metric D^T D",
            )
        self.map, self.policy, self.name = source, checked_policy(rank), name
        self.dim = self.n = source.n_in
        self.k = source.n_out

    def __repr__(self) -> str:
        return f"<MapStructure {self.name}: {self.k} outputs of {self.dim} parameters>"

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(parameter_name(self.map, i) for i in range(self.n))

    @cached_property
    def symbolic(self) -> SubRiemannian | None:
        """The structure with frame D^+ in symbols, for K <= 60 and maps with `.function`."""
        return self._with_frame(lambda D: ca.solve(D @ D.T, D).T)

    @cached_property
    def gradients(self) -> SubRiemannian | None:
        """The same distribution with the frame D^T: its brackets need no inverse."""
        return self._with_frame(lambda D: D.T)

    def _with_frame(self, frame: Any) -> SubRiemannian | None:
        if "function" not in self.map.capabilities or self.n > SYMBOLIC:
            return None
        theta = ca.SX.sym("theta", self.n)
        D = ca.jacobian(self.map.function(theta), theta)  # pyright: ignore[reportAttributeAccessIssue]
        X = ca.Function("X", [theta], [ca.cse(ca.densify(frame(D)))], ["q"], ["X"])
        return SubRiemannian(X, self.dim, self.coordinates, self.name, self.policy)

    def with_lifts(self) -> SubRiemannian:
        """Return `symbolic`.

        Raises
        ------
        GeometryError
            If there is none.
        """
        return self._in_symbols(self.symbolic)

    def with_gradients(self) -> SubRiemannian:
        """Return `gradients`; errors as `with_lifts`."""
        return self._in_symbols(self.gradients)

    def _in_symbols(self, structure: SubRiemannian | None) -> SubRiemannian:
        if structure is None:
            raise GeometryError(
                "this needs the map in symbols",
                f"K = {self.n}, function {'known' if 'function' in self.map.capabilities else 'unknown'}",
                f"a CasADi map or a network with K <= {SYMBOLIC}",
                "wong, curvature, lift_path and holonomy work for any K",
            )
        return structure

    def point(self, theta: Any, name: str = "theta") -> Array:
        """Return theta as an array of K finite numbers, or raise `ProblemError`."""
        return vector(theta, name, self.n)

    def at(self, theta: Any, certify: bool = True) -> Point:
        """Return the map factored at a point.

        Raises
        ------
        RankError
            If D has not rank n there.
        """
        return Point(self.map, self.point(theta), self.policy, certify)

    def curvature(self, theta: Any, pairs: Sequence[tuple[int, int]] | None = None) -> Curvature:
        """Return [X_i, X_j] = (1 - P)(H_(G^-1 e_j) X_i - H_(G^-1 e_i) X_j) at a point.

        Parameters
        ----------
        theta : (K,) array_like
        pairs : sequence of (int, int), optional
            Of outputs; all with i < j unless given.

        Raises
        ------
        RankError
            If D has not rank n.
        GeometryError
            If the map has no second derivatives, or all pairs do not fit the memory.
        """
        wanted = [(i, j) for i in range(self.k) for j in range(i + 1, self.k)] if pairs is None else self._pairs(pairs)
        if 8.0 * len(wanted) * self.n > CURVATURE_BYTES:
            raise GeometryError(
                "the curvature of all pairs of outputs does not fit the memory",
                f"{len(wanted)} fields of {self.n} entries",
                f"{CURVATURE_BYTES:.0e} bytes",
                "pairs=[(0, 1), …]",
            )
        here = self.at(theta)
        units = np.eye(self.k)
        lifts = {i: here.lift(units[i]) for i in sorted({i for pair in wanted for i in pair})}
        fields, terms, residual = np.empty((len(wanted), self.n)), 0.0, 0.0
        size = here.factor.extremes().sigma_max
        for row, (i, j) in enumerate(wanted):
            (first, lam), (second, mu) = lifts[i], lifts[j]
            one, other = here.hessian(mu, first), here.hessian(lam, second)
            fields[row] = here.vertical(one - other)
            terms = max(terms, float(np.linalg.norm(one) + np.linalg.norm(other)))
            residual = max(residual, float(np.linalg.norm(here.jacobian.jvp(fields[row]))))
        norms = np.linalg.norm(fields, axis=1)
        return Curvature(tuple(wanted), fields, norms, residual / max(size * terms, 1e-300), terms)

    def _pairs(self, pairs: Any) -> list[tuple[int, int]]:
        """Return pairs of outputs, or raise `ProblemError`."""
        found = real_array(pairs, "pairs", ndim=2)
        if found.shape[1] != 2 or not np.isin(found, range(self.k)).all():
            raise ProblemError("there are no such outputs", f"{pairs}", f"pairs of 0 … {self.k - 1}", "pairs=[(0, 1)]")
        return [(int(i), int(j)) for i, j in found]

    def growth(self, theta: Any, steps: int = STEPS) -> Growth:
        """Return the growth vector: by brackets of D^T in symbols, or to step 2 by the curvature.

        Raises
        ------
        RankError, GeometryError
            As `curvature` does, in the second case.
        """
        if self.gradients is not None:
            return self.gradients.growth(theta, steps)
        curvature, here = self.curvature(theta), self.at(theta)
        lifts = np.array([here.lift(unit)[0] for unit in np.eye(self.k)])
        first = decide(lifts / np.linalg.norm(lifts, axis=1)[:, None], self.policy)
        found = np.where(curvature.norms > 1e3 * EPS * curvature.terms, 1.0, 0.0)[:, None] * curvature.fields
        second = decide(found / max(curvature.norms.max(initial=0.0), 1e-300), self.policy, 1.0)
        vector = (first.rank, first.rank + second.rank)
        full = vector[-1] >= self.dim
        words = tuple((i,) for i in range(self.k)) + curvature.pairs
        reason = "brackets of 2 lifts fill it" if full else f"rank {vector[-1]} of {self.dim} by brackets of 2 lifts"
        chosen = list(range(self.k)) + [self.k + i for i in independent_columns(found.T, [], second.rank)]
        basis = np.vstack([lifts, found])[chosen].T
        return Growth(vector, self.dim, full or None, reason, tuple(words[i] for i in chosen), basis, (first, second))

    def bracket_generating(self, theta: Any, steps: int = STEPS) -> Verdict:
        """Return whether brackets of the lifts fill the parameter space; arguments and errors of `growth`."""
        return bracket_generating(self.growth(theta, steps))

    def equiregular(self, theta: Any, steps: int = STEPS) -> Regularity:
        """Return whether the growth vector is the same around; arguments and errors of `growth`."""
        return equiregular(self.growth(theta, steps))

    def nilpotent(self, theta: Any, steps: int = STEPS) -> NilpotentApproximation:
        """Return the nilpotent approximation of the symbolic tier; see `SubRiemannian.nilpotent`.

        Raises
        ------
        RankError
            If D has not rank n.
        GeometryError
            If there is no symbolic tier, or as `SubRiemannian.nilpotent` does.
        """
        return self.with_lifts().nilpotent(self.at(theta).theta, steps)

    def popp(self, theta: Any, steps: int = STEPS) -> float:
        """Return the density of Popp's volume by the symbolic tier; see `SubRiemannian.popp`.

        Raises
        ------
        RankError
            If D has not rank n.
        GeometryError
            If there is no symbolic tier, or as `SubRiemannian.popp` does.

        Examples
        --------
        >>> import subriem as sr
        >>> M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
        >>> round(M.popp([0.0, 0.0, 0.0]) ** 2, 12)
        0.5
        """
        return self.with_lifts().popp(self.at(theta).theta, steps)

    def lift_path(self, theta: Any, outputs: Any, *, rtol: float = 1e-10) -> HorizontalPath:
        """Return the horizontal lift of a polygon of outputs: theta' = D^+ x'.

        Parameters
        ----------
        theta : (K,) array_like
        outputs : (m, n) array_like
            Vertices, the first one x[theta].
        rtol : float

        Returns
        -------
        HorizontalPath
            It ends with RANK_CHANGED where D loses rank.

        Raises
        ------
        ProblemError
            If the polygon does not fit or does not start at x[theta].
        RankError
            If D has not rank n at theta.
        """
        return lift_path(self, theta, outputs, rtol)

    def holonomy(self, theta: Any, loop: Any, *, rtol: float = 1e-11) -> Holonomy:
        """Return what the lift of a closed polygon of outputs leaves in the fibre, beside the area law.

        Parameters
        ----------
        theta : (K,) array_like
        loop : (m, n) array_like
            Vertices, the first one x[theta]; the last edge leads back.

        Raises
        ------
        SolveError
            If D loses rank on the way; `.solution` holds the part.
        """
        return holonomy(self, theta, loop, rtol)

    def wong(self, theta: Any, u: Any, q: Any = None, time: float = 1.0, *, rtol: float = 1e-10) -> HorizontalPath:
        """Return the normal geodesic with output velocity u and charge q: theta' = D^+ u, p = D^T u + q.

        The outputs bend by u_i' = sum_j u_j <q, [X_j, X_i]>, as in a magnetic field; |u| is constant. Without charge
        the outputs run straight: the adapted flow.

        Parameters
        ----------
        theta : (K,) array_like
        u : (n,) array_like
        q : (K,) array_like, optional
            Its part in ker D is taken.
        time : float
        rtol : float

        Raises
        ------
        GeometryError
            If there is a charge and the map has no second derivatives.
        RankError
            If D has not rank n at theta.
        """
        return wong(self, theta, u, q, time, rtol)

    def shoot(self, q: Any, p: Any, time: float, *, throw: bool = True, **options: Any) -> Geodesic:
        """Return the normal geodesic of the symbolic tier; see `SubRiemannian.shoot`.

        Where D loses rank on the way it ends before, with the status RANK_CHANGED and the place as its `fold`; with
        ESCAPED where theta runs away instead, and with the status of the flow that is integrated beyond its end if
        that cannot tell either.

        Raises
        ------
        GeometryError
            If there is none: K > 60, or no `.function`.
        """
        geodesic = self.with_lifts().shoot(q, p, time, throw=False, **options)
        if not geodesic.status.failed:
            return geodesic
        ended = self._ended(geodesic, time)
        return ended.checked() if throw else ended

    def _ended(self, geodesic: Geodesic, time: float) -> Geodesic:
        """Return a geodesic that ended before its time with the reason, found by the flow integrated from there on."""
        scale = self.at(geodesic.q[0]).factor.extremes()
        u, q = self.at(geodesic.end).split(geodesic.p[-1])
        path = wong(self, geodesic.end, u, q, time - geodesic.time, geodesic.tolerance, scale)
        if path.status is Status.SUCCESS:
            return geodesic
        end = geodesic.time + float(path.t[-1])
        if path.status is not Status.RANK_CHANGED:
            message = f"{path.status.value}, near t = {end:.10g}"
            return replace(geodesic, status=path.status, message=message)
        around = self.with_gradients().growth(geodesic.end)
        fold = SingularPoint(end, path.end, self.with_gradients().growth(path.end, around.step), around)
        return replace(geodesic, status=path.status, message=f"D loses rank at t = {end:.12g}", fold=fold)

    def exponential(self, q: Any, p: Any, time: float = 1.0, **options: Any) -> Array:
        """Return ends of normal geodesics by the symbolic tier; see `SubRiemannian.exponential`."""
        return self.with_lifts().exponential(q, p, time, **options)

    def conserved(self, theta: Any) -> Array:
        """Return functions of theta that every horizontal curve keeps, as far as the map knows them; (0,) if none."""
        point = self.point(theta)
        if "conserved" not in self.map.capabilities:
            return np.zeros(0)
        return self.map.conserved(point)  # pyright: ignore[reportAttributeAccessIssue]
