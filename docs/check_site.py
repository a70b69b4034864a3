"""Check a built site: every link leads somewhere, and no page loads anything from elsewhere.

    python -m docs.check_site build/site

It reads the pages as a browser gets them: links to pages, headings, images and other files, and
addresses on other hosts that a page would load by itself.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADING = {"script", "link", "img", "iframe", "source", "video", "audio", "object", "embed"}


class _Page(HTMLParser):
    """The anchors and references of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.references: list[tuple[str, str]] = []  # tag, address
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            elif name in {"href", "src", "data"}:
                self.references.append((tag, value or ""))


def problems_of(site: Path) -> list[str]:
    """Return one line for each reference that is wrong."""
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site)}: {address!r} {problem}"
        for path, page in pages.items()
        for tag, address in page.references
        if (problem := _problem(path, tag, address, pages, site))
    ]


def _problem(page: Path, tag: str, address: str, pages: dict[Path, _Page], site: Path) -> str:
    """Return what is wrong with an address on a page; an empty string if nothing is."""
    parts = urlsplit(address)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        return "would be loaded from another host" if tag in _LOADING else ""
    base = site if parts.path.startswith("/") else page.parent  # the error page has absolute ones
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return "does not exist"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "has no such anchor"
    return ""


if __name__ == "__main__":
    root = Path(sys.argv[1]).resolve()
    if not any(root.glob("*.html")):
        sys.exit(f"{root} holds no pages; `make docs` builds them.")
    if found := problems_of(root):
        sys.exit("\n".join([*found, f"Wrong links in {root}: {len(found)}"]))
