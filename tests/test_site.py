"""The site that `make docs` builds: strict, complete, without a request, with search from disk."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from helpers import ROOT

pytest.importorskip("mkdocstrings", reason="the extra `docs` is not installed")
pytest.importorskip("material", reason="the extra `docs` is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Tags(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, page):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[k] for k in ("id", "name") if found.get(k)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(found["href"])
        if "src" in found:
            self.loads.append(found["src"])


@pytest.fixture(scope="module")
def pages(site):
    return {p: Tags(p) for p in sorted(site.rglob("*.html")) if p.name != "404.html"}


def test_every_page_of_docs_is_there_and_in_the_search(site, pages):
    names = {p.relative_to(site).as_posix() for p in pages}
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert name.replace("README.html", "index.html") in names
    found = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert names <= {entry["location"].partition("#")[0] or "index.html" for entry in found}


def test_every_link_and_anchor_of_the_site_is_there(pages):
    wrong = []
    for page, tags in pages.items():
        for link in (*tags.links, *tags.loads):
            if re.match(r"(https?|data|mailto|javascript):", link):
                continue
            name, _, anchor = unquote(link).partition("#")
            target = (page.parent / name.partition("?")[0]).resolve() if name else page
            target = target / "index.html" if target.is_dir() else target
            known = pages.get(target)
            if not target.is_file() or (anchor and known and anchor not in known.ids):
                wrong.append((page.name, link))
    assert len(pages) > 35 and wrong == []


def test_no_page_loads_anything_from_the_web(site, pages):
    loads = [(p.name, url) for p, tags in pages.items() for url in tags.loads]
    assert [(p, url) for p, url in loads if re.match(r"(https?:)?//", url)] == []
    styles = [p.read_text() for p in site.rglob("*.css")]
    assert not any(re.search(r"(@import|url\()\s*[\"']?https?:", text) for text in styles)


def test_the_reference_shows_what_the_package_offers(site):
    text = (site / "reference" / "library.html").read_text()
    for name in ("run", "score", "load_records"):
        assert f'id="fsig_bench.{name}"' in text
    assert "The fields of record.json" in text and "Raises" in text


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_search_works_from_disk_without_a_request(site):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / "index.html").as_uri())
        page.click("input.md-search__input")
        page.wait_for_selector(".md-search-result__meta:has-text('Type to start')")
        page.keyboard.type("copy rate threshold")
        page.wait_for_selector(".md-search-result__item a", state="attached", timeout=20_000)
        links = page.query_selector_all(".md-search-result__item a")
        found = {Path(link.get_attribute("href").partition("?")[0]).name for link in links}
        browser.close()
    assert errors == []
    assert {"instrument.html", "metrics.html"} <= found
    assert [url for url in asked if url.startswith("http")] == []
