"""`DAE`: named equations F(t, y, y', y'', …; p) = 0 in named variables, square or not, of any index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.reduction.declare import (
    MISUSE,
    Input,
    Names,
    declare_equations,
    declare_input,
    declare_parameters,
    declare_variables,
    entries,
    finite_constants,
    first_line,
    parameter_value,
    scalar_names,
)
from subriem.reduction.jets import Jets

if TYPE_CHECKING:
    from subriem.reduction.numeric import NumericDAE


@dataclass(frozen=True, eq=False, repr=False)
class DAE:
    """Equations F(t, y, y', …; p) = 0, frozen: functions, names and numbers only, so it pickles.

    Made by `dae`, `DAE.from_casadi` or `DAE.from_mass_matrix`.

    Attributes
    ----------
    name : str
    sizes : mapping of str to int or None
        The declared variables with their lengths, None for scalars.
    variables, equations : tuple of str
        Names of the scalar variables (n) and equations (m): x, theta[3], rod, con[0].
    places : tuple of (int, int)
        (j, k) for every derivative y_j^(k) that stands in an equation.
    function : casadi.Function
        (t, Y, q) -> residuals (m,), Y the column of the y_j^(k) at `places`, q the data: parameters, then what the
        inputs need on a segment of time.
    parameters : mapping of str to ndarray
    inputs : tuple of Input
    weights : mapping of str to float
        W of the least |W y^(d)| taken where the equations leave motion open; part of the problem, as a metric is.

    Examples
    --------
    >>> import subriem as sr
    >>> @sr.dae(variables="x y lam", parameters={"g": 9.81, "L": 1.0})
    ... def pendulum(t, v, d, p):
    ...     return {
    ...         "horizontal": d(v.x, 2) + v.lam * v.x,
    ...         "vertical": d(v.y, 2) + v.lam * v.y + p.g,
    ...         "rod": v.x**2 + v.y**2 - p.L**2,
    ...     }
    >>> pendulum
    <DAE pendulum: 3 equations, 3 variables, order 2>
    """

    name: str
    sizes: Mapping[str, int | None]
    variables: tuple[str, ...]
    equations: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    function: ca.Function
    parameters: Mapping[str, Array]
    inputs: tuple[Input, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        shape = f"{len(self.equations)} equations, {len(self.variables)} variables, order {max(self.orders)}"
        return f"<DAE {self.name}: {shape}>"

    @property
    def orders(self) -> tuple[int, ...]:
        """The highest derivative of each scalar variable in the equations."""
        highest = [0] * len(self.variables)
        for j, k in self.places:
            highest[j] = max(highest[j], k)
        return tuple(highest)

    @property
    def breakpoints(self) -> Array:
        """Times at which an input or one of its derivatives jumps, increasing."""
        return np.unique(np.concatenate([np.zeros(0), *(entry.breakpoints for entry in self.inputs)]))

    @property
    def incidence(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The derivatives in each equation: arrays of equation i, variable j, order k."""
        rows, columns = self.function.jac_sparsity(0, 1).get_triplet()
        places = np.array(self.places, dtype=int).reshape((-1, 2))[np.array(columns, dtype=int)]
        return np.array(rows, dtype=int), places[:, 0], places[:, 1]

    def symbols(self) -> tuple[Jets, ca.SX, ca.SX]:
        """Return new jets, the symbol q of the data, and the residuals in them."""
        jets = Jets(self.variables)
        q = ca.SX.sym("q", self.function.numel_in(2))
        return jets, q, self.function(jets.t, jets.stack(self.places), q)

    def data(self, t: float = 0.0, parameters: Mapping[str, Any] | None = None) -> Array:
        """Return q on the segment of time that begins at or contains t.

        Raises
        ------
        ProblemError
            If a parameter is unknown, not finite, or of another shape.
        """
        given = self.with_parameters(**parameters) if parameters else self
        blocks = [value.ravel(order="F") for value in given.parameters.values()]
        return np.concatenate([np.zeros(0), *blocks, *(entry.data(t) for entry in self.inputs)])

    def with_parameters(self, **values: Any) -> DAE:
        """Return the same equations with other values of some parameters.

        Raises
        ------
        ProblemError
            If a parameter is unknown, not finite, or of another shape.
        """
        changed = dict(self.parameters)
        for name, value in values.items():
            if name not in changed:
                known = ", ".join(changed) or "(none)"
                raise ProblemError("there is no parameter of this name", repr(name), f"one of {known}", "declare it")
            changed[name] = parameter_value(value, name, changed[name])
        return replace(self, parameters=changed)

    def residual(self, t: float, jets: Array, q: Array | None = None) -> Array:
        """Return the residuals (m,) at t for the values of the y_j^(k) at `places`."""
        return BufferedFunction(self.function)(np.array([t]), jets, self.data(t) if q is None else q)

    def entries(self, name: str) -> list[int]:
        """Return the positions of a variable, or of one of its entries, among the scalar variables.

        Raises
        ------
        ProblemError
            If there is no such variable.
        """
        return entries(name, self.sizes, self.variables)

    @staticmethod
    def from_casadi(system: Mapping[str, Any], name: str = "dae") -> DAE:
        """Make a DAE from CasADi's dictionary: x' = ode, 0 = alg, or fun = 0.

        Parameters
        ----------
        system : mapping
            SX under the keys t, x, z, p, ode, alg (as for ca.integrator). Parameters get the value 0: set them by
            `with_parameters`.
        name : str

        Raises
        ------
        ProblemError
            If x or ode is missing, lengths do not fit, or an expression is no SX or holds other symbols.
        """
        from subriem.reduction.convert import from_casadi

        return from_casadi(system, name)

    @staticmethod
    def from_mass_matrix(
        M: Any, f: Callable[..., Any], *, variables: Any = None, parameters: Any = None, name: str = "dae"
    ) -> DAE:
        """Make the DAE M y' = f(t, y, p); M may be singular.

        Parameters
        ----------
        M : (m, n) array_like, or callable (t, y, p) -> casadi.SX
        f : callable
            (t, y) or (t, y, p) -> SX column or list, y an SX column.
        variables : optional
            Names, y[0] … y[n-1] unless given; scalars as in `dae`.
        parameters : mapping, optional
        name : str

        Raises
        ------
        ProblemError
            If shapes do not fit or M is not finite.
        """
        from subriem.reduction.convert import from_mass_matrix

        return from_mass_matrix(M, f, variables, parameters, name)

    @staticmethod
    def from_callable(
        F: Callable[[float, Array, Array], Any],
        n: int,
        jac: Callable[[float, Array, Array], Any] | None = None,
        *,
        variables: Any = None,
        name: str = "dae",
    ) -> NumericDAE:
        """Make the numeric DAE F(t, y, y') = 0 of a NumPy function, square, without symbolic analysis.

        Parameters
        ----------
        F : callable
            (t, y, y') -> (n,).
        n : int
            Number of variables and of equations.
        jac : callable, optional
            (t, y, y') -> (dF/dy, dF/dy'), both (n, n); difference quotients unless given.
        variables : optional
            Names, y[0] … y[n-1] unless given, as in `dae`.
        name : str

        Raises
        ------
        ProblemError
            If n is no positive integer, F or jac no function, or the names are not n.
        """
        from subriem.reduction.numeric import from_callable

        return from_callable(F, n, jac, variables, name)


def build(
    name: str,
    sizes: dict[str, int | None],
    parameters: dict[str, Array],
    inputs: Mapping[str, Any] | None,
    define: Callable[[Jets, Names, Names], Any],
) -> DAE:
    """Return the DAE whose equations `define(jets, variables, parameters and inputs)` returns.

    Raises
    ------
    ProblemError
        If an equation holds strange symbols, or a variable stands in none.
    """
    jets = Jets([entry for key, size in sizes.items() for entry in scalar_names(key, size)])
    columns, position = {}, 0
    for key, size in sizes.items():
        width = size or 1
        columns[key] = jets.stack([(j, 0) for j in range(position, position + width)])
        position += width
    symbols = {key: ca.SX.sym(key, *_shape(value)) for key, value in parameters.items()}
    data, given, known = [ca.vec(symbol) for symbol in symbols.values()], [], dict(symbols)
    for key, value in (inputs or {}).items():
        entry, segment, expression = declare_input(key, value, jets.t)
        given.append(entry)
        data.append(segment)
        known[key] = expression
    answer = define(jets, Names("variable", columns, "inputs and parameters are in p"), Names("parameter", known))
    equations, residuals = declare_equations(answer)
    q = ca.vertcat(*data) if data else ca.SX(0, 1)
    places = jets.places(residuals)
    _check_symbols(jets, q, equations, residuals)
    function = ca.Function("residual", [jets.t, jets.stack(places), q], [ca.cse(residuals)], ["t", "Y", "q"], ["f"])
    if not finite_constants(function):
        raise _not_finite(equations, residuals)
    unused = [jets.names[j] for j in sorted(set(range(len(jets.names))) - {j for j, _ in places})]
    if unused:
        raise ProblemError(
            "a variable stands in no equation", ", ".join(unused[:6]), "every variable in an equation", "remove it"
        )
    return DAE(name, sizes, jets.names, equations, tuple(places), function, parameters, tuple(given))


def _shape(value: Array) -> tuple[int, ...]:
    return value.shape if value.ndim else (1,)


def _check_symbols(jets: Jets, q: ca.SX, equations: tuple[str, ...], residuals: ca.SX) -> None:
    known = {symbol.element_hash() for symbol in ca.symvar(ca.vertcat(jets.t, q))}
    strange = {s.element_hash() for s in ca.symvar(residuals) if jets.place(s) is None} - known
    if not strange:
        return
    for name, row in zip(equations, ca.vertsplit(residuals), strict=True):
        names = [str(s) for s in ca.symvar(row) if s.element_hash() in strange]
        if names:
            raise ProblemError(
                f"equation {name!r} holds symbols that were not declared",
                ", ".join(names),
                "the arguments t, v, d, p of the definition",
                "declare them as variables, parameters or inputs",
            )


def _not_finite(equations: tuple[str, ...], residuals: ca.SX) -> ProblemError:
    rows = zip(equations, ca.vertsplit(residuals), strict=True)
    name, row = next((n, r) for n, r in rows if not finite_constants(ca.Function("f", ca.symvar(r), [r])))
    return ProblemError(
        f"equation {name!r} holds a constant that is not finite",
        str(row)[:80],
        "finite numbers",
        "casadi's functions (ca.sin, not math.sin, which returns NaN)",
    )


def dae(
    *,
    variables: Any,
    parameters: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
) -> Callable[[Callable[..., Any]], DAE]:
    """Make a DAE of a decorated definition ``(t, v, d, p) -> {name: residual}``.

    Parameters
    ----------
    variables : str, sequence of str, or mapping of str to int
        "x y lam", or {"theta": 25, "lam": 4} for columns.
    parameters : mapping of str to number or array, optional
        With their values; arrays of at most two axes.
    inputs : mapping, optional
        Given functions of time, found in p as well: a function of the symbol t, a table (times, values), interpolated
        linearly, or {start: number or function}. Integrators stop at their breakpoints.
    weights : mapping of str to float, optional
        Declared metric: W of the least |W y^(d)| that `reduce` takes where the equations leave motion open.

    Returns
    -------
    callable
        The decorator. In the definition v.x is an SX, d(expr, k=1) the k-th total derivative of any expression, p.g a
        parameter; it returns a mapping, or a list of pairs, of names to residuals (scalars or columns, named con[0],
        con[1], …). There may be more or fewer equations than variables.

    Raises
    ------
    ProblemError
        If a name is unknown, repeated or reserved, an equation is a relation or no column, a variable is unused, or a
        value is not finite, or a weight no number > 0.

    Examples
    --------
    >>> import subriem as sr
    >>> @sr.dae(variables={"z": 2}, inputs={"u": {0.0: 0.0, 1.0: 5.0}})
    ... def switched(t, v, d, p):
    ...     return {"motion": d(v.z) + v.z - p.u}
    >>> switched.equations, switched.breakpoints
    (('motion[0]', 'motion[1]'), array([1.]))
    """
    sizes = declare_variables(variables)
    values = declare_parameters(parameters, sizes)
    if inputs is not None and not isinstance(inputs, Mapping):
        raise ProblemError("inputs is no mapping", type(inputs).__name__, "{'u': function of t}", "name each input")
    for key in inputs or {}:
        declare_parameters({key: 0.0}, {**sizes, **values})

    def decorate(definition: Callable[..., Any]) -> DAE:
        if not callable(definition):
            raise ProblemError("dae decorates no function", repr(definition), "def name(t, v, d, p)", "@sr.dae(…)")

        name = getattr(definition, "__name__", "dae")

        def define(jets: Jets, v: Names, p: Names) -> Any:
            try:
                return definition(jets.t, v, Derivative(jets), p)
            except MISUSE as error:
                raise ProblemError(
                    f"the definition of {name} failed",
                    first_line(error),
                    f"def {name}(t, v, d, p) of SX expressions",
                    "ca.if_else in place of if; casadi's functions (ca.sin) in place of math's and NumPy's",
                ) from error

        made = build(name, sizes, values, inputs, define)
        declared_weights(made, weights)
        return replace(made, weights=dict(weights or {}))

    return decorate


def declared_weights(dae: DAE, weights: Mapping[str, float] | None) -> dict[int, float]:
    """Return weights by scalar variable.

    Raises
    ------
    ProblemError
        If they are no mapping, a variable is unknown, or a weight is no number > 0.
    """
    if weights is not None and not isinstance(weights, Mapping):
        raise ProblemError("weights is no mapping", type(weights).__name__, "{'theta': 1.0}", "name each weight")
    found: dict[int, float] = {}
    for name, value in (weights or {}).items():
        if not isinstance(value, int | float | np.number) or not 0 < float(value) < np.inf:
            raise ProblemError(
                f"the weight of {name} is no number > 0", repr(value), "a weight > 0", f"{{{name!r}: 1.0}}"
            )
        for j in dae.entries(name):
            found[j] = float(value)
    return found


class Derivative:
    """d(expr, k=1): the k-th total derivative of an expression."""

    def __init__(self, jets: Jets) -> None:
        self._jets = jets

    def __call__(self, expression: Any, k: int = 1) -> ca.SX:
        """Return d^k expression / dt^k, parameters held constant.

        Raises
        ------
        ProblemError
            If k is no integer >= 0 or the expression no SX.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
            raise ProblemError("d: the order is no integer >= 0", repr(k), "d(v.x) or d(v.x, 2)", "k=1")
        if isinstance(expression, list | tuple):
            expression = ca.vertcat(*expression)
        try:
            expression = ca.SX(expression)
        except (TypeError, NotImplementedError) as error:
            raise ProblemError(
                "d: this is no SX expression", type(expression).__name__, "an expression in t, v, p", "d(v.x)"
            ) from error
        return self._jets.derivative(expression, int(k))
