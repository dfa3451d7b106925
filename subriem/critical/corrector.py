"""Back to a manifold of rest points from beside it: Newton's method of fixed rank, along the normal space."""

from __future__ import annotations

import numpy as np

from subriem.core.bordered import Bordered
from subriem.core.protocols import Array
from subriem.critical.system import System

#: Most steps; a step below this share of the box is the last one, because the next would be its square.
STEPS, LAST = 8, 1e-7


def correct(system: System, z: Array, tangent: Array, cokernel: Array, reach: float) -> tuple[Array, float] | None:
    """Return q with T^T (q - z) = 0 that solves the equations beside the cokernel, and |F(q)|; None without one nearby.

    The rank is that which T (n, k) and the cokernel (m, m - n + k) leave to the Jacobian. Equations that depend on the
    others at rest points are left out by the cokernel: q is a rest point if |F(q)| is zero too.
    """
    q = z
    for _ in range(STEPS):
        value = system.value(q)
        try:
            step = Bordered(system.jacobian(q), tangent, cokernel).step(-value)
        except np.linalg.LinAlgError:
            return None
        q = q + step
        size = float(np.linalg.norm(step))
        if not (size < np.inf and np.linalg.norm(q - z) <= reach):  # a NaN is no size
            return None
        if size <= LAST * system.size:
            return q, system.norm(q)
    return None
