"""The table of checks that every result carries, in plain text and in HTML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Check:
    """One measured quantity of a result, beside the bound it should obey.

    Attributes
    ----------
    name : str
    value : float
    bound : float or None
        The check passes if value <= bound; None marks a number without a verdict.
    meaning : str
        What the number says, in plain words.

    Examples
    --------
    >>> Check("drift", 1e-12, 1e-9, "distance from the exact output line").passed
    True
    """

    name: str
    value: float
    bound: float | None
    meaning: str

    @property
    def passed(self) -> bool | None:
        """Whether the value obeys the bound; None without a bound. A NaN never passes."""
        return None if self.bound is None else bool(self.value <= self.bound)


def _cells(check: Check) -> tuple[str, str, str, str]:
    verdict = {True: "ok", False: "FAILS", None: ""}[check.passed]
    bound = "" if check.bound is None else f"<= {check.bound:.1e}"
    return check.name, f"{check.value:.6g}", f"{bound} {verdict}".strip(), check.meaning


def checks_text(checks: Sequence[Check]) -> str:
    """Return the checks as an aligned plain-text table."""
    rows = [_cells(check) for check in checks]
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def checks_html(checks: Sequence[Check]) -> str:
    """Return the checks as an HTML table."""
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in _cells(check)) + "</tr>" for check in checks)
    head = "<tr><th>check</th><th>value</th><th>bound</th><th>meaning</th></tr>"
    return f'<table class="checks"><thead>{head}</thead><tbody>{body}</tbody></table>'


class Result(ABC):
    """Base of results: a headline and a table of checks, rendered alike everywhere."""

    @property
    @abstractmethod
    def checks(self) -> tuple[Check, ...]:
        """The measured checks."""

    @abstractmethod
    def headline(self) -> str:
        """Return one line that says what this result is and how it ended."""

    def __str__(self) -> str:
        return f"{self.headline()}\n{checks_text(self.checks)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline()}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.headline())}</p>{checks_html(self.checks)}"
