"""What is wrong in a built site is found."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from docs.check_site import problems_of
from tests.running import run_python


def site(directory: Path, **pages: str) -> Path:
    for name, text in pages.items():
        (directory / f"{name}.html").write_text(text)
    return directory


def test_a_site_whose_links_all_lead_somewhere_is_right(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/index.html").write_text(
        '<a href="../index.html#here">up</a><a href="#">top</a>'
    )
    (tmp_path / "a b.txt").touch()
    site(
        tmp_path,
        index='<h1 id="here">x</h1><a href="sub">s</a><a href="#here">h</a>'
        '<a href="a%20b.txt">t</a>'
        '<a href="https://example.org/">away</a><img src="data:image/png;base64,AA">',
        error='<link href="/a%20b.txt">',
    )
    assert problems_of(tmp_path) == []


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="gone.html">x</a>', "'gone.html' does not exist"),
        ('<img src="gone.svg">', "'gone.svg' does not exist"),
        ('<a href="other.html#gone">x</a>', "'other.html#gone' has no such anchor"),
        ('<a href="#gone">x</a>', "'#gone' has no such anchor"),
        (
            '<script src="https://example.org/x.js"></script>',
            "'https://example.org/x.js' would be loaded from another host",
        ),
        (
            '<link href="//example.org/x.css">',
            "'//example.org/x.css' would be loaded from another host",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_page(html: str, problem: str, tmp_path: Path) -> None:
    assert problems_of(site(tmp_path, index=html, other="")) == [f"index.html: {problem}"]


def check(directory: Path) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "docs.check_site", directory)


def test_the_command_fails_if_something_is_wrong(tmp_path: Path) -> None:
    done = check(site(tmp_path, index='<a href="gone.html">x</a>'))
    assert done.returncode == 1
    assert done.stderr == (
        f"index.html: 'gone.html' does not exist\nWrong links in {tmp_path}: 1\n"
    )
    assert check(site(tmp_path, index="")).returncode == 0


def test_the_command_fails_if_nothing_was_built(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 1
    assert "holds no pages; `make docs` builds them" in done.stderr
