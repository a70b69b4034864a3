"""The page on programs: it runs as pasted, and prints what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.running import LIMIT, ROOT
from tests.test_cookbook import without_its_tests

PAGE = ROOT / "docs/cookbook-programs.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def without_figures(text: str) -> list[str]:
    """Return the lines without what differs from run to run: times, delays, counts and PIDs."""
    lines = [re.sub(r"^(\S+ )?[\d:.]+ (INFO|WARN)", r"\2", line) for line in text.splitlines()]
    return [re.sub(r"\b\d+(\.\d)?\b", "N", line) for line in lines if "Events: " not in line]


def test_the_first_spec_is_the_example() -> None:
    assert blocks("toml")[0] == without_its_tests((ROOT / "examples/supervise.toml").read_text())


def test_the_page_prints_what_it_shows(tmp_path: Path) -> None:
    for name, text in zip(("supervise", "convert"), blocks("toml"), strict=True):
        (tmp_path / f"{name}.toml").write_text(text)
        (tmp_path / f"{name}.toml").chmod(0o644)  # as root, what others can change is refused
    tmp_path.chmod(0o755)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("python3", ""), ("zenactors", "-m zenactors ")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", "umask 022\n" + "\n".join(blocks("sh"))],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{programs}:{os.environ['PATH']}",
        },
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )
    assert without_figures(done.stdout) == without_figures("".join(blocks("text")))
