"""The figures of a study, each with a caption that says what to see."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from subriem import plot
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.report.study import Study

#: Points of a path at which all singular values are computed.
POINTS = 25


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure of a report.

    Attributes
    ----------
    name : str
        Of its file, without suffix.
    title, caption : str
    png : bytes
    """

    name: str
    title: str
    caption: str
    png: bytes


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


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _cost(study: Study) -> Drawn:
    figure = plot.cost_figure(
        study.adapted, study.standard, study.free, samples=study.samples, tolerance=study.tolerance
    )
    if study.adapted.line is None:
        caption = "The cost on a logarithmic scale. The theory gives no fixed rate for this network and table."
    else:
        caption = (
            "The cost on a logarithmic scale. The theory says that the adapted flow follows the dashed line, whatever "
            "the "
            "data; dots are what a run showed that was not told to. "
        )
        caption += "A straight line here is a constant rate: each unit of s/N divides the cost by e² = 7.39."
    if study.standard is not None:
        caption += " The square is where the standard flow was stopped."
    return Drawn("cost", "Cost along the flow", caption, _png(figure))


def _output(study: Study) -> Drawn:
    figure = plot.output_figure(study.adapted, study.standard, study.free, source=study.network)
    caption = (
        f"All {study.network.n_out} outputs together are one point; this is its way from the start to the nearest "
        "reachable "
        "target. Left: how far it strays from the straight line, in lengths of that line. Right: the same seen in the "
        "plane "
        "in which the standard flow strays most."
    )
    return Drawn("output", "The way of the output", caption, _png(figure))


def _spectrum(study: Study, spectra: plot.Spectra) -> Drawn:
    same = [group for group in study.groups if len(group.rows) > 1]
    dropped = f"{same[0].name}: " + ("same features" if same[0].same_features else "dependent") if same else ""
    figure = plot.spectrum_figure(spectra, dropped, samples=study.samples)
    low, high = min(spectra.ranks), max(spectra.ranks)
    rank = f"{low}" if low == high else f"between {low} and {high}"
    caption = (
        f"How strongly the parameters can move the outputs, direction by direction, at {spectra.clock.size} points of "
        "the "
        f"path. Above the dashed floor a direction counts: the rank is {rank}. What matters is the empty gap around "
        "the "
        "floor; a value that came down to it would end the run with a named event."
    )
    return Drawn("singular_values", "Singular values and rank", caption, _png(figure))


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
    caption = (
        "Both flows start at the same parameters. Left: the price in parameter motion for each power of ten of cost. "
        "Middle: "
        "the standard flow first learns the few directions with large singular values and then creeps; the adapted "
        "flow "
        "moves all directions at one rate."
    )
    if found is not None:
        caption += " Right: what the motion did to the singular values."
    return Drawn("comparison", "Standard against adapted", caption, _png(figure))
