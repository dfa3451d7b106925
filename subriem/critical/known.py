"""Whether a rest point lies on a component that is known: so no manifold is found twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.critical.atlas import Atlas
from subriem.critical.charts import Chart
from subriem.critical.corrector import correct
from subriem.critical.dimension import LocalStructure, rank_at
from subriem.critical.levenberg import descend
from subriem.critical.step import stepped
from subriem.critical.system import System

#: Rest points this near (in units of the box) are one; where they are known less well, because F vanishes to a higher
#: order, those this near are.
SAME, BLURRED = 1e-6, 2e-3
#: Charts that are looked at for a point: the nearest ones, up to this distance in units of h.
LOOKS, REACH = 4, 1.5
#: Steps of a walk on a manifold without an atlas, and their length in units of the box.
WALK, STRIDE = 60, 0.1
#: Rest points alike on manifolds that are not traced are taken for one component if their costs agree to this share of
#: the usual cost, the median at this many points of the box.
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
    canonical : callable, optional
        z -> the representative of its orbit: the charts' representatives belong to the component too.
    cost : callable, optional
        z -> the cost of which rest points are critical points.
    """

    def __init__(
        self,
        system: System,
        structure: LocalStructure,
        atlas: Atlas,
        policy: RankPolicy,
        canonical: Callable[[Array], Array] | None,
        cost: Callable[[Array], float] | None = None,
    ) -> None:
        self.system, self.structure, self.atlas, self.policy = system, structure, atlas, policy
        self.canonical, self.cost = canonical, cost
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
        return alike and (self._same_cost(z) or self._walks(z))

    def _same_cost(self, z: Array) -> bool:
        """Whether the cost, which is constant on a component, is that here: the only sign without an atlas."""
        if self.cost is None:
            return False
        here, there = self.cost(self.point), self.cost(z)
        return abs(here - there) <= LEVEL * max(abs(here), abs(there), self._usual_cost)

    @cached_property
    def _usual_cost(self) -> float:
        points = self.system.box.points(COSTS, np.random.default_rng(0))
        return float(np.median([abs(self.cost(z)) for z in points])) if self.cost is not None else 0.0

    @cached_property
    def _images(self) -> Array | None:
        """The representatives of the charts, where they are others."""
        points = self.atlas.charts.points
        if self.canonical is None:
            return None
        images = np.array([self.canonical(point) for point in points])
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
