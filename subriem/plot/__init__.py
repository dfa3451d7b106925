"""Figures of results, made with matplotlib's `Figure` directly: no window, no global state.

A function `…_figure` returns a `matplotlib.figure.Figure`, which a notebook shows and `figure.savefig(path)` writes;
a function `…_scene` returns a picture as data, which `draw` makes a figure of, and `interactive` a page that turns.
"""

from subriem.plot.bifurcation import across_figure, bifurcation_figure
from subriem.plot.comparison import comparison_figure
from subriem.plot.connections import connections_figure
from subriem.plot.cost import cost_figure
from subriem.plot.draw import draw
from subriem.plot.drift import drift_figure
from subriem.plot.equilibria import equilibria_figure, equilibria_scene
from subriem.plot.geometry import front_figure, front_scene, geodesic_figure, geodesic_scene, holonomy_figure
from subriem.plot.incidence import incidence_figure
from subriem.plot.interactive import interactive
from subriem.plot.output import output_figure
from subriem.plot.scene import Part, Scale, Scene
from subriem.plot.solution import solution_figure
from subriem.plot.spectrum import Spectra, spectra, spectrum_figure
from subriem.plot.style import save

__all__ = [
    "Part",
    "Scale",
    "Scene",
    "Spectra",
    "across_figure",
    "bifurcation_figure",
    "comparison_figure",
    "connections_figure",
    "cost_figure",
    "draw",
    "drift_figure",
    "equilibria_figure",
    "equilibria_scene",
    "front_figure",
    "front_scene",
    "geodesic_figure",
    "geodesic_scene",
    "holonomy_figure",
    "incidence_figure",
    "interactive",
    "output_figure",
    "save",
    "solution_figure",
    "spectra",
    "spectrum_figure",
]
