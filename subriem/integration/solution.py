"""What an integration returns: the path with its dense output, how it ended, and what was measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.result import Result
from subriem.core.status import Status
from subriem.integration.events import Occurrence


class Segment(Protocol):
    """An interpolant on one step, from `t` to `t + h`."""

    t: float
    h: float

    def __call__(self, t: float, /) -> Array:
        """Return the point at t."""
        ...


class DenseOutput:
    """A path between its accepted points, from the interpolants of its steps."""

    def __init__(self, segments: Sequence[Segment], t: Array, y: Array) -> None:
        self.segments = tuple(segments)
        self._t, self._y = t, y
        self._starts = np.array([segment.t for segment in self.segments])

    def then(self, following: DenseOutput) -> DenseOutput:
        """Return the path of this one and of another that begins where it ends."""
        t, y = np.concatenate([self._t, following._t[1:]]), np.concatenate([self._y, following._y[1:]])
        return DenseOutput(self.segments + following.segments, t, y)

    def __call__(self, t: Any) -> Array:
        """Return the point at t, shape (m,), or (len(t), m) for a vector of times.

        Raises
        ------
        ProblemError
            If a time is not finite or outside the path.
        """
        times = np.asarray(t, dtype=float)
        low, high = float(self._t[0]), float(self._t[-1])
        slack = 1e-12 * max(high - low, abs(high))
        inside = (times >= low - slack) & (times <= high + slack)
        if not inside.all():
            raise ProblemError(
                "the path is not known at this time",
                f"t = {times[~inside].flat[0] if times.ndim else times}",
                f"times in [{low:.16g}, {high:.16g}]",
                "a longer run",
            )
        if times.ndim == 0:
            return self._single(float(times))
        return np.array([self._single(float(value)) for value in times.ravel()]).reshape(
            (*times.shape, self._y.shape[1])
        )

    def _single(self, t: float) -> Array:
        hit = int(np.searchsorted(self._t, t))
        if hit < self._t.size and self._t[hit] == t:
            return self._y[hit].copy()
        if not self.segments:
            return self._y[0].copy()
        index = int(np.clip(np.searchsorted(self._starts, t, side="right") - 1, 0, len(self.segments) - 1))
        return self.segments[index](t)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Solution(Result):
    """A path t -> y(t), with SciPy's field names, time first.

    Attributes
    ----------
    t : (n_t,) ndarray
    y : (n_t, m) ndarray
        One row a time (SciPy's solve_ivp has one column a time).
    channels : mapping of str to ndarray
        Quantities known at each time, first axis n_t; `sol["name"]`.
    dense : DenseOutput
        `sol(t)` between the accepted points.
    events : tuple of Occurrence
    rank : (n_t,) ndarray of int
        Decided rank along the path, -1 where no decision was taken.
    status : Status
    message : str
        The status with its circumstances.
    stats : dict
        Counts, backends, fallbacks.
    """

    t: Array
    y: Array
    channels: Mapping[str, Array]
    dense: DenseOutput
    events: tuple[Occurrence, ...]
    rank: np.ndarray
    status: Status
    message: str
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def grid(self) -> Array:
        """The values of the independent variable that `sol(.)` takes, shape (n_t,)."""
        return self.t

    @property
    def success(self) -> bool:
        """Whether the run ended where it was asked to."""
        return self.status.success

    @property
    def nfev(self) -> int:
        """Number of evaluations of the right-hand side."""
        return int(self.stats.get("evaluations", 0))

    @property
    def t_events(self) -> dict[str, Array]:
        """Times of the events, by name."""
        return {
            name: np.array([e.clock for e in self.events if e.name == name])
            for name in dict.fromkeys(e.name for e in self.events)
        }

    def __call__(self, t: Any) -> Array:
        """Return y at t (the clock of the run), shape (m,) or (len(t), m)."""
        return self.dense(t)

    def __getitem__(self, name: str) -> Array:
        try:
            return self.channels[name]
        except KeyError:
            known = ", ".join(sorted(self.channels))
            raise ProblemError(
                "the solution has no such quantity", repr(name), f"one of {known}", "sol['theta']"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self.channels

    def sample(self, function: Callable[[Array], Any], t: Any = None) -> Array:
        """Return function(y) at the accepted points, or at the times t, stacked along the first axis."""
        points = self.y if t is None else np.atleast_2d(self(np.atleast_1d(np.asarray(t, dtype=float))))
        return np.array([function(point) for point in points])

    def to_dict(self) -> dict[str, Any]:
        """Return arrays and plain values by name."""
        return {
            "t": self.t,
            "y": self.y,
            **dict(self.channels),
            "rank": self.rank,
            "status": self.status.name,
            "message": self.message,
            "stats": dict(self.stats),
        }

    def headline(self) -> str:
        """Return one line that says how the run ended."""
        return f"{self.status.name}: {self.message}"
