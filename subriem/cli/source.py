"""Where a command finds its problem, a Python file or the zoo, and values as they are written on a command line."""

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


@dataclass(frozen=True)
class Kind:
    """What a command looks for in a file.

    Attributes
    ----------
    name : str
        With its article, for messages.
    fits : callable
        Whether a value is of this kind.
    plural : str
    made : str
        How one is made.
    hint : str
        What to do about a value of another kind.
    """

    name: str
    fits: Callable[[Any], bool]
    plural: str
    made: str
    hint: str


_DAE = Kind("a DAE", lambda value: isinstance(value, DAE), "DAEs", "@sr.dae(…)", "@sr.dae(…) above a definition")


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
    return Source(find_in_file(given, _DAE))


def find_in_file(given: str, kind: Kind) -> Any:
    """Return what FILE.py:NAME, or FILE.py with one value of this kind, stands for.

    Raises
    ------
    ProblemError
        If there is no such file or name, the file raises (its own line is named), or this is of another kind.
    """
    head, colon, tail = given.rpartition(":")
    path, name = (Path(head), tail) if colon and (tail.isidentifier() or not tail) else (Path(given), "")
    with _importing_from(path.parent):
        names = vars(_executed(path))
        return _named(path, name, names, kind) if name else _only(path, names, kind)


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


def _named(path: Path, name: str, names: Mapping[str, Any], kind: Kind) -> Any:
    listed = _candidates(names, kind)
    if name not in names:
        raise ProblemError(f"there is no {name} in {path.name}", repr(name), listed, f"{path}:NAME")
    value = names[name]
    if inspect.isfunction(value):
        value = _called(path, name, value, kind)
    if not kind.fits(value):
        what = f"{name} in {path.name} is no {_bare(kind)}"
        raise ProblemError(what, type(value).__name__, listed, kind.hint)
    return value


def _called(path: Path, name: str, function: Callable[..., Any], kind: Kind) -> Any:
    if not _without_arguments(function):
        raise ProblemError(
            f"the function {name} in {path.name} takes arguments",
            f"{name}{inspect.signature(function)}",
            f"{kind.name}, or a function without arguments that returns one",
            kind.hint,
        )
    with _told(path):
        return function()


def _only(path: Path, names: Mapping[str, Any], kind: Kind) -> Any:
    """Return the one value of a kind in a file, under however many names."""
    found = {id(value): value for value in names.values() if kind.fits(value)}
    if len(found) == 1:
        return next(iter(found.values()))
    what = f"holds several {kind.plural}" if found else f"holds no {_bare(kind)} under a name of its own"
    listed = _candidates(names, kind)
    raise ProblemError(f"{path.name} {what}, and no NAME was given", str(path), listed, f"{path}:NAME")


def _bare(kind: Kind) -> str:
    return kind.name.partition(" ")[2]


def _candidates(names: Mapping[str, Any], kind: Kind) -> str:
    ready = [name for name, value in names.items() if kind.fits(value)]
    own = names["__name__"]
    makers = [
        f"{name}()"
        for name, value in names.items()
        if inspect.isfunction(value) and value.__module__ == own and _without_arguments(value)
    ]
    return f"one of {', '.join([*ready, *makers])}" if ready or makers else f"{kind.name}, made by {kind.made}"


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
