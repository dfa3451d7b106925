"""Whether the equations hold along a path, those included that were dropped as redundant; and who is to blame."""

from __future__ import annotations

import numpy as np

from subriem.core.equilibrated import weakest_direction
from subriem.core.protocols import Array
from subriem.integration.reduced import Nodes, ReducedSystem
from subriem.integration.stretch import Stretch
from subriem.integration.system import System

#: Allowed errors of the states by which an equation may be missed that follows from others, and one that only holds if
#: it holds at the start, and drifts with them.
FOLLOWS, DRIFTS = 1e2, 1e4
#: And never less than this, relative to the size of the jets.
FLOOR = 1e-9


class Watch:
    """Residuals of all differentiated equations along a path.

    Parameters
    ----------
    system : ReducedSystem or NumericSystem
    """

    def __init__(self, system: System) -> None:
        self.system = system
        certificate, where = system.reduction.certificate, system.reduction.system
        dropped = {*certificate.redundant, *certificate.invariants}
        if isinstance(system, ReducedSystem):  # after an exchange also those that were taken at the start
            dropped |= {i for i, _ in set(where.top_rows) - {where.top_rows[p] for p in certificate.base}}
        rows = where.rows
        self._dropped = np.array([k for k, (i, _) in enumerate(rows) if i in dropped], dtype=int)
        self._newest: tuple[Stretch, Array, Array] | None = None

    def finite(self, stretch: Stretch) -> bool:
        """Return whether every value at the nodes is a number."""
        return bool(np.isfinite(self._on(stretch)[0]).all())

    @property
    def watches(self) -> bool:
        """Whether an equation was dropped, and may turn out to contradict the others."""
        return bool(self._dropped.size)

    def residual(self, stretch: Stretch) -> float:
        """Return the largest residual, each over the length of its gradient."""
        return float(np.abs(self._on(stretch)[1]).max(initial=0.0))

    def violated(self, stretch: Stretch) -> tuple[float, str] | None:
        """Return when and how a dropped equation is first violated, or None."""
        if not self.watches:
            return None
        jets, residuals = self._on(stretch)
        bound = self._bound(stretch, jets)
        broken = np.flatnonzero(~(np.abs(residuals[:, self._dropped]).max(axis=1) <= bound))
        if not broken.size:
            return None
        nodes, k = stretch.nodes, int(broken[0])
        low, high = float(nodes.t[max(k - 1, 0)]), float(nodes.t[k])
        for _ in range(50 if k else 0):
            middle = (low + high) / 2
            low, high = (low, middle) if self._worst(stretch, middle)[1] > bound else (middle, high)
        row, size = self._worst(stretch, high)
        name = self.system.reduction.system.row_name(self.system.reduction.system.rows[row])
        equation = self.system.reduction.system.rows[row][0]
        found = self.system.reduction.certificate
        others = {**found.invariants, **found.redundant}.get(equation, ())
        names = ", ".join(self.system.reduction.dae.equations[i] for i in others[:4])
        against = f" of {names}" if names else ""
        first = f"{name} followed from the others{against} at the start"
        return high, f"{first}, and contradicts them by {size:.1e} at t = {high:.6g}"

    def largest(self, here: Nodes, q: Array) -> str:
        """Name the variable of the largest value at a point, which tells where to look."""
        where = self.system.reduction.system
        row = self.system.jets(here, q)[0]
        if not row.size:
            return ""
        i = int(np.argmax(np.abs(np.nan_to_num(row, nan=np.inf))))
        return f", largest {where.column_name(where.columns[i])} = {row[i]:.3g}"

    def culprit(self, here: Nodes, q: Array) -> str:
        """Name the unknowns that the system Jacobian leaves open at a point."""
        where = self.system.reduction.system
        (matrix,) = self.system.jacobians(here, q)
        if not matrix.size or not np.isfinite(matrix).all():
            return ""
        weak = np.abs(weakest_direction(matrix))
        names = [where.column_name(where.top_columns[i]) for i in np.argsort(-weak) if weak[i] > 0.3 * weak.max()]
        return f": it leaves {', '.join(names[:4])} open" if names else ""

    def _on(self, stretch: Stretch) -> tuple[Array, Array]:
        if self._newest is None or self._newest[0] is not stretch:
            jets = stretch.jets
            self._newest = stretch, jets, self.system.residuals(stretch.nodes.t, jets, stretch.q)
        return self._newest[1:]

    def _bound(self, stretch: Stretch, jets: Array) -> float:
        options, size = stretch.motion.options, 1 + float(np.abs(jets).max(initial=0.0))
        found = self.system.reduction.certificate
        missed = DRIFTS if found.invariants else FOLLOWS
        return max(missed * (options.atol + options.rtol * size), FLOOR * size)

    def _worst(self, stretch: Stretch, t: float) -> tuple[int, float]:
        jets = self.system.jets(stretch.at(np.array([t])), stretch.q)
        values = np.abs(self.system.residuals(np.array([t]), jets, stretch.q)[0][self._dropped])
        k = int(np.argmax(np.nan_to_num(values, nan=np.inf)))
        return int(self._dropped[k]), float(values[k])
