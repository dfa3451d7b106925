"""What integrates a reduced DAE: one interface for all engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.reduction.reduction import Reduction


@dataclass(frozen=True)
class Options:
    """What an engine must know beside the system.

    Attributes
    ----------
    rtol, atol : float
        Local tolerances on the states and unknowns.
    pole : float
        Baumgarte's pole, 0 for none.
    jit : bool
        Whether to compile by the machine's C compiler.
    nodes : int
        Number of intervals of the grid on which a piece is returned.
    """

    rtol: float
    atol: float
    pole: float = 0.0
    jit: bool = False
    nodes: int = 128


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a solution between two times, on an increasing or decreasing grid.

    Attributes
    ----------
    t : (N + 1,) ndarray
    z : (N + 1, m) ndarray
        States, quadratures after them.
    a : (N + 1, l) ndarray
        Unknowns as the engine carries them.
    failure : str
        Why it ends before its goal; empty if it does not.
    stats : dict
    """

    t: Array
    z: Array
    a: Array
    failure: str = ""
    stats: dict[str, Any] = field(default_factory=dict)


class Engine(ABC):
    """An engine set up for one reduced system; it integrates from a consistent state over a stretch of time."""

    @abstractmethod
    def advance(self, t0: float, t1: float, z: Array, a: Array, q: Array) -> Piece:
        """Integrate from t0 to t1, or as far as it goes; t1 < t0 goes back in time."""


class Integrator(ABC):
    """A way to integrate reduced DAEs.

    Attributes
    ----------
    name : str
    """

    name: str

    @abstractmethod
    def refuses(self, reduction: Reduction) -> str | None:
        """Return why this reduction cannot be integrated this way, or None."""

    @abstractmethod
    def prepare(self, reduction: Reduction, quadratures: ca.Function | None, options: Options) -> Engine:
        """Set the engine up.

        Parameters
        ----------
        reduction : Reduction
        quadratures : casadi.Function or None
            (t, z, tops, q) -> integrands.
        options : Options
        """


def grid(t0: float, t1: float, nodes: int) -> Array:
    """Return nodes + 1 equally spaced times, the ends exact."""
    times = np.linspace(t0, t1, nodes + 1)
    times[0], times[-1] = t0, t1
    return times
