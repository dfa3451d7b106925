"""The command line: flows of tables, and DAEs and problems of rest points written in Python files.

What a command needs is imported when a command line is read.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from subriem.core.errors import ProblemError, SubriemError, optional_import

if TYPE_CHECKING:
    from subriem.cli.flow import Settings, default_widths, study_of
    from subriem.cli.shell import Shell

__all__ = ["Settings", "default_widths", "main", "study_of"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from subriem.cli import flow

    return getattr(flow, name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; by default that of the process.

    Returns
    -------
    int
        0 if the run reached its goal, 1 if it ended otherwise, 2 for bad input (said in four lines on stderr), 130 if
        it was interrupted (the partial result is saved and reported).

    Examples
    --------
    >>> main(["--version"])
    0.1.0
    0
    """
    from subriem.cli.shell import BAD_INPUT, ENDED_OTHERWISE, INTERRUPTED, OK

    arguments, names = list(sys.argv[1:] if argv is None else argv), ()
    try:
        cyclopts = optional_import("cyclopts", "cli")
        application = _application(cyclopts, _shells(shlex.join(["subriem", *arguments])))
        command, bound, _ = application.parse_args(arguments, exit_on_error=False, print_error=False)
        names = tuple(bound.signature.parameters)
        code = command(*bound.args, **bound.kwargs)
        return code if isinstance(code, int) else OK
    except SubriemError as error:
        print(_as_options(str(error), names), file=sys.stderr)
        return BAD_INPUT if isinstance(error, ProblemError | ImportError) else ENDED_OTHERWISE
    except KeyboardInterrupt:
        print("interrupted before anything could be saved", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not type(error).__module__.startswith("cyclopts"):
            raise
        print(_misunderstood(arguments, error), file=sys.stderr)
        return BAD_INPUT


def _as_options(message: str, names: Sequence[str]) -> str:
    """Return a message whose hint, its last line, gives arguments of the command as its options: --rtol 1e-8."""
    said, end, hint = message.rpartition("\n")
    if names:
        hint = re.sub(rf"\b({'|'.join(names)})=", lambda found: f"--{found[1].replace('_', '-')} ", hint)
    return said + end + hint


def _shells(command: str) -> list[Shell]:
    from subriem.cli.dae import DAECommands
    from subriem.cli.equilibria import EquilibriaCommands
    from subriem.cli.flow import FlowCommands

    return [DAECommands(command), EquilibriaCommands(command), FlowCommands(command)]


def _application(cyclopts: Any, shells: Sequence[Shell]) -> Any:
    """Return the cyclopts application."""
    from subriem.report.study import version

    app = cyclopts.App(
        name="subriem", version=version(), help="Flows whose rank may fail: follow them, and say what was found.",
        version_flags=["--version"], default_parameter=cyclopts.Parameter(negative=()),
    )  # fmt: skip
    for shell in shells:
        for command in shell.commands():
            app.command(command)
    return app


def _misunderstood(arguments: Sequence[str], error: Exception) -> ProblemError:
    """Return what is wrong with a command line in four lines."""
    usage = {name: how for shell in _shells("") for name, how in shell.usage.items()}
    name = arguments[0] if arguments and arguments[0] in usage else "flow"
    hint = f"subriem --help, or subriem {name} --help"
    return ProblemError("the command line is not understood", " ".join(str(error).split()), usage[name], hint)
