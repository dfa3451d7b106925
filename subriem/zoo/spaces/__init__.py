"""Sub-Riemannian spaces with known answers: growth vectors, geodesics, conjugate and cut times, distances.

>>> from subriem.zoo.spaces import get
>>> heisenberg = get("heisenberg")
>>> heisenberg.structure, heisenberg.growth["origin"]
(<SubRiemannian Heisenberg group H^1: 2 fields in dimension 3>, (2, 3))
"""

from subriem.zoo.spaces.contact import contact, heisenberg
from subriem.zoo.spaces.free import free_nilpotent
from subriem.zoo.spaces.registry import all_spaces, get, spaces
from subriem.zoo.spaces.space import Cut, CutTime, Space
from subriem.zoo.spaces.vehicles import trailers

__all__ = [
    "Cut",
    "CutTime",
    "Space",
    "all_spaces",
    "contact",
    "free_nilpotent",
    "get",
    "heisenberg",
    "spaces",
    "trailers",
]
