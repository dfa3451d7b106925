"""Reports: one self-contained HTML file that says what was run, what was found, and what that does not say."""

from subriem.report.dae import DAERun, dae_report
from subriem.report.equilibria import equilibria_report
from subriem.report.equilibriarun import EquilibriaRun
from subriem.report.flow import flow_report
from subriem.report.predictor import Predictor, load_predictor, save_model
from subriem.report.study import RowGroup, Study

__all__ = [
    "DAERun",
    "EquilibriaRun",
    "Predictor",
    "RowGroup",
    "Study",
    "dae_report",
    "equilibria_report",
    "flow_report",
    "load_predictor",
    "save_model",
]
