"""What every report has: a head, figures, how to repeat it, and a folder that it is written to."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subriem.core.errors import ProblemError
from subriem.report import page
from subriem.report.study import versions


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure of a report.

    Attributes
    ----------
    name : str
        Of its file, without suffix.
    title, caption : str
    alt : str
        The figure in words and numbers, for readers who do not see it.
    png : bytes
    natural : bool
        Whether it is shown in its own size, not as wide as the page.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    natural: bool = False


def png(figure: Any) -> bytes:
    """Return a figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def counted(number: int, noun: str) -> str:
    """Return "1 row" or "2 rows"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def head(title: str, kicker: str, verdict: str, good: bool) -> str:
    """Return the head of a report: what it is about, and the sentence that everybody should read."""
    parts = [page.title(title), page.paragraph(kicker, "kicker"), page.verdict(verdict, good)]
    return "\n".join(["<header>", *parts, "</header>"])


def figures(drawn: Iterable[Drawn], *more: str) -> str:
    """Return the section of the figures; `more` comes after them."""
    images = (page.image(one.png, one.title, one.caption, one.alt, natural=one.natural) for one in drawn)
    return page.section("Figures", *images, *more)


def again(command: str, rows: Sequence[Sequence[str]], saved: str) -> str:
    """Return how to repeat a run: its command line, what its numbers depend on, and what is saved beside the page."""
    table = page.table([*([name, value] for name, value in versions().items()), *rows])
    return page.section("How to repeat this", page.code(command), table, page.paragraph(saved, "soft"))


def write_json(record: dict[str, Any], path: Path) -> None:
    """Write plain values as JSON; numbers that are not finite are refused."""
    path.write_text(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def write(text: str, drawn: Iterable[Drawn], folder: str | os.PathLike[str]) -> Path:
    """Write `report.html` and the figures as PNG beside it; return the path of the page.

    Parameters
    ----------
    text : str
        The page.
    drawn : iterable of Drawn
    folder : path
        Made if it does not exist.

    Returns
    -------
    Path

    Raises
    ------
    ProblemError
        If the folder cannot be written.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for figure in drawn:
            (target / f"{figure.name}.png").write_bytes(figure.png)
        path = target / "report.html"
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProblemError("the report cannot be written", str(error), "a writable folder", "--out FOLDER") from error
    return path
