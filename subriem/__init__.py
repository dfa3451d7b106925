"""Flows under constraints whose rank may fail.

A flow is a DAE whose rank may fail; subriem finds what is determined, picks the horizontal (least-norm) motion where
there is freedom, the least-squares motion where there is conflict, and says which.
"""

import logging

from subriem import flows, io
from subriem.core.budget import Budget, CancelToken
from subriem.core.casadi_map import casadi_map as map
from subriem.core.dependence import Dependence, dependent_rows
from subriem.core.errors import (
    EquilibriumError,
    GeometryError,
    InconsistentError,
    MissingExtraError,
    ProblemError,
    RankError,
    ReductionError,
    SolveError,
    SubriemError,
)
from subriem.core.lift import Lift, lift
from subriem.core.map import check_map, numpy_map
from subriem.core.protocols import Map
from subriem.core.rank import RankDecision, RankPolicy, RankWarning
from subriem.core.status import Status
from subriem.critical.equilibria import equilibria
from subriem.flows.follow import follow
from subriem.flows.run import Until
from subriem.geometry.checks import check_space
from subriem.geometry.compare import compare
from subriem.geometry.subriemannian import SubRiemannian
from subriem.integration.events import Event
from subriem.integration.solve import solve
from subriem.reduction.dae import DAE, dae
from subriem.reduction.reduce import reduce
from subriem.reduction.reduction import Reduction

__version__ = "0.1.0"

__all__ = [
    "DAE",
    "Budget",
    "CancelToken",
    "Dependence",
    "EquilibriumError",
    "Event",
    "GeometryError",
    "InconsistentError",
    "Lift",
    "Map",
    "MissingExtraError",
    "ProblemError",
    "RankDecision",
    "RankError",
    "RankPolicy",
    "RankWarning",
    "Reduction",
    "ReductionError",
    "SolveError",
    "Status",
    "SubRiemannian",
    "SubriemError",
    "Until",
    "check_map",
    "check_space",
    "compare",
    "dae",
    "dependent_rows",
    "equilibria",
    "flows",
    "follow",
    "io",
    "lift",
    "map",
    "numpy_map",
    "reduce",
    "solve",
]

logging.getLogger("subriem").addHandler(logging.NullHandler())
