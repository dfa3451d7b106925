"""The solution of a DAE: every variable and derivative by name, drift and rank along the path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.result import Check
from subriem.integration.jetpath import JetPath
from subriem.integration.solution import Solution
from subriem.reduction.consistent import jet_places
from subriem.reduction.jets import jet_name
from subriem.reduction.reduction import Reduction


class Values(Mapping[str, Any]):
    """The values of all jets at one time: v.x, v["x'"], v["theta"] (a column), v["theta[3]"]."""

    def __init__(self, reduction: Reduction, row: Array) -> None:
        self._reduction, self._row = reduction, row

    def __getitem__(self, name: str) -> Any:
        return named(self._reduction, self._row[None, :], name)[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        dae = self._reduction.dae
        return iter(jet_name(dae.variables[j], k) for j, k in self._reduction.system.columns)

    def __len__(self) -> int:
        return self._row.size


def named(reduction: Reduction, rows: Array, name: str) -> Array:
    """Return the columns of a table of jets that a name stands for: (N,) for a scalar, (N, size) for a vector.

    Raises
    ------
    ProblemError
        If there is no such variable, or this derivative is not part of the solution.
    """
    places = jet_places(reduction.dae, name)
    position = {place: index for index, place in enumerate(reduction.system.columns)}
    missing = [place for place in places if place not in position]
    if missing:
        raise ProblemError(
            "the solution does not hold this derivative",
            jet_name(reduction.dae.variables[missing[0][0]], missing[0][1]),
            f"at most {jet_name(reduction.dae.variables[missing[0][0]], reduction.system.d[missing[0][0]])}",
            "add a variable for it to the DAE",
        )
    columns = rows[:, [position[place] for place in places]]
    variable = name.split("'")[0].split("^")[0].strip()
    vector = reduction.dae.sizes.get(variable) is not None
    return columns if vector else columns[:, 0]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DAESolution(Solution):
    """A path of a DAE; `sol["x"]`, `sol["x'"]`, `sol["theta"]` by name.

    Attributes
    ----------
    reduction : Reduction
        What was integrated, with its certificate at the start.
    jets : (n_t, …) ndarray
        Every jet at every time, columns as in `reduction.system.columns`.
    drift : (n_t,) ndarray
        Largest constraint between states over the length of its gradient, before projection.
    residual : float
        The same after it, with all equations; the largest over the path.
    path : JetPath
    tolerance : float
        rtol and atol of the run at the size of the solution.

    Notes
    -----
    `y` has one column a scalar variable, `reduction.dae.variables`.
    """

    reduction: Reduction
    jets: Array
    drift: Array
    residual: float
    path: JetPath
    tolerance: float

    def __call__(self, t: Any) -> Array:
        """Return y at t, shape (n,), or (len(t), n)."""
        times = np.asarray(t, dtype=float)
        rows = self.path(np.atleast_1d(times).ravel())[:, self._variables]
        return rows[0] if times.ndim == 0 else rows.reshape((*times.shape, rows.shape[1]))

    @property
    def _variables(self) -> list[int]:
        return [index for index, (_, k) in enumerate(self.reduction.system.columns) if k == 0]

    def __getitem__(self, name: str) -> Array:
        """Return a variable or derivative, or a quadrature, at all times."""
        if name in self.channels:
            return self.channels[name]
        return named(self.reduction, self.jets, name)

    def at(self, t: Any, name: str) -> Array:
        """Return one variable or derivative at times of the path."""
        times = np.asarray(t, dtype=float)
        found = named(self.reduction, self.path(np.atleast_1d(times).ravel()), name)
        return found[0] if times.ndim == 0 else found

    def values(self, index: int = -1) -> Values:
        """Return the jets at one of the times, by name."""
        return Values(self.reduction, self.jets[index])

    def sample(self, function: Callable[[float, Values], Any], t: Sequence[float] | None = None) -> Array:  # type: ignore[override]
        """Return function(t, values) at the times of the solution, or at others."""
        times = self.t if t is None else np.asarray(t, dtype=float)
        rows = self.jets if t is None else self.path(times)
        return np.array([function(float(s), Values(self.reduction, row)) for s, row in zip(times, rows, strict=True)])

    @property
    def checks(self) -> tuple[Check, ...]:
        """Residual, drift and rank along the path."""
        bound = 1e3 * self.tolerance
        return (
            Check(
                "residual",
                self.residual,
                1e-8 * (1 + float(np.abs(self.jets).max())),
                "largest residual of all equations on the path",
            ),
            Check(
                "drift",
                float(self.drift.max(initial=0.0)),
                bound,
                "largest distance from the constraints before projection",
            ),
            Check("freedom", self.reduction.degrees_of_freedom, None, "values a start may choose"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return times, every jet by name, drift, rank, status."""
        names = (jet_name(self.reduction.dae.variables[j], k) for j, k in self.reduction.system.columns)
        found = {"t": self.t, **dict(zip(names, self.jets.T, strict=True)), **dict(self.channels)}
        return found | {
            "drift": self.drift,
            "rank": self.rank,
            "status": self.status.name,
            "message": self.message,
            "stats": dict(self.stats),
        }
