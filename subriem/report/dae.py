"""The report of one solution of a DAE: what was solved, what rank said of it, the path, and how good it is."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from subriem import plot
from subriem.core.protocols import Array
from subriem.core.result import checks_html
from subriem.core.status import Status
from subriem.integration.daesolution import DAESolution
from subriem.integration.values import jet_names
from subriem.reduction.dae import DAE
from subriem.reduction.declare import scalar_names
from subriem.reduction.reduction import Reduction
from subriem.report import page
from subriem.report.common import Drawn, again, counted, figures, head, png, write
from subriem.report.study import versions

#: What a solution may write to its folder, the file first without which it holds none.
FILES = ("solution.npz", "solution.csv", "report.html", "incidence.png", "solution.png", "drift.png")
#: Rows of a table shown on the page, and characters of an equation.
SHOWN, WIDTH = 60, 160
SAVED = (
    'The solution is saved beside this page: subriem.io.load("solution.npz") gives it back with its equations and its '
    "reduction, sol(t) between the nodes included; solution.csv holds the series."
)


@dataclass(frozen=True, eq=False)
class DAERun:
    """A solution, and what the report says beside it.

    Attributes
    ----------
    solution : DAESolution
    span : (float, float)
        Asked for.
    source : str
        Where the DAE comes from, as given.
    command : str
        Command line that repeats it.
    notes : tuple of str
        Warnings on the way.
    """

    solution: DAESolution
    span: tuple[float, float]
    source: str
    command: str
    notes: tuple[str, ...] = ()

    @property
    def reduction(self) -> Reduction:
        """What was integrated."""
        assert isinstance(self.solution.reduction, Reduction)
        return self.solution.reduction

    @property
    def end(self) -> float:
        """The last time of the path."""
        return self.solution.dense.end

    def times(self, points: int | None = None) -> Array:
        """Return the nodes of the path, or so many equal steps of the span as far as it goes, with its end."""
        if points is None:
            return self.solution.t
        asked = np.linspace(*self.span, points)
        low, high = sorted((self.span[0], self.end))
        reached = asked[(asked >= low) & (asked <= high)]
        return reached if reached.size and reached[-1] == self.end else np.append(reached, self.end)


def write_series(solution: DAESolution, times: Array, path: Path) -> None:
    """Write every variable and derivative at times of a path as CSV, numbers so that they are read back exactly."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["t", *jet_names(solution.reduction)])
        writer.writerows(np.column_stack([times, solution.dense.jets(times)]).tolist())


def verdict(run: DAERun) -> str:
    """Return in one sentence what came out."""
    sol, name = run.solution, run.reduction.dae.name
    where = f"t = {run.end:.10g}"
    held = f"all equations and their derivatives hold there to {sol.residual:.1e}"
    match sol.status:
        case Status.SUCCESS:
            return f"{name} was solved from t = {run.span[0]:g} to {run.span[1]:g}: {held} along the path."
        case Status.CANCELLED:
            return f"The run was interrupted at {where}; this is the solution until then: {held}."
        case Status.BUDGET_SPENT:
            return f"The budget was spent at {where}; this is the solution until then: {held}."
        case _:
            return f"{name} cannot be continued past {where}: {sol.status.value} ({sol.message}). Until then {held}."


def dae_report(run: DAERun, folder: str | os.PathLike[str]) -> Path:
    """Write `report.html`, one file that opens without a network, and the figures as PNG beside it.

    Parameters
    ----------
    run : DAERun
        Also one that ended early.
    folder : path
        Made if it does not exist.

    Returns
    -------
    Path
        Of report.html.

    Raises
    ------
    ProblemError
        If the folder cannot be written.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import tempfile, subriem as sr
    >>> @sr.dae(variables="x")
    ... def decay(t, v, d, p):
    ...     return {"decay": d(v.x) + v.x}
    >>> run = DAERun(sr.solve(decay, 1.0, {"x": 1.0}), (0.0, 1.0), "decay.py:decay", "subriem solve decay.py:decay")
    >>> dae_report(run, tempfile.mkdtemp()).name
    'report.html'
    """
    red, drawn = run.reduction, list(_draw(run))
    what = f"{counted(len(red.dae.equations), 'equation')} in {counted(len(red.dae.variables), 'variable')}"
    kicker = f"{run.source}: {what}, index {red.index}, {counted(red.degrees_of_freedom, 'degree')} of freedom"
    text = page.page(
        f"{red.dae.name}: solution of a DAE",
        [
            head(red.dae.name, kicker, verdict(run), run.solution.status.success),
            _solved(red),
            _found(run),
            figures(drawn),
            _checks(run),
            _events(run.solution),
            page.section("What this does not say", page.bullets(limits(run))),
            again(run.command, [["casadi", ca.CasadiMeta.version()]], SAVED),
        ],
    )
    return write(text, drawn, folder)


# --- what was solved ------------------------------------------------------------------------------------------------


def equation_texts(dae: DAE) -> list[str]:
    """Return the residuals as CasADi writes them, parameters by name.

    Examples
    --------
    >>> import subriem as sr
    >>> @sr.dae(variables="x", parameters={"k": 2.0})
    ... def decay(t, v, d, p):
    ...     return {"decay": d(v.x) + p.k * v.x}
    >>> equation_texts(decay)
    ["x'+(k*x)"]
    """
    names = [name for key, value in dae.parameters.items() for name in _entries(key, value)]
    names += [f"{entry.name}.data[{k}]" for entry in dae.inputs for k in range(entry.table.shape[1])]
    jets, *_ = dae.symbols()
    q = ca.vertcat(*(ca.SX.sym(name) for name in names)) if names else ca.SX(0, 1)
    texts = (str(row) for row in ca.vertsplit(dae.function(jets.t, jets.stack(dae.places), q)))
    return [text[1:-1] if text.startswith("(") else text for text in texts]  # around a whole sum, product or relation


def _entries(name: str, value: Array) -> Sequence[str]:
    if value.ndim < 2:
        return scalar_names(name, value.size if value.ndim else None)
    return [f"{name}[{i},{j}]" for j in range(value.shape[1]) for i in range(value.shape[0])]


def _solved(red: Reduction) -> str:
    dae, roles = red.dae, _roles(red)
    rows = [
        [name, _cut(text), f"{times}", *([roles.get(name, "")] if roles else [])]
        for name, text, times in zip(dae.equations, equation_texts(dae), red.structure.c, strict=True)
    ]
    head = ["equation", "0 =", "differentiated", *(["found"] if roles else [])]
    parts = [page.table(rows[:SHOWN], head), _more(len(rows))]
    if dae.parameters:
        values = [[name, _number_text(value)] for name, value in dae.parameters.items()]
        parts.append(page.table(values, ["parameter", "value"]))
    if dae.inputs:
        told = [f"{e.name}, a given function of time, {counted(e.breakpoints.size, 'breakpoint')}" for e in dae.inputs]
        parts.append(page.bullets(told))
    return page.section("What was solved", *parts)


def _roles(red: Reduction) -> dict[str, str]:
    found = {"in a hidden equation": red.hidden, "restricts the start only": red.invariant, "redundant": red.redundant}
    return {name: role for role, names in found.items() for name in names}


def _found(run: DAERun) -> str:
    red = run.reduction
    start = [[name, f"{value:.10g}"] for name, value in list(red.point.items())[:SHOWN]]
    return page.section(
        "What the reduction found",
        page.table(reduction_rows(red)),
        page.code(str(red)),
        page.paragraph(f"The consistent start at t = {red.consistent.t:g}:"),
        page.table(start, ["quantity", "value"]),
        _more(len(red.point)),
        page.bullets(run.notes),
    )


def reduction_rows(red: Reduction) -> list[list[str]]:
    """Return index, freedom, and the equations and variables that are unusual, as names and texts."""
    kind = {"differentiation": "by ranks of the derivative array", "structural": "by the offsets alone"}
    return [
        ["index", f"{red.index} ({kind.get(red.index_kind, red.index_kind)}); structural {red.structural_index}"],
        ["freedom", counted(red.degrees_of_freedom, "value") + " of the start may be chosen"],
        *(
            [name, ", ".join(names) or "none"]
            for name, names in (
                ("redundant equations", red.redundant),
                ("equations on the start only", red.invariant),
                ("hidden equations in", red.hidden),
                ("left open (least norm)", red.free),
            )
        ),
    ]


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[:WIDTH]} …"


def _more(count: int) -> str:
    return page.paragraph(f"… and {count - SHOWN} more.", "soft") if count > SHOWN else ""


def _number_text(value: Array) -> str:
    return f"{float(value):.10g}" if value.ndim == 0 else _cut(np.array2string(value, separator=", ", threshold=20))


# --- the figures ----------------------------------------------------------------------------------------------------


def _draw(run: DAERun) -> Iterator[Drawn]:
    sol, red = run.solution, run.reduction
    combined = " after the hidden equations were found" if red.hidden else ""
    structure = red.structure
    yield Drawn(
        "incidence",
        "Which variable stands in which equation",
        f"Block-triangular form{combined}: the blocks are solved one after the other. A number is the order of the "
        "highest derivative; dark squares are the entries of the system Jacobian J, whose rank decides.",
        f"Incidence of {len(structure.equations)} equations and {len(structure.variables)} variables in "
        f"{counted(len(structure.blocks), 'block')}, structural index {structure.index}.",
        png(plot.incidence_figure(structure)),
        natural=True,  # of a small system it is a small picture
    )
    ends = ", ".join(f"{name} = {float(sol[name][-1]):.4g}" for name in red.dae.variables[:8])
    yield Drawn(
        "solution",
        "The solution over time",
        "Each variable on its own scale." + (" Dotted: where something happened." if sol.events else ""),
        f"The variables from t = {run.span[0]:g} to {run.end:g}, where {ends}.",
        png(plot.solution_figure(sol)),
    )
    drift = float(np.nanmax(sol.drift, initial=0.0))
    yield Drawn(
        "drift",
        "How far the integrator leaves the constraints",
        "Right: the distance before each projection (orange), what is left of all equations after it (blue), and the "
        "tolerance of the run.",
        f"Distance from the constraints: at most {drift:.1e} before projection, {sol.residual:.1e} after it.",
        png(plot.drift_figure(sol)),
    )


# --- how good it is -------------------------------------------------------------------------------------------------


def _checks(run: DAERun) -> str:
    sol = run.solution
    decided = sol.rank[sol.rank >= 0]
    size = len(run.reduction.system.top_rows)
    path = (
        f"decided at {counted(decided.size, 'time')}, "
        + (
            f"always {decided[0]} of {size}"
            if np.ptp(decided) == 0
            else f"between {decided.min()} and {decided.max()} of {size}"
        )
        if decided.size
        else "not decided"
    )
    return page.section(
        "Checks",
        page.paragraph(f"{sol.headline()}."),
        f'<div class="scroll">{checks_html((*sol.checks, *run.reduction.checks[1:2]))}</div>',
        page.table([
            ["rank of J at the start", str(run.reduction.certificate.decision)],
            ["rank of J on the path", path],
            *([name, str(value)] for name, value in sol.stats.items()),
        ]),
    )  # fmt: skip


def _events(sol: DAESolution) -> str:
    rows = [[event.name, f"{event.clock:.10g}", "ended the run" if event.terminal else ""] for event in sol.events]
    return page.section("Events", page.table(rows[:SHOWN], ["event", "t", ""]), _more(len(rows))) if rows else ""


def limits(run: DAERun) -> list[str]:
    """Return what a reader must not conclude from a run."""
    found = [
        "The error of the solution is not measured here: tolerances are local, and residuals only say that a point is "
        "on the equations, not that it is on the right path. Compare with a run of smaller --rtol and --atol.",
        "The index and what is redundant, hidden or open are what holds at the consistent start; along the path the "
        "rank of J is decided at the ends of stretches, and its losses are looked for between the nodes.",
        "Another start may lie on another branch, with another index.",
    ]
    if run.reduction.free:
        open_ = ", ".join(run.reduction.free)
        found.append(f"The equations do not determine {open_}: shown is the choice of least norm, one of many.")
    if not run.solution.dense.stretches[0].motion.project:
        found.append("Nothing was projected: the solution drifts off its constraints as the figure shows.")
    return found


# --- a reduction as plain values ------------------------------------------------------------------------------------


def reduction_record(red: Reduction, command: str) -> dict[str, Any]:
    """Return what `reduce` found as plain values, ready for JSON."""
    decision, structure = red.certificate.decision, red.structure
    return {
        "name": red.dae.name,
        "equations": list(red.dae.equations),
        "variables": list(red.dae.variables),
        "index": red.index,
        "index_kind": red.index_kind,
        "structural_index": red.structural_index,
        "degrees_of_freedom": red.degrees_of_freedom,
        "redundant": list(red.redundant),
        "invariant": list(red.invariant),
        "hidden": list(red.hidden),
        "resolved": not red.certificate.hidden,
        "free": list(red.free),
        "differentiated": dict(zip(structure.equations, structure.c.tolist(), strict=True)),
        "orders": dict(zip(structure.variables, structure.d.tolist(), strict=True)),
        "blocks": [{"equations": list(rows), "variables": list(columns)} for rows, columns in red.blocks],
        "rank": {"rank": decision.rank, "size": decision.size, "cond": decision.cond if decision.rank else None},
        "decisions": [str(said) for said in red.decisions],
        "t": red.consistent.t,
        "start": red.point,
        "residual": red.consistent.residual,
        "moved": red.consistent.moved,
        "command": command,
        "versions": versions(),
    }
