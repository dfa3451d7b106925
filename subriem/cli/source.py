"""Where a command finds its DAE, a Python file or the zoo, and values as they are written on a command line."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError, SubriemError
from subriem.reduction.dae import DAE

ZOO = "zoo:"


@dataclass(frozen=True, eq=False)
class Source:
    """A DAE, and what the place where it was found knows of its start.

    Attributes
    ----------
    dae : DAE
    at : mapping
        Start values by name.
    span : (float, float) or None
    """

    dae: DAE
    at: Mapping[str, Any] = field(default_factory=dict)
    span: tuple[float, float] | None = None


def find_dae(given: str) -> Source:
    """Return the DAE that FILE.py:NAME, FILE.py or zoo:NAME stands for.

    Parameters
    ----------
    given : str
        NAME is a DAE, or a function without arguments that returns one; without it the file holds one DAE.

    Raises
    ------
    ProblemError
        If there is no such file or name, the file raises (its own line is named), or this is no DAE.

    Examples
    --------
    >>> find_dae("zoo:circle").dae.variables
    ('y',)
    """
    if given.startswith(ZOO):
        from subriem.zoo.dae import get

        problem = get(given.removeprefix(ZOO))
        return Source(problem.dae, problem.at, problem.span)
    head, colon, tail = given.rpartition(":")
    path, name = (Path(head), tail) if colon and (tail.isidentifier() or not tail) else (Path(given), "")
    with _importing_from(path.parent):
        names = vars(_executed(path))
        return Source(_named(path, name, names) if name else _only(path, names))


# --- the file -------------------------------------------------------------------------------------------------------


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let a file import its neighbours, as it can where Python runs it."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _executed(path: Path) -> ModuleType:
    """Return a file executed as a module; nothing is written beside it."""
    try:
        text = path.read_bytes()
    except OSError as error:
        got = f"{path}: {error.strerror or error}"
        raise ProblemError("the file cannot be read", got, "a Python file", "FILE.py:NAME, or zoo:NAME") from error
    module = ModuleType(f"_subriem_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the names in their annotations
    with _told(path):
        exec(compile(text, str(path), "exec"), module.__dict__)
    return module


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what a file raises into an error that names its own line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        where = _where(path, error)
        if isinstance(error, SubriemError):
            raise ProblemError(f"{where}: {error.what}", error.got, error.expected, error.try_) from error
        said = error.msg if isinstance(error, SyntaxError) else error
        got = " ".join(f"{where}: {type(error).__name__}: {said}".split())
        raise ProblemError("the file raised an error", got, "a file that runs by itself", f"python {path}") from error


def _where(path: Path, error: BaseException | None) -> str:
    """Return the line of the file itself that led to an error: the last one, of the first cause that has one."""
    found = path.name
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename == str(path):
            found = _line(path, error.lineno, error.text)
        elif own := [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]:
            found = _line(path, own[-1].lineno, own[-1].line)
        error = error.__cause__
    return found


def _line(path: Path, number: int | None, text: str | None) -> str:
    shown = f" ({text.strip()[:60]})" if text and text.strip() else ""
    return f"{path.name}, line {number}{shown}"


# --- the name -------------------------------------------------------------------------------------------------------


def _named(path: Path, name: str, names: Mapping[str, Any]) -> DAE:
    if name not in names:
        raise ProblemError(f"there is no {name} in {path.name}", repr(name), _candidates(names), f"{path}:NAME")
    value = names[name]
    if inspect.isfunction(value):
        value = _called(path, name, value)
    if not isinstance(value, DAE):
        got = type(value).__name__
        raise ProblemError(f"{name} in {path.name} is no DAE", got, _candidates(names), "@sr.dae(…) above a definition")
    return value


def _called(path: Path, name: str, function: Callable[..., Any]) -> Any:
    if not _without_arguments(function):
        raise ProblemError(
            f"the function {name} in {path.name} takes arguments",
            f"{name}{inspect.signature(function)}",
            "a DAE, or a function without arguments that returns one",
            "@sr.dae(…) above the definition of a DAE",
        )
    with _told(path):
        return function()


def _only(path: Path, names: Mapping[str, Any]) -> DAE:
    """Return the one DAE of a file, under however many names."""
    found = {id(value): value for value in names.values() if isinstance(value, DAE)}
    if len(found) == 1:
        return next(iter(found.values()))
    what = "holds several DAEs" if found else "holds no DAE under a name of its own"
    listed = _candidates(names)
    raise ProblemError(f"{path.name} {what}, and no NAME was given", str(path), listed, f"{path}:NAME")


def _candidates(names: Mapping[str, Any]) -> str:
    daes = [name for name, value in names.items() if isinstance(value, DAE)]
    own = names["__name__"]
    makers = [
        f"{name}()"
        for name, value in names.items()
        if inspect.isfunction(value) and value.__module__ == own and _without_arguments(value)
    ]
    return f"one of {', '.join([*daes, *makers])}" if daes or makers else "a DAE, made by @sr.dae(…)"


def _without_arguments(function: Callable[..., Any]) -> bool:
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return all(p.default is not p.empty or p.kind in optional for p in parameters)


# --- values ---------------------------------------------------------------------------------------------------------


def read_values(option: str, text: str) -> dict[str, Any]:
    """Return name -> number or array from "x=1 x'=0 theta=1,2,3", rows of a matrix separated by semicolons.

    Raises
    ------
    ProblemError
        If this is not of this form, a number is none or not finite, or a name stands twice.

    Examples
    --------
    >>> read_values("--at", "x = 0.6 x'=0 theta=1,2")
    {'x': 0.6, "x'": 0.0, 'theta': array([1., 2.])}
    """
    found: dict[str, Any] = {}
    for part in re.sub(r"\s*([=,;])\s*", r"\1", text).split():
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise ProblemError(f"{option} is no list of values", repr(part), "NAME=NUMBER", f'{option} "x=1 x\'=0"')
        if name in found:
            raise ProblemError(f"{option} gives a value twice", name, "each name once", "leave one out")
        rows = [[_number(option, part, entry) for entry in row.split(",")] for row in value.split(";")]
        if len({len(row) for row in rows}) > 1:
            raise ProblemError(f"{option}: the rows of {name} differ in length", part, "a,b;c,d", "check it")
        found[name] = np.array(rows if len(rows) > 1 else rows[0])
        if found[name].shape == (1,):
            found[name] = float(found[name][0])
    return found


def _number(option: str, part: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not isfinite(number):
        raise ProblemError(f"{option} holds what is no finite number", part, "NAME=NUMBER", f'{option} "x=1 x\'=0"')
    return number


def finite(option: str, value: float) -> float:
    """Return a number of the command line, or raise `ProblemError` if it is not finite."""
    if not isfinite(value):
        raise ProblemError(f"{option} is not finite", repr(value), "a finite number", f"{option} 10")
    return value
