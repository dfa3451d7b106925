"""Ends of many normal geodesics by Taylor series, and what certifies them."""

from __future__ import annotations

import numpy as np

from subriem.core.errors import SolveError
from subriem.core.protocols import Array
from subriem.core.status import Status
from subriem.geometry.normal import ROUNDOFF, NormalFlow, exponentials, relative_changes

#: Geodesics that are run again by the other method, at most.
SAMPLE = 8
#: Change of H, relative to the larger of 1 and H, over the tolerance, that is let pass.
DRIFT = 100.0


def taylor_exponentials(flow: NormalFlow, q: Array, p: Array, time: float, tolerance: float) -> Array:
    """Return the ends of many geodesics (B, N) from the rows of q and p, by Taylor series with steps to roundoff.

    The steps are those of the series' own control, for roundoff whatever the tolerance. Two things certify the ends: H
    is the same at both ends of every geodesic, and a sample, the fastest among them, ends where DOP853 ends.

    Raises
    ------
    MissingExtraError
        If heyoka is not installed.
    SolveError
        If a geodesic does not reach its end, or a check fails; `.solution` holds the ends found.
    """
    start = np.hstack([q, p if time >= 0 else -p])  # exp(q, p, -t) = exp(q, -p, t)
    run = flow.series.run_batch(0.0, abs(time), start)
    ends = run.z[:, : flow.n]
    lost = [i for i, status in enumerate(run.status) if status is not Status.SUCCESS]
    if lost:
        raise SolveError(
            "a geodesic could not be followed to its end",
            f"number {lost[0]}: {run.status[lost[0]].value} at t = {run.t[lost[0]]:.6g}",
            f"t = {abs(time):g}",
            "a shorter time, or shoot(…, throw=False) to see where it ends",
            ends,
        )
    (before,), (after,) = (flow.energies(z) for z in (start, run.z))
    drift = np.abs(after - before)[:, 0] / np.maximum(1.0, before[:, 0])
    sample = np.unique([*np.linspace(0, len(q) - 1, SAMPLE - 1, dtype=int), int(np.argmax(before))])
    again = exponentials(flow, q[sample], p[sample], time, tolerance)
    gaps = relative_changes(again, ends[sample])
    for what, errors, bound, places in (
        ("H is not constant along a geodesic", drift, DRIFT * max(tolerance, ROUNDOFF), np.arange(len(q))),
        ("two methods do not agree on a geodesic", gaps, 2 * max(tolerance, ROUNDOFF * DRIFT), sample),
    ):
        worst = int(np.argmax(np.where(np.isfinite(errors), errors, np.inf)))
        if not errors[worst] <= bound:
            raise SolveError(
                what,
                f"number {places[worst]}: off by {errors[worst]:.1e}",
                f"at most {bound:.1e}",
                "method='dop853', a shorter time, or a larger rtol",
                ends,
            )
    return ends
