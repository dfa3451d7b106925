"""Errors that say what is wrong, what was got, what was expected and what to try."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class SubriemError(Exception):
    """Base of every error raised by subriem.

    Parameters
    ----------
    what : str
        What is wrong, with the names of the quantities concerned.
    got : str
        The value or situation met.
    expected : str
        What would have been right.
    try_ : str
        What the user can do.

    Examples
    --------
    >>> print(SubriemError("the step is negative", "h = -1", "h > 0", "swap the ends"))
    What      the step is negative
    Got       h = -1
    Expected  h > 0
    Try       swap the ends
    """

    def __init__(self, what: str, got: str = "", expected: str = "", try_: str = "") -> None:
        super().__init__(what, got, expected, try_)
        self.what, self.got, self.expected, self.try_ = what, got, expected, try_

    def __str__(self) -> str:
        return f"What      {self.what}\nGot       {self.got}\nExpected  {self.expected}\nTry       {self.try_}"


class ProblemError(SubriemError, ValueError):
    """The problem as stated cannot be meant: wrong shape, NaN, unknown name, contradictory options."""


class RankError(SubriemError):
    """The rank is ambiguous or not the one the operation needs."""


class InconsistentError(SubriemError):
    """Equations contradict each other."""


class ReductionError(SubriemError):
    """An index reduction could not be completed."""


class SolveError(SubriemError, RuntimeError):
    """A run failed; `.solution` carries what was found until then.

    Attributes
    ----------
    solution : object or None
        The partial result.
    """

    def __init__(self, what: str, got: str = "", expected: str = "", try_: str = "", solution: Any = None) -> None:
        super().__init__(what, got, expected, try_)
        self.solution = solution


class GeometryError(SubriemError):
    """A geometric object is not defined where it was asked for."""


class EquilibriumError(SubriemError):
    """A search for equilibria could not be carried out."""


class MissingExtraError(SubriemError, ImportError):
    """An optional package is not installed."""


def optional_import(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise `MissingExtraError` naming the extra that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this feature needs the package {module!r}",
            f"{type(error).__name__}: {error}",
            f"an installation with the extra {extra!r}",
            f'pip install "subriem[{extra}]"',
        ) from error
