"""Many equal steps of one method inside one CasADi function, for smooth autonomous fields z' = f(z, q)."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, Literal

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.protocols import Array
from subriem.integration.dop853 import STAGES, tableau

Method = Literal["dop853", "gauss"]
#: Orders of the methods.
ORDERS: dict[str, int] = {"dop853": 8, "gauss": 6}
#: Instructions of one step above which the field is called instead of written out.
WRITTEN_OUT = 20_000
#: Fixed-point rounds for the stages of Gauss's method: each gains a factor h |f'|, the field is not stiff.
ROUNDS = 12
#: Numbers of steps and of paths for which the function and its buffers are kept.
KEPT = 16

_ROOT = np.sqrt(15.0)
#: Gauss's method of order 6, symplectic (Hairer, Lubich, Wanner, Geometric Numerical Integration, II.1.3).
_GAUSS_A = np.array(
    [
        [5 / 36, 2 / 9 - _ROOT / 15, 5 / 36 - _ROOT / 30],
        [5 / 36 + _ROOT / 24, 2 / 9, 5 / 36 - _ROOT / 24],
        [5 / 36 + _ROOT / 30, 2 / 9 + _ROOT / 15, 5 / 36],
    ]
)
_GAUSS_B = np.array([5 / 18, 4 / 9, 5 / 18])


class FixedSteps:
    """A method with equal steps for z' = f(z).

    Parameters
    ----------
    rates : casadi.Function
        z -> z', a column of m entries.
    method : {"dop853", "gauss"}
        Explicit of order 8, or implicit, symplectic, of order 6.

    Notes
    -----
    Seen on the Heisenberg group at time 2: 20 steps of DOP853 err by 2e-13.
    """

    def __init__(self, rates: ca.Function, method: Method = "dop853") -> None:
        self.rates, self.order = rates, ORDERS[method]
        self.method: Method = method
        self._paths = lru_cache(maxsize=KEPT)(self._path)
        self._ends = lru_cache(maxsize=KEPT)(self._end)

    def __getstate__(self) -> tuple[ca.Function, Method]:
        return self.rates, self.method

    def __setstate__(self, state: tuple[ca.Function, Method]) -> None:
        self.__init__(*state)

    def path(self, z: Array, time: float, count: int) -> Array:
        """Return the points after 0, 1, …, `count` steps, (count + 1, m)."""
        return np.vstack([z, self._paths(count)(z, np.full(count, time / count)).T])

    def ends(self, z: Array, times: float | Array, *counts: int) -> Array:
        """Return where many paths are after so many steps, from the rows of z (B, m), in a time or in many.

        Returns
        -------
        (B, m) ndarray
            With several counts (len(counts), B, m): the same paths with more and fewer steps, in one call.
        """
        many = z.shape[0]
        lengths = times if isinstance(times, np.ndarray) else np.full(many, times)
        found = self._ends(counts, many)(z.ravel(), lengths)
        return found.reshape((*([len(counts)] if len(counts) > 1 else ()), many, -1))

    def advance(self, z: Array, times: Array) -> Array:
        """Return where many paths are after one step of length `times` (B,) from the rows of z (B, m)."""
        return self.ends(z, times, 1)

    def _path(self, count: int) -> BufferedFunction:
        return BufferedFunction(self.step.mapaccum("path", count))

    def _end(self, counts: tuple[int, ...], many: int) -> BufferedFunction:
        z, times = ca.MX.sym("z", self.rates.numel_in(0), many), ca.MX.sym("times", 1, many)
        found = []
        for count in counts:
            folded = self.step if count == 1 else self.step.fold(count)
            lengths = ca.reshape(ca.repmat(times / count, count, 1), 1, count * many)
            found.append(ca.vec((folded.map(many) if many > 1 else folded)(z, lengths)))
        return BufferedFunction(ca.Function("ends", [z, times], [ca.vertcat(*found)]))

    @cached_property
    def step(self) -> ca.Function:
        """(z, h) -> z after one step."""
        m = self.rates.numel_in(0)
        formula, calls = (self._dop853, STAGES) if self.method == "dop853" else (self._gauss, ROUNDS * _GAUSS_B.size)
        if self.rates.n_instructions() * calls <= WRITTEN_OUT:
            z, h = ca.SX.sym("z", m), ca.SX.sym("h")
            return ca.Function("step", [z, h], [ca.cse(formula(z, h))])
        z, h = ca.MX.sym("z", m), ca.MX.sym("h")
        return ca.Function("step", [z, h], [formula(z, h)])

    def _dop853(self, z: Any, h: Any) -> Any:
        method = tableau()
        stages = [self.rates(z)]
        for row in method.A[1:STAGES, :STAGES]:
            stages.append(self.rates(z + h * sum(a * k for a, k in zip(row, stages, strict=False) if a)))
        return z + h * sum(b * k for b, k in zip(method.B, stages, strict=True) if b)

    def _gauss(self, z: Any, h: Any) -> Any:
        slopes = [self.rates(z)] * _GAUSS_B.size
        for _ in range(ROUNDS):
            points = [z + h * sum(a * k for a, k in zip(row, slopes, strict=True)) for row in _GAUSS_A]
            slopes = [self.rates(point) for point in points]
        return z + h * sum(b * k for b, k in zip(_GAUSS_B, slopes, strict=True))
