"""The Hamiltonian flow of normal geodesics, H(q, p) = |X(q)^T p|^2 / 2, with its derivative by the covector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import SolveError
from subriem.core.protocols import Array
from subriem.integration.batch import Batch
from subriem.integration.fixed import FixedSteps, Method
from subriem.integration.taylor import Taylor

#: Steps of the first, coarser run: with twice as many a geodesic as long as the radius of its turns has 12 digits.
START = 9
#: Steps of the two runs that are compared first, of many geodesics; what they may differ by for a law of the errors.
COARSE, FINE, SURE = 6, 18, 1e-4
#: Most steps of a geodesic.
MOST = 20_000
#: Margin on the number of steps, and its growth from one run to the next at most.
MARGIN, GROWTH = 1.2, 8.0
#: Errors of roundoff a step and unit of the state: below them more steps do not help.
ROUNDOFF = 1e-15


@dataclass(frozen=True, eq=False)
class Run:
    """A path of equal steps with an estimate of its error.

    Attributes
    ----------
    points : (count + 1, m) ndarray
        Up to the end, or the last one within the tolerance.
    steps : int
    error : float
        Estimated error of the last point relative to the size of the state, by comparison with fewer steps.
    complete : bool
        Whether it reaches the end within the tolerance.
    finite : bool
        Whether all steps were finite.
    """

    points: Array
    steps: int
    error: float
    complete: bool
    finite: bool = True


class NormalFlow:
    """q' = dH/dp, p' = -dH/dq in the state z = (q, p), or z = (q, p, d(q, p)/dp_0) with the variational equation.

    Parameters
    ----------
    frame : casadi.Function
        q -> X(q), shape (N, k).
    """

    def __init__(self, frame: ca.Function) -> None:
        self.frame, self.n = frame, frame.numel_in(0)
        self._steppers: dict[tuple[Method, bool], FixedSteps] = {}

    def __getstate__(self) -> ca.Function:
        return self.frame

    def __setstate__(self, frame: ca.Function) -> None:
        self.__init__(frame)

    @cached_property
    def _symbols(self) -> tuple[ca.SX, ca.SX, ca.SX]:
        """The state z = (q, p), the controls u = X^T p and the rates z'."""
        q, p = ca.SX.sym("q", self.n), ca.SX.sym("p", self.n)
        u = self.frame(q).T @ p
        energy = ca.dot(u, u) / 2
        return ca.vertcat(q, p), u, ca.cse(ca.vertcat(ca.gradient(energy, p), -ca.gradient(energy, q)))

    @cached_property
    def controls(self) -> BufferedFunction:
        """(q, p) -> u = X^T p, the coordinates of the velocity in the frame."""
        z, u, _ = self._symbols
        return BufferedFunction(ca.Function("controls", [z], [ca.densify(u)]))

    @cached_property
    def rates(self) -> ca.Function:
        """(q, p) -> (q', p')."""
        z, _, rates = self._symbols
        return ca.Function("rates", [z], [ca.densify(rates)])

    @cached_property
    def energies(self) -> Batch:
        """Rows (q, p) -> [H], H of shape (B, 1)."""
        z, u, _ = self._symbols
        return Batch(ca.Function("energy", [z], [ca.dot(u, u) / 2]))

    @cached_property
    def series(self) -> Taylor:
        """The flow by Taylor series, compiled by heyoka when it is first run."""
        t, none = ca.SX.sym("t"), ca.SX.sym("none", 0)
        z, _, rates = self._symbols
        return Taylor(ca.Function("rates", [t, z, none], [ca.densify(rates)]))

    @cached_property
    def linearized(self) -> ca.Function:
        """(q, p) -> the derivative of the rates, (2 N, 2 N)."""
        z, _, rates = self._symbols
        return ca.Function("linearized", [z], [ca.densify(ca.cse(ca.jacobian(rates, z)))])

    @cached_property
    def variational(self) -> ca.Function:
        """(q, p, Z) -> their rates, Z = d(q, p)/dp_0 of shape (2 N, N), column by column."""
        z, _, rates = self._symbols
        columns = ca.SX.sym("Z", 2 * self.n, self.n)
        moved = ca.jtimes(rates, z, columns)
        state = ca.vertcat(z, ca.vec(columns))
        return ca.Function("variational", [state], [ca.densify(ca.cse(ca.vertcat(rates, ca.vec(moved))))])

    @cached_property
    def variational_rates(self) -> BufferedFunction:
        """The function `variational` on buffers."""
        return BufferedFunction(self.variational)

    def stepper(self, method: Method, varied: bool = False) -> FixedSteps:
        """Return equal steps of a method for the flow, or for the flow with its derivative."""
        if (method, varied) not in self._steppers:
            self._steppers[method, varied] = FixedSteps(self.variational if varied else self.rates, method)
        return self._steppers[method, varied]

    def start(self, q: Array, p: Array, varied: bool = False) -> Array:
        """Return the state at the start, with Z = d(q, p)/dp_0 = (0, 1) if it is varied."""
        z = np.concatenate([q, p])
        return np.concatenate([z, np.eye(self.n, 2 * self.n, self.n).ravel()]) if varied else z

    def run(self, z: Array, time: float, tolerance: float, method: Method = "dop853", count: int = START) -> Run:
        """Return the path over a time within a tolerance, from runs of more and more steps.

        Parameters
        ----------
        z : (m,) ndarray
            From `start`.
        time : float
            Negative to go back.
        tolerance : float
            Error of the end relative to the sizes of q, p and Z.
        """
        steps = self.stepper(method, z.size > 2 * self.n)
        coarse, points = steps.path(z, time, count), steps.path(z, time, 2 * count)
        ratio = 2.0
        while True:
            made = points.shape[0] - 1
            error = float(self._differences(points[-1:], coarse[-1:])[0]) / (ratio**steps.order - 1)
            if error <= max(tolerance, ROUNDOFF * np.sqrt(made)):
                return Run(points, made, max(error, ROUNDOFF), True)
            if made >= MOST:
                half = steps.path(z, time, made // 2)
                errors = self._differences(points[::2], half) / (2.0**steps.order - 1)
                last = int(np.argmax(errors > tolerance)) - 1  # the first is 0, the one of the end is not within
                finite = bool(np.isfinite(points).all())
                return Run(points[: 2 * last + 1], made, max(float(errors[last]), ROUNDOFF), False, finite)
            count = more_steps(made, error, tolerance, steps.order)
            ratio, coarse, points = count / made, points, steps.path(z, time, count)

    def _differences(self, points: Array, others: Array) -> Array:
        """Return the largest differences of the rows of two arrays relative to the sizes of their parts q, p or Z."""
        parts = (slice(0, self.n), slice(self.n, 2 * self.n), slice(2 * self.n, None))
        changes = [relative_changes(points[:, p], others[:, p]) for p in parts if points[:, p].size]
        worst = np.max(changes, axis=0)
        return np.where(np.isfinite(worst), worst, np.inf)


def exponentials(flow: NormalFlow, q: Array, p: Array, time: float, tolerance: float) -> Array:
    """Return the ends of many geodesics (B, N) from the rows of q and p; those not yet exact enough take more steps.

    Raises
    ------
    SolveError
        If one does not converge within the most steps; `.solution` holds the ends found, NaN among them.
    """
    z, steps = np.concatenate([q, p], axis=1), flow.stepper("dop853")
    count, ratio = FINE, FINE / COARSE
    coarse, ends = steps.ends(z, time, COARSE, count)[..., : flow.n]
    bound = max(tolerance, ROUNDOFF * sqrt(count))
    with np.errstate(invalid="ignore", over="ignore"):
        if np.abs(ends - coarse).max() <= min(bound * (ratio**steps.order - 1), SURE):  # all at once, as a rule
            return ends
    rows, finer = np.arange(len(z)), ends
    while True:
        changes = relative_changes(finer, coarse)
        errors = np.where(changes <= SURE, changes / (ratio**steps.order - 1), changes)
        exact = errors <= max(tolerance, ROUNDOFF * sqrt(count))  # NaN is not
        if exact.all():
            return ends
        left = ~exact
        rows, errors = rows[left], np.where(np.isfinite(errors), errors, np.inf)[left]
        worst = int(np.argmax(errors))
        if count >= MOST:
            raise SolveError(
                "a geodesic could not be followed to its end",
                f"number {rows[worst]}: estimated error {errors[worst]:.1e} with {count} steps",
                f"an error of at most {tolerance:g}",
                "a shorter time, or shoot(…, throw=False) to see where it ends",
                ends,
            )
        more = more_steps(count, float(errors[worst]), tolerance, steps.order)
        ratio, count, coarse = more / count, more, ends[rows]
        finer = steps.ends(z[rows], time, more)[:, : flow.n]
        ends[rows] = finer


def more_steps(count: int, error: float, tolerance: float, order: int) -> int:
    """Return how many steps a method of an order needs for a tolerance, if so many have this error, infinite or not."""
    return min(int(np.ceil(count * np.clip(MARGIN * (error / tolerance) ** (1 / order), MARGIN, GROWTH))), MOST)


def relative_changes(ends: Array, others: Array) -> Array:
    """Return the largest differences of the rows of two arrays relative to 1 + |q|; NaN or infinite where they are."""
    with np.errstate(invalid="ignore", over="ignore"):  # a run with too few steps may overflow
        return np.abs(ends - others).max(axis=1) / (1.0 + np.abs(ends).max(axis=1))
