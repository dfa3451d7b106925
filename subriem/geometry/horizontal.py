"""Horizontal paths of a map: lifts of output paths, holonomy of loops, normal geodesics by Wong's equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from subriem.core.errors import GeometryError, ProblemError, RankError, SolveError
from subriem.core.protocols import Array
from subriem.core.result import Check, Result
from subriem.core.status import Status
from subriem.core.validate import positive, real_array, vector
from subriem.geometry.landing import landing

if TYPE_CHECKING:
    from subriem.geometry.maps import MapStructure
    from subriem.geometry.singular import SingularPoint

#: Share of the first least singular value of D at which a path ends as at a loss of rank, and of the first largest.
LOST, FLOOR = 1e-7, 1e-9
#: The same: a path ends at a larger share for no condition of D at its start, and does not escape above it.
NEAR = 1e-3
#: Share of the covector below which a charge is roundoff.
NOISE = 1e-14
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
        RANK_CHANGED where D lost rank on the way: the last node is the place, its rates are unbounded. ESCAPED where
        theta runs to infinity instead.
    message : str
    drift : float
        Largest distance of the output from the path that was lifted, or from the straight line of a geodesic without
        charge. Of a geodesic with charge: largest change of |u|.
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
        """u(t) = x' of a geodesic at the nodes, (m, n); without the last node where the rank is lost there."""
        if self.covector is None:
            raise ProblemError("a lift has no covector", "lift_path", "a geodesic", "wong(theta, u, q, time)")
        last = -1 if self.status is Status.RANK_CHANGED else None
        states = zip(self.theta[:last], self.covector[:last], strict=True)
        return np.array([self.structure.at(theta).split(p)[0] for theta, p in states])

    def singular_points(self) -> tuple[SingularPoint, ...]:
        """Return the points at which the growth vector, or the rank of D, is not that of the path around.

        Raises
        ------
        GeometryError
            If there is no symbolic tier: K > 60, or no `.function`. A loss of rank ends a path in either tier.
        """
        from subriem.geometry.singular import singular_points

        return singular_points(self.structure.with_gradients(), self)

    def __call__(self, t: Any) -> Array:
        """Return theta at a time, (K,), or at many, (len(t), K)."""
        times = real_array(t, "t", ndim=None if np.ndim(t) < 2 else 1)
        low, high = sorted((self.t[0], self.t[-1]))
        if times.min() < low or times.max() > high:
            raise ProblemError("a time lies outside of the path", f"{times}", f"{low:g} … {high:g}", "a longer path")
        states = np.array([self.dense(float(time))[: self.structure.n] for time in np.atleast_1d(times)])
        return states if np.ndim(t) else states[0]

    @property
    def checks(self) -> tuple[Check, ...]:
        """Drift of what is constant."""
        meaning = "of the output from its path, or of |u| where a charge bends it"
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


class _Leg(NamedTuple):
    """A part of a path: its rates (t, state) -> state', and the velocity x' of the outputs at a state."""

    start: float
    end: float
    rates: Callable[[float, Array], Array]
    velocity: Callable[[Array], Array]


def lift_path(structure: MapStructure, theta: Any, outputs: Any, rtol: float) -> HorizontalPath:
    """Lift a polygon of outputs from theta: theta' = D^+ x', edge by edge; t counts edges."""
    start, vertices = structure.point(theta), _vertices(structure, theta, outputs)
    legs = [_straight(structure, float(i), float(i + 1), edge) for i, edge in enumerate(np.diff(vertices, axis=0))]
    t, states, dense, status, message = _integrated(structure, start, legs, rtol)
    aims = np.array([np.interp(t, np.arange(vertices.shape[0]), column) for column in vertices.T]).T
    drift = _off(structure, states, aims)
    return HorizontalPath(structure, t, states, None, dense, status, message, drift, rtol)


def _straight(structure: MapStructure, start: float, end: float, velocity: Array) -> _Leg:
    """Return the lift of a straight line of outputs."""

    def rates(_: float, theta: Array) -> Array:
        return structure.at(theta, certify=False).lift(velocity)[0]

    return _Leg(start, end, rates, lambda _: velocity)


def _off(structure: MapStructure, states: Array, outputs: Array) -> float:
    """Return how far the outputs of points are from what they should be, at most."""
    return float(np.abs(np.array([structure.map.value(state) for state in states]) - outputs).max())


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


def wong(structure: MapStructure, theta: Any, u: Any, q: Any, time: Any, rtol: float) -> HorizontalPath:
    """Follow a normal geodesic from p = D^T u + q; see `MapStructure.wong`."""
    start = structure.at(theta)
    velocity, time = vector(u, "u", structure.k), real_array(time, "time", ndim=0).item()
    charge = start.vertical(structure.point(np.zeros(structure.n) if q is None else q, "q"))
    p = start.jacobian.vjp(velocity) + charge
    if np.linalg.norm(charge) <= NOISE * np.linalg.norm(p):
        return _uncharged(structure, start.theta, velocity, time, rtol)
    second_derivatives(structure.map)
    n = structure.n

    def rates(_: float, state: Array) -> Array:
        here = structure.at(state[:n], certify=False)
        controls, vertical = here.split(state[n:])
        moved, multiplier = here.lift(controls)
        # p' = -dH/dtheta of H = |u|^2 / 2, u = (D D^T)^-1 D p
        return np.concatenate([moved, here.hessian(controls, moved) - here.hessian(multiplier, vertical)])

    def outputs(state: Array) -> Array:
        return structure.at(state[:n], certify=False).split(state[n:])[0]

    legs = [_Leg(0.0, time, rates, outputs)]
    t, states, dense, status, message = _integrated(structure, np.concatenate([start.theta, p]), legs, rtol)
    whole = states if status is not Status.RANK_CHANGED else states[:-1]  # no lifts where the rank is lost
    speeds = [float(np.linalg.norm(outputs(state))) for state in whole]
    drift = float(np.ptp(speeds)) / max(1.0, speeds[0])
    return HorizontalPath(structure, t, states[:, :n], states[:, n:], dense, status, message, drift, rtol)


def _uncharged(structure: MapStructure, theta: Array, velocity: Array, time: float, rtol: float) -> HorizontalPath:
    """Lift the straight line of outputs, p = D^T u: no charge grows from roundoff, as it may where p is integrated."""
    legs = [_straight(structure, 0.0, time, velocity)]
    t, states, dense, status, message = _integrated(structure, theta, legs, rtol)
    covectors = np.array([structure.map.vjp(state, velocity) for state in states])
    drift = _off(structure, states, structure.map.value(theta) + np.outer(t, velocity))
    return HorizontalPath(structure, t, states, covectors, dense, status, message, drift, rtol)


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
    structure: MapStructure, start: Array, legs: list[_Leg], rtol: float
) -> tuple[Array, Array, Callable[[Any], Array], Status, str]:
    """Integrate leg after leg by DOP853; end where D loses rank."""
    from scipy.integrate import OdeSolution, solve_ivp

    rtol, n = max(positive(rtol, "rtol"), FINEST), structure.n
    first = structure.at(start[:n]).factor.extremes()
    bound = max(LOST, min(FLOOR * first.sigma_max / first.sigma_min, NEAR))

    def share(_: float, state: Array) -> float:
        return structure.at(state[:n], certify=False).factor.extremes().sigma_min / first.sigma_min - bound

    share.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    times, states, pieces = [np.array([legs[0].start])], [start[None, :]], []
    status, message, end = Status.SUCCESS, "the end was reached", None
    for leg in legs:
        span = leg.start, leg.end
        rates = _rejecting(leg.rates)
        found = solve_ivp(rates, span, states[-1][-1], "DOP853", dense_output=True, events=share, rtol=rtol, atol=rtol)
        times.append(found.t[1:])
        states.append(found.y.T[1:])
        pieces.append(found.sol)
        if found.status:
            status, message, end = _landed(structure, float(found.t[-1]), found.y[:, -1], leg, first.sigma_max)
            if found.status < 0 and status is not Status.RANK_CHANGED and share(0.0, found.y[:, -1]) > NEAR:
                status, message = Status.STEP_TOO_SMALL, f"{found.message} at t = {found.t[-1]:.10g}"
            break
    nodes = np.concatenate(times)
    knots = np.concatenate([pieces[0].ts, *(piece.ts[1:] for piece in pieces[1:])])
    dense = OdeSolution(knots, [step for piece in pieces for step in piece.interpolants])
    if end is None:
        return nodes, np.vstack(states), dense, status, message
    path = _Ending(dense, float(nodes[-1]), *end)
    return np.append(nodes, path.end), np.vstack([*states, path.state]), path, status, message


def _landed(
    structure: MapStructure, t: float, state: Array, leg: _Leg, scale: float
) -> tuple[Status, str, tuple[float, Array] | None]:
    """Return how a leg ends from where sigma_min is small, and the place if it is a loss of rank."""
    n, forward = structure.n, 1.0 if leg.end >= leg.start else -1.0
    velocity = leg.velocity(state)
    found = landing(structure, state[:n], forward * velocity, scale)
    if found is None:
        return Status.ESCAPED, f"theta escapes near t = {t:.12g}: sigma_min tends to 0, and no zero is near", None
    time = t + forward * found.time
    if found.decision.full:
        least = f"sigma_min falls to {found.decision.sigma_rank:.1e} at t = {time:.12g}"
        return Status.RANK_AMBIGUOUS, f"{least}: D nearly loses rank", None
    rest = state[n:]  # of a covector p = D^T u + q the part D^T u is taken along
    if rest.size:
        change = structure.map.vjp(found.theta, velocity) - structure.map.vjp(state[:n], velocity)
        rest = rest + change
    message = f"D loses rank at t = {time:.12g}"
    return Status.RANK_CHANGED, message, (time, np.concatenate([found.theta, rest]))


@dataclass(frozen=True, eq=False)
class _Ending:
    """A dense output with a straight last piece, to where the path ends."""

    dense: Callable[[Any], Array]
    last: float
    end: float
    state: Array

    def __call__(self, t: Any) -> Array:
        whole = self.end - self.last
        share = float(np.clip((t - self.last) / whole, 0.0, 1.0)) if whole else float(t == self.end)
        if share == 0.0:
            return self.dense(t)
        return (1 - share) * self.dense(self.last) + share * self.state


def _rejecting(rates: Callable[[float, Array], Array]) -> Callable[[float, Array], Array]:
    """Return rates that are NaN where D is singular: the integrator rejects the trial step and takes a shorter one."""

    def guarded(t: float, state: Array) -> Array:
        try:
            return rates(t, state) if np.isfinite(state).all() else np.full_like(state, np.nan)
        except RankError:
            return np.full_like(state, np.nan)

    return guarded


def second_derivatives(source: Any) -> Any:
    """Return the map itself if it has second derivatives.

    Raises
    ------
    GeometryError
        If it has none.
    """
    if not {"hvp", "second"} <= source.capabilities:
        raise GeometryError(
            "curvature and geodesics need second derivatives of the map",
            f"capabilities {', '.join(sorted(source.capabilities)) or 'none'}",
            "hvp and second",
            "sr.map with CasADi expressions, or a network",
        )
    return source
