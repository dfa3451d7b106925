"""The solution of a DAE: every variable and derivative by name, drift and rank along the path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.protocols import Array
from subriem.core.result import Check
from subriem.integration.jetpath import JetPath
from subriem.integration.solution import Solution
from subriem.integration.system import Reduced
from subriem.integration.values import Values, jet_names, named


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DAESolution(Solution):
    """A path of a DAE; `sol["x"]`, `sol["x'"]`, `sol["theta"]` by name.

    Attributes
    ----------
    dense : JetPath
        `sol(t)`, to the tolerance of the run: where the nodes are too far apart it integrates once more between them.
    reduction : Reduction or NumericReduction
        What was integrated, with its certificate at the start.
    jets : (n_t, …) ndarray
        Every jet at every time, columns as in `reduction.system.columns`.
    drift : (n_t,) ndarray
        Largest constraint between states over the length of its gradient, before projection; NaN where it was not
        measured.
    residual : float
        The same after it, with all equations; the largest over the path.
    tolerance : float
        rtol and atol of the run at the size of the solution.

    Notes
    -----
    `y` has one column a scalar variable, `reduction.dae.variables`.
    """

    dense: JetPath
    reduction: Reduced
    jets: Array
    drift: Array
    residual: float
    tolerance: float

    def __getitem__(self, name: str) -> Array:
        """Return a variable or derivative, or a quadrature, at all times."""
        if name in self.channels:
            return self.channels[name]
        return named(self.reduction, self.jets, name)

    def __contains__(self, name: object) -> bool:
        return name in self.channels or name in self.values()

    def at(self, t: Any, name: str, *, before: bool = False) -> Array:
        """Return one variable or derivative at times of the path.

        Parameters
        ----------
        t : float or array_like
        name : str
        before : bool
            At a breakpoint or a reset, whether to take the side of the start instead of that of the end.

        Raises
        ------
        ProblemError
            If a time is not on the path, or the name unknown.
        """
        times = np.asarray(t, dtype=float)
        found = named(self.reduction, self.dense.jets(times.ravel(), before=before), name)
        return found[0] if times.ndim == 0 else found.reshape((*times.shape, *found.shape[1:]))

    def values(self, index: int = -1) -> Values:
        """Return the jets at one of the times, by name."""
        return Values(self.reduction, self.jets[index])

    def sample(self, function: Callable[[float, Values], Any], t: Sequence[float] | None = None) -> Array:  # type: ignore[override]
        """Return function(t, values) at the times of the solution, or at others."""
        times = self.t if t is None else np.asarray(t, dtype=float)
        rows = self.jets if t is None else self.dense.jets(times)
        return np.array([function(float(s), Values(self.reduction, row)) for s, row in zip(times, rows, strict=True)])

    @property
    def checks(self) -> tuple[Check, ...]:
        """Residual, drift, freedom, and how far given start values had to move."""
        size = 1 + float(np.abs(self.jets).max(initial=0.0))
        drift = float(np.nanmax(self.drift)) if np.isfinite(self.drift).any() else 0.0
        return (
            Check("residual", self.residual, 1e-8 * size, "largest residual of all equations on the path"),
            Check("drift", drift, 1e4 * self.tolerance, "largest distance from the constraints before projection"),
            Check("freedom", self.reduction.degrees_of_freedom, None, "values a start may choose"),
            Check("moved", self.reduction.consistent.moved, None, "largest change of a start value that was given"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return times, every jet by name, drift, rank, status."""
        found = {"t": self.t, **dict(zip(jet_names(self.reduction), self.jets.T, strict=True)), **dict(self.channels)}
        return found | {
            "drift": self.drift,
            "rank": self.rank,
            "status": self.status.name,
            "message": self.message,
            "stats": dict(self.stats),
        }
