"""A step from a chart of a manifold of rest points to another one on the same sheet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from subriem.core.bordered import Bordered
from subriem.core.protocols import Array
from subriem.critical.arc import cubic
from subriem.critical.charts import Chart
from subriem.critical.corrector import correct
from subriem.critical.passage import located
from subriem.critical.system import System

#: How far the chord may lie off the mean of the tangent spaces at its ends, relative to its length: by a share of their
#: angle (rad), which is the change of curvature along the step, or by a number.
SKEW, STRAIGHT = 0.15, 2e-3
#: How near to the chart, in units of the step, second derivatives are taken.
CLOSE = 1e-4


@dataclass(frozen=True, eq=False)
class Step:
    """Where a step led to; made by `stepped`.

    Attributes
    ----------
    chart : Chart
        Its bases are those of the first chart, turned.
    tilt : float
        The angle between the tangent spaces (rad).
    """

    chart: Chart
    tilt: float


def stepped(system: System, chart: Chart, v: Array) -> Step | None:
    """Return the chart over z + v, v in the tangent space at z, or None if there is none on this sheet.

    Notes
    -----
    A point may lie on another sheet if the chord does not fit the tangent spaces at its ends, or if the determinant
    changed its sign. It is looked for once more then from a prediction of second order, whose error is small beside the
    distance of sheets that touch each other too. If the determinant still has another sign, a rest point of smaller
    rank must lie between the two.
    """
    found = _landed(system, chart, v, v)
    if found is None or (_fits(chart, found) and not _flips(chart, found)):
        return found
    bend = _bend(system, chart, v)
    found = _landed(system, chart, v, v + bend) if bend is not None else None
    if found is None or not _fits(chart, found):
        return None
    if _flips(chart, found):
        predict = partial(cubic, chart, v, 1.0, found.chart.z, found.chart.tangent)
        return found if located(system, chart, v, (0.0, 1.0), predict, False) is not None else None
    return found


def _bend(system: System, chart: Chart, v: Array) -> Array | None:
    """Return how far the manifold over z + v is off the tangent space at z, to second order."""
    ahead, behind = (system.jacobian(chart.z + sign * CLOSE * v) for sign in (1.0, -1.0))
    second = (ahead - behind) @ v / (2 * CLOSE)
    try:
        return Bordered(system.jacobian(chart.z), chart.tangent, chart.cokernel).step(-second / 2)
    except np.linalg.LinAlgError:
        return None


def _fits(chart: Chart, step: Step) -> bool:
    """Whether the chord of a step is along the mean of the tangent spaces at its ends, as on one sheet."""
    chord = step.chart.z - chart.z
    mean = sum(basis @ (basis.T @ chord) for basis in (chart.tangent, step.chart.tangent))
    length = float(np.linalg.norm(mean))
    if not length:
        return False
    off = float(np.linalg.norm(chord - mean * (chord @ mean / length**2)))
    return off <= max(SKEW * step.tilt, STRAIGHT) * float(np.linalg.norm(chord))


def _flips(chart: Chart, step: Step) -> bool:
    """Whether the determinant has another sign, where it is known at the chart."""
    return chart.determinant[0] * step.chart.determinant[0] < 0


def _landed(system: System, chart: Chart, v: Array, ahead: Array) -> Step | None:
    """Return the chart over z + v that is found from z + `ahead`."""
    found = correct(system, chart.z + ahead, chart.tangent, chart.cokernel, float(np.linalg.norm(v)))
    if found is None or found[1] > system.zero:
        return None
    q, residual = found
    bordered = Bordered(system.jacobian(q), chart.tangent, chart.cokernel)
    try:
        turned, left, tilt = bordered.turned()
        determinant = Bordered(bordered.matrix, turned, left).determinant()
    except np.linalg.LinAlgError:
        return None
    return Step(Chart(q, turned, left, determinant, residual), tilt)
