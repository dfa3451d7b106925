"""The look that all figures share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from subriem.core.errors import optional_import

#: Colours that stay apart for colour-blind readers (Okabe and Ito), and in grey.
ADAPTED, STANDARD, THEORY, MARK, SECOND = "#0072B2", "#D55E00", "#4D4D4D", "#009E73", "#CC79A7"
DPI = 120

_STYLE = {
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


def new_figure(
    width: float, height: float, panels: int = 1, ratios: tuple[float, ...] | None = None, rows: int = 1
) -> tuple[Any, Any]:
    """Return a Figure (size in inches) and its axes, in as many rows."""
    matplotlib = optional_import("matplotlib", "plot")
    module = optional_import("matplotlib.figure", "plot")
    with matplotlib.rc_context(_STYLE):
        figure = module.Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        grid = {"width_ratios": ratios} if ratios else None
        axes = figure.subplots(rows, -(-panels // rows), squeeze=False, gridspec_kw=grid).ravel()
        for spare in axes[panels:]:
            spare.remove()
    # a title is drawn when the figure is: text settings must not depend on the caller's rcParams then
    return figure, axes[:panels]


def space_axes(figure: Any, axes: Any) -> Any:
    """Put axes in space in the place of flat ones."""
    place = axes.get_subplotspec()
    axes.remove()
    return figure.add_subplot(place, projection="3d", computed_zorder=False)


def few_ticks() -> Any:
    """Return a locator of at most five ticks: axes in space are short."""
    return optional_import("matplotlib.ticker", "plot").MaxNLocator(4)


def titled(axes: Any, title: str, xlabel: str, ylabel: str) -> None:
    """Set title and labels."""
    axes.set_title(title, loc="left", fontsize=11.5)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def legend(figure: Any, axes: Any) -> None:
    """Add one legend below all axes, where no curve can run through it; equal labels are named once."""
    entries = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = min(len(entries), max(2, int(figure.get_figwidth() / 2.6)))
    place = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": 9.5}
    figure.legend(list(entries.values()), list(entries), **place)


def save(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG (120 dots an inch) or in the format of the suffix.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> from subriem.plot.style import new_figure
    >>> save(new_figure(2, 1)[0], tempfile.mkdtemp() + "/empty.png").name
    'empty.png'
    """
    target = Path(path)
    # without the version of matplotlib in the file, equal figures are equal bytes
    metadata = {"Software": None} if target.suffix == ".png" else None
    figure.savefig(target, dpi=DPI, metadata=metadata)
    return target
