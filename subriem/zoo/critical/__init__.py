"""Problems whose rest points are known exactly: dimension, index, nullity, Betti numbers, and where they meet.

>>> from subriem.zoo.critical import get
>>> get("torus").expected[0]
Expected(dimension=2, index=0, betti=(1, 2, 1), verdict='morse_bott')
"""

from subriem.zoo.critical.case import Case, Expected
from subriem.zoo.critical.registry import all_cases, cases, get

__all__ = ["Case", "Expected", "all_cases", "cases", "get"]
