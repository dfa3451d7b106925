"""Results as plain values and arrays, and back: what a file holds is data, and reading it runs nothing.

Only dataclasses and enumerations named beforehand are made again, from their own fields: a file that names another
class is refused. A field that a later version adds is left at its default where an older file does not have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.core.tape import put_together, take_apart

#: A header of plain values, and arrays by name.
Parts = tuple[dict[str, Any], dict[str, Array]]
#: Arrays up to this size stand in the header: a member of an archive costs more than its few numbers.
INLINE = 8


class Records:
    """Takes apart and puts together values made of some dataclasses.

    They may hold None, numbers, texts, tuples, lists, mappings, arrays of numbers, functions of SX, and each other.
    What is met twice is stored once, and is one object again.

    Parameters
    ----------
    classes : iterable of type
        Dataclasses and enumerations.

    Examples
    --------
    >>> from subriem.core.result import Check
    >>> records = Records([Check])
    >>> header, arrays = records.take_apart({"checks": (Check("drift", 1e-12, None, "distance"),)})
    >>> records.put_together(header, arrays)["checks"][0].value
    1e-12
    """

    def __init__(self, classes: Iterable[type]) -> None:
        self._classes = {entry.__name__: entry for entry in classes}

    def take_apart(self, value: Any) -> Parts:
        """Return a value as a header of plain values and arrays by name.

        Raises
        ------
        TypeError
            If it holds something else.
        ProblemError
            If a function in it is not one of SX.
        """
        writer = _Writer(self._classes)
        return {"value": writer.write(value, "")}, writer.arrays

    def put_together(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
        """Return the value that was taken apart.

        Raises
        ------
        ValueError, KeyError, TypeError, IndexError
            If these are not the parts of one.
        """
        return _Reader(self._classes, arrays).read(header["value"])


class _Writer:
    def __init__(self, classes: Mapping[str, type]) -> None:
        self._classes = classes
        self.arrays: dict[str, Array] = {}
        self._number: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is that of one object only as long as it lives

    def write(self, value: Any, path: str) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in (bool, int, float, str):
            return value
        if id(value) in self._number:
            return {"same": self._number[id(value)]}
        found = self._compound(value, path)
        self._number[id(value)] = len(self._alive)
        self._alive.append(value)
        return found

    def _compound(self, value: Any, path: str) -> Any:
        if isinstance(value, tuple):
            return [self.write(entry, f"{path}/{k}") for k, entry in enumerate(value)]
        if isinstance(value, list):
            return {"list": [self.write(entry, f"{path}/{k}") for k, entry in enumerate(value)]}
        if isinstance(value, Mapping):
            return {"mapping": [[self.write(key, path), self.write(v, f"{path}/{key}")] for key, v in value.items()]}
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, ca.Function):
            header, arrays = take_apart(value)
            return {"function": header} | {name: self._array(part, f"{path}/{name}") for name, part in arrays.items()}
        name = type(value).__name__
        if self._classes.get(name) is not type(value):
            raise TypeError(f"{path.strip('/') or 'it'} is a {name}, which a file cannot hold")
        if isinstance(value, Enum):
            return {"choice": name, "of": value.name}
        assert is_dataclass(value)
        held = {entry.name: self.write(getattr(value, entry.name), f"{path}/{entry.name}") for entry in fields(value)}
        return {"record": name, "of": held}

    def _array(self, value: Array, path: str) -> dict[str, Any]:
        if value.dtype == complex:
            pairs = np.ascontiguousarray(value).reshape(*value.shape, 1).view(float)
            return {"complex": self._array(pairs, path)}
        if value.dtype.kind not in "fiub":
            raise TypeError(f"{path.strip('/')} is an array of {value.dtype}, which a file cannot hold")
        if value.size <= INLINE:
            return {"numbers": value.ravel().tolist(), "dtype": value.dtype.str, "shape": list(value.shape)}
        name = path.strip("/") or "value"
        name = f"{name}~{len(self.arrays)}" if name in self.arrays else name  # mappings may have keys 1 and "1"
        self.arrays[name] = value
        return {"array": name}


class _Reader:
    def __init__(self, classes: Mapping[str, type], arrays: Mapping[str, Array]) -> None:
        self._classes, self._arrays = classes, arrays
        self._made: list[Any] = []

    def read(self, code: Any) -> Any:
        if code is None or isinstance(code, bool | int | float | str):
            return code
        if isinstance(code, dict) and "same" in code:
            return self._made[code["same"]]
        value = self._compound(code)
        self._made.append(value)
        return value

    def _compound(self, code: Any) -> Any:
        match code:
            case list():
                return tuple(self.read(entry) for entry in code)
            case {"list": entries}:
                return [self.read(entry) for entry in entries]
            case {"mapping": pairs}:
                return {self.read(key): self.read(entry) for key, entry in pairs}
            case {"function": header, "steps": steps, "constants": constants}:
                return put_together(header, {"steps": self._array(steps), "constants": self._array(constants)})
            case {"choice": name, "of": member}:
                kind = self._classes[name]
                if not issubclass(kind, Enum):
                    raise TypeError(f"{name} is no enumeration")
                return kind[member]
            case {"record": name, "of": held}:
                return self._classes[name](**{key: self.read(entry) for key, entry in held.items()})
        return self._array(code)

    def _array(self, code: Mapping[str, Any]) -> Array:
        if "complex" in code:
            pairs = np.ascontiguousarray(self._array(code["complex"]))
            return pairs.view(complex).reshape(pairs.shape[:-1])
        if "array" in code:
            return self._arrays[code["array"]]
        dtype = np.dtype(code["dtype"])
        if dtype.kind not in "fiub":
            raise ValueError(f"numbers of type {dtype}")
        return np.array(code["numbers"], dtype=dtype).reshape(code["shape"])
