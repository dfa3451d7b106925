"""Whether a rest point lies on a component that is known: so no manifold is found twice."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from subriem.core.equilibrated import decide
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.critical.atlas import Atlas
from subriem.critical.charts import Chart
from subriem.critical.corrector import correct
from subriem.critical.dimension import LocalStructure, rank_at
from subriem.critical.levenberg import descend
from subriem.critical.problem import RestProblem
from subriem.critical.stability import stability
from subriem.critical.step import stepped
from subriem.critical.system import System

#: Rest points this near (in units of the box) are one; where they are known less well, because F vanishes to a higher
#: order, those this near are.
SAME, BLURRED = 1e-6, 2e-3
#: Charts that are looked at for a point: the nearest ones, up to this distance in units of h.
LOOKS, REACH = 4, 1.5
#: Steps of a walk on a manifold without an atlas, and their length in units of the box.
WALK, STRIDE = 60, 0.1
#: Rest points alike on manifolds that are not traced are taken for one component if they are of one class; their costs
#: must agree to this share of the usual cost, the median at this many points of the box.
LEVEL, COSTS = 1e-9, 16
#: Parts of h in which a walk goes beside the end of an atlas.
FINE = 16


class Known:
    """A component with what recognises its points.

    Parameters
    ----------
    system : System
    structure : LocalStructure
        At its first point.
    atlas : Atlas
        One chart if it was not traced.
    policy : RankPolicy
    problem : RestProblem
        With `canonical`, the charts' representatives belong to the component too; of a gradient flow cost, index
        and rank D tell where there is no atlas.
    """

    def __init__(
        self,
        system: System,
        structure: LocalStructure,
        atlas: Atlas,
        policy: RankPolicy,
        problem: RestProblem,
    ) -> None:
        self.system, self.structure, self.atlas, self.policy, self.problem = system, structure, atlas, policy, problem
        self.starts = 0

    @property
    def point(self) -> Array:
        """Its first point."""
        return self.atlas.charts.points[0]

    @property
    def traced(self) -> bool:
        """Whether there are charts beside the first."""
        return len(self.atlas.charts) > 1

    @property
    def regular(self) -> bool:
        """Whether points on it are known to roundoff."""
        return self.structure.verdict == "morse_bott"

    def holds(self, z: Array, structure: LocalStructure | None = None) -> bool:
        """Whether a rest point lies on it; what the set is like there helps where there is no atlas."""
        near = SAME if self.regular else BLURRED
        if np.linalg.norm(z - self.point) <= near * self.system.size:
            return True
        if not self.structure.dimension:
            return False
        if self.traced:
            if self._lands(z, self.atlas.charts.points) or self._ends_near(z):
                return True
            return self._images is not None and self._lands(z, self._images)
        alike = structure is not None and (structure.verdict, structure.dimension, structure.nullity) == (
            self.structure.verdict, self.structure.dimension, self.structure.nullity,
        )  # fmt: skip
        return alike and structure is not None and (self._same_class(z, structure) or self._walks(z))

    def _same_class(self, z: Array, structure: LocalStructure) -> bool:
        """Whether cost, index and rank of the output map are those here: the only signs without an atlas."""
        cost = self.problem.cost
        if cost is None or not self.problem.gradient:
            return False
        here, there = cost(self.point), cost(z)
        if abs(here - there) > LEVEL * max(abs(here), abs(there), self._usual_cost):
            return False
        return self._kind_at(z, structure) == self._kind

    def _kind_at(self, z: Array, structure: LocalStructure) -> tuple[int | None, int | None]:
        """Return the index and the rank of D at a rest point, as far as there are any."""
        index, rank, output = None, None, self.problem.output
        if self.problem.linearize is not None:
            tangent = structure.spaces.right if structure.verdict == "morse_bott" else structure.tangent
            found = stability(replace(self.problem, output=None), z[None], tangent[None], self.policy)
            index = int(found.index[0])
        if output is not None:
            rank = decide(output.jacobian(z[: output.n_in]), self.policy).rank
        return index, rank

    @cached_property
    def _kind(self) -> tuple[int | None, int | None]:
        return self._kind_at(self.point, self.structure)

    @cached_property
    def _usual_cost(self) -> float:
        points = self.system.box.points(COSTS, np.random.default_rng(0))
        return float(np.median([abs(self.problem.cost(z)) for z in points])) if self.problem.cost is not None else 0.0

    @cached_property
    def _images(self) -> Array | None:
        """The representatives of the charts, where they are others."""
        points = self.atlas.charts.points
        canonical = self.problem.canonical
        if canonical is None:
            return None
        images = np.array([canonical(point) for point in points])
        moved = np.linalg.norm(images - points, axis=1) > SAME * self.system.size
        return images[moved] if moved.any() else None

    def _lands(self, z: Array, centres: Array) -> bool:
        """Whether the point of the manifold over the image of z in the tangent space of a chart is z."""
        charts = self.atlas.charts
        apart = np.linalg.norm(centres - z, axis=1)
        own = centres is charts.points
        for i in np.argsort(apart, kind="stable")[:LOOKS]:
            if apart[i] > REACH * charts.h:
                break
            if own:
                tangent, cokernel = charts.tangents[i], charts.cokernels[i]
            else:
                spaces = rank_at(self.system, centres[i], self.policy)
                tangent, cokernel = spaces.of_rank(z.size - charts.dimension)
            over = centres[i] + tangent @ (tangent.T @ (z - centres[i]))
            found = correct(self.system, over, tangent, cokernel, REACH * charts.h)
            if found is not None and np.linalg.norm(found[0] - z) <= SAME * self.system.size:
                return True
        return False

    def _ends_near(self, z: Array) -> bool:
        """Whether z lies between a chart from which no step could be made and what is not smooth beside it."""
        charts = self.atlas.charts
        for end in self.atlas.ends:
            if np.linalg.norm(z - end) <= REACH * charts.h:
                i = int(np.argmin(np.linalg.norm(charts.points - end, axis=1)))
                if self._arrives(z, charts.chart(i), charts.h / FINE):
                    return True
        return False

    def _walks(self, z: Array) -> bool:
        """Whether steps from the first point towards z arrive."""
        spaces = self.structure.spaces
        first = replace(self.atlas.charts.chart(0), tangent=spaces.right, cokernel=spaces.left)
        return self._arrives(z, first, STRIDE * self.system.size)

    def _arrives(self, z: Array, chart: Chart, stride: float) -> bool:
        """Whether steps on the manifold towards z arrive there."""
        size = self.system.size
        for _ in range(WALK):
            ahead = z - chart.z
            distance = float(np.linalg.norm(ahead))
            if distance <= (SAME if self.regular else BLURRED) * size:
                return True
            ahead = ahead * min(1.0, stride / distance)
            if self.regular:
                found = stepped(self.system, chart, chart.tangent @ (chart.tangent.T @ ahead))
                if found is None:
                    return False
                chart = found.chart
            else:
                chart = replace(chart, z=descend(self.system, chart.z + ahead).z)
            if not np.linalg.norm(z - chart.z) <= distance - np.linalg.norm(ahead) / 10:
                return False
        return False
