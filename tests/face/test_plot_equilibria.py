"""Pictures of rest points: what is drawn is what the charts say."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import networkx
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

import subriem as sr
from subriem import plot
from subriem.critical.charts import Charts
from subriem.critical.equilibriumset import Crossing
from subriem.plot.bifurcation import folds, tracked
from subriem.plot.curve import PIECES, runs
from subriem.plot.equilibria import COLORS, TANGENT
from subriem.plot.mesh import triangles
from subriem.plot.projection import projection
from tests.face.sets import XY, XYZ, circle, circle_graph, disc, fold, pitchfork, sphere, spiral, torus


def drawn(axes):
    """Return the lines with data, each as colour, whether it is dashed, and points."""
    lines = [line for line in axes.lines if len(line.get_xdata()) and line.get_alpha() is None]
    return [(to_hex(line.get_color()).upper(), line.get_linestyle() != "-", line.get_xydata()) for line in lines]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def by_hand(points, tangents=None):
    """Return charts at points, isolated ones unless there are tangents."""
    count, n = points.shape
    tangents = np.zeros((count, n, 0)) if tangents is None else tangents
    return Charts(points, tangents, np.zeros((count, n, 0)), np.ones((count, 2)), np.zeros(count), 1.0)


# --- surfaces -------------------------------------------------------------------------------------------------------


def edges(faces):
    return Counter(tuple(sorted(pair)) for a, b, c in faces.tolist() for pair in ((a, b), (b, c), (c, a)))


@pytest.mark.parametrize(
    ("found", "euler"),
    [(sphere, 2), (torus, 0)],
    ids=["sphere", "torus in R^4"],
)  # fmt: skip
def test_a_closed_surface_has_two_triangles_at_each_edge_and_its_euler_characteristic(found, euler):
    charts = found().components[0].charts
    faces = triangles(charts.points, charts.tangents, charts.h)
    sides = edges(faces)
    assert set(sides.values()) == {2}
    assert len(set(faces.ravel().tolist())) == len(charts)
    assert len(charts) - len(sides) + len(faces) == euler


def test_a_surface_with_a_boundary_is_a_disc():
    charts = disc().components[0].charts
    faces = triangles(charts.points, charts.tangents, charts.h)
    sides = edges(faces)
    assert set(sides.values()) == {1, 2}
    assert len(charts) - len(sides) + len(faces) == 1
    rim = networkx.Graph([side for side, count in sides.items() if count == 1])
    assert networkx.is_connected(rim)
    assert set(dict(rim.degree).values()) == {2}


def test_the_triangles_of_the_sphere_have_its_area():
    charts = sphere().components[0].charts
    a, b, c = np.moveaxis(charts.points[triangles(charts.points, charts.tangents, charts.h)], 1, 0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    assert area == pytest.approx(4 * np.pi, rel=charts.h**2 / 2)


def test_a_surface_and_a_point_in_space():
    figure = plot.equilibria_figure(sphere(), names=XYZ, title="sphere")
    (axes,) = figure.axes
    FigureCanvasAgg(figure).draw()
    charts = sphere().components[0].charts
    faces = triangles(charts.points, charts.tangents, charts.h)
    assert len(axes.collections[0].get_facecolor()) == len(faces)
    part = plot.equilibria_scene(sphere()).parts[0]
    np.testing.assert_array_equal(part.points[part.triangles], charts.points[faces])
    assert legend_of(figure) == ["surface, index 0", "point, index 3"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()) == XYZ
    (point,) = (line for line in axes.lines if line.get_marker() == "D" and len(line.get_xdata()))
    np.testing.assert_allclose(np.array(point.get_data_3d()).ravel(), 0, atol=1e-12)
    assert to_hex(point.get_color()).upper() == COLORS[3]


def test_colours_by_margin_are_those_of_the_charts():
    scene = plot.equilibria_scene(sphere(), color="margin")
    surface, point = scene.parts
    np.testing.assert_array_equal(surface.values, sphere().components[0].stability.margin)
    assert (scene.scale.low, scene.scale.high) == (min(*surface.values, *point.values), max(surface.values))
    figure = plot.draw(scene)
    assert figure.axes[1].get_ylabel() == "margin"


# --- curves ---------------------------------------------------------------------------------------------------------


def test_a_circle_is_one_closed_curve_through_its_charts():
    one = circle().components[0]
    (run,) = runs(one.charts)
    assert run.closed
    assert sorted(run.charts[:-1].tolist()) == list(range(len(one.charts)))
    np.testing.assert_allclose(run.points[::PIECES], one.charts.points[run.charts])
    np.testing.assert_allclose(np.linalg.norm(run.points, axis=1), 1, atol=one.charts.h**4 / 50)
    assert run.arc[-1] == pytest.approx(2 * np.pi, rel=1e-3)
    figure = plot.equilibria_figure(circle(), names=XY)
    (axes,) = figure.axes
    color, dashed, points = drawn(axes)[0]
    assert (color, dashed) == (COLORS[0], False)
    np.testing.assert_allclose(points, run.points)
    assert axes.get_aspect() == 1.0
    assert legend_of(figure) == ["curve, index 0", "point, index 2"]


def test_an_open_curve_goes_from_end_to_end():
    one = spiral().components[0]
    (run,) = runs(one.charts)
    assert not run.closed
    z = one.charts.points[run.charts, 2]
    assert (np.diff(z) > 0).all() or (np.diff(z) < 0).all()
    line = np.array([[2.0, 0], [0, 0], [3, 0], [1, 0]])  # neither the first nor the last is an end
    (run,) = runs(by_hand(line, np.tile([[1.0], [0.0]], (4, 1, 1))))
    assert run.charts.tolist() in ([1, 3, 0, 2], [2, 0, 3, 1])


def test_a_curve_changes_its_colour_at_the_crossing_and_tangents_are_drawn():
    found = pitchfork()
    (axes,) = plot.equilibria_figure(found, names=("x", "p")).axes
    trunk = [(color, dashed, points) for color, dashed, points in drawn(axes) if abs(points[:, 0]).max() < 1e-9]
    stable, unstable = (
        np.sort([points[0, 1], points[-1, 1]])
        for c, d, points in trunk
        if (c, d) in ((COLORS[0], False), (COLORS[1], True))
    )
    assert stable[1] == pytest.approx(0, abs=found.components[1].charts.h / PIECES)
    assert unstable[0] == stable[1]
    black = [points for color, _, points in drawn(axes) if color == "#000000"]
    (mark,) = (points for points in black if len(points) == 1)
    np.testing.assert_allclose(mark, 0, atol=1e-9)
    lines = np.array([np.abs(p[1] - p[0]) / np.linalg.norm(p[1] - p[0]) for p in black if len(p) == 2])
    for direction in np.eye(2):
        assert (np.linalg.norm(lines - direction, axis=1) < 0.05).sum() == 1


def test_tangent_planes_are_circles_and_rank_changes_without_branches_are_marks():
    plane = np.eye(3)[:, :2]
    crossings = [
        Crossing(np.array([0.0, 0.0, z]), verdict, 2, tangents, (0,))
        for z, verdict, tangents in ((1.0, "crossing", (plane, plane[:, ::-1])), (-1.0, "degenerate", ()))
    ]
    scene = plot.equilibria_scene(replace(sphere(), crossings=tuple(crossings)))
    *rings, crossing, change = (part for part in scene.parts if part.group.startswith("crossings"))
    assert (crossing.marker, crossing.label, change.label) == ("x", "crossing", "rank change, degenerate")
    np.testing.assert_array_equal(change.points, [[0, 0, -1]])
    radius = TANGENT * np.linalg.norm(np.ptp(sphere().components[0].points, axis=0))
    for ring in rings:
        assert ring.kind == "curve"
        np.testing.assert_allclose(ring.points[:, 2], 1)
        np.testing.assert_allclose(np.hypot(ring.points[:, 0], ring.points[:, 1]), radius)
    assert len(rings) == 2


def test_a_point_is_not_shown_by_its_roundoff():
    one = replace(circle().components[1], charts=by_hand(np.array([[1e-9, 1.0]])))
    found = replace(circle(), components=(one,))
    (axes,) = plot.equilibria_figure(found).axes
    for (low, high), middle in ((axes.get_xlim(), 0), (axes.get_ylim(), 1)):
        assert low < middle - 0.02 * found.size
        assert high > middle + 0.02 * found.size
    low, high = plot.equilibria_scene(found).bounds
    np.testing.assert_allclose(high - low, 0.05 * found.size)


# --- projections ----------------------------------------------------------------------------------------------------


def test_chosen_axes_by_name_and_number():
    names = ("a", "b", "c", "d")
    found = torus()
    scene = plot.equilibria_scene(found, names=names, axes=("d", 0))
    assert scene.axes == ("d", "a")
    np.testing.assert_array_equal(scene.parts[0].points, found.components[0].charts.points[:, [3, 0]])


def test_principal_components_keep_distances_and_name_the_share():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    points = (rng.standard_normal((400, 5)) * [3, 2, 1, 0, 0]) @ turn
    shown = projection(points, tuple("abcde"))
    np.testing.assert_allclose(np.linalg.norm(shown(points), axis=1), np.linalg.norm(points - points.mean(0), axis=1))
    shares = np.var(shown(points), axis=0) / np.var(points, axis=0).sum()
    assert shown.axes == tuple(f"PC {k + 1} ({share:.0%} of variance)" for k, share in enumerate(shares))
    assert (np.diff(shares) < 0).all()
    assert len(projection(points * [1, 1, 1, 0, 0] @ np.diag([1, 1, 0, 0, 0]), tuple("abcde")).axes) == 2


def test_an_isolated_point_weighs_as_much_as_a_surface():
    cloud = np.random.default_rng(0).standard_normal((200, 4)) * [1, 1, 1, 0]
    one = torus().components[0]
    parts = [replace(one, charts=by_hand(points), stability=None) for points in (cloud, np.array([[0.0, 0, 0, 3]]))]
    scene = plot.equilibria_scene(replace(torus(), components=tuple(parts)))
    apart = scene.parts[1].points[0] - scene.parts[0].points.mean(axis=0)
    assert np.linalg.norm(apart) == pytest.approx(3, abs=0.1)


# --- over a parameter -----------------------------------------------------------------------------------------------


def test_folds_and_stability_over_a_parameter():
    figure = plot.bifurcation_figure(fold(), "p", "x", names=("x", "p"))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("p", "x")
    for color, dashed, points in drawn(axes):
        if len(points) > 2:
            middle = points[PIECES:-PIECES, 1]
            assert dashed == (color == COLORS[1]) == (np.abs(middle) < 1 / np.sqrt(3)).all()
            np.testing.assert_allclose(points[:, 0], points[:, 1] ** 3 - points[:, 1], atol=1e-4)
    marked = np.sort(np.concatenate([points for color, _, points in drawn(axes) if color == "#000000"]), axis=0)
    np.testing.assert_allclose(marked[:, 0], np.array([-2, 2]) / np.sqrt(27), atol=1e-4)
    assert set(legend_of(figure)) == {"index 0", "index 1", "fold"}


def test_a_pitchfork_is_no_fold_and_the_norm_is_that_of_all_but_the_parameter():
    figure = plot.bifurcation_figure(pitchfork(), "p", names=("x", "p"))
    assert figure.axes[0].get_ylabel() == "|(x)|"
    assert "fold" not in legend_of(figure)
    assert "branches meet" in legend_of(figure)
    for color, _, points in drawn(figure.axes[0]):
        if color == COLORS[0] and points[:, 1].max() > 0.1:
            np.testing.assert_allclose(points[:, 1] ** 2, points[:, 0], atol=1e-3)


def test_a_line_with_the_parameter_fixed_has_no_fold():
    roundoff = 1e-12 * (-1.0) ** np.arange(5)
    charts = by_hand(
        np.stack([np.arange(5.0), np.zeros(5)], axis=1), np.stack([np.ones(5), roundoff], axis=1)[:, :, None]
    )
    (run,) = runs(charts)
    assert len(run.charts) == 5
    assert folds(charts, run, 1).size == 0


# --- along a curve --------------------------------------------------------------------------------------------------


def test_the_spectrum_across_the_axis_of_the_heisenberg_group():
    real, imaginary = plot.across_figure(spiral().components[0], along="z", names=XYZ).axes
    for line in real.lines[:2]:
        np.testing.assert_allclose(line.get_ydata(), -1, atol=1e-9)
    slopes = []
    for line in imaginary.lines[:2]:
        z, value = line.get_data()
        slopes.append((value[-1] - value[0]) / (z[-1] - z[0]))
        np.testing.assert_allclose(value, slopes[-1] * z, atol=1e-9)
    assert sorted(slopes) == pytest.approx([-0.5, 0.5])
    assert real.get_xlabel() == "z"


def test_eigenvalues_that_pass_each_other_are_followed():
    t = np.linspace(-1, 1, 21)
    lines = np.stack([t, -0.5 * t, np.full_like(t, 0.3)], axis=1).astype(complex)
    sorted_ = -np.sort(-lines, axis=1)
    np.testing.assert_allclose(np.sort(tracked(sorted_).T, axis=0), np.sort(lines.T, axis=0))
    assert (np.abs(np.diff(tracked(sorted_), 2, axis=0)) < 1e-12).all()


# --- orbits ---------------------------------------------------------------------------------------------------------


def test_components_by_cost_and_arrows_with_their_numbers():
    graph = circle_graph()
    (axes,) = plot.connections_figure(graph).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "0.25"]
    places = {text.get_text().partition(":")[0]: text.xy for text in axes.texts if ":" in text.get_text()}
    assert (places["0"][1], places["1"][1]) == (0, 1)
    (arrow,) = (text for text in axes.texts if text.arrow_patch is not None)
    assert (arrow.xyann, arrow.xy) == (places["1"], places["0"])
    assert str(graph.edges[1, 0]["count"]) in [text.get_text() for text in axes.texts]


def test_no_words_of_a_graph_overlap():
    graph = networkx.DiGraph(shots=40, lost=3)
    for node, cost in enumerate((0.0, 0.0, 0.0, 1.0, 1.0, 4 / 3, 1.5)):
        graph.add_node(node, index=node // 2, cost=cost, dimension=node % 3)
    graph.add_edges_from([(6, 0), (6, 2), (5, 1), (3, 0), (4, 2), (5, 3)], count=12)
    figure = plot.connections_figure(graph)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    words = [text for text in axes.texts if text.get_text()] + list(axes.get_yticklabels())
    for one, two in combinations([text.get_window_extent() for text in words if ":" in text.get_text()], 2):
        assert min(min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)) <= 0.5


def test_levels_are_those_of_the_index_without_a_cost():
    graph = networkx.DiGraph()
    for node, index in enumerate((0, 2, None)):
        graph.add_node(node, index=index, cost=None, dimension=0)
    (axes,) = plot.connections_figure(graph).axes
    assert (axes.get_ylabel(), [label.get_text() for label in axes.get_yticklabels()]) == ("index", ["-1", "0", "2"])


# --- what is refused ------------------------------------------------------------------------------------------------


def nothing():
    return sr.equilibria(sr.map(lambda x: [x[0] ** 2 + 1, x[1]], 2), starts=2)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plot.equilibria_figure(nothing()), "no rest points"),
        (lambda: plot.equilibria_figure(circle(), names="xyz"), "names do not fit"),
        (lambda: plot.equilibria_figure(circle(), color="cost"), "colours"),
        (lambda: plot.equilibria_figure(circle(), names=XY, axes=("x", "w")), "no such coordinate"),
        (lambda: plot.equilibria_figure(circle(), axes=(0, 2)), "no such coordinate"),
        (lambda: plot.equilibria_figure(circle(), axes=(0, 0)), "no axes"),
        (lambda: plot.equilibria_figure(circle(), axes="x", names=XY), "no axes"),
        (lambda: plot.equilibria_figure(circle(), axes=(0, True)), "no such coordinate"),
        (lambda: plot.bifurcation_figure(circle(), "p"), "no such coordinate"),
        (lambda: plot.bifurcation_figure(sphere()), "no curve"),
        (lambda: plot.across_figure(sphere().components[0]), "no spectrum"),
        (lambda: plot.connections_figure(networkx.DiGraph()), "no nodes"),
        (lambda: plot.connections_figure(networkx.DiGraph([(0, 1)])), "without index"),
    ],
)  # fmt: skip
def test_bad_arguments(draw, words):
    with pytest.raises(sr.ProblemError, match=words):
        draw()
