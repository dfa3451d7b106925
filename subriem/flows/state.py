"""Where a run stands: everything the loop needs to go on, as plain numbers and arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from subriem.core.lift import Backend
from subriem.core.protocols import Array
from subriem.flows.ending import Mark


@dataclass
class FlowState:
    """The resumable state of a run.

    Attributes
    ----------
    clock : float
    theta : (K,) ndarray
    step : float
        Next step size; 0 lets the loop choose.
    last_step, last_size : float
        The last accepted step and its error norm, for the step size control.
    careful : int
        Accepted steps for which a rejection is remembered.
    stiff : bool
        Whether steps are implicit.
    probe : int
        Accepted steps since the stiffness was last looked at.
    integrals : dict of float
        Quadratures so far.
    quadrature_errors : dict of float
        Their accumulated embedded error estimates.
    theta_error : float
        Accumulated embedded error estimates, in parameter units.
    sigma_scale : float
        Largest sigma_max so far.
    cost0, lowest_cost : float
        Cost at the start of the run, and the lowest one so far.
    clock_name, kind : str
        "s" or "t", and the kind of flow; empty before the first run.
    x0 : (n,) ndarray or None
        Output at the start of the run, where its straight line begins.
    gradient0 : (n,) ndarray or None
        grad_x C there; with `cost0` it tells whether a resumed run has the same cost.
    x : (n,) ndarray or None
        Output at theta; it tells whether a resumed run has the same map.
    rank : int
        Decided rank at the start; -1 where none was taken.
    backend : str
        Where the escalation of the lift begins.
    accepted, rejected, projections : int
    evaluations : int
        Parameters at which the map was evaluated.
    marks : list of Mark
        The last accepted steps, for the classification of an ending.
    """

    clock: float
    theta: Array
    step: float = 0.0
    last_step: float = 0.0
    last_size: float = 1.0
    careful: int = 0
    stiff: bool = False
    probe: int = 0
    integrals: dict[str, float] = field(default_factory=dict)
    quadrature_errors: dict[str, float] = field(default_factory=dict)
    theta_error: float = 0.0
    sigma_scale: float = 0.0
    cost0: float = np.nan
    lowest_cost: float = np.inf
    clock_name: str = ""
    kind: str = ""
    x0: Array | None = None
    gradient0: Array | None = None
    x: Array | None = None
    rank: int = -1
    backend: Backend = "auto"
    accepted: int = 0
    rejected: int = 0
    projections: int = 0
    evaluations: int = 0
    marks: list[Mark] = field(default_factory=list)
