"""Checks at the door: arrays that are real, finite and of the right shape."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array


def real_array(value: Any, name: str, *, ndim: int | None = None, finite: bool = True) -> Array:
    """Return `value` as a float64 array.

    Raises
    ------
    ProblemError
        If it is complex, of object or text dtype, ragged, masked, of another dimension, empty, or not finite.
    """
    hint = f"pass {name} as a NumPy array of floats"
    if np.ma.is_masked(value):
        raise ProblemError(f"{name} has masked entries", f"{np.ma.count_masked(value)} masked", "every entry", hint)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ProblemError(f"{name} is not an array", str(error), "a rectangular array of floats", hint) from error
    if array.dtype.kind not in "fiub":
        expected = "real numbers (float64)"
        if array.dtype.kind == "c":
            hint = f"split {name} into real and imaginary parts"
        raise ProblemError(f"{name} does not hold real numbers", f"dtype {array.dtype}", expected, hint)
    if ndim is not None and array.ndim != ndim:
        raise ProblemError(
            f"{name} has the wrong number of axes", f"shape {array.shape}", f"{ndim} axes", f"reshape {name}"
        )
    if array.size == 0:
        raise ProblemError(f"{name} is empty", f"shape {array.shape}", "at least one entry", hint)
    array = np.ascontiguousarray(array, dtype=np.float64)
    if finite and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))
        first = ", ".join(str(i) for i in where[0])
        raise ProblemError(
            f"{name} has entries that are not finite",
            f"{len(where)} of {array.size}; the first is {name}[{first}] = {array[tuple(where[0])]}",
            "finite numbers",
            "drop or fill the rows concerned",
        )
    return array


def vector(value: Any, name: str, length: int, *, finite: bool = True) -> Array:
    """Return `value` as a float64 vector of the given length, or raise `ProblemError`."""
    array = real_array(value, name, ndim=1, finite=finite)
    if array.size != length:
        raise ProblemError(
            f"{name} has the wrong length",
            f"shape {array.shape}",
            f"shape ({length},)",
            f"check what {name} was made for",
        )
    return array


def returned(value: Any, name: str, shape: tuple[int, ...], hint: str) -> Array:
    """Return what a user's function returned as a float64 array of the given shape; it may hold NaN.

    Raises
    ------
    ProblemError
        If it is no array of real numbers of this shape.

    Examples
    --------
    >>> returned([1, 2], "F", (2,), "a look at F")
    array([1., 2.])
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ProblemError(
            f"{name} is not an array", str(error), f"shape {shape} of real numbers", "return a NumPy array"
        ) from error
    if array.dtype.kind not in "fiub" or array.shape != shape:
        got = f"shape {array.shape}, dtype {array.dtype}"
        raise ProblemError(f"{name} does not fit", got, f"shape {shape} of real numbers", hint)
    return array.astype(np.float64, copy=False)


def positive(value: Any, name: str, *, or_zero: bool = False) -> float:
    """Return `value` as a finite float > 0 (>= 0 with `or_zero`), or raise `ProblemError`."""
    what, wanted = ("not a number >= 0", ">= 0") if or_zero else ("not positive", "> 0")
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else np.nan
    if not (0.0 < number < np.inf or (or_zero and number == 0.0)):
        raise ProblemError(f"{name} is {what}", repr(value), f"a finite number {wanted}", f"{name}=1e-6")
    return number


def positive_integer(value: Any, name: str, *, or_zero: bool = False) -> int:
    """Return `value` as an int >= 1 (>= 0 with `or_zero`), or raise `ProblemError`."""
    least = 0 if or_zero else 1
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        what = "no integer >= 0" if or_zero else "not a positive integer"
        raise ProblemError(f"{name} is {what}", repr(value), f"an integer >= {least}", f"{name}=1 or more")
    return int(value)
