"""Rest points of problems written in Python files: found, drawn and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from cyclopts import Parameter

from subriem.cli.dae import Values
from subriem.cli.shell import (
    ENDED_OTHERWISE,
    INTERRUPTED,
    OK,
    Shell,
    notes_of_ranks,
    say,
    shows_progress,
    write_json,
)
from subriem.cli.source import ZOO, Kind, find_in_file, finite, read_values
from subriem.core.budget import Budget, interruptible
from subriem.core.errors import ProblemError, optional_import
from subriem.core.protocols import Array, Map
from subriem.critical.adapters import rest_problem
from subriem.critical.continuation import with_parameter
from subriem.critical.equilibria import HALF_SIDE, equilibria
from subriem.critical.graph import connecting_orbits
from subriem.critical.problem import RestProblem
from subriem.flows.constrained import ConstrainedFlow
from subriem.flows.flow import Flow
from subriem.plot.projection import projection
from subriem.reduction.dae import DAE
from subriem.reduction.numeric import NumericDAE
from subriem.report import EquilibriaRun, equilibria_report
from subriem.report.equilibria import FILES, verdict
from subriem.report.equilibriarun import equilibria_record
from subriem.report.folder import check_folder, fill_folder

#: Starts where neither the command nor the zoo says how many, and most charts of a run.
STARTS, CHARTS = 64, 20_000
_PROBLEMS = (Map, Flow, ConstrainedFlow, DAE, NumericDAE, RestProblem)
_KIND = Kind(
    "a map, flow or DAE",
    lambda value: isinstance(value, _PROBLEMS) and not isinstance(value, type),
    "maps, flows or DAEs",
    "sr.map(…), sr.flows or @sr.dae(…)",
    "sr.map(f, n) for the set f = 0, and --field for the motion z' = f",
)


@dataclass(frozen=True, eq=False)
class _Given:
    """A problem, and what the zoo knows of its starts and its box."""

    problem: Any
    options: Mapping[str, Any] = field(default_factory=dict)


class EquilibriaCommands(Shell):
    """The command about rest points."""

    usage: ClassVar[Mapping[str, str]] = {"equilibria": 'subriem equilibria FILE.py:NAME --box "x=-2,2 y=0,1"'}

    def equilibria(
        self,
        problem: str,
        *,
        starts: int | None = None,
        box: str = "",
        step: float | None = None,
        seed: int = 0,
        over: str = "",
        field: bool = False,
        zero_loss: bool = False,
        parameter: Values = None,
        t: float = 0.0,
        no_trace: bool = False,
        connect: bool = False,
        axes: str = "",
        color: Literal["index", "margin"] = "index",
        charts: int = CHARTS,
        seconds: Annotated[float | None, Parameter(name=["--seconds", "--budget-seconds"])] = None,
        json: Path | None = None,
        out: Path = Path("subriem-equilibria"),
    ) -> int:
        """Find rest points in a box and say how they lie: dimension, stability, topology, crossings; draw them.

        Parameters
        ----------
        problem
            FILE.py:NAME, a map, a flow or a DAE, or a function without arguments that returns one; or zoo:NAME.
        starts
            Number of random points of the box from which rest points are looked for; 64 by default.
        box
            2 for -2 to 2, "-1,2" for all coordinates, or "x=-1,2 y=0,1" by name, 2 for those left out.
        step
            Spacing of the charts on curves and surfaces; by curvature by default.
        seed
            Of the random points.
        over
            A parameter of a DAE, or the last variable of a map, that rest points are followed over.
        field
            A map is the velocity of a motion z' = f(z), so that stability is told.
        zero_loss
            Of a flow: where its cost is least, not where it rests.
        parameter
            NAME=NUMBER, another value of a parameter of a DAE; may be repeated.
        t
            Time at which a DAE is held fixed.
        no_trace
            Find points only; do not follow curves and surfaces.
        connect
            Follow orbits from unstable directions to the components where they come to rest.
        axes
            Two or three coordinates to draw, by name or number, "x,z"; or pca.
        color
            Colour by index, or by margin.
        charts
            Most charts of all curves and surfaces.
        seconds
            Budget; no limit by default.
        json
            Another file for what was found, as JSON.
        out
            Folder for the pictures, the table and report.html.
        """
        optional_import("matplotlib", "plot")  # a missing package should not show after minutes
        check_folder(out, FILES)
        _numbers(starts, step, charts, seconds)
        with notes_of_ranks() as notes:
            given = _find(problem, read_values("-p", " ".join(parameter or ())))
            rest = _rest(given.problem, over, field, zero_loss, finite("--t", t))
            if connect and rest.follow is None:
                raise ProblemError(
                    "--connect needs a motion", "an equation, a numeric DAE, or --over",
                    "a flow, a DAE, or a map with --field", "leave --connect out",
                )  # fmt: skip
            shown = _axes(axes, rest.names)
            options: dict[str, Any] = {"starts": STARTS, **given.options}
            options |= {"starts": starts} if starts is not None else {}
            options |= {"box": _box(box, rest.names)} if box else {}
            with interruptible(self.token):
                found = equilibria(
                    rest, trace=not no_trace, step=step, seed=seed, budget=Budget(steps=charts, seconds=seconds),
                    progress=shows_progress(), cancel=self.token, **options,
                )  # fmt: skip
                graph = connecting_orbits(rest, found.components) if connect and not self.token.reason else None
                run = EquilibriaRun(found, rest.names, problem, self.command, graph, over, shown, color, tuple(notes))
                return self._finish(run, json, out)

    def _finish(self, run: EquilibriaRun, json: Path | None, out: Path) -> int:
        """Write the report and what was found, print the table; return the exit code."""
        if json is not None:
            write_json(equilibria_record(run), json)
        change = fill_folder(out, lambda folder: equilibria_report(run, folder), FILES)
        say(verdict(run))
        say(f"\n{run.found}")
        if run.graph is not None:
            say(f"\n{run.graph.graph['shots']} orbits followed, {run.graph.graph['lost']} lost")
            for first, second, data in sorted(run.graph.edges(data=True), key=lambda edge: edge[:2]):
                say(f"component {first} to {second}: {data['count']} orbits")
        for note in run.notes:
            say(f"\nnote: {note}")
        say(f"\nwritten to {out}: {', '.join(change.written)}")
        if str(change):
            say(str(change))
        if json is not None:
            say(f"written to {json}")
        if self.token.reason:
            return INTERRUPTED
        return OK if run.found.status.success else ENDED_OTHERWISE


def _find(given: str, values: Mapping[str, Any]) -> _Given:
    """Return the problem of a file or the zoo, a DAE with other values of its parameters."""
    if given.startswith(ZOO):
        from subriem.zoo.critical import get

        case = get(given.removeprefix(ZOO))
        found = _Given(case.problem, case.options)
    else:
        found = _Given(find_in_file(given, _KIND))
    if not values:
        return found
    if not isinstance(found.problem, DAE):
        raise ProblemError("-p is for a DAE", type(found.problem).__name__, "@sr.dae(…, parameters=…)", "leave -p out")
    return _Given(found.problem.with_parameters(**values), found.options)


def _rest(problem: Any, over: str, field: bool, zero_loss: bool, t: float) -> RestProblem:
    """Return the equations of rest points, or `ProblemError` in words of the command line."""
    plain, flow = isinstance(problem, Map), isinstance(problem, Flow)
    for option, wanted, owner, mine in (
        ("--field", field, "a map", plain),
        ("--zero-loss", zero_loss, "a flow with a cost", flow),
        ("--over", bool(over), "a DAE or a map", plain or isinstance(problem, DAE)),
    ):
        if wanted and not mine:
            raise ProblemError(
                f"{option} does not belong to this", type(problem).__name__, owner, f"leave {option} out"
            )
    if over:
        return with_parameter(problem, over, t=t)
    return rest_problem(problem, field=field, zero_loss=zero_loss, t=t)


def _numbers(starts: int | None, step: float | None, charts: int, seconds: float | None) -> None:
    """Raise `ProblemError` if a number cannot be meant."""
    for option, value, least, example in (
        ("--starts", starts, 1, "--starts 64"), ("--charts", charts, 1, f"--charts {CHARTS}"),
    ):  # fmt: skip
        if value is not None and value < least:
            raise ProblemError(f"{option} is too small", repr(value), f"at least {least}", example)
    if step is not None and not 0 < step < np.inf:
        raise ProblemError("--step is no spacing", repr(step), "a finite number > 0", "--step 0.1")
    if seconds is not None and not seconds >= 0:
        raise ProblemError("--seconds is no budget", repr(seconds), "a number >= 0", "--seconds 60")


def _axes(text: str, names: Sequence[str]) -> Sequence[str | int] | str | None:
    """Return "x,z", "0,2" or "pca" as `equilibria_figure` takes it."""
    if not text:
        return None
    parts = [part.strip() for part in text.split(",")]
    chosen: Any = "pca" if parts == ["pca"] else [int(p) if p.isdecimal() and p not in names else p for p in parts]
    try:
        projection(np.zeros((1, len(names))), names, chosen)
    except ProblemError as error:
        raise ProblemError(
            f"--axes: {error.what}", repr(text), error.expected, f"--axes {names[0]},{names[-1]}"
        ) from error
    return chosen


def _box(text: str, names: Sequence[str]) -> tuple[Array, Array]:
    """Return "2", "-1,2" or "x=-1,2 y=0,1" as lower and upper corner."""
    hint = f'--box 2, --box=-1,2, or --box "{names[0]}=-1,2"'
    given = read_values("--box", text if "=" in text else f"all={text}")
    sides = {"all": HALF_SIDE, **given}
    if "=" in text and (unknown := [name for name in given if name not in names]):
        known = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise ProblemError("--box names no coordinate", ", ".join(unknown), f"one of {known}", hint)
    lower, upper = np.empty((2, len(names)))
    for i, name in enumerate(names):
        side = np.atleast_1d(sides.get(name, sides["all"]) if "=" in text else sides["all"])
        bounds = (-side[0], side[0]) if side.shape == (1,) else side
        if np.shape(bounds) != (2,) or not bounds[0] < bounds[1]:
            raise ProblemError("--box is empty", text, "a half side > 0, or lower,upper with lower < upper", hint)
        lower[i], upper[i] = bounds
    return lower, upper
