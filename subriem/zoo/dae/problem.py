"""What is known of a DAE: its numbers of structure, a consistent start, and its solution where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import as_file, files
from typing import Any, Literal

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.rank import EPS
from subriem.reduction.dae import DAE
from subriem.reduction.declare import scalar_names

#: Values of scalar derivatives by name: x, x', theta[3], lam.
Values = Mapping[str, float]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Problem:
    """A DAE with known answers.

    Attributes
    ----------
    name, title, source : str
        Where the problem and its values come from.
    dae : DAE
    at : mapping of str to float or ndarray
        A consistent start by names: x, x', theta (a column). What is missing follows from the equations.
    span : (float, float)
        The times of the start and of `end`.
    structural_index : int or None
        Of the Sigma-method, before any repair; None if no transversal exists.
    index : int or None
        The differentiation index of the equivalent first-order form at the start, for the variables that are not
        free; None if there is no solution, or the rank changes at the start.
    freedom : int or None
        Number of initial values that may be chosen, free algebraic variables not counted.
    redundant : tuple of str
        Equations without which the solutions through the start are the same ones.
    inconsistent : tuple of str
        Equations that contradict each other; remove one and there is a solution.
    free : tuple of str
        Variables the equations leave undetermined, in part or wholly; `end` and `exact` hold the least-norm choice.
    hidden : tuple of str
        Equations a combination of which is of lower order than each of them, unseen by structural analysis.
    consistent_until : float
        The time from which on the equations contradict each other.
    end : mapping of str to float, optional
        Reference values at span[1].
    end_digits : float, optional
        How many of their digits can be trusted.
    exact : callable, optional
        t -> values, in closed form: of every variable, and of some derivatives.
    invariants : mapping of str to callable
        values -> float, constant along solutions.
    scale : {"relative", "absolute"}
        How errors are measured against `end`.
    """

    name: str
    title: str
    source: str
    dae: DAE
    at: Mapping[str, Any]
    span: tuple[float, float]
    structural_index: int | None
    index: int | None
    freedom: int | None
    redundant: tuple[str, ...] = ()
    inconsistent: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    consistent_until: float = float("inf")
    end: Values | None = None
    end_digits: float | None = None
    exact: Callable[[float], Values] | None = None
    invariants: Mapping[str, Callable[[Values], float]] = field(default_factory=dict)
    scale: Literal["relative", "absolute"] = "relative"

    def __repr__(self) -> str:
        return f"<Problem {self.name}: {self.title}>"

    @property
    def start(self) -> dict[str, float]:
        """The start with columns spelled out: theta[0], theta[1] and so on."""
        found: dict[str, float] = {}
        for name, value in self.at.items():
            variable = name.rstrip("'")
            primes = name[len(variable) :]
            scalars = scalar_names(variable, self.dae.sizes[variable])
            found |= {scalar + primes: float(x) for scalar, x in zip(scalars, np.ravel(value), strict=True)}
        return found

    @property
    def reference(self) -> Values | None:
        """The values at span[1]: `end`, or else the closed form."""
        return self.exact(self.span[1]) if self.end is None and self.exact is not None else self.end


def digits(problem: Problem, values: Values, names: Iterable[str] | None = None) -> float:
    """Return the achieved digits -log10 max_i |error_i| / |reference_i| at the end of the span.

    Where the reference is zero, or the problem says so, errors are absolute. No error counts as machine precision.

    Parameters
    ----------
    problem : Problem
    values : mapping of str to float
        Values at span[1] by scalar names, x, x', theta[3]; more than the reference has may be given.
    names : iterable of str, optional
        What to compare: all the reference has unless given.

    Returns
    -------
    float

    Raises
    ------
    ProblemError
        If the problem has no reference, or a name is missing in it or in the values.

    Examples
    --------
    >>> from subriem.zoo.dae import digits, get
    >>> circle = get("circle")  # y = sin t
    >>> f"{digits(circle, {'y': 0.98545}, names=['y']):.1f}"
    '6.6'
    """
    reference = problem.reference
    if reference is None:
        raise ProblemError(
            f"problem {problem.name} has no reference values", "digits", "end or exact", "look at its invariants"
        )
    compared = list(reference if names is None else names)
    missing = [name for name in compared if name not in values or name not in reference]
    if missing or not compared:
        raise ProblemError(
            f"the values of problem {problem.name} cannot be compared",
            f"missing: {', '.join(missing[:6]) or 'all'}",
            f"values of {', '.join(list(reference)[:6])}",
            "names=[…] compares a part of them",
        )
    right = np.array([reference[name] for name in compared])
    error = np.abs(np.array([values[name] for name in compared]) - right)
    absolute = (right == 0) | (problem.scale == "absolute")
    worst = float((error / np.where(absolute, 1.0, np.abs(right))).max())  # NaN stays NaN
    return float(-np.log10(np.maximum(worst, EPS)))


@cache
def _references() -> dict[str, Any]:
    with as_file(files("subriem.zoo.data") / "dae.json") as path:
        return json.loads(path.read_text(encoding="utf-8"))


def reference(key: str, names: Iterable[str]) -> dict[str, float]:
    """Return an entry of data/dae.json by names, given in its order; the file may hold more than is named."""
    return dict(zip(names, _references()[key]["y"], strict=False))


def source(key: str) -> str:
    """Return where an entry of data/dae.json comes from."""
    return _references()[key]["source"]
