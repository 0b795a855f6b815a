"""The pages as a reader meets them: their length, what they name, and where their links lead."""

import re

import pytest
from helpers import ROOT

README = ROOT / "README.md"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "results").rglob("*.md")),
]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")


def prose(page):
    """The page without its code, in which brackets mean something else."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", lambda m: re.sub(r"[\[\]()]", "", m[0]), text)


def anchors(page):
    """The anchors of a page's headings, as GitHub and MkDocs make them from plain titles."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    wrong = []
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_a_wrong_link_would_be_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title, twice\n[a](#a-title-twice) `[b](c)` [d](e.md)\n```\n[f](g)\n```\n")
    assert LINK.findall(prose(page)) == ["#a-title-twice", "e.md"]
    assert anchors(page) == {"a-title-twice"}


def test_the_readme_is_short_and_without_badges():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert "shields.io" not in text and "badge" not in text


def test_the_readme_names_every_method_before_the_results():
    methods, _, _ = README.read_text().partition("## Results")
    named = set(re.findall(r"`(\w+)`", methods.partition("## Methods")[2]))
    assert {path.stem for path in (ROOT / "conf" / "method").glob("*.yaml")} <= named


def test_every_page_of_docs_is_reached_from_the_readme():
    seen, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for link in LINK.findall(prose(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target not in seen and target.is_file():
                waiting.append(target)
    assert [p.name for p in (ROOT / "docs").rglob("*.md") if p not in seen] == []


RIDDLES = (
    "no work twice",
    "how far right is right",
    "three and four and a half",
    "is at is left",
    "says so",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_page_speaks_in_riddles(page):
    """Phrases that readers had to read twice."""
    text = " ".join(page.read_text().split())
    assert [riddle for riddle in RIDDLES if riddle in text] == []
