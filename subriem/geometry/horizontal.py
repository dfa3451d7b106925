"""Horizontal paths of a map: lifts of output paths, holonomy of loops, normal geodesics by Wong's equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from subriem.core.errors import ProblemError, RankError, SolveError
from subriem.core.protocols import Array
from subriem.core.result import Check, Result
from subriem.core.status import Status
from subriem.core.validate import positive, real_array, vector

if TYPE_CHECKING:
    from subriem.geometry.maps import MapStructure

#: Share of the first least singular value of D at which a path ends as at a loss of rank.
LOST = 1e-7
#: Smallest relative tolerance of the integrator.
FINEST = 1e-13


@dataclass(frozen=True, eq=False, repr=False)
class HorizontalPath(Result):
    """A path theta(t) in the range of D^T, with dense output.

    Attributes
    ----------
    structure : MapStructure
    t : (m,) ndarray
    theta : (m, K) ndarray
    covector : (m, K) ndarray or None
        p(t) of a normal geodesic; None for a lift.
    dense : callable
        t -> state.
    status : Status
        RANK_CHANGED where D lost rank on the way.
    message : str
    drift : float
        Of a lift: largest distance of the output from the path that was lifted. Of a geodesic: largest change of |u|.
    tolerance : float

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
    >>> path = M.lift_path([0, 0, 0], [[0, 0], [1, 0], [1, 1]])
    >>> path.success, np.round(path.x[-1], 10)
    (True, array([1., 1.]))
    """

    structure: MapStructure
    t: Array
    theta: Array
    covector: Array | None
    dense: Callable[[Any], Array]
    status: Status
    message: str
    drift: float
    tolerance: float

    @property
    def success(self) -> bool:
        """Whether the end was reached."""
        return self.status.success

    @property
    def grid(self) -> Array:
        """The nodes, as `Path` calls them."""
        return self.t

    @property
    def y(self) -> Array:
        """The points at the nodes, as `Path` calls it."""
        return self.theta

    @property
    def end(self) -> Array:
        """The last theta."""
        return self.theta[-1]

    @cached_property
    def x(self) -> Array:
        """The outputs at the nodes, (m, n)."""
        return np.array([self.structure.map.value(theta) for theta in self.theta])

    @cached_property
    def controls(self) -> Array:
        """u(t) = x' of a geodesic at the nodes, (m, n)."""
        if self.covector is None:
            raise ProblemError("a lift has no covector", "lift_path", "a geodesic", "wong(theta, u, q, time)")
        return np.array(
            [self.structure.at(theta).split(p)[0] for theta, p in zip(self.theta, self.covector, strict=True)]
        )

    def __call__(self, t: Any) -> Array:
        """Return theta at a time, (K,), or at many, (len(t), K)."""
        times = real_array(t, "t")
        low, high = sorted((self.t[0], self.t[-1]))
        if times.min() < low or times.max() > high:
            raise ProblemError("a time lies outside of the path", f"{times}", f"{low:g} … {high:g}", "a longer path")
        states = np.array([self.dense(time)[: self.structure.n] for time in times])
        return states if np.ndim(t) else states[0]

    @property
    def checks(self) -> tuple[Check, ...]:
        """Drift of what is constant."""
        meaning = "of |u|" if self.covector is not None else "of the output from the lifted path"
        return (Check("drift", self.drift, 1e3 * self.tolerance, meaning),)

    def headline(self) -> str:
        """Return one line that says what this is."""
        kind = "lift" if self.covector is None else "geodesic"
        return f"{kind} in {self.structure.name}, t = {self.t[0]:.4g} … {self.t[-1]:.6g}: {self.message}"


@dataclass(frozen=True, eq=False)
class Holonomy:
    """What a closed output loop leaves in the fibre.

    Attributes
    ----------
    path : HorizontalPath
    gap : (K,) ndarray
        theta(end) - theta(start).
    closure : float
        |x(end) - x(start)|: the loop closes in the outputs.
    area_law : (K,) ndarray
        sum over i < j of area_ij [X_i, X_j] at the start, area_ij the signed areas of the loop: the gap to first order.
    ratio : float
        |gap| / |area_law|; tends to 1 for small loops.
    """

    path: HorizontalPath
    gap: Array
    closure: float
    area_law: Array

    @property
    def ratio(self) -> float:
        """Return |gap| / |area_law|."""
        size = float(np.linalg.norm(self.area_law))
        return float(np.linalg.norm(self.gap)) / size if size else np.inf


def lift_path(structure: MapStructure, theta: Any, outputs: Any, rtol: float) -> HorizontalPath:
    """Lift a polygon of outputs from theta: theta' = D^+ x', edge by edge; t counts edges."""
    start, vertices = structure.point(theta), _vertices(structure, theta, outputs)
    edges = np.diff(vertices, axis=0)

    def rates(edge: Array) -> Callable[[float, Array], Array]:
        return lambda _, state: structure.at(state, certify=False).lift(edge)[0]

    legs = [(float(i), float(i + 1), rates(edge)) for i, edge in enumerate(edges)]
    t, states, dense, status, message = _integrated(structure, start, legs, rtol)
    aims = vertices[0] + np.array([np.interp(t, np.arange(vertices.shape[0]), column) for column in vertices.T]).T
    aims -= vertices[0]
    found = np.array([structure.map.value(state) for state in states])
    drift = float(np.abs(found - aims).max())
    return HorizontalPath(structure, t, states, None, dense, status, message, drift, rtol)


def holonomy(structure: MapStructure, theta: Any, loop: Any, rtol: float) -> Holonomy:
    """Lift a closed polygon; see `MapStructure.holonomy`."""
    vertices = _vertices(structure, theta, loop)
    vertices = np.vstack([vertices, vertices[:1]]) if np.any(vertices[-1] != vertices[0]) else vertices
    path = lift_path(structure, theta, vertices, rtol)
    if not path.success:
        raise SolveError(
            "the loop could not be lifted to its end", path.message, "rank n along it", "a smaller loop", path
        )
    curvature = structure.curvature(theta)
    a, b = vertices[:-1] - vertices[0], vertices[1:] - vertices[0]
    areas = [float(np.sum(a[:, i] * b[:, j] - a[:, j] * b[:, i])) / 2 for i, j in curvature.pairs]
    closure = float(np.linalg.norm(path.x[-1] - path.x[0]))
    return Holonomy(path, path.theta[-1] - path.theta[0], closure, np.array(areas) @ curvature.fields)


def wong(structure: MapStructure, theta: Any, u: Any, q: Any, time: float, rtol: float) -> HorizontalPath:
    """Follow a normal geodesic from p = D^T u + q; see `MapStructure.wong`."""
    start = structure.at(theta)
    velocity = vector(u, "u", structure.k)
    charge = structure.point(np.zeros(structure.n) if q is None else q, "q")
    p = start.jacobian.vjp(velocity) + start.vertical(charge)
    n = structure.n

    def rates(_: float, state: Array) -> Array:
        here = structure.at(state[:n], certify=False)
        controls, vertical = here.split(state[n:])
        moved, multiplier = here.lift(controls)
        # p' = -dH/dtheta of H = |u|^2 / 2, u = (D D^T)^-1 D p
        return np.concatenate([moved, here.hessian(controls, moved) - here.hessian(multiplier, vertical)])

    legs = [(0.0, float(time), rates)]
    t, states, dense, status, message = _integrated(structure, np.concatenate([start.theta, p]), legs, rtol)
    speeds = [float(np.linalg.norm(structure.at(s[:n], certify=False).split(s[n:])[0])) for s in states]
    drift = float(np.ptp(speeds)) / max(1.0, speeds[0])
    return HorizontalPath(structure, t, states[:, :n], states[:, n:], dense, status, message, drift, rtol)


def _vertices(structure: MapStructure, theta: Any, outputs: Any) -> Array:
    """Return a polygon of outputs that starts where the map is."""
    vertices = real_array(outputs, "outputs", ndim=2)
    if vertices.shape[1] != structure.k or vertices.shape[0] < 2:
        raise ProblemError(
            "the output path does not fit", f"shape {vertices.shape}", f"(m, {structure.k}), m >= 2", "one row a vertex"
        )
    here = structure.map.value(structure.point(theta))
    away = float(np.abs(vertices[0] - here).max())
    if away > 1e-8 * (1 + float(np.abs(here).max())):
        raise ProblemError(
            "the output path does not start at the output of theta",
            f"{away:.1e} away",
            f"x[theta] = {np.array2string(here, precision=6, threshold=6)}",
            "M.map.value(theta) + displacements",
        )
    return vertices - vertices[0] + here


def _integrated(
    structure: MapStructure, start: Array, legs: list[tuple[float, float, Callable[[float, Array], Array]]], rtol: float
) -> tuple[Array, Array, Callable[[Any], Array], Status, str]:
    """Integrate leg after leg by DOP853; end where D loses rank."""
    from scipy.integrate import OdeSolution, solve_ivp

    rtol = max(positive(rtol, "rtol"), FINEST)
    first = structure.at(start[: structure.n]).factor.extremes().sigma_min

    def lost(_: float, state: Array) -> float:
        return structure.at(state[: structure.n], certify=False).factor.extremes().sigma_min / first - LOST

    lost.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    times, states, pieces = [np.array([legs[0][0]])], [start[None, :]], []
    status, message = Status.SUCCESS, "the end was reached"
    for low, high, rates in legs:
        found = solve_ivp(
            _rejecting(rates),
            (low, high),
            states[-1][-1],
            "DOP853",
            dense_output=True,
            events=lost,
            rtol=rtol,
            atol=rtol,
        )
        times.append(found.t[1:])
        states.append(found.y.T[1:])
        pieces.append(found.sol)
        if found.status:
            status = Status.RANK_CHANGED if found.status == 1 else Status.STEP_TOO_SMALL
            message = f"D loses rank at t = {found.t[-1]:.10g}" if found.status == 1 else found.message
            break
    nodes = np.concatenate(times)
    knots = np.concatenate([pieces[0].ts, *(piece.ts[1:] for piece in pieces[1:])])
    dense = OdeSolution(knots, [step for piece in pieces for step in piece.interpolants])
    return nodes, np.vstack(states), dense, status, message


def _rejecting(rates: Callable[[float, Array], Array]) -> Callable[[float, Array], Array]:
    """Return rates that are NaN where D is singular: the integrator rejects the trial step and takes a shorter one."""

    def guarded(t: float, state: Array) -> Array:
        try:
            return rates(t, state) if np.isfinite(state).all() else np.full_like(state, np.nan)
        except RankError:
            return np.full_like(state, np.nan)

    return guarded
