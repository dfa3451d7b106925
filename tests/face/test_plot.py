"""Figures: what is drawn agrees with the numbers, words do not overlap, nothing global is touched."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from subriem import plot
from subriem.core.errors import MissingExtraError, ProblemError
from tests.face.studies import study


def figures(case):
    spectra = plot.spectra(case.adapted, case.network, 5)
    last = plot.spectra(case.standard, case.network, 2)
    ends = {"start": spectra.sigma[0], "adapted": spectra.sigma[-1], "standard": last.sigma[-1]}
    made = {
        "cost": plot.cost_figure(case.adapted, case.standard, case.free, samples=case.samples, tolerance=1e-12),
        "spectrum": plot.spectrum_figure(spectra, "rows 3 and 9: same features", samples=case.samples),
        "comparison": plot.comparison_figure(
            case.adapted, case.standard, case.flow, samples=case.samples, score=case.score, score_name=case.score_name,
            spectra=ends,
        ),
    }  # fmt: skip
    if case.adapted.line is not None:
        made["output"] = plot.output_figure(case.adapted, case.standard, case.free, source=case.network)
    return made


CASES = {
    "agreeing": {},
    "conflicting": {"conflict": True},
    "regression": {"kind": "number", "conflict": True},
    "under": {"kind": "number", "widths": (2, 2, 1)},
    "stopped at once": {"seconds": 0.0},
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def made(request):
    case = study(**request.param)
    return case, figures(case)


def line(axes, label):
    (found,) = [drawn for drawn in axes.get_lines() if drawn.get_label() == label]
    return found


def test_every_figure_is_drawn_with_titles_labels_and_a_legend(made, tmp_path):
    for name, figure in made[1].items():
        path = plot.save(figure, tmp_path / f"{name}.png")
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert figure.dpi == 120
        assert figure.legends[0].get_texts()
        for axes in figure.axes:
            assert axes.get_title(loc="left")
            assert axes.get_xlabel()
            assert axes.get_ylabel()


def test_no_words_overlap(made):
    for name, figure in made[1].items():
        FigureCanvasAgg(figure).draw()  # the canvas of a bare Figure draws nothing
        words = [text for axes in figure.axes for text in axes.texts]
        words += [title for axes in figure.axes for title in (axes._left_title, axes.xaxis.label, axes.yaxis.label)]
        words += figure.legends[0].get_texts()
        boxes = {text.get_text(): text.get_window_extent() for text in words if text.get_text()}
        for (one, box), (two, other) in combinations(boxes.items(), 2):
            shared = min(box.x1, other.x1) - max(box.x0, other.x0), min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(shared) <= 0.5, f"{name}: {one!r} and {two!r}"
        inside = figure.bbox.padded(1)
        assert all(inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1) for box in boxes.values()), name


def test_equal_figures_are_equal_files(tmp_path):
    case = study()
    files = [plot.save(figures(case)["cost"], tmp_path / f"{i}.png").read_bytes() for i in range(2)]
    assert files[0] == files[1]


def test_the_theoretical_line_is_the_theory():
    case = study()
    figure = figures(case)["cost"]
    s, ratio = line(figure.axes[0], "theory: $e^{-2s/N}$").get_data()
    np.testing.assert_allclose(ratio, np.exp(-2 * np.asarray(s)), rtol=1e-12)  # the axis is s/N
    s, ratio = line(figure.axes[0], "adapted flow, rate not enforced").get_data()
    early = ratio > 1e-8  # later the integrator's error of the output is felt
    np.testing.assert_allclose(np.log(ratio[early]), -2 * np.asarray(s)[early], atol=1e-3)
    assert not any("floor" in text.get_text() for text in figure.axes[0].texts)


def test_the_floor_is_drawn_where_labels_contradict():
    case = study(conflict=True)
    (axes,) = figures(case)["cost"].axes
    assert "floor: contradicting labels" in [text.get_text() for text in axes.texts]
    theory = line(axes, "theory: $e^{-2s/N}$ above the floor").get_ydata()
    assert theory[-1] == pytest.approx(case.floor / case.adapted.cost0, rel=1e-6)
    assert theory[0] == pytest.approx(1.0)


def test_the_standard_flow_strays_and_the_adapted_does_not():
    case = study()
    left, right = figures(case)["output"].axes
    assert line(left, "adapted flow, projected at each step").get_ydata().max() < 1e-8
    assert line(left, "adapted flow, nothing enforced").get_ydata().max() < 1e-5
    strayed = line(left, "standard flow").get_ydata().max()
    assert strayed > 1e-2
    assert next(text.get_text() for text in right.texts) == f"{100 * strayed:.0f} % of the chord"


def test_without_a_line_the_output_figure_is_refused_and_no_goal_is_drawn():
    case = study(**CASES["under"])
    assert not any("goal" in text.get_text() for text in figures(case)["cost"].axes[0].texts)
    assert any("goal" in text.get_text() for text in figures(study())["cost"].axes[0].texts)
    assert case.adapted.line is None
    with pytest.raises(ProblemError, match="no output line"):
        plot.output_figure(case.adapted)


def test_the_spectrum_shows_the_rank_and_its_floor():
    case = study()
    n = case.network.n_out
    spectra = plot.spectra(case.adapted, case.network, 5)
    assert spectra.sigma.shape == (5, n)
    assert set(spectra.ranks) == {n - 2}  # the duplicated row costs one for each of the two outputs
    assert (spectra.sigma[:, n - 2 :] < 1e-12).all()
    np.testing.assert_allclose(spectra.sigma[0, n - 3], case.adapted["sigma_min"][0], rtol=1e-3)
    along, single = plot.spectrum_figure(spectra, samples=case.samples).axes
    floors = line(along, "rank floor").get_ydata()
    assert (floors < spectra.sigma[:, n - 3]).all()
    assert (floors > spectra.sigma[:, n - 2]).all()
    assert f"rank {n - 2} of {n}" in [text.get_text() for text in single.texts]


def test_all_time_axes_are_in_the_same_unit():
    case = study(**CASES["under"])
    drawn = figures(case)
    axes = drawn["cost"].axes[0], drawn["comparison"].axes[1], drawn["spectrum"].axes[0]
    assert {panel.get_xlabel() for panel in axes} == {"time  s / N"}
    # K < n runs in the s-clock: the last point of each curve is the end of the run, in units of N
    end = case.adapted.s[-1] / case.samples
    assert line(axes[0], "adapted flow").get_xdata()[-1] == pytest.approx(end)
    assert line(axes[1], "adapted flow").get_xdata()[-1] == pytest.approx(end)
    assert line(axes[2], "rank floor").get_xdata()[-1] == pytest.approx(end)
    in_t = plot.spectrum_figure(plot.spectra(study().adapted, study().network, 2), samples=study().samples).axes[0]
    assert in_t.get_xlabel() == "time  $t = 1 - e^{-s/N}$"
    assert in_t.get_xlim() == (0.0, 1.0)


def test_where_decompositions_would_take_minutes_there_are_none(monkeypatch):
    monkeypatch.setattr("subriem.plot.spectrum.WORK", 1.0)
    case = study()
    assert plot.spectra(case.adapted, case.network) is None


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"subriem\[plot\]"):
        plot.cost_figure(study().adapted, samples=14)


def test_pyplot_is_never_loaded_and_settings_stay():
    code = """
import sys
from subriem import plot
assert "matplotlib" not in sys.modules, "loaded before a figure is wanted"
import matplotlib
before = dict(matplotlib.rcParams)
from subriem.plot.style import new_figure
figure, _ = new_figure(3, 2)
assert dict(matplotlib.rcParams) == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
