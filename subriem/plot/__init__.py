"""Figures of results, made with matplotlib's `Figure` directly: no window, no global state.

Every function returns a `matplotlib.figure.Figure`, which a notebook shows and `figure.savefig(path)` writes.
"""

from subriem.plot.comparison import comparison_figure
from subriem.plot.cost import cost_figure
from subriem.plot.drift import drift_figure
from subriem.plot.geometry import front_figure, geodesic_figure, holonomy_figure
from subriem.plot.incidence import incidence_figure
from subriem.plot.output import output_figure
from subriem.plot.solution import solution_figure
from subriem.plot.spectrum import Spectra, spectra, spectrum_figure
from subriem.plot.style import save

__all__ = [
    "Spectra",
    "comparison_figure",
    "cost_figure",
    "drift_figure",
    "front_figure",
    "geodesic_figure",
    "holonomy_figure",
    "incidence_figure",
    "output_figure",
    "save",
    "solution_figure",
    "spectra",
    "spectrum_figure",
]
