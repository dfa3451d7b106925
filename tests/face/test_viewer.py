"""The page that turns: its data are the scene's, and its program draws all of them, wherever a reader looks from."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import subriem as sr
from subriem import plot
from subriem.plot.interactive import scene_record, viewer_page
from subriem.plot.scene import Part, Scale, Scene
from tests.face.sets import XYZ, circle, sphere
from tests.geometry.structures import heisenberg

NODE = shutil.which("node")


def scene_in(page):
    (text,) = re.findall(r'<script id="scene" type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    return json.loads(text)


def run(path, *acts):
    """Return what the program of a page draws, at first and after each act."""
    command = [NODE, str(Path(__file__).with_name("viewer.js")), str(path), json.dumps(acts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the data -------------------------------------------------------------------------------------------------------


def test_the_page_holds_what_the_charts_say(tmp_path):
    page = plot.interactive(sphere(), tmp_path / "sphere.html", names=XYZ, title="S2").read_text()
    found = scene_in(page)
    surface, point = found["parts"]
    charts = sphere().components[0].charts
    np.testing.assert_allclose(surface["points"], charts.points, atol=1e-6)
    np.testing.assert_array_equal(surface["triangles"], plot.equilibria_scene(sphere()).parts[0].triangles)
    assert (found["axes"], found["title"]) == (list(XYZ), "S2")
    assert (point["kind"], point["marker"], point["group"]) == ("points", "D", "1: d = 0, index 3")
    np.testing.assert_allclose(found["high"], charts.points.max(axis=0))


def test_colours_by_margin_are_in_the_page():
    scene = plot.equilibria_scene(sphere(), color="margin")
    record = scene_record(scene)
    assert (record["scale"]["low"], record["scale"]["high"]) == (scene.scale.low, scene.scale.high)
    np.testing.assert_allclose(record["parts"][0]["colors"], scene.scale.colors(scene.parts[0].values), atol=1e-3)


def test_six_digits_of_the_size_of_the_scene():
    points = np.array([[1e-5, 2e-5, 3.1234567891e-5], [0, 0, 0]])
    (part,) = scene_record(Scene((Part(points),), XYZ))["parts"]
    np.testing.assert_allclose(part["points"], points, atol=1e-11)
    assert part["points"][0][2] == 3.123457e-05


def test_the_page_needs_nothing_and_a_name_cannot_break_it():
    name = '</script><img src=x onerror="alert(1)"> & co'
    scene = Scene((Part(np.zeros((1, 3)), label=name),), (name, "y", "z"), title=name)
    page = viewer_page(scene)

    class Tags(HTMLParser):
        found: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            self.found.append(tag)

    Tags().feed(page)
    assert "img" not in Tags.found
    assert Tags.found.count("script") == 2
    assert not re.search(r"(src|href)=|https?://|import\(|fetch\(", page.replace("src=x", ""))
    assert scene_in(page)["parts"][0]["group"] == name


def test_gaps_of_a_curve_are_null():
    points = np.array([[0.0, 0, 0], [np.nan, 0, 0], [1, 1, 1]])
    (part,) = scene_record(Scene((Part(points, joined=True),), XYZ))["parts"]
    assert part["points"] == [[0, 0, 0], None, [1, 1, 1]]


# --- geometry -------------------------------------------------------------------------------------------------------


def test_geodesics_turn(tmp_path):
    M = heisenberg()
    fan = [M.shoot([0, 0, 0], [1, 0, w], 7.0) for w in (0.0, 1.0)]
    found = scene_in(plot.interactive(fan, tmp_path / "fan.html").read_text())
    curves = [part for part in found["parts"] if part["kind"] == "curve"]
    for curve, geodesic in zip(curves, fan, strict=True):
        np.testing.assert_allclose(curve["points"][-1], geodesic.end, atol=1e-4)
    groups = [part["group"] for part in found["parts"]]
    assert groups == ["geodesic 0", "geodesic 1", "geodesic 1", "start"]  # the second has a conjugate point
    assert scene_in(plot.interactive(fan[0], tmp_path / "one.html").read_text())["parts"][0] == curves[0]


def test_the_sphere_of_the_heisenberg_group_turns():
    M = heisenberg()
    scene = plot.front_scene(M, [0, 0, 0], 1.0, cut=lambda p: 2 * np.pi / abs(p[2]) if p[2] else np.inf)
    (part,) = scene.parts
    across = np.hypot(part.points[:, 0], part.points[:, 1])
    twist = 2 * np.pi * np.linspace(-1, 1, 65)[1:-1]  # of each column: an arc of length 1 and curvature w
    grid = across.reshape(-1, 65)[:, 1:-1]
    with np.errstate(invalid="ignore"):
        chord = np.where(twist == 0, 1.0, 2 * np.abs(np.sin(twist / 2) / twist))
    np.testing.assert_allclose(grid, np.broadcast_to(chord, grid.shape), atol=1e-6)
    assert np.isfinite(part.points[part.triangles]).all()
    assert len(part.triangles) == 2 * 48 * 64
    assert scene.axes == tuple(M.coordinates)


def test_what_has_no_picture_is_refused(tmp_path):
    with pytest.raises(sr.ProblemError, match="no picture"):
        plot.interactive(3, tmp_path / "three.html")
    with pytest.raises(sr.ProblemError, match="no geodesics"):
        plot.interactive([1, 2], tmp_path / "two.html")
    with pytest.raises(sr.ProblemError, match="cannot be written"):
        plot.interactive(sphere(), tmp_path / "no" / "sphere.html")


def test_matplotlib_is_not_needed():
    code = (
        "import sys, numpy as np; sys.modules['matplotlib'] = None\n"
        "from subriem.plot.interactive import viewer_page\nfrom subriem.plot.scene import Part, Scene\n"
        "print(len(viewer_page(Scene((Part(np.zeros((1, 3))),), ('x', 'y', 'z')))) > 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


# --- the program ----------------------------------------------------------------------------------------------------


def shapes(frame, what, color=None):
    """Return the paths that were filled or stroked, in a colour."""
    return [one["path"] for one in frame if one["what"] == what and (color is None or one["color"].startswith(color))]


@pytest.mark.skipif(NODE is None, reason="the program of the page is JavaScript")
def test_the_program_draws_every_triangle_and_mark_inside_the_canvas(tmp_path):
    path = plot.interactive(sphere(), tmp_path / "sphere.html", names=XYZ)
    acts = [("key", "ArrowLeft"), ("drag", 90, 40), ("switch", "0: d = 2, index 0"), ("switch", "0: d = 2, index 0")]
    told = run(path, *acts)
    assert told["groups"] == ["0: d = 2, index 0", "1: d = 0, index 3"]
    assert (told["veiled"], told["opacity"]) == (False, 0.5)
    triangles = len(plot.equilibria_scene(sphere()).parts[0].triangles)
    counts = [sum(len(path) == 3 for path in shapes(frame, "fill")) for frame in told["frames"]]
    assert counts == [triangles, triangles, triangles, 0, triangles]
    for frame in told["frames"]:
        points = np.concatenate([one["path"] for one in frame])
        assert (points >= 0).all()
        assert (points <= [800, 600]).all()
        marks = [path for path in shapes(frame, "fill", "rgba(204,121,167") if len(path) == 4]
        np.testing.assert_allclose([np.mean(path, axis=0) for path in marks], [[400, 300]], atol=1)
        words = [one["text"] for one in frame if one["what"] == "text"]
        assert {*XYZ, "-1", "1"} <= set(words)
    first, turned, *_ = told["frames"]
    assert shapes(first, "fill") != shapes(turned, "fill")
    assert run(path, ("key", "ArrowLeft"), ("key", "0"))["frames"][-1] == told["frames"][0]


@pytest.mark.skipif(NODE is None, reason="the program of the page is JavaScript")
def test_the_nearest_is_drawn_last(tmp_path):
    """From in front (x towards the reader is behind: the camera is at turn -1.05), two dots hide in order of depth."""
    eye = np.array([np.cos(-1.05), np.sin(-1.05), 0.0])
    parts = tuple(Part(np.array([at]), color=color, group=color) for at, color in ((eye, "#ff0000"), (-eye, "#0000ff")))
    scene = Scene(parts, XYZ)
    (tmp_path / "two.html").write_text(viewer_page(scene))
    frames = run(tmp_path / "two.html", ("drag", -160 * np.pi, 0))["frames"]
    orders = [[one["color"][:10] for one in frame if one["what"] == "fill"] for frame in frames]
    assert orders == [["rgba(0,0,2", "rgba(255,0"], ["rgba(255,0", "rgba(0,0,2"]]


@pytest.mark.skipif(NODE is None, reason="the program of the page is JavaScript")
def test_zooming_scales_around_the_middle(tmp_path):
    path = plot.interactive(circle(), tmp_path / "circle.html")
    before, wheel, pinch, plus = run(path, ("wheel", -600), ("pinch", 0.5), ("key", "+"))["frames"]

    def radius(frame):
        points = np.concatenate(shapes(frame, "stroke", "rgba(0,114,178"))
        return np.linalg.norm(points - [400, 300], axis=1)

    assert np.ptp(radius(before)) < 1e-2 * radius(before).mean()  # a circle is one
    sizes = [radius(frame).mean() for frame in (before, wheel, pinch, plus)]
    assert np.array(sizes[1:]) / sizes[:-1] == pytest.approx([np.e, 0.5, 1.15], rel=1e-3)


@pytest.mark.skipif(NODE is None, reason="the program of the page is JavaScript")
def test_a_third_of_a_dashed_line_is_left_out_and_a_scale_is_told(tmp_path):
    ends = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 1]])
    parts = (Part(ends, joined=True, dashed=True, values=ends[:, 1]), Part(ends + 1, joined=True))
    scene = Scene(parts, XYZ, scale=Scale("height", 0.0, 1.0))
    (tmp_path / "dashes.html").write_text(viewer_page(scene))
    told = run(tmp_path / "dashes.html")
    assert told["veiled"]
    lengths = {"dashed": 0.0, "solid": 0.0}
    for one in told["frames"][0]:
        if one["what"] == "stroke" and one["color"].startswith("rgba"):
            kind = "solid" if one["color"].startswith("rgba(0,114,178") else "dashed"
            lengths[kind] += np.linalg.norm(np.subtract(*one["path"]))
    assert lengths["dashed"] / lengths["solid"] == pytest.approx(2 / 3, abs=0.06)
