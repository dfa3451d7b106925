"""Fields X_1 … X_k of a distribution as one CasADi function q -> X(q), checked at the door."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.equilibrated import FAIR, independent_rows, rank_factor
from subriem.core.errors import GeometryError, ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.validate import positive_integer

#: Coordinates at most: everything is derived in symbols.
MOST = 1000
#: Points at which a frame is tried, and their distance from the origin or from the point of interest.
TRIED = 4
SPREAD = 0.3
#: Difference of a metric and its transpose, relative to its entries, that is roundoff.
ROUNDOFF = 1e-12

_KINKS = {
    ca.OP_FABS: "fabs",
    ca.OP_SIGN: "sign",
    ca.OP_FLOOR: "floor",
    ca.OP_CEIL: "ceil",
    ca.OP_FMOD: "fmod",
    ca.OP_REMAINDER: "remainder",
    ca.OP_FMIN: "fmin",
    ca.OP_FMAX: "fmax",
    ca.OP_IF_ELSE_ZERO: "if_else",
    ca.OP_LT: "<",
    ca.OP_LE: "<=",
    ca.OP_EQ: "==",
    ca.OP_NE: "!=",
}


def checked_policy(rank: Any) -> RankPolicy:
    """Return a rank policy, or raise `ProblemError`."""
    if not isinstance(rank, RankPolicy):
        raise ProblemError("rank is no policy", repr(rank), "a RankPolicy", "RankPolicy(rtol=1e-10)")
    return rank


def coordinate_names(dim: int, coordinates: Sequence[str] | int | None) -> tuple[str, ...]:
    """Return the names of the coordinates, from names or their number, or raise `ProblemError`."""
    if coordinates is None or isinstance(coordinates, int):
        count = dim if coordinates is None else positive_integer(coordinates, "coordinates")
        if count > MOST:
            raise ProblemError("there are too many coordinates", f"{count}", f"at most {MOST}", "from_map for networks")
        names = tuple(f"q{i}" for i in range(count))
    elif isinstance(coordinates, Iterable):
        names = tuple(coordinates.split() if isinstance(coordinates, str) else coordinates)
    else:
        raise ProblemError(
            "the coordinates are no names", repr(coordinates), "a sequence of str, or their number", "x y"
        )
    if len(names) < dim or len(set(names)) < len(names) or not all(isinstance(n, str) and n for n in names):
        raise ProblemError(
            "the coordinates do not fit", f"{names} for dim = {dim}", f"at least {dim} different names", "x y z"
        )
    return names


def coordinate_symbols(names: Sequence[str]) -> ca.SX:
    """Return the column q of symbols with these names."""
    return ca.vertcat(*(ca.SX.sym(name) for name in names))


def compiled(
    expressions: Callable[[ca.SX], Any], names: Sequence[str], columns: int | None, what: str, rows: int | None = None
) -> ca.Function:
    """Return q -> matrix for a callable that gives a matrix, or a list of columns; the entries must be smooth.

    Parameters
    ----------
    expressions : callable
        Column q of symbols -> SX matrix (N, k), or a sequence of k columns of N entries.
    names : sequence of str
        Of the N coordinates.
    columns, rows : int, optional
        The k and N wanted; any k, and one row for each coordinate, unless given.
    what : str
        For messages: "fields", "forms", "metric".

    Raises
    ------
    ProblemError
        If it is not callable, raises, does not fit in shape, holds foreign symbols, or is not smooth.
    """
    if not callable(expressions):
        raise ProblemError(
            f"the {what} are no function", type(expressions).__name__, "a function of q", f"def {what}(q)"
        )
    q = coordinate_symbols(names)
    n = len(names) if rows is None else rows
    matrix = _matrix(called(expressions, (q,), what), what)
    if matrix.shape[0] != n or matrix.shape[1] == 0 or columns not in (None, matrix.shape[1]):
        each = f", one for each of {', '.join(names)}" if rows is None else ""
        raise ProblemError(
            f"the {what} has the wrong shape" if rows else f"the {what} have the wrong shape",
            f"{matrix.shape[1]} columns of {matrix.shape[0]} entries",
            f"{'k' if columns is None else columns} columns of {n} entries{each}",
            "return a list of columns, or a matrix",
        )
    check_symbols(matrix, (q,), what)
    function = ca.Function("X", [q], [ca.cse(ca.densify(matrix))], ["q"], ["X"])
    codes = [function.instruction_id(k) for k in range(function.n_instructions())]
    constants = [function.instruction_constant(k) for k, code in enumerate(codes) if code == ca.OP_CONST]
    if not np.isfinite(constants).all():
        raise ProblemError(
            f"the {what} hold numbers that are not finite",
            str(matrix)[:120],
            "smooth expressions in q",
            "casadi.cos and casadi.sin: math.cos of a symbol is nan",
        )
    kinks = {_KINKS[code] for code in codes if code in _KINKS}
    if kinks:
        raise ProblemError(
            f"the {what} are not smooth",
            ", ".join(sorted(kinks)),
            "smooth fields: brackets and geodesics need their derivatives",
            "a smooth approximation, such as sqrt(x**2 + eps**2) for |x|",
        )
    return function


def called(expressions: Callable[..., Any], symbols: Sequence[ca.SX], what: str) -> Any:
    """Return what a user's function gives for CasADi symbols.

    Raises
    ------
    ProblemError
        If it raises.
    """
    try:
        return expressions(*symbols)
    except ProblemError:
        raise
    except Exception as error:  # whatever a user's function raises is told in four lines, with the original below
        raise ProblemError(
            f"the {what} could not be evaluated on CasADi symbols",
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
            f"a function of {len(symbols)} columns of {symbols[0].numel()} symbols",
            "casadi.sin, not numpy.sin or math.sin; indices below the number of coordinates",
        ) from error


def check_symbols(expression: ca.SX, symbols: Sequence[ca.SX], what: str) -> None:
    """Refuse an expression in other symbols than those of the columns given.

    Raises
    ------
    ProblemError
        Naming them.
    """
    known = {symbol.element_hash() for column in symbols for symbol in ca.vertsplit(column)}
    strange = [str(s) for s in ca.symvar(expression) if s.element_hash() not in known]
    if strange:
        raise ProblemError(
            f"foreign symbols in the {what}",
            ", ".join(strange),
            f"expressions in the {len(known)} symbols given",
            "put numbers for them",
        )


def _matrix(value: Any, what: str) -> ca.SX:
    """Return a matrix from a matrix or from a sequence of columns."""
    try:
        if isinstance(value, ca.SX | ca.DM | np.ndarray):
            return ca.SX(value)
        return ca.horzcat(*(ca.SX(ca.vertcat(*c) if isinstance(c, list | tuple) else c) for c in value))
    except (NotImplementedError, TypeError, RuntimeError) as error:
        raise ProblemError(
            f"the {what} are no CasADi expressions",
            f"{type(value).__name__}: {str(error).splitlines()[0]}",
            "a list of columns of SX expressions in q (casadi.sin, not numpy.sin), all of one length",
            "[[1, 0, -q[1] / 2], [0, 1, q[0] / 2]] for the Heisenberg group",
        ) from error


def nearby(q: Array, count: int = TRIED, spread: float = SPREAD) -> Array:
    """Return points around q in general position, (count, N); the same at every call."""
    return q + spread * (1.0 + np.abs(q)) * np.random.default_rng(0).standard_normal((count, q.size))


def check_independent(frame: ca.Function, policy: RankPolicy) -> None:
    """Refuse fields that are dependent wherever they are tried.

    Raises
    ------
    ProblemError
        Naming the fields concerned.
    """
    factors = [rank_factor(matrix, policy) for matrix in _samples(frame)]
    k = frame.size2_out(0)
    if factors and all(factor.rank < k for factor in factors):
        shares = np.abs(factors[0].right).max(axis=1)
        culprits = ", ".join(f"X{i + 1}" for i in np.flatnonzero(shares > FAIR * shares.max()))
        raise ProblemError(
            "the fields are dependent",
            f"rank {max(factor.rank for factor in factors)} of {k} at all of {len(factors)} points; {culprits}",
            "fields that are independent at most points: they are taken as orthonormal",
            "leave one out",
        )


def check_metric(metric: ca.Function) -> None:
    """Refuse inner products that are not symmetric, or not positive, where they are tried.

    Raises
    ------
    ProblemError
        With the values met.
    """
    for matrix in _samples(metric):
        skew = float(np.abs(matrix - matrix.T).max())
        least = float(np.linalg.eigvalsh(matrix + matrix.T)[0]) / 2
        if skew > ROUNDOFF * float(np.abs(matrix).max()) or least <= 0.0:
            raise ProblemError(
                "the metric is not symmetric" if least > 0.0 else "the metric is not positive",
                f"{np.array2string(matrix, precision=4)}, least eigenvalue {least:.3g}",
                "a symmetric positive matrix of inner products",
                "(G + G.T) / 2, or other fields",
            )


def orthonormal(frame: ca.Function, metric: ca.Function) -> ca.Function:
    """Return orthonormal combinations X R^-1 of fields with inner products G = R^T R."""
    q = ca.SX.sym("q", frame.numel_in(0))
    root = ca.chol(metric(q))
    return ca.Function("X", [q], [ca.cse(ca.densify(ca.solve(root.T, frame(q).T).T))], ["q"], ["X"])


def independent_forms(forms: ca.Function, policy: RankPolicy) -> tuple[list[int], tuple[str, ...]]:
    """Return which of the forms, columns of q -> A^T, are independent where they are tried, and what was left out."""
    factors = [rank_factor(matrix.T, policy) for matrix in _samples(forms)]
    count = forms.size2_out(0)
    if not factors:
        return list(range(count)), ()
    kept = independent_rows(max(factors, key=lambda factor: factor.rank))
    if not kept:
        raise ProblemError("the forms vanish", f"{count} zero forms", "forms that restrict velocities", "from_frame")
    if len(kept) == forms.numel_in(0):
        raise ProblemError(
            "the forms leave no direction",
            f"{len(kept)} independent forms in {len(kept)} coordinates",
            "fewer forms than coordinates",
            "leave one out",
        )
    left = [f"form {i + 1} follows from the others" for i in range(count) if i not in kept]
    return kept, tuple(left)


def projection(forms: ca.Function, kept: Sequence[int], metric: ca.Function | None) -> ca.Function:
    """Return q -> X with X X^T the cometric of ker A: X = R^-1 (1 - B^T (B B^T)^-1 B), B = A R^-1, metric R^T R."""
    q = ca.SX.sym("q", forms.numel_in(0))
    root = ca.SX.eye(q.numel()) if metric is None else ca.chol(metric(q))
    B = ca.solve(root.T, forms(q)[:, list(kept)]).T
    onto = ca.SX.eye(q.numel()) - B.T @ ca.solve(B @ B.T, B)
    return ca.Function("X", [q], [ca.cse(ca.densify(ca.solve(root, onto)))], ["q"], ["X"])


def _samples(function: ca.Function) -> list[Array]:
    """Return the values of a matrix function where they are finite among points around the origin."""
    evaluate = BufferedFunction(function)
    values = [evaluate(point).reshape(function.size_out(0)) for point in nearby(np.zeros(function.numel_in(0)))]
    return [matrix for matrix in values if np.isfinite(matrix).all()]


def defined(fields: Array, q: Array, name: str) -> Array:
    """Return the values of fields at a point.

    Raises
    ------
    GeometryError
        If they are not finite.
    """
    if not np.isfinite(fields).all():
        raise GeometryError(
            f"the fields of {name} are not defined at the point",
            f"{np.count_nonzero(~np.isfinite(fields))} of {fields.size} entries not finite at q = {q}",
            "smooth fields; forms that are independent, a metric that is positive",
            "another point, or other coordinates",
        )
    return fields
