"""The documentation site: built strictly, without a request to elsewhere, and small."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 15_000_000
# What a browser fetches by itself, by its tag; a link (<a>) is followed by a reader alone.
FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "link": ("href",),
    "video": ("src", "poster"),
    "object": ("data",),
    "form": ("action",),
}
# No browser fetches these by itself.
NAMED = ("canonical", "next", "prev", "alternate")


class Requests(HTMLParser):
    """Collects the addresses that a page has its browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and values.get("rel") in NAMED:
            return
        self.addresses += [values[name] for name in FETCHED.get(tag, ()) if name in values]


def foreign(address: str) -> bool:
    return "://" in address or address.startswith("//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    made = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(made)]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return made


@pytest.mark.slow
def test_no_page_requests_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = Requests()
        found.feed(page.read_text(encoding="utf-8"))
        assert found.addresses and not list(filter(foreign, found.addresses)), page
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert "url(http" not in text and "url(//" not in text and "@import" not in text, style


@pytest.mark.slow
def test_the_site_is_small(site: Path) -> None:
    sizes = [file.stat().st_size for file in site.rglob("*") if file.is_file()]
    assert sum(sizes) < MOST_BYTES


@pytest.mark.slow
def test_search_works_in_files_that_no_server_serves(site: Path) -> None:
    """What the browser loads in place of an index over HTTP."""
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = ") and "max_drop_pp" in index


@pytest.mark.parametrize(
    ("markup", "address"),
    [
        ('<script src="https://a.example/x.js"></script>', "https://a.example/x.js"),
        ('<link rel="stylesheet" href="//a.example/x.css">', "//a.example/x.css"),
        ('<img src="https://a.example/x.png">', "https://a.example/x.png"),
    ],
)
def test_a_request_to_elsewhere_is_seen(markup: str, address: str) -> None:
    found = Requests()
    found.feed(markup)
    assert list(filter(foreign, found.addresses)) == [address]
