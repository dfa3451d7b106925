"""The report of one search for rest points: what there is, how it lies, pictures of it, and what that does not say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from subriem import plot
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.result import checks_html
from subriem.critical.equilibriumset import Component, EquilibriumSet
from subriem.critical.graph import write_graphml
from subriem.plot.interactive import viewer_page
from subriem.report import page
from subriem.report.common import Drawn, again, counted, figures, head, png, write, write_json
from subriem.report.equilibriarun import (
    EquilibriaRun,
    component_record,
    equilibria_record,
    write_components,
)

#: What a search may write to its folder, the file first without which it holds none.
FILES = (
    "equilibria.json", "components.csv", "connections.graphml", "report.html", "rest_points.html", "rest_points.png",
    "bifurcation.png", "across.png", "connections.png",
)  # fmt: skip
#: Rows of a table shown on the page, and characters of a point there.
SHOWN, WIDTH = 60, 90
SAVED = (
    "Beside this page, equilibria.json holds everything that was found, with all charts; components.csv holds the "
    "table; rest_points.html is the picture that turns."
)
#: What a component of dimension 0, 1, 2 is called.
KINDS = ("isolated point", "curve", "surface")


def verdict(run: EquilibriaRun) -> str:
    """Return in a few sentences what came out."""
    found = run.found
    if not found.components:
        return f"No rest point was found in the box: {found.status.name}, {found.message}."
    kinds = [_kind(one) for one in found.components]
    told = [f"{counted(kinds.count(kind), kind)}" for kind in dict.fromkeys(kinds)]
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    first = f"Rest points in the box: {listed}"
    if found.crossings:
        first += f"; at {counted(len(found.crossings), 'place')} branches meet or the rank changes"
    end = "" if found.status.success else f" The search is not complete: {found.message}."
    return f"{first}.{end}"


def _kind(one: Component) -> str:
    if one.verdict not in ("morse_bott", "degenerate") or one.dimension is None:
        return f"{one.verdict} point"
    return KINDS[one.dimension] if one.dimension < len(KINDS) else f"{one.dimension}-dimensional manifold"


def equilibria_report(run: EquilibriaRun, folder: str | os.PathLike[str]) -> Path:
    """Write `report.html`, one file that opens without a network, with pictures, table and graph beside it.

    Parameters
    ----------
    run : EquilibriaRun
        Also one that ended early, or found nothing.
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
    >>> found = sr.equilibria(sr.map(lambda x: [x[0] ** 2 + x[1] ** 2 - 1], 2), starts=4)
    >>> run = EquilibriaRun(found, ("x", "y"), "circle.py:circle", "subriem equilibria circle.py:circle")
    >>> folder = equilibria_report(run, tempfile.mkdtemp()).parent
    >>> sorted(path.name for path in folder.iterdir())
    ['components.csv', 'equilibria.json', 'report.html', 'rest_points.html', 'rest_points.png']
    """
    target, found, drawn = Path(folder), run.found, list(_draw(run))
    turning = viewer_page(run.scene) if run.scene is not None else ""
    caption = "Drag to turn it, click and scroll to zoom; the list switches components on and off."
    inside = page.embedded(turning, "The same picture turns", caption) if turning else ""
    unknowns = counted(len(run.names), "unknown")
    text = page.page(
        f"Rest points of {run.source}",
        [
            head(f"Rest points of {run.source}", _kicker(run, unknowns), verdict(run), found.status.success),
            _components(run),
            _crossings(run),
            figures(drawn, inside),
            _orbits(run),
            page.section("Checks", f'<div class="scroll">{checks_html(found.checks)}</div>', _runaways(found)),
            page.section("What this does not say", page.bullets(limits(run))),
            again(run.command, [["casadi", ca.CasadiMeta.version()]], SAVED),
        ],
    )
    path = write(text, drawn, target)
    try:
        write_json(equilibria_record(run), target / "equilibria.json")
        write_components(run, target / "components.csv")
        if turning:
            (target / "rest_points.html").write_text(turning, encoding="utf-8")
        if run.graph is not None:
            write_graphml(run.graph, target / "connections.graphml")
    except OSError as error:
        raise ProblemError("the report cannot be written", str(error), "a writable folder", "--out FOLDER") from error
    return path


# --- the page -------------------------------------------------------------------------------------------------------


def _kicker(run: EquilibriaRun, unknowns: str) -> str:
    names = ", ".join(run.names[:12]) + (", …" if len(run.names) > 12 else "")
    return f"{unknowns} ({names}), {counted(run.found.starts, 'start')}, {run.found.evaluations} Jacobians"


def _components(run: EquilibriaRun) -> str:
    columns = ("dimension", "index", "nullity", "verdict", "betti", "measure", "cost", "margin", "charts", "starts")
    heads = (
        "",
        "d",
        "index",
        "nullity",
        "verdict",
        "Betti",
        "size",
        "cost",
        "margin",
        "charts",
        "starts",
        "extent",
        "point",
    )
    rows = []
    for number, one in enumerate(run.found.components[:SHOWN]):
        record = component_record(number, one)
        rows.append([str(number), *(_cell(record[name]) for name in columns), one.message, _point(one.point)])
    told = (
        "d is the dimension, the index the number of unstable directions across (several where it changes along the "
        "component), the nullity that of the Jacobian. The size is the number of points, the length or the area in "
        "the box. The margin is the least |real part| of the spectrum across: above 0 the component is normally "
        "hyperbolic. The point is one on it."
    )
    more = len(run.found.components) - SHOWN
    rest = page.paragraph(f"… and {more} more, all in components.csv.", "soft") if more > 0 else ""
    parts = [page.table(rows, heads, broad=True), rest, page.paragraph(told, "soft")] if rows else []
    return page.section("Components", *parts, page.bullets(run.notes))


def _crossings(run: EquilibriaRun) -> str:
    rows = [
        [
            _point(one.point), one.verdict, str(one.nullity), ", ".join(map(str, one.components)),
            ", ".join(str(tangent.shape[1]) for tangent in one.tangents) or "-",
        ]
        for one in run.found.crossings[:SHOWN]
    ]  # fmt: skip
    heads = ("point", "verdict", "nullity", "components near", "dimensions of the branches")
    return page.section("Crossings and rank changes", page.table(rows, heads)) if rows else ""


def _orbits(run: EquilibriaRun) -> str:
    if run.graph is None:
        return ""
    rows = [
        [f"{first} to {second}", str(data["count"]), _cell(data["drop"])]
        for first, second, data in sorted(run.graph.edges(data=True), key=lambda edge: edge[:2])
    ]
    seen = (
        f"{run.graph.graph['shots']} orbits were followed from unstable directions; {run.graph.graph['lost']} of them "
    )
    parts = [page.paragraph(seen + "came to rest at no component that is known.")]
    if rows:
        parts.append(page.table(rows[:SHOWN], ["from component to component", "orbits", "mean fall of the cost"]))
    return page.section("Connecting orbits", *parts)


def _runaways(found: EquilibriumSet) -> str:
    rows = [[reason, str(count)] for reason, count in found.runaways.items()]
    told = page.paragraph("Starts that led to no rest point in the box:") if rows else ""
    return told + (page.table(rows) if rows else "")


def limits(run: EquilibriaRun) -> list[str]:
    """Return what a reader must not conclude from a run."""
    found = [
        "Components that no start led to are not seen, and two of them may be joined outside the box. More --starts, "
        "another --seed and a larger --box find more.",
        "The index is that of the linearised motion. Where the nullity is larger than the dimension, or the margin is "
        "0, it does not decide stability.",
    ]
    if any(one.leaves_box for one in run.found.components):
        found.append("Some components go on outside the box: Betti numbers and sizes are those of the part inside.")
    if all(one.stability is None for one in run.found.components):
        found.append("The problem is an equation without a motion: nothing is said of stability (--field).")
    if run.scene is not None and len(run.names) > run.scene.dimension:
        found.append("The picture is a projection: what crosses there need not meet.")
    if run.graph is not None:
        found.append(
            "The graph of orbits is a lower bound: directions are samples, and orbits to a saddle fill no open set."
        )
    return found


# --- the pictures ---------------------------------------------------------------------------------------------------


def _draw(run: EquilibriaRun) -> Iterator[Drawn]:
    names = ", ".join(run.scene.axes) if run.scene is not None else ""
    told = "; ".join(
        f"component {number}, {_kind(one)}, index {', '.join(map(str, one.indices)) or 'unknown'}"
        for number, one in enumerate(run.found.components[:20])
    )
    if run.scene is not None:
        caption = (
            "Solid lines have no unstable direction across, dashed ones have some. "
            + ("Colours are the least |real part| of the spectrum across. " if run.color == "margin" else "")
            + ("Short black lines are tangents of the branches that meet." if run.found.crossings else "")
        )
        figure = png(plot.draw(run.scene))
        yield Drawn("rest_points", "Rest points", caption.strip(), f"Over {names}: {told}.", figure, natural=True)
    if run.over and any(one.charts.dimension == 1 and len(one.charts) > 1 for one in run.found.components):
        quantity = "norm" if len(run.names) > 2 else next(name for name in run.names if name != run.over)
        yield Drawn(
            "bifurcation", f"Rest points over {run.over}", "Solid: no unstable direction; dashed: some.",
            f"Curves over {run.over}: {told}.",
            png(plot.bifurcation_figure(run.found, run.over, quantity, names=run.names)), natural=True,
        )  # fmt: skip
    if run.curve is not None and run.curve.spectrum is not None:
        number = run.found.components.index(run.curve)
        spectrum = np.nan_to_num(run.curve.spectrum)
        low, high = float(np.min(spectrum.real)), float(np.max(spectrum.real))
        yield Drawn(
            "across", f"Spectrum across component {number}",
            "Eigenvalues of the linearised motion without those along the curve. One that passes 0 is a bifurcation.",
            f"Real parts between {low:.3g} and {high:.3g} along component {number}.",
            png(plot.across_figure(run.curve, names=run.names)), natural=True,
        )  # fmt: skip
    if run.graph is not None and len(run.graph):
        edges = ", ".join(f"{first} to {second}" for first, second in sorted(run.graph.edges))
        yield Drawn(
            "connections", "Connecting orbits", "Numbers on the arrows are orbits that were seen.",
            f"Orbits from {edges}." if edges else "No orbits.", png(plot.connections_figure(run.graph)), natural=True,
        )  # fmt: skip


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join("?" if entry == -1 else str(entry) for entry in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _point(point: Array) -> str:
    text = ", ".join(f"{value:.6g}" for value in np.where(np.abs(point) < 1e-12, 0.0, point))
    return f"({text if len(text) <= WIDTH else text[:WIDTH] + ' …'})"
