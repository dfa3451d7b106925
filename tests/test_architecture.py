"""House rules a machine can check: public names, what an import loads, sizes, who may ask for a rank.

The layers are import-linter's (`lint-imports`, the contract is in pyproject.toml).
"""

import ast
import enum
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import subriem
import subriem.flows

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "subriem").rglob("*.py"))
SNAPSHOT = ROOT / "tests" / "reference" / "public_api.txt"
PUBLIC: list[tuple[str, ModuleType]] = [("", subriem), ("flows.", subriem.flows)]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_the_sources_are_found():
    assert ROOT / "subriem" / "__init__.py" in SOURCES


# --- the public names ---------------------------------------------------------------------------------------


def public_names() -> list[str]:
    return sorted(prefix + name for prefix, module in PUBLIC for name in module.__all__)


def test_public_names_are_those_of_the_snapshot():
    names, written = public_names(), SNAPSHOT.read_text(encoding="utf-8").split()
    added, removed = sorted(set(names) - set(written)), sorted(set(written) - set(names))
    assert names == written, (
        f"the public names changed: added {added or 'none'}, removed {removed or 'none'}. A removal breaks "
        "users. If it is meant: `python tests/test_architecture.py`, and a line in CHANGELOG.md"
    )


def test_public_names_exist():
    missing = [prefix + name for prefix, module in PUBLIC for name in module.__all__ if not hasattr(module, name)]
    assert not missing


# --- what `import subriem` loads ----------------------------------------------------------------------------

HEAVY = [
    "scipy.integrate",
    "scipy.optimize",
    "networkx",
    "matplotlib",
    "plotly",
    "xarray",
    "heyoka",
    "torch",
    "dask",
]


def test_import_loads_nothing_heavy():
    code = f"import sys, subriem; print(*[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [], "import these inside the functions that need them"
    assert run.stderr == ""


# --- sizes --------------------------------------------------------------------------------------------------

FILE_LINES, FUNCTION_LINES = 450, 60


def test_no_file_is_long():
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = {name: length for name, length in lengths.items() if length > FILE_LINES}
    assert not long, f"over {FILE_LINES} lines: which second subject lives there?"


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; the docstring's lines are not counted, nor are decorators."""
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        length -= docstring.end_lineno - docstring.lineno + 1
    return length


def test_no_function_is_long():
    long = {
        f"{relative(path)}:{node.lineno} {node.name}": body_length(node)
        for path in SOURCES
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_length(node) > FUNCTION_LINES
    }
    assert not long, f"over {FUNCTION_LINES} lines, docstring not counted"


# --- "is it zero?" is asked only through RankPolicy ---------------------------------------------------------

# Functions with a cut-off of their own, so the answer would be unrecorded.
CUT_OFFS = {"pinv", "pinvh", "lstsq", "matrix_rank", "null_space", "orth"}
MAY_CUT_OFF = {"subriem/core/rank.py", "subriem/core/lift.py"}
# Singular values are where the question starts: a file that computes them hands them to RankPolicy.decide.
SINGULAR_VALUES = {"svd", "svdvals", "svds"}
MAY_DECOMPOSE = {
    "subriem/core/bordered.py",
    "subriem/core/dependence.py",
    "subriem/core/equilibrated.py",
    "subriem/core/factor.py",
}


def uses(path: Path, names: set[str]) -> Iterator[str]:
    """Yield "file:line name" wherever one of the names is imported, called or passed on."""
    for node in ast.walk(syntax(path)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in names:
                yield f"{relative(path)}:{node.lineno} {name}"
            case ast.ImportFrom(names=aliases):
                yield from (f"{relative(path)}:{node.lineno} {a.name}" for a in aliases if a.name in names)


@pytest.mark.parametrize(
    ("names", "allowed"), [(CUT_OFFS, MAY_CUT_OFF), (SINGULAR_VALUES, MAY_DECOMPOSE)], ids=["cut-offs", "svd"]
)
def test_rank_is_decided_in_one_place(names, allowed):
    found = [use for path in SOURCES if relative(path) not in allowed for use in uses(path, names)]
    assert not found, "ask through RankPolicy and lift: a change of rank must be a recorded decision"


@pytest.mark.parametrize("name", sorted(MAY_DECOMPOSE))
def test_who_decomposes_asks_the_policy(name):
    assert list(uses(ROOT / name, SINGULAR_VALUES)), "no longer needed in the list"
    assert list(uses(ROOT / name, {"decide"}))


# --- nothing prints but the command line --------------------------------------------------------------------


def prints(path: Path) -> list[str]:
    return [
        f"{relative(path)}:{node.lineno}"
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def test_only_the_command_line_prints():
    libraries = [path for path in SOURCES if not re.match(r"subriem/cli.*\.py", relative(path))]
    found = [use for path in libraries for use in prints(path)]
    assert not found, "use logging.getLogger('subriem'), a progress callback, or the result's __str__"


# --- public docstrings --------------------------------------------------------------------------------------


def public_callables() -> dict[str, object]:
    found = {prefix + name: getattr(module, name, None) for prefix, module in PUBLIC for name in module.__all__}
    return {name: thing for name, thing in found.items() if callable(thing)}


def sections(docstring: str) -> dict[str, str]:
    """Split a numpydoc docstring at its underlined headings."""
    pieces = re.split(r"^(\w[\w ]*)\n-{3,}\n", docstring, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def described(section: str) -> set[str]:
    """Return the names a Parameters or Attributes section describes ("a, b : int" are two)."""
    headings = re.findall(r"^(\S.*?)(?: :.*)?$", section, flags=re.MULTILINE)
    return {name.strip().lstrip("*") for heading in headings for name in heading.split(",")}


def docstring_faults(thing) -> list[str]:
    """Return what a public docstring lacks.

    Exceptions, warnings, enums and protocols need a docstring only: they are met, not called.
    """
    docstring = inspect.cleandoc(thing.__doc__ or "")
    if not docstring:
        return ["no docstring"]
    if inspect.isclass(thing) and (
        issubclass(thing, BaseException | enum.Enum) or getattr(thing, "_is_protocol", False)
    ):
        return []
    found = sections(docstring)
    faults = [] if ">>> " in found.get("Examples", "") else ["no doctest under Examples"]
    signature = inspect.signature(thing)
    wanted = {name for name in signature.parameters if not name.startswith("_")}
    have = described(found.get("Parameters", ""))
    if inspect.isclass(thing):  # a result is described by its attributes
        have |= described(found.get("Attributes", ""))
    if undescribed := wanted - have:
        faults.append(f"not described: {', '.join(sorted(undescribed))}")
    silent = inspect.isclass(thing) or signature.return_annotation in (None, "None")
    if not silent and not {"Returns", "Yields"} & found.keys():
        faults.append("no Returns")
    return faults


@pytest.mark.parametrize("name", sorted(public_callables()))
def test_public_docstring_is_complete(name):
    assert docstring_faults(public_callables()[name]) == []


# --- no paths of one machine --------------------------------------------------------------------------------

HOME = re.compile(r"(?<![\w.:/~-])/(?:home|root|Users|work|workspace)/\w|\b[A-Za-z]:\\Users\\")


def tracked_files() -> list[Path]:
    try:
        run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in run.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_path_of_one_machine():
    files = tracked_files()
    if not files:
        pytest.skip("git tracks no file yet")
    here = str(ROOT) if len(ROOT.parts) > 2 else ""  # a checkout at /src would match honest text
    found = []
    for path in files:
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for number, line in enumerate(text.splitlines(), start=1):
            if HOME.search(line) or (here and here in line):
                found.append(f"{relative(path)}:{number} {line.strip()[:80]}")
    assert not found


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(public_names()) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {len(public_names())} names to {relative(SNAPSHOT)}\n")
