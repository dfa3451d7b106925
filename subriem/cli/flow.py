"""The study of a table: a CSV file in, a flow and its report out."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from subriem import io
from subriem.cli.shell import ENDED_OTHERWISE, INTERRUPTED, OK, Shell, aligned, say, shows_progress
from subriem.core.budget import Budget, CancelToken, interruptible
from subriem.core.errors import ProblemError, optional_import
from subriem.core.rank import RankWarning
from subriem.core.status import Status
from subriem.flows.cost import squared_error
from subriem.flows.flow import Flow, adapted, standard
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.follow import follow
from subriem.flows.network import network
from subriem.flows.persist import thinned
from subriem.flows.run import Until
from subriem.report import Study, flow_report, load_predictor, save_model, words
from subriem.report.folder import check_folder, fill_folder
from subriem.zoo.data import Table, iris, read_features, read_table

#: Seconds for the check without projection.
FREE_SECONDS = 20.0
#: Accepted points of the standard flow that are saved.
KEPT = 240
#: Largest explicit D, in bytes, for which a width is chosen unasked.
WIDTH_BYTES = 2.0**29

Activation = Literal["tanh", "sigmoid", "softplus", "relu", "linear"]
Scheme = Literal["fan_in", "xavier"]


@dataclass(frozen=True)
class Settings:
    """What a study needs besides its table.

    Attributes
    ----------
    widths : tuple of int
        Empty: chosen from the size of the table.
    activation : str
    seed : int
    start : {"fan_in", "xavier"}
    tolerance : float
        (C - floor)/C0 to reach.
    rtol : float
        Of the integrator.
    seconds : float
        Budget of the adapted run.
    command : str
        The command line, for the report.
    standard_seconds : float
        Budget of the standard flow, which is there to be compared with.
    damping : float
        mu of the damped flow; 0 for the adapted flow itself.
    """

    widths: tuple[int, ...] = ()
    activation: Activation = "tanh"
    seed: int = 0
    start: Scheme = "fan_in"
    tolerance: float = 1e-12
    rtol: float = 1e-6
    seconds: float = 120.0
    command: str = ""
    standard_seconds: float = 8.0
    damping: float = 0.0


def study_of(table: Table, settings: Settings, token: CancelToken | None = None) -> Study:
    """Run the adapted flow on a table, check it without projection, and run the standard flow beside it.

    Parameters
    ----------
    table : Table
        As read.
    settings : Settings
    token : CancelToken, optional
        Ends the run that is under way; those after it are left out.

    Returns
    -------
    Study

    Raises
    ------
    ProblemError
        If the settings do not fit the table.
    RankError
        If the rank at the start cannot be decided within the memory limit.

    Examples
    --------
    >>> study = study_of(iris(), Settings(widths=(4, 128, 3), seconds=0.0, standard_seconds=0.0))
    >>> study.adapted.status.name, study.adapted.regime.rank, study.groups[0].name
    ('BUDGET_SPENT', 447, 'rows 102 and 143')
    """
    if settings.seed < 0:
        raise ProblemError("the seed is negative", f"seed = {settings.seed}", "an integer >= 0", "--seed 0")
    token = token if token is not None else CancelToken()
    scaled = table.standardised()
    widths, notes = (settings.widths, []) if settings.widths else default_widths(scaled)
    net = network(widths, scaled.features, settings.activation)
    flow = adapted(net, squared_error(scaled.targets), damping=settings.damping)
    theta0 = net.initial(settings.seed, settings.start)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RankWarning)
        sol = _run(
            flow, theta0, settings, token, until=Until(cost=settings.tolerance), budget=Budget(seconds=settings.seconds)
        )
        free = other = None
        if sol.line is not None and sol.status.success and not token.reason:
            free = _run(
                flow, theta0, settings, token, until=Until(cost=settings.tolerance), clock="s", project=False,
                budget=Budget(seconds=FREE_SECONDS),
            )  # fmt: skip
        if not token.reason:
            # the time at which the adapted flow reaches the tolerance, told by the theory
            told = -np.log(settings.tolerance) / (2 * (flow.cost.rate or 1.0))
            limit = Budget(seconds=settings.standard_seconds)
            other = _run(standard(net, flow.cost), theta0, settings, token, until=Until(s=float(told)), budget=limit)
    notes += dict.fromkeys(str(warning.message) for warning in caught)
    return Study(
        scaled,
        net,
        flow,
        sol,
        other,
        free,
        settings.tolerance,
        settings.seed,
        settings.start,
        settings.command,
        tuple(notes),
    )


def _run(flow: Flow, theta0: Any, settings: Settings, token: CancelToken, **how: Any) -> FlowSolution:
    return follow(flow, theta0, rtol=settings.rtol, progress=shows_progress(), cancel=token, throw=False, **how)


def default_widths(table: Table) -> tuple[tuple[int, int, int], list[str]]:
    """Return (p, h, Q) with notes: h is the least multiple of 32 for which K >= 2n, or less if D would be too large."""
    (samples, p), q = table.features.shape, table.targets.shape[1]
    n = samples * q

    def parameters(h: int) -> int:
        return h * (p + 1) + q * (h + 1)

    hidden = 32 * max(1, int(np.ceil((2 * n - q) / (p + q + 1) / 32)))
    most = int((WIDTH_BYTES / (8 * n) - q) / (p + q + 1)) // 32 * 32
    if hidden <= most:
        return (p, hidden, q), []
    capped = max(most, 32)
    note = (
        f"The hidden width was limited to {capped} (K = {parameters(capped)}, n = {n}): {hidden} units, for K >= 2n, "
        f"need {8e-9 * parameters(hidden) * n:.2g} GB for D. --widths sets it."
    )
    return (p, capped, q), [note]


# -- what is printed and written -------------------------------------------------------------------------------


def _finish(study: Study, out: Path, token: CancelToken) -> int:
    """Save the runs, write the report, print the table; return the exit code."""

    def make(folder: Path) -> None:
        io.save(study.adapted, folder / "adapted.npz")
        if study.standard is not None:
            io.save(thinned(study.standard, KEPT), folder / "standard.npz")
        save_model(study, folder)
        flow_report(study, folder)

    change = fill_folder(out, make)
    say(words.verdict(study))
    say("")
    widths = "-".join(str(width) for width in study.network.widths)
    sizes = f"K = {study.network.n_in}, n = {study.network.n_out}"
    features = words.counted(study.table.features.shape[1], "feature")
    aligned([
        ["data", f"{study.table.source}: {study.samples} rows, {features}"],
        ["network", f"{widths} {study.network.activation}, seed {study.seed}, start {study.start}: {sizes}"],
        ["rank", words.rank_line(study)],
    ])  # fmt: skip
    say("")
    aligned(words.versus(study))
    if study.told is not None:
        measured = f", measured {study.measured / study.samples:.4f} N" if study.measured is not None else ""
        condition = "" if study.adapted.status.success else ", provided that D keeps its rank on the way"
        say(f"\nstopping time told beforehand: s = {study.told / study.samples:.4f} N{measured}{condition}")
    for note in study.notes:
        say(f"\nnote: {note}")
    say(f"\nwritten to {out}: {', '.join(change.written)}")
    if str(change):
        say(str(change))
    if token.reason:
        return INTERRUPTED
    return OK if study.adapted.status.success else ENDED_OTHERWISE


def _widths(text: str) -> tuple[int, ...]:
    """Return "4,128,3" as integers."""
    try:
        return tuple(int(part) for part in text.replace("-", ",").split(",")) if text else ()
    except ValueError as error:
        raise ProblemError(
            "--widths is no list of integers", repr(text), "for example 4,128,3", "--widths 4,128,3"
        ) from error


# -- the commands ----------------------------------------------------------------------------------------------


class FlowCommands(Shell):
    """The commands about flows of tables."""

    usage: ClassVar[Mapping[str, str]] = {
        "flow": "subriem flow DATA.csv --target COLUMN",
        "demo": "subriem demo",
        "predict": "subriem predict FOLDER DATA.csv",
    }

    def flow(
        self,
        data: Path,
        *,
        target: str,
        widths: str = "",
        activation: Activation = "tanh",
        seed: int = 0,
        start: Scheme = "fan_in",
        tolerance: float = 1e-12,
        rtol: float = 1e-6,
        kind: Literal["auto", "class", "number"] = "auto",
        ignore: list[str] | None = None,
        seconds: float = 120.0,
        damping: float = 0.0,
        out: Path = Path("subriem-flow"),
    ) -> int:
        """Fit a table by the adapted gradient flow, compare it with the standard flow, and write a report.

        Parameters
        ----------
        data
            CSV file with a header, numeric features and a target column.
        target
            Name of the target column.
        widths
            Widths of the layers, for example 4,128,3; by default one hidden layer with K >= 2n.
        activation
            Of the hidden layers.
        seed
            Of the random start.
        start
            Variances of the random start.
        tolerance
            (C - floor)/C0 to reach.
        rtol
            Relative tolerance of the integrator.
        kind
            What the target is: by default numbers if all its cells are numbers, else classes.
        ignore
            Column to leave out; may be repeated.
        seconds
            Budget of the adapted run.
        damping
            mu of theta' = -D^T (D D^T + mu)^-1 grad C, which passes where D^+ has a singularity.
        out
            Folder for results, figures and report.html.
        """
        settings = Settings(
            _widths(widths), activation, seed, start, tolerance, rtol, seconds, self.command, damping=damping
        )
        return self._study(read_table(data, target, kind=kind, ignore=ignore or ()), settings, out)

    def demo(self, *, out: Path = Path("demo")) -> int:
        """Run the flow on the bundled iris data with a network 4-128-3 (about 20 seconds).

        Parameters
        ----------
        out
            Folder for results, figures and report.html.
        """
        return self._study(iris(), Settings(widths=(4, 128, 3), command=self.command), out)

    def predict(self, folder: Path, data: Path) -> int:
        """Predict the target for new rows by the end of an adapted flow; the answer is CSV on the standard output.

        Parameters
        ----------
        folder
            Where `subriem flow` or `subriem demo` left its results.
        data
            CSV file with the features of the fitted table, by name; other columns are ignored.
        """
        predictor = load_predictor(folder)
        rows = read_features(data, predictor.feature_names)
        outputs, answers = predictor.outputs(rows), predictor.predict(rows)
        ended = Status[predictor.model["ended"]]
        if not ended.success:
            print(f"note: the adapted flow ended early ({ended.name}); this is its last point", file=sys.stderr)
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["row", predictor.target_name, *(f"output {name}" for name in predictor.classes)])
        for row, (answer, output) in enumerate(zip(answers, outputs.tolist(), strict=True), 1):
            writer.writerow([row, answer, *(f"{value:.6g}" for value in output if predictor.classes)])
        return OK

    def _study(self, table: Table, settings: Settings, out: Path) -> int:
        optional_import("matplotlib", "plot")  # a missing package should not show after minutes
        check_folder(out)
        with interruptible(self.token):
            return _finish(study_of(table, settings, self.token), out, self.token)
