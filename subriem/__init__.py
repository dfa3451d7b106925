"""temporary"""
from subriem import flows
from subriem.core.casadi_map import casadi_map as map
from subriem.core.lift import lift, Lift
from subriem.core.map import numpy_map
from subriem.core.rank import RankPolicy
from subriem.core.budget import Budget, CancelToken
from subriem.flows.follow import follow, Until
from subriem.integration.events import Event
