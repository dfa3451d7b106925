"""A NumPy function with a Jacobian as a CasADi function; what it raises is kept and raised again outside of CasADi."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array

#: Results that are not finite in one run of an engine, before it is stopped: each one shortened its step.
PATIENCE = 4


class Callback(ca.Callback):
    """(arguments…) -> column, evaluated by NumPy.

    CasADi makes a RuntimeError of whatever is raised in it. So the exception is kept here until `raise_pending` raises
    it. A result that is not finite makes an engine try a shorter step; it may do so PATIENCE times.

    Parameters
    ----------
    name : str
    value : callable
        Arrays of the arguments -> (m,) ndarray.
    jacobian : callable
        Arrays of the arguments -> derivatives, (m, size) for each argument.
    sizes : sequence of int
        Lengths of the arguments.
    length : int
        m.

    Notes
    -----
    CasADi does not keep Python's part of a callback alive: whoever holds a function made of this one holds this one
    too. It holds its own Jacobian.
    """

    def __init__(
        self,
        name: str,
        value: Callable[..., Array],
        jacobian: Callable[..., Sequence[Array]],
        sizes: Sequence[int],
        length: int,
    ) -> None:
        ca.Callback.__init__(self)
        self.value, self.jacobian_blocks, self.sizes, self.length = value, jacobian, tuple(sizes), length
        self.raised: BaseException | None = None
        self.undefined = 0
        self._derivatives: list[_Derivative] = []
        self.construct(name, {})

    def raise_pending(self) -> None:
        """Raise what a call raised, as if CasADi had not been there; else be ready for the next run."""
        raised, self.raised, self.undefined = self.raised, None, 0
        if raised is not None:
            raise raised

    def guarded(self, function: Callable[..., Any], arguments: Sequence[Any], results: Sequence[Any]) -> int:
        """Write the function's arrays into CasADi's buffers, NaN where an argument is not finite.

        What is raised here makes CasADi give up at once; of it, only what the function raised is kept.
        """
        arrays = [
            np.frombuffer(view) if size else np.zeros(0) for view, size in zip(arguments, self.sizes, strict=False)
        ]
        found: Sequence[Array] | None = None
        if all(np.isfinite(array).all() for array in arrays):
            try:
                found = function(*arrays)
            except BaseException as error:  # an interrupt too must pass through CasADi
                self.raised = error
                raise
        if found is None or not all(np.isfinite(array).all() for array in found):
            self.undefined += 1
            if self.undefined > PATIENCE:
                raise RuntimeError("the function is not finite")
        for i, result in enumerate(results):
            if result is not None and len(result):
                np.frombuffer(result)[:] = np.nan if found is None else found[i].ravel(order="F")
        return 0

    # --- what CasADi asks -------------------------------------------------------------------------------------------

    def get_n_in(self) -> int:
        """Return the number of arguments."""
        return len(self.sizes)

    def get_n_out(self) -> int:
        """Return the number of results."""
        return 1

    def get_sparsity_in(self, i: int) -> ca.Sparsity:
        """Return a column."""
        return ca.Sparsity.dense(self.sizes[i], 1)

    def get_sparsity_out(self, i: int) -> ca.Sparsity:
        """Return a column."""
        return ca.Sparsity.dense(self.length, 1)

    def has_eval_buffer(self) -> bool:
        """Return that there is one: buffers cost far less than CasADi's matrices."""
        return True

    def eval_buffer(self, arg: Sequence[Any], res: Sequence[Any]) -> int:
        """Evaluate."""
        return self.guarded(lambda *arrays: (self.value(*arrays),), arg, res)

    def has_jacobian(self) -> bool:
        """Return that there is one."""
        return True

    def get_jacobian(self, name: str, inames: Sequence[str], onames: Sequence[str], opts: Any) -> ca.Function:
        """Return the Jacobian."""
        made = _Derivative(name, self, opts)
        self._derivatives.append(made)
        return made


class _Derivative(ca.Callback):
    """The Jacobian of a callback: its arguments and its value -> one dense block for each argument."""

    def __init__(self, name: str, owner: Callback, options: dict[str, Any]) -> None:
        ca.Callback.__init__(self)
        self.owner = owner
        self.construct(name, options)

    def get_n_in(self) -> int:
        return len(self.owner.sizes) + 1

    def get_n_out(self) -> int:
        return len(self.owner.sizes)

    def get_sparsity_in(self, i: int) -> ca.Sparsity:
        return ca.Sparsity.dense((*self.owner.sizes, self.owner.length)[i], 1)

    def get_sparsity_out(self, i: int) -> ca.Sparsity:
        return ca.Sparsity.dense(self.owner.length, self.owner.sizes[i])

    def has_eval_buffer(self) -> bool:
        return True

    def eval_buffer(self, arg: Sequence[Any], res: Sequence[Any]) -> int:
        return self.owner.guarded(self.owner.jacobian_blocks, arg, res)
