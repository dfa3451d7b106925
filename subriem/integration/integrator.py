"""What integrates a reduced DAE: one interface for all engines.

An integrator reads off a system the face it needs: the semi-explicit one x' = f(t, x, a), 0 = g(t, x, a), or
the explicit one, in which `reduction.elimination.solve_affine` has solved for the unknowns a.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from subriem.core.protocols import Array
from subriem.integration.system import System

#: Intervals of the grid on which an engine returns a stretch.
NODES = 64


@dataclass(frozen=True)
class Options:
    """What an engine must know beside the system.

    Attributes
    ----------
    rtol, atol : float
        Local tolerances on the states and unknowns.
    jit : bool
        Whether to compile by the machine's C compiler.
    """

    rtol: float
    atol: float
    jit: bool = False


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a solution between two times, on an increasing or decreasing grid.

    Attributes
    ----------
    t : (N + 1,) ndarray
    x : (N + 1, m) ndarray
        States, quadratures after them.
    a : (N + 1, l) ndarray
        Unknowns as the engine carries them.
    failure : str
        Why it ends before its goal; empty if it does not.
    dense : callable, optional
        Times -> states (len(times), m) as exact as the nodes, where the engine has them.
    stats : dict
        Counts: steps, rejected, evaluations, jacobians, as far as they are known.
    """

    t: Array
    x: Array
    a: Array
    failure: str = ""
    dense: Callable[[Array], Array] | None = None
    stats: dict[str, int] = field(default_factory=dict)


class Engine(ABC):
    """An engine set up for one reduced system; it integrates from a consistent state over a stretch of time.

    Attributes
    ----------
    notes : dict
        What the user should know of the set-up: compiler, fallbacks.
    """

    notes: dict[str, Any]

    #: Whether what it finds between the ends of a leg is as exact as they are.
    dense = False

    @abstractmethod
    def advance(self, t0: float, t1: float, x: Array, a: Array, q: Array, patient: bool = False) -> Piece:
        """Integrate from t0 to t1, or as far as it goes, with exact nodes; t1 < t0 goes back in time.

        A call that is `patient` may take longer, where nothing shorter is of use.
        """

    def leap(self, t0: float, t1: float, x: Array, a: Array, q: Array, looks: bool = True) -> Piece:
        """Integrate from t0 to t1 in as few steps as the tolerance needs; an engine need not be able to.

        Nodes between show what happens there; without `looks` there need not be any.
        """
        return Piece(np.array([t0]), x[None], a[None], "the engine does not take a leg in one call")


class Integrator(ABC):
    """A way to integrate reduced DAEs.

    Attributes
    ----------
    name : str
    """

    name: str

    @abstractmethod
    def refuses(self, system: System) -> str | None:
        """Return why this system cannot be integrated this way, or None."""

    @abstractmethod
    def prepare(self, system: System, options: Options) -> Engine:
        """Set the engine up."""


def grid(t0: float, t1: float) -> Array:
    """Return NODES + 1 equally spaced times, the ends exact."""
    times = np.linspace(t0, t1, NODES + 1)
    times[0], times[-1] = t0, t1
    return times
