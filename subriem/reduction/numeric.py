"""`NumericDAE`: F(t, y, y') = 0 given by a NumPy function, for engines that need no symbols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from subriem.core.errors import ProblemError, ReductionError
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.core.validate import positive_integer, real_array, vector
from subriem.reduction.declare import declare_variables, scalar_names

#: Largest difference of a given Jacobian and difference quotients, relative to its largest entry.
JACOBIAN_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False, repr=False)
class NumericDAE:
    """A square DAE F(t, y, y') = 0 without symbols; made by `DAE.from_callable`.

    Attributes
    ----------
    name : str
    sizes : mapping of str to int or None
        The declared variables with their lengths, None for scalars.
    variables : tuple of str
        Names of the n scalar variables.
    function : callable
        (t, y, y') -> F (n,).
    jacobian_function : callable or None
        (t, y, y') -> dF/dy, dF/dy', both (n, n).

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> decay = sr.DAE.from_callable(lambda t, y, dy: dy + y, 1, variables="x")
    >>> decay, decay.residual(0.0, np.array([2.0]), np.array([-1.0]))
    (<NumericDAE dae: 1 equations, 1 variables>, array([1.]))
    """

    name: str
    sizes: dict[str, int | None]
    variables: tuple[str, ...]
    function: Callable[[float, Array, Array], Any]
    jacobian_function: Callable[[float, Array, Array], Any] | None = None

    def __repr__(self) -> str:
        return f"<NumericDAE {self.name}: {self.n} equations, {self.n} variables>"

    @property
    def n(self) -> int:
        """The number of variables and of equations."""
        return len(self.variables)

    @property
    def equations(self) -> tuple[str, ...]:
        """F[0], F[1] and so on."""
        return scalar_names("F", self.n)

    def residual(self, t: float, y: Array, dy: Array) -> Array:
        """Return F(t, y, y'), shape (n,); it may be NaN where F is not defined.

        Raises
        ------
        ProblemError
            If F returns something else than n real numbers.
        """
        return self._shaped(self.function(t, y, dy), (self.n,), "F")

    def jacobian(self, t: float, y: Array, dy: Array) -> tuple[Array, Array]:
        """Return dF/dy and dF/dy', (n, n) each: the given ones, or central difference quotients.

        Raises
        ------
        ProblemError
            If the given function does not return two matrices of this shape.
        """
        if self.jacobian_function is None:
            return self.differences(t, y, dy)
        pair = self.jacobian_function(t, y, dy)
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ProblemError(
                f"jac of {self.name} returns no pair", type(pair).__name__, "(dF/dy, dF/dy')", "return both matrices"
            )
        shape = (self.n, self.n)
        return self._shaped(pair[0], shape, "dF/dy"), self._shaped(pair[1], shape, "dF/dy'")

    def differences(self, t: float, y: Array, dy: Array) -> tuple[Array, Array]:
        """Return dF/dy and dF/dy' by central difference quotients with steps eps^(1/3) max(1, |y_j|)."""
        y, dy = vector(y, "y", self.n), vector(dy, "y'", self.n)

        def quotient(at: Array, F: Callable[[Array], Array]) -> Array:
            columns = []
            for j, step in enumerate(EPS ** (1 / 3) * np.maximum(1.0, np.abs(at))):
                plus, minus = at.copy(), at.copy()
                plus[j] += step
                minus[j] -= step
                columns.append((F(plus) - F(minus)) / (plus[j] - minus[j]))
            return np.column_stack(columns)

        return quotient(y, lambda u: self.residual(t, u, dy)), quotient(dy, lambda u: self.residual(t, y, u))

    def check(self, t: float, y: Array, dy: Array) -> None:
        """Check at a point that F is finite and a given Jacobian is its derivative.

        Raises
        ------
        ProblemError
            If lengths do not fit, F is not finite, or jac differs from difference quotients; the entry is named.
        """
        y, dy = vector(y, "y", self.n), vector(dy, "y'", self.n)
        real_array(self.residual(t, y, dy), f"F of {self.name} at t = {t:g}")
        if self.jacobian_function is None:
            return
        names = ("dF/dy", "dF/dy'")
        for name, given, found in zip(names, self.jacobian(t, y, dy), self.differences(t, y, dy), strict=True):
            error = np.abs(given - found)
            if not error.max() <= JACOBIAN_TOLERANCE * max(1.0, np.abs(found).max()):  # NaN is no agreement
                i, j = np.unravel_index(int(np.argmax(np.where(np.isnan(error), np.inf, error))), error.shape)
                raise ProblemError(
                    f"jac of {self.name} is not the derivative of F",
                    f"{name}[{i}, {j}] = {given[i, j]:.9g}, the difference quotient is {found[i, j]:.9g}",
                    f"a difference of at most {JACOBIAN_TOLERANCE:g} of the largest entry",
                    "correct jac (rows are equations, columns variables), or leave it out",
                )

    def symbols(self) -> NoReturn:
        """Refuse: there are no symbols to analyse or to differentiate.

        Raises
        ------
        ReductionError
            Always.
        """
        raise ReductionError(
            f"the DAE {self.name} is a NumPy function: it has no structure, no index and no hidden equations to find",
            "an analysis of its equations",
            "a DAE of CasADi expressions, or an engine for F(t, y, y') = 0: idas",
            "subriem.dae, or method='idas' with consistent y and y'",
        )

    def _shaped(self, value: Any, shape: tuple[int, ...], what: str) -> Array:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ProblemError(
                f"{what} of {self.name} is not an array", str(error), f"shape {shape}", "a NumPy array"
            ) from error
        if array.dtype.kind not in "fiub" or array.shape != shape:
            raise ProblemError(
                f"{what} of {self.name} does not fit",
                f"shape {array.shape}, dtype {array.dtype}",
                f"shape {shape} of real numbers",
                "return a NumPy array; there are as many equations as variables",
            )
        return array.astype(np.float64, copy=False)


def from_callable(F: Any, n: Any, jac: Any, variables: Any, name: str) -> NumericDAE:
    """Return the numeric DAE F(t, y, y') = 0; see `DAE.from_callable`."""
    n = positive_integer(n, "n")
    for function, what in ((F, "F"), (jac, "jac")):
        if not callable(function) and not (function is None and what == "jac"):
            raise ProblemError(
                f"from_callable: {what} is no function", type(function).__name__, "a callable of (t, y, y')", "a def"
            )
    sizes = declare_variables({"y": n} if variables is None else variables)
    names = tuple(scalar for key, size in sizes.items() for scalar in scalar_names(key, size))
    if len(names) != n:
        raise ProblemError(
            "from_callable: the variables do not fit", f"{len(names)} names", f"n = {n}", "one name each, or {'y': n}"
        )
    return NumericDAE(name, sizes, names, F, jac)
