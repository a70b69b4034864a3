"""The documentation is true: programs run, links lead somewhere, tables are complete."""

from __future__ import annotations

import ast
import functools
import itertools
import os
import re
import signal
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zenactors
import zenactors.components
import zenactors.errors
from tests.forked import ForkServer
from tests.running import LIMIT, ROOT
from zenactors.config.checking import restart_paths
from zenactors.config.jsonc import parse_json
from zenactors.config.options import DaemonOptions
from zenactors.daemon.signal_events import SIGNAL_EVENTS

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
OPERATING = ROOT / "docs/operating.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(typing.NamedTuple):
    """A block of code on a page."""

    place: str
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    name = page.relative_to(ROOT)
    return [
        Block(f"{name}:{text.count(chr(10), 0, found.start()) + 1}", found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def is_whole_program(block: Block) -> bool:
    """Return True if it imports zenactors itself: then a reader may save and run it."""
    imported = {
        (node.module or "").partition(".")[0]
        for node in ast.parse(block.text).body
        if isinstance(node, ast.ImportFrom)
    }
    return "zenactors" in imported and "sensors" not in imported


def by_place(block: Block) -> str:
    return block.place


class Reader:
    """One who saves programs in a directory, which is also the root of the daemon's files."""

    def __init__(self, directory: Path, python: ForkServer) -> None:
        self.directory = directory
        self._python = python
        for each in ("etc", "var/run", "var/log"):
            (directory / each).mkdir(parents=True)

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the directory."""
        return self._python.run(*argv, cwd=self.directory, APP_ROOT_PATH=str(self.directory))


@pytest.fixture
def reader(tmp_path: Path, forks: ForkServer) -> Reader:
    return Reader(tmp_path, forks)


def stop_when_started(directory: Path, *argv: str) -> None:
    """Run a daemon that goes on until it is stopped. Its log goes to standard error."""
    with subprocess.Popen(
        [sys.executable, *argv],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "APP_ROOT_PATH": str(directory)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            shown = ""
            while " starts" not in shown and process.poll() is None:
                shown += process.stderr.readline()
            assert " starts" in shown, shown
            process.send_signal(signal.SIGINT)
            shown = process.stderr.read()
            assert process.wait() == 0, shown
            assert "Received SIGINT" in shown
        finally:
            process.kill()


def section(page: Path, heading: str) -> str:
    """Return the text below a heading, up to the next one of its level."""
    _, found, rest = page.read_text().partition(f"\n## {heading}\n")
    assert found, heading
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in a text, without their heads."""
    tables = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    heads = [index - 1 for index, cells in enumerate(tables) if set("".join(cells)) <= set("-: ")]
    return [
        cells for index, cells in enumerate(tables) if index not in heads and index - 1 not in heads
    ]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@functools.cache
def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options_for(block: Block) -> list[str]:
    """Return what keeps a program in the foreground, and ends one that would go on."""
    options = ["--no-daemon"] if ".run()" in block.text else []
    return [*options, "--ticks", "2"] if "ticks: int" in block.text else options


@pytest.mark.parametrize("block", PYTHON, ids=by_place)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


ENDING = [
    block
    for block in PYTHON
    if is_whole_program(block)
    and not block.place.startswith(("docs/migration.md", "docs/cookbook-alarms.md"))
    # Run by pytest, as the page says:
    and not (block.place.startswith("docs/testing.md") and "\ndef test_" in block.text)
]


@pytest.mark.parametrize("block", ENDING, ids=by_place)
def test_whole_program_runs(block: Block, tmp_path: Path, reader: Reader) -> None:
    program = tmp_path / "longest.py"  # the name under which a reader saves the one that needs one
    program.write_text(block.text)
    if "keep_alive()" in block.text:
        stop_when_started(tmp_path, program.name, *options_for(block))
        return
    done = reader.run(program.name, *options_for(block))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for shown in re.findall(r"print\(.+\)  # (\d+)", block.text):
        assert shown in done.stdout


OWN_COMPONENTS = blocks_of(ROOT / "docs/own-components.md")


@pytest.mark.parametrize(
    ("program", "output"),
    [pair for pair in itertools.pairwise(OWN_COMPONENTS) if pair[0].language == "python"],
    ids=lambda block: block.place,
)
def test_a_program_prints_what_the_page_shows_below_it(
    program: Block, output: Block, tmp_path: Path, reader: Reader
) -> None:
    (tmp_path / "program.py").write_text(program.text)
    assert reader.run("program.py").stdout == output.text


@pytest.mark.parametrize("name", ["supervision", "delivery", "checkpoints", "tailing"])
def test_the_first_program_of_a_page_prints_what_the_page_shows(
    name: str, tmp_path: Path, reader: Reader
) -> None:
    program, output, *_ = blocks_of(ROOT / f"docs/{name}.md")
    assert (program.language, output.language) == ("python", "")
    (tmp_path / "first.py").write_text(program.text)
    done = reader.run("first.py")
    # Two components print, each in a thread of its own.
    assert sorted(done.stdout.splitlines()) == sorted(output.text.splitlines()), done.stderr


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=by_place)
def test_toml_is_toml(block: Block) -> None:
    tomllib.loads(block.text)


def test_no_line_is_lost_or_copied_twice_on_the_page_that_says_so(tmp_path: Path) -> None:
    blocks = [b.text for b in blocks_of(ROOT / "docs/never-lose-a-line.md")]
    writer, torture, check, commands, shown, *_ = blocks
    for name, text in (("writer", writer), ("check", check)):
        (tmp_path / f"{name}.py").write_text(text)
    assert "writer.py 20" in torture
    (tmp_path / "torture.sh").write_text(torture.replace("writer.py 20", "writer.py 7"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("zenactors", "-m zenactors ")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", commands],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )
    assert re.sub(r"[0-9]{2,}", "N", done.stdout) == re.sub(r"[0-9]{2,}", "N", shown), done.stderr
    assert done.stdout.splitlines()[0].split()[0] == done.stdout.splitlines()[1].split()[0]
    assert (tmp_path / "app.log.1").exists()


def test_getting_started_s_toml_is_a_right_spec(tmp_path: Path, reader: Reader) -> None:
    (block,) = [b for b in blocks_of(ROOT / "docs/getting-started.md") if b.language == "toml"]
    (tmp_path / "count.toml").write_text(block.text)
    for path in (tmp_path, tmp_path / "count.toml"):
        path.chmod(path.stat().st_mode & ~0o022)  # as root, what others can change is refused
    done = reader.run("-m", "zenactors", "run", "count.toml", "--exit-when-idle")
    assert done.returncode == 0, done.stderr
    assert done.stdout == block.text


def test_the_spec_and_the_program_of_the_page_on_components_do_what_it_says(
    tmp_path: Path, reader: Reader
) -> None:
    blocks = [b.text for b in blocks_of(ROOT / "docs/components.md")]
    (greet,) = [text for text in blocks if text.startswith('name = "greet"')]
    (follow,) = [text for text in blocks if 'name="follow"' in text]
    (section,) = [text for text in blocks if text.startswith("# follow.toml")]
    files = {
        "greeting.py": next(text for text in blocks if "class Greeter" in text),
        "greet.toml": greet,
        "follow.py": follow,
        "follow.toml": section,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)  # as root, what others can change is refused
    tmp_path.chmod(0o755)

    options = ("--set", "components.greeter.times=2")
    done = reader.run("-m", "zenactors", "run", "greet.toml", *options)
    assert (done.returncode, done.stdout) == (0, "good morning good morning\n"), done.stderr

    overriding = ("--config-file", "follow.toml", "--set", "components.tailer.start=end")
    done = reader.run("follow.py", *overriding, "--action", "config-view")
    view = [line.split() for line in done.stdout.splitlines()]
    assert ["patterns", '["/var/log/*.log"]', f"{tmp_path}/follow.toml:3"] in view
    assert ["start", '"end"', "--set", "components.tailer.start"] in view


def test_the_tests_of_the_testing_guide_pass(tmp_path: Path, reader: Reader) -> None:
    blocks = [b.text for b in blocks_of(ROOT / "docs/testing.md") if b.language == "python"]
    (sensors,) = [text for text in blocks if "class Alarm" in text]
    (tmp_path / "sensors.py").write_text(sensors)
    tests = [text.replace("range(200)", "range(20)") for text in blocks if "\ndef test_" in text]
    for number, text in enumerate(tests):
        (tmp_path / f"test_block_{number}.py").write_text(text)
    done = reader.run("-m", "pytest", "-q", "-p", "zenactors.testing.plugin")
    assert done.returncode == 0, done.stdout
    expected = sum(text.count("\ndef test_") for text in tests)
    assert f"{expected} passed" in done.stdout


def moved_over(module: str) -> str:
    """Return the migration guide's daemon, as written for this package."""
    blocks = [b.text for b in blocks_of(ROOT / "docs/migration.md") if b.language == "python"]
    (found,) = [text for text in blocks if f"\nfrom {module}" in text]
    return found


@pytest.mark.parametrize("module", ["pyzenkit.zendaemon", "zenactors"])
def test_the_migration_guide_s_daemon_does_the_same_before_and_after(
    module: str, tmp_path: Path
) -> None:
    pytest.importorskip(module)
    for directory in ("etc", "var/run", "var/log"):
        (tmp_path / directory).mkdir(parents=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)  # as root, a configuration that others can change is refused
    (tmp_path / "etc/disk-daemon.conf").write_text('# Megabytes:\n{"min_free": 1000000000000}\n')
    (tmp_path / "etc/disk-daemon.conf").chmod(0o644)
    (tmp_path / "disk.py").write_text(moved_over(module))
    options = ("--no-daemon", "--config-dir-silent", "--directory", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "disk.py", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), "APP_ROOT_PATH": str(tmp_path)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            said = next((line for line in process.stderr if "Low disk space" in line), "")
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert f"Low disk space in {tmp_path}" in said
    assert process.returncode == 0, errors


def test_the_migration_guide_s_component_is_the_same_before_and_after() -> None:
    def component(module: str) -> str:
        text = moved_over(module)
        (found,) = [
            ast.get_source_segment(text, node)
            for node in ast.parse(text).body
            if isinstance(node, ast.ClassDef) and node.name == "DiskComponent"
        ]
        return found or ""

    assert component("zenactors") == component("pyzenkit.zendaemon") != ""


def test_readme_shows_hello_as_it_is() -> None:
    hello = (ROOT / "examples/hello.py").read_text()
    assert hello in [block.text for block in blocks_of(ROOT / "README.md")]


def test_every_action_is_named() -> None:
    actions = {*zenactors.ZenDaemon(name="docs").actions()}
    assert {quoted(row[0])[0] for row in rows(section(OPERATING, "Actions"))} == actions


def test_there_is_one_table_of_all_exit_statuses() -> None:
    known = {
        name: value for name, value in vars(zenactors.errors).items() if name.startswith("EXIT_")
    }
    table = {quoted(row[1])[0]: int(row[0]) for row in rows(section(OPERATING, "Exit statuses"))}
    assert table == known


def test_every_signal_is_told() -> None:
    told = {
        name
        for cells in rows(section(OPERATING, "Signals"))
        for name in re.findall(r"^SIG[A-Z0-9]+", cells[0])
    }
    assert told == {zenactors.SIGNALS_TO_NAMES_DICT[number] for number in SIGNAL_EVENTS}


def test_what_needs_a_restart_is_told() -> None:
    [row] = [cells for cells in rows(section(OPERATING, "Reload")) if "only a restart" in cells[1]]
    assert quoted(row[0]) == [key for (key,) in restart_paths(DaemonOptions)]


def test_where_files_go_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("XDG_", "APP_ROOT_PATH"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/runtime")
    daemon = zenactors.ZenDaemon(name="NAME")
    daemon.configure({})
    for _, key, of_root, of_user in rows(section(OPERATING, "Where files go")):
        told = of_root if os.geteuid() == 0 else of_user
        if "the same in" in told:
            told = "`~/.config/NAME.conf`"
        path = quoted(told)[-1].replace("~", str(tmp_path))
        [name] = quoted(key)
        found = daemon.cc("logging")["file"] if name == "log_file" else daemon.c(name)
        assert str(found) == path.rstrip("/"), name


def test_the_two_ways_to_write_a_configuration_say_the_same() -> None:
    blocks = {
        block.language: block.text for block in blocks_of(OPERATING) if "mailer" in block.text
    }
    data, _ = parse_json(blocks["json"])
    assert data == tomllib.loads(blocks["toml"])


def test_the_action_of_the_how_to_guide_is_one(tmp_path: Path, reader: Reader) -> None:
    [block] = [b for b in blocks_of(ROOT / "docs/how-to.md") if "cbk_action_next_run" in b.text]
    (tmp_path / "backup.py").write_text(block.text)
    done = reader.run("backup.py", "--action", "next-run")
    assert (done.returncode, done.stdout) == (0, "tonight, 03:00\n")
    done = reader.run("backup.py", "--action", "backup-now")
    assert done.returncode == zenactors.errors.EXIT_NOT_RUNNING
    assert "Not running" in done.stderr


def dead_links(page: Path) -> list[str]:
    """Return the links on a page to files or headings that do not exist."""
    dead = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c, d\n[a](#a-b-c-d) [b](#gone) [c](page.md#a-b-c-d) [d](gone.md)\n"
        "![e](gone.svg) [f](page.md#gone) [g](https://example.org/gone)\n"
        "```text\n[h](in-code.md)\n```\n"
    )
    assert dead_links(page) == ["#gone", "gone.md", "gone.svg", "page.md#gone"]


def pages_in(navigation: list[dict[str, Any]]) -> Iterator[str]:
    for entry in navigation:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else pages_in(value)


def test_the_site_s_navigation_has_every_page() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    assert sorted(pages_in(site["nav"])) == sorted(str(page.relative_to(ROOT)) for page in PAGES)


def test_the_list_of_examples_has_every_program() -> None:
    page = ROOT / "examples/README.md"
    programs = {*(ROOT / "examples").glob("*.py"), *(ROOT / "examples").glob("races/*.py")}
    programs |= {*(ROOT / "examples").glob("*.toml")}
    assert programs <= {page.parent / link for link in _LINK.findall(page.read_text())}


# --- nothing cites a document that a reader cannot look up ----------------------------------------

_OUTSIDE = re.compile(
    r"""(?<![\w"'#-])[ADFSV]\d{1,2}(?![\w"'-])  # D4, as an id
    | \b(?:DESIGN|HOUSE|STYLE)\b
    | \b[Ii]ssue\s\#?\d
    | \b[Ss]ection\s\d""",
    re.VERBOSE,
)
SPEAKING = [
    *PAGES,
    *(
        path
        for name in ("zenactors", "tests", "docs", "examples")
        for path in (ROOT / name).rglob("*.py")
    ),
]


def citations(name: str, text: str) -> list[str]:
    """Return the lines that cite an id or a section of a document outside."""
    if not _OUTSIDE.search(text):
        return []
    return [
        f"{name}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if _OUTSIDE.search(line)
    ]


def test_nothing_cites_a_document_that_is_not_here() -> None:
    own = Path(__file__)  # it has examples of what it looks for
    found = [
        each
        for path in SPEAKING
        if path != own
        for each in citations(str(path.relative_to(ROOT)), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "The PID file (D4).",
        "Who it is (S7, D15).",
        "# --- D10: reload ---",
        "A23 on real threads",
        "as DESIGN says",
        "see issue 9",
        "DESIGN, section 3",
        "of section 4",
    ],
)
def test_a_citation_is_found(text: str) -> None:
    assert citations("x.py", f"first\n{text}\n") == [f"x.py:2: {text}"]


@pytest.mark.parametrize(
    "text", ["SIGUSR1", "# noqa: D105, S101", "UTF-8", '"A1"', "an event of F"]
)
def test_what_is_no_citation_is_not_found(text: str) -> None:
    assert citations("x.py", text) == []
