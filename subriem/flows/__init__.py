"""Flows of a map and a cost."""
from subriem.flows.cost import squared_error
from subriem.flows.flow import adapted, standard
