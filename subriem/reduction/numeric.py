"""`NumericDAE`: F(t, y, y') = 0 given by a NumPy function: what needs no symbols takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from subriem.core.differences import differences
from subriem.core.errors import ProblemError, ReductionError, SubriemError
from subriem.core.protocols import Array
from subriem.core.validate import positive_integer, real_array, returned, vector
from subriem.reduction.declare import declare_variables, entries, first_line, scalar_names

#: Largest difference of a given Jacobian and difference quotients, relative to its largest entry.
JACOBIAN_TOLERANCE = 1e-5
_FIT = "return a NumPy array; there are as many equations as variables"


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

    @property
    def breakpoints(self) -> Array:
        """None: a NumPy function does not say where its data jump."""
        return np.zeros(0)

    def data(self, t: float = 0.0) -> Array:
        """Return no data: they are inside the function."""
        return np.zeros(0)

    def entries(self, name: str) -> list[int]:
        """Return the positions of a variable, or of one of its entries, among the scalar variables.

        Raises
        ------
        ProblemError
            If there is no such variable.
        """
        return entries(name, self.sizes, self.variables)

    def residual(self, t: float, y: Array, dy: Array) -> Array:
        """Return F(t, y, y'), shape (n,); it may be NaN where F is not defined.

        Raises
        ------
        ProblemError
            If F returns something else than n real numbers, or raises; then what it raised is the cause.
        """
        value = self._called(self.function, "F", t, y, dy)
        return returned(value, f"F of {self.name}", (self.n,), _FIT).copy()  # F may fill the same array at each call

    def jacobian(self, t: float, y: Array, dy: Array) -> tuple[Array, Array]:
        """Return dF/dy and dF/dy', (n, n) each: the given ones, or central difference quotients.

        Raises
        ------
        ProblemError
            If the given function does not return two matrices of this shape, or raises.
        """
        if self.jacobian_function is None:
            return self.differences(t, y, dy)
        pair = self._called(self.jacobian_function, "jac", t, y, dy)
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ProblemError(
                f"jac of {self.name} returns no pair", type(pair).__name__, "(dF/dy, dF/dy')", "return both matrices"
            )
        names = (f"dF/dy of {self.name}", f"dF/dy' of {self.name}")
        by_y, by_dy = (returned(a, name, (self.n, self.n), _FIT).copy() for a, name in zip(pair, names, strict=True))
        return by_y, by_dy

    def differences(self, t: float, y: Array, dy: Array) -> tuple[Array, Array]:
        """Return dF/dy and dF/dy' by central difference quotients with steps eps^(1/3) max(1, |y_j|)."""
        by_y = differences(lambda u: self.residual(t, u, dy), y)
        return by_y, differences(lambda u: self.residual(t, y, u), dy)

    def _called(self, function: Callable[[float, Array, Array], Any], what: str, t: float, y: Array, dy: Array) -> Any:
        """Call a function of the user with copies that it may change; what it raises is told with the place."""
        try:
            with np.errstate(all="ignore"):  # NaN is an answer: F is not defined there
                return function(t, y.copy(), dy.copy())
        except SubriemError:
            raise
        except Exception as error:
            with np.printoptions(precision=6, threshold=12):
                place = f"t = {t:.10g}, y = {y}, y' = {dy}"
            raise ProblemError(
                f"{what} of {self.name} raised {first_line(error)}",
                place,
                "n numbers; NaN where it is not defined",
                f"the traceback above this one leads into {what}",
            ) from error

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
            "a DAE of CasADi expressions, or of index 1: then idas and rosenbrock integrate it as it is",
            "@sr.dae, or sr.solve(…, method='idas')",
        )


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
