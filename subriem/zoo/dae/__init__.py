"""DAEs with known answers: index, freedom, redundant equations, a consistent start, and the solution.

>>> from subriem.zoo.dae import get
>>> pendulum = get("pendulum-10")
>>> pendulum.dae, pendulum.index, pendulum.freedom
(<DAE pendulum: 3 equations, 3 variables, order 2>, 3, 2)
"""

from subriem.zoo.dae.problem import Problem, digits
from subriem.zoo.dae.registry import all_problems, get, problems

__all__ = ["Problem", "all_problems", "digits", "get", "problems"]
