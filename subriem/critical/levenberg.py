"""From a start to a zero of F: Levenberg and Marquardt's iteration, with the reason of its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from subriem.core.jacobian import ArrayJacobian
from subriem.core.lift import solve
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, EPS
from subriem.critical.system import System

#: Most steps, and steps tried from one point.
STEPS, TRIALS = 300, 24
#: Numbers of steps at which |F| must have fallen to this share of what it was after half of them: on plateaus and in
#: valleys that fall off to infinity it falls like a power of the number of steps.
LOOKS, FALLS = (64, 128, 256), 0.1
#: A last step of this share of the box or less is that of an iteration which converges, if slowly.
SETTLED = 1e-4
#: A start that leaves the box made this many times larger has run away.
FAR = 10.0
#: Of the damping: its first factor, the least one, and by how much it grows and falls.
FIRST, LEAST, CHANGE = 1.0, 1e-4, 4.0


class End(Enum):
    """Why the iteration from a start ended; the value says it in words."""

    ZERO = "converged"
    OUTSIDE = "converged outside the box"
    AWAY = "ran away"
    MINIMUM = "ended at a least |F| that is not zero"
    SLOW = "did not converge"
    UNDEFINED = "met a value that is not finite"


@dataclass(frozen=True, eq=False)
class Descent:
    """The end of one iteration.

    Attributes
    ----------
    z : (n,) ndarray
    residual : float
        |F| there, in lengths.
    end : End
    evaluations : int
    """

    z: Array
    residual: float
    end: End
    evaluations: int


def descend(system: System, z: Array, steps: int = STEPS, least: float = LEAST) -> Descent:
    """Go from z to a zero of F by damped least-norm steps; `least` is that of the damping's factor c.

    Notes
    -----
    v = -J^T (J J^T + mu)^{-1} F with mu = c |F| |J|^2: fast also where zeros are not isolated (Fan and Yuan, Computing
    74 (2005) 23-39), and the zero found is near the start. At zeros of higher order it converges linearly, until |F| is
    roundoff. A small |F| alone is no zero: on a plateau that falls off to infinity the steps do not become small.
    """
    size, factor, count = system.size, FIRST, 0
    value, step = system.value(z), np.inf
    residual = float(np.linalg.norm(value))
    if not np.isfinite(residual):
        return Descent(z, residual, End.UNDEFINED, 1)
    halfway = residual
    for number in range(steps):
        count += 1
        if number in LOOKS and residual > max(FALLS * halfway, system.zero):
            break
        if 2 * number in LOOKS:
            halfway = residual
        if residual <= system.roundoff(z) and step <= SETTLED * size:
            break
        jacobian = system.jacobian(z)
        slope = float(np.linalg.norm(jacobian))
        if not np.isfinite(slope):
            return Descent(z, residual, End.UNDEFINED, count)
        if not slope or not residual:
            step = 0.0
            break
        found = _improved(system, z, value, residual, jacobian, factor * residual / size * slope**2)
        if found is None:
            step = 0.0  # nothing near z is better, to the roundoff
            break
        new, value, rejected = found
        factor = max(factor * CHANGE**rejected / CHANGE, least) if rejected < 2 else factor * CHANGE**rejected
        count += rejected + 1
        step, z = float(np.linalg.norm(new - z)), new
        residual, previous = float(np.linalg.norm(value)), residual
        if not system.box.holds(z, FAR):
            return Descent(z, residual, End.AWAY, count)
        if step <= 16 * EPS * max(size, float(np.linalg.norm(z))) or (
            residual > system.zero and step <= 1e-9 * size and residual > previous * (1 - 1e-9)
        ):
            break
    return Descent(z, residual, _end(system, z, residual, step), count)


def _end(system: System, z: Array, residual: float, step: float) -> End:
    if residual <= system.zero and step <= SETTLED * system.size:
        return End.ZERO if system.box.holds(z) else End.OUTSIDE
    return End.MINIMUM if step <= 1e-6 * system.size else End.SLOW


def _improved(
    system: System, z: Array, value: Array, residual: float, jacobian: Array, damping: float
) -> tuple[Array, Array, int] | None:
    """Return a point with a smaller |F|, F there, and how often the damping had to grow; None if there is none."""
    for rejected in range(TRIALS):
        with np.errstate(all="ignore"):
            _, (v, _, _) = solve(
                ArrayJacobian(jacobian), -value, DEFAULT_RANK, damping=damping * CHANGE ** (2 * rejected), certify=False
            )
            new = z + v
        if not np.isfinite(new).all():
            continue
        there = system.value(new)
        size = float(np.linalg.norm(there))
        if np.isfinite(size) and size < residual:
            return new, there, rejected
    return None
