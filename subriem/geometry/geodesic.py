"""`Geodesic`: a normal geodesic with dense output, its derivative by the covector, and its conjugate times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from subriem.core.errors import ProblemError, SolveError
from subriem.core.protocols import Array
from subriem.core.result import Check, Result
from subriem.core.status import Status
from subriem.core.validate import real_array
from subriem.geometry.normal import NormalFlow
from subriem.integration.fixed import Method

if TYPE_CHECKING:
    from subriem.geometry.conjugate import ConjugateTimes
    from subriem.geometry.singular import SingularPoint
    from subriem.geometry.subriemannian import SubRiemannian

#: Tolerance of the derivative by the covector: its rank is looked at.
DERIVATIVE = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Geodesic(Result):
    """A normal geodesic q(t) with its covector p(t), 0 <= t <= time: q' = X u, u = X^T p, |u| constant.

    Made by `SubRiemannian.shoot`. Called at times, it gives points: each by one step of the method from the node
    before, so that it is as exact there as at the nodes.

    Attributes
    ----------
    structure : SubRiemannian
    t : (m,) ndarray
    q, p : (m, N) ndarray
    method : {"dop853", "gauss"}
    tolerance : float
        The one asked for.
    error : float
        Estimated error at the end relative to 1 + |q|, 1 + |p|.
    status : Status
        RANK_CHANGED where the map it belongs to loses rank ahead.
    message : str
    fold : SingularPoint or None
        Where that is: beyond the end, up to which it is exact.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> circle = heisenberg.shoot([0, 0, 0], [1, 0, 1], 2 * np.pi)
    >>> round(float(circle.end[2]), 10), round(circle.length, 10), circle.conjugate_times().times.round(8)
    (3.1415926536, 6.2831853072, array([6.28318531]))
    """

    structure: SubRiemannian
    t: Array
    q: Array
    p: Array
    method: Method
    tolerance: float
    error: float
    status: Status = Status.SUCCESS
    message: str = ""
    fold: SingularPoint | None = None

    def checked(self) -> Geodesic:
        """Return it if it reaches its end or a loss of rank.

        Raises
        ------
        SolveError
            If not; `.solution` is its part.
        """
        if self.status.failed:
            raise SolveError(
                f"the geodesic of {self.structure.name} could not be followed",
                f"{self.status.value}; exact up to t = {self.time:.6g}",
                f"an error of at most {self.tolerance:g} at the time asked for",
                "a shorter time, a larger rtol, or throw=False to look at its part",
                self,
            )
        return self

    @property
    def flow(self) -> NormalFlow:
        """The Hamiltonian flow it belongs to."""
        return self.structure.normal

    @property
    def time(self) -> float:
        """The last t."""
        return float(self.t[-1])

    @property
    def end(self) -> Array:
        """The last point, shape (N,)."""
        return self.q[-1]

    @property
    def grid(self) -> Array:
        """The nodes, as `Path` calls them."""
        return self.t

    @property
    def y(self) -> Array:
        """The points at the nodes, as `Path` calls them."""
        return self.q

    @cached_property
    def speed(self) -> float:
        """|u| = sqrt(2 H), the same all along."""
        return float(np.linalg.norm(self.flow.controls(np.concatenate([self.q[0], self.p[0]]))))

    @property
    def length(self) -> float:
        """The length, |u| times the time."""
        return self.speed * abs(self.time)

    @property
    def energy(self) -> float:
        """The integral of |u|^2 / 2."""
        return self.speed**2 * abs(self.time) / 2

    @cached_property
    def hamiltonian_drift(self) -> float:
        """The largest change of H along the nodes, relative to H, or to 1 where H is less."""
        values = [float(u @ u) / 2 for u in map(self.controls_at, range(self.t.size))]
        return float(np.ptp(values) / max(1.0, values[0]))

    def controls_at(self, node: int) -> Array:
        """Return u = X^T p at a node, shape (k,)."""
        return self.flow.controls(np.concatenate([self.q[node], self.p[node]]))

    def __call__(self, t: Any) -> Array:
        """Return the point at a time, shape (N,), or at many, (len(t), N).

        Raises
        ------
        ProblemError
            If a time is outside of [0, time].
        """
        return self.state(t)[..., : self.structure.n]

    def covector(self, t: Any) -> Array:
        """Return p at a time or at many; see `__call__`."""
        return self.state(t)[..., self.structure.n :]

    def state(self, t: Any) -> Array:
        """Return (q, p) at a time or at many; see `__call__`."""
        times = np.atleast_1d(real_array(t, "t"))
        left, rest = located(self.t, times)
        z = np.hstack([self.q, self.p])[left]
        found = self.flow.stepper(self.method).advance(z, rest)
        return found if np.ndim(t) else found[0]

    @cached_property
    def _varied(self) -> Array:
        """(q, p, Z) at the nodes of a run that resolves the derivative too, to the finer of the tolerance and 1e-12.

        Raises
        ------
        SolveError
            If the derivative does not converge.
        """
        start = self.flow.start(self.q[0], self.p[0], varied=True)
        count = max((self.t.size - 1) // 2, 1)
        finest = min(self.tolerance, DERIVATIVE) if self.method == "dop853" else self.tolerance
        run = self.flow.run(start, self.time, finest, self.method, count)
        if not run.complete and finest < self.tolerance:
            run = self.flow.run(start, self.time, self.tolerance, self.method, count)
        if run.complete:
            return run.points
        raise SolveError(
            f"the derivative of the geodesic of {self.structure.name} could not be followed",
            f"estimated error {run.error:.1e} with {run.steps} steps",
            f"at most {self.tolerance:g}",
            "a shorter time, or a larger rtol",
            self,
        )

    def jacobian(self, t: float | None = None) -> Array:
        """Return the derivative of the exponential map, dq(t)/dp(0), shape (N, N), at the end unless t is given.

        Raises
        ------
        ProblemError
            If t is outside of [0, time].
        """
        return self.derivatives(np.atleast_1d(self.time if t is None else real_array(t, "t", ndim=0)))[0][0]

    def derivatives(self, times: Array) -> tuple[Array, Array]:
        """Return dq(t)/dp(0) at many times and its rate of change, both (len(times), N, N)."""
        z = self._varied_at(times)
        rates = np.array([self.flow.variational_rates(state) for state in z])
        return self._unpacked(z)[0], self._unpacked(rates)[0]

    def variations(self, times: Array) -> tuple[Array, Array]:
        """Return dq(t)/dp(0) and dp(t)/dp(0) at many times, both (len(times), N, N)."""
        return self._unpacked(self._varied_at(times))

    def _varied_at(self, times: Array) -> Array:
        """Return rows (q, p, Z) at many times, each by one step from the node before."""
        left, rest = located(np.linspace(0.0, self.time, self._varied.shape[0]), times)
        return self.flow.stepper(self.method, varied=True).advance(self._varied[left], rest)

    def _unpacked(self, states: Array) -> tuple[Array, Array]:
        """Return the upper and the lower half of Z of many rows (q, p, Z)."""
        n = self.structure.n
        z = states[:, 2 * n :].reshape((-1, n, 2 * n)).transpose(0, 2, 1)
        return z[:, :n], z[:, n:]

    def jacobi_field(self, change: Any, t: Any) -> Array:
        """Return the Jacobi field J(t) = dq(t)/dp(0) change of a change of the covector, shape (len(t), N)."""
        change = self.structure.point(change, "change")
        return np.array([self.jacobian(float(time)) @ change for time in np.atleast_1d(real_array(t, "t"))])

    def conjugate_times(self) -> ConjugateTimes:
        """Return the times in (0, time] at which the exponential map is not a local diffeomorphism.

        Returns
        -------
        ConjugateTimes
        """
        from subriem.geometry.conjugate import conjugate_times

        return conjugate_times(self)

    def singular_points(self) -> tuple[SingularPoint, ...]:
        """Return the points at which the growth vector is not that of the path around; see `singular_points`.

        The last is the loss of rank of a map that ends the geodesic, if one does.
        """
        from subriem.geometry.singular import singular_points

        return singular_points(self.structure, self) + (() if self.fold is None else (self.fold,))

    @property
    def checks(self) -> tuple[Check, ...]:
        """Estimated error, drift of H."""
        bound = max(10 * self.tolerance, 1e-13)
        return (
            Check("error", self.error, bound, "estimated by comparison with fewer steps, relative to the state"),
            Check("drift of H", self.hamiltonian_drift, max(100 * self.tolerance, 1e-12), "H is constant along it"),
            Check("length", self.length, None, "|u| times the time"),
        )

    def headline(self) -> str:
        """Return one line that says what this is."""
        end = ", ".join(f"{name} = {x:.6g}" for name, x in zip(self.structure.coordinates, self.end, strict=True))
        how = f"; {self.message}" if self.message else ""
        return f"normal geodesic of {self.structure.name}, time {self.time:.6g}: to {end}{how}"


def located(nodes: Array, times: Array) -> tuple[np.ndarray, Array]:
    """Return the node before each time, and how far behind it the time is.

    Raises
    ------
    ProblemError
        If a time lies outside.
    """
    forward = 1.0 if nodes[-1] >= nodes[0] else -1.0
    slack = 1e-12 * abs(nodes[-1] - nodes[0])
    outside = (forward * (times - nodes[0]) < -slack) | (forward * (times - nodes[-1]) > slack)
    if outside.any():
        raise ProblemError(
            "a time lies outside of the geodesic",
            f"t = {times[outside][0]:.6g}",
            f"{nodes[0]:.6g} … {nodes[-1]:.6g}",
            "shoot longer",
        )
    left = np.clip(np.searchsorted(forward * nodes, forward * times, side="right") - 1, 0, nodes.size - 1)
    return left, times - nodes[left]
