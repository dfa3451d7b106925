"""The report of one study of flows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from subriem.core.result import checks_html
from subriem.core.status import Status
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.theory import summary
from subriem.report import page, words
from subriem.report.common import again, figures, head, write
from subriem.report.figures import draw
from subriem.report.study import RowGroup, Study

SAVED = (
    'The runs are saved beside this page: subriem.io.load("adapted.npz") gives the solution back, sr.follow(flow, '
    "solution) goes on from its end, and `subriem predict FOLDER NEW.csv` applies it to new rows with the scaling in "
    "model.json."
)


def flow_report(study: Study, folder: str | os.PathLike[str]) -> Path:
    """Write `report.html`, one file that opens without a network, and the figures as PNG beside it.

    Parameters
    ----------
    study : Study
        Also one whose runs ended early.
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
    >>> import tempfile
    >>> from subriem.cli import Settings, study_of
    >>> from subriem.zoo.data import iris
    >>> study = study_of(iris(), Settings(widths=(4, 128, 3), seconds=0.0, standard_seconds=0.0))
    >>> flow_report(study, tempfile.mkdtemp()).name
    'report.html'
    """
    drawn = list(draw(study))
    text = page.page(
        f"Adapted gradient flow on {study.table.source}",
        [
            head(
                "Geometrically adapted gradient flow",
                _kicker(study),
                words.verdict(study),
                study.adapted.status.success,
            ),
            _summary(study),
            _rank(study),
            _checks(study),
            _stopping(study),
            figures(drawn),
            _versus(study),
            page.section("What this does not say", page.bullets(_limits(study))),
            again(study.command, _settings(study), SAVED),
        ],
    )
    return write(text, drawn, folder)


def _kicker(study: Study) -> str:
    what = study.table.target_name
    if study.table.kind == "class":
        what = f"{len(study.table.classes)} classes of {what}"
    features = words.counted(study.table.features.shape[1], "feature")
    return f"{study.table.source}: {what} from {features}, network {_widths(study)}"


def _widths(study: Study) -> str:
    return "-".join(str(width) for width in study.network.widths)


def _summary(study: Study) -> str:
    table, regime = study.table, study.adapted.regime
    rows = [
        ["rows N", f"{study.samples}"],
        ["features", ", ".join(table.feature_names[:12]) + (" …" if len(table.feature_names) > 12 else "")],
    ]
    if table.kind == "class":
        counts = table.targets.sum(axis=0).astype(int)
        classes = ", ".join(f"{name} ({count})" for name, count in zip(table.classes, counts, strict=True))
        rows.append(
            [f"target {table.target_name}", f"classes {classes}; one output for each, 1 for the class and 0 else"]
        )
    else:
        spread = f"mean {table.target_mean:.6g}, standard deviation {table.target_scale:.4g}"
        told = f"numbers, {spread}; standardised for the fit"
        rows.append([f"target {table.target_name}", told])
    rows += [
        ["network", f"{_widths(study)}, {study.network.activation}, start {study.start!r} with seed {study.seed}"],
        ["parameters K", f"{study.network.n_in}"],
        ["outputs n = N Q", f"{study.network.n_out}"],
    ]
    if regime is not None:
        rows += [["rank D at the start", f"{regime.rank}"], ["regime", words.regime_sentence(study)]]
    scaled = "Features are standardised to mean 0 and standard deviation 1; all rows are used for the fit."
    return page.section("Data and network", page.table(rows), page.paragraph(scaled, "soft"))


def _rank(study: Study) -> str:
    found = words.rank_findings(study)
    tables = [_features(study, group) for group in study.groups[:6] if len(group.rows) > 1]
    return page.section("What the rank says about the rows", page.bullets(found), *tables)


def _features(study: Study, group: RowGroup) -> str:
    """Return the rows of a group as the file has them."""
    table = study.table
    head = ["row", *table.feature_names[:10], table.target_name]
    raw = table.raw_features()
    rows = []
    for row in group.rows[:8]:
        values = [f"{value:.6g}" for value in raw[row - 1, :10]]
        rows.append([f"{row}", *values, table.label(row - 1)])
    return page.table(rows, head)


def _checks(study: Study) -> str:
    sol = study.adapted
    parts = [
        page.paragraph(f"{sol.headline()}. Measured on the way:"),
        f'<div class="scroll">{checks_html(sol.checks)}</div>',
    ]
    if sol.stats.get("projected"):
        proof = "What proves something is the second run below, where nothing is corrected." if study.free else ""
        text = (
            "The run follows the exact output line and corrects the output after each step: its rate and straightness "
            f"are so by construction. {proof}"
        )
        parts.append(page.paragraph(text.strip(), "soft"))
    if sol.line is None:
        text = "The bound on the cost is that of an exact fit, which nothing promises here."
        parts.append(page.paragraph(text, "soft"))
    if study.free is not None:
        told = f"The same flow in the time s, closed loop, nothing projected, rtol {study.free.stats['rtol']:.0e}:"
        parts.append(page.paragraph(f"{told} {study.free.headline()}."))
        parts.append(f'<div class="scroll">{checks_html(summary(study.free, study.flow))}</div>')
    return page.section("Checks", *parts, page.bullets(study.notes))


def _stopping(study: Study) -> str:
    if study.told is None:
        return ""
    rows = [
        [
            "told before the run, s = (N/2) ln((C0 - floor)/(tolerance C0))",
            f"{study.told:.6g}",
            _over(study, study.told),
        ]
    ]
    if study.measured is not None:
        off = abs(study.measured / study.told - 1) if study.told > 0 else 0.0
        rows.append(["measured without projection", f"{study.measured:.6g}", _over(study, study.measured)])
        rows.append(["difference", f"{off:.2%}", ""])
    text = f"The time at which (C - floor)/C0 falls to {study.tolerance:.0e} is known before the run"
    if study.adapted.status in (Status.RANK_CHANGED, Status.ESCAPED, Status.RANK_AMBIGUOUS):
        text += ", provided that D keeps its rank on the way. Here it did not: the path ended before that time."
    elif study.measured is None:
        text += ". This run was not followed that far without projection."
    else:
        text += (
            ". Near the end the cost is so small that the measured time feels the integrator's own error; a smaller "
            "--rtol brings the two closer."
        )
    return page.section(
        "Stopping time, told and measured", page.table(rows, ["", "s", "s / N"]), page.paragraph(text, "soft")
    )


def _over(study: Study, s: float) -> str:
    return f"{s / study.samples:.4f}"


def _versus(study: Study) -> str:
    head, *rows = words.versus(study)
    parts = [page.table(rows, head)]
    if study.table.kind == "class":
        shown = [("start", study.adapted["x"][0]), ("adapted flow", study.adapted["x"][-1])]
        if study.standard is not None:
            shown.append(("standard flow", study.standard["x"][-1]))
        scores = [study.class_scores(x) for _, x in shown]
        rows = [[name, *(f"{score[q]:.1f} %" for score in scores)] for q, name in enumerate(study.table.classes[:20])]
        parts.append(page.table(rows, ["class, rows right", *(name for name, _ in shown)]))
    if study.standard is not None:
        parts.append(page.paragraph(_patience(study, study.standard), "soft"))
    return page.section("Standard against adapted", *parts)


def _patience(study: Study, standard: FlowSolution) -> str:
    """Return what the end of the standard flow means."""
    end = f"s/N = {standard.s[-1] / study.samples:.3g}"
    if standard.status is Status.SUCCESS:
        told = "takes for the tolerance" if study.told is not None else "would take on a straight line"
        return f"The standard flow was followed to {end}, the time that the adapted flow {told}: it has no goal itself."
    if standard.status is not Status.BUDGET_SPENT:
        return f"The standard flow ended at {end}: {standard.status.value}."
    told = f" of the {study.told / study.samples:.3g} asked for" if study.told is not None else ""
    return (
        f"The standard flow was stopped after {standard.stats['seconds']:.0f} s at {end}{told}: that is the expected "
        "end. It is stiff, with rates spread over the squares of the singular values, so an explicit method needs very "
        "many small steps."
    )


def _limits(study: Study) -> list[str]:
    sol = study.adapted
    exact = sol.line is not None and sol.status.success and not sol.conflicts
    fit = "an exact fit" if exact else "a fit"
    found = [
        f"Nothing about new data: all rows were used for the fit, and {fit} of the training rows is no evidence that "
        "other rows would be predicted well.",
        "Nothing about other starts: this is one seed, one start, one network. The rank was decided at the accepted "
        "steps of this path, not on a neighbourhood of it.",
    ]
    estimate = f"accumulated estimate {sol.theta_error:.1e} over a path of length {sol.path_length:.4g}"
    if sol.stats.get("projected"):
        found.append(
            "The accuracy of the outputs is not that of the parameters: the outputs are corrected, the parameters are "
            f"only as good as the integrator ({estimate})."
        )
    else:
        found.append(f"The path is as good as the integrator, in parameters and outputs alike ({estimate}).")
    if sol.line is None and sol.status.success:
        found.append("The point of rest is an equilibrium, not shown to be the lowest one: other starts may end lower.")
    if study.flow.damping:
        found.append(
            "The damped flow is not the adapted flow: along directions of singular value sigma it is slower by the "
            f"factor sigma²/(sigma² + mu), mu = {study.flow.damping:g}. Its equilibria are the same."
        )
    found.append(
        "The time s is not work: one step of the adapted flow solves a least-norm problem of the size of the table, "
        "one of the standard flow does not. Compare the seconds, and remember that they are of one machine."
    )
    if study.standard is not None:
        found.append(
            "The standard flow here is the exact flow followed accurately. Gradient descent with steps, momentum or "
            "batches is another thing and may be far quicker."
        )
    if not np.isfinite(sol.s[-1]):
        found.append(
            "The adapted flow ends at t = 1, which is s = infinity: its last row is the limit, closed by Newton steps."
        )
    return found


def _settings(study: Study) -> list[list[str]]:
    """Return what the numbers of this run depend on besides versions."""
    stats = study.adapted.stats
    return [
        ["seed, start", f"{study.seed}, {study.start}"],
        ["rtol, atol", f"{stats['rtol']:g}, {stats['atol']:g}"],
        ["linear algebra", ", ".join(f"{name}: {count}" for name, count in stats["backends"].items())],
    ]
