"""Integrators as machine code: one shared library for each generated C text, kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import casadi as ca

FLAGS = ("-O2", "-shared", "-fPIC")
#: Compilers looked for, after the environment's CC.
COMPILERS = ("gcc", "cc", "clang")
#: Seconds a compilation may take.
PATIENCE = 600.0


class CompilationError(Exception):
    """The machine cannot compile; the sentence says why."""


def cache_folder() -> Path:
    """Return where libraries are kept: $SUBRIEM_CACHE, or the folder the system has for caches."""
    if chosen := os.environ.get("SUBRIEM_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "subriem"
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(base) / "subriem" if base else Path.home() / ".cache" / "subriem"


def compile_function(function: ca.Function) -> tuple[ca.Function, str]:
    """Return the same function from a shared library, and whether that was compiled now or found.

    Raises
    ------
    CompilationError
        If there is no compiler, it fails, or the folder cannot be written.
    """
    compiler = _compiler()
    text = _generated(function)
    key = hashlib.sha256("\n".join([text, compiler, *FLAGS, ca.CasadiMeta.version()]).encode()).hexdigest()[:32]
    library = cache_folder() / f"{key}.so"
    found = library.is_file()
    if not found:
        _compile(text, compiler, library)
    try:
        return ca.external(function.name(), str(library)), "found" if found else "compiled"
    except RuntimeError as error:  # of another machine, or damaged
        library.unlink(missing_ok=True)
        raise CompilationError(f"the library {library.name} could not be loaded; it was removed") from error


def _compiler() -> str:
    for name in (os.environ.get("CC", ""), *COMPILERS):
        if name and (path := shutil.which(name)):
            return path
    raise CompilationError(f"no C compiler was found (looked for {', '.join(COMPILERS)}, and $CC)")


def _generated(function: ca.Function) -> str:
    generator = ca.CodeGenerator(f"{function.name()}.c")
    generator.add(function)
    try:
        return generator.dump()
    except RuntimeError as error:
        raise CompilationError("this integrator cannot be written as C") from error


def _compile(text: str, compiler: str, library: Path) -> None:
    """Compile next to the target and rename: another process sees the whole library or none."""
    temporary = library.with_name(f"{library.stem}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="subriem-") as folder:
            source = Path(folder) / "integrate.c"
            source.write_text(text, encoding="utf-8")
            command = [compiler, *FLAGS, str(source), "-o", str(temporary), "-lm"]
            run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if run.returncode:
            last = (run.stderr.strip().splitlines() or ["no message"])[0]
            raise CompilationError(f"{Path(compiler).name} failed: {last[:120]}")
        os.replace(temporary, library)
    except (OSError, subprocess.SubprocessError) as error:
        raise CompilationError(f"{type(error).__name__}: {error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
