"""The table of checks in text and HTML, and the words for an end."""

import numpy as np
import pytest

from subriem.core.result import Check, Result, checks_html, checks_text
from subriem.core.status import Status

CHECKS = (
    Check("drift", 1e-12, 1e-9, "distance from the line"),
    Check("defect <h>", 0.5, 1e-3, "out of the & range"),
    Check("length", 2.905, None, "of the path"),
    Check("broken", np.nan, 1.0, "not a number"),
)


class Table(Result):
    checks = CHECKS

    def headline(self):
        return "SUCCESS: a < b"


@pytest.mark.parametrize(
    ("value", "bound", "passed"),
    [
        (1.0, 1.0, True),
        (1.1, 1.0, False),
        (np.nan, 1.0, False),
        (np.nan, np.inf, False),
        (1.0, np.nan, False),
        (np.inf, 1e300, False),
        (np.nan, None, None),
        (np.float64(0.5), 1.0, True),
    ],
)
def test_verdicts(value, bound, passed):
    assert Check("x", value, bound, "").passed is passed


def test_text():
    assert checks_text(CHECKS).splitlines() == [
        "drift       1e-12  <= 1.0e-09 ok     distance from the line",
        "defect <h>  0.5    <= 1.0e-03 FAILS  out of the & range",
        "length      2.905                    of the path",
        "broken      nan    <= 1.0e+00 FAILS  not a number",
    ]
    assert checks_text(()) == ""


def test_html_is_escaped_and_complete():
    html = checks_html(CHECKS)
    assert html.count("<tr>") == 5
    assert html.count("<td>") == 16
    assert "defect &lt;h&gt;" in html
    assert "out of the &amp; range" in html
    assert "<h>" not in html
    assert html.count("FAILS") == 2


def test_a_result_renders_both():
    assert str(Table()) == "SUCCESS: a < b\n" + checks_text(CHECKS)
    assert Table()._repr_html_().startswith("<p>SUCCESS: a &lt; b</p><table")


def test_statuses_are_sentences_and_no_end_is_both_success_and_failure():
    assert len({status.value for status in Status}) == len(Status) == 11
    assert {status.name for status in Status if status.failed} == {
        "NOT_CONVERGED",
        "STEP_TOO_SMALL",
        "INCONSISTENT",
        "NOT_FINITE",
    }
    assert {status.name for status in Status if status.success} == {"SUCCESS", "EVENT"}
    assert all(" " in status for status in Status)
