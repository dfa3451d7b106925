"""What the theory predicts of a flow, and what a path shows of it: small functions to compare the two.

A number that a run has by construction proves nothing: on a projected run the output line, and with it rate,
straightness and stopping time, is enforced. Take an unprojected run in the s-clock to test them; horizontality and the
log identity are enforced nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.factor import SVDFactor
from subriem.core.jacobian import MapJacobian
from subriem.core.protocols import Array, Cost, Map
from subriem.core.rank import DEFAULT_RANK, EPS, RankPolicy
from subriem.core.result import Check
from subriem.core.validate import positive, real_array, vector
from subriem.flows.field import to_s
from subriem.flows.flow import Flow
from subriem.flows.flowsolution import FlowSolution

#: Output distances below this share of the chord are left out of a fit: there they hold roundoff.
FIT_FLOOR = 1e-10
#: `rtol` of an unprojected run from which on its rate and straightness are given a verdict.
SHARP = 1e-10
#: Largest explicit D, in bytes, of which `summary` takes singular value decompositions.
SUMMARY_BYTES = 2**27
#: Points of a path at which `summary` looks at horizontality.
SUMMARY_POINTS = 5


@dataclass(frozen=True)
class Fit:
    """A straight line through log(values) against s; made by `fitted_rate`.

    Attributes
    ----------
    slope : float
        d log(value)/ds, per unit of s; negative for a decay.
    error : float
        Standard error of the slope, from the scatter about the line.
    points : int
    """

    slope: float
    error: float
    points: int

    @property
    def rate(self) -> float:
        """-slope: the exponential rate of a decay."""
        return -self.slope


def fitted_rate(s: Any, values: Any) -> Fit:
    """Fit an exponential to values along s by least squares on their logarithms, all weights equal.

    Parameters
    ----------
    s : (m,) array_like
        Times, m >= 3, not all equal.
    values : (m,) array_like
        Positive numbers, in any unit.

    Returns
    -------
    Fit

    Raises
    ------
    ProblemError
        If there are fewer than three points, the lengths differ, a value is not positive and finite, or all s agree.

    Examples
    --------
    >>> s = np.linspace(0, 4, 9)
    >>> fit = fitted_rate(s, 5 * np.exp(-0.25 * s))
    >>> round(fit.rate, 12), fit.points
    (0.25, 9)
    """
    s = real_array(s, "s", ndim=1)
    values = vector(values, "values", s.size)
    if s.size < 3:
        raise ProblemError("a rate cannot be fitted", f"{s.size} points", "three or more", "a longer run, or t_eval")
    if not (values > 0).all():
        bad = int(np.argmin(values))
        raise ProblemError(
            "a rate cannot be fitted to values that are not positive",
            f"values[{bad}] = {values[bad]}",
            "positive numbers",
            "subtract no more than the floor of the cost, and leave out the points at roundoff",
        )
    offsets = s - s.mean()
    spread = float(offsets @ offsets)
    if spread <= (8 * EPS * float(np.abs(s).max())) ** 2 * s.size:
        raise ProblemError("a rate cannot be fitted", f"all s equal {s[0]}", "different times", "a longer run")
    logs = np.log(values)
    slope = float(offsets @ logs) / spread
    rest = logs - logs.mean() - slope * offsets
    return Fit(slope, float(np.sqrt(rest @ rest / (s.size - 2) / spread)), s.size)


def predicted_rate(cost: Cost) -> float:
    """Return the rate of |x - y| under the adapted flow where rank D = n: 2 kappa for C = kappa |x - y|^2.

    Parameters
    ----------
    cost : Cost

    Returns
    -------
    float
        1/N for the default factor 1/(2N), per unit of s; the rate of C is twice that.

    Raises
    ------
    ProblemError
        If the cost is no multiple of |x - y|^2: then there is no one rate.

    References
    ----------
    T. Chen, arXiv:2311.15487.

    Examples
    --------
    >>> from subriem.flows.cost import squared_error
    >>> predicted_rate(squared_error([[1.0], [2.0], [3.0], [4.0]]))
    0.25
    """
    if cost.rate is None:
        raise ProblemError(
            "this cost has no single exponential rate", type(cost).__name__, "C = kappa |x - y|^2", "equal weights"
        )
    return cost.rate


def straightness(x: Any, start: Any, end: Any) -> float:
    """Return the largest distance of output points from the line through start and end, relative to their distance.

    Parameters
    ----------
    x : (m, n) array_like
        Points of an output path.
    start, end : (n,) array_like
        Where the line begins, and where the theory says it leads (y, not the last point).

    Returns
    -------
    float
        0 for a straight path.

    Raises
    ------
    ProblemError
        If shapes differ, or start and end agree.

    Examples
    --------
    >>> straightness([[0, 0], [1, 0.5], [2, 0]], [0, 0], [2, 0])
    0.25
    """
    x = real_array(x, "x", ndim=2)
    start, end = vector(start, "start", x.shape[1]), vector(end, "end", x.shape[1])
    chord = float(np.linalg.norm(end - start))
    if chord == 0.0:
        raise ProblemError("two equal points define no line", "start = end", "different points", "the target as end")
    along = (end - start) / chord
    offsets = x - start
    return float(np.linalg.norm(offsets - np.outer(offsets @ along, along), axis=1).max()) / chord


def polyline_length(x: Any) -> float:
    """Return the length of the polyline through the rows of x, in the units of x.

    Parameters
    ----------
    x : (m, n) array_like

    Returns
    -------
    float
        A lower bound of the length of any curve through the points, and of the h-length of a horizontal lift.

    Raises
    ------
    ProblemError
        If x is not a finite real (m, n) array.

    Examples
    --------
    >>> polyline_length([[0, 0], [3, 4], [3, 5]])
    6.0
    """
    return float(np.linalg.norm(np.diff(real_array(x, "x", ndim=2), axis=0), axis=1).sum())


def horizontality(source: Map, thetas: Any, tangents: Any, rank: RankPolicy = DEFAULT_RANK) -> Array:
    """Return the share |(1 - P) v|/|v| of tangents that lies in ker D, P = D^+ D from a singular value decomposition.

    Parameters
    ----------
    source : Map
        theta (K,) -> x (n,).
    thetas, tangents : (m, K) or (K,) array_like
        Points of a path and the tangents v there, for any parametrization of the path.
    rank : RankPolicy
        Decides which singular values are zero.

    Returns
    -------
    (m,) ndarray
        0 for a horizontal curve, 1 for one that moves no output; 0 where v = 0. The roundoff is about eps cond D.

    Raises
    ------
    ProblemError
        If the arrays do not fit together or the map.

    Notes
    -----
    What singles out the adapted flow among all motions with the same output is that it is horizontal (derived, see
    docs). The decomposition is made here, whatever backend the flow used.

    Examples
    --------
    >>> from subriem.core.map import numpy_map
    >>> total = numpy_map(lambda q: q.sum(keepdims=True), lambda q: np.ones((1, 2)), 2, 1)
    >>> np.round(horizontality(total, [[0, 0], [0, 0]], [[1, 1], [2, 0]]), 12) + 0.0
    array([0.        , 0.70710678])
    """
    points = real_array(np.atleast_2d(thetas), "thetas", ndim=2)
    tangents = real_array(np.atleast_2d(tangents), "tangents", ndim=2)
    if points.shape != tangents.shape or points.shape[1] != source.n_in:
        raise ProblemError(
            "points and tangents do not fit together",
            f"shapes {points.shape} and {tangents.shape}, K = {source.n_in}",
            "(m, K) each",
            "one tangent for each point",
        )
    return np.array([_kernel_share(source, *pair, rank) for pair in zip(points, tangents, strict=True)])


def _kernel_share(source: Map, theta: Array, v: Array, rank: RankPolicy) -> float:
    size = float(np.linalg.norm(v))
    if size == 0.0:
        return 0.0
    factor = SVDFactor(MapJacobian(source, theta), rank)
    if factor.decision is not None:
        rank.report(factor.decision, "in horizontality")
    horizontal = factor.solve(factor.jacobian.jvp(v))[0]
    return float(np.linalg.norm(v - horizontal)) / size


def log_identity(sol: FlowSolution) -> Array:
    """Return the defect of ln C(s)/C0 = -2 rate * integral of cos^2 phi ds along a path in the s-clock.

    Parameters
    ----------
    sol : FlowSolution
        Of an adapted flow, damped or not, of C = kappa |x - y|^2 with rate = 2 kappa.

    Returns
    -------
    (n_t,) ndarray
        The left side minus the right side at each point: the error of integrator and quadrature.

    Raises
    ------
    ProblemError
        If the solution has no alignment channel (t-clock, standard flow, or resampled), or the cost has no rate, or
        is 0 at a point.

    Notes
    -----
    cos^2 phi = |F^{1/2}(x - y)|^2/|x - y|^2 with F = D D^+, or D D^T (D D^T + mu)^{-1} under a damping mu; so
    C >= C0 exp(-2 rate s) in every regime (derived, see docs).

    Examples
    --------
    >>> from subriem.core.map import numpy_map
    >>> from subriem.flows.cost import squared_error
    >>> from subriem.flows.flow import adapted
    >>> from subriem.flows.follow import follow
    >>> from subriem.flows.run import Until
    >>> curve = numpy_map(lambda q: np.array([q[0], q[0] ** 2]), lambda q: np.array([[1.0], [2 * q[0]]]), 1, 2)
    >>> sol = follow(adapted(curve, squared_error([[0.0, -1.0]])), [1.0], until=Until(s=2.0), rtol=1e-8)
    >>> bool(np.abs(log_identity(sol)).max() < 1e-6)
    True
    """
    alignment, cost = sol["alignment"], sol["cost"]
    if sol.rate is None or not (cost > 0).all():
        raise ProblemError(
            "the log identity does not apply",
            f"rate {sol.rate}, least cost {cost.min():.3g}",
            "a cost kappa |x - y|^2 that stays positive",
            "equal weights, and a run that ends before the cost is 0",
        )
    return np.log(cost / sol.cost0) + 2 * sol.rate * alignment


def crossing_time(sol: FlowSolution, flow: Flow, eps: float) -> float:
    """Return the first s at which |x - y| falls to eps on the dense output, to compare with `Flow.stopping_time`.

    Parameters
    ----------
    sol : FlowSolution
        In either clock.
    flow : Flow
        The flow that made it, with a cost kappa |x - y|^2.
    eps : float
        In output units.

    Returns
    -------
    float
        In the t-clock s = -ln(1 - t)/rate, whose relative error grows like 1/(1 - t).

    Raises
    ------
    ProblemError
        If eps is not positive, the cost has no rate, or |x - y| does not fall through eps on the path.

    Examples
    --------
    >>> from subriem.core.map import numpy_map
    >>> from subriem.flows.cost import squared_error
    >>> from subriem.flows.flow import adapted
    >>> from subriem.flows.follow import follow
    >>> flow = adapted(numpy_map(np.sinh, lambda q: np.diag(np.cosh(q)), 1, 1), squared_error([0.0]))
    >>> crossing = crossing_time(follow(flow, [1.0], rtol=1e-10), flow, 1e-3)
    >>> bool(abs(crossing - flow.stopping_time([1.0], 1e-3)) < 1e-6)
    True
    """
    eps = positive(eps, "eps")
    rate = predicted_rate(flow.cost)

    def distance(x: Array) -> float:
        return float(np.linalg.norm(flow.cost.gradient(x))) / rate

    def excess(clock: float) -> float:
        return float(np.log(max(distance(flow.map.value(sol(clock))), 1e-300) / eps))

    above = np.array([distance(x) > eps for x in sol["x"]])
    falls = np.flatnonzero(above[:-1] & ~above[1:])
    if falls.size == 0:
        raise ProblemError(
            "|x - y| does not fall to eps on this path",
            f"{distance(sol['x'][0]):.6g} … {distance(sol['x'][-1]):.6g}",
            f"a fall through {eps:g}",
            "a longer run, or another eps",
        )
    from scipy.optimize import brentq  # loaded only by those who look for a root

    before, after = (float(value) for value in sol.grid[falls[0] : falls[0] + 2])
    if excess(before) <= 0.0 or excess(after) >= 0.0:  # eps is reached at an accepted point, up to roundoff
        clock = before if excess(before) <= 0.0 else after
    else:
        clock = float(brentq(excess, before, after, xtol=4 * EPS * after, rtol=4 * EPS))
    return float(to_s(clock, rate)) if sol.clock == "t" else clock


def summary(sol: FlowSolution, flow: Flow | None = None) -> tuple[Check, ...]:
    """Compare a path with what the theory says of it, as far as the theory applies.

    Parameters
    ----------
    sol : FlowSolution
    flow : Flow, optional
        The flow that made it; without it only what the solution itself holds is looked at.

    Returns
    -------
    tuple of Check
        Fitted over predicted rate and straightness where there is an output line; the log identity in the s-clock;
        with `flow` the stopping time, and horizontality at a few points unless D is too large for singular value
        decompositions. Checks that a projected run meets by construction say so; an unprojected one gets a verdict on
        them from rtol = 1e-10 on.

    Examples
    --------
    >>> from subriem.core.map import numpy_map
    >>> from subriem.flows.cost import squared_error
    >>> from subriem.flows.flow import adapted
    >>> from subriem.flows.follow import follow
    >>> flow = adapted(numpy_map(np.sinh, lambda q: np.diag(np.cosh(q)), 1, 1), squared_error([0.0]))
    >>> checks = summary(follow(flow, [1.0], rtol=1e-10, project=False), flow)
    >>> [check.name for check in checks if check.passed]
    ['rate', 'straightness', 'stopping time', 'horizontality']
    """
    found = _line_checks(sol, flow)
    if "alignment" in sol.channels and sol.rate is not None and (sol["cost"] > 0).all():
        defect = float(np.abs(log_identity(sol)).max())
        found.append(Check("log identity", defect, None, "defect of ln C/C0 = -2 rate ∫ cos^2 phi ds"))
    if flow is not None and 8.0 * flow.map.n_in * flow.map.n_out <= SUMMARY_BYTES and "velocity" in sol.channels:
        found.extend(_horizontality_checks(sol, flow))
    return tuple(found)


def _line_checks(sol: FlowSolution, flow: Flow | None) -> list[Check]:
    """Return rate, straightness and stopping time where there is an output line."""
    line = sol.line
    if line is None or line.chord == 0.0:
        return []
    projected = bool(sol.stats.get("projected"))
    sharp = projected or sol.stats.get("rtol", 1.0) <= SHARP
    remark = " (by construction: projected)" if projected else ""
    found = []
    rest = np.linalg.norm(sol["x"] - line.end, axis=1)
    seen = np.isfinite(sol.s) & (rest > FIT_FLOOR * line.chord)
    if np.count_nonzero(seen) >= 3:
        off = abs(fitted_rate(sol.s[seen], rest[seen]).rate / line.rate - 1)
        meaning = "fitted over predicted rate of |x - end|, minus 1" + remark
        found.append(Check("rate", off, 1e-6 if sharp else None, meaning))
    meaning = "largest distance of the output from its line, per chord" + remark
    found.append(Check("straightness", straightness(sol["x"], line.start, line.end), 1e-8 if sharp else None, meaning))
    if flow is not None and not sol.conflicts and np.count_nonzero(seen) >= 3:
        eps = float(np.sqrt(rest[0] * rest[seen][-1]))
        measured, told = crossing_time(sol, flow, eps), flow.stopping_time(sol.y[0], eps)
        meaning = f"s at which |x - y| = {eps:.2g} over the time told beforehand, minus 1" + remark
        found.append(Check("stopping time", abs(measured / told - 1), 1e-6 if sharp else None, meaning))
    return found


def _horizontality_checks(sol: FlowSolution, flow: Flow) -> list[Check]:
    """Return the horizontality of the field at a few points of the path."""
    # a closing iteration moves the last point but not the velocity that belongs to it
    count = sol.y.shape[0] - (1 if "closing_steps" in sol.stats else 0)
    if count < 1:
        return []
    chosen = np.unique(np.linspace(0, count - 1, SUMMARY_POINTS).round().astype(int))
    rank = RankPolicy(on_ambiguous="ignore")
    defect = float(horizontality(flow.map, sol.y[chosen], sol["velocity"][chosen], rank).max())
    conds = sol["sigma_max"][chosen] / sol["sigma_min"][chosen]  # nan for the standard flow
    bound = 10 * EPS * float(conds.max()) if np.isfinite(conds).all() else None
    return [Check("horizontality", defect, bound, "share of the velocity in ker D, at a few points; 0 for a lift")]
