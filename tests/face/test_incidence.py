"""The incidence figure: entries where they belong, J on and left of the blocks, parts shaded, words apart."""

import sys
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from subriem import plot
from subriem.core.errors import MissingExtraError
from subriem.reduction.structure import Sigma, analyse
from tests.reduction.signatures import SLIDER_CRANK, TRANSISTOR, fekete, pendulum, reissig, structure

CASES = {"pendulum": pendulum(), "slider-crank": SLIDER_CRANK, "transistor": TRANSISTOR, "three rods": pendulum(3)}


def frames(axes):
    """Return (left, right, top, bottom) of each frame, in cells."""
    (collection,) = (drawn for drawn in axes.collections if isinstance(drawn, PatchCollection))
    boxes = [path.get_extents() for path in collection.get_paths()]
    return [tuple(int(v + 0.5) for v in (box.x0, box.x1, box.y0, box.y1)) for box in boxes]


@pytest.mark.parametrize("case", CASES)
def test_every_entry_is_written_in_its_row_and_column(case):
    found = structure(CASES[case])
    (axes,) = plot.incidence_figure(found).axes
    equations = [label.get_text().split()[0] for label in axes.get_yticklabels()]
    variables = [label.get_text().split()[0] for label in axes.get_xticklabels()]
    written = {(equations[t.get_position()[1]], variables[t.get_position()[0]], int(t.get_text())) for t in axes.texts}
    sigma = found.sigma
    names = [found.equations[i] for i in sigma.rows], [found.variables[j] for j in sigma.cols]
    assert written == set(zip(*names, sigma.orders.tolist(), strict=True))
    highlighted = sum(text.get_color() == "white" for text in axes.texts)
    assert highlighted == found.leading.sum() == len(axes.collections[-1].get_offsets())
    c = [int(label.get_text().split()[1]) for label in axes.get_yticklabels()]
    assert c == [found.c[found.equations.index(name)] for name in equations]


@pytest.mark.parametrize("case", CASES)
def test_entries_of_j_are_not_right_of_the_frames(case):
    found = structure(CASES[case])
    (axes,) = plot.incidence_figure(found).axes
    boxes = frames(axes)
    assert len(boxes) == len(found.blocks) + bool(found.over) + bool(found.under)
    for x, y in axes.collections[-1].get_offsets():
        (right,) = (right for _, right, top, bottom in boxes if top <= y < bottom)
        assert x < right


def test_parts_are_shaded_and_named():
    figure = plot.incidence_figure(structure(pendulum(3)))
    shaded = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [patch.get_bbox().bounds for patch in shaded] == [(-0.5, -0.5, 5.0, 3.0), (1.5, 2.5, 3.0, 2.0)]
    assert frames(figure.axes[0]) == [(0, 2, 0, 3), (2, 5, 3, 5)]
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert words == {"overdetermined", "underdetermined", "entry of J", "lower order"}
    for equations, shades in ((pendulum(), []), ({"free": "x:1 u:0"}, [(-0.5, -0.5, 2.0, 1.0)])):
        patches = plot.incidence_figure(structure(equations)).axes[0].patches
        assert [patch.get_bbox().bounds for patch in patches] == shades


@pytest.mark.parametrize("equations", [pendulum(3), TRANSISTOR, reissig(19)], ids=["rods", "transistor", "reissig"])
def test_no_words_overlap(equations):
    figure = plot.incidence_figure(structure(equations))
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    words = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), *figure.legends[0].get_texts()]
    words += [axes._left_title, axes.xaxis.label, axes.yaxis.label]
    boxes = [text.get_window_extent() for text in words]
    for one, two in combinations(boxes, 2):
        shared = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
        assert min(shared) <= 0.5
    inside = figure.bbox.padded(1)
    assert all(inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1) for box in boxes)


def test_large_systems_are_drawn_without_names(tmp_path):
    found = structure(fekete(20))
    figure = plot.incidence_figure(found)
    (axes,) = figure.axes
    assert not axes.texts
    assert sum(len(drawn.get_offsets()) for drawn in axes.collections[1:]) == found.sigma.orders.size
    assert len(frames(axes)) == 20  # a point each
    assert plot.save(figure, tmp_path / "fekete.png").stat().st_size > 0


@pytest.mark.parametrize("shape", [(0, 0), (2, 1)])
def test_systems_without_entries_are_drawn(shape, tmp_path):
    figure = plot.incidence_figure(analyse(Sigma.from_entries([], [], [], shape)))
    plot.save(figure, tmp_path / "empty.png")
    assert len(figure.axes[0].patches) == np.count_nonzero(shape)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"subriem\[plot\]"):
        plot.incidence_figure(structure(pendulum()))
