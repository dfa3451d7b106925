"""Horizontal paths of a map: lifts of output paths, holonomy of loops, normal geodesics by Wong's equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from subriem.core.errors import GeometryError, ProblemError, SolveError
from subriem.core.factor import Extremes
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.core.result import Check, Result
from subriem.core.status import Status
from subriem.core.validate import positive, real_array, vector
from subriem.geometry.legs import FINEST, Leg, Run, integrated

if TYPE_CHECKING:
    from subriem.geometry.maps import MapStructure
    from subriem.geometry.singular import SingularPoint

#: Share of the covector below which a charge is roundoff.
NOISE = 1e-14
#: Root of the ratio of the tolerances of two runs that are compared, and the order of the method.
FINER, ORDER = 10.0, 8
#: Estimated error over the tolerance that is let pass.
MARGIN = 10.0


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
    error : float
        Of a geodesic with charge: estimated error of its end, relative to 1 + |theta|, 1 + |p|; NaN of others.

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
    error: float = np.nan

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
        """Drift of what is constant; of a geodesic with charge the estimated error too."""
        meaning = "of the output from its path, or of |u| where a charge bends it"
        drift = Check("drift", self.drift, 1e3 * self.tolerance, meaning)
        if np.isnan(self.error):
            return (drift,)
        bound = max(MARGIN * self.tolerance, MARGIN * FINEST)
        compared = "estimated by comparison with a looser tolerance, relative to the state"
        return Check("error", self.error, bound, compared), drift

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
    legs = [_straight(structure, float(i), float(i + 1), edge) for i, edge in enumerate(np.diff(vertices, axis=0))]
    run = integrated(structure, start, legs, rtol)
    aims = np.array([np.interp(run.t, np.arange(vertices.shape[0]), column) for column in vertices.T]).T
    return _path(structure, run, None, _off(structure, run.states, aims), rtol)


def _path(
    structure: MapStructure, run: Run, covector: Array | None, drift: float, rtol: float, error: float = np.nan
) -> HorizontalPath:
    theta = run.states[:, : structure.n]
    return HorizontalPath(structure, run.t, theta, covector, run.dense, run.status, run.message, drift, rtol, error)


def _straight(structure: MapStructure, start: float, end: float, velocity: Array) -> Leg:
    """Return the lift of a straight line of outputs."""

    def rates(_: float, theta: Array) -> Array:
        return structure.at(theta, certify=False).lift(velocity)[0]

    return Leg(start, end, rates, lambda _: velocity)


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


def wong(
    structure: MapStructure, theta: Any, u: Any, q: Any, time: Any, rtol: float, scale: Extremes | None = None
) -> HorizontalPath:
    """Follow a normal geodesic from p = D^T u + q; see `MapStructure.wong`.

    `scale` has the singular values of D that one near zero is compared with; those at the start unless given.
    """
    start = structure.at(theta)
    velocity, time = vector(u, "u", structure.k), real_array(time, "time", ndim=0).item()
    charge = start.vertical(structure.point(np.zeros(structure.n) if q is None else q, "q"))
    p = start.jacobian.vjp(velocity) + charge
    rtol = positive(rtol, "rtol")
    if np.linalg.norm(charge) <= NOISE * np.linalg.norm(p):
        return _uncharged(structure, start.theta, velocity, time, rtol, scale)
    second_derivatives(structure.map)
    legs = [_bent(structure, time)]
    run, error = _compared(structure, np.concatenate([start.theta, p]), legs, rtol, scale)
    whole = run.states if run.status is not Status.RANK_CHANGED else run.states[:-1]  # no lifts where it is lost
    speeds = [float(np.linalg.norm(legs[0].velocity(state))) for state in whole]
    drift = float(np.ptp(speeds)) / max(1.0, speeds[0])
    return _path(structure, run, run.states[:, structure.n :], drift, rtol, error)


def _bent(structure: MapStructure, time: float) -> Leg:
    """Return Hamilton's equations for (theta, p) of H = |u|^2 / 2, u = (D D^T)^-1 D p."""
    n = structure.n

    def rates(_: float, state: Array) -> Array:
        here = structure.at(state[:n], certify=False)
        controls, vertical = here.split(state[n:])
        moved, multiplier = here.lift(controls)
        return np.concatenate([moved, here.hessian(controls, moved) - here.hessian(multiplier, vertical)])

    def outputs(state: Array) -> Array:
        return structure.at(state[:n], certify=False).split(state[n:])[0]

    return Leg(0.0, time, rates, outputs)


def _compared(
    structure: MapStructure, start: Array, legs: list[Leg], rtol: float, scale: Extremes | None
) -> tuple[Run, float]:
    """Return a run with its estimated error, from runs of finer and finer tolerance: nothing says how errors grow."""
    tolerance, coarse = rtol / FINER, integrated(structure, start, legs, max(rtol * FINER, FINEST * FINER**2), scale)
    while True:
        fine = integrated(structure, start, legs, tolerance, scale)
        gain = (fine.steps / coarse.steps) ** ORDER - 1  # of the error; none if the first steps were not chosen by it
        error = max(fine.distance(coarse, structure.n) / max(gain, 1.0), EPS)
        if tolerance <= FINEST or (gain > 1.0 and error <= MARGIN * rtol):
            return fine, error
        tolerance, coarse = tolerance / FINER**2, fine


def _uncharged(
    structure: MapStructure, theta: Array, velocity: Array, time: float, rtol: float, scale: Extremes | None
) -> HorizontalPath:
    """Lift the straight line of outputs, p = D^T u: no charge grows from roundoff, as it may where p is integrated."""
    run = integrated(structure, theta, [_straight(structure, 0.0, time, velocity)], rtol, scale)
    covectors = np.array([structure.map.vjp(state, velocity) for state in run.states])
    drift = _off(structure, run.states, structure.map.value(theta) + np.outer(run.t, velocity))
    return _path(structure, run, covectors, drift, rtol)


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
