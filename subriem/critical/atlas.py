"""An atlas of a manifold of rest points: charts at an even spacing, grown from one point over its component."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subriem.core.bordered import Bordered
from subriem.core.budget import Budget, CancelToken, Meter
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.status import Status
from subriem.critical.charts import Chart, Charts, Neighbours
from subriem.critical.step import Step, stepped
from subriem.critical.system import System

#: Largest angle between the tangent spaces of a chart and the one it was reached from (rad), and the one aimed at.
TILT, AIM = 0.6, 0.3
#: Charts of one sheet are at least this far from each other, in units of h.
APART = 0.7
#: How far a chart may lie off the tangent space of another of its sheet, relative to their distance.
OFF = 0.3
#: A chart this near to another one, in units of h, is at the same point: how far it lies off is roundoff.
SAME = 1e-6
#: First spacing in units of the box, and how often it is halved.
FIRST, HALVINGS = 0.1, 8
#: A step that fails is tried in this many parts; on a curve, where charts are few, also in more.
PARTS = (1, 2, 4)
FINER = tuple(2**i for i in range(HALVINGS + 1))
#: Directions in which charts are looked for around one, for dimension 2 and 3.
AROUND = (12, 42)


@dataclass(frozen=True, eq=False)
class Atlas:
    """Charts of one component, and what is needed to go on; made by `trace` and `extend`.

    Attributes
    ----------
    charts : Charts
    waiting : (M,) ndarray of int
        Charts around which others are still to be looked for: none left if the component is covered.
    leaves_box : bool
        Whether the manifold goes on outside the box.
    ends : (E, n) ndarray
        Charts from which a step could not be made in parts either: beside them the manifold is not smooth.
    fixed : bool
        Whether the spacing was chosen; otherwise it is halved where the manifold is curved.
    status : Status
        SUCCESS where the component is covered inside the box.
    message : str
    evaluations : int
        Jacobians computed.
    halvings : int
        How often the spacing was halved.
    """

    charts: Charts
    waiting: NDArray[np.intp]
    leaves_box: bool
    ends: Array
    fixed: bool
    status: Status
    message: str
    evaluations: int
    halvings: int = 0


def trace(
    system: System,
    z: Array,
    tangent: Array,
    cokernel: Array,
    *,
    step: float | None = None,
    budget: Budget | None = None,
    cancel: CancelToken | None = None,
) -> Atlas:
    """Cover the manifold of rest points through z by charts, inside the box.

    Parameters
    ----------
    system : System
    z : (n,) ndarray
    tangent : (n, k) ndarray
        Orthonormal basis of the tangent space at z, k <= 3.
    cokernel : (m, m - n + k) ndarray
        Orthonormal basis of the left null space of the Jacobian.
    step : float, optional
        Spacing h, in units of z; else so small that neighbouring tangent spaces differ by less than 0.6 rad.
    budget : Budget, optional
        `steps` are charts.
    cancel : CancelToken, optional

    Returns
    -------
    Atlas

    Raises
    ------
    ProblemError
        If k > 3.
    """
    if tangent.shape[1] > 3:
        raise ProblemError(
            "a manifold of this dimension cannot be traced",
            f"dimension {tangent.shape[1]}",
            "at most 3",
            "trace=False, or further equations that cut it",
        )
    first = Chart(z, tangent, cokernel, _determinant(system, z, tangent, cokernel), system.norm(z))
    h = step if step is not None else _first_step(system, first)
    return extend(system, _start(first, h, step is not None), budget=budget, cancel=cancel)


def extend(system: System, atlas: Atlas, *, budget: Budget | None = None, cancel: CancelToken | None = None) -> Atlas:
    """Go on with an atlas that a budget or a cancellation ended; the budget's `steps` are further charts."""
    meter = Meter(budget or Budget())
    while True:
        growth = _Growth(system, atlas, may_halve=not atlas.fixed and atlas.halvings < HALVINGS)
        found = growth.run(meter, cancel)
        if found is not None:
            return found
        again = _start(growth.chart(0), atlas.charts.h / 2, False)
        atlas = replace(again, evaluations=growth.evaluations, halvings=atlas.halvings + 1)


def single(system: System, z: Array, tangent: Array, cokernel: Array, message: str) -> Atlas:
    """Return an atlas of one chart, of a point that is not followed; `cokernel` may be of another rank."""
    first = Chart(z, tangent, cokernel, (0.0, -np.inf), system.norm(z))
    none = np.zeros(0, dtype=np.intp)
    atlas = _start(first, FIRST * system.size, False)
    return replace(atlas, waiting=none, status=Status.SUCCESS, message=message)


def _determinant(system: System, z: Array, tangent: Array, cokernel: Array) -> tuple[float, float]:
    return Bordered(system.jacobian(z), tangent, cokernel).determinant()


def _start(first: Chart, h: float, fixed: bool) -> Atlas:
    charts = Charts(
        first.z[None], first.tangent[None], first.cokernel[None], np.array([first.determinant]),
        np.array([first.residual]), h,
    )  # fmt: skip
    none = np.zeros((0, first.z.size))
    waiting = np.zeros(1 if first.tangent.shape[1] else 0, dtype=np.intp)
    return Atlas(charts, waiting, False, none, fixed, Status.BUDGET_SPENT, "", 1)


def _first_step(system: System, chart: Chart) -> float:
    """Return a spacing at which the tangent space turns by no more than is aimed at, around the first chart."""
    h = FIRST * system.size
    if not chart.tangent.shape[1]:
        return h
    for _ in range(HALVINGS):
        steps = np.vstack([chart.tangent.T, -chart.tangent.T])
        turned = [stepped(system, chart, h * step) for step in steps]
        if all(one is not None and one.tilt <= AIM for one in turned):
            break
        h /= 2
    return h


def around(k: int) -> Array:
    """Return unit vectors of R^k, spread evenly, as rows."""
    if k == 1:
        return np.array([[1.0], [-1.0]])
    count = AROUND[k - 2]
    number = np.arange(count)
    if k == 2:
        angle = 2 * np.pi * number / count
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    height = 1 - (2 * number + 1) / count
    angle, radius = number * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


@dataclass(eq=False)
class _Growth:
    """The charts while they grow, in arrays with room."""

    system: System
    atlas: Atlas
    may_halve: bool
    evaluations: int = 0
    count: int = 0
    most: float = np.inf
    ends: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        charts = self.atlas.charts
        self.h, self.count = charts.h, len(charts)
        self.leaves = self.atlas.leaves_box
        self.evaluations = self.atlas.evaluations
        self.ends = list(self.atlas.ends)
        self.waiting = deque(self.atlas.waiting.tolist())
        self.arrays = [charts.points, charts.tangents, charts.cokernels, charts.determinants, charts.residuals]
        self.arrays = [array.copy() for array in self.arrays]
        self.neighbours = Neighbours()
        self.directions = around(charts.dimension) if charts.dimension else np.zeros((0, 0))

    def chart(self, i: int) -> Chart:
        points, tangents, cokernels, determinants, residuals = self.arrays
        return Chart(points[i], tangents[i], cokernels[i], tuple(determinants[i]), residuals[i])

    def _add(self, entries: tuple[ArrayLike, ...]) -> None:
        if self.count == len(self.arrays[0]):
            self.arrays = [np.concatenate([array, np.empty_like(array)]) for array in self.arrays]
        for array, entry in zip(self.arrays, entries, strict=True):
            array[self.count] = entry
        self.waiting.append(self.count)
        self.count += 1

    def run(self, meter: Meter, cancel: CancelToken | None) -> Atlas | None:
        """Grow until all is covered or the budget is spent; None if the spacing is to be halved."""
        begun = self.count
        if meter.budget.steps is not None:
            self.most = begun + int(meter.budget.steps)
        while self.waiting:
            if cancel is not None and cancel.reason:
                return self._end(Status.CANCELLED, cancel.reason)
            spent = meter.spent(self.count - begun, self.evaluations)
            if spent:
                return self._end(Status.BUDGET_SPENT, spent)
            if not self._surround(self.waiting[0]):
                return None
            if self.count < self.most:  # else there may be more to add here
                self.waiting.popleft()
        return self._end(Status.SUCCESS, "covered inside the box" if self.leaves else "covered")

    def _end(self, status: Status, message: str) -> Atlas:
        points, tangents, cokernels, determinants, residuals = (array[: self.count] for array in self.arrays)
        ends = np.array(self.ends).reshape(-1, points.shape[1])
        waiting = np.array(self.waiting, dtype=np.intp)
        charts = Charts(points, tangents, cokernels, determinants, residuals, self.h)
        return replace(
            self.atlas, charts=charts, waiting=waiting, leaves_box=self.leaves, ends=ends, status=status,
            message=message, evaluations=self.evaluations,
        )  # fmt: skip

    def _surround(self, i: int) -> bool:
        """Add the charts that are missing around one; False if the manifold turns too much for the spacing."""
        z, tangent = self.arrays[0][i], self.arrays[1][i]
        ahead = z + self.h * (self.directions @ tangent.T)
        inside = self.system.box.holding(ahead)
        beside = ~inside & self.system.box.holding(ahead, AIM * self.h)  # the manifold may turn back into the box
        self.leaves = self.leaves or not (inside | beside).all()
        near = self.neighbours.near(self.arrays[0][: self.count], z, (1 + APART) * self.h)
        open_ = (inside | beside) & ~self._covered(ahead, tangent, near, OFF / 2 * self.h)
        failed = False
        while open_.any() and self.count < self.most:
            number = int(np.argmax(open_))
            open_[number] = False
            found, parts = self._reached(i, self.directions[number], inside[number])
            if found is None:
                failed, self.leaves = failed or bool(inside[number]), self.leaves or bool(beside[number])
                continue
            if self.may_halve and inside[number] and (parts > 1 or found.tilt > TILT):
                return False
            new = found.chart
            if not self.system.box.holds(new.z):
                self.leaves = True
            elif not self._covered(new.z[None], new.tangent, near, SAME * self.h)[0]:
                self._add((new.z, new.tangent, new.cokernel, new.determinant, new.residual))
                near = np.append(near, self.count - 1)
                open_ &= ~self._covered(ahead, tangent, near[-1:], OFF / 2 * self.h)
        if failed:
            self.ends.append(z.copy())
        return True

    def _reached(self, i: int, direction: Array, inside: bool) -> tuple[Step | None, int]:
        """Return the chart at distance h in a direction and in how many parts the step was made, or None."""
        for parts in PARTS[:1] if not inside else PARTS if self.directions.shape[1] > 1 else FINER:
            chart, found = self.chart(i), None
            for _ in range(parts):
                found = stepped(self.system, chart, self.h / parts * (chart.tangent @ direction))
                self.evaluations += 3
                if found is None or (found.tilt > TILT and parts < PARTS[-1]):
                    found = None
                    break
                chart = found.chart
            if found is not None:
                return found, parts
        return None, 0

    def _covered(self, points: Array, tangent: Array, near: NDArray[np.intp], off: float) -> NDArray[np.bool_]:
        """Whether a chart of the same sheet is near each point, which may be `off` the manifold itself."""
        k, bases = self.directions.shape[1], self.arrays[1][near]
        chords = points[:, None] - self.arrays[0][near]
        squares = np.einsum("cpn,cpn->cp", chords, chords)
        within = chords.transpose(1, 0, 2) @ bases
        rest = squares - np.einsum("pca,pca->cp", within, within)
        turn = bases.transpose(0, 2, 1) @ tangent
        alike = np.einsum("pab,pab->p", turn, turn) >= k - 0.5
        close = squares <= (APART * self.h) ** 2
        return (alike & close & (rest <= np.maximum(OFF**2 * squares, off**2))).any(axis=1)
