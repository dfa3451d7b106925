"""Gradient flows: of a cost of a map's output, adapted or standard, of a potential, and under constraints."""

from subriem.flows.casting import LargeDAEWarning
from subriem.flows.constrained import ConstrainedFlow, constrained
from subriem.flows.cost import SquaredError, squared_error
from subriem.flows.crossentropy import CrossEntropy, cross_entropy
from subriem.flows.customcost import CustomCost, custom_cost, potential
from subriem.flows.flow import Flow, adapted, standard
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.network import Network, network
from subriem.flows.regime import Regime
from subriem.flows.units import UnitFinding, null_units

__all__ = [
    "ConstrainedFlow",
    "CrossEntropy",
    "CustomCost",
    "Flow",
    "FlowSolution",
    "LargeDAEWarning",
    "Network",
    "Regime",
    "SquaredError",
    "UnitFinding",
    "adapted",
    "constrained",
    "cross_entropy",
    "custom_cost",
    "network",
    "null_units",
    "potential",
    "squared_error",
    "standard",
]
