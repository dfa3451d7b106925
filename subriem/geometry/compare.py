"""`compare`: a path of anybody's optimiser beside the geodesic of the structure it moves in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError, RankError
from subriem.core.jacobian import ArrayJacobian, MapJacobian
from subriem.core.lift import factorize, lift
from subriem.core.protocols import Array
from subriem.core.rank import EPS, RankPolicy
from subriem.core.result import Check, Result, checks_text
from subriem.core.status import Status
from subriem.geometry.curve import (
    POINTS,
    Curve,
    frechet,
    hausdorff,
    lobatto,
    polyline_distances,
    resampled,
    sampled,
)
from subriem.geometry.maps import MapStructure
from subriem.geometry.subriemannian import SubRiemannian

#: Points at equal shares of length at which two curves are compared.
COUNT = 201
#: Outputs up to which curvature and charge are looked at: there are n (n - 1) / 2 brackets.
FEW = 12
#: Roundoffs of a point below which a step has no direction: its horizontality is known to 1 / STEP then.
STEP = 1e7
#: Last part before a loss of rank, as a share of the path, that is left out: velocities are too large to be exact.
SHORT = 1e-6
#: Halvings of an interval to the place where D loses rank.
BISECTIONS = 40
#: Forces u_j [X_j, X_i] are dependent always: they do no work.
QUIET = RankPolicy(rtol=1e-9, on_ambiguous="ignore")


@dataclass(frozen=True, eq=False)
class Measures:
    """A curve measured in a structure; NaN where a quantity has no meaning.

    Attributes
    ----------
    h_length, h_length_error : float
        Integral of |theta'|_h of the horizontal part of the velocity, for a map the length of the output curve, and an
        estimate of its error. The sub-Riemannian length is that, or infinite where there is a `defect`.
    energy : float
        Integral of |theta'|_h^2 / 2, run through in unit time.
    euclidean_length : float
    chord : float
        Distance of the outputs of the ends: the distance of the start to the fibre of the end.
    tortuosity : float
        h_length / chord, at least 1; 1 for the geodesic to the fibre.
    uniformity : float
        h_length^2 / (2 energy), at most 1; 1 for constant speed.
    deviation : float
        Largest distance of the outputs from the chord.
    defect, mean_defect : float
        Largest and root mean square |(1 - P) theta'| / |theta'|; for iterates along their steps.
    step_defect : float
        For iterates: largest |(1 - P) step| / |step| with P where the step starts.
    sigma_min, cond : float
        Smallest singular value of D, or X, along the curve, largest condition number.
    conserved_drift : float
        Largest change of what horizontal curves keep, as far as the map knows it.
    curvature : float
        Largest |[X_i, X_j]| at the start, the middle and the end.
    charge : float
        Largest |q|, at these points, of the least q in ker D whose force q.[X_j, X_i] u_j is the bending u_i' of the
        outputs run through at unit speed: 0 for straight outputs.
    """

    h_length: float
    h_length_error: float
    energy: float
    euclidean_length: float
    chord: float
    tortuosity: float
    uniformity: float
    deviation: float
    defect: float
    mean_defect: float
    step_defect: float
    sigma_min: float
    cond: float
    conserved_drift: float
    curvature: float
    charge: float


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """A path beside a reference.

    Attributes
    ----------
    path, reference : Measures
        The reference is the horizontal lift of the straight output line unless one was given; None if there is none.
    length_ratio : float
        Of the h-lengths.
    end_gap, output_gap : float
        Distance of the ends in theta, and of their outputs.
    frechet, hausdorff : float
        Distances of the curves in theta, at 201 points of equal shares of h-length.
    output_frechet, output_hausdorff : float
        The same of the output curves.
    angle : float
        Largest angle of the velocities in h, in radians, at equal shares of h-length.
    spacing : float
        Distance of the points compared, in theta: the resolution of the Frechet distance.
    growth : tuple of int
        Growth vector at the start, () where it was not asked for.
    status : Status
        RANK_CHANGED where D loses rank on the path or on the reference: what is measured ends just before.
    message : str
        On which, and where.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> M = sr.SubRiemannian.from_map(sr.map(lambda q: [q[0], q[1] + q[0] * q[2]], 3))
    >>> iterates = np.array([[0, 0, 0], [0.5, 0.2, 0.1], [1.0, 0.5, 0.1]])
    >>> found = sr.compare(iterates, None, M)
    >>> bool(found.path.tortuosity > 1), bool(found.path.defect > 0), round(found.reference.tortuosity, 9)
    (True, True, 1.0)
    """

    path: Measures
    reference: Measures | None
    length_ratio: float
    end_gap: float
    output_gap: float
    frechet: float
    hausdorff: float
    output_frechet: float
    output_hausdorff: float
    angle: float
    spacing: float
    growth: tuple[int, ...]
    status: Status = Status.SUCCESS
    message: str = ""

    @property
    def checks(self) -> tuple[Check, ...]:
        """The measures of the path, and its distances from the reference."""
        found = [Check(name, getattr(self.path, name), None, meaning) for name, meaning in _MEANINGS.items()]
        if self.reference is not None:
            found += [Check(name, getattr(self, name), None, meaning) for name, meaning in _RELATIONS.items()]
        return tuple(check for check in found if not np.isnan(check.value))

    def headline(self) -> str:
        """Return one line: length over the distance to the fibre, horizontality."""
        ratio = self.path.tortuosity
        length = f"{ratio:.6g} times the distance to its fibre" if np.isfinite(ratio) else f"{self.path.h_length:.6g}"
        ends = f"; {self.message}" if self.message else ""
        return f"h-length {length}, horizontality defect {self.path.defect:.1e}{ends}"

    def __str__(self) -> str:
        growth = f"growth vector {self.growth}\n" if self.growth else ""
        return f"{self.headline()}\n{growth}{checks_text(self.checks)}"


_MEANINGS = {
    "h_length": "length in the metric h of the structure",
    "h_length_error": "estimated error of it",
    "energy": "half the square of the h-speed, over unit time",
    "euclidean_length": "length in the parameters",
    "chord": "distance of the start to the fibre of the end",
    "tortuosity": "h-length over chord; 1 for the geodesic to the fibre",
    "uniformity": "1 for constant h-speed",
    "deviation": "largest distance of the outputs from the chord",
    "defect": "largest part of the direction outside of the distribution",
    "mean_defect": "its root mean square",
    "step_defect": "the same of the steps, where they start",
    "sigma_min": "smallest singular value along the path",
    "cond": "largest condition number along it",
    "conserved_drift": "change of what horizontal curves keep",
    "curvature": "largest bracket of two lifts",
    "charge": "what would bend a normal geodesic like this",
}
_RELATIONS = {
    "length_ratio": "h-length over that of the reference",
    "end_gap": "distance of the ends in the parameters",
    "output_gap": "distance of the outputs of the ends",
    "frechet": "Frechet distance from the reference in the parameters",
    "hausdorff": "Hausdorff distance",
    "output_frechet": "Frechet distance of the output curves",
    "output_hausdorff": "Hausdorff distance of the output curves",
    "angle": "largest angle of the velocities in h, radians",
}


@dataclass(frozen=True, eq=False)
class _Trace:
    """What a structure says along a curve: theta' = X u + rest; singular values at the ends of the intervals only.

    `lost` is the t at which D loses rank: the curve was longer.
    """

    curve: Curve
    controls: Array
    vertical: Array
    sigma_min: Array
    sigma_max: Array
    outputs: Array | None
    lost: float | None

    @property
    def speed(self) -> Array:
        return np.linalg.norm(self.controls, axis=2)


def compare(path: Any, reference: Any, M: SubRiemannian | MapStructure) -> Comparison:
    """Measure a path in a structure, beside a reference.

    Parameters
    ----------
    path : Path or (m, N) array_like
        A solution, a geodesic, or the iterates of an optimiser, joined by straight steps.
    reference : Path, (m, N) array_like or None
        None takes, for a map, the lift of the straight output line from the start of the path to the output of its
        end: the orbit of the adapted flow, which is the shortest to that fibre.
    M : SubRiemannian or MapStructure

    Returns
    -------
    Comparison

    Raises
    ------
    ProblemError
        If a path does not fit the structure, is empty or does not move.
    RankError
        If D has lost rank at the start of a path.

    Notes
    -----
    Tangents are those of the dense output; lengths are Lobatto quadratures with an error estimate. For a map h-lengths
    are lengths of output curves (docs: mathematics, §5, theorem G).

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> one, other = (heisenberg.shoot([0, 0, 0], [1, 0, c], 1.0) for c in (0.0, 0.5))
    >>> found = sr.compare(one, other, heisenberg)
    >>> round(found.length_ratio, 10), bool(found.path.defect < 1e-12)
    (1.0, True)
    """
    if not isinstance(M, SubRiemannian | MapStructure):
        raise ProblemError(
            "compare: M is no structure",
            type(M).__name__,
            "a SubRiemannian or a MapStructure",
            "SubRiemannian.from_map(map)",
        )
    trace = _traced(sampled(path, M.n, "path"), M)
    mine = _measured(trace, M)
    growth = _growth(M, trace.curve.y[0, 0])
    if reference is None and isinstance(M, MapStructure) and mine.chord > 0:
        assert trace.outputs is not None
        reference = M.lift_path(trace.curve.y[0, 0], np.array([trace.outputs[0, 0], trace.outputs[-1, -1]]))
    if reference is None:
        unknown = dict.fromkeys((*_RELATIONS, "spacing"), np.nan)
        return Comparison(path=mine, reference=None, growth=growth, **unknown, **_ending(path=trace))
    other = _traced(sampled(reference, M.n, "reference"), M)
    theirs = _measured(other, M)
    one, two = (resampled(t.curve, t.speed, t.curve.y, COUNT) for t in (trace, other))
    first, second = (resampled(t.curve, t.speed, t.controls, COUNT) for t in (trace, other))
    moving = (np.linalg.norm(first, axis=1) > 0) & (np.linalg.norm(second, axis=1) > 0)
    first, second = (u[moving] / np.linalg.norm(u[moving], axis=1)[:, None] for u in (first, second))
    apart = np.linalg.norm(first - second, axis=1).max(initial=0.0)
    return Comparison(
        path=mine,
        reference=theirs,
        length_ratio=mine.h_length / theirs.h_length,
        end_gap=float(np.linalg.norm(one[-1] - two[-1])),
        frechet=frechet(one, two),
        hausdorff=hausdorff(one, two),
        angle=float(2 * np.arcsin(np.clip(apart / 2, 0, 1))),
        spacing=max(float(np.linalg.norm(np.diff(points, axis=0), axis=1).max()) for points in (one, two)),
        growth=growth,
        **_between_outputs(trace, other),
        **_ending(path=trace, reference=other),
    )


def _ending(**traces: _Trace) -> dict[str, Any]:
    """Return the status and the message of a comparison."""
    lost = [
        f"D loses rank on the {name} at t = {trace.lost:.10g}"
        for name, trace in traces.items()
        if trace.lost is not None
    ]
    return {"status": Status.RANK_CHANGED, "message": ", ".join(lost)} if lost else {}


def _between_outputs(trace: _Trace, other: _Trace) -> dict[str, float]:
    """Return the distances of the output curves, NaN for structures that are not of a map."""
    if trace.outputs is None or other.outputs is None:
        return dict.fromkeys(("output_gap", "output_frechet", "output_hausdorff"), np.nan)
    x = resampled(trace.curve, trace.speed, trace.outputs, COUNT)
    y = resampled(other.curve, other.speed, other.outputs, COUNT)
    gap = float(np.linalg.norm(x[-1] - y[-1]))
    return {"output_gap": gap, "output_frechet": frechet(x, y), "output_hausdorff": hausdorff(x, y)}


def _traced(curve: Curve, M: SubRiemannian | MapStructure) -> _Trace:
    """Return the trace of a curve, up to where D loses rank on it."""
    try:
        return _trace(curve, M, None)
    except RankError:
        first = next(i for i, points in enumerate(curve.y) if not all(_full(M, point) for point in points))
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if _full(M, curve.point(first, middle)) else (low, middle)
        if first == 0 and low == 0.0:
            raise
        place = float(curve.t[first, 0] + high * curve.lengths[first])
        left = np.abs(place - curve.t[: first + 1, 0])
        near = int(np.argmax(left <= SHORT * left[0]))  # the first such interval, if any
        return _trace(curve.until(near, 0.0) if near else curve.until(first, low), M, place)


def _full(M: SubRiemannian | MapStructure, point: Array) -> bool:
    """Return whether D has full rank at a point; of a frame nothing is asked."""
    try:
        return isinstance(M, SubRiemannian) or bool(M.at(point))
    except RankError:
        return False


def _trace(curve: Curve, M: SubRiemannian | MapStructure, lost: float | None) -> _Trace:
    """Split the tangents into u and a part outside of the distribution, at all points of a curve."""
    points, tangents = curve.y.reshape((-1, M.n)), curve.tangent.reshape((-1, M.n))
    rows = [_split(M, *pair) for pair in zip(points, tangents, strict=True)]
    controls, vertical, outputs = (np.array(column) for column in zip(*rows, strict=True))
    sigma = np.array([_extremes(M, point) for point in (*curve.y[:, 0], curve.y[-1, -1])])
    shape = curve.t.shape
    return _Trace(
        curve,
        controls.reshape((*shape, -1)),
        vertical.reshape(shape),
        sigma[:, 0],
        sigma[:, 1],
        outputs.reshape((*shape, -1)) if isinstance(M, MapStructure) else None,
        lost,
    )


def _split(M: SubRiemannian | MapStructure, point: Array, tangent: Array) -> tuple[Array, float, Array]:
    """Return u, the length of the rest of the tangent, and the output."""
    if isinstance(M, MapStructure):
        here = M.at(point, certify=False)
        return here.jacobian.jvp(tangent), float(np.linalg.norm(here.vertical(tangent))), M.map.value(point)
    u, _, image = factorize(ArrayJacobian(M.fields(point)), M.policy, start="svd").solve(tangent)
    return u, float(np.linalg.norm(image - tangent)), np.empty(0)


def _extremes(M: SubRiemannian | MapStructure, point: Array) -> tuple[float, float]:
    """Return the smallest and the largest singular value of D, or of X."""
    jacobian = MapJacobian(M.map, point) if isinstance(M, MapStructure) else ArrayJacobian(M.fields(point))
    found = factorize(jacobian, M.policy, certify=False).extremes()
    return found.sigma_min, found.sigma_max


def _measured(trace: _Trace, M: SubRiemannian | MapStructure) -> Measures:
    curve, speed = trace.curve, trace.speed
    length, error = curve.integral(speed)
    whole = float(curve.lengths.sum())
    energy = whole * curve.integral(speed**2)[0] / 2
    tangents = np.linalg.norm(curve.tangent, axis=2)
    # a step that is not far above the roundoff of the point has no direction
    moving = tangents * curve.lengths[:, None] > STEP * EPS * (1 + np.linalg.norm(curve.y, axis=2))
    defect = np.where(moving, trace.vertical / np.where(moving, tangents, 1.0), 0.0)
    chord = deviation = np.nan
    if trace.outputs is not None:
        x = curve.flat(trace.outputs)
        chord = float(np.linalg.norm(x[-1] - x[0]))
        deviation = float(polyline_distances(x, x[[0, -1]]).max())
    conserved = curvature = charge = np.nan
    if isinstance(M, MapStructure):
        kept = [M.conserved(point) for point in (curve.y[0, 0], *curve.y[:, -1])]
        conserved = float(np.max(np.abs(np.array(kept) - kept[0]), initial=0.0)) if kept[0].size else np.nan
        curvature, charge = _bending(trace, M)
    return Measures(
        h_length=length,
        h_length_error=error,
        energy=energy,
        euclidean_length=curve.integral(tangents)[0],
        chord=chord,
        tortuosity=length / chord if chord else np.inf,
        uniformity=min(length**2 / (2 * energy), 1.0) if energy > 0 else np.nan,
        deviation=deviation,
        defect=float(defect.max()),
        mean_defect=float(np.sqrt(curve.integral(defect**2)[0] / whole)),
        step_defect=float(defect[:, 0].max()) if curve.polygon else np.nan,
        sigma_min=float(trace.sigma_min.min()),
        cond=float((trace.sigma_max / trace.sigma_min).max()),
        conserved_drift=conserved,
        curvature=curvature,
        charge=charge,
    )


def _bending(trace: _Trace, M: MapStructure) -> tuple[float, float]:
    """Return the largest curvature and charge at the start, the middle and the end; NaN where not looked at."""
    curve = trace.curve
    if M.k > FEW or not {"hvp", "second"} <= M.map.capabilities:
        return np.nan, np.nan
    largest, charges = 0.0, []
    for interval, point in ((0, 0), (curve.t.shape[0] // 2, 0), (-1, POINTS - 1)):
        brackets = M.curvature(curve.y[interval, point])
        largest = max(largest, float(brackets.norms.max(initial=0.0)))
        speed = trace.speed[interval]
        if curve.polygon or not speed.all():
            continue
        unit = trace.controls[interval] / speed[:, None]
        bent = (lobatto()[2][point] @ unit) / (curve.lengths[interval] / 2 * speed[point])
        force = np.zeros((M.k, M.n))  # row i is sum_j u_j [X_j, X_i]
        for (i, j), field in zip(brackets.pairs, brackets.fields, strict=True):
            force[j] += unit[point, i] * field
            force[i] -= unit[point, j] * field
        charges.append(float(np.linalg.norm(lift(force, bent, rank=QUIET).v)) if force.any() else 0.0)
    return largest, max(charges, default=np.nan)


def _growth(M: SubRiemannian | MapStructure, start: Array) -> tuple[int, ...]:
    """Return the growth vector at the start, where it costs little."""
    if isinstance(M, MapStructure) and M.gradients is None and (M.k > FEW or "hvp" not in M.map.capabilities):
        return ()
    return M.growth(start).vector
