"""Flows of a map and a cost: networks, costs, the adapted and the standard gradient flow, flows as DAEs."""

from subriem.flows.casting import LargeDAEWarning
from subriem.flows.cost import SquaredError, squared_error
from subriem.flows.flow import Flow, adapted, standard
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.network import Network, network
from subriem.flows.regime import Regime
from subriem.flows.units import UnitFinding, null_units

__all__ = [
    "Flow",
    "FlowSolution",
    "LargeDAEWarning",
    "Network",
    "Regime",
    "SquaredError",
    "UnitFinding",
    "adapted",
    "network",
    "null_units",
    "squared_error",
    "standard",
]
