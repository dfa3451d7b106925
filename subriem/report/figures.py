"""The figures of a study, each with a caption that says what to see."""

from __future__ import annotations

from collections.abc import Iterator

from subriem import plot
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.status import Status
from subriem.report import words
from subriem.report.common import Drawn, png
from subriem.report.study import Study

#: Points of a path at which all singular values are computed.
POINTS = 25


def draw(study: Study) -> Iterator[Drawn]:
    """Yield the figures that this study allows."""
    spectra = plot.spectra(study.adapted, study.network, POINTS, RankPolicy(on_ambiguous="ignore"))
    yield _cost(study)
    if study.adapted.line is not None and study.adapted.line.chord > 0:
        yield _output(study)
    if spectra is not None:
        yield _spectrum(study, spectra)
    if study.standard is not None:
        yield _comparison(study, spectra)


def _cost(study: Study) -> Drawn:
    sol, standard = study.adapted, study.standard
    figure = plot.cost_figure(sol, standard, study.free, samples=study.samples, tolerance=study.tolerance)
    caption = f"The cost on a logarithmic scale. {_promise(study)}"
    if sol.status in (Status.RANK_CHANGED, Status.ESCAPED, Status.RANK_AMBIGUOUS):
        caption += " Its curve stops where the flow cannot be continued."
    if standard is not None:
        stopped = standard.status is Status.BUDGET_SPENT
        caption += f" The square is where the standard flow {'was stopped' if stopped else 'ended'}."
    runs = [("adapted", sol)] + ([("standard", standard)] if standard is not None else [])
    ends = ", ".join(
        f"the {name} flow falls to {words.excess(study, run):.1e} by s/N = {words.time_reached(study, run)}"
        for name, run in runs
    )
    alt = f"Logarithmic plot of the cost C/C0 against the time s/N: {ends}."
    return Drawn("cost", "Cost along the flow", caption, alt, png(figure))


def _promise(study: Study) -> str:
    """Return what the theory says of the cost, and what the dots of the figure are."""
    regime = study.adapted.regime
    if study.adapted.line is not None:
        dots = "dots are what a run showed that was not told to." if study.free else "dots are the steps of the run."
        return (
            f"The theory says that the adapted flow follows the dashed line as long as D keeps its rank; {dots} A "
            "straight line here is a constant rate: each unit of s/N divides the cost by e² = 7.39."
        )
    if study.flow.damping:
        return "Damping gives up the fixed rate: each direction has its own, slower one."
    few = regime is not None and regime.n_in < regime.n_out
    why = "the parameters are fewer than the outputs" if few else "the relations between outputs do not last"
    return f"There is no line to follow, because {why}; the adapted flow never falls faster than e^(-2s/N)."


def _output(study: Study) -> Drawn:
    figure = plot.output_figure(study.adapted, study.standard, study.free, source=study.network)
    goal = "the nearest reachable target" if study.adapted.conflicts else "the target"
    plane = "the standard flow strays most" if study.standard is not None else "this run strays most"
    caption = (
        f"All {words.counted(study.network.n_out, 'output')} together are one point; this is its way from the start to "
        f"{goal}. Left: how far it strays from the straight line, in lengths of that line. Right: the same seen in the "
        f"plane in which {plane}."
    )
    drift = study.adapted.drift
    alt = f"Two plots of the output path: the adapted flow stays within {drift:.1e} chord lengths of the straight line."
    return Drawn("output", "The way of the output", caption, alt, png(figure))


def _spectrum(study: Study, spectra: plot.Spectra) -> Drawn:
    same = [group for group in study.groups if len(group.rows) > 1]
    dropped = f"{same[0].name}: " + ("same features" if same[0].same_features else "dependent") if same else ""
    figure = plot.spectrum_figure(spectra, dropped, samples=study.samples)
    low, high = min(spectra.ranks), max(spectra.ranks)
    rank = f"{low}" if low == high else f"between {low} and {high}"
    caption = (
        f"How strongly the parameters can move the outputs, direction by direction, at {len(spectra.ranks)} points of "
        f"the path. Above the dashed floor a direction counts: the rank is {rank}. {_fate(study)}"
    )
    first, last = spectra.sigma[0], spectra.sigma[-1]
    alt = (
        f"Logarithmic plots of the singular values of D: largest {first[0]:.2g} at the start and {last[0]:.2g} at the "
        f"end, smallest above the floor {first[spectra.ranks[0] - 1]:.2g} and {last[spectra.ranks[-1] - 1]:.2g}."
    )
    return Drawn("singular_values", "Singular values and rank", caption, alt, png(figure))


def _fate(study: Study) -> str:
    """Return what the smallest singular value did to the run."""
    match study.adapted.status:
        case Status.RANK_CHANGED:
            return "The smallest one came down towards it at the end: there the flow stops, as a change of rank."
        case Status.ESCAPED:
            return "The smallest one falls because the parameters run to infinity, where D fades."
        case Status.RANK_AMBIGUOUS:
            return "The smallest one came down to it: a fold or an escape, which could not be told apart."
    if study.flow.damping:
        return "The damping decides how much a direction below the square root of mu still counts in the motion."
    return (
        "What matters is the empty gap around the floor; a value that came down to it would end the run with a named "
        "event."
    )


def _comparison(study: Study, spectra: plot.Spectra | None) -> Drawn:
    assert study.standard is not None
    found: dict[str, Array] | None = None
    if spectra is not None:
        last = plot.spectra(study.standard, study.network, 2, RankPolicy(on_ambiguous="ignore"))
        if last is not None:
            found = {"start": spectra.sigma[0], "adapted": spectra.sigma[-1], "standard": last.sigma[-1]}
    shown = study.free if study.free is not None else study.adapted
    figure = plot.comparison_figure(
        shown, study.standard, study.flow, samples=study.samples, score=study.score, score_name=study.score_name,
        spectra=found,
    )  # fmt: skip
    if study.adapted.line is not None:
        rates = "the adapted flow moves all directions at one rate"
    elif study.flow.damping:
        rates = "the damped flow evens the rates of the directions out, up to its damping"
    else:
        rates = "the adapted flow moves at one rate whatever the parameters can move"
    second = "Middle" if found is not None else "Right"
    caption = (
        "Both flows start at the same parameters. Left: the price in parameter motion for each power of ten of cost. "
        f"{second}: the standard flow first learns the few directions with large singular values and then creeps; "
        f"{rates}."
    )
    if found is not None:
        caption += " Right: what the motion did to the singular values."
    alt = (
        f"Plots of both flows: parameters move by {study.adapted.path_length:.3g} (adapted) and "
        f"{study.standard.path_length:.3g} (standard) along their paths; {study.score_name} at the end "
        f"{study.score(study.adapted['x'][-1]):.4g} and {study.score(study.standard['x'][-1]):.4g}."
    )
    return Drawn("comparison", "Standard against adapted", caption, alt, png(figure))
