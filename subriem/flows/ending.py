"""How a path ends where the hypothesis "rank D stays full" fails: a rank change or an escape to infinity.

Both happen at a finite clock with unbounded speed (docs: mathematics, §1: the fold theta^2, the escape tanh). They are
told apart by the arc length l = sigma/|d sigma/dl| that is left before sigma_min vanishes: it goes to 0 at a rank
change and stays bounded below at an escape, where 1/|theta'| vanishes at least linearly. Where the two signs
disagree, or the singularity is told from far, the end is ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.status import Status

#: sigma_min / sigma_max(path) below which an ending is looked for: this, or so many floors of the rank policy if less.
#: A path that merely passes near a singularity, above the floor, is thus followed past it.
NEAR, FLOORS = 1e-7, 10.0
#: Exponent p of the slowness 1/|theta'| ~ (t* - t)^p below which the arc length left is finite: 1 - 1/m at a rank loss
#: x ~ theta^m, 1 or more at an escape.
FINITE_LENGTH = 0.95
#: Remaining arc length, relative to the length travelled, above which the end cannot be a point.
POINT_LIKE = 3e-2
#: Predicted remaining clock, relative to the elapsed one, below which a near singularity ends the path.
IMMINENT = 3e-4
#: The same, above which an end is told from too far to say of which sort it is.
FAR = 1.5e-2
#: The same where the steps crawl, provided a power law fits all remembered steps to `FIT`.
VISIBLE, FIT = 2e-3, 1e-2
#: Ratio of sigma_min between the three steps through which an ending is extrapolated; a rise by less than `ROUGHNESS`
#: on the way is noise.
RATIO, ROUGHNESS = 1.5, 0.2
#: Accepted steps remembered.
MEMORY = 200
#: Steps crawl if over `WINDOW` accepted ones the remaining clock did not fall to `CRAWL` of what it was.
WINDOW, CRAWL = 25, 0.5


@dataclass(frozen=True)
class Mark:
    """What one accepted step tells about the approach to an ending."""

    clock: float
    sigma_min: float
    speed: float
    length: float


@dataclass(frozen=True)
class Ending:
    """A named end.

    Attributes
    ----------
    status : Status
        RANK_CHANGED, ESCAPED, or RANK_AMBIGUOUS where a fold and an escape are not told apart.
    clock : float
        Extrapolated clock of the singularity.
    remaining_length : float
        l = sigma/|d sigma/dl| at the last accepted step.
    """

    status: Status
    clock: float
    remaining_length: float


def _healthier(marks: list[Mark], than: Mark) -> Mark | None:
    """Return the newest mark of clearly larger sigma_min, back to its last rise; None if there is none."""
    previous = than
    for mark in reversed(marks):
        if mark.clock >= than.clock:
            continue
        if mark.sigma_min < previous.sigma_min * (1 - ROUGHNESS):
            return None
        if mark.sigma_min >= RATIO * than.sigma_min:
            return mark
        previous = mark
    return None


def approach(marks: list[Mark]) -> Ending | None:
    """Extrapolate a path to a singularity; None unless sigma_min fell of late.

    Three steps, of clearly different sigma_min so that roundoff does not count, give t* and the exponent of
    sigma ~ (t* - t)^q. The speed, which tells a rank change from an escape, is rougher where the flow is stiff: a
    rank change needs both a speed of finite length and little length left by sigma/|d sigma/dl|.
    """
    last = marks[-1]
    middle = _healthier(marks, last) if last.sigma_min > 0 else None
    first = _healthier(marks, middle) if middle is not None else None
    if middle is None or first is None:
        return None
    end = power_law((first, middle, last))
    if not end > last.clock:
        return None
    return _named(first, middle, last, end)


def _named(first: Mark, middle: Mark, last: Mark, end: float) -> Ending:
    """Return the ending at t* = end, told apart by the arc length left and by whether the speed allows a finite one.

    A speed of infinite length is an escape however little length the last step promises; a finite one with much length
    left, or a singularity that is far, leaves it open.
    """
    remaining = last.sigma_min * (last.length - middle.length) / (middle.sigma_min - last.sigma_min)
    finite = exponent(first, last, end) < FINITE_LENGTH
    status = Status.ESCAPED
    if finite:
        status = Status.RANK_CHANGED if remaining <= POINT_LIKE * last.length else Status.RANK_AMBIGUOUS
    if end - last.clock > FAR * last.clock:
        status = Status.RANK_AMBIGUOUS
    return Ending(status, end, remaining)


def exponent(earlier: Mark, later: Mark, end: float) -> float:
    """Return p of 1/|theta'| ~ (end - t)^p between two steps; its integral is finite for p < 1."""
    return float(np.log(later.speed / earlier.speed) / np.log((end - earlier.clock) / (end - later.clock)))


def power_law(marks: tuple[Mark, Mark, Mark]) -> float:
    """Return t* of the law sigma_min = c (t* - t)^q through three steps of falling sigma_min; nan if there is none."""
    first, middle, last = marks
    before, after = np.log(first.sigma_min / middle.sigma_min), np.log(middle.sigma_min / last.sigma_min)
    early, late = middle.clock - first.clock, last.clock - middle.clock
    if not (before > 0 and after > 0 and early > 0 and late > 0):
        return np.nan
    wanted = after / before
    # the ratio of logarithms falls from inf to late/early as t* - t runs from 0 to inf
    if wanted <= late / early:
        return np.nan
    low, high = -700.0, 50.0
    for _ in range(100):
        centre = 0.5 * (low + high)
        rest = late * np.exp(centre)
        if np.log1p(late / rest) / np.log1p(early / (rest + late)) > wanted:
            low = centre
        else:
            high = centre
    return last.clock + late * float(np.exp(0.5 * (low + high)))


def crawling(marks: list[Mark]) -> Ending | None:
    """Return the singularity before which the steps crawl, if one power law fits all remembered steps, else None.

    Stiff or roundoff-limited steps may take thousands of evaluations for the last permille of the way; once the law
    is plain they tell nothing new.
    """
    if len(marks) < WINDOW:
        return None
    recent = marks[-WINDOW:]
    first, middle, last = recent[0], recent[WINDOW // 2], recent[-1]
    end = power_law((first, middle, last)) if last.sigma_min > 0 else np.nan
    rest = end - last.clock
    if not (np.isfinite(end) and CRAWL * (end - first.clock) < rest <= VISIBLE * last.clock):
        return None
    clocks, sigmas = (np.array([getattr(mark, name) for mark in recent]) for name in ("clock", "sigma_min"))
    power = np.log(first.sigma_min / last.sigma_min) / np.log((end - first.clock) / rest)
    law = last.sigma_min * ((end - clocks) / rest) ** power
    if np.abs(sigmas / law - 1.0).max() > FIT:
        return None
    return _named(first, middle, last, end)


def ending(marks: list[Mark], scale: float, floor: float, *, stalled: bool = False) -> Ending | None:
    """Return the named end that the last accepted steps show, or None.

    Parameters
    ----------
    marks : list of Mark
        Accepted steps, newest last.
    scale : float
        Largest sigma_max of the path.
    floor : float
        Relative floor of the rank policy.
    stalled : bool
        Whether the step size fell below the resolution of the clock, or the decided rank dropped.
    """
    if len(marks) < 3:
        return None
    found = crawling(marks)
    if found is not None:
        return found
    found = approach(marks)
    if found is None or stalled:
        return found
    near = marks[-1].sigma_min < min(NEAR, FLOORS * floor) * scale
    return found if near and found.clock - marks[-1].clock < IMMINENT * marks[-1].clock else None
