"""Files: arrays and plain values in one .npz, written atomically, with a format version."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array

FORMAT = "subriem"
VERSION = 1
_HEADER = "__header__"
_RESERVED = frozenset({_HEADER, "file", "allow_pickle"})  # the last two are arguments of numpy.savez
#: What NumPy, zipfile and json raise on files that are damaged or not ours.
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)


def _plain(value: Any) -> Any:
    """Return a JSON-ready copy; non-finite floats become strings, so that the file is valid JSON."""
    if isinstance(value, dict):
        if set(value) == {"__float__"}:
            raise TypeError("the key '__float__' is taken by the file format")
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"__float__": repr(value)}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"cannot store a {type(value).__name__}")


def _restore(pair: dict[str, Any]) -> Any:
    return float(pair["__float__"]) if set(pair) == {"__float__"} else pair


def write(path: str | os.PathLike[str], kind: str, header: dict[str, Any], arrays: dict[str, Array]) -> Path:
    """Write one file atomically: a crash leaves the old file or the new one, never half of one.

    Parameters
    ----------
    path : path
        Gets the suffix .npz if it has none.
    kind : str
        What the file holds; `read` checks it.
    header : dict
        JSON-ready values (nan and inf allowed).
    arrays : dict of ndarray

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ProblemError
        If the folder does not exist or cannot be written, or an array has a name the format keeps for itself.
    """
    target = _target(path)
    if taken := _RESERVED & set(arrays):
        raise ProblemError(
            "an array has a name that is taken",
            ", ".join(sorted(taken)),
            f"none of {sorted(_RESERVED)}",
            "another name",
        )
    text = json.dumps({"format": FORMAT, "version": VERSION, "kind": kind, "data": _plain(header)}, allow_nan=False)
    payload = {**arrays, _HEADER: np.frombuffer(text.encode(), dtype=np.uint8)}
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:  # not tempfile: its files are readable by their owner alone
            np.savez(stream, allow_pickle=False, **payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise ProblemError(
            "the file cannot be written", f"{target}: {error}", "an existing writable folder with room", "mkdir"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    return target if target.suffix else target.with_suffix(".npz")


def read(path: str | os.PathLike[str], kind: str | None = None) -> tuple[str, dict[str, Any], dict[str, Array]]:
    """Read a file written by `write`; the path gets the suffix .npz if it has none.

    Returns
    -------
    kind : str
    header : dict
    arrays : dict of ndarray

    Raises
    ------
    ProblemError
        If the file is missing, is not of this format, is of an unknown version or of another kind, or is corrupt.
    """
    target = _target(path)
    hint = "a file written by subriem.io.save"
    try:
        with target.open("rb") as stream:  # NumPy would leave a damaged file open
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            raw = {name: archive[name] for name in archive.files}
        head = json.loads(raw.pop(_HEADER).tobytes().decode(), object_hook=_restore)
        found, version, data = str(head["kind"]), int(head["version"]), dict(head["data"])
        if head["format"] != FORMAT:
            raise ValueError(f"format {head['format']!r}")
    except FileNotFoundError as error:
        raise ProblemError("the file is missing", str(target), hint, "check the path") from error
    except _UNREADABLE as error:
        why = (
            "it holds no plain arrays" if "pickle" in str(error) else str(error)
        )  # NumPy advises to load them unsafely
        raise ProblemError(
            "the file is corrupt or no subriem file", f"{target}: {why}", hint, "save it again"
        ) from error
    if not 1 <= version <= VERSION:
        what = "newer" if version > VERSION else "unknown"
        raise ProblemError(
            f"the file is of a {what} format", f"version {version}", f"at most {VERSION}", "update subriem"
        )
    if kind is not None and found != kind:
        raise ProblemError("the file holds something else", f"kind {found!r}", f"kind {kind!r}", "check the path")
    return found, data, raw
