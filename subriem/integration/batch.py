"""A CasADi function and its Jacobians at many points in one call."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import casadi as ca
import numpy as np

from subriem.core.protocols import Array

#: Numbers of points for which the mapped function and its buffers are kept.
KEPT = 8


class Batch:
    """A function of columns -> column, with Jacobians by some arguments, called for all rows of arrays at once.

    Parameters
    ----------
    function : casadi.Function
    by : tuple of int
        Arguments with respect to which it is differentiated.
    """

    def __init__(self, function: ca.Function, by: tuple[int, ...] = ()) -> None:
        arguments = [ca.SX.sym(f"x{i}", function.numel_in(i)) for i in range(function.n_in())]
        value = function(*arguments)
        parts = [ca.densify(value), *(ca.densify(ca.jacobian(value, arguments[i])) for i in by)]
        shared = ca.cse(ca.vertcat(*(ca.vec(part) for part in parts)))
        self._function = ca.Function("batch", arguments, ca.vertsplit(shared, _offsets(parts)))
        self._shapes = [part.shape for part in parts[1:]]
        self._mapped = lru_cache(maxsize=KEPT)(self._map)

    def _map(self, count: int) -> _Mapped:
        return _Mapped(self._function, count)

    def __call__(self, *arguments: Array) -> list[Array]:
        """Return the value (N, m) and the Jacobians (N, m, len), for arguments of N rows."""
        count = arguments[0].shape[0]
        value, *flat = self._mapped(count)(arguments)
        return [
            value,
            *(a.reshape((count, c, r)).transpose(0, 2, 1) for a, (r, c) in zip(flat, self._shapes, strict=True)),
        ]


def _offsets(parts: list[ca.SX]) -> list[int]:
    return [0, *np.cumsum([part.numel() for part in parts]).tolist()]


class _Mapped:
    """The function for a fixed number of points, on buffers: entries are copied once, not through DM."""

    def __init__(self, function: ca.Function, count: int) -> None:
        self._function = function.map(count) if count > 1 else function
        self._lock = Lock()
        self._buffer, self._evaluate = self._function.buffer()
        self._inputs = [np.zeros((count, function.numel_in(i))) for i in range(function.n_in())]
        self._outputs = [np.zeros((count, function.numel_out(i))) for i in range(function.n_out())]
        # CasADi's columns are our rows; its stub wants a third argument, which the run time refuses
        for i, array in enumerate(self._inputs):
            self._buffer.set_arg(i, array.data)  # pyright: ignore[reportCallIssue]
        for i, array in enumerate(self._outputs):
            self._buffer.set_res(i, array.data)  # pyright: ignore[reportCallIssue]

    def __call__(self, arguments: tuple[Array, ...]) -> list[Array]:
        with self._lock:
            for slot, argument in zip(self._inputs, arguments, strict=True):
                slot[:] = argument.reshape(slot.shape)
            self._evaluate()
            return [array.copy() for array in self._outputs]
