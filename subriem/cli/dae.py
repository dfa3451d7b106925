"""DAEs written in Python files: reduced, solved, saved and reported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from cyclopts import Parameter

from subriem import io
from subriem.cli.shell import (
    ENDED_OTHERWISE,
    INTERRUPTED,
    OK,
    Shell,
    aligned,
    notes_of_ranks,
    say,
    shows_progress,
    write_json,
)
from subriem.cli.source import Source, find_dae, finite, read_values
from subriem.core.budget import Budget, interruptible
from subriem.core.errors import ProblemError, optional_import
from subriem.integration.solve import solve
from subriem.reduction.reduce import reduce
from subriem.reduction.reduction import Reduction
from subriem.report import DAERun, dae_report
from subriem.report.dae import FILES, reduction_record, reduction_rows, verdict, write_series
from subriem.report.folder import check_folder, fill_folder

#: Change of a given value that is told.
MOVED = 1e-8
#: -p NAME=NUMBER, any number of times.
Values = Annotated[list[str] | None, Parameter(name=["--parameter", "-p"])]


class DAECommands(Shell):
    """The commands about differential-algebraic equations."""

    usage: ClassVar[Mapping[str, str]] = {
        "reduce": 'subriem reduce FILE.py:NAME --at "x=1 y=0"',
        "solve": 'subriem solve FILE.py:NAME --to 10 --at "x=1 y=0"',
    }

    def reduce(
        self,
        problem: str,
        *,
        at: str = "",
        t: float | None = None,
        fix: list[str] | None = None,
        parameter: Values = None,
        json: Path | None = None,
    ) -> int:
        """Say what is true of a DAE at a consistent start: index, freedom, redundant, hidden and open parts by name.

        Parameters
        ----------
        problem
            FILE.py:NAME, a DAE or a function without arguments that returns one; or zoo:NAME.
        at
            Values of the start by name, "x=0.6 x'=0 theta=1,2,3"; what is missing is found.
        t
            Time of the start, 0 by default.
        fix
            Variable whose value must not move; may be repeated.
        parameter
            NAME=NUMBER, another value of a parameter; may be repeated.
        json
            File for what was found, as JSON.
        """
        with notes_of_ranks() as notes:
            red = self._reduced(find_dae(problem), at, t, fix, parameter)
        say(str(red))
        say("")
        aligned(reduction_rows(red))
        say(f"\nconsistent start at t = {red.consistent.t:g}")
        aligned([[name, f"{value:.16g}"] for name, value in red.point.items()])
        for note in notes:
            say(f"\nnote: {note}")
        if json is not None:
            write_json(reduction_record(red, self.command), json)
            say(f"\nwritten to {json}")
        return OK

    def solve(
        self,
        problem: str,
        *,
        to: float | None = None,
        from_: float | None = None,
        at: str = "",
        fix: list[str] | None = None,
        parameter: Values = None,
        method: str = "auto",
        rtol: float = 1e-8,
        atol: float = 1e-10,
        jit: bool = False,
        points: int | None = None,
        baumgarte: str = "auto",
        no_project: bool = False,
        seconds: float | None = None,
        out: Path = Path("subriem-solve"),
    ) -> int:
        """Solve a DAE from a consistent start, save the solution, its series as CSV and a report.

        Parameters
        ----------
        problem
            FILE.py:NAME, a DAE or a function without arguments that returns one; or zoo:NAME.
        to
            End of the time; before the start, it goes back in time.
        from_
            Start of the time, 0 by default.
        at
            Values of the start by name, "x=0.6 x'=0 theta=1,2,3"; what is missing is found.
        fix
            Variable whose value must not move at the start; may be repeated.
        parameter
            NAME=NUMBER, another value of a parameter; may be repeated.
        method
            auto, rosenbrock, idas or taylor.
        rtol
            Relative tolerance of the integrator.
        atol
            Absolute tolerance of the integrator.
        jit
            Compile the integrator by the machine's C compiler.
        points
            Equal steps of time in the CSV; the integrator's own by default.
        baumgarte
            Pole of the stabilisation, 0 for none; auto is 10 over the span.
        no_project
            Leave the solution where the integrator puts it.
        seconds
            Budget; no limit by default.
        out
            Folder for the solution, its series, figures and report.html.
        """
        optional_import("matplotlib", "plot")  # a missing package should not show after minutes
        check_folder(out, FILES)
        if points is not None and points < 2:
            raise ProblemError("--points are too few", repr(points), "at least 2", "--points 201")
        with notes_of_ranks() as notes:
            source = find_dae(problem)
            span = _span(source, from_, to)
            red = self._reduced(source, at, span[0], fix, parameter)
            if red.consistent.moved > MOVED:
                notes.append(
                    f"the start that was given is not consistent: values moved by up to {red.consistent.moved:.3g}"
                )
            with interruptible(self.token):
                sol = solve(
                    red, span, method=method, rtol=rtol, atol=atol, jit=jit, baumgarte=_pole(baumgarte),
                    project=not no_project, budget=Budget(seconds=seconds), progress=shows_progress(),
                    cancel=self.token, throw=False,
                )  # fmt: skip
                return self._finish(DAERun(sol, span, problem, self.command, tuple(notes)), points, out)

    def _reduced(
        self, source: Source, at: str, t: float | None, fix: list[str] | None, parameter: list[str] | None
    ) -> Reduction:
        start = finite("--t", t) if t is not None else source.span[0] if source.span else 0.0
        given = {**source.at, **read_values("--at", at)}
        return reduce(
            source.dae, given, t=start, fix=fix or (), parameters=read_values("-p", " ".join(parameter or ()))
        )

    def _finish(self, run: DAERun, points: int | None, out: Path) -> int:
        """Save the solution, write the report, print what was found; return the exit code."""
        sol = run.solution

        def make(folder: Path) -> None:
            io.save(sol, folder / "solution.npz")
            write_series(sol, run.times(points), folder / "solution.csv")
            dae_report(run, folder)

        change = fill_folder(out, make, FILES)
        say(verdict(run))
        say(f"\n{sol}\n\n{run.reduction.headline()}")
        for event in sol.events:
            say(f"event {event.name!r} at t = {event.clock:.10g}")
        for note in run.notes:
            say(f"\nnote: {note}")
        say(f"\nwritten to {out}: {', '.join(change.written)}")
        if str(change):
            say(str(change))
        if self.token.reason:
            return INTERRUPTED
        return OK if sol.status.success else ENDED_OTHERWISE


def _span(source: Source, start: float | None, end: float | None) -> tuple[float, float]:
    """Return start and end: given ones, or those of the zoo."""
    known = (0.0, None) if source.span is None else source.span
    first, last = known[0] if start is None else start, known[1] if end is None else end
    if last is None:
        raise ProblemError("the end of the time is not given", "no --to", "--to T", "--to 10")
    span = finite("--from", first), finite("--to", last)
    if span[0] == span[1]:
        got = f"--from {first:g} --to {last:g}"
        raise ProblemError("the time ends where it starts", got, "two times", f"--to {first + 1:g}")
    return span


def _pole(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise ProblemError("--baumgarte is no pole", repr(text), "auto, or a number >= 0", "--baumgarte 0") from error
