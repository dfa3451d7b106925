"""The report: well-formed, self-contained, and saying what the numbers say."""

import base64
import io
import re
import struct
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import subriem as sr
from subriem.core.errors import ProblemError
from subriem.flows.regime import RegimeName
from subriem.report import RowGroup, flow_report, words
from subriem.report.study import named_rows
from tests.face.studies import damped_study, iris_study, study

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects text and attributes; refuses tags that do not close in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.words, self.attributes, self.tags = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def written(case, folder):
    path = flow_report(case, folder)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    # nothing is loaded from anywhere: neither by attributes nor by style sheets
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "data", "action"):
            assert value.startswith("data:image/png;base64,"), (tag, name, value[:60])
    assert not {"script", "iframe", "link", "object"} & set(page.tags)
    assert "@import" not in text
    assert "url(" not in text
    assert "http://" not in text
    assert "https://" not in text
    return page


def pngs(page):
    for tag, name, value in page.attributes:
        if tag == "img" and name == "src":
            yield base64.b64decode(value.partition(",")[2], validate=True)


def test_the_report_of_a_class_table(tmp_path):
    case = study()
    page = written(case, tmp_path)
    n = case.network.n_out
    assert f"rank D = {n - 2} of {n}" in page.text
    assert "Data rows 3 and 9 have the same features, so their outputs are the same function" in page.text
    label = case.table.label(2)
    assert f"Their targets agree (row 3: {label}, row 9: {label}): nothing is lost." in page.text
    assert "contradict" not in words.verdict(case)
    assert "What this does not say" in page.text
    assert "subriem flow 'points & more.csv'" in page.text
    assert f"{case.told:.6g}" in page.text


def test_images_decode_and_are_the_files_beside_it(tmp_path):
    page = written(study(), tmp_path)
    inside = list(pngs(page))
    assert len(inside) == 4
    for png in inside:
        width, height = struct.unpack(">II", png[16:24])
        assert width > 800
        assert height > 300
    assert {path.read_bytes() for path in tmp_path.glob("*.png")} == set(inside)
    image = pytest.importorskip("matplotlib.image")
    assert np.ptp(image.imread(io.BytesIO(inside[0]))) > 0.5


def test_names_from_the_file_are_text_and_not_tags(tmp_path):
    page = written(study(), tmp_path)
    assert "<b>red</b>" in page.text
    assert "b" not in page.tags
    assert "points & more.csv" in page.text


def test_contradicting_targets_are_named_with_their_floor(tmp_path):
    case = study(conflict=True)
    page = written(case, tmp_path)
    assert "Contradicting targets (rows 3 and 9) leave" in page.text
    assert f"C = {case.floor:.4g}" in page.text
    # two rows of one point, labels (1, 0) and (0, 1): C_inf = |y_a - y_b|^2 / (4 N)
    assert case.floor == pytest.approx(2 / (4 * case.samples), rel=1e-9)
    assert "Their targets contradict each other" in page.text
    assert case.groups == (RowGroup((3, 9), 2, True, True),)


def test_a_regression_says_so_in_units_of_the_target(tmp_path):
    case = study(kind="number", conflict=True)
    page = written(case, tmp_path)
    assert "standardised for the fit" in page.text
    # each of the two rows is missed by half of their difference, 50 units of the target
    assert case.score(case.adapted["x"][-1]) == pytest.approx(25 * np.sqrt(2 / case.samples), rel=1e-6)
    assert "rms error" in page.text


def test_too_few_parameters_are_said_plainly(tmp_path):
    case = study(kind="number", conflict=True, widths=(2, 2, 1))
    page = written(case, tmp_path)
    assert case.adapted.regime.n_in < case.adapted.regime.n_out
    assert "too few parameters" in page.text
    assert "Data rows 3, 9 have the same features and different targets" in page.text
    assert "Stopping time" not in page.text


def test_a_run_stopped_at_once_is_reported(tmp_path):
    case = study(seconds=0.0)
    assert case.adapted.status is sr.Status.BUDGET_SPENT
    page = written(case, tmp_path)
    assert "ended early" in page.text
    assert ("div", "class", "verdict bad") in page.attributes
    assert ("div", "class", "verdict good") in written(study(), tmp_path).attributes


def ended(case, status, message=""):
    return replace(case, adapted=replace(case.adapted, status=status, message=message))


@pytest.mark.parametrize(
    ("status", "said", "advice"),
    [
        (sr.Status.RANK_CHANGED, "because D loses rank there", "a damped flow (--damping)"),
        (sr.Status.ESCAPED, "because the parameters run to infinity", "a wider network (--widths)"),
        (sr.Status.BUDGET_SPENT, "its budget was spent at t = ", "The saved run can be resumed"),
        (sr.Status.CANCELLED, "The run was interrupted at t = ", "this is what it had found"),
        (sr.Status.STEP_TOO_SMALL, "the step size fell below", "Details: at t* = 0.3."),
    ],
)
def test_each_end_says_why_and_what_to_do(status, said, advice):
    text = words.verdict(ended(study(), status, "at t* = 0.3"))
    assert said in text
    assert advice in text
    assert "exactly" not in text
    assert "the cost fell from" in text


def test_a_stopping_time_that_was_not_reached_says_what_it_presupposed(tmp_path):
    page = written(replace(ended(study(), sr.Status.RANK_CHANGED), free=None), tmp_path)
    assert "Here it did not: the path ended before that time." in page.text
    assert "The smallest one came down towards it at the end" in page.text
    assert "an exact fit" not in page.text
    assert "Here it did not" not in written(study(), tmp_path).text


def test_each_regime_is_named_with_what_it_promises():
    over, under = study(), study(kind="number", widths=(2, 2, 1))
    assert "rank-deficient (by tied outputs alone" in words.regime_sentence(over)
    assert "at a known rate" in words.regime_sentence(over)
    assert words.regime_sentence(under).startswith("under-parametrized (K < n, rank D = K): no straight line")
    damped = replace(under, flow=replace(under.flow, damping=0.25))
    assert "damped with mu = 0.25" in words.regime_sentence(damped)
    square = replace(over.adapted.regime, name=RegimeName.BORDERLINE, n_in=28, n_out=28, rank=28, dependence=None)
    borderline = replace(over, adapted=replace(over.adapted, regime=square))
    assert words.regime_sentence(borderline).startswith("borderline (K = n = rank D)")
    assert "continuous Newton method" in words.rank_findings(borderline)[0]


def test_captions_of_a_damped_small_network_promise_no_line(tmp_path):
    case = damped_study()
    page = written(case, tmp_path)
    assert "The damped adapted flow (mu = 0.01)" in page.text
    assert "each direction has its own, slower one" in page.text
    assert "slower by the factor" in page.text
    for promise in ("dashed line", "at one rate", "outputs are corrected", "Stopping time", "an exact fit of"):
        assert promise not in page.text, promise
    assert "follows the dashed line as long as D keeps its rank" in written(study(), tmp_path).text


def test_tied_rows_of_different_features_break_relations_and_do_not_contradict():
    tied = RowGroup((1, 2, 3), 1, same_features=False, contradict=True)
    assert words.group_sentence(tied) == "rows 1, 2 and 3 are tied to each other, their targets break the relations"
    assert [words.counted(number, "feature") for number in (1, 2)] == ["1 feature", "2 features"]


def test_every_figure_is_told_in_words_for_those_who_do_not_see_it(tmp_path):
    page = written(study(), tmp_path)
    alts = [value for tag, name, value in page.attributes if tag == "img" and name == "alt"]
    assert len(set(alts)) == 4
    assert all(re.search(r"\d", alt) for alt in alts)
    assert f"{words.excess(study(), study().standard):.1e}" in alts[0]


def test_a_study_without_the_other_runs_is_reported(tmp_path):
    page = written(replace(study(), standard=None, free=None), tmp_path)
    assert "measured without projection" not in page.text
    assert len(list(pngs(page))) == 3


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProblemError, match="cannot be written"):
        flow_report(study(), tmp_path / "file")


def test_rows_in_words():
    assert named_rows((7,)) == "row 7"
    assert named_rows((102, 143)) == "rows 102 and 143"
    assert named_rows((1, 2, 3)) == "rows 1, 2 and 3"
    assert named_rows(tuple(range(1, 9))) == "rows 1, 2, 3, 4, 5, 6, 7 and 8"
    assert named_rows(tuple(range(1, 12))) == "11 rows (1, 2, 3, 4, 5, 6, 7, 8, …)"


@pytest.mark.slow
def test_the_report_on_iris(tmp_path):
    case = iris_study()
    page = written(case, tmp_path)
    assert "Data rows 102 and 143 have the same features" in page.text
    assert "rank D = 447 of 450" in page.text
    assert "row 102: virginica, row 143: virginica" in page.text
    assert case.adapted.cost_ratio < 1e-12
    assert case.measured == pytest.approx(case.told, rel=1e-2)
    assert case.score(case.adapted["x"][-1]) == 100.0
