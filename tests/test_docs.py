"""Every Python block of the pages runs, and prints what the page says it prints."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
READING = ROOT / "docs" / "understand" / "reading_a_reduction.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"# -> (.*)$", re.MULTILINE)


def missing(shown: list[str], printed: list[str]) -> list[str]:
    """Return the lines of a page that were not printed in this order."""
    rest = iter(printed)
    return [line for line in shown if line not in rest]


def test_lines_are_looked_for_in_order():
    assert missing(["a", "b"], ["a", "x", "b"]) == []
    assert missing(["b", "a"], ["a", "b"]) == ["a"]
    assert missing(["1.5"], ["1.50"]) == ["1.5"]


@pytest.mark.parametrize("page", [*PAGES, *TUTORIALS, READING, ROOT / "README.md"], ids=lambda page: page.stem)
def test_a_page_runs_and_prints_what_it_shows(page, capsys):
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    names: dict[str, object] = {}  # a page is one session: its blocks follow each other
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
        assert missing(SHOWN.findall(block), capsys.readouterr().out.splitlines()) == [], block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_how_to_page_is_short_shows_numbers_and_is_linked(page):
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert len(SHOWN.findall(text)) + text.count("assert ") >= 3
    assert f"](docs/how-to/{page.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_is_linked(page):
    assert f"](docs/tutorials/{page.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_between_pages_lead_somewhere():
    pages = [*PAGES, *TUTORIALS, ROOT / "README.md", *sorted((ROOT / "docs" / "understand").glob("*.md"))]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
