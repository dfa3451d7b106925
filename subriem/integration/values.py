"""The values of all jets at one time, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.integration.system import Reduced
from subriem.reduction.consistent import jet_places
from subriem.reduction.jets import jet_name
from subriem.reduction.protocols import Place


class Values(Mapping[str, Any]):
    """The values of all jets at one time: v.x, v["x'"], v["theta"] (a column), v["theta[3]"]."""

    def __init__(self, reduction: Reduced, row: Array) -> None:
        self._reduction, self._row = reduction, row

    def __getitem__(self, name: str) -> Any:
        return named(self._reduction, self._row[None, :], name)[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __contains__(self, name: object) -> bool:
        try:
            _columns(self._reduction, str(name))
        except ProblemError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(jet_names(self._reduction))

    def __len__(self) -> int:
        return self._row.size


def jet_names(reduction: Reduced) -> tuple[str, ...]:
    """Return the names of the jets, in the order of `reduction.system.columns`."""
    columns: tuple[Place, ...] = reduction.system.columns
    return tuple(jet_name(reduction.dae.variables[j], k) for j, k in columns)


def named(reduction: Reduced, rows: Array, name: str) -> Array:
    """Return the columns of a table of jets that a name stands for: (N,) for a scalar, (N, size) for a vector.

    Raises
    ------
    ProblemError
        If there is no such variable, or this derivative is not part of the solution.
    """
    columns, vector = _columns(reduction, name)
    return rows[:, columns] if vector else rows[:, columns[0]]


@lru_cache(maxsize=1024)
def _columns(reduction: Reduced, name: str) -> tuple[list[int], bool]:
    places = jet_places(reduction.dae, name)
    position = {place: index for index, place in enumerate(reduction.system.columns)}
    missing = [place for place in places if place not in position]
    if missing:
        j, k = missing[0]
        raise ProblemError(
            "the solution does not hold this derivative",
            jet_name(reduction.dae.variables[j], k),
            f"at most {jet_name(reduction.dae.variables[j], reduction.system.d[j])}",
            "add a variable for it to the DAE",
        )
    variable = name.split("'")[0].split("^")[0].strip()
    return [position[place] for place in places], reduction.dae.sizes.get(variable) is not None
