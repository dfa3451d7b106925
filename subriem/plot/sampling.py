"""A path looked at between its accepted points."""

from __future__ import annotations

import numpy as np

from subriem.core.protocols import Array, Map
from subriem.flows.flowsolution import FlowSolution
from subriem.plot.clock import last_finite, time_to

#: Points at which a path is looked at, and the smallest (C - floor)/C0 that is shown.
POINTS, VISIBLE = 160, 1e-9


def sampled(solution: FlowSolution, source: Map, before: float = 1.0) -> tuple[Array, Array, Array]:
    """Return s, theta and outputs at the start and at times spread logarithmically over the path.

    The first of these times is `before` times the first accepted step.
    """
    last = last_finite(solution)
    first = before * float(solution.s[1]) if solution.s.size > 1 and np.isfinite(solution.s[1]) else 1.0
    if solution.clock == "t" and solution.rate is not None and solution.t[-1] == 1.0:
        last = time_to(VISIBLE, solution.rate)
    later = np.geomspace(min(first, last), last, POINTS) * (1 - 1e-12) if last > 0 else np.zeros(0)
    s = np.concatenate([[0.0], later])
    theta = np.array([solution.at(s=value) for value in s])
    return s, theta, np.array([source.value(point) for point in theta])
