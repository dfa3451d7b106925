"""The time axis that all figures share: s in units of N, or t in [0, 1]."""

from __future__ import annotations

import numpy as np

from subriem.flows.field import Clock
from subriem.flows.flowsolution import FlowSolution

#: What stands below a time axis.
LABELS: dict[Clock, str] = {"s": "time  s / N", "t": r"time  $t = 1 - e^{-s/N}$"}


def last_finite(solution: FlowSolution) -> float:
    """Return the last s of a path that can be drawn: the end t = 1 is s = infinity."""
    finite = solution.s[np.isfinite(solution.s)]
    return float(finite[-1]) if finite.size else 0.0


def time_to(ratio: float, rate: float) -> float:
    """Return the s at which the exact line has (C - floor)/C0 = ratio: C falls like e^{-2 rate s}."""
    return -float(np.log(ratio)) / (2 * rate)
