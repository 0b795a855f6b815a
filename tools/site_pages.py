"""Hooks of MkDocs: pages of the site that lie outside docs/, and links that work in both places.

On GitHub a link is relative to the file that holds it, as `../results/README.md` in docs/index.md.
On the site that file is the page records.md. A link to a file that is no page, such as a folder of
conf/, becomes plain text, and a link from a page to a file that does not exist fails the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {  # file of the repository -> page of the site
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "results/README.md": "records.md",
    "results/published/README.md": "published.md",
    "results/reference/tables.md": "reference_tables.md",
}
TITLES = {"reference_tables.md": "# All metrics of the reference records\n\n"}
LINK = re.compile(r"(?<!!)\[([^\]\n]+(?:\n[^\]\n]+)?)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")


def rewritten(text: str, *, source: str) -> str:
    """The page's text with links from its place in the repository to the pages of the site.

    Args:
        text: Markdown.
        source: where the text lies in the repository, such as "docs/index.md".

    Raises:
        PluginError: a link to a file that does not exist.
    """
    page = PAGES.get(source, source.removeprefix("docs/"))

    def one(link: re.Match[str]) -> str:
        words, path, anchor = link[1], link[2], link[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (ROOT / target).exists():
            raise PluginError(f"{source} links to {path}, which does not exist")
        if target in PAGES:
            place = PAGES[target]
        elif target.startswith("docs/") and (ROOT / target).is_file():
            place = target.removeprefix("docs/")
        else:
            return words
        return f"[{words}]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{anchor})"

    fenced = [m.span() for m in re.finditer(r"^```.*?^```", text, re.M | re.S)]

    def outside(link: re.Match[str]) -> str:
        inside = any(a <= link.start() < b for a, b in fenced)
        return link[0] if inside else one(link)

    return LINK.sub(outside, text)


def on_files(
    files: Files,
    config: Any,  # Any: a config of MkDocs, without types
) -> Files:
    """Adds the pages that lie outside docs/."""
    for source, page in PAGES.items():
        text = TITLES.get(page, "") + (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(
    markdown: str,
    page: Any,  # Any: a page of MkDocs, without types
    config: Any,  # Any: a config of MkDocs, without types
    files: Files,
) -> str:
    """Makes the page's links those of the site."""
    sources = {place: source for source, place in PAGES.items()}
    uri = page.file.src_uri
    return rewritten(markdown, source=sources.get(uri, f"docs/{uri}"))
