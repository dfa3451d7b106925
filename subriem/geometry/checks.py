"""`check_space`: laws that every sub-Riemannian structure obeys, measured on one of yours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ProblemError
from subriem.core.lift import lift
from subriem.core.protocols import Array
from subriem.core.result import Check, Result
from subriem.core.validate import vector
from subriem.geometry.frame import called, check_symbols
from subriem.geometry.geodesic import Geodesic
from subriem.geometry.growth import Flags
from subriem.geometry.subriemannian import SubRiemannian

#: Geodesics shot, and the time of each at unit speed.
SHOTS, TIME = 3, 1.0
#: Tolerance of the geodesics.
RTOL = 1e-13
#: Step of difference quotients of order 4 for velocities, and of order 2 for the derivative by the covector.
STEP, NUDGE = 2e-3, 1e-4
#: The factor of the law of homogeneity, and that of the dilation.
FACTOR = 1.7


@dataclass(frozen=True, eq=False, repr=False)
class SpaceChecks(Result):
    """What `check_space` measured.

    Attributes
    ----------
    structure : SubRiemannian
    checks : tuple of Check
    """

    structure: SubRiemannian
    table: tuple[Check, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """The laws with the errors found."""
        return self.table

    @property
    def passed(self) -> bool:
        """Whether all laws hold within their bounds."""
        return all(check.passed for check in self.table)

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the laws that do not hold."""
        return tuple(check.name for check in self.table if not check.passed)

    def headline(self) -> str:
        """Return one line that says what was found."""
        verdict = f"fails: {', '.join(self.failed)}" if self.failed else "obeys all of them"
        return f"{len(self.table)} laws of a sub-Riemannian structure, {self.structure.name}: {verdict}"


def check_space(
    structure: SubRiemannian,
    *,
    q: Any = None,
    translate: Callable[[ca.SX, ca.SX], Any] | None = None,
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> SpaceChecks:
    """Measure on random geodesics the laws that a structure must obey; those of a group where you name its law.

    Parameters
    ----------
    structure : SubRiemannian
    q : (N,) array_like, optional
        A point of the manifold, around which everything is tried; 0 unless given, where the chart is not redundant.
    translate : callable, optional
        (g, h) -> g h in CasADi expressions: left translations must be isometries, and the law associative.
    weights : sequence of float, optional
        w_i of the coordinates: q_i -> c^w_i q_i must dilate all lengths by c.
    seed : int

    Returns
    -------
    SpaceChecks
        A table: H constant, velocities in the distribution and of constant speed, exp(q, c p, t/c) = exp(q, p, t),
        reversal, the derivative of exp, the symplectic form, brackets that fill the dimension declared and not more.

    Raises
    ------
    ProblemError
        If an argument does not fit, or a redundant chart comes without a point.
    SolveError
        If a geodesic does not reach its end.

    Examples
    --------
    >>> import subriem as sr
    >>> heisenberg = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 2], [0, 1, q[0] / 2]], 3)
    >>> sr.check_space(heisenberg, weights=[1, 1, 2]).passed
    True
    >>> sr.check_space(heisenberg, weights=[1, 1, 3]).failed
    ('dilation',)
    """
    if not isinstance(structure, SubRiemannian):
        raise ProblemError(
            "check_space takes a SubRiemannian",
            type(structure).__name__,
            "a structure with a frame in symbols",
            ".structure of a space of the zoo, .symbolic of the structure of a map",
        )
    start = _start(structure, q)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ProblemError("seed is no seed", repr(seed), "an integer >= 0", "seed=0")
    rng = np.random.default_rng(seed)
    shots = [_shot(structure, start, rng) for _ in range(SHOTS)]
    points = [start, *(shot.end for shot in shots)]
    table = [*_along(shots), *_exponential(shots, rng), _dimension(structure, points)]
    if translate is not None:
        table += _group(structure, translate, points)
    if weights is not None:
        table.append(_dilation(structure, vector(weights, "weights", structure.n), points))
    return SpaceChecks(structure, tuple(table))


def _start(structure: SubRiemannian, q: Any) -> Array:
    if q is None and structure.dim < structure.n:
        raise ProblemError(
            "a redundant chart has no point of its own",
            f"{structure.n} coordinates of a manifold of dimension {structure.dim}",
            "a point of the manifold",
            "check_space(structure, q=[1, 0, 0, 0]) for unit quaternions",
        )
    return np.zeros(structure.n) if q is None else structure.point(q)


def _shot(structure: SubRiemannian, q: Array, rng: np.random.Generator) -> Geodesic:
    """Return a random geodesic of unit speed."""
    p = rng.standard_normal(structure.n)
    speed = float(np.linalg.norm(structure.normal.controls(np.concatenate([q, p]))))
    if not speed > 0:
        raise ProblemError(
            "no geodesic leaves the point",
            f"speed {speed:g} at q = {np.array2string(q, precision=6)}",
            "a point where the fields are finite and do not all vanish",
            "check_space(structure, q=[…])",
        )
    return structure.shoot(q, p / speed, TIME, rtol=RTOL)


def _along(shots: list[Geodesic]) -> list[Check]:
    """Return H constant, horizontality and speed of the paths."""
    out, uneven = [], []
    for shot in shots:
        for t in TIME * np.array([0.3, 0.6, 0.9]):
            around = shot(t + STEP * np.array([-2.0, -1.0, 1.0, 2.0]))
            velocity = (around[0] - 8 * around[1] + 8 * around[2] - around[3]) / (12 * STEP)
            state = shot.state(t)
            frame = shot.structure.fields(state[: shot.structure.n])
            lifted = lift(frame, velocity, rank=shot.structure.policy)
            out.append(lifted.residual / float(np.linalg.norm(velocity)))
            uneven.append(abs(float(np.linalg.norm(lifted.v)) - 1.0))
    return [
        Check("H constant", max(s.hamiltonian_drift for s in shots), 1e-12, "largest change of H along a geodesic"),
        Check("horizontality", max(out), 1e-8, "share of the velocity, by difference quotients, outside of V"),
        Check("speed", max(uneven), 1e-8, "length of the velocity against |u| = 1"),
    ]


def _exponential(shots: list[Geodesic], rng: np.random.Generator) -> list[Check]:
    """Return homogeneity, reversal, the derivative by the covector and the symplectic form."""
    structure = shots[0].structure
    homogeneous, reverse, derivative, symplectic = [], [], [], []
    for shot in shots:
        q, p, size = shot.q[0], shot.p[0], 1.0 + float(np.abs(shot.q).max())
        faster = structure.shoot(q, FACTOR * p, TIME / FACTOR, rtol=RTOL)
        homogeneous.append(np.abs(faster.end - shot.end).max() / size)
        back = structure.shoot(shot.end, shot.p[-1], -TIME, rtol=RTOL)
        reverse.append(np.abs(back.end - q).max() / size)
        direction = rng.standard_normal(structure.n) * NUDGE
        ends = structure.exponential(q, np.array([p + direction, p - direction]), TIME, rtol=RTOL)
        change = (ends[0] - ends[1]) / (2 * NUDGE)
        expected = shot.jacobian() @ direction / NUDGE
        derivative.append(np.abs(change - expected).max() / (1.0 + np.abs(expected).max()))
        varied = structure.normal.run(structure.normal.start(q, p, varied=True), TIME, RTOL).points[-1]
        dq, dp = np.split(varied[2 * structure.n :].reshape((structure.n, -1)).T, 2)
        form = dq.T @ dp
        symplectic.append(np.abs(form - form.T).max() / (1.0 + np.abs(form).max()))
    return [
        Check("homogeneity", max(homogeneous), 1e-11, f"exp(q, c p, t/c) against exp(q, p, t), c = {FACTOR}"),
        Check("reversal", max(reverse), 1e-10, "there and back"),
        Check("derivative", max(derivative), 1e-5, "dexp against a difference quotient"),
        Check("symplectic form", max(symplectic), 1e-10, "dq ^ dp vanishes on the geodesics from one point"),
    ]


def _dimension(structure: SubRiemannian, points: list[Array]) -> Check:
    """Return by how much the brackets miss the dimension declared, at the worst of the points."""
    whole = Flags(structure.frame, structure.n, structure.policy)
    missed = [abs(whole.growth(point).vector[-1] - structure.dim) for point in points]
    return Check("dimension", max(missed), 0.0, f"rank of all brackets less dim = {structure.dim}")


def _group(structure: SubRiemannian, translate: Callable[[ca.SX, ca.SX], Any], points: list[Array]) -> list[Check]:
    """Return the left invariance of the cometric X X^T, and associativity."""
    g, h = (ca.SX.sym(name, structure.n) for name in "gh")
    product = _column(called(translate, (g, h), "group law"), structure)
    check_symbols(product, (g, h), "group law")
    law = BufferedFunction(ca.Function("law", [g, h], [product]))
    tangent = BufferedFunction(ca.Function("tangent", [g, h], [ca.densify(ca.jacobian(product, h))]))
    moved, regrouped = [], []
    for a, b in zip(points, points[1:] + points[:1], strict=True):
        for c in points:
            carried = tangent(a, c) @ structure.fields(c)
            there = structure.fields(law(a, c))
            moved.append(_gap(carried @ carried.T, there @ there.T))
            regrouped.append(_gap(law(law(a, b), c), law(a, law(b, c))))
    return [
        Check("left invariance", max(moved), 1e-12, "X X^T at g h against X X^T at h carried there"),
        Check("associativity", max(regrouped), 1e-12, "(a b) c against a (b c)"),
    ]


def _dilation(structure: SubRiemannian, weights: Array, points: list[Array]) -> Check:
    """Return how far q_i -> c^w_i q_i is from dilating the cometric by c^2."""
    scale, gaps = FACTOR**weights, []
    for q in points:
        carried, there = scale[:, None] * structure.fields(q), FACTOR * structure.fields(scale * q)
        gaps.append(_gap(carried @ carried.T, there @ there.T))
    return Check("dilation", max(gaps), 1e-12, f"X X^T carried by the dilation, c = {FACTOR}")


def _gap(one: Array, other: Array) -> float:
    return float(np.abs(one - other).max() / (1.0 + np.abs(other).max()))


def _column(value: Any, structure: SubRiemannian) -> ca.SX:
    """Return the product g h as a column of N entries."""
    try:
        column = ca.SX(ca.vertcat(*value) if isinstance(value, list | tuple) else value)
    except (NotImplementedError, TypeError, RuntimeError) as error:
        raise ProblemError(
            "translate gives no CasADi expressions",
            f"{type(value).__name__}: {str(error).splitlines()[0]}",
            f"{structure.n} SX expressions in g and h",
            "lambda g, h: [g[0] + h[0]]",
        ) from error
    if column.shape != (structure.n, 1):
        raise ProblemError(
            "translate gives no point",
            f"shape {column.shape}",
            f"{structure.n} entries",
            "lambda g, h: [g[0] + h[0]]",
        )
    return ca.densify(column)
