"""The pages of the cookbook: whole programs that run as pasted, and what they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import LIMIT, ROOT

PAGES = sorted((ROOT / "docs").glob("cookbook-*.md"))
SPECS = [path for path in (ROOT / "examples").glob("*.toml") if "[[component]]" in path.read_text()]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def without_its_tests(spec: str) -> str:
    """Return a SPEC as a page shows it: its tests are only in the example."""
    return spec.partition("\n# Tests of this file")[0]


def by_name(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_a_page_ends_with_a_look_inside_and_something_to_break(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert headings[-2:] == ["Look inside", "Break it on purpose"]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_a_page_shows_its_example_as_it_is(page: Path) -> None:
    examples = re.findall(r"[`/](examples/\w+\.(?:toml|py))[`)]", page.read_text())
    blocks = [text for language, text in _FENCE.findall(page.read_text()) if language]
    assert examples
    for example in dict.fromkeys(examples):
        text = without_its_tests((ROOT / example).read_text())
        shown = text.partition("\n\n")[2] if text.startswith("#") else text
        assert any(block.strip() in (shown.strip(), text.strip()) for block in blocks), example


@pytest.mark.parametrize("spec", SPECS, ids=by_name)
def test_an_example_has_tests_and_says_how_to_run_them(spec: Path) -> None:
    command = f"zenactors test examples/{spec.name}"
    comment = f"\n# Tests of this file, in memory and in virtual time: {command}\n\n[[tests]]\n"
    assert spec.read_text().count(comment) == 1


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the page uses the command sqlite3")
def test_the_page_about_404s_prints_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    blocks = _FENCE.findall((ROOT / "docs/cookbook-404s.md").read_text())
    commands, shown = (
        next(text for each, text in blocks if each == language) for language in ("sh", "text")
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    zenactors = programs / "zenactors"
    zenactors.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zenactors "$@"\n')
    zenactors.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", commands],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown
